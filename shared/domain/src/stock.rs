//! The stock level of one product, and its entry in the catalogue.

use serde::{Deserialize, Serialize};

use crate::event::data::{Data, InventoryItemUpdated, InventoryLowStock};
use crate::event::{Cause, Event};
use crate::money::{Amount, Currency};
use crate::{Schema, Sku, Timestamp};

/// Units of one product in the house.
pub const MAX_ON_HAND: u32 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockItem {
    pub sku: Sku,
    pub version: u64,
    /// The version as it was stored; a change does not lower it.
    #[serde(default)]
    pub schema: Schema,
    pub name: String,
    pub description: Option<String>,
    pub category: Option<String>,
    /// Minor units.
    pub unit_price: i64,
    pub currency: Currency,
    /// Units in the house.
    pub on_hand: u32,
    /// Units in the house that are promised to nobody.
    pub available: u32,
    /// The item is low when its available units are at or below this. 0 when no minimum was given: then it is low when
    /// it is out of stock.
    pub low_stock_threshold: u32,
    pub max_stock_level: Option<u32>,
    pub reorder_quantity: Option<u32>,
    pub discontinued: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The events of the newest change that others act on, oldest first, each with a version of its own. They move to
    /// the outbox with the write.
    #[serde(skip)]
    pub raised: Vec<Event>,
}

/// What taking units does to the low-stock mark. Each case has its own condition, so that only the reservation that
/// crosses the mark must know the exact version of a hot item.
#[derive(Clone, Debug, PartialEq)]
pub enum Taking {
    StaysAbove,
    AlreadyLow,
    /// Raises `inventory.low_stock`.
    Crosses(Box<Event>),
}

/// The fields of an item that may be changed. `None` leaves a field as it is; an inner `None` removes it.
#[derive(Clone, Debug, Default)]
pub struct ItemChange {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub category: Option<Option<String>>,
    /// Minor units.
    pub unit_price: Option<i64>,
    pub low_stock_threshold: Option<u32>,
    pub max_stock_level: Option<Option<u32>>,
    pub reorder_quantity: Option<Option<u32>>,
    pub adjustment: Option<Adjustment>,
}

/// Units that came or went for another reason than an order: on hand and available move together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Adjustment {
    pub quantity: i32,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    #[error("only {available} are promised to nobody")]
    TooFew { available: u32 },
    #[error("there would be more than {MAX_ON_HAND} on hand")]
    TooMany,
    #[error("must not be below minStockLevel")]
    MaxBelowMin,
    #[error("{reserved} are reserved")]
    Reserved { reserved: u32 },
}

impl StockItem {
    pub fn key(sku: &Sku) -> String {
        format!("STOCK#{sku}")
    }

    pub const fn is_low(&self) -> bool {
        self.available <= self.low_stock_threshold
    }

    pub const fn reserved(&self) -> u32 {
        self.on_hand.saturating_sub(self.available)
    }

    /// `None`: there are too few units, or the product is not sold any more.
    pub fn taking(&self, quantity: u32, at: Timestamp, cause: &Cause) -> Option<Taking> {
        let left = self.available.checked_sub(quantity)?;
        if self.discontinued {
            return None;
        }
        Some(if self.is_low() {
            Taking::AlreadyLow
        } else if left > self.low_stock_threshold {
            Taking::StaysAbove
        } else {
            let mut next = self.next(at);
            next.available = left;
            Taking::Crosses(Box::new(next.event(cause, next.low_stock(None))))
        })
    }

    /// The item after `change`; `None` when nothing changes. Only orders and adjustments change the counts, and
    /// promised units stay promised. The version grows by one, or by two when the change raises two events: an item
    /// that becomes low always raises its own event for that.
    pub fn changed(
        &self,
        change: &ItemChange,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<Option<Self>, BadChange> {
        let mut next = self.clone();
        let ItemChange { name, description, category, unit_price, .. } = change.clone();
        set(&mut next.name, name);
        set(&mut next.description, description);
        set(&mut next.category, category);
        set(&mut next.unit_price, unit_price);
        set(&mut next.low_stock_threshold, change.low_stock_threshold);
        set(&mut next.max_stock_level, change.max_stock_level);
        set(&mut next.reorder_quantity, change.reorder_quantity);
        if next.max_stock_level.is_some_and(|max| max < next.low_stock_threshold) {
            return Err(BadChange::MaxBelowMin);
        }
        if let Some(Adjustment { quantity, .. }) = change.adjustment {
            let too_few = BadChange::TooFew { available: self.available };
            next.available = self.available.checked_add_signed(quantity).ok_or(too_few)?;
            let on_hand = self.on_hand.checked_add_signed(quantity);
            next.on_hand =
                on_hand.filter(|units| *units <= MAX_ON_HAND).ok_or(BadChange::TooMany)?;
        }
        if next == *self {
            return Ok(None);
        }
        let becomes_low = next.is_low() && !self.is_low();
        let same_entry = next.name == self.name && next.unit_price == self.unit_price;
        // Only the first event has the adjustment.
        let mut adjustment = change.adjustment.clone();
        if !becomes_low || !same_entry {
            next = next.next(at);
            let entry = next.catalogue_entry(adjustment.take());
            next.raised.push(next.event(cause, entry));
        }
        if becomes_low {
            next = next.next(at);
            let low = next.low_stock(adjustment);
            next.raised.push(next.event(cause, low));
        }
        Ok(Some(next))
    }

    /// The item, discontinued; `None` when it is discontinued already.
    pub fn withdrawn(&self, at: Timestamp, cause: &Cause) -> Result<Option<Self>, BadChange> {
        if self.discontinued {
            return Ok(None);
        }
        if self.reserved() > 0 {
            return Err(BadChange::Reserved { reserved: self.reserved() });
        }
        let mut next = self.next(at);
        next.discontinued = true;
        next.raised.push(next.catalogue_event(cause));
        Ok(Some(next))
    }

    fn next(&self, at: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: at, ..self.clone() }
    }

    /// `inventory.item.updated`: the catalogue entry as of this version.
    pub fn catalogue_event(&self, cause: &Cause) -> Event {
        self.event(cause, self.catalogue_entry(None))
    }

    fn catalogue_entry(&self, adjustment: Option<Adjustment>) -> Data {
        Data::InventoryItemUpdated(InventoryItemUpdated {
            adjustment,
            currency: self.currency,
            discontinued: self.discontinued,
            product_id: self.sku.clone(),
            product_name: self.name.clone(),
            unit_price: Amount::of(self.unit_price, self.currency),
        })
    }

    /// The item has become low with this version.
    fn low_stock(&self, adjustment: Option<Adjustment>) -> Data {
        Data::InventoryLowStock(InventoryLowStock {
            adjustment,
            available_quantity: self.available,
            min_stock_level: self.low_stock_threshold,
            product_id: self.sku.clone(),
            reorder_quantity: self.reorder_quantity,
        })
    }

    fn event(&self, cause: &Cause, data: Data) -> Event {
        let (key, subject) = (Self::key(&self.sku), self.sku.to_string());
        Event::raised(&key, subject, self.version, self.updated_at, cause, data)
    }
}

fn set<T>(field: &mut T, to: Option<T>) {
    if let Some(value) = to {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use proptest::prelude::*;

    fn item(available: u32, threshold: u32) -> StockItem {
        StockItem {
            sku: "TEA".parse().unwrap(),
            version: 7,
            schema: Schema::default(),
            name: "Tea".into(),
            description: None,
            category: None,
            unit_price: 250,
            currency: Currency::from_code("EUR").unwrap(),
            on_hand: available,
            available,
            low_stock_threshold: threshold,
            max_stock_level: None,
            reorder_quantity: None,
            discontinued: false,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            raised: Vec::new(),
        }
    }

    fn taking(item: &StockItem, quantity: u32) -> Option<Taking> {
        item.taking(quantity, Timestamp::from_millis(0), &Cause::default())
    }

    proptest! {
        #[test]
        fn selling_out_in_any_steps_crosses_the_mark_once_and_never_oversells(
            stock in 0..60_u32, threshold in 0..30_u32, takes in prop::collection::vec(1..9_u32, 0..40)
        ) {
            let mut item = item(stock, threshold);
            let (was_low, mut crossed, mut taken) = (item.is_low(), 0, 0);
            for quantity in takes {
                let Some(outcome) = taking(&item, quantity) else { continue };
                crossed += u32::from(matches!(outcome, Taking::Crosses(_)));
                item.available -= quantity;
                taken += quantity;
                prop_assert_eq!(matches!(outcome, Taking::StaysAbove), !item.is_low());
            }
            prop_assert!(taken <= stock);
            prop_assert_eq!(crossed, u32::from(!was_low && item.is_low()));
        }
    }

    fn adjusting(quantity: i32) -> ItemChange {
        let adjustment = Some(Adjustment { quantity, reason: "counted".into() });
        ItemChange { adjustment, ..ItemChange::default() }
    }

    fn changed(item: &StockItem, change: &ItemChange) -> Result<Option<StockItem>, BadChange> {
        item.changed(change, Timestamp::from_millis(1), &Cause::default())
    }

    proptest! {
        #[test]
        fn an_adjustment_moves_both_counts_or_none_and_leaves_what_is_promised(
            available in 0..=MAX_ON_HAND, promised in 0..1000_u32,
            quantity in (-2_000_000_000..2_000_000_000_i32).prop_filter("moves", |it| *it != 0)
        ) {
            let available = available.min(MAX_ON_HAND - promised);
            let mut item = item(available, 0);
            item.on_hand = available + promised;
            match changed(&item, &adjusting(quantity)) {
                Ok(next) => {
                    let next = next.unwrap();
                    prop_assert_eq!(next.reserved(), promised);
                    prop_assert_eq!(i64::from(next.on_hand) - i64::from(item.on_hand), i64::from(quantity));
                    prop_assert!(next.on_hand <= MAX_ON_HAND);
                }
                Err(BadChange::TooFew { .. }) => prop_assert!(i64::from(available) + i64::from(quantity) < 0),
                Err(error) => {
                    prop_assert_eq!(error, BadChange::TooMany);
                    prop_assert!(i64::from(item.on_hand) + i64::from(quantity) > i64::from(MAX_ON_HAND));
                }
            }
        }
    }

    #[test]
    fn a_change_says_what_it_changes_and_one_that_changes_nothing_is_none() {
        let renamed = ItemChange {
            name: Some("Green tea".into()),
            category: Some(None),
            ..ItemChange::default()
        };
        let mut tea = item(5, 0);
        tea.category = Some("drinks".into());
        tea.description = Some("loose".into());
        let next = changed(&tea, &renamed).unwrap().unwrap();
        assert_eq!((next.version, next.category.as_deref()), (8, None));
        assert_eq!(next.description.as_deref(), Some("loose"));
        let [event] = &next.raised[..] else { panic!("it raises {:?}", next.raised) };
        assert_eq!((event.kind, event.sequence), (EventType::InventoryItemUpdated, 8));
        let Data::InventoryItemUpdated(entry) = &event.data else { panic!("it is {event:?}") };
        assert_eq!(entry.product_name, "Green tea");
        assert_eq!(changed(&next, &renamed), Ok(None));
    }

    fn kinds(item: &StockItem) -> Vec<EventType> {
        item.raised.iter().map(|event| event.kind).collect()
    }

    #[test]
    fn an_adjustment_that_makes_it_low_says_so() {
        let next = changed(&item(5, 3), &adjusting(-2)).unwrap().unwrap();
        let [event] = &next.raised[..] else { panic!("it raises {:?}", next.raised) };
        let Data::InventoryLowStock(low) = &event.data else { panic!("it is {event:?}") };
        assert_eq!(low.adjustment, adjusting(-2).adjustment);
        let lower = changed(&item(3, 3), &adjusting(-2)).unwrap().unwrap();
        assert_eq!(kinds(&lower), [EventType::InventoryItemUpdated]);
    }

    #[test]
    fn one_change_of_price_and_stock_tells_both_each_with_a_version_of_its_own() {
        let change = ItemChange { unit_price: Some(300), ..adjusting(-2) };
        let next = changed(&item(5, 3), &change).unwrap().unwrap();
        let told = [EventType::InventoryItemUpdated, EventType::InventoryLowStock];
        assert_eq!((kinds(&next), next.version), (told.to_vec(), 9));
        let ids: Vec<&str> = next.raised.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["STOCK#TEA#8", "STOCK#TEA#9"]);
        let Data::InventoryLowStock(low) = &next.raised[1].data else { panic!("{next:?}") };
        assert_eq!((low.available_quantity, &low.adjustment), (3, &None), "told twice");
    }

    proptest! {
        #[test]
        fn whatever_crosses_the_mark_says_so_once_and_every_version_has_its_event(
            available in 0..20_u32, threshold in 0..20_u32, price in prop::option::of(249..252_i64),
            mark in prop::option::of(0..20_u32), quantity in prop::option::of(-9..9_i32)
        ) {
            let item = item(available, threshold);
            let adjustment = quantity.map(|quantity| Adjustment { quantity, reason: "counted".into() });
            let change = ItemChange {
                unit_price: price, low_stock_threshold: mark, adjustment, ..ItemChange::default()
            };
            let Ok(Some(next)) = changed(&item, &change) else { return Ok(()) };
            let crosses = next.is_low() && !item.is_low();
            let low = next.raised.iter().filter(|it| it.kind == EventType::InventoryLowStock);
            prop_assert_eq!(low.count(), usize::from(crosses));
            let entry = kinds(&next).contains(&EventType::InventoryItemUpdated);
            prop_assert!(entry || next.unit_price == item.unit_price, "the catalogue is not told");
            let versions: Vec<u64> = next.raised.iter().map(|event| event.sequence).collect();
            prop_assert_eq!(versions, (item.version + 1..=next.version).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_maximum_below_the_minimum_is_refused_whichever_of_them_changes() {
        let maximum = ItemChange { max_stock_level: Some(Some(3)), ..ItemChange::default() };
        assert_eq!(changed(&item(5, 4), &maximum), Err(BadChange::MaxBelowMin));
        let mut capped = item(5, 0);
        capped.max_stock_level = Some(3);
        let minimum = ItemChange { low_stock_threshold: Some(4), ..ItemChange::default() };
        assert_eq!(changed(&capped, &minimum), Err(BadChange::MaxBelowMin));
    }

    #[test]
    fn what_is_reserved_is_not_withdrawn() {
        let withdrawn = |item: &StockItem| item.withdrawn(Timestamp::now(), &Cause::default());
        let mut item = item(5, 0);
        item.on_hand = 7;
        assert_eq!(withdrawn(&item), Err(BadChange::Reserved { reserved: 2 }));
        item.on_hand = 5;
        let gone = withdrawn(&item).unwrap().unwrap();
        assert!(gone.discontinued);
        assert_eq!(withdrawn(&gone), Ok(None));
    }

    #[test]
    fn a_discontinued_product_is_not_promised_to_anyone() {
        let mut item = item(5, 0);
        item.discontinued = true;
        assert_eq!(taking(&item, 1), None);
    }
}
