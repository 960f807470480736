//! Products that this environment has just looked up: most orders need not read the catalogue again.

use std::collections::HashMap;
use std::time::Duration;

use quick_cache::sync::Cache;
use trackops_aws::StoreError;
use trackops_aws::catalogue::Product;
use trackops_domain::{Sku, Timestamp};

/// How long an order may go by what was looked up: an older price holds this much longer.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Products kept, of some 300 bytes each; those asked for least give way.
const MOST: usize = 1000;

pub struct Recent {
    /// With the time of the wall: the other clock may stand still while the environment is frozen.
    products: Cache<Sku, (Timestamp, Product)>,
}

impl Recent {
    pub fn new() -> Self {
        Self { products: Cache::new(MOST) }
    }

    /// Those of `skus` that exist; `look_up` is asked for what is not known, or not any more. What it does not find is
    /// not remembered: a new product can be ordered at once.
    pub async fn find(
        &self,
        skus: &[Sku],
        now: Timestamp,
        look_up: impl AsyncFnOnce(&[Sku]) -> Result<HashMap<Sku, Product>, StoreError>,
    ) -> Result<HashMap<Sku, Product>, StoreError> {
        let known = |sku: &Sku| Some((sku.clone(), self.get(sku, now)?));
        let mut found: HashMap<Sku, Product> = skus.iter().filter_map(known).collect();
        let rest: Vec<Sku> = skus.iter().filter(|sku| !found.contains_key(*sku)).cloned().collect();
        if !rest.is_empty() {
            found.extend(self.keep(now, look_up(&rest).await?));
        }
        Ok(found)
    }

    /// Remembers what was looked up at `now`, or begun to be.
    pub fn keep(&self, now: Timestamp, found: HashMap<Sku, Product>) -> HashMap<Sku, Product> {
        for (sku, product) in &found {
            self.products.insert(sku.clone(), (now, product.clone()));
        }
        found
    }

    fn get(&self, sku: &Sku, now: Timestamp) -> Option<Product> {
        let (at, product) = self.products.get(sku)?;
        // Also when the clock was set back.
        (at <= now && now.since(at) < KEPT_FOR).then_some(product)
    }
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
    async fn what_does_not_exist_is_asked_for_each_time() {
        let (recent, shelf) = (Recent::new(), Shelf::default());
        for _ in 0..2 {
            assert_eq!(shelf.price(&recent, "TEA", START).await, None);
            assert_eq!(shelf.asked(), ["TEA"]);
        }
        shelf.put("TEA", 100);
        assert_eq!(shelf.price(&recent, "TEA", START).await, Some(100));
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
            recent.keep(START, HashMap::from([(product.sku.clone(), product)]));
        }
        assert!(recent.products.len() <= MOST, "{}", recent.products.len());
    }
}
