//! The demo: orders that go well and orders that do not, each followed live to its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::clients::Aws;
use crate::http::{Answer, Http};
use crate::instance::{Instance, Running};
use crate::stack::{self, Outputs};
use crate::token::{Role, Which, sign};
use crate::{note, say};

/// Products of the sample data.
pub const PLENTIFUL: &str = "TEA-SENCHA-100";
pub const SOLD_OUT: &str = "TEA-GYOKURO-50";

/// The statuses in which an order may end here; the demo ships nothing.
const ENDS: [&str; 4] = ["CONFIRMED", "REJECTED", "CANCELLED", "EXPIRED"];
const ENDS_WITHIN: Duration = Duration::from_secs(120);

struct Journey {
    title: &'static str,
    product: &'static str,
    payment_method: &'static str,
    ends: &'static str,
    /// The order is cancelled when it has reached the end above, and then ends as CANCELLED.
    cancelled: bool,
}

const JOURNEYS: [Journey; 4] = [
    Journey {
        title: "An order that goes well",
        product: PLENTIFUL,
        payment_method: "tok_ok",
        ends: "CONFIRMED",
        cancelled: false,
    },
    Journey {
        title: "An order for something out of stock",
        product: SOLD_OUT,
        payment_method: "tok_ok",
        ends: "REJECTED",
        cancelled: false,
    },
    Journey {
        title: "An order whose payment is declined",
        product: PLENTIFUL,
        payment_method: "tok_declined",
        ends: "REJECTED",
        cancelled: false,
    },
    Journey {
        title: "An order that is cancelled after it was confirmed",
        product: PLENTIFUL,
        payment_method: "tok_ok",
        ends: "CONFIRMED",
        cancelled: true,
    },
];

/// Which journeys to show: only the first as a part of `up`, or all as the result of `demo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    First,
    All,
}

/// # Errors
/// When a journey does not end as it should.
pub async fn demo(instance: &Instance, show: Show) -> Result<()> {
    let watcher = Watcher::of(instance, show).await?;
    let count = if show == Show::All { JOURNEYS.len() } else { 1 };
    for (number, journey) in JOURNEYS[..count].iter().enumerate() {
        let Journey { title, product, payment_method, .. } = journey;
        watcher.say(&format!(
            "\n{}. {title}: 2 x {product}, paid with {payment_method}",
            number + 1
        ))?;
        watcher.travel(journey).await?;
    }
    watcher.say("")?;
    Ok(())
}

struct Watcher {
    instance: Instance,
    http: Http,
    aws: Aws,
    running: Running,
    outputs: Outputs,
    token: String,
    show: Show,
}

/// The state of one order in the three services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sight {
    order: String,
    reason: Option<String>,
    stock: Option<String>,
    payment: Option<String>,
}

impl Watcher {
    async fn of(instance: &Instance, show: Show) -> Result<Self> {
        let running = instance.expect_running()?;
        let aws = Aws::at(&running.endpoints.endpoint);
        let outputs = stack::outputs(instance, &aws).await?;
        let token = sign(instance.name(), Which::Current, Role::Customer, Some("demo-customer"))?;
        Ok(Self {
            instance: instance.clone(),
            http: Http::new(),
            aws,
            running,
            outputs,
            token,
            show,
        })
    }

    async fn travel(&self, journey: &Journey) -> Result<()> {
        let started = Instant::now();
        let order = self.place(journey).await?;
        let id = order["orderId"].as_str().context("an order has an id")?;
        self.tell(
            started,
            &format!(
                "order {id} is placed: {} {}",
                text(&order["totalAmount"]),
                text(&order["currency"])
            ),
        )?;
        let seen = self.follow(id, journey.ends, started, Sight::default()).await?;
        if journey.cancelled {
            let answer =
                self.http.ask(Method::DELETE, &self.order_url(id), &self.token, None).await?;
            expect(&answer, StatusCode::ACCEPTED)?;
            self.tell(started, "the customer cancels")?;
            self.follow(id, "CANCELLED", started, seen).await?;
        }
        Ok(())
    }

    async fn place(&self, journey: &Journey) -> Result<Value> {
        let order = json!({
            "items": [{"productId": journey.product, "quantity": 2}],
            "address": {"streetAddress": "1 Harbour Street", "city": "Galway", "postalCode": "H91 E2K3", "country": "IE"},
            "paymentMethod": journey.payment_method,
            "currency": "EUR",
        });
        let url = format!("{}/api/orders", self.running.endpoints.orders);
        let answer = self.http.ask(Method::POST, &url, &self.token, Some(&order)).await?;
        expect(&answer, StatusCode::CREATED)?;
        answer.json()
    }

    /// Prints every change until order, stock and money have reached the end.
    async fn follow(
        &self,
        id: &str,
        end: &str,
        started: Instant,
        mut seen: Sight,
    ) -> Result<Sight> {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            let now = self.look(id).await?;
            for line in now.news_since(&seen) {
                self.tell(started, &line)?;
            }
            if now.is_settled_as(end) {
                return Ok(now);
            }
            let wrong_end = ["CONFIRMED", "REJECTED", "CANCELLED", "EXPIRED"]
                .contains(&now.order.as_str())
                && ![end, seen.order.as_str()].contains(&now.order.as_str());
            if wrong_end || Instant::now() > deadline {
                bail!(
                    "the order should have ended as {end}, with stock and money to match, but {now}: \
                     {} tells more",
                    self.instance.command("logs")
                );
            }
            seen = now;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn look(&self, id: &str) -> Result<Sight> {
        let answer = self.http.ask(Method::GET, &self.order_url(id), &self.token, None).await?;
        expect(&answer, StatusCode::OK)?;
        let order = answer.json()?;
        Ok(Sight {
            order: text(&order["status"]).to_owned(),
            reason: order["reason"].as_str().map(str::to_owned),
            stock: self.state("InventoryTable", &format!("RES#{id}")).await?,
            payment: self.state("PaymentsTable", &format!("PAY#{id}")).await?,
        })
    }

    /// What a service has stored; its API does not show all of it to everybody.
    async fn state(&self, table: &str, key: &str) -> Result<Option<String>> {
        let name = self
            .outputs
            .get(table)
            .with_context(|| format!("template.yaml has no output {table}"))?;
        let input = json!({"TableName": name, "Key": {"pk": {"S": key}}, "ConsistentRead": true});
        let found = self.aws.call("dynamodb", "DynamoDB_20120810.GetItem", &input).await?;
        Ok(found["Item"]["state"]["S"].as_str().map(str::to_owned))
    }

    fn tell(&self, started: Instant, what: &str) -> Result<()> {
        self.say(&format!("   {:6.2} s  {what}", started.elapsed().as_secs_f32()))
    }

    fn say(&self, line: &str) -> Result<()> {
        match self.show {
            Show::First => note!("{line}"),
            Show::All => say!("{line}")?,
        }
        Ok(())
    }

    fn order_url(&self, id: &str) -> String {
        format!("{}/api/orders/{id}", self.running.endpoints.orders)
    }
}

impl Sight {
    /// One line per change. Changes that come together are printed in their likely order: stock, payment, the order's
    /// end.
    fn news_since(&self, before: &Self) -> Vec<String> {
        let changed = |name, now: &Option<String>, before: &Option<String>| {
            now.as_ref().filter(|_| now != before).map(|state| format!("{name} is {state}"))
        };
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let order =
            (self.order != before.order).then(|| format!("order is {}{reason}", self.order));
        let (begins, ends) =
            if ENDS.contains(&self.order.as_str()) { (None, order) } else { (order, None) };
        [
            begins,
            changed("stock", &self.stock, &before.stock),
            changed("payment", &self.payment, &before.payment),
            ends,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn is_settled_as(&self, end: &str) -> bool {
        let (stock, payment) = (self.stock.as_deref(), self.payment.as_deref());
        let agree = if end == "CONFIRMED" {
            stock == Some("COMMITTED") && payment == Some("PAID")
        } else {
            matches!(stock, None | Some("RELEASED" | "REJECTED" | "EXPIRED"))
                && matches!(payment, None | Some("VOIDED" | "DECLINED" | "REFUNDED"))
        };
        self.order == end && agree
    }
}

impl std::fmt::Display for Sight {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let or_none = |state: &Option<String>| state.clone().unwrap_or_else(|| "none".to_owned());
        write!(
            f,
            "order is {}, stock {}, payment {}",
            self.order,
            or_none(&self.stock),
            or_none(&self.payment)
        )
    }
}

fn expect(answer: &Answer, status: StatusCode) -> Result<()> {
    if answer.status != status {
        bail!("answered {} in place of {status}: {}", answer.status, answer.text());
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(order: &str, stock: Option<&str>, payment: Option<&str>) -> Sight {
        Sight {
            order: order.to_owned(),
            reason: None,
            stock: stock.map(str::to_owned),
            payment: payment.map(str::to_owned),
        }
    }

    #[test]
    fn an_end_counts_only_when_stock_and_money_agree_with_it() {
        assert!(sight("CONFIRMED", Some("COMMITTED"), Some("PAID")).is_settled_as("CONFIRMED"));
        assert!(!sight("CONFIRMED", Some("HELD"), Some("PAID")).is_settled_as("CONFIRMED"));
        assert!(sight("REJECTED", Some("REJECTED"), None).is_settled_as("REJECTED"));
        assert!(!sight("REJECTED", Some("HELD"), Some("DECLINED")).is_settled_as("REJECTED"));
        assert!(!sight("CANCELLED", Some("RELEASED"), Some("PAID")).is_settled_as("CANCELLED"));
    }

    #[test]
    fn news_are_told_once() {
        let held = sight("PENDING", Some("HELD"), None);
        assert_eq!(held.news_since(&Sight::default()), ["order is PENDING", "stock is HELD"]);
        assert_eq!(
            sight("PENDING", Some("HELD"), Some("PAID")).news_since(&held),
            ["payment is PAID"]
        );
    }
}
