//! Doing something twice, late or at the same time as itself changes nothing.

use std::collections::HashSet;

use futures::future::join_all;
use reqwest::StatusCode;
use trackops_testkit::{Basket, World};

#[tokio::test]
async fn one_idempotency_key_makes_one_order_however_often_and_at_once() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));

    let answers = join_all((0..50).map(|_| world.customer.place(&basket))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(answers[0].order().order_id, id);
    let replayed =
        |answer: &&trackops_testkit::Answer| answer.header("idempotent-replayed") == Some("true");
    assert_eq!(answers.iter().filter(replayed).count(), 49, "one request made the order");

    world
        .customer
        .place(&basket.paying_with("tok_declined"))
        .await
        .expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    world.until_status(&id, &["CONFIRMED"]).await;
    let books = world.books_balance(&tea, 5, &[&id]).await;
    assert_eq!((books.available(), books.taken()), (3, 2500));
}

#[tokio::test]
async fn an_idempotency_key_is_the_callers_own() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let basket = Basket::of(&tea, 1).under_key("first-order");
    let (mine, theirs) =
        (world.customer.order(&basket).await, world.another_customer().order(&basket).await);
    assert_ne!(mine.order_id, theirs.order_id);
    for id in [&mine.order_id, &theirs.order_id] {
        world.until_status(id, &["CONFIRMED"]).await;
    }
    world.books_balance(&tea, 5, &[&mine.order_id, &theirs.order_id]).await;
}

#[tokio::test]
async fn a_saga_run_three_times_at_once_reserves_and_charges_once() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    join_all((0..3).map(|_| world.run_saga(&order.order_id))).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    let books = world.books_balance(&tea, 5, &[&order.order_id]).await;
    assert_eq!((books.available(), books.taken()), (3, 2500));

    world.run_saga(&order.order_id).await;
    let books = world.books_balance(&tea, 5, &[&order.order_id]).await;
    assert_eq!((books.available(), books.taken()), (3, 2500), "also long after");
}

#[tokio::test]
async fn sixty_four_orders_for_the_last_ten_units_sell_exactly_ten() {
    let world = World::new().await;
    let tea = world.stock("LAST", 10).await;
    let basket = Basket::of(&tea, 1);
    let orders = join_all((0..64).map(|_| world.customer.order(&basket))).await;
    let ids: Vec<&str> = orders.iter().map(|order| order.order_id.as_str()).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 64);
    for id in &ids {
        world.until_status(id, &["CONFIRMED", "REJECTED"]).await;
    }
    let books = world.books_balance(&tea, 10, &ids).await;
    assert_eq!((books.count("CONFIRMED"), books.count("REJECTED")), (10, 54));
    assert_eq!((books.available(), books.taken()), (0, 10 * 1250));
}
