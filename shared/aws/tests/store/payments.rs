//! The `payments` table.

use std::time::Duration;

use trackops_aws::payments::{Payments, RecordError};
use trackops_domain::event::EventType;
use trackops_domain::payment::{Fact, Intent, Payment, PaymentState};
use trackops_domain::{OrderId, Timestamp};

use crate::dynamodb::OwnTable;
use crate::given::{at_once, cause, eur};

async fn payments() -> (Payments, OwnTable) {
    let own = OwnTable::like("PaymentsTable").await;
    (Payments::new(own.table.clone()), own)
}

fn intended(id: OrderId, amount: i64) -> Payment {
    let now = Timestamp::now();
    let wanted_until = now.plus(Duration::from_secs(900));
    let intent = Intent { amount, currency: eur(), method: "tok_ok".into(), wanted_until };
    Payment::intended(id, intent, now, cause())
}

async fn told(own: &OwnTable, id: &OrderId) -> Vec<EventType> {
    let left = own.table.unpublished(&Payment::key(id)).await.unwrap();
    left.into_iter().flat_map(|left| left.outbox).filter_map(|event| event.kind.known()).collect()
}

/// The payments that will be due within the hour.
async fn due(own: &OwnTable) -> Vec<OrderId> {
    let within = Timestamp::now().plus(Duration::from_secs(3600));
    own.table.due(within).await.unwrap().into_iter().map(|due| due.id().unwrap()).collect()
}

#[tokio::test]
async fn the_first_of_many_intents_is_kept() {
    let (payments, _) = payments().await;
    let id = OrderId::generate();
    let amounts = at_once(10, async |number| {
        let asked = intended(id, 100 + i64::try_from(number).unwrap());
        payments.intend(asked).await.unwrap().intent.unwrap().amount
    });
    let amounts = amounts.await;
    let stored = payments.find(&id).await.unwrap().unwrap();
    assert_eq!(stored.version, 1);
    assert_eq!(amounts, [stored.intent.unwrap().amount; 10]);
}

#[tokio::test]
async fn a_payment_voided_before_it_is_intended_is_never_asked_for() {
    let (payments, own) = payments().await;
    let id = OrderId::generate();
    assert_eq!(payments.void(&id, &cause()).await.unwrap().state, PaymentState::Voided);
    let late = payments.intend(intended(id, 500)).await.unwrap();
    assert_eq!((late.state, late.intent), (PaymentState::Voided, None));
    assert!(told(&own, &id).await.is_empty());
}

#[tokio::test]
async fn money_that_arrives_after_the_void_goes_back_and_the_world_hears_of_both() {
    let (payments, own) = payments().await;
    let id = OrderId::generate();
    payments.intend(intended(id, 500)).await.unwrap();
    payments.void(&id, &cause()).await.unwrap();

    let paid = async |_| payments.record(&id, Fact::ProviderPaid, &cause()).await.unwrap();
    for answer in at_once(5, paid).await {
        assert_eq!(answer.state, PaymentState::Refunding);
    }
    assert_eq!(told(&own, &id).await, [EventType::PaymentProcessed]);
    assert_eq!(due(&own).await, [id], "nobody would look after the refund");
    let refunded = payments.record(&id, Fact::ProviderRefunded, &cause()).await.unwrap();
    assert_eq!(refunded.state, PaymentState::Refunded);
    assert_eq!(told(&own, &id).await, [EventType::PaymentProcessed, EventType::PaymentRefunded]);
    assert!(due(&own).await.is_empty());
}

#[tokio::test]
async fn a_void_is_due_until_the_provider_has_decided_it() {
    let (payments, own) = payments().await;
    let id = OrderId::generate();
    payments.intend(intended(id, 500)).await.unwrap();
    assert_eq!(due(&own).await, [id], "a charge without an outcome");
    payments.void(&id, &cause()).await.unwrap();
    payments.record(&id, Fact::ProviderPending, &cause()).await.unwrap();
    assert_eq!(due(&own).await, [id], "a void without a decision");
    let decided = payments.record(&id, Fact::ProviderDeclined, &cause()).await.unwrap();
    assert_eq!((decided.state, decided.undecided_since), (PaymentState::Voided, None));
    assert!(due(&own).await.is_empty());
    assert!(told(&own, &id).await.is_empty(), "a void is nobody else's business");
}

#[tokio::test]
async fn what_was_paid_meanwhile_is_not_given_up_with_charges_that_have_no_outcome() {
    let (payments, _) = payments().await;
    let (paid, silent) = (OrderId::generate(), OrderId::generate());
    for id in [paid, silent] {
        payments.intend(intended(id, 500)).await.unwrap();
    }
    payments.record(&paid, Fact::ProviderPaid, &cause()).await.unwrap();
    assert_eq!(payments.void_unpaid(&paid).await.unwrap().state, PaymentState::Paid);
    assert_eq!(payments.void_unpaid(&silent).await.unwrap().state, PaymentState::Voided);
}

#[tokio::test]
async fn a_word_of_the_provider_that_is_not_known_is_kept_with_the_payment() {
    let (payments, _) = payments().await;
    let id = OrderId::generate();
    payments.intend(intended(id, 500)).await.unwrap();
    for _ in 0..2 {
        payments.keep(&id, "PARTIALLY_PAID").await.unwrap();
    }
    let stored = payments.find(&id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.unread.len()), (2, 1));
    assert_eq!(stored.unread[0].outcome, "PARTIALLY_PAID");
}

#[tokio::test]
async fn paid_against_void_at_once_never_keeps_the_money() {
    let (payments, _) = payments().await;
    for _ in 0..5 {
        let id = OrderId::generate();
        payments.intend(intended(id, 500)).await.unwrap();
        let cause = cause();
        let (paid, voided) = futures::join!(
            payments.record(&id, Fact::ProviderPaid, &cause),
            payments.void(&id, &cause)
        );
        paid.unwrap();
        voided.unwrap();
        let stored = payments.find(&id).await.unwrap().unwrap();
        assert_eq!((stored.state, stored.version), (PaymentState::Refunding, 3));
    }
}

#[tokio::test]
async fn an_answer_for_a_payment_nobody_knows_is_refused() {
    let (payments, _) = payments().await;
    let answer = payments.record(&OrderId::generate(), Fact::ProviderPaid, &cause()).await;
    assert!(matches!(answer, Err(RecordError::NoPayment(_))), "{answer:?}");
}
