//! The `inventory` table: stock levels and the reservations that take from them.
//!
//! All lines of a reservation are one transaction with the reservation itself, so units and promises never disagree.
//! When a condition fails, the answer is about the stock; after a conflict, the transaction is tried again.

use std::collections::HashMap;
use std::error::Error;
use std::slice;

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use futures::{StreamExt, stream};
use trackops_domain::event::Cause;
use trackops_domain::reservation::{Fact, Line, Reservation, Shortage};
use trackops_domain::stock::{StockItem, Taking};
use trackops_domain::{Event, IllegalMove, OrderId, Schema, Sku, Timestamp};

use crate::aggregate::{Aggregate, Item, Table, Write, outbox_values};
use crate::due::{Due, Walk};
use crate::error::StoreError;
use crate::inventory_list;
use crate::once::{Answered, Once, Repeatable};
use crate::outbox;
use crate::retry;
use crate::stored::read;
use crate::transact::{put, update};

/// How many overdue holds are given back at the same time, because another reservation needs their units.
const EXPIRED_AT_ONCE: usize = 16;

impl Aggregate for StockItem {
    fn key(&self) -> String {
        Self::key(&self.sku)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn schema(&self) -> Schema {
        self.schema
    }

    fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    fn events(&self) -> Vec<Event> {
        self.raised.clone()
    }

    fn index_keys(&self) -> Vec<(&'static str, String)> {
        inventory_list::item_keys(self)
    }
}

impl Aggregate for Reservation {
    fn key(&self) -> String {
        Self::key(&self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn schema(&self) -> Schema {
        self.schema
    }

    fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    fn events(&self) -> Vec<Event> {
        Vec::from_iter(self.raised.clone())
    }

    fn index_keys(&self) -> Vec<(&'static str, String)> {
        inventory_list::reservation_keys(self)
    }

    fn due_at(&self) -> Option<Timestamp> {
        Self::due_at(self)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReservationError {
    #[error("there is no reservation {0}")]
    NoReservation(OrderId),
    #[error("the reservation is at version {0}")]
    Changed(u64),
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A product that cannot be reserved, whatever its stock is: it does not exist or is not sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSold {
    Unknown(Sku),
    Discontinued(Sku),
}

#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error("products are not sold: {0:?}")]
    NotSold(Vec<NotSold>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The request for a reservation.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub id: OrderId,
    /// Merged by product, at most 50.
    pub lines: Vec<Line>,
    pub expires_at: Timestamp,
    /// The hash of the request; `None` when the reservation is for an order.
    pub request_hash: Option<String>,
    pub cause: Cause,
}

#[derive(Clone, Debug)]
pub struct Inventory {
    table: Table,
}

impl Inventory {
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    pub const fn table(&self) -> &Table {
        &self.table
    }

    pub async fn find_item(&self, sku: &Sku) -> Result<Option<StockItem>, StoreError> {
        self.table.load(&StockItem::key(sku)).await
    }

    /// The products among these (at most 100) that exist, in any order.
    pub async fn find_items(&self, skus: &[Sku]) -> Result<Vec<StockItem>, StoreError> {
        let items = self.table.items(skus.iter().map(StockItem::key).collect(), true).await?;
        items.into_iter().map(|item| read(item, StockItem::SCHEMA)).collect()
    }

    /// Adds or changes an item as `decide` says, once for each request. Decides again when a reservation, or any other
    /// writer, was faster.
    pub async fn change_item<E: From<StoreError>>(
        &self,
        sku: &Sku,
        request: &Repeatable,
        decide: impl Fn(Option<StockItem>) -> Result<Write<StockItem>, E>,
        answer: impl Fn(&StockItem) -> Result<Answered, E>,
    ) -> Result<Once, E> {
        self.table.answer_once(&StockItem::key(sku), request, decide, answer).await
    }

    pub async fn find_reservation(&self, id: &OrderId) -> Result<Option<Reservation>, StoreError> {
        self.table.load(&Reservation::key(id)).await
    }

    /// Reserves all lines or none. The answer is the recorded reservation, whoever recorded it: HELD, or REJECTED with
    /// what is missing, or its state since then. It carries an event if this call has recorded it.
    pub async fn reserve(&self, wanted: &Wanted) -> Result<Reservation, StoreError> {
        self.reserve_if(wanted, |_| Ok(())).await
    }

    /// [`Self::reserve`], for products that are sold. If one is not sold, nothing is recorded: the same request may
    /// succeed when the product is sold.
    pub async fn reserve_sold(&self, wanted: &Wanted) -> Result<Reservation, ReserveError> {
        let judge = |stock: &HashMap<Sku, StockItem>| {
            let not_sold = not_sold(wanted, stock);
            if not_sold.is_empty() { Ok(()) } else { Err(ReserveError::NotSold(not_sold)) }
        };
        self.reserve_if(wanted, judge).await
    }

    /// If the reservation does not exist yet, `judge` sees the stock before anything is recorded.
    async fn reserve_if<E: From<StoreError>>(
        &self,
        wanted: &Wanted,
        judge: impl Fn(&HashMap<Sku, StockItem>) -> Result<(), E>,
    ) -> Result<Reservation, E> {
        // Overdue holds: `None` is not looked at yet, `Ok` is given back, `Err` is that some may still be in the way.
        let mut overdue: Option<Result<(), StoreError>> = None;
        for attempt in 0..retry::TRIES {
            let (recorded, stock) = self.look(wanted).await?;
            if let Some(recorded) = recorded {
                return Ok(recorded);
            }
            judge(&stock)?;
            let now = Timestamp::now();
            let tried = match take_all(wanted, &stock, now) {
                Ok(taken) => self.hold(wanted, &taken, now).await,
                Err(shortages)
                    if promises_are_in_the_way(&shortages, &stock) && overdue.is_none() =>
                {
                    overdue = Some(self.expire_overdue(&shortages, now).await);
                    continue;
                }
                // If a hold could not be given back, this delays the answer and does not decide it.
                Err(_) if let Some(Err(error)) = overdue => return Err(error.into()),
                Err(shortages) => {
                    let (id, lines) = (wanted.id, wanted.lines.clone());
                    let (hash, cause) = (wanted.request_hash.clone(), wanted.cause.clone());
                    let refused = Reservation::rejected(id, lines, shortages, hash, now, cause);
                    self.table.create(&refused).await.map(|()| refused)
                }
            };
            match tried {
                Ok(reservation) => return Ok(reservation),
                Err(StoreError::Stale) => retry::back_off(attempt).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy("too many others reserve the same products".into()).into())
    }

    /// Makes a hold permanent. If the hold ran out or was released, it stays so, and the move is `Illegal`.
    pub async fn commit(
        &self,
        id: &OrderId,
        cause: &Cause,
    ) -> Result<Reservation, ReservationError> {
        let decide = |reservation: Option<Reservation>| {
            let reservation = reservation.ok_or(ReservationError::NoReservation(*id))?;
            let next = reservation.after(Fact::Committed, Timestamp::now(), cause)?;
            Ok(next.map_or(Write::Nothing(reservation), Write::Replace))
        };
        self.table.decide(&Reservation::key(id), decide).await
    }

    /// Gives the units back, once. A reservation that does not exist is written as released, so that a
    /// reserve that comes late is refused.
    pub async fn release(
        &self,
        id: &OrderId,
        cause: &Cause,
    ) -> Result<Reservation, ReservationError> {
        let release = async || self.change(id, Fact::Released, cause, GIVE_BACK, |_| true).await;
        match release().await {
            Err(ReservationError::NoReservation(_)) => {}
            known => return known,
        }
        let tombstone = Reservation::tombstone(*id, Timestamp::now(), cause.clone());
        match self.table.create(&tombstone).await {
            Ok(()) => Ok(tombstone),
            Err(StoreError::Stale) => release().await,
            Err(error) => Err(error.into()),
        }
    }

    /// Gives back the units of a hold, once, if the hold is as it should be. After a commit the move is `Illegal`.
    pub async fn withdraw(
        &self,
        id: &OrderId,
        cause: &Cause,
        is_as_it_should: impl Fn(&Reservation) -> bool,
    ) -> Result<Reservation, ReservationError> {
        self.change(id, Fact::Withdrawn, cause, GIVE_BACK, is_as_it_should).await
    }

    /// Gives back the units of a hold that ran out, once. After a commit the move is `Illegal`.
    pub async fn expire(
        &self,
        id: &OrderId,
        cause: &Cause,
    ) -> Result<Reservation, ReservationError> {
        self.change(id, Fact::Expired, cause, GIVE_BACK, |_| true).await
    }

    /// The units have left the house: takes them off hand, once.
    pub async fn ship(&self, id: &OrderId, cause: &Cause) -> Result<Reservation, ReservationError> {
        self.change(id, Fact::Shipped, cause, "on_hand = on_hand - :quantity", |_| true).await
    }

    /// Gives back overdue holds on products that are short, each hold alone. `Busy` when more holds may be in the way.
    async fn expire_overdue(
        &self,
        shortages: &[Shortage],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut walk = Walk::new(now);
        let met = self.table.walk_due(&mut walk).await.unwrap_or_default();
        let expired = met.due.into_iter().map(|due| self.expire_if_in_the_way(due, shortages));
        let expired = stream::iter(expired).buffer_unordered(EXPIRED_AT_ONCE);
        let failures = expired.filter_map(async |expired| expired.err()).collect::<Vec<_>>().await;
        let mut failures = met.unread.into_iter().chain(failures);
        match failures.find(|error| !matches!(error, StoreError::Corrupt(_))) {
            Some(error) => Err(StoreError::Busy(Box::new(error))),
            None if !walk.is_done() => {
                Err(StoreError::Busy("more holds have run out than were looked at".into()))
            }
            None => Ok(()),
        }
    }

    async fn expire_if_in_the_way(
        &self,
        due: Due,
        shortages: &[Shortage],
    ) -> Result<(), StoreError> {
        let expire = async {
            let Some(held) = self.find_reservation(&due.id()?).await? else { return Ok(()) };
            let lines = &held.lines;
            if shortages.iter().all(|short| lines.iter().all(|line| line.sku != short.sku)) {
                return Ok(());
            }
            match self.expire(&held.id, &held.cause).await {
                // It was committed meanwhile.
                Err(ReservationError::Store(error)) => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        let expired = expire.await;
        if let Err(error) = &expired {
            let reason = error.source().map(ToString::to_string);
            tracing::warn!(item = due.key(), %error, reason, "a hold that ran out stays");
        }
        expired
    }

    /// Writes the next state of a reservation, and `assignment` for the stock of each of its lines, in one transaction,
    /// once.
    async fn change(
        &self,
        id: &OrderId,
        fact: Fact,
        cause: &Cause,
        assignment: &str,
        is_as_it_should: impl Fn(&Reservation) -> bool,
    ) -> Result<Reservation, ReservationError> {
        for attempt in 0..retry::TRIES {
            let now = Timestamp::now();
            let reservation = self.find_reservation(id).await?;
            let reservation = reservation.ok_or(ReservationError::NoReservation(*id))?;
            if !is_as_it_should(&reservation) {
                return Err(ReservationError::Changed(reservation.version));
            }
            let Some(next) = reservation.after(fact, now, cause)? else {
                return Ok(reservation);
            };
            match self.change_stock(&reservation, &next, assignment, now).await {
                Ok(()) => return Ok(next),
                Err(StoreError::Stale) => retry::back_off(attempt).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy("too many others change the same products".into()).into())
    }

    /// The reservation and the stock it needs, in one round trip.
    async fn look(
        &self,
        wanted: &Wanted,
    ) -> Result<(Option<Reservation>, HashMap<Sku, StockItem>), StoreError> {
        let reservation_key = Reservation::key(&wanted.id);
        let mut names: Vec<String> =
            wanted.lines.iter().map(|line| StockItem::key(&line.sku)).collect();
        names.push(reservation_key.clone());
        let (mut reservation, mut stock) = (None, HashMap::new());
        for item in self.table.items(names, true).await? {
            if matches!(item.get("pk"), Some(AttributeValue::S(key)) if *key == reservation_key) {
                reservation = Some(read(item, Reservation::SCHEMA)?);
            } else {
                let item: StockItem = read(item, StockItem::SCHEMA)?;
                stock.insert(item.sku.clone(), item);
            }
        }
        Ok((reservation, stock))
    }

    async fn hold(
        &self,
        wanted: &Wanted,
        taken: &[Taken<'_>],
        now: Timestamp,
    ) -> Result<Reservation, StoreError> {
        let (lines, cause) = (wanted.lines.clone(), wanted.cause.clone());
        let (id, hash) = (wanted.id, wanted.request_hash.clone());
        let held = Reservation::held(id, lines, wanted.expires_at, hash, now, cause);
        let mut actions = vec![put(self.table.put_action(&held)?)];
        for taken in taken {
            actions.push(update(self.take(taken, now)?));
        }
        self.table.transact(actions).await?;
        Ok(held)
    }

    /// The next state of a reservation, and its effect on the stock of each of its lines, in one transaction.
    async fn change_stock(
        &self,
        read: &Reservation,
        next: &Reservation,
        assignment: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut actions = vec![update(self.table.replace_action(read, next)?)];
        for line in &next.lines {
            let change = Update::builder()
                .table_name(&self.table.name)
                .key("pk", AttributeValue::S(StockItem::key(&line.sku)))
                .update_expression(format!(
                    "SET {assignment}, #version = #version + :one, updated_at = :now"
                ))
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":quantity", number(line.quantity))
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
                .build()
                .map_err(StoreError::corrupt)?;
            actions.push(update(change));
        }
        self.table.transact(actions).await
    }

    /// Takes units under the weakest condition that keeps the promises. Only the reservation that crosses the low-stock
    /// mark needs the exact version; all others only need enough units.
    fn take(&self, taken: &Taken<'_>, now: Timestamp) -> Result<Update, StoreError> {
        let Taken { item, quantity, taking } = taken;
        let mut sets = "SET available = available - :quantity, #version = #version + :one, \
                        updated_at = :now"
            .to_owned();
        let mut condition = "available >= :enough AND low_stock_threshold = :threshold \
                             AND discontinued = :no"
            .to_owned();
        let mut values = Item::from([
            (":quantity".into(), number(*quantity)),
            (":one".into(), number(1)),
            (":now".into(), AttributeValue::S(now.to_string())),
            (":threshold".into(), number(item.low_stock_threshold)),
            (":no".into(), AttributeValue::Bool(false)),
        ]);
        let mut enough = u64::from(*quantity);
        match taking {
            Taking::StaysAbove => enough += u64::from(item.low_stock_threshold) + 1,
            Taking::AlreadyLow => condition.push_str(" AND available <= :threshold"),
            Taking::Crosses(event) => {
                condition.push_str(" AND #version = :version");
                values.insert(":version".into(), number(item.version));
                sets = format!("{sets}, {}", outbox::APPEND);
                outbox_values(&StockItem::key(&item.sku), slice::from_ref(event), &mut values)?;
            }
        }
        values.insert(":enough".into(), number(enough));
        Update::builder()
            .table_name(&self.table.name)
            .key("pk", AttributeValue::S(StockItem::key(&item.sku)))
            .update_expression(sets)
            .condition_expression(condition)
            .expression_attribute_names("#version", "version")
            .set_expression_attribute_values(Some(values))
            .build()
            .map_err(StoreError::corrupt)
    }
}

const GIVE_BACK: &str = "available = available + :quantity";

struct Taken<'a> {
    item: &'a StockItem,
    quantity: u32,
    taking: Taking,
}

fn take_all<'a>(
    wanted: &Wanted,
    stock: &'a HashMap<Sku, StockItem>,
    now: Timestamp,
) -> Result<Vec<Taken<'a>>, Vec<Shortage>> {
    let (mut taken, mut shortages) = (Vec::new(), Vec::new());
    for line in &wanted.lines {
        let item = stock.get(&line.sku);
        let taking = item.and_then(|item| {
            let taking = item.taking(line.quantity, now, &wanted.cause)?;
            Some(Taken { item, quantity: line.quantity, taking })
        });
        match taking {
            Some(taking) => taken.push(taking),
            None => shortages.push(Shortage {
                sku: line.sku.clone(),
                requested: line.quantity,
                available: item.filter(|item| !item.discontinued).map_or(0, |item| item.available),
            }),
        }
    }
    if shortages.is_empty() { Ok(taken) } else { Err(shortages) }
}

fn not_sold(wanted: &Wanted, stock: &HashMap<Sku, StockItem>) -> Vec<NotSold> {
    let not_sold = wanted.lines.iter().filter_map(|line| match stock.get(&line.sku) {
        None => Some(NotSold::Unknown(line.sku.clone())),
        Some(item) if item.discontinued => Some(NotSold::Discontinued(line.sku.clone())),
        Some(_) => None,
    });
    not_sold.collect()
}

/// Whether there would be enough units if all units that others hold came back.
fn promises_are_in_the_way(shortages: &[Shortage], stock: &HashMap<Sku, StockItem>) -> bool {
    shortages.iter().all(|short| {
        let item = stock.get(&short.sku).filter(|item| !item.discontinued);
        item.is_some_and(|item| item.on_hand >= short.requested)
    })
}

fn number(n: impl ToString) -> AttributeValue {
    AttributeValue::N(n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{Canned, cancelled, error};
    use serde_json::{Value, json};

    /// Asks a DynamoDB that has one TEA, and that answers the transactions as given.
    async fn reserve(
        transactions: impl IntoIterator<Item = (u16, Value)>,
    ) -> (Result<Reservation, StoreError>, Vec<Value>) {
        reserve_of(1, 0, |look| [look].into_iter().chain(transactions)).await
    }

    /// Asks a DynamoDB that has one TEA with so many units available, and that gives these answers.
    async fn reserve_of<A: IntoIterator<Item = (u16, Value)>>(
        available: u32,
        threshold: u32,
        answers: impl FnOnce((u16, Value)) -> A,
    ) -> (Result<Reservation, StoreError>, Vec<Value>) {
        let sku: Sku = "TEA".parse().unwrap();
        let now = Timestamp::now();
        let tea = json!({
            "pk": {"S": "STOCK#TEA"}, "sku": {"S": "TEA"}, "version": {"N": "1"},
            "name": {"S": "Tea"}, "unit_price": {"N": "250"}, "currency": {"S": "EUR"},
            "on_hand": {"N": "1"}, "available": {"N": available.to_string()},
            "low_stock_threshold": {"N": threshold.to_string()},
            "discontinued": {"BOOL": false}, "created_at": {"S": now}, "updated_at": {"S": now},
        });
        let look = (200, json!({"Responses": {"table": [tea]}}));
        let dynamodb = Canned::answering(answers(look));
        let wanted = Wanted {
            id: OrderId::generate(),
            lines: vec![Line { sku, quantity: 1 }],
            expires_at: now,
            request_hash: None,
            cause: Cause::default(),
        };
        let answer = Inventory::new(dynamodb.table()).reserve(&wanted).await;
        (answer, dynamodb.requests().split_off(1))
    }

    #[tokio::test]
    async fn a_transaction_that_met_another_is_tried_again_as_the_same_one() {
        let (answer, asked) = reserve([
            (400, cancelled(&["None", "TransactionConflict"])),
            (400, error("ThrottlingException")),
            (200, json!({})),
        ])
        .await;
        assert!(answer.is_ok(), "{answer:?}");
        assert_eq!(asked.len(), 3);
        assert!(asked[0]["ClientRequestToken"].is_string());
        assert!(asked.iter().all(|request| *request == asked[0]), "{asked:#?}");
    }

    /// With no unit left, and with a due index that gives these answers first.
    async fn reserve_short(due: (u16, Value)) -> Result<Reservation, StoreError> {
        let answers = |look: (u16, Value)| {
            let due = [due].into_iter().chain(vec![(200, json!({"Items": []})); 7]);
            let then = [look.clone(), (200, json!({}))];
            [look].into_iter().chain(due).chain(then).collect::<Vec<_>>()
        };
        reserve_of(0, 0, answers).await.0
    }

    #[tokio::test]
    async fn units_are_taken_on_the_side_of_the_low_stock_mark_that_was_seen_or_not_at_all() {
        // It is low already; it becomes low.
        for (threshold, seen) in [(1, "available <= :threshold"), (0, "#version = :version")] {
            let answers = |look: (u16, Value)| [look, (200, json!({}))];
            let (answer, asked) = reserve_of(1, threshold, answers).await;
            assert!(answer.is_ok(), "{answer:?}");
            let take = &asked[0]["TransactItems"][1]["Update"]["ConditionExpression"];
            let take = take.as_str().unwrap();
            for condition in [seen, "low_stock_threshold = :threshold"] {
                assert!(take.contains(condition), "{take}");
            }
        }
    }

    #[tokio::test]
    async fn holds_that_cannot_be_looked_at_delay_a_refusal_and_do_not_decide_it() {
        let answer = reserve_short((400, error("ThrottlingException"))).await;
        assert!(matches!(answer, Err(StoreError::Busy(_))), "{answer:?}");
        let more = json!({
            "Items": [],
            "LastEvaluatedKey": {"pk": {"S": "RES#1"}, "due": {"S": "0"}, "due_at": {"S": "2026"}},
        });
        let answer = reserve_short((200, more)).await;
        assert!(matches!(answer, Err(StoreError::Busy(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn a_due_key_without_an_id_is_in_no_reservations_way() {
        let odd = json!({"Items": [{"pk": {"S": "RES#no-id"}, "due_at": {"S": "2026"}}]});
        let refused = reserve_short((200, odd)).await.unwrap();
        assert_eq!(refused.shortages.len(), 1);
    }

    #[tokio::test]
    async fn a_reservation_that_never_gets_its_turn_is_busy() {
        let conflict = (400, cancelled(&["TransactionConflict", "None"]));
        let (answer, _) = reserve(vec![conflict; retry::TRIES as usize]).await;
        assert!(matches!(answer, Err(StoreError::Busy(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn a_transaction_that_no_repetition_mends_pages_someone() {
        for told in [cancelled(&["ValidationError", "None"]), error("ValidationException")] {
            let (answer, asked) = reserve([(400, told)]).await;
            assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
            assert_eq!(asked.len(), 1, "it was tried again");
        }
    }
}
