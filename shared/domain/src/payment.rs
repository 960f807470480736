//! A payment for an order: what we asked the provider for, and what it did.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::data::{Data, ProviderAnswer};
use crate::event::{Cause, Event};
use crate::money::{Amount, Currency};
use crate::{IllegalMove, OrderId, Schema, Timestamp};

/// How long the saga has to refund, or to void, before the recovery does.
pub const REFUND_WITHIN: Duration = Duration::from_secs(60);

/// How long after the payment deadline a charge may be without an outcome before the recovery gives it up. The order's
/// own deadline comes first.
pub const DECIDE_WITHIN: Duration = Duration::from_secs(300);

/// The longest pause between two questions to a provider that does not decide a void.
const ASK_AT_LEAST_EVERY: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentState {
    /// The intent is stored; the provider's answer is not known yet.
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
    /// The provider does not give back what it said it took.
    RefundRefused,
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

    /// The provider's answer that led to this state, if the state is one that others are told of.
    const fn fact(self) -> Option<Fact> {
        match self {
            Self::Paid | Self::Refunding => Some(Fact::ProviderPaid),
            Self::Declined => Some(Fact::ProviderDeclined),
            Self::Refunded => Some(Fact::ProviderRefunded),
            Self::Charging | Self::Awaiting | Self::Voided => None,
        }
    }

    /// The state after `fact`; `None` when it was already applied.
    pub fn after(self, fact: Fact) -> Result<Option<Self>, IllegalMove> {
        use {Fact as F, PaymentState as S};
        let next = match (self, fact) {
            (S::Charging, F::ProviderPending) => S::Awaiting,
            (S::Charging | S::Awaiting, F::ProviderPaid) => S::Paid,
            (S::Charging | S::Awaiting, F::ProviderDeclined) => S::Declined,
            (S::Charging | S::Awaiting, F::VoidRequested) => S::Voided,
            (S::Paid, F::VoidRequested) => S::Refunding,
            // Money that nobody wants any more: it came late, or after the provider had declined.
            (S::Voided | S::Declined, F::ProviderPaid) => S::Refunding,
            (S::Refunding, F::ProviderRefunded) => S::Refunded,

            (
                S::Awaiting | S::Paid | S::Declined | S::Voided | S::Refunding | S::Refunded,
                F::ProviderPending,
            )
            | (S::Paid | S::Refunding | S::Refunded, F::ProviderPaid)
            | (S::Declined | S::Voided, F::ProviderDeclined)
            | (S::Declined | S::Voided | S::Refunding | S::Refunded, F::VoidRequested)
            | (S::Refunded, F::ProviderRefunded)
            | (S::Refunding | S::Refunded, F::RefundRefused) => return Ok(None),

            // The provider contradicts itself, or refunds without being asked.
            (S::Paid | S::Refunding | S::Refunded, F::ProviderDeclined)
            | (
                S::Charging | S::Awaiting | S::Paid | S::Declined | S::Voided,
                F::ProviderRefunded | F::RefundRefused,
            ) => return Err(IllegalMove::new("a payment", self, fact)),
        };
        Ok(Some(next))
    }
}

/// What we ask the provider for. Stored before the provider is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Minor units.
    pub amount: i64,
    pub currency: Currency,
    pub method: String,
    /// After this time the money is not wanted any more.
    pub wanted_until: Timestamp,
}

/// An outcome of a payment that the provider gave and this version does not know. It is kept for a version that does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    pub outcome: String,
    pub at: Timestamp,
}

/// How many different unknown outcomes are kept.
const MAX_UNREAD: usize = 20;

/// A change that others were told of. A payment has three at most: an answer, an answer that contradicts it, and a
/// refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub version: u64,
    pub at: Timestamp,
    pub from: PaymentState,
    pub to: PaymentState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub id: OrderId,
    pub version: u64,
    /// The version as it was stored; a change does not lower it.
    #[serde(default)]
    pub schema: Schema,
    pub state: PaymentState,
    /// `None`: the payment was voided before the provider was ever asked for it (a tombstone).
    pub intent: Option<Intent>,
    /// Since when the payment is over for us (VOIDED, DECLINED) while the provider may still take money for it. `None`:
    /// the provider has said that it took no money and never will, or the provider was never asked.
    #[serde(default)]
    pub undecided_since: Option<Timestamp>,
    /// Since when the provider refuses the refund of a payment that is REFUNDING: it said that it took the money, and
    /// now it says that there is none to give back. Somebody has to ask it in person.
    #[serde(default)]
    pub refund_refused_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// The changes that raised events, oldest first: enough to raise these events again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    pub cause: Cause,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The event of the newest change, if others act on it. It moves to the outbox with the write.
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

    /// A payment that the provider must never be asked for.
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
            undecided_since: None,
            refund_refused_since: None,
            unread: Vec::new(),
            told: Vec::new(),
            cause,
            created_at: at,
            updated_at: at,
            raised: None,
        }
    }

    /// The payment after `fact`, with the next version; `None` when the fact was applied before.
    pub fn after(
        &self,
        fact: Fact,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<Option<Self>, IllegalMove> {
        let moved = self.state.after(fact)?;
        let state = moved.unwrap_or(self.state);
        let undecided_since = self.undecided(state, fact, at);
        let refund_refused_since = self.refused(state, fact, at);
        if moved.is_none()
            && undecided_since == self.undecided_since
            && refund_refused_since == self.refund_refused_since
        {
            return Ok(None);
        }
        let mut next = self.clone();
        next.version += 1;
        next.state = state;
        next.undecided_since = undecided_since;
        next.refund_refused_since = refund_refused_since;
        next.updated_at = at;
        // What the provider says about a void concerns only payments: it raises no event.
        next.raised = moved.and_then(|_| next.event(self.state, fact, cause));
        if next.raised.is_some() {
            let (version, at, from, to) = (next.version, at, self.state, state);
            next.told.push(Told { version, at, from, to });
        }
        Ok(Some(next))
    }

    /// The payment with an outcome that this version does not know, with the next version; `None` when the outcome is
    /// kept already, or too many are kept.
    pub fn keeping(&self, outcome: &str, at: Timestamp) -> Option<Self> {
        let known = self.unread.iter().any(|unread| unread.outcome == outcome);
        if known || self.unread.len() >= MAX_UNREAD {
            return None;
        }
        let mut next = self.clone();
        next.version += 1;
        next.updated_at = at;
        next.raised = None;
        next.unread.push(Unread { outcome: outcome.to_owned(), at });
        Some(next)
    }

    fn undecided(&self, state: PaymentState, fact: Fact, at: Timestamp) -> Option<Timestamp> {
        if !matches!(state, PaymentState::Voided | PaymentState::Declined) {
            return None;
        }
        match fact {
            Fact::VoidRequested if state != self.state => Some(at),
            Fact::ProviderPending => Some(self.undecided_since.unwrap_or(at)),
            Fact::ProviderDeclined => None,
            Fact::VoidRequested
            | Fact::ProviderPaid
            | Fact::ProviderRefunded
            | Fact::RefundRefused => self.undecided_since,
        }
    }

    fn refused(&self, state: PaymentState, fact: Fact, at: Timestamp) -> Option<Timestamp> {
        let first = (fact == Fact::RefundRefused).then_some(at);
        let since = self.refund_refused_since.or(first);
        since.filter(|_| state == PaymentState::Refunding)
    }

    /// When the recovery has to look at the payment, if nothing happens before that. No payment rests while its money
    /// is in doubt or has to go back.
    pub fn due_at(&self) -> Option<Timestamp> {
        let soon = self.updated_at.plus(REFUND_WITHIN);
        match (self.state, &self.intent) {
            (PaymentState::Charging | PaymentState::Awaiting, Some(intent)) => {
                Some(intent.wanted_until.plus(DECIDE_WITHIN).max(soon))
            }
            (PaymentState::Charging | PaymentState::Awaiting, None)
            | (PaymentState::Refunding, _) => Some(soon),
            (PaymentState::Voided | PaymentState::Declined, _) => {
                self.undecided_since.map(|_| soon)
            }
            (PaymentState::Paid | PaymentState::Refunded, _) => None,
        }
    }

    /// How long the provider has left a void undecided.
    pub fn undecided_for(&self, now: Timestamp) -> Option<Duration> {
        self.undecided_since.map(|since| now.since(since))
    }

    /// How long until the provider is asked again about an undecided void or a refused refund: as long as it has been
    /// so already, but at most an hour. So many of them do not hold up other payments.
    pub fn ask_again_after(&self, now: Timestamp) -> Option<Duration> {
        let since = self.undecided_since.or(self.refund_refused_since)?;
        Some(now.since(since).clamp(REFUND_WITHIN, ASK_AT_LEAST_EVERY))
    }

    /// Whether the deadline for its money has passed.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.intent.as_ref().is_some_and(|intent| intent.wanted_until <= now)
    }

    /// The events that the payment has raised, with the same ids. Their cause is the payment's newest cause, because
    /// older causes are not kept.
    pub fn history(&self) -> Vec<Event> {
        let told = self.told.iter().filter_map(|told| {
            let then =
                Self { version: told.version, state: told.to, updated_at: told.at, ..self.clone() };
            then.event(told.from, told.to.fact()?, &self.cause)
        });
        told.collect()
    }

    /// Only payments need intents and tombstones. Nobody else can act on them, so they raise no event.
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
            Fact::ProviderPending | Fact::VoidRequested | Fact::RefundRefused => return None,
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
            Fact::RefundRefused,
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
        fn whatever_a_payment_has_told_it_can_tell_again(facts in prop::collection::vec(facts(), 0..30)) {
            let (mut payment, mut told) = (intended(), Vec::new());
            for (fact, at) in facts.into_iter().zip(1..) {
                let at = Timestamp::from_millis(at);
                if let Ok(Some(next)) = payment.after(fact, at, &Cause::default()) {
                    told.extend(next.raised.clone());
                    payment = next;
                }
            }
            let stored = serde_json::to_string(&payment).unwrap();
            let payment: Payment = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(payment.history(), told);
            prop_assert!(payment.told.len() <= 3);
        }

        #[test]
        fn no_sequence_of_facts_leaves_money_in_doubt_that_nobody_looks_at(
            tombstone in any::<bool>(), facts in prop::collection::vec(facts(), 0..30),
        ) {
            use {Fact as F, PaymentState as S};
            let mut payment = if tombstone {
                Payment::tombstone(OrderId::generate(), Timestamp::from_millis(0), Cause::default())
            } else {
                intended()
            };
            // The provider was asked, and has not yet said that it took no money and never will.
            let mut in_doubt = !tombstone;
            for fact in facts {
                match payment.after(fact, Timestamp::from_millis(1), &Cause::default()) {
                    Ok(Some(next)) => payment = next,
                    Ok(None) => {}
                    Err(_) => continue,
                }
                match fact {
                    F::ProviderPending => in_doubt = true,
                    F::ProviderDeclined => in_doubt = false,
                    F::VoidRequested
                    | F::ProviderPaid
                    | F::ProviderRefunded
                    | F::RefundRefused => {}
                }
                let rests = match payment.state {
                    S::Paid | S::Refunded => true,
                    S::Voided | S::Declined => !in_doubt,
                    S::Charging | S::Awaiting | S::Refunding => false,
                };
                prop_assert_eq!(payment.due_at().is_none(), rests, "{:?}", payment);
            }
        }

        #[test]
        fn a_repeated_fact_changes_nothing(facts in prop::collection::vec(facts(), 0..30)) {
            let mut payment = intended();
            for fact in facts {
                let after = |payment: &Payment, at| {
                    payment.after(fact, Timestamp::from_millis(at), &Cause::default())
                };
                let Ok(Some(next)) = after(&payment, 1) else { continue };
                prop_assert_eq!(after(&next, 2), Ok(None));
                payment = next;
            }
        }
    }

    fn after(payment: &Payment, fact: Fact) -> Payment {
        let at = Timestamp::from_millis(900_001);
        payment.after(fact, at, &Cause::default()).unwrap().expect("it changes the payment")
    }

    #[test]
    fn a_void_is_due_until_the_provider_has_decided_it_and_tells_nobody() {
        let voided = after(&intended(), Fact::VoidRequested);
        assert_eq!(voided.due_at(), Some(voided.updated_at.plus(REFUND_WITHIN)));
        let decided = after(&voided, Fact::ProviderDeclined);
        assert_eq!((decided.state, decided.due_at()), (PaymentState::Voided, None));
        assert_eq!(decided.raised, None, "it would start a run of the saga for nothing");
        let reopened = after(&decided, Fact::ProviderPending);
        assert!(reopened.due_at().is_some(), "the provider may take money after all");
    }

    #[test]
    fn a_refund_that_is_refused_stays_due_is_dated_once_and_ends_with_the_refund() {
        let paid = after(&intended(), Fact::ProviderPaid);
        let refunding = after(&paid, Fact::VoidRequested);
        let refused = after(&refunding, Fact::RefundRefused);
        assert_eq!(refused.state, PaymentState::Refunding);
        assert_eq!(refused.due_at(), Some(refused.updated_at.plus(REFUND_WITHIN)));
        assert_eq!(refused.raised, None, "others are told of no money that moved");
        let later = refused.updated_at.plus(Duration::from_secs(7200));
        let again = refused.after(Fact::RefundRefused, later, &Cause::default());
        assert_eq!(again, Ok(None), "it is parked already");
        assert_eq!(refused.ask_again_after(later), Some(ASK_AT_LEAST_EVERY));
        assert_eq!(after(&refused, Fact::ProviderRefunded).refund_refused_since, None);
        assert!(paid.after(Fact::RefundRefused, later, &Cause::default()).is_err());
    }

    #[test]
    fn a_word_of_the_provider_that_is_new_is_kept_once_and_changes_nothing_else() {
        let (charging, at) = (intended(), Timestamp::from_millis(1));
        let kept = charging.keeping("PARTIALLY_PAID", at).unwrap();
        assert_eq!((kept.state, kept.version), (PaymentState::Charging, 2));
        assert_eq!(kept.unread[0].outcome, "PARTIALLY_PAID");
        assert_eq!(kept.keeping("PARTIALLY_PAID", at), None);
        assert_eq!(after(&kept, Fact::ProviderPaid).unread, kept.unread);
    }

    #[test]
    fn a_charge_without_an_outcome_is_due_soon_after_its_deadline() {
        let charging = intended();
        let deadline = charging.intent.as_ref().unwrap().wanted_until;
        assert_eq!(charging.due_at(), Some(deadline.plus(DECIDE_WITHIN)));
        let awaiting = after(&charging, Fact::ProviderPending);
        assert_eq!(awaiting.due_at(), Some(deadline.plus(DECIDE_WITHIN)));
        assert_eq!(after(&awaiting, Fact::ProviderPaid).due_at(), None);
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
