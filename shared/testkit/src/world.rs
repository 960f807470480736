//! What one test works with: callers, products with stock, and direct access to the tables.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::primitives::Blob;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_domain::event::data::{Data, OrderStatusUpdated};
use trackops_domain::order::OrderStatus;
use trackops_domain::{Cause, Event};
use uuid::Uuid;

use crate::books::text;
use crate::{Caller, Fault, FaultGuard, Order, System, eventually};

const LONG_AGO: &str = "2020-01-01T00:00:00.000Z";

/// The price of every new item, in euros.
const UNIT_PRICE: &str = "12.50";

/// An item of a table, as stored.
pub type Row = HashMap<String, AttributeValue>;

/// One test's view of the shared system: a new customer, an operator and clients for this test's runtime.
pub struct World {
    pub system: &'static System,
    pub customer: Caller,
    pub operator: Caller,
    pub http: reqwest::Client,
    pub dynamo: aws_sdk_dynamodb::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub steps: aws_sdk_sfn::Client,
    pub queues: aws_sdk_sqs::Client,
    pub bus: aws_sdk_eventbridge::Client,
    pub topics: aws_sdk_sns::Client,
}

impl World {
    pub async fn new() -> Self {
        Self::of(System::shared())
    }

    /// On a system whose bus is Kafka.
    pub async fn on_kafka() -> Self {
        Self::of(System::on_kafka())
    }

    fn of(system: &'static System) -> Self {
        // In a build of the whole workspace reqwest is built with TLS, and needs a TLS provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        let aws = system.aws();
        let caller = |role: &str, id: &str| {
            let token =
                system.token(role, id).unwrap_or_else(|error| panic!("no token: {error:?}"));
            Caller::new(id, Some(token), system, http.clone())
        };
        Self {
            system,
            customer: caller("customer", &unique("customer")),
            operator: caller("operator", "operator"),
            dynamo: aws_sdk_dynamodb::Client::new(&aws),
            lambda: aws_sdk_lambda::Client::new(&aws),
            steps: aws_sdk_sfn::Client::new(&aws),
            queues: aws_sdk_sqs::Client::new(&aws),
            bus: aws_sdk_eventbridge::Client::new(&aws),
            topics: aws_sdk_sns::Client::new(&aws),
            http,
        }
    }

    /// Another customer.
    pub fn another_customer(&self) -> Caller {
        let id = unique("customer");
        let token = self
            .system
            .token("customer", &id)
            .unwrap_or_else(|error| panic!("no token: {error:?}"));
        Caller::new(&id, Some(token), self.system, self.http.clone())
    }

    /// Somebody who shows `token`, or none.
    pub fn stranger(&self, token: Option<&str>) -> Caller {
        Caller::new("stranger", token.map(str::to_owned), self.system, self.http.clone())
    }

    /// Puts `units` of a new product on the shelf; its SKU starts with `name` and is this test's own.
    pub async fn stock(&self, name: &str, units: i64) -> String {
        let sku = unique(name);
        self.put_on_shelf(&sku, UNIT_PRICE, units).await;
        sku
    }

    async fn put_on_shelf(&self, sku: &str, unit_price: &str, units: i64) {
        let item = json!({
            "productId": sku, "productName": sku, "unitPrice": unit_price, "currency": "EUR",
            "availableQuantity": units,
        });
        self.operator.create_item(&item).await.expecting(StatusCode::CREATED);
    }

    /// Stock that the orders service does not know yet, because its copy of the catalogue is held back.
    pub async fn unheard_of_stock(&self, unit_price: &str, units: i64) -> (FaultGuard, String) {
        let sku = unique("UNHEARD-OF");
        let deaf = self.inject(Fault::of_function("project-catalogue", &sku).until_lifted()).await;
        self.put_on_shelf(&sku, unit_price, units).await;
        (deaf, sku)
    }

    /// Waits until the order has one of `statuses`, and returns the order.
    pub async fn until_status(&self, order_id: &str, statuses: &[&str]) -> Order {
        eventually(&format!("order {order_id} to be {}", statuses.join(" or ")), async || {
            let status = self.status(order_id).await;
            if statuses.contains(&status.as_str()) {
                return Ok(());
            }
            assert_not_over(order_id, &status, statuses);
            Err(status)
        })
        .await;
        self.operator.find(order_id).await
    }

    /// The order's status, read from the table: asking the API this often would be most of the load.
    async fn status(&self, order_id: &str) -> String {
        let row = self.row("OrdersTable", &format!("ORDER#{order_id}")).await;
        let row = row.unwrap_or_else(|| panic!("there is no order {order_id}"));
        text(&row, "status")
    }

    /// Waits until the order's timeline has exactly these events of inventory and payments, oldest first; answers the entries
    /// as `caller` sees them.
    pub async fn until_noted(&self, caller: &Caller, order_id: &str, types: &[&str]) -> Vec<Value> {
        let path = format!("/api/orders/{order_id}/timeline");
        let what = format!("order {order_id} to have noted {}", types.join(", "));
        eventually(&what, async || {
            let timeline = caller.ask_orders(Method::GET, &path, None, None).await;
            let timeline = timeline.expecting(StatusCode::OK).body;
            let entries = timeline["entries"].as_array().into_iter().flatten();
            let noted = entries.filter(|entry| entry["kind"] == "OUTCOME");
            if noted.clone().map(|entry| &entry["type"]).eq(types) {
                Ok(noted.cloned().collect())
            } else {
                Err(timeline.to_string())
            }
        })
        .await
    }

    /// Invokes a function as its schedule or queue would; returns its answer, or the error it failed with.
    pub async fn invoke(&self, job: &str, payload: Value) -> Result<Value, String> {
        let answer = self
            .lambda
            .invoke()
            .function_name(self.system.function(job))
            .payload(Blob::new(payload.to_string()))
            .send()
            .await
            .unwrap_or_else(|error| panic!("cannot invoke {job}: {error:?}"));
        let body = answer.payload().map(|blob| String::from_utf8_lossy(blob.as_ref()).into_owned());
        let body = body.unwrap_or_default();
        match answer.function_error() {
            None => Ok(serde_json::from_str(&body).unwrap_or(Value::Null)),
            Some(_) => Err(body),
        }
    }

    /// Starts the order's saga once more, as one more event about it would.
    pub async fn run_saga(&self, order_id: &str) {
        let cause = Cause { correlation_id: "test".into(), ..Cause::default() };
        let event = Event::raised(
            &unique("event"),
            order_id.to_owned(),
            1,
            LONG_AGO.parse().expect("a time"),
            &cause,
            Data::OrderStatusUpdated(OrderStatusUpdated {
                customer_id: "anyone".parse().expect("a customer's id"),
                order_id: order_id.parse().expect("an order's id"),
                previous_status: OrderStatus::Pending,
                reason: None,
                status: OrderStatus::Cancelling,
            }),
        );
        let kind = event.kind;
        let delivered = json!({"source": kind.source(), "detail-type": kind, "detail": event});
        self.deliver("start-saga", &delivered).await;
    }

    /// Hands a consumer a message as its queue would.
    pub async fn deliver(&self, job: &str, message: &Value) {
        let queued = json!({"Records": [{
            "messageId": unique("message"), "receiptHandle": "test", "body": message.to_string(),
            "attributes": {}, "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:test", "awsRegion": self.system.region,
        }]});
        let answer = self.invoke(job, queued).await;
        let answer = answer.unwrap_or_else(|error| panic!("{job} fails: {error}"));
        let failures = &answer["batchItemFailures"];
        assert!(failures.as_array().is_none_or(Vec::is_empty), "{job} did not take it: {failures}");
    }

    /// The customer withdraws an order.
    pub async fn cancel(&self, order_id: &str) -> Order {
        self.customer.cancel(order_id).await.expecting(StatusCode::ACCEPTED).order()
    }

    /// Lets the order's next deadline be now, and runs the recovery its schedule would run.
    pub async fn recover(&self, order_id: &str) {
        self.backdate("OrdersTable", &format!("ORDER#{order_id}"), "due_at").await;
        // It fails as long as some item cannot be helped, even if the item belongs to another test.
        let _ = self.invoke("recover-sagas", json!({})).await;
    }

    /// Lets the time pass in which the recovery tries to help an order with a step that says `Broken`.
    pub async fn let_it_fail(&self, order_id: &str) -> Order {
        self.backdate("OrdersTable", &format!("ORDER#{order_id}"), "payment_deadline").await;
        self.recover_until(order_id, &["REJECTED", "EXPIRED", "CONFIRMED"]).await
    }

    /// Lets the hold of a reservation run out now, and runs the function its schedule would run.
    pub async fn expire_hold(&self, reservation_id: &str) {
        let key = format!("RES#{reservation_id}");
        self.backdate("InventoryTable", &key, "due_at").await;
        // It fails when something is busy, even if that belongs to another test.
        eventually("the holds that ran out to be given back", async || {
            self.invoke("expire-reservations", json!({})).await.map(drop)
        })
        .await;
    }

    /// Lets time pass for the order until it is as expected; as [`Self::recover`], but no faster than a saga runs.
    pub async fn recover_until(&self, order_id: &str, statuses: &[&str]) -> Order {
        let what = format!("order {order_id} to be recovered to {}", statuses.join(" or "));
        eventually(&what, async || {
            self.recover(order_id).await;
            let mut status = String::new();
            for _ in 0..20 {
                status = self.status(order_id).await;
                if statuses.contains(&status.as_str()) {
                    return Ok(());
                }
                assert_not_over(order_id, &status, statuses);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(status)
        })
        .await;
        self.operator.find(order_id).await
    }

    /// Makes the unpublished events of the row overdue, and runs the sweeper as its schedule would.
    pub async fn sweep(&self, table: &str, key: &str) {
        self.backdate(table, key, "unpublished_since").await;
        // It fails as long as some event cannot be published, even if the event belongs to another test.
        let _ = self.invoke("sweep-outbox", json!({})).await;
    }

    /// Moves the payment deadline of an order that awaits its payment into the past, in the order and in the payment.
    pub async fn let_payment_be_overdue(&self, order_id: &str) {
        self.backdate("OrdersTable", &format!("ORDER#{order_id}"), "payment_deadline").await;
        let updated = self
            .dynamo
            .update_item()
            .table_name(self.system.output("PaymentsTable"))
            .key("pk", AttributeValue::S(format!("PAY#{order_id}")))
            .update_expression("SET intent.wanted_until = :time")
            .expression_attribute_values(":time", AttributeValue::S(LONG_AGO.to_owned()))
            .send()
            .await;
        updated.unwrap_or_else(|error| panic!("no payment of {order_id}: {error:?}"));
    }

    /// Moves a time of a row far back, if the row has it at all.
    pub async fn backdate(&self, table: &str, key: &str, attribute: &str) {
        self.set_time(table, key, attribute, LONG_AGO).await;
    }

    async fn set_time(&self, table: &str, key: &str, attribute: &str, time: &str) {
        let updated = self
            .dynamo
            .update_item()
            .table_name(self.system.output(table))
            .key("pk", AttributeValue::S(key.to_owned()))
            .update_expression("SET #time = :time")
            .condition_expression("attribute_exists(#time)")
            .expression_attribute_names("#time", attribute)
            .expression_attribute_values(":time", AttributeValue::S(time.to_owned()))
            .send()
            .await;
        if let Err(error) = updated {
            let absent = error
                .as_service_error()
                .is_some_and(|error| error.is_conditional_check_failed_exception());
            assert!(absent, "cannot set {attribute} of {key}: {error:?}");
        }
    }

    /// Sets an attribute of a row, as another version of TrackOps would.
    pub async fn set(&self, table: &str, key: &str, attribute: &str, value: AttributeValue) {
        self.dynamo
            .update_item()
            .table_name(self.system.output(table))
            .key("pk", AttributeValue::S(key.to_owned()))
            .update_expression("SET #attribute = :value")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .unwrap_or_else(|error| panic!("cannot set {attribute} of {key}: {error:?}"));
    }

    /// A row of one of the stack's tables, named by the output that names the table.
    pub async fn row(&self, table: &str, key: &str) -> Option<Row> {
        self.dynamo
            .get_item()
            .table_name(self.system.output(table))
            .key("pk", AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .unwrap_or_else(|error| panic!("cannot read {key} of {table}: {error:?}"))
            .item
    }
}

/// An order that has ended in another status will never be as expected.
#[track_caller]
fn assert_not_over(order_id: &str, status: &str, expected: &[&str]) {
    let over = matches!(status, "CANCELLED" | "REJECTED" | "EXPIRED");
    assert!(!over, "expected order {order_id} to be {expected:?}, but it ended as {status}");
}

/// `name` with a suffix that no other test uses.
pub fn unique(name: &str) -> String {
    let suffix = Uuid::new_v4().simple().to_string();
    format!("{name}-{}", &suffix[..12])
}
