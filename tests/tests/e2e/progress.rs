//! What an order shows of its saga: the steps, how often they were tried, when, with which outcome, and who did what.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Basket, Caller, Fault, World};

const FORWARD: [&str; 4] =
    ["ReserveInventory", "ChargePayment", "CommitReservation", "ConfirmOrder"];
const BACK: [&str; 3] = ["RefundPayment", "ReleaseInventory", "CloseOrder"];

async fn get(caller: &Caller, id: &str, part: &str) -> Answer {
    let path = format!("/api/orders/{id}/{part}");
    caller.ask_orders(Method::GET, &path, None, None).await.expecting(StatusCode::OK)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn each<'a>(values: &'a [Value], field: &str) -> Vec<&'a str> {
    values.iter().map(|value| text(value, field)).collect()
}

/// The runs that changed the order, each with steps that follow one another.
async fn runs(caller: &Caller, id: &str) -> Vec<Value> {
    let runs = list(&get(caller, id, "saga").await.body["runs"]).to_vec();
    for run in &runs {
        assert!(text(run, "instance").starts_with(id), "{run}");
        let mut before = text(run, "startedAt");
        for step in list(&run["steps"]) {
            for field in ["startedAt", "endedAt"] {
                assert!(text(step, field) >= before, "a step out of order: {run}");
                before = text(step, field);
            }
            assert!(step["attempts"].as_u64() >= Some(1), "{step}");
        }
    }
    runs
}

fn step<'a>(runs: &'a [Value], name: &str) -> &'a Value {
    let steps = runs.iter().flat_map(|run| list(&run["steps"]));
    let mut steps = steps.filter(|step| step["name"] == name);
    steps.next().unwrap_or_else(|| panic!("no {name} in {runs:?}"))
}

#[tokio::test]
async fn a_confirmed_order_shows_every_step_of_its_run() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    let runs = runs(&world.customer, &order.order_id).await;
    let [run] = &runs[..] else { panic!("one run has changed it: {runs:?}") };
    let steps = list(&run["steps"]);
    assert_eq!((text(run, "direction"), each(steps, "name")), ("FORWARD", FORWARD.to_vec()));
    assert_eq!(each(steps, "outcome"), ["Succeeded"; 4]);
    assert!(steps.iter().all(|step| step["attempts"] == 1), "{steps:?}");
}

#[tokio::test]
async fn a_step_that_was_tried_again_shows_how_often() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let charge = Fault::of_function("charge-payment", &id).times(2).raising("Busy");
    let charge = world.inject(charge).await;
    let confirm = world.inject(Fault::of_function("confirm-order", &id).raising("Busy")).await;
    world.customer.order(&basket).await;
    world.until_status(&id, &["CONFIRMED"]).await;
    assert_eq!((charge.hits().await, confirm.hits().await), (2, 1));
    let runs = runs(&world.customer, &id).await;
    let steps = list(&runs[0]["steps"]);
    let attempts: Vec<_> = steps.iter().filter_map(|step| step["attempts"].as_u64()).collect();
    assert_eq!(attempts, [1, 3, 1, 2], "{steps:?}");
    assert_eq!(each(steps, "outcome"), ["Succeeded"; 4]);
}

#[tokio::test]
async fn an_order_that_was_given_up_shows_the_step_that_failed_and_the_way_back() {
    let world = World::new().await;
    let tea = world.stock("TEA", 1).await;
    for (quantity, card, failed, outcome, released) in [
        (2, "tok_ok", "ReserveInventory", "OutOfStock", "NothingToRelease"),
        (1, "tok_declined", "ChargePayment", "PaymentDeclined", "Succeeded"),
    ] {
        let basket = Basket::of(&tea, quantity).paying_with(card);
        let id = world.customer.order(&basket).await.order_id;
        world.until_status(&id, &["REJECTED"]).await;
        let runs = runs(&world.customer, &id).await;
        assert_eq!(text(step(&runs, failed), "outcome"), outcome);
        // The lock starts one more run back: either of the two may be the one that closes.
        for (name, outcome) in [
            ("AbandonOrder", "Succeeded"),
            ("RefundPayment", "NothingToRefund"),
            ("ReleaseInventory", released),
            ("CloseOrder", "Succeeded"),
        ] {
            assert_eq!(text(step(&runs, name), "outcome"), outcome, "{name}");
        }
        let last = runs.last().map(|run| list(&run["steps"])).unwrap_or_default();
        assert!(each(last, "name").ends_with(&BACK), "{last:?}");
    }
}

#[tokio::test]
async fn what_broke_a_step_is_told_to_operators_and_not_to_customers() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let broken = Fault::of_function("commit-reservation", &id).until_lifted();
    let broken = world.inject(broken.raising("Broken")).await;
    world.customer.order(&basket).await;
    broken.struck(4).await;
    world.let_it_fail(&id).await;
    for (caller, outcome) in [(&world.operator, "Broken"), (&world.customer, "Failed")] {
        let runs = runs(caller, &id).await;
        let failed = step(&runs, "CommitReservation");
        assert_eq!((text(failed, "outcome"), &failed["attempts"]), (outcome, &json!(4)));
        let timeline = get(caller, &id, "timeline").await.body;
        let entries = list(&timeline["entries"]).iter();
        let failed: Vec<_> = entries.filter(|entry| entry["outcome"] == outcome).collect();
        assert_eq!(failed.len(), 1, "{timeline}");
    }
    broken.lift();
}

#[tokio::test]
async fn each_run_that_changed_an_order_is_kept_from_its_payment_to_its_cancellation() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_pending_ok")).await;
    let id = &order.order_id;
    world.until_status(id, &["CONFIRMED"]).await;
    world.cancel(id).await;
    world.until_status(id, &["CANCELLED"]).await;
    let runs = runs(&world.customer, id).await;
    let told: Vec<_> = runs
        .iter()
        .map(|run| (text(run, "direction"), each(list(&run["steps"]), "name")))
        .collect();
    let waited = vec!["ReserveInventory", "ChargePayment", "AwaitPayment"];
    let expected = [("FORWARD", waited), ("FORWARD", FORWARD.to_vec()), ("BACK", BACK.to_vec())];
    assert_eq!(told, expected);
    assert_eq!(text(step(&runs, "ChargePayment"), "outcome"), "PaymentPending");
}

#[tokio::test]
async fn a_timeline_says_what_happened_when_and_who_did_it() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let id = world.customer.order(&Basket::of(&tea, 2)).await.order_id;
    world.until_status(&id, &["CONFIRMED"]).await;
    let body = json!({"status": "PROCESSING"});
    let path = format!("/api/orders/{id}/status");
    let moved = world.operator.ask_orders(Method::PUT, &path, None, Some(&body)).await;
    moved.expecting(StatusCode::OK);
    world.cancel(&id).await;
    world.until_status(&id, &["CANCELLED"]).await;
    let noted = ["payment.refunded", "inventory.released"];
    world.until_noted(&world.customer, &id, &noted).await;

    let timeline = get(&world.customer, &id, "timeline").await.body;
    let entries = list(&timeline["entries"]);
    assert!(each(entries, "at").is_sorted(), "{timeline}");
    let what = |entry: &Value| {
        let name = match text(entry, "kind") {
            "STATUS" => "status",
            "OUTCOME" => "type",
            _ => "name",
        };
        text(entry, name).to_owned()
    };
    let steps_then = |steps: &[&str], status: &str| -> Vec<String> {
        steps.iter().copied().chain([status]).map(str::to_owned).collect()
    };
    let expected = [
        steps_then(&[], "PENDING"),
        steps_then(&FORWARD, "CONFIRMED"),
        steps_then(&[], "PROCESSING"),
        steps_then(&[], "CANCELLING"),
        steps_then(&BACK, "CANCELLED"),
    ];
    let told: Vec<_> = entries.iter().map(what).collect();
    let of_order: Vec<_> = told.iter().filter(|it| !noted.contains(&it.as_str())).collect();
    assert_eq!(of_order, expected.iter().flatten().collect::<Vec<_>>());
    let place = |name: &str| told.iter().position(|it| it == name);
    for outcome in noted {
        assert!(place("CANCELLING") < place(outcome) && place(outcome) < place("CANCELLED"));
    }

    let by = |timeline: &Value, name: &str| {
        let mut entries = list(&timeline["entries"]).iter();
        let entry = entries.find(|entry| what(entry) == name);
        entry.unwrap_or_else(|| panic!("no {name} in {timeline}"))["actor"].clone()
    };
    let (saga, myself) =
        (json!({"role": "saga"}), json!({"role": "customer", "subject": world.customer.id}));
    let operators = get(&world.operator, &id, "timeline").await.body;
    for timeline in [&timeline, &operators] {
        for (name, actor) in [
            ("PENDING", &myself),
            ("ChargePayment", &saga),
            ("CONFIRMED", &saga),
            ("CANCELLING", &myself),
            ("CloseOrder", &saga),
            ("CANCELLED", &saga),
        ] {
            assert_eq!(by(timeline, name), *actor, "{name}");
        }
    }
    assert_eq!(by(&timeline, "PROCESSING"), json!({"role": "operator"}));
    // The subject of the local issuer's tokens for operators.
    let operator = json!({"role": "operator", "subject": "local-operator"});
    assert_eq!(by(&operators, "PROCESSING"), operator);
}

#[tokio::test]
async fn of_an_order_that_goes_well_nothing_is_noted_and_of_its_cancellation_what_came_back() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let id = world.customer.order(&Basket::of(&tea, 2)).await.order_id;
    world.until_status(&id, &["CONFIRMED"]).await;
    let notes = format!("NOTES#{id}");
    assert_eq!(world.row("OrdersTable", &notes).await, None);
    world.cancel(&id).await;
    // If an earlier event had something to tell, it would have been noted by now.
    let expected = ["payment.refunded", "inventory.released"];
    let noted = world.until_noted(&world.customer, &id, &expected).await;
    let of = |entry: &Value, fields: [&str; 4]| fields.map(|field| entry[field].clone());
    let refunded = of(&noted[0], ["previousState", "state", "amount", "currency"]);
    assert_eq!(refunded, ["REFUNDING", "REFUNDED", "25.00", "EUR"].map(Value::from));
    assert_eq!(noted[1]["state"], "RELEASED");
    let noted = world.row("OrdersTable", &notes).await.expect("it is there");
    let events = noted.keys().filter(|name| name.contains('#')).count();
    assert_eq!(events, 2, "{noted:?}");
}

#[tokio::test]
async fn money_that_came_late_and_went_back_changes_the_timeline_though_not_the_order() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let id = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_late")).await.order_id;
    world.until_status(&id, &["AWAITING_PAYMENT"]).await;
    world.cancel(&id).await;
    let ended = world.until_status(&id, &["CANCELLED"]).await;
    world.until_noted(&world.customer, &id, &["inventory.released"]).await;
    let before = get(&world.customer, &id, "timeline").await;

    // The provider could not recall the charge, and takes the money now.
    let answer = json!({"chargeKey": id, "answersAt": "2020-01-01T00:00:00.000Z"});
    world.deliver("simulate-provider", &answer).await;
    let expected = ["inventory.released", "payment.processed", "payment.refunded"];
    let noted = world.until_noted(&world.customer, &id, &expected).await;
    let both = |field: &str| [&noted[1][field], &noted[2][field]].map(Value::clone);
    assert_eq!(both("previousState"), ["VOIDED", "REFUNDING"]);
    assert_eq!(both("state"), ["REFUNDING", "REFUNDED"]);
    assert_eq!(both("amount"), ["25.00", "25.00"]);
    assert_eq!(both("currency"), ["EUR", "EUR"]);

    assert_eq!(world.customer.find(&id).await.version, ended.version);
    let path = format!("/api/orders/{id}/timeline");
    let asked_again = async |answer: &Answer| {
        let tag = answer.header("etag").expect("a timeline has an ETag");
        let tag = Some(("If-None-Match", tag));
        world.customer.ask_orders(Method::GET, &path, tag, None).await
    };
    let after = asked_again(&before).await.expecting(StatusCode::OK);
    asked_again(&after).await.expecting(StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_hold_that_ran_out_is_on_the_timeline() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let id = world.customer.order(&Basket::of(&tea, 2).paying_with("tok_late")).await.order_id;
    world.until_status(&id, &["AWAITING_PAYMENT"]).await;
    world.expire_hold(&id).await;
    let noted = world.until_noted(&world.customer, &id, &["inventory.released"]).await;
    assert_eq!(noted[0]["state"], "EXPIRED");
}

#[tokio::test]
async fn an_order_out_of_stock_says_what_was_missing_and_to_operators_what_there_was() {
    let world = World::new().await;
    let (tea, cup) = (world.stock("TEA", 1).await, world.stock("CUP", 5).await);
    let id = world.customer.order(&Basket::of(&tea, 2).and(&cup, 1)).await.order_id;
    world.until_status(&id, &["REJECTED"]).await;
    for (caller, missing) in [
        (&world.customer, json!([{"productId": tea, "requested": 2}])),
        (&world.operator, json!([{"productId": tea, "requested": 2, "available": 1}])),
    ] {
        let noted = world.until_noted(caller, &id, &["inventory.reservation.failed"]).await;
        assert_eq!((&noted[0]["state"], &noted[0]["shortages"]), (&json!("REJECTED"), &missing));
    }
}

#[tokio::test]
async fn no_event_says_who_did_it_or_what_the_saga_did() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let id = world.customer.order(&Basket::of(&tea, 2)).await.order_id;
    world.until_status(&id, &["CONFIRMED"]).await;
    let body = json!({"status": "PROCESSING"});
    let path = format!("/api/orders/{id}/status");
    let moved = world.operator.ask_orders(Method::PUT, &path, None, Some(&body)).await;
    moved.expecting(StatusCode::OK);
    let seen = events
        .until("the last change of the order", &id, |seen| {
            seen.iter().any(|event| event.envelope["data"]["status"] == "PROCESSING")
        })
        .await;
    for event in seen {
        let told = event.envelope.to_string();
        for inside in ["actor", "operator", "ConfirmOrder", "instance"] {
            assert!(!told.contains(inside), "{inside} is in {told}");
        }
    }
    events.close().await;
}
