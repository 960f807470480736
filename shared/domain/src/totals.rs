//! The totals of the stock of all products.

use crate::stock::StockItem;

/// Counts of products and of their units. Discontinued products are counted separately, and their units are not
/// counted, because nobody can order them any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Products that are sold.
    pub items: u64,
    /// Units in the house.
    pub on_hand: u64,
    /// Units in the house that are promised to nobody.
    pub available: u64,
    /// Units in the house that are promised to somebody.
    pub reserved: u64,
    /// Products with nothing available.
    pub out_of_stock: u64,
    /// Products at or below their minimum, those out of stock included.
    pub low: u64,
    pub discontinued: u64,
    /// Products that could not be read. They are in no other count.
    pub unreadable: u64,
}

impl Totals {
    #[must_use]
    pub fn with(self, item: &StockItem) -> Self {
        if item.discontinued {
            return Self { discontinued: self.discontinued + 1, ..self };
        }
        Self {
            items: self.items + 1,
            on_hand: self.on_hand + u64::from(item.on_hand),
            available: self.available + u64::from(item.available),
            reserved: self.reserved + u64::from(item.reserved()),
            out_of_stock: self.out_of_stock + u64::from(item.available == 0),
            low: self.low + u64::from(item.is_low()),
            ..self
        }
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            items: self.items + other.items,
            on_hand: self.on_hand + other.on_hand,
            available: self.available + other.available,
            reserved: self.reserved + other.reserved,
            out_of_stock: self.out_of_stock + other.out_of_stock,
            low: self.low + other.low,
            discontinued: self.discontinued + other.discontinued,
            unreadable: self.unreadable + other.unreadable,
        }
    }
}
