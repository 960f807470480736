//! A payment for an order: what we asked the provider for, and what it did.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::data::{Data, ProviderAnswer};
use crate::event::{Cause, Event};
use crate::money::{Amount, Currency};
use crate::{IllegalMove, OrderId, Schema, Timestamp};

/// How long the saga has to refund before the recovery does.
pub const REFUND_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentState {
    /// The intent is stored; what the provider made of it is not known yet.
    Charging,
    /// The provider answers later, through the webhook.
    Awaiting,
    Paid,
    Declined,
    /// Not wanted any more. Money that arrives after all is refunded.
    Voided,
    /// The provider has money that has to go back.
    Refunding,
    Refunded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    ProviderPending,
    ProviderPaid,
    ProviderDeclined,
    VoidRequested,
    ProviderRefunded,
}

impl PaymentState {
    pub const ALL: [Self; 7] = [
        Self::Charging,
        Self::Awaiting,
        Self::Paid,
        Self::Declined,
        Self::Voided,
        Self::Refunding,
        Self::Refunded,
    ];

    /// The state after `fact`; `None` when it was already applied.
    pub fn after(self, fact: Fact) -> Result<Option<Self>, IllegalMove> {
        use {Fact as F, PaymentState as S};
        let next = match (self, fact) {
            (S::Charging, F::ProviderPending) => S::Awaiting,
            (S::Charging | S::Awaiting, F::ProviderPaid) => S::Paid,
            (S::Charging | S::Awaiting, F::ProviderDeclined) => S::Declined,
            (S::Charging | S::Awaiting, F::VoidRequested) => S::Voided,
            (S::Paid, F::VoidRequested) => S::Refunding,
            // Money nobody asked for any more: late, or after the provider itself had declined.
            (S::Voided | S::Declined, F::ProviderPaid) => S::Refunding,
            (S::Refunding, F::ProviderRefunded) => S::Refunded,

            (
                S::Awaiting | S::Paid | S::Declined | S::Voided | S::Refunding | S::Refunded,
                F::ProviderPending,
            )
            | (S::Paid | S::Refunding | S::Refunded, F::ProviderPaid)
            | (S::Declined | S::Voided, F::ProviderDeclined)
            | (S::Declined | S::Voided | S::Refunding | S::Refunded, F::VoidRequested)
            | (S::Refunded, F::ProviderRefunded) => return Ok(None),

            // The provider contradicts itself, or refunds what it was not told to.
            (S::Paid | S::Refunding | S::Refunded, F::ProviderDeclined)
            | (
                S::Charging | S::Awaiting | S::Paid | S::Declined | S::Voided,
                F::ProviderRefunded,
            ) => return Err(IllegalMove::new("a payment", self, fact)),
        };
        Ok(Some(next))
    }
}

/// What the provider is asked for. Stored before it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Minor units.
    pub amount: i64,
    pub currency: Currency,
    pub method: String,
    /// After this the money is not wanted any more.
    pub wanted_until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub id: OrderId,
    pub version: u64,
    /// As it was stored; a change does not lower it.
    #[serde(default)]
    pub schema: Schema,
    pub state: PaymentState,
    /// `None`: it was voided before it was ever asked for (a tombstone).
    pub intent: Option<Intent>,
    pub cause: Cause,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The event of the newest change, if it is one that others act on. Leaves with the write.
    #[serde(skip)]
    pub raised: Option<Event>,
}

impl Payment {
    pub fn key(id: &OrderId) -> String {
        format!("PAY#{id}")
    }

    pub fn intended(id: OrderId, intent: Intent, at: Timestamp, cause: Cause) -> Self {
        Self::new(id, PaymentState::Charging, Some(intent), at, cause)
    }

    /// A payment that must never be asked for.
    pub fn tombstone(id: OrderId, at: Timestamp, cause: Cause) -> Self {
        Self::new(id, PaymentState::Voided, None, at, cause)
    }

    fn new(
        id: OrderId,
        state: PaymentState,
        intent: Option<Intent>,
        at: Timestamp,
        cause: Cause,
    ) -> Self {
        Self {
            id,
            version: 1,
            schema: Schema::default(),
            state,
            intent,
            cause,
            created_at: at,
            updated_at: at,
            raised: None,
        }
    }

    /// The payment after `fact`, one version on; `None` when the fact was applied before.
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
        next.updated_at = at;
        next.raised = next.event(self.state, fact, cause);
        Ok(Some(next))
    }

    /// When somebody has to look at it if nothing happens before: money that has to go back must not stay.
    pub fn due_at(&self) -> Option<Timestamp> {
        (self.state == PaymentState::Refunding).then(|| self.updated_at.plus(REFUND_WITHIN))
    }

    /// Intents and tombstones are ours alone: nobody else can act on them, so they raise nothing.
    fn event(&self, previous: PaymentState, fact: Fact, cause: &Cause) -> Option<Event> {
        let intent = self.intent.as_ref();
        let answer = ProviderAnswer {
            amount: intent.map(|intent| Amount::of(intent.amount, intent.currency)),
            currency: intent.map(|intent| intent.currency),
            order_id: self.id,
            previous_state: previous,
            state: self.state,
        };
        let data = match fact {
            Fact::ProviderPaid => Data::PaymentProcessed(answer),
            Fact::ProviderDeclined => Data::PaymentFailed(answer),
            Fact::ProviderRefunded => Data::PaymentRefunded(answer),
            Fact::ProviderPending | Fact::VoidRequested => return None,
        };
        let (key, subject) = (Self::key(&self.id), self.id.to_string());
        Some(Event::raised(&key, subject, self.version, self.updated_at, cause, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = Fact> {
        prop::sample::select(vec![
            Fact::ProviderPending,
            Fact::ProviderPaid,
            Fact::ProviderDeclined,
            Fact::VoidRequested,
            Fact::ProviderRefunded,
        ])
    }

    fn intended() -> Payment {
        let intent = Intent {
            amount: 750,
            currency: Currency::from_code("EUR").unwrap(),
            method: "tok_ok".into(),
            wanted_until: Timestamp::from_millis(900_000),
        };
        Payment::intended(OrderId::generate(), intent, Timestamp::from_millis(0), Cause::default())
    }

    proptest! {
        #[test]
        fn no_sequence_of_facts_keeps_unwanted_money(facts in prop::collection::vec(facts(), 0..30)) {
            let mut payment = intended();
            let (mut void, mut paid) = (false, false);
            for fact in facts {
                let Ok(applied) = payment.after(fact, Timestamp::from_millis(1), &Cause::default()) else { continue };
                void |= fact == Fact::VoidRequested;
                paid |= fact == Fact::ProviderPaid;
                if let Some(next) = applied {
                    prop_assert_eq!(next.version, payment.version + 1);
                    payment = next;
                }
                use PaymentState as S;
                prop_assert!(!(void && matches!(payment.state, S::Charging | S::Awaiting | S::Paid)));
                prop_assert!(!(void && paid) || matches!(payment.state, S::Refunding | S::Refunded));
                prop_assert!(paid || !matches!(payment.state, S::Paid | S::Refunding | S::Refunded));
            }
        }

        #[test]
        fn a_repeated_fact_changes_nothing(facts in prop::collection::vec(facts(), 0..30)) {
            let mut state = PaymentState::Charging;
            for fact in facts {
                let Ok(Some(next)) = state.after(fact) else { continue };
                prop_assert_eq!(next.after(fact), Ok(None));
                state = next;
            }
        }
    }

    #[test]
    fn money_that_arrives_for_a_tombstone_goes_back_and_says_so() {
        let tombstone =
            Payment::tombstone(OrderId::generate(), Timestamp::from_millis(0), Cause::default());
        let at = Timestamp::from_millis(1);
        let late = tombstone.after(Fact::ProviderPaid, at, &Cause::default()).unwrap().unwrap();
        assert_eq!(late.state, PaymentState::Refunding);
        assert_eq!(late.raised.unwrap().kind, EventType::PaymentProcessed);
    }

    #[test]
    fn events_say_nothing_of_the_payment_method() {
        let at = Timestamp::from_millis(1);
        let paid = intended().after(Fact::ProviderPaid, at, &Cause::default()).unwrap().unwrap();
        assert!(!serde_json::to_string(&paid.raised).unwrap().contains("tok_ok"));
    }
}
