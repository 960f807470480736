//! Units of stock promised to an order.

use std::str::FromStr;

use serde::de::value::{self, StrDeserializer};
use serde::{Deserialize, Serialize};

use crate::event::data::{
    Data, InventoryReleased, InventoryReservationFailed, InventoryReserved, Item, ShortItem,
};
use crate::event::{Cause, Event};
use crate::{IllegalMove, OrderId, Schema, Sku, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReservationState {
    /// Promised until `expires_at`.
    Held,
    /// Promised for good.
    Committed,
    /// The units have left the house.
    Shipped,
    /// Given back, or never to be taken (a tombstone).
    Released,
    Expired,
    /// There were too few units.
    Rejected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the status of a reservation, such as HELD")]
pub struct BadState;

impl FromStr for ReservationState {
    type Err = BadState;

    fn from_str(text: &str) -> Result<Self, BadState> {
        Self::deserialize(StrDeserializer::<value::Error>::new(text)).map_err(|_| BadState)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    Committed,
    Shipped,
    /// Given back by the order that it was made for.
    Released,
    /// Given back by somebody else, who must not take units that an order counts on.
    Withdrawn,
    Expired,
}

impl ReservationState {
    pub const ALL: [Self; 6] =
        [Self::Held, Self::Committed, Self::Shipped, Self::Released, Self::Expired, Self::Rejected];

    /// The state after `fact`; `None` when it was already applied, or when there is nothing to apply it to.
    pub fn after(self, fact: Fact) -> Result<Option<Self>, IllegalMove> {
        use {Fact as F, ReservationState as S};
        let next = match (self, fact) {
            (S::Held, F::Committed) => S::Committed,
            (S::Held, F::Expired) => S::Expired,
            (S::Held | S::Committed, F::Released) | (S::Held, F::Withdrawn) => S::Released,
            (S::Committed, F::Shipped) => S::Shipped,

            (S::Committed | S::Shipped, F::Committed)
            | (S::Shipped, F::Shipped)
            | (S::Released | S::Expired | S::Rejected, F::Released | F::Withdrawn | F::Expired) => {
                return Ok(None);
            }

            (S::Released | S::Expired | S::Rejected, F::Committed | F::Shipped)
            | (S::Held, F::Shipped)
            | (S::Committed, F::Withdrawn | F::Expired)
            | (S::Shipped, F::Released | F::Withdrawn | F::Expired) => {
                return Err(IllegalMove::new("a reservation", self, fact));
            }
        };
        Ok(Some(next))
    }

    /// Whether its units are taken from the available units.
    pub const fn holds_units(self) -> bool {
        matches!(self, Self::Held | Self::Committed)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub sku: Sku,
    pub quantity: u32,
}

/// A line that could not be reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    pub sku: Sku,
    pub requested: u32,
    pub available: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub id: OrderId,
    pub version: u64,
    /// The version as it was stored; a change does not lower it.
    #[serde(default)]
    pub schema: Schema,
    pub state: ReservationState,
    pub lines: Vec<Line>,
    pub shortages: Vec<Shortage>,
    /// When the hold runs out; `None` for tombstones and refused reservations.
    pub expires_at: Option<Timestamp>,
    /// The hash of the request that asked for it. A reservation that was made for an order has none, and has the
    /// order's id.
    pub request_hash: Option<String>,
    pub cause: Cause,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The event of the newest change, if others act on it. It moves to the outbox with the write.
    #[serde(skip)]
    pub raised: Option<Event>,
}

impl Reservation {
    pub fn key(id: &OrderId) -> String {
        format!("RES#{id}")
    }

    pub fn held(
        id: OrderId,
        lines: Vec<Line>,
        expires_at: Timestamp,
        request_hash: Option<String>,
        at: Timestamp,
        cause: Cause,
    ) -> Self {
        let mut new = Self::new(id, ReservationState::Held, lines, at, cause);
        new.request_hash = request_hash;
        new.expires_at = Some(expires_at);
        new.raised = Some(new.reserved(expires_at));
        new
    }

    pub fn rejected(
        id: OrderId,
        lines: Vec<Line>,
        shortages: Vec<Shortage>,
        request_hash: Option<String>,
        at: Timestamp,
        cause: Cause,
    ) -> Self {
        let mut new = Self::new(id, ReservationState::Rejected, lines, at, cause);
        new.request_hash = request_hash;
        new.shortages = shortages;
        new.raised = Some(new.failed());
        new
    }

    /// A reservation that must never be made, because its release came first.
    pub fn tombstone(id: OrderId, at: Timestamp, cause: Cause) -> Self {
        Self::new(id, ReservationState::Released, Vec::new(), at, cause)
    }

    fn new(
        id: OrderId,
        state: ReservationState,
        lines: Vec<Line>,
        at: Timestamp,
        cause: Cause,
    ) -> Self {
        Self {
            id,
            version: 1,
            schema: Schema::default(),
            state,
            lines,
            shortages: Vec::new(),
            expires_at: None,
            request_hash: None,
            cause,
            created_at: at,
            updated_at: at,
            raised: None,
        }
    }

    /// The order that it was made for.
    pub fn order_id(&self) -> Option<OrderId> {
        self.request_hash.is_none().then_some(self.id)
    }

    /// The reservation as it was when it was made, whatever has happened to it since.
    #[must_use]
    pub fn as_made(mut self) -> Self {
        if self.state != ReservationState::Rejected {
            self.state = ReservationState::Held;
        }
        self.version = 1;
        self.updated_at = self.created_at;
        self
    }

    /// When a hold that nobody commits has to be given back.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.expires_at.filter(|_| self.state == ReservationState::Held)
    }

    /// The reservation after `fact`, with the next version; `None` when the fact was applied before.
    pub fn after(
        &self,
        fact: Fact,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<Option<Self>, IllegalMove> {
        let Some(state) = self.state.after(fact)? else { return Ok(None) };
        let mut next = self.clone();
        next.version += 1;
        next.state = state;
        next.cause = cause.clone();
        next.updated_at = at;
        next.raised = match fact {
            Fact::Released | Fact::Withdrawn | Fact::Expired => Some(next.given_back()),
            // The order's own events tell these changes.
            Fact::Committed | Fact::Shipped => None,
        };
        Ok(Some(next))
    }

    /// The events that the reservation has raised, oldest first, with the same ids. All have the cause of the newest
    /// change, because no other cause is kept.
    pub fn history(&self) -> Vec<Event> {
        use ReservationState as S;
        let made = self.clone().as_made();
        let first = match (made.state, made.expires_at) {
            (S::Rejected, _) => Some(made.failed()),
            (_, Some(expires_at)) => Some(made.reserved(expires_at)),
            // A tombstone.
            (_, None) => None,
        };
        let is_over = matches!(self.state, S::Released | S::Expired) && first.is_some();
        first.into_iter().chain(is_over.then(|| self.given_back())).collect()
    }

    fn reserved(&self, expires_at: Timestamp) -> Event {
        self.event(Data::InventoryReserved(InventoryReserved {
            expires_at,
            items: self.items(),
            order_id: self.order_id(),
            reservation_id: self.id,
            state: self.state,
        }))
    }

    fn failed(&self) -> Event {
        self.event(Data::InventoryReservationFailed(InventoryReservationFailed {
            items: self.items(),
            order_id: self.order_id(),
            reservation_id: self.id,
            shortages: self.shortages.iter().map(ShortItem::from).collect(),
            state: self.state,
        }))
    }

    fn given_back(&self) -> Event {
        self.event(Data::InventoryReleased(InventoryReleased {
            items: self.items(),
            order_id: self.order_id(),
            reservation_id: self.id,
            state: self.state,
        }))
    }

    fn items(&self) -> Vec<Item> {
        let item = |line: &Line| Item { product_id: line.sku.clone(), quantity: line.quantity };
        self.lines.iter().map(item).collect()
    }

    fn event(&self, data: Data) -> Event {
        let (key, subject) = (Self::key(&self.id), self.id.to_string());
        Event::raised(&key, subject, self.version, self.updated_at, &self.cause, data)
    }
}

impl From<&Shortage> for ShortItem {
    fn from(short: &Shortage) -> Self {
        Self {
            available: short.available,
            product_id: short.sku.clone(),
            requested: short.requested,
        }
    }
}

impl From<&ShortItem> for Shortage {
    fn from(short: &ShortItem) -> Self {
        Self {
            sku: short.product_id.clone(),
            requested: short.requested,
            available: short.available,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = Fact> {
        use Fact::{Committed, Expired, Released, Shipped, Withdrawn};
        prop::sample::select(vec![Committed, Shipped, Released, Withdrawn, Expired])
    }

    proptest! {
        #[test]
        fn units_come_back_at_most_once_and_never_after_they_left(
            facts in prop::collection::vec(facts(), 0..30)
        ) {
            let (mut state, mut given_back, mut shipped) = (ReservationState::Held, 0, 0);
            for fact in facts {
                let Ok(Some(next)) = state.after(fact) else { continue };
                shipped += u32::from(next == ReservationState::Shipped);
                given_back += u32::from(
                    state.holds_units() && !next.holds_units() && next != ReservationState::Shipped,
                );
                prop_assert!(given_back + shipped <= 1, "units left twice");
                prop_assert_eq!(next.holds_units(), given_back + shipped == 0);
                prop_assert_eq!(next.after(fact), Ok(None), "{:?} was applied twice", fact);
                state = next;
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_a_reservation_has_told_it_can_tell_again(
            facts in prop::collection::vec(facts(), 0..10), refused in any::<bool>()
        ) {
            let (at, cause) = (Timestamp::from_millis, Cause::default());
            let id = OrderId::generate();
            let mut reservation = if refused {
                Reservation::rejected(id, Vec::new(), Vec::new(), None, at(0), cause.clone())
            } else {
                Reservation::held(id, Vec::new(), at(9), None, at(0), cause.clone())
            };
            let mut told = Vec::from_iter(reservation.raised.clone());
            for (fact, millis) in facts.into_iter().zip(1..) {
                if let Ok(Some(next)) = reservation.after(fact, at(millis), &cause) {
                    told.extend(next.raised.clone());
                    reservation = next;
                }
            }
            prop_assert_eq!(reservation.history(), told);
            prop_assert_eq!(Reservation::tombstone(id, at(0), cause).history(), []);
        }
    }

    #[test]
    fn every_state_is_read_back_from_its_name() {
        for state in ReservationState::ALL {
            let name = serde_json::to_value(state).unwrap();
            assert_eq!(name.as_str().unwrap().parse(), Ok(state));
        }
        assert_eq!("held".parse::<ReservationState>(), Err(BadState));
    }

    #[test]
    fn what_was_released_or_refused_cannot_be_committed() {
        for state in
            [ReservationState::Released, ReservationState::Expired, ReservationState::Rejected]
        {
            assert!(state.after(Fact::Committed).is_err());
        }
    }

    #[test]
    fn a_hold_is_due_when_it_runs_out_and_only_while_it_is_held() {
        let (now, then) = (Timestamp::from_millis(0), Timestamp::from_millis(9));
        let held =
            Reservation::held(OrderId::generate(), Vec::new(), then, None, now, Cause::default());
        assert_eq!(held.due_at(), Some(then));
        for fact in [Fact::Committed, Fact::Released, Fact::Expired] {
            let next = held.after(fact, now, &Cause::default()).unwrap().unwrap();
            assert_eq!(next.due_at(), None, "{fact:?}");
        }
    }

    #[test]
    fn a_committed_reservation_neither_expires_nor_is_withdrawn() {
        assert!(ReservationState::Committed.after(Fact::Expired).is_err());
        assert!(ReservationState::Committed.after(Fact::Withdrawn).is_err());
    }
}
