//! What inventory and payments told about an order, as far as its timeline shows it. No decision depends on it.

use serde::{Deserialize, Serialize};

use crate::event::data::ProviderAnswer;
use crate::event::{Data, Event, EventType};
use crate::money::{Amount, Currency};
use crate::payment::PaymentState;
use crate::reservation::{ReservationState, Shortage};
use crate::{OrderId, Timestamp};

/// What one event told. An order has four at most: its reservation is refused or given back once, and its payment is
/// declined, paid after all, and refunded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub kind: EventType,
    pub at: Timestamp,
    pub correlation_id: String,
    pub of: Of,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    Reservation {
        state: ReservationState,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortages: Vec<Shortage>,
    },
    Payment {
        previous_state: PaymentState,
        state: PaymentState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        currency: Option<Currency>,
    },
}

impl Outcome {
    /// What `event` told, and about which order. `None` when the event is about no order, or when a step of the saga
    /// says the same.
    pub fn told_by(event: &Event) -> Option<(OrderId, Self)> {
        let (order_id, of) = match &event.data {
            Data::InventoryReservationFailed(failed) => {
                let shortages = failed.shortages.iter().map(Shortage::from).collect();
                (failed.order_id?, Of::Reservation { state: failed.state, shortages })
            }
            Data::InventoryReleased(released) => {
                let (state, shortages) = (released.state, Vec::new());
                (released.order_id?, Of::Reservation { state, shortages })
            }
            // The run that waited for the answer tells it.
            Data::PaymentProcessed(answer) if answer.previous_state == PaymentState::Charging => {
                return None;
            }
            Data::PaymentProcessed(answer)
            | Data::PaymentFailed(answer)
            | Data::PaymentRefunded(answer) => (answer.order_id, Of::from(answer)),
            _ => return None,
        };
        let (kind, at) = (event.kind, event.time);
        let correlation_id = event.correlationid.clone();
        Some((order_id, Self { kind, at, correlation_id, of }))
    }
}

impl From<&ProviderAnswer> for Of {
    fn from(answer: &ProviderAnswer) -> Self {
        Self::Payment {
            previous_state: answer.previous_state,
            state: answer.state,
            amount: answer.amount.clone(),
            currency: answer.currency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cause;
    use crate::payment::{Fact as PaymentFact, Intent, Payment};
    use crate::reservation::{Fact as ReservationFact, Line, Reservation};
    use proptest::prelude::*;

    const AT: Timestamp = Timestamp::from_millis(7);

    fn cause() -> Cause {
        Cause { correlation_id: "c".into(), ..Cause::default() }
    }

    fn held(id: OrderId, request_hash: Option<String>) -> Reservation {
        Reservation::held(id, Vec::new(), AT, request_hash, AT, cause())
    }

    fn refused(id: OrderId, request_hash: Option<String>) -> Reservation {
        let sku: crate::Sku = "TEA".parse().unwrap();
        let lines = vec![Line { sku: sku.clone(), quantity: 3 }];
        let shortages = vec![Shortage { sku, requested: 3, available: 1 }];
        Reservation::rejected(id, lines, shortages, request_hash, AT, cause())
    }

    fn charging(id: OrderId) -> Payment {
        let intent = Intent {
            amount: 750,
            currency: Currency::from_code("EUR").unwrap(),
            method: "tok_ok".into(),
            wanted_until: AT,
        };
        Payment::intended(id, intent, AT, cause())
    }

    /// The events of a reservation from its first state through `facts`. Facts that are illegal moves are left out.
    fn of_reservation(mut reservation: Reservation, facts: &[ReservationFact]) -> Vec<Event> {
        let mut raised = Vec::from_iter(reservation.raised.take());
        for fact in facts {
            if let Ok(Some(next)) = reservation.after(*fact, AT, &cause()) {
                raised.extend(next.raised.clone());
                reservation = next;
            }
        }
        raised
    }

    fn of_payment(mut payment: Payment, facts: &[PaymentFact]) -> Vec<Event> {
        let mut raised = Vec::new();
        for fact in facts {
            if let Ok(Some(next)) = payment.after(*fact, AT, &cause()) {
                raised.extend(next.raised.clone());
                payment = next;
            }
        }
        raised
    }

    fn told(raised: &[Event]) -> Vec<(OrderId, Outcome)> {
        raised.iter().filter_map(Outcome::told_by).collect()
    }

    fn kinds(raised: &[Event]) -> Vec<&'static str> {
        told(raised).iter().map(|(_, outcome)| outcome.kind.name()).collect()
    }

    #[test]
    fn what_a_step_of_the_saga_says_is_not_told_twice() {
        use PaymentFact::{ProviderDeclined, ProviderPaid, ProviderPending, ProviderRefunded};
        let id = OrderId::generate();
        assert_eq!(kinds(&of_reservation(held(id, None), &[ReservationFact::Committed])), [""; 0]);
        for (facts, expected) in [
            (&[ProviderPaid][..], &[][..]),
            (&[ProviderPending, ProviderPaid], &["payment.processed"]),
            (&[ProviderDeclined], &["payment.failed"]),
            (&[ProviderPaid, PaymentFact::VoidRequested, ProviderRefunded], &["payment.refunded"]),
            (&[PaymentFact::VoidRequested, ProviderPaid], &["payment.processed"]),
        ] {
            assert_eq!(kinds(&of_payment(charging(id), facts)), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_missing_and_money_how_much_it_is() {
        let id = OrderId::generate();
        let tea = || Shortage { sku: "TEA".parse().unwrap(), requested: 3, available: 1 };
        let outcome = |kind, of| (id, Outcome { kind, at: AT, correlation_id: "c".into(), of });
        let of = Of::Reservation { state: ReservationState::Rejected, shortages: vec![tea()] };
        let expected = outcome(EventType::InventoryReservationFailed, of);
        assert_eq!(told(&of_reservation(refused(id, None), &[])), [expected]);

        let currency = Currency::from_code("EUR").unwrap();
        let of = Of::Payment {
            previous_state: PaymentState::Charging,
            state: PaymentState::Declined,
            amount: Some(Amount::of(750, currency)),
            currency: Some(currency),
        };
        let declined = of_payment(charging(id), &[PaymentFact::ProviderDeclined]);
        assert_eq!(told(&declined), [outcome(EventType::PaymentFailed, of)]);
    }

    #[test]
    fn units_that_were_held_without_an_order_are_told_of_none() {
        let (id, request_hash) = (OrderId::generate(), Some("h".to_owned()));
        for fact in [ReservationFact::Withdrawn, ReservationFact::Expired] {
            assert_eq!(kinds(&of_reservation(held(id, request_hash.clone()), &[fact])), [""; 0]);
            assert_eq!(kinds(&of_reservation(held(id, None), &[fact])), ["inventory.released"]);
        }
        assert_eq!(kinds(&of_reservation(refused(id, request_hash), &[])), [""; 0]);
    }

    fn reservation_facts() -> impl Strategy<Value = ReservationFact> {
        use ReservationFact::{Committed, Expired, Released, Shipped, Withdrawn};
        prop::sample::select(vec![Committed, Shipped, Released, Withdrawn, Expired])
    }

    fn payment_facts() -> impl Strategy<Value = PaymentFact> {
        use PaymentFact as F;
        prop::sample::select(vec![
            F::ProviderPending,
            F::ProviderPaid,
            F::ProviderDeclined,
            F::VoidRequested,
            F::ProviderRefunded,
        ])
    }

    proptest! {
        #[test]
        fn an_order_collects_four_outcomes_at_most_whatever_happens(
            of_units in prop::collection::vec(reservation_facts(), 0..30),
            of_money in prop::collection::vec(payment_facts(), 0..30),
        ) {
            let id = OrderId::generate();
            for reservation in [held(id, None), refused(id, None), Reservation::tombstone(id, AT, cause())] {
                for payment in [charging(id), Payment::tombstone(id, AT, cause())] {
                    let units = told(&of_reservation(reservation.clone(), &of_units)).len();
                    let money = told(&of_payment(payment, &of_money)).len();
                    prop_assert!(units + money <= 4, "{units} of units, {money} of money");
                }
            }
        }
    }
}
