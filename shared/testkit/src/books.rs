//! The check that stock, money and orders tell the same story.

use std::fmt;

use crate::world::Row;
use crate::{Order, World, eventually};

/// The contents of the four tables about one product and all orders ever placed for it.
#[derive(Debug)]
pub struct Books {
    sku: String,
    stocked: i64,
    on_hand: i64,
    available: i64,
    accounts: Vec<Account>,
}

/// One order with everything held or taken for it.
#[derive(Debug)]
pub struct Account {
    pub order: Order,
    pub units: i64,
    pub reservation: Option<String>,
    pub payment: Option<String>,
    /// Minor units taken by the provider, less those given back; from its own ledger.
    pub taken: i64,
}

/// What the provider's ledger says about an order, in minor units.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    pub state: String,
    pub amount: i64,
    pub refunded: i64,
}

impl Charge {
    fn read(row: &Row) -> Self {
        Self {
            state: text(row, "state"),
            amount: number(row, "amount_minor"),
            refunded: optional_number(row, "refunded_minor").unwrap_or(0),
        }
    }

    fn kept(&self) -> i64 {
        match self.state.as_str() {
            "TAKEN" | "REFUNDED" => self.amount - self.refunded,
            _ => 0,
        }
    }
}

impl World {
    /// Waits until `sku`, stocked once with `stocked` units, agrees with `orders`: all that were placed for it.
    pub async fn books_balance(&self, sku: &str, stocked: i64, orders: &[&str]) -> Books {
        eventually("stock, money and orders to agree", async || {
            let books = self.books(sku, stocked, orders).await;
            let wrong = books.disagreements();
            if wrong.is_empty() { Ok(books) } else { Err(format!("{}\n{books}", wrong.join("; "))) }
        })
        .await
    }

    pub async fn books(&self, sku: &str, stocked: i64, orders: &[&str]) -> Books {
        let mut accounts = Vec::new();
        for order in orders {
            accounts.push(self.account(sku, order).await);
        }
        let key = format!("STOCK#{sku}");
        let stock =
            self.row("InventoryTable", &key).await.unwrap_or_else(|| panic!("there is no {key}"));
        Books {
            sku: sku.to_owned(),
            stocked,
            on_hand: number(&stock, "on_hand"),
            available: number(&stock, "available"),
            accounts,
        }
    }

    /// The provider's own record of an order's charge, if there was one.
    pub async fn charge(&self, order_id: &str) -> Option<Charge> {
        let row = self.row("ProviderLedgerTable", &format!("CHARGE#{order_id}")).await;
        row.as_ref().map(Charge::read)
    }

    /// What is held and taken for one order.
    pub async fn account(&self, sku: &str, order_id: &str) -> Account {
        let order = self.operator.find(order_id).await;
        let reservation = self.row("InventoryTable", &format!("RES#{order_id}")).await;
        let payment = self.row("PaymentsTable", &format!("PAY#{order_id}")).await;
        let charge = self.charge(order_id).await;
        let units = order
            .items
            .iter()
            .filter(|line| line.product_id == sku)
            .map(|line| line.quantity)
            .sum();
        Account {
            order,
            units,
            reservation: reservation.as_ref().map(|row| text(row, "state")),
            payment: payment.as_ref().map(|row| text(row, "state")),
            taken: charge.map_or(0, |charge| charge.kept()),
        }
    }
}

impl Books {
    /// Everything that is wrong, with the order that it concerns.
    fn disagreements(&self) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.accounts.iter().flat_map(Account::disagreements).collect();
        let held: i64 = self
            .accounts
            .iter()
            .filter(|account| account.holds())
            .map(|account| account.units)
            .sum();
        if self.on_hand != self.stocked {
            wrong.push(format!("{} on hand of {} stocked", self.on_hand, self.stocked));
        }
        if self.available != self.stocked - held {
            wrong.push(format!(
                "{} available, though {held} of {} are held",
                self.available, self.stocked
            ));
        }
        wrong
    }

    /// Units that nobody holds.
    pub fn available(&self) -> i64 {
        self.available
    }

    /// Minor units the provider took and kept for all these orders.
    pub fn taken(&self) -> i64 {
        self.accounts.iter().map(|account| account.taken).sum()
    }

    /// The orders in this status.
    pub fn count(&self, status: &str) -> usize {
        self.accounts.iter().filter(|account| account.order.status == status).count()
    }
}

impl Account {
    fn holds(&self) -> bool {
        matches!(self.reservation.as_deref(), Some("HELD" | "COMMITTED"))
    }

    fn disagreements(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |right: bool, what: String| {
            if !right {
                wrong.push(format!(
                    "order {} is {} but {what}",
                    self.order.order_id, self.order.status
                ));
            }
        };
        let (reservation, payment) = (self.reservation.as_deref(), self.payment.as_deref());
        if self.order.status == "CONFIRMED" {
            expect(reservation == Some("COMMITTED"), format!("its reservation is {reservation:?}"));
            expect(payment == Some("PAID"), format!("its payment is {payment:?}"));
            let due = minor_units(&self.order.total_amount);
            expect(self.taken == due, format!("the provider kept {} of {due}", self.taken));
        } else {
            expect(self.order.is_settled(), "that is not an end".to_owned());
            let returned = matches!(reservation, None | Some("RELEASED" | "EXPIRED" | "REJECTED"));
            expect(returned, format!("its reservation is {reservation:?}"));
            let unpaid = matches!(payment, None | Some("DECLINED" | "VOIDED" | "REFUNDED"));
            expect(unpaid, format!("its payment is {payment:?}"));
            expect(self.taken == 0, format!("the provider kept {}", self.taken));
        }
        wrong
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} on hand, {} available", self.sku, self.on_hand, self.available)?;
        for account in &self.accounts {
            let Account { order, units, reservation, payment, taken } = account;
            writeln!(
                f,
                "  {} {} {:?}: {units} units, reservation {reservation:?}, payment {payment:?}, {taken} taken",
                order.order_id, order.status, order.reason
            )?;
        }
        Ok(())
    }
}

pub(crate) fn text(row: &Row, attribute: &str) -> String {
    let value = row.get(attribute).and_then(|value| value.as_s().ok());
    value.unwrap_or_else(|| panic!("no text {attribute} in {row:?}")).clone()
}

fn number(row: &Row, attribute: &str) -> i64 {
    optional_number(row, attribute).unwrap_or_else(|| panic!("no number {attribute} in {row:?}"))
}

fn optional_number(row: &Row, attribute: &str) -> Option<i64> {
    row.get(attribute)?.as_n().ok()?.parse().ok()
}

/// Euros as cents.
fn minor_units(amount: &str) -> i64 {
    let (euros, cents) = amount.split_once('.').unwrap_or((amount, "00"));
    assert_eq!(cents.len(), 2, "{amount} is not an amount of euros");
    format!("{euros}{cents}")
        .parse()
        .unwrap_or_else(|_| panic!("{amount} is not an amount of euros"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One order for two of five units, at 25 euros.
    fn books(status: &str, reservation: &str, payment: &str, taken: i64, available: i64) -> Books {
        let order = Order {
            order_id: "1".to_owned(),
            customer_id: "alice".to_owned(),
            status: status.to_owned(),
            reason: None,
            items: Vec::new(),
            total_amount: "25.00".to_owned(),
            currency: "EUR".to_owned(),
            version: 1,
            updated_at: String::new(),
        };
        let account = Account {
            order,
            units: 2,
            reservation: Some(reservation.to_owned()),
            payment: Some(payment.to_owned()),
            taken,
        };
        Books { sku: "TEA".to_owned(), stocked: 5, on_hand: 5, available, accounts: vec![account] }
    }

    #[test]
    fn books_that_agree_are_left_alone() {
        for (status, reservation, payment, taken, available) in [
            ("CONFIRMED", "COMMITTED", "PAID", 2500, 3),
            ("CANCELLED", "RELEASED", "REFUNDED", 0, 5),
            ("REJECTED", "REJECTED", "VOIDED", 0, 5),
            ("EXPIRED", "EXPIRED", "VOIDED", 0, 5),
        ] {
            let books = books(status, reservation, payment, taken, available);
            assert_eq!(books.disagreements(), Vec::<String>::new(), "{books}");
        }
    }

    #[test]
    fn every_disagreement_is_noticed() {
        for (status, reservation, payment, taken, available) in [
            ("CONFIRMED", "HELD", "PAID", 2500, 3),
            ("CONFIRMED", "COMMITTED", "AWAITING", 2500, 3),
            ("CONFIRMED", "COMMITTED", "PAID", 2499, 3),
            ("CONFIRMED", "COMMITTED", "PAID", 5000, 3),
            ("CONFIRMED", "COMMITTED", "PAID", 2500, 5),
            ("CANCELLED", "COMMITTED", "REFUNDED", 0, 3),
            ("CANCELLED", "RELEASED", "PAID", 0, 5),
            ("CANCELLED", "RELEASED", "REFUNDED", 2500, 5),
            ("CANCELLED", "RELEASED", "REFUNDED", 0, 3),
            ("CANCELLED", "RELEASED", "REFUNDED", 0, 7),
            ("CANCELLING", "RELEASED", "REFUNDED", 0, 5),
            ("PENDING", "HELD", "CHARGING", 0, 3),
        ] {
            let books = books(status, reservation, payment, taken, available);
            assert!(!books.disagreements().is_empty(), "{books}");
        }
    }
}
