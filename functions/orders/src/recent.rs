//! Products that this environment has just looked up: most orders need not read the catalogue again.

use std::collections::HashMap;
use std::time::Duration;

use quick_cache::sync::Cache;
use trackops_aws::StoreError;
use trackops_aws::catalogue::Product;
use trackops_domain::{Sku, Timestamp};

/// How long an order may use a product that was looked up: an old price stays valid this much longer.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// How long a product that was not found is not looked up again: a new product can be ordered this much later.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);

/// How many products are kept, of some 300 bytes each. The least used ones are dropped first.
const MOST: usize = 1000;

pub struct Recent {
    /// With wall-clock time: the monotonic clock may stand still while the environment is frozen.
    products: Cache<Sku, (Timestamp, Product)>,
    /// In a cache of their own, so that made-up ids do not push out real products.
    unknown: Cache<Sku, Timestamp>,
}

impl Recent {
    pub fn new() -> Self {
        Self { products: Cache::new(MOST), unknown: Cache::new(MOST) }
    }

    /// The products among `skus` that exist. `look_up` is asked for products that are not kept, or not any more.
    pub async fn find(
        &self,
        skus: &[Sku],
        now: Timestamp,
        look_up: impl AsyncFnOnce(&[Sku]) -> Result<HashMap<Sku, Product>, StoreError>,
    ) -> Result<HashMap<Sku, Product>, StoreError> {
        let known = |sku: &Sku| Some((sku.clone(), self.get(sku, now)?));
        let mut found: HashMap<Sku, Product> = skus.iter().filter_map(known).collect();
        let rest: Vec<Sku> = skus.iter().filter(|sku| !found.contains_key(*sku)).cloned().collect();
        found.extend(self.find_now(&rest, now, look_up).await?);
        Ok(found)
    }

    /// The products among `skus` that exist, as they are at `now`. All are looked up, except those that were just not
    /// found.
    pub async fn find_now(
        &self,
        skus: &[Sku],
        now: Timestamp,
        look_up: impl AsyncFnOnce(&[Sku]) -> Result<HashMap<Sku, Product>, StoreError>,
    ) -> Result<HashMap<Sku, Product>, StoreError> {
        let asked: Vec<Sku> = skus.iter().filter(|sku| !self.lacks(sku, now)).cloned().collect();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let found = look_up(&asked).await?;
        self.keep(&asked, &found, now);
        Ok(found)
    }

    fn keep(&self, asked: &[Sku], found: &HashMap<Sku, Product>, now: Timestamp) {
        for sku in asked {
            match found.get(sku) {
                Some(product) => self.products.insert(sku.clone(), (now, product.clone())),
                None => self.unknown.insert(sku.clone(), now),
            }
        }
    }

    fn get(&self, sku: &Sku, now: Timestamp) -> Option<Product> {
        let (at, product) = self.products.get(sku)?;
        is_fresh(at, now, KEPT_FOR).then_some(product)
    }

    fn lacks(&self, sku: &Sku, now: Timestamp) -> bool {
        self.unknown.get(sku).is_some_and(|at| is_fresh(at, now, UNKNOWN_FOR))
    }
}

/// Not fresh either if the clock was set back.
fn is_fresh(at: Timestamp, now: Timestamp, kept_for: Duration) -> bool {
    at <= now && now.since(at) < kept_for
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use trackops_domain::money::Currency;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn product(sku: &str, unit_price: i64) -> Product {
        Product {
            sku: sku.parse().unwrap(),
            name: sku.to_owned(),
            unit_price,
            currency: Currency::from_code("EUR").unwrap(),
            discontinued: false,
            sequence: 1,
        }
    }

    /// A catalogue that counts what it is asked for.
    #[derive(Default)]
    struct Shelf {
        products: RefCell<HashMap<Sku, Product>>,
        asked: RefCell<Vec<String>>,
    }

    impl Shelf {
        fn put(&self, sku: &str, unit_price: i64) {
            self.products.borrow_mut().insert(sku.parse().unwrap(), product(sku, unit_price));
        }

        async fn price(&self, recent: &Recent, sku: &str, now: Timestamp) -> Option<i64> {
            let look_up = async |skus: &[Sku]| {
                self.asked.borrow_mut().extend(skus.iter().map(ToString::to_string));
                let products = self.products.borrow();
                let of = |sku: &Sku| Some((sku.clone(), products.get(sku)?.clone()));
                Ok(skus.iter().filter_map(of).collect())
            };
            let found = recent.find(&[sku.parse().unwrap()], now, look_up).await.unwrap();
            found.into_values().next().map(|product| product.unit_price)
        }

        fn asked(&self) -> Vec<String> {
            self.asked.take()
        }
    }

    #[tokio::test]
    async fn a_product_is_looked_up_once_until_its_time_is_over_and_then_again() {
        let (recent, shelf) = (Recent::new(), Shelf::default());
        shelf.put("TEA", 100);
        assert_eq!(shelf.price(&recent, "TEA", START).await, Some(100));
        shelf.put("TEA", 200);
        let last = START.plus(KEPT_FOR).minus(Duration::from_millis(1));
        assert_eq!(shelf.price(&recent, "TEA", last).await, Some(100));
        assert_eq!(shelf.asked(), ["TEA"]);
        assert_eq!(shelf.price(&recent, "TEA", START.plus(KEPT_FOR)).await, Some(200));
        assert_eq!(shelf.asked(), ["TEA"]);
    }

    #[tokio::test]
    async fn what_does_not_exist_is_looked_up_once_in_two_seconds_whoever_asks_for_it() {
        let (recent, shelf) = (Recent::new(), Shelf::default());
        for _ in 0..3 {
            assert_eq!(shelf.price(&recent, "TEA", START).await, None);
        }
        let tea = ["TEA".parse().unwrap()];
        let nobody = async |_: &[Sku]| unreachable!("it was just not there");
        assert!(recent.find_now(&tea, START, nobody).await.unwrap().is_empty());
        assert_eq!(shelf.asked(), ["TEA"]);
        shelf.put("TEA", 100);
        let later = START.plus(UNKNOWN_FOR);
        let last = later.minus(Duration::from_millis(1));
        assert_eq!(shelf.price(&recent, "TEA", last).await, None);
        assert_eq!(shelf.price(&recent, "TEA", later).await, Some(100));
    }

    #[tokio::test]
    async fn who_asks_how_a_product_is_now_is_not_told_how_it_was() {
        let (recent, shelf) = (Recent::new(), Shelf::default());
        shelf.put("TEA", 100);
        assert_eq!(shelf.price(&recent, "TEA", START).await, Some(100));
        let look_up = async |skus: &[Sku]| {
            assert_eq!(skus.len(), 1);
            Ok(HashMap::from([(skus[0].clone(), product("TEA", 200))]))
        };
        let found = recent.find_now(&["TEA".parse().unwrap()], START, look_up).await.unwrap();
        let prices: Vec<_> = found.into_values().map(|product| product.unit_price).collect();
        assert_eq!(prices, [200]);
    }

    #[tokio::test]
    async fn only_what_is_not_known_to_be_missing_is_looked_up() {
        let (recent, shelf) = (Recent::new(), Shelf::default());
        shelf.price(&recent, "GONE", START).await;
        let both = ["GONE", "TEA"].map(|sku| sku.parse().unwrap());
        let look_up = async |skus: &[Sku]| {
            assert_eq!(skus, &both[1..]);
            Ok(HashMap::from([(skus[0].clone(), product("TEA", 100))]))
        };
        assert_eq!(recent.find(&both, START, look_up).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_make_a_product_last_longer() {
        let (recent, shelf) = (Recent::new(), Shelf::default());
        shelf.put("TEA", 100);
        shelf.price(&recent, "TEA", START).await;
        shelf.price(&recent, "TEA", START.minus(Duration::from_millis(1))).await;
        assert_eq!(shelf.asked(), ["TEA", "TEA"]);
    }

    #[tokio::test]
    async fn it_never_keeps_more_than_its_limit() {
        let recent = Recent::new();
        for number in 0..3 * MOST {
            let product = product(&format!("TEA-{number}"), 100);
            let missing = format!("NONE-{number}").parse().unwrap();
            let asked = [product.sku.clone(), missing];
            recent.keep(&asked, &HashMap::from([(product.sku.clone(), product)]), START);
        }
        assert!(recent.products.len() <= MOST, "{}", recent.products.len());
        assert!(recent.unknown.len() <= MOST, "{}", recent.unknown.len());
    }
}
