//! TrackOps as its callers see it.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use trackops_domain::OrderId;

use crate::world::unique;
use crate::{System, contract, eventually};

/// Somebody with a token, and the requests they make.
#[derive(Clone)]
pub struct Caller {
    pub id: String,
    token: Option<String>,
    system: &'static System,
    http: reqwest::Client,
}

impl Caller {
    pub(crate) fn new(
        id: &str,
        token: Option<String>,
        system: &'static System,
        http: reqwest::Client,
    ) -> Self {
        Self { id: id.to_owned(), token, system, http }
    }

    pub async fn place(&self, basket: &Basket) -> Answer {
        self.send(
            Method::POST,
            self.orders("/api/orders"),
            basket.key.as_deref().map(|key| ("Idempotency-Key", key)),
            Some(&basket.body),
        )
        .await
    }

    /// The basket with a new idempotency key, and the id of the order that it will make.
    pub fn keyed(&self, basket: Basket) -> (Basket, String) {
        let key = unique("key");
        let id = OrderId::for_idempotency_key(&self.id, &key);
        (basket.under_key(&key), id.to_string())
    }

    /// The `Authorization` header of this caller's requests.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token.as_deref().unwrap_or_default())
    }

    /// Places an order that must be accepted.
    pub async fn order(&self, basket: &Basket) -> Order {
        self.place(basket).await.expecting(StatusCode::CREATED).order()
    }

    pub async fn look_up(&self, order_id: &str) -> Answer {
        self.send(Method::GET, self.orders(&format!("/api/orders/{order_id}")), None, None).await
    }

    pub async fn find(&self, order_id: &str) -> Order {
        self.look_up(order_id).await.expecting(StatusCode::OK).order()
    }

    pub async fn cancel(&self, order_id: &str) -> Answer {
        self.send(Method::DELETE, self.orders(&format!("/api/orders/{order_id}")), None, None).await
    }

    pub async fn create_item(&self, item: &Value) -> Answer {
        let url = format!("{}/api/inventory/items", self.system.inventory);
        self.send(Method::POST, url, None, Some(item)).await
    }

    pub async fn look_up_item(&self, sku: &str) -> Answer {
        let url = format!("{}/api/inventory/items/{sku}", self.system.inventory);
        self.send(Method::GET, url, None, None).await
    }

    pub async fn find_item(&self, sku: &str) -> Item {
        let answer = self.look_up_item(sku).await.expecting(StatusCode::OK);
        serde_json::from_value(answer.body.clone())
            .unwrap_or_else(|error| panic!("{error} in the item {}", answer.body))
    }

    /// Any request to the inventory API, with a header if need be.
    pub async fn ask_inventory(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: Option<&Value>,
    ) -> Answer {
        let url = format!("{}/api/inventory{path}", self.system.inventory);
        self.send(method, url, header, body).await
    }

    /// Any request to the orders API, with a header if need be.
    pub async fn ask_orders(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: Option<&Value>,
    ) -> Answer {
        self.send(method, self.orders(path), header, body).await
    }

    /// Any request to the relay API.
    pub async fn ask_relay(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}/api/events{path}", self.system.relay);
        self.send(method, url, None, body).await
    }

    fn orders(&self, path: &str) -> String {
        format!("{}{path}", self.system.orders)
    }

    async fn send(
        &self,
        method: Method,
        url: String,
        header: Option<(&str, &str)>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.http.request(method.clone(), &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::read(format!("{method} {url}"), request).await
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Answer {
    asked: String,
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The answer to a request that no method of [`Caller`] makes; `asked` names it when it is not as expected. The
    /// answer must be in the service's OpenAPI document. A request that is throttled is made again: all callers share
    /// the limits of a method, also tests that run at the same time.
    pub async fn read(asked: String, request: reqwest::RequestBuilder) -> Self {
        let again =
            || request.try_clone().unwrap_or_else(|| panic!("{asked}: its body is a stream"));
        eventually(&format!("{asked} not to be throttled"), async || {
            let answer = Self::read_once(asked.clone(), again()).await;
            match answer.status {
                StatusCode::TOO_MANY_REQUESTS => Err("it is".to_owned()),
                _ => Ok(answer),
            }
        })
        .await
    }

    /// [`Self::read`], but returns an answer that is throttled, too.
    pub async fn read_once(asked: String, request: reqwest::RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let sent = request.try_clone().unwrap_or_else(|| panic!("{asked}: its body is a stream"));
        let response = client.execute(request).await;
        let response = response.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        if let Err(broken) = contract::check(System::shared(), &sent, status, &headers, &text) {
            panic!("{asked} is not as documented in infra/openapi: {broken}\n{status}: {text}");
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { asked, status, headers, body }
    }

    #[track_caller]
    pub fn expecting(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.body);
        self
    }

    /// The answer is an RFC 9457 problem with this status.
    #[track_caller]
    pub fn expecting_problem(self, status: StatusCode) -> Self {
        let answer = self.expecting(status);
        let media_type = answer.header("content-type").unwrap_or_default();
        assert!(
            media_type.starts_with("application/problem+json"),
            "{}: is {media_type:?}",
            answer.asked
        );
        assert_eq!(answer.body["status"], status.as_u16(), "{}: {}", answer.asked, answer.body);
        answer
    }

    #[track_caller]
    pub fn order(&self) -> Order {
        serde_json::from_value(self.body.clone())
            .unwrap_or_else(|error| panic!("{}: {error} in the order {}", self.asked, self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub order_id: String,
    pub customer_id: String,
    pub status: String,
    pub reason: Option<String>,
    pub items: Vec<OrderLine>,
    pub total_amount: String,
    pub currency: String,
    pub version: u64,
    pub updated_at: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderLine {
    pub product_id: String,
    pub quantity: i64,
    pub unit_price: String,
    pub line_total: String,
}

impl Order {
    /// Nothing more will happen to the order by itself, and nothing waits for a deadline.
    pub fn is_settled(&self) -> bool {
        matches!(self.status.as_str(), "CONFIRMED" | "CANCELLED" | "REJECTED" | "EXPIRED")
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    pub product_id: String,
    pub unit_price: String,
    pub on_hand_quantity: i64,
    pub available_quantity: i64,
    pub reserved_quantity: i64,
}

/// An order about to be placed.
#[derive(Debug, Clone)]
pub struct Basket {
    body: Value,
    key: Option<String>,
}

impl Basket {
    /// `quantity` of `sku`, paid in euros with a card that works.
    pub fn of(sku: &str, quantity: u32) -> Self {
        let body = json!({
            "items": [{"productId": sku, "quantity": quantity}],
            "address": {
                "streetAddress": "1 Harbour Road", "city": "Utrecht", "postalCode": "3511", "country": "NL",
            },
            "paymentMethod": "tok_ok",
            "currency": "EUR",
        });
        Self { body, key: None }
    }

    pub fn and(mut self, sku: &str, quantity: u32) -> Self {
        if let Some(items) = self.body["items"].as_array_mut() {
            items.push(json!({"productId": sku, "quantity": quantity}));
        }
        self
    }

    pub fn paying_with(self, token: &str) -> Self {
        self.with("paymentMethod", token.into())
    }

    pub fn under_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub fn body(&self) -> &Value {
        &self.body
    }

    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.body[field] = value;
        self
    }
}
