//! Requests that TrackOps refuses, and callers from whom it refuses them.

use reqwest::StatusCode;
use serde_json::json;
use trackops_testkit::{Basket, World, unix_now};

#[tokio::test]
async fn without_a_valid_token_nobody_gets_in() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 1)).await;
    let forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcGVyYXRvciIsInJvbGUiOiJvcGVyYXRvciJ9.";
    for token in [None, Some("nonsense"), Some(forged)] {
        let stranger = world.stranger(token);
        for answer in [
            stranger.place(&Basket::of(&tea, 1)).await,
            stranger.look_up(&order.order_id).await,
            stranger.cancel(&order.order_id).await,
            stranger.look_up_item(&tea).await,
        ] {
            let answer = answer.expecting_problem(StatusCode::UNAUTHORIZED);
            assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn the_issuers_next_key_is_good_before_anybody_deploys_it() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let token = world.system.token_of_next_key("customer", "early-bird").unwrap();
    let early_bird = world.stranger(Some(&token));
    early_bird.look_up_item(&tea).await.expecting(StatusCode::OK);
    // Keys that were known before stay valid.
    world.customer.look_up_item(&tea).await.expecting(StatusCode::OK);
}

#[tokio::test]
async fn somebody_elses_order_does_not_exist() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 1)).await;
    let other = world.another_customer();
    other.look_up(&order.order_id).await.expecting_problem(StatusCode::NOT_FOUND);
    other.cancel(&order.order_id).await.expecting_problem(StatusCode::NOT_FOUND);
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
}

#[tokio::test]
async fn only_operators_create_items_and_each_only_once() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let item = json!({
        "productId": tea, "productName": "Tea", "unitPrice": "1.00", "currency": "EUR", "availableQuantity": 9,
    });
    world.customer.create_item(&item).await.expecting_problem(StatusCode::FORBIDDEN);
    let again = world.operator.create_item(&item).await.expecting_problem(StatusCode::CONFLICT);
    assert_eq!(again.body["type"], "urn:trackops:problem:product-exists");
    assert_eq!(world.operator.find_item(&tea).await.available_quantity, 5);
}

#[tokio::test]
async fn the_price_is_the_catalogues_also_before_orders_have_heard_of_the_product() {
    let world = World::new().await;
    let (deaf_to, sku) = world.unheard_of_stock("9.99", 5).await;
    let order = world.customer.order(&Basket::of(&sku, 3)).await;
    assert_eq!(
        (order.items[0].unit_price.as_str(), order.total_amount.as_str()),
        ("9.99", "29.97")
    );
    deaf_to.lift();
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    world.books_balance(&sku, 5, &[&order.order_id]).await;
}

#[tokio::test]
async fn a_caller_cannot_set_the_price() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let bargain = Basket::of(&tea, 2).with("totalAmount", "0.02".into());
    world.customer.place(&bargain).await.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let priced = json!([{"productId": tea, "quantity": 2, "unitPrice": "0.01"}]);
    let answer = world.customer.place(&Basket::of(&tea, 2).with("items", priced)).await;
    answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);

    let agreed = Basket::of(&tea, 2).with("totalAmount", "25.00".into());
    let order = world.customer.order(&agreed).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    world.books_balance(&tea, 5, &[&order.order_id]).await;
}

#[tokio::test]
async fn an_unknown_product_cannot_be_ordered() {
    let world = World::new().await;
    let answer = world.customer.place(&Basket::of("NO-SUCH-THING", 1)).await;
    answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn only_what_the_provider_signed_just_now_counts_as_its_word() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_late")).await;
    let id = &order.order_id;
    world.until_status(id, &["AWAITING_PAYMENT"]).await;
    let secret = world.webhook_secret().await;
    let (now, old) = (unix_now(), unix_now() - 3600);
    let paid = json!({"chargeKey": id, "outcome": "PAID"}).to_string();
    let declined = json!({"chargeKey": id, "outcome": "DECLINED"}).to_string();

    for (timestamp, signature) in [
        (now, "v1=00".to_owned()),
        (now, secret.sign(now, &declined)),
        (now, secret.sign(now - 1, &paid)),
        (old, secret.sign(old, &paid)),
    ] {
        let answer = world.post_webhook(timestamp, &signature, &paid).await;
        answer.expecting_problem(StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.customer.find(id).await.status, "AWAITING_PAYMENT");

    let signature = secret.sign(now, &declined);
    for _ in 0..3 {
        world.post_webhook(now, &signature, &declined).await.expecting(StatusCode::NO_CONTENT);
    }
    let order = world.until_status(id, &["REJECTED"]).await;
    assert_eq!(order.reason.as_deref(), Some("PAYMENT_DECLINED"));
    world.post_webhook(now, &signature, &declined).await.expecting(StatusCode::NO_CONTENT);
    let books = world.books_balance(&tea, 5, &[id]).await;
    assert_eq!((books.available(), books.taken()), (5, 0));
}
