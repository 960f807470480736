//! An order, its one transition table, and the event that each change raises.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::data::{Data, OrderCreated, OrderStatusUpdated, PricedItem};
use crate::event::{Cause, Event};
use crate::money::{Amount, BadMoney, Currency, Money};
use crate::saga::Run;
use crate::{CustomerId, IllegalMove, OrderId, Schema, Sku, Timestamp};

/// How long an order may be on its way (PENDING, CANCELLING) before the recovery runs its saga again.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A step may say `Broken`: a person must look at the order. After the payment deadline, the recovery tries for this
/// long to help such an order before it gives the order up.
pub const FAILS_AFTER: Duration = Duration::from_secs(3600);

/// The most lines that an order may have after merging by product: each line is an item of one DynamoDB transaction.
pub const MAX_LINES: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// Placed; its saga is reserving and charging.
    Pending,
    /// The provider answers later; the payment deadline is running.
    AwaitingPayment,
    Confirmed,
    Processing,
    Shipped,
    Delivered,
    /// Its stock and its money are on their way back. A semantic lock: nothing can confirm it any more.
    Cancelling,
    Cancelled,
    Rejected,
    Expired,
}

/// Why an order left the happy path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    CancelledByCustomer,
    OutOfStock,
    PaymentDeclined,
    /// The hold on its stock ran out before the payment was there.
    ReservationExpired,
    PaymentDeadline,
    /// A saga step failed in a way that trying again does not mend.
    Failure,
}

impl Reason {
    pub const ALL: [Self; 6] = [
        Self::CancelledByCustomer,
        Self::OutOfStock,
        Self::PaymentDeclined,
        Self::ReservationExpired,
        Self::PaymentDeadline,
        Self::Failure,
    ];

    /// The final status of an order that was given up for this reason.
    pub const fn ends_in(self) -> OrderStatus {
        match self {
            Self::CancelledByCustomer => OrderStatus::Cancelled,
            Self::PaymentDeadline => OrderStatus::Expired,
            Self::OutOfStock | Self::PaymentDeclined | Self::ReservationExpired | Self::Failure => {
                OrderStatus::Rejected
            }
        }
    }
}

/// What can happen to an order after it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    PaymentAwaited,
    Confirmed,
    CancelRequested,
    /// The saga cannot go forward.
    Abandoned(Reason),
    /// Nothing is held and nothing is owed any more.
    Compensated(Reason),
    ProcessingStarted,
    Shipped,
    Delivered,
}

/// The direction in which the saga of the order has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Direction {
    /// Reserve, charge, commit, confirm.
    Forward,
    /// Refund, release, close.
    Back,
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name on the wire, from the only place that defines it.
        self.serialize(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the status of an order, such as CONFIRMED")]
pub struct BadStatus;

impl FromStr for OrderStatus {
    type Err = BadStatus;

    fn from_str(text: &str) -> Result<Self, BadStatus> {
        Self::ALL.into_iter().find(|status| status.to_string() == text).ok_or(BadStatus)
    }
}

impl OrderStatus {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::AwaitingPayment,
        Self::Confirmed,
        Self::Processing,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelling,
        Self::Cancelled,
        Self::Rejected,
        Self::Expired,
    ];

    /// The status after `fact`; `None` when it was already applied, as a redelivery is.
    pub fn after(self, fact: Fact) -> Result<Option<Self>, IllegalMove> {
        use {Fact as F, OrderStatus as S};
        let next = match (self, fact) {
            (S::Pending, F::PaymentAwaited) => S::AwaitingPayment,
            (S::Pending | S::AwaitingPayment, F::Confirmed) => S::Confirmed,
            (S::Pending | S::AwaitingPayment, F::Abandoned(_))
            | (
                S::Pending | S::AwaitingPayment | S::Confirmed | S::Processing,
                F::CancelRequested,
            ) => S::Cancelling,
            (S::Cancelling, F::Compensated(reason)) => reason.ends_in(),
            (S::Confirmed, F::ProcessingStarted) => S::Processing,
            (S::Processing, F::Shipped) => S::Shipped,
            (S::Shipped, F::Delivered) => S::Delivered,

            // Applied before, or a later fact has overtaken it.
            (
                S::AwaitingPayment | S::Confirmed | S::Processing | S::Shipped | S::Delivered,
                F::PaymentAwaited,
            )
            | (S::Confirmed | S::Processing | S::Shipped | S::Delivered, F::Confirmed)
            | (S::Processing | S::Shipped | S::Delivered, F::ProcessingStarted)
            | (S::Shipped | S::Delivered, F::Shipped)
            | (S::Delivered, F::Delivered)
            | (
                S::Cancelling | S::Cancelled | S::Rejected | S::Expired,
                F::CancelRequested | F::Abandoned(_),
            )
            | (S::Cancelled | S::Rejected | S::Expired, F::Compensated(_)) => return Ok(None),

            // An order that was given up cannot go on.
            (
                S::Cancelling | S::Cancelled | S::Rejected | S::Expired,
                F::PaymentAwaited
                | F::Confirmed
                | F::ProcessingStarted
                | F::Shipped
                | F::Delivered,
            )
            // An order that is paid can be cancelled, but not be abandoned.
            | (
                S::Confirmed | S::Processing | S::Shipped | S::Delivered,
                F::Abandoned(_),
            )
            | (S::Shipped | S::Delivered, F::CancelRequested)
            // Only an order that was given up can be compensated.
            | (
                S::Pending
                | S::AwaitingPayment
                | S::Confirmed
                | S::Processing
                | S::Shipped
                | S::Delivered,
                F::Compensated(_),
            )
            // No stage is skipped.
            | (S::Pending | S::AwaitingPayment, F::ProcessingStarted | F::Shipped | F::Delivered)
            | (S::Confirmed, F::Shipped | F::Delivered)
            | (S::Processing, F::Delivered) => return Err(IllegalMove::new("an order", self, fact)),
        };
        Ok(Some(next))
    }

    /// Whether `fact` would change something now.
    pub fn allows(self, fact: Fact) -> bool {
        matches!(self.after(fact), Ok(Some(_)))
    }

    /// `None`: the order rests where it is; nobody has to do anything for it now.
    pub const fn direction(self) -> Option<Direction> {
        match self {
            Self::Pending | Self::AwaitingPayment => Some(Direction::Forward),
            // An order that has ended goes back too: its payment may have been answered after the end.
            Self::Cancelling | Self::Cancelled | Self::Rejected | Self::Expired => {
                Some(Direction::Back)
            }
            Self::Confirmed | Self::Processing | Self::Shipped | Self::Delivered => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub sku: Sku,
    pub name: String,
    pub quantity: u32,
    /// Minor units of the order's currency.
    pub unit_price: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub street_address: String,
    pub city: String,
    pub state: Option<String>,
    pub postal_code: String,
    pub country: String,
    pub phone_number: Option<String>,
}

/// One thing that happened to an order. Together with the order, it is enough to rebuild the event byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub version: u64,
    pub at: Timestamp,
    pub status: OrderStatus,
    pub reason: Option<Reason>,
    pub cause: Cause,
    /// `None` in entries that are older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

/// Who did something to an order. The timeline says so, and no event does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub role: ActorRole,
    /// The subject of the caller's token; `None` for the saga.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<CustomerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorRole {
    Customer,
    Operator,
    Service,
    Saga,
}

impl Actor {
    pub const SAGA: Self = Self { role: ActorRole::Saga, subject: None };
}

/// The author of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    Caller(Actor),
    /// A run whose newest step makes the change; `None` when the state machine's definition does not tell of its run.
    Saga(Option<Run>),
}

/// The order that a customer asks for; the prices come from the catalogue.
#[derive(Clone, Debug)]
pub struct NewOrder {
    pub id: OrderId,
    pub customer_id: CustomerId,
    pub lines: Vec<Line>,
    pub currency: Currency,
    pub address: Address,
    pub delivery_instructions: Option<String>,
    pub payment_method: String,
    /// Tells a repeated request from another one under the same idempotency key.
    pub request_hash: String,
    pub payment_window: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: OrderId,
    pub version: u64,
    /// The version as it was stored; a change does not lower it.
    #[serde(default)]
    pub schema: Schema,
    pub customer_id: CustomerId,
    pub status: OrderStatus,
    pub reason: Option<Reason>,
    pub lines: Vec<Line>,
    /// Minor units.
    pub total: i64,
    pub currency: Currency,
    pub address: Address,
    pub delivery_instructions: Option<String>,
    pub payment_method: String,
    pub payment_deadline: Timestamp,
    pub request_hash: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub timeline: Vec<TimelineEntry>,
    /// The runs of its saga that changed it, the newest change last: three at most, because the saga has
    /// no more than three changes to make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
}

impl Order {
    pub fn place(new: NewOrder, at: Timestamp, cause: Cause) -> Result<Self, BadMoney> {
        let mut total = Money::zero(new.currency);
        for line in &new.lines {
            let unit = Money::from_minor(line.unit_price, new.currency)?;
            total = total.plus(unit.times(line.quantity)?)?;
        }
        let status = OrderStatus::Pending;
        Ok(Self {
            id: new.id,
            version: 1,
            schema: Schema::default(),
            customer_id: new.customer_id,
            status,
            reason: None,
            lines: new.lines,
            total: total.minor(),
            currency: new.currency,
            address: new.address,
            delivery_instructions: new.delivery_instructions,
            payment_method: new.payment_method,
            payment_deadline: at.plus(new.payment_window),
            request_hash: new.request_hash,
            created_at: at,
            updated_at: at,
            timeline: vec![TimelineEntry {
                version: 1,
                at,
                status,
                reason: None,
                cause,
                actor: None,
            }],
            runs: Vec::new(),
        })
    }

    pub fn key(id: &OrderId) -> String {
        format!("ORDER#{id}")
    }

    /// Whether a payment that has not come yet would come too late.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.payment_deadline <= now
    }

    /// Whether the order may be given up when a step fails in a way that trying again does not mend.
    pub fn may_fail(&self, now: Timestamp) -> bool {
        self.payment_deadline.plus(FAILS_AFTER) <= now
    }

    /// The order as it was when it was placed, as the first answer showed it.
    #[must_use]
    pub fn as_placed(mut self) -> Self {
        self.version = 1;
        self.status = OrderStatus::Pending;
        self.reason = None;
        self.updated_at = self.created_at;
        self.timeline.truncate(1);
        self.runs.clear();
        self
    }

    /// The order as it was at `version`, with its timeline up to then and without the runs of its saga; `None` when it
    /// never had this version.
    pub fn as_of(&self, version: u64) -> Option<Self> {
        let newest = self.timeline.iter().position(|entry| entry.version == version)?;
        let mut then = self.clone();
        then.timeline.truncate(newest + 1);
        let entry = then.timeline.last()?;
        (then.version, then.status) = (version, entry.status);
        (then.reason, then.updated_at) = (entry.reason, entry.at);
        then.runs.clear();
        Some(then)
    }

    /// The order as it was after `actor` applied `fact` to `version`; `None` when another change followed `version`.
    pub fn as_made_of(&self, version: u64, fact: Fact, actor: &Actor) -> Option<Self> {
        let (before, then) = (self.as_of(version)?, self.as_of(version.checked_add(1)?)?);
        let entry = then.timeline.last()?;
        let becomes = before.after(fact, entry.at, &entry.cause).ok().flatten()?;
        let same = (becomes.status, becomes.reason) == (then.status, then.reason);
        (same && entry.actor.as_ref() == Some(actor)).then_some(then)
    }

    /// The order, with `author` as the author of its newest change.
    #[must_use]
    pub fn by(mut self, author: Author) -> Self {
        let actor = match author {
            Author::Caller(actor) => actor,
            Author::Saga(run) => {
                if let Some(run) = run {
                    self.runs.retain(|known| known.instance != run.instance);
                    self.runs.push(run.having_changed_it(self.updated_at));
                }
                Actor::SAGA
            }
        };
        if let Some(newest) = self.timeline.last_mut() {
            newest.actor = Some(actor);
        }
        self
    }

    /// The order after `fact`, with the next version; `None` when the fact was applied before.
    pub fn after(
        &self,
        fact: Fact,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<Option<Self>, IllegalMove> {
        let Some(status) = self.status.after(fact)? else { return Ok(None) };
        let mut next = self.clone();
        next.version += 1;
        next.status = status;
        next.reason = match fact {
            Fact::CancelRequested => Some(Reason::CancelledByCustomer),
            Fact::Abandoned(reason) => Some(reason),
            _ => self.reason,
        };
        next.updated_at = at;
        next.timeline.push(TimelineEntry {
            version: next.version,
            at,
            status,
            reason: next.reason,
            cause: cause.clone(),
            actor: None,
        });
        Ok(Some(next))
    }

    /// When the recovery has to look at the order, if nothing happens before that; `None` when the order is at rest.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.status {
            OrderStatus::Pending => {
                Some(self.updated_at.plus(STUCK_AFTER).min(self.payment_deadline))
            }
            OrderStatus::AwaitingPayment => Some(self.payment_deadline),
            OrderStatus::Cancelling => Some(self.updated_at.plus(STUCK_AFTER)),
            _ => None,
        }
    }

    /// The event of the newest change.
    pub fn event(&self) -> Option<Event> {
        self.event_at(self.timeline.len().checked_sub(1)?)
    }

    /// The event of any change, rebuilt from the timeline. Says nothing of address, phone or payment method.
    pub fn event_at(&self, index: usize) -> Option<Event> {
        let entry = self.timeline.get(index)?;
        let data = match index.checked_sub(1).and_then(|before| self.timeline.get(before)) {
            None => Data::OrderCreated(OrderCreated {
                currency: self.currency,
                customer_id: self.customer_id.clone(),
                items: self.lines.iter().map(|line| line.priced(self.currency)).collect(),
                order_id: self.id,
                status: entry.status,
                total_amount: Amount::of(self.total, self.currency),
            }),
            Some(before) => Data::OrderStatusUpdated(OrderStatusUpdated {
                customer_id: self.customer_id.clone(),
                order_id: self.id,
                previous_status: before.status,
                reason: entry.reason,
                status: entry.status,
            }),
        };
        let (key, subject) = (Self::key(&self.id), self.id.to_string());
        Some(Event::raised(&key, subject, entry.version, entry.at, &entry.cause, data))
    }
}

impl Line {
    fn priced(&self, currency: Currency) -> PricedItem {
        PricedItem {
            product_id: self.sku.clone(),
            quantity: self.quantity,
            unit_price: Amount::of(self.unit_price, currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use crate::saga::{SUCCEEDED, Step};
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = Fact> {
        let reason = || prop::sample::select(Reason::ALL.to_vec());
        prop_oneof![
            Just(Fact::PaymentAwaited),
            Just(Fact::Confirmed),
            Just(Fact::CancelRequested),
            reason().prop_map(Fact::Abandoned),
            reason().prop_map(Fact::Compensated),
            Just(Fact::ProcessingStarted),
            Just(Fact::Shipped),
            Just(Fact::Delivered),
        ]
    }

    fn placed() -> Order {
        Order::place(examples::order(), Timestamp::from_millis(0), Cause::default()).unwrap()
    }

    fn alice() -> Actor {
        Actor { role: ActorRole::Customer, subject: Some("alice".parse().unwrap()) }
    }

    /// A run that has come as far as its first step.
    fn ran(instance: &str) -> Run {
        let at = Timestamp::from_millis(50_000);
        let step = Step {
            name: "ConfirmOrder".into(),
            outcome: SUCCEEDED.into(),
            attempts: 1,
            started_at: at,
            ended_at: at,
        };
        let instance = instance.into();
        Run { instance, direction: Direction::Forward, started_at: at, steps: vec![step] }
    }

    fn paid_for(status: OrderStatus) -> bool {
        use OrderStatus as S;
        matches!(status, S::Confirmed | S::Processing | S::Shipped | S::Delivered)
    }

    #[test]
    fn who_made_a_change_of_a_version_is_shown_what_was_made_of_it_and_nobody_else_is() {
        let (bob, at) =
            (Actor { subject: Some("bob".parse().unwrap()), ..alice() }, Timestamp::now());
        let step = |order: &Order, fact, actor: Actor| {
            let next = order.after(fact, at, &Cause::default()).unwrap().unwrap();
            next.by(Author::Caller(actor))
        };
        let placed = placed();
        let confirmed = step(&placed, Fact::Confirmed, Actor::SAGA);
        let cancelling = step(&confirmed, Fact::CancelRequested, alice());
        let ended = step(&cancelling, Fact::Compensated(Reason::CancelledByCustomer), Actor::SAGA);
        let made = ended.as_made_of(2, Fact::CancelRequested, &alice());
        assert_eq!(made, Some(cancelling));
        assert_eq!(ended.as_made_of(2, Fact::CancelRequested, &bob), None);
        assert_eq!(ended.as_made_of(2, Fact::Shipped, &alice()), None);
        assert_eq!(ended.as_made_of(2, Fact::Abandoned(Reason::Failure), &alice()), None);
        for other in [0, 1, 3, 4, 99, u64::MAX] {
            assert_eq!(ended.as_made_of(other, Fact::CancelRequested, &alice()), None, "{other}");
        }
        assert_eq!(ended.as_of(1), Some(placed));
    }

    proptest! {
        #[test]
        fn no_sequence_of_facts_breaks_an_order(facts in prop::collection::vec(facts(), 0..40)) {
            let mut order = placed();
            let mut given_up = false;
            for (minute, fact) in facts.into_iter().enumerate() {
                let at = Timestamp::from_millis(minute as i64 * 60_000);
                let Ok(Some(next)) = order.after(fact, at, &Cause::default()) else { continue };
                prop_assert!(!(given_up && paid_for(next.status)), "{order:?} came back to life");
                given_up |= next.status == OrderStatus::Cancelling;
                prop_assert_eq!(given_up, next.reason.is_some());
                prop_assert_eq!(next.version, order.version + 1);
                prop_assert_eq!(next.timeline.len() as u64, next.version, "a version without an event");
                prop_assert_eq!(next.event().unwrap().sequence, next.version);
                prop_assert_eq!(next.total, order.total);
                order = next;
            }
            for index in 0..order.timeline.len() {
                prop_assert_eq!(order.event_at(index).unwrap().sequence, index as u64 + 1);
            }
        }

        #[test]
        fn whoever_changes_an_order_its_events_are_the_same_and_it_keeps_three_runs_at_most(
            changes in prop::collection::vec((facts(), 0..20_u8), 0..40)
        ) {
            let (mut signed, mut plain) = (placed().by(Author::Caller(alice())), placed());
            signed.id = plain.id;
            for (fact, run) in changes {
                let at = Timestamp::from_millis(60_000);
                let Ok(Some(next)) = plain.after(fact, at, &Cause::default()) else { continue };
                plain = next;
                signed = signed.after(fact, at, &Cause::default()).unwrap().unwrap().by(match fact {
                    Fact::PaymentAwaited | Fact::Confirmed | Fact::Abandoned(_) | Fact::Compensated(_) => {
                        Author::Saga(Some(ran(&run.to_string())))
                    }
                    _ => Author::Caller(alice()),
                });
                prop_assert!(signed.runs.len() <= 3, "{:?}", signed.runs);
            }
            prop_assert!(signed.timeline.iter().all(|entry| entry.actor.is_some()));
            for index in 0..plain.timeline.len() {
                let json = |order: &Order| serde_json::to_string(&order.event_at(index)).unwrap();
                prop_assert_eq!(json(&signed), json(&plain));
            }
        }

        #[test]
        fn a_repeated_fact_changes_nothing(facts in prop::collection::vec(facts(), 0..40)) {
            let mut order = placed();
            for fact in facts {
                let at = Timestamp::from_millis(1);
                let Ok(Some(next)) = order.after(fact, at, &Cause::default()) else { continue };
                prop_assert_eq!(next.after(fact, at, &Cause::default()), Ok(None), "{:?}", fact);
                order = next;
            }
        }

        #[test]
        fn an_order_on_its_way_always_has_a_deadline(facts in prop::collection::vec(facts(), 0..40)) {
            let mut order = placed();
            for fact in facts {
                if let Ok(Some(next)) = order.after(fact, Timestamp::from_millis(1), &Cause::default()) {
                    order = next;
                }
                use OrderStatus as S;
                let on_its_way = matches!(order.status, S::Pending | S::AwaitingPayment | S::Cancelling);
                prop_assert_eq!(on_its_way, order.due_at().is_some());
            }
        }
    }

    #[test]
    fn a_run_that_changes_an_order_again_is_told_once_as_it_is_then() {
        let at = Timestamp::from_millis;
        let (first, second) = (ran("1"), ran("2"));
        let (abandon, close) =
            (Fact::Abandoned(Reason::OutOfStock), Fact::Compensated(Reason::OutOfStock));
        let after = |order: Order, fact, millis, run: &Run| {
            let next = order.after(fact, at(millis), &Cause::default()).unwrap().unwrap();
            next.by(Author::Saga(Some(run.clone())))
        };
        let told = |order: &Order| -> Vec<_> {
            let ends = |run: &Run| run.steps.iter().map(|step| step.ended_at.millis()).collect();
            order.runs.iter().map(|run| (run.instance.clone(), ends(run))).collect()
        };
        let waits = after(placed(), Fact::PaymentAwaited, 60_000, &first);
        let given_up = after(waits, abandon, 61_000, &second);
        assert_eq!(told(&given_up), [("1".into(), vec![60_000]), ("2".into(), vec![61_000])]);
        let mut longer = first;
        longer.steps.push(longer.steps[0].clone());
        let closed = after(given_up, close, 40_000, &longer);
        let expected = [("2".into(), vec![61_000]), ("1".into(), vec![50_000, 50_000])];
        assert_eq!(told(&closed), expected, "a clock that is behind ends no step before its start");
        assert_eq!(closed.as_placed().runs, []);
    }

    #[test]
    fn every_reason_to_give_up_has_an_end_that_stays() {
        for reason in Reason::ALL {
            let end = OrderStatus::Cancelling.after(Fact::Compensated(reason)).unwrap().unwrap();
            assert_eq!(end, reason.ends_in());
            assert!(end.after(Fact::Confirmed).is_err());
        }
    }

    #[test]
    fn events_say_nothing_of_address_phone_or_payment_method() {
        let order = placed();
        let text = serde_json::to_string(&order.event().unwrap()).unwrap();
        for private in ["Quay", "Cork", "353123456", "tok_ok", "ring twice"] {
            assert!(!text.contains(private), "{private} is in {text}");
        }
    }

    #[test]
    fn every_status_is_read_back_from_its_name() {
        for status in OrderStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        assert_eq!("confirmed".parse::<OrderStatus>(), Err(BadStatus));
    }

    #[test]
    fn the_total_is_the_sum_of_the_lines() {
        assert_eq!(placed().total, 750);
    }
}
