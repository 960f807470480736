//! The ways that an order can go; stock and money always match the order.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::StatusCode;
use serde_json::json;
use trackops_testkit::{Basket, Fault, World, eventually};

#[tokio::test]
async fn an_order_is_reserved_paid_for_and_confirmed() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;

    let placed = world.customer.place(&Basket::of(&tea, 2)).await.expecting(StatusCode::CREATED);
    let order = placed.order();
    assert_eq!((order.status.as_str(), order.total_amount.as_str()), ("PENDING", "25.00"));
    let location = placed.header("location").expect("a new order has a Location");
    assert!(location.ends_with(&format!("/api/orders/{}", order.order_id)), "{location}");

    let confirmed = world.until_status(&order.order_id, &["CONFIRMED"]).await;
    assert_eq!(confirmed.reason, None);
    let books = world.books_balance(&tea, 5, &[&order.order_id]).await;
    assert_eq!(books.taken(), 2500);
    let item = world.operator.find_item(&tea).await;
    assert_eq!((item.on_hand_quantity, item.available_quantity, item.reserved_quantity), (5, 3, 2));
}

#[tokio::test]
async fn an_order_of_several_products_takes_all_of_them_or_none() {
    let world = World::new().await;
    let (tea, cup) = (world.stock("TEA", 5).await, world.stock("CUP", 1).await);

    let both = world.customer.order(&Basket::of(&tea, 2).and(&cup, 1)).await;
    world.until_status(&both.order_id, &["CONFIRMED"]).await;
    let no_cup_left = world.customer.order(&Basket::of(&tea, 2).and(&cup, 1)).await;
    world.until_status(&no_cup_left.order_id, &["REJECTED"]).await;

    let orders = [both.order_id.as_str(), no_cup_left.order_id.as_str()];
    assert_eq!(world.books_balance(&tea, 5, &orders).await.available(), 3);
    assert_eq!(world.books_balance(&cup, 1, &orders).await.available(), 0);
}

#[tokio::test]
async fn an_order_for_more_than_there_is_is_rejected_and_nothing_is_held() {
    let world = World::new().await;
    let tea = world.stock("TEA", 1).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    let order = world.until_status(&order.order_id, &["REJECTED"]).await;
    assert_eq!(order.reason.as_deref(), Some("OUT_OF_STOCK"));
    let books = world.books_balance(&tea, 1, &[&order.order_id]).await;
    assert_eq!((books.available(), books.taken()), (1, 0));
}

#[tokio::test]
async fn an_order_whose_payment_is_declined_is_rejected_and_its_stock_is_back() {
    for card in ["tok_declined", "tok_pending_declined"] {
        let world = World::new().await;
        let tea = world.stock("TEA", 2).await;
        let order = world.customer.order(&Basket::of(&tea, 2).paying_with(card)).await;
        let order = world.until_status(&order.order_id, &["REJECTED"]).await;
        assert_eq!(order.reason.as_deref(), Some("PAYMENT_DECLINED"), "{card}");
        let books = world.books_balance(&tea, 2, &[&order.order_id]).await;
        assert_eq!((books.available(), books.taken()), (2, 0), "{card}");
    }
}

#[tokio::test]
async fn an_order_whose_payment_answers_later_waits_for_it_and_is_confirmed() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_pending_ok")).await;
    world.until_status(&order.order_id, &["AWAITING_PAYMENT"]).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    let books = world.books_balance(&tea, 5, &[&order.order_id]).await;
    assert_eq!((books.available(), books.taken()), (3, 2500));
}

#[tokio::test]
async fn a_provider_that_times_out_is_asked_what_became_of_the_charge() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_timeout")).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    let books = world.books_balance(&tea, 5, &[&order.order_id]).await;
    assert_eq!(books.taken(), 2500, "charged once");
}

#[tokio::test]
async fn money_that_comes_after_the_deadline_goes_back_and_the_order_has_expired() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let late = Basket::of(&tea, 2).paying_with("tok_late");
    let id = &world.customer.order(&late).await.order_id;
    world.until_status(id, &["AWAITING_PAYMENT"]).await;
    world.let_payment_be_overdue(id).await;
    world.recover_until(id, &["EXPIRED"]).await;
    assert_eq!(world.charge(id).await.map(|charge| charge.refunded), Some(0), "it is not late");

    // The provider could not recall the charge, and takes the money now.
    let answer = json!({"chargeKey": id, "answersAt": "2020-01-01T00:00:00.000Z"});
    world.deliver("simulate-provider", &answer).await;
    let charge = eventually("the provider to take the money and give it back", async || {
        let charge = world.charge(id).await;
        match &charge {
            Some(charge) if charge.refunded == charge.amount => Ok(charge.clone()),
            _ => Err(format!("{charge:?}")),
        }
    })
    .await;
    assert_eq!(charge.amount, 2500);
    let books = world.books_balance(&tea, 5, &[id]).await;
    assert_eq!((books.available(), books.count("EXPIRED")), (5, 1));
}

#[tokio::test]
async fn money_that_is_taken_late_comes_back_though_nobody_ever_tells_of_it() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let basket = Basket::of(&tea, 2).paying_with("tok_late");
    let id = world.customer.order(&basket).await.order_id;
    world.until_status(&id, &["AWAITING_PAYMENT"]).await;
    world.let_payment_be_overdue(&id).await;
    world.recover_until(&id, &["EXPIRED"]).await;
    let pay = format!("PAY#{id}");
    let payment = world.row("PaymentsTable", &pay).await.expect("it is there");
    assert!(payment.contains_key("due_at"), "nobody looks at it again: {payment:?}");
    // The provider could not recall the charge, takes the money now, and its notice is lost.
    let charge = format!("CHARGE#{id}");
    let taken = AttributeValue::S("TAKEN".into());
    world.set("ProviderLedgerTable", &charge, "state", taken).await;

    eventually("the recovery to ask the provider and give the money back", async || {
        world.backdate("PaymentsTable", &pay, "due_at").await;
        // It fails as long as some payment cannot be refunded, even if the payment belongs to another test.
        let _ = world.invoke("recover-refunds", json!({})).await;
        let charge = world.charge(&id).await;
        let back = charge.as_ref().is_some_and(|charge| charge.refunded == charge.amount);
        if back { Ok(()) } else { Err(format!("{charge:?}")) }
    })
    .await;
    let payment = world.row("PaymentsTable", &pay).await.expect("it is there");
    assert!(!payment.contains_key("due_at"), "it is looked at for ever: {payment:?}");
    world.books_balance(&tea, 5, &[&id]).await;
}

/// The provider declines a charge, then says that it was paid, and then that there is nothing to refund.
#[tokio::test]
async fn a_payment_that_the_provider_contradicts_is_parked_and_does_not_fail_the_recovery() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let basket = Basket::of(&tea, 2).paying_with("tok_declined");
    let id = world.customer.order(&basket).await.order_id;
    world.until_status(&id, &["REJECTED"]).await;
    world.provider_says(&id, "PAID").await.expecting(StatusCode::NO_CONTENT);

    let pay = format!("PAY#{id}");
    eventually("the refused refund to be parked", async || {
        world.backdate("PaymentsTable", &pay, "due_at").await;
        let _ = world.invoke("recover-refunds", json!({})).await;
        let payment = world.row("PaymentsTable", &pay).await.expect("it is there");
        let parked = matches!(payment.get("refund_refused_since"), Some(AttributeValue::S(_)));
        if parked { Ok(()) } else { Err(format!("{payment:?}")) }
    })
    .await;
    // It is asked for again, and waits: it does not fail.
    eventually("the recovery to go on beside it", async || {
        world.backdate("PaymentsTable", &pay, "due_at").await;
        let answer = world.invoke("recover-refunds", json!({})).await;
        match answer {
            Ok(answer) if answer["waiting"].as_u64() > Some(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let payment = world.row("PaymentsTable", &pay).await.expect("it is there");
    assert_eq!(payment.get("state"), Some(&AttributeValue::S("REFUNDING".into())));
    assert!(payment.contains_key("due_at"), "the provider may give it back later: {payment:?}");
    let order = world.customer.find(&id).await;
    assert_eq!(order.status, "REJECTED");
}

#[tokio::test]
async fn past_the_deadline_an_order_ends_though_its_stock_is_busy_and_reserves_nothing() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let busy = Fault::of_function("reserve-inventory", &id).until_lifted().raising("Busy");
    let busy = world.inject(busy).await;
    world.customer.order(&basket).await;
    busy.struck(4).await;
    world.backdate("OrdersTable", &format!("ORDER#{id}"), "payment_deadline").await;
    let order = world.recover_until(&id, &["EXPIRED"]).await;
    assert_eq!(order.reason.as_deref(), Some("PAYMENT_DEADLINE"));
    assert_eq!(world.charge(&id).await.map(|charge| charge.amount), None);
    world.books_balance(&tea, 5, &[&id]).await;
}

#[tokio::test]
async fn a_payment_in_time_counts_though_the_deadline_passes_before_the_order_is_confirmed() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let busy = Fault::of_function("commit-reservation", &id).until_lifted().raising("Busy");
    let busy = world.inject(busy).await;
    world.customer.order(&basket).await;
    busy.struck(4).await;
    world.backdate("OrdersTable", &format!("ORDER#{id}"), "payment_deadline").await;
    busy.lift();
    world.recover_until(&id, &["CONFIRMED"]).await;
    world.books_balance(&tea, 5, &[&id]).await;
}

#[tokio::test]
async fn cancelling_a_pending_order_gives_everything_back_even_to_a_late_reservation() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    // A retried step keeps the order PENDING.
    let fault = world
        .inject(Fault::of_function("reserve-inventory", &id).until_lifted().raising("Busy"))
        .await;
    world.customer.order(&basket).await;
    fault.struck(1).await;
    assert_eq!(world.customer.find(&id).await.status, "PENDING");

    world.cancel(&id).await;
    let order = world.until_status(&id, &["CANCELLED"]).await;
    assert_eq!(order.reason.as_deref(), Some("CANCELLED_BY_CUSTOMER"));
    fault.lift();

    // The step comes when the cancellation was carried out.
    let late = json!({
        "orderId": id, "lines": [{"sku": tea, "quantity": 2}],
        "paymentDeadline": "2100-01-01T00:00:00.000Z", "cause": {"correlationId": "late"},
    });
    let refused = world.invoke("reserve-inventory", late).await.expect_err("it was released");
    assert!(refused.contains("ReservationLost"), "{refused}");
    let books = world.books_balance(&tea, 5, &[&id]).await;
    assert_eq!((books.available(), books.taken()), (5, 0));
}

#[tokio::test]
async fn cancelling_an_order_that_awaits_its_payment_gives_its_stock_back() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_late")).await;
    world.until_status(&order.order_id, &["AWAITING_PAYMENT"]).await;
    world.cancel(&order.order_id).await;
    world.until_status(&order.order_id, &["CANCELLED"]).await;
    let books = world.books_balance(&tea, 5, &[&order.order_id]).await;
    assert_eq!((books.available(), books.taken()), (5, 0));
}

#[tokio::test]
async fn a_hold_that_runs_out_gives_its_stock_back_and_a_committed_one_does_not_run_out() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let confirmed = world.customer.order(&Basket::of(&tea, 1)).await;
    let waiting = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_late")).await;
    world.until_status(&confirmed.order_id, &["CONFIRMED"]).await;
    world.until_status(&waiting.order_id, &["AWAITING_PAYMENT"]).await;
    for id in [&confirmed.order_id, &waiting.order_id] {
        world.expire_hold(id).await;
    }
    assert_eq!(world.operator.find_item(&tea).await.available_quantity, 4);
    let held = world.account(&tea, &waiting.order_id).await.reservation;
    assert_eq!(held.as_deref(), Some("EXPIRED"));

    world.cancel(&waiting.order_id).await;
    // A repeated `order.created` may have had its saga see first that the hold is lost.
    world.until_status(&waiting.order_id, &["CANCELLED", "REJECTED"]).await;
    let orders = [confirmed.order_id.as_str(), waiting.order_id.as_str()];
    assert_eq!(world.books_balance(&tea, 5, &orders).await.available(), 4);
}

#[tokio::test]
async fn cancelling_a_confirmed_order_gives_stock_and_money_back() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;

    world.cancel(&order.order_id).await;
    world.until_status(&order.order_id, &["CANCELLED"]).await;
    let books = world.books_balance(&tea, 5, &[&order.order_id]).await;
    assert_eq!(books.available(), 5);
    let charge = world.charge(&order.order_id).await.expect("the provider took the money");
    assert_eq!((charge.amount, charge.refunded), (2500, 2500));

    world.cancel(&order.order_id).await;
    let again = world.customer.find(&order.order_id).await;
    assert_eq!(again.status, "CANCELLED", "cancelling is safe to repeat");
}
