//! An imitation of AWS with a table full of items whose events are not published. It answers after the time that AWS
//! normally takes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;
use trackops_aws::aggregate::Table;
use trackops_domain::order::Order;
use trackops_testkit::aws_at;

use crate::lambda::{Environment, environment, serve};

/// "Single-digit milliseconds", as AWS says of DynamoDB, and somewhat more for EventBridge.
const DYNAMODB_TAKES: Duration = Duration::from_millis(5);
const EVENTBRIDGE_TAKES: Duration = Duration::from_millis(20);

pub const SHARDS: usize = 8;

const REGION: &str = "eu-central-1";

/// What DynamoDB refuses to read, at every try.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub shard: Option<usize>,
    /// A call that asks for this item, alone or with others, gets no item.
    pub key: Option<String>,
}

#[derive(Default)]
pub struct Backlog {
    /// The attributes of an item, except its key.
    like: Mutex<Value>,
    /// Keys of each shard, in the order of the index.
    waiting: [Mutex<BTreeSet<String>>; SHARDS],
    faults: Faults,
    events: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// The key of the item with this number, which is in the shard `number % 8`.
pub fn key(number: usize) -> String {
    format!("ORDER#{number:08}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics holding it")
}

impl Backlog {
    /// A backlog of so many orders like this one, and the environment in which `sweep-outbox` finds it.
    pub async fn of(
        items: usize,
        like: &Order,
        faults: Faults,
    ) -> Result<(Arc<Self>, Environment)> {
        let aws = Arc::new(Self { faults, ..Self::default() });
        let endpoint = aws.clone().serve().await?;
        Table::at(&aws_at(&endpoint, REGION), "orders".to_owned()).create(like).await?;
        aws.fill(items)?;
        let mut environment = environment("sweep-outbox", REGION, endpoint);
        let of_sweeper = [
            ("TABLES", "orders,inventory,payments"),
            ("RELAY_TABLE", "relay"),
            ("EVENT_BUS", "bus"),
        ];
        environment.extend(of_sweeper.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok((aws, environment))
    }

    async fn serve(self: Arc<Self>) -> Result<String> {
        let (address, _) = serve(move |request| self.clone().answer(request)).await?;
        Ok(format!("http://{address}"))
    }

    /// Makes so many items like the one that was put.
    fn fill(&self, items: usize) -> Result<()> {
        lock(&self.like).as_object_mut().context("no item was put")?.remove("pk");
        for number in 0..items {
            let key = key(number);
            lock(&self.waiting[number % SHARDS]).insert(key);
        }
        Ok(())
    }

    pub fn left(&self) -> usize {
        self.waiting.iter().map(|shard| lock(shard).len()).sum()
    }

    pub fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// The number of requests; each of them has a connection.
    pub fn most_connections(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(under_way, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let target = head.headers.get("x-amz-target").context("not a call of AWS")?.to_str()?;
        let call: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
        let (service, operation) = target.split_once('.').context("no operation")?;
        let mut status = StatusCode::OK;
        let answer = if self.refuses(operation, &call) {
            status = StatusCode::BAD_REQUEST;
            json!({"__type": "com.amazon.coral.validate#ValidationException", "message": "no"})
        } else if service == "AWSEvents" {
            sleep(EVENTBRIDGE_TAKES).await;
            let entries = call["Entries"].as_array().map_or(0, Vec::len);
            self.events.fetch_add(entries, Ordering::Relaxed);
            let taken = json!({"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"});
            json!({"FailedEntryCount": 0, "Entries": vec![taken; entries]})
        } else {
            sleep(DYNAMODB_TAKES).await;
            self.dynamodb(operation, &call)?
        };
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let answer = Response::builder()
            .status(status)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amzn-requestid", "bench")
            .body(Full::from(answer.to_string()))?;
        Ok(answer)
    }

    fn refuses(&self, operation: &str, call: &Value) -> bool {
        let Faults { shard, key } = &self.faults;
        let keys = || call["RequestItems"]["orders"]["Keys"].as_array().into_iter().flatten();
        match operation {
            "Query" => shard.is_some_and(|shard| {
                let asked = call["ExpressionAttributeValues"][":shard"]["S"].as_str();
                let asked = asked.and_then(|asked| asked.parse::<usize>().ok());
                call["TableName"] == "orders" && asked == Some(shard)
            }),
            "BatchGetItem" => {
                key.as_ref().is_some_and(|key| keys().any(|it| it["pk"]["S"] == **key))
            }
            _ => false,
        }
    }

    fn dynamodb(&self, operation: &str, call: &Value) -> Result<Value> {
        Ok(match operation {
            "PutItem" => {
                *lock(&self.like) = call["Item"].clone();
                json!({})
            }
            "Query" if call["TableName"] == "orders" => self.query(call)?,
            "Query" => json!({"Items": [], "Count": 0}),
            "BatchGetItem" => self.items(call)?,
            "BatchExecuteStatement" => self.trim(call)?,
            "UpdateItem" => json!({}),
            _ => bail!("nobody prepared an answer to {operation}"),
        })
    }

    fn query(&self, call: &Value) -> Result<Value> {
        let shard: usize = call["ExpressionAttributeValues"][":shard"]["S"]
            .as_str()
            .context("no shard")?
            .parse()?;
        let after = call["ExclusiveStartKey"]["pk"]["S"].as_str().unwrap_or_default().to_owned();
        let limit = call["Limit"].as_u64().unwrap_or(10_000).try_into()?;
        let waiting = lock(&self.waiting[shard]);
        let behind = waiting.range(after.clone()..).filter(|key| **key != after);
        let keys: Vec<&String> = behind.take(limit).collect();
        let entry = |key: &&String| {
            let since = "2026-01-01T00:00:00.000Z";
            json!({"pk": {"S": key}, "unpublished": {"S": shard.to_string()}, "unpublished_since": {"S": since}})
        };
        let items: Vec<Value> = keys.iter().map(entry).collect();
        let last = (items.len() == limit).then(|| items.last().cloned()).flatten();
        let mut answer = json!({"Count": items.len(), "Items": items});
        if let Some(last) = last {
            answer["LastEvaluatedKey"] = last;
        }
        Ok(answer)
    }

    fn items(&self, call: &Value) -> Result<Value> {
        let tables = call["RequestItems"].as_object().context("no tables")?;
        let (table, wanted) = tables.iter().next().context("no table")?;
        let keys = wanted["Keys"].as_array().context("no keys")?;
        let like = lock(&self.like).clone();
        let is_projected = wanted["ProjectionExpression"].is_string();
        let item = |key: &Value| {
            let mut item =
                if is_projected { json!({"outbox": like["outbox"]}) } else { like.clone() };
            item["pk"] = key["pk"].clone();
            item["outbox"]["L"][0]["M"]["id"] =
                json!({"S": format!("{}#1", key["pk"]["S"].as_str()?)});
            Some(item)
        };
        let items: Vec<Value> =
            if table == "orders" { keys.iter().filter_map(item).collect() } else { Vec::new() };
        Ok(json!({"Responses": {table: items}}))
    }

    fn trim(&self, call: &Value) -> Result<Value> {
        let statements = call["Statements"].as_array().context("no statements")?;
        for statement in statements {
            let key = statement["Parameters"][0]["S"].as_str().context("no key")?;
            let number: usize = key.trim_start_matches("ORDER#").parse()?;
            lock(&self.waiting[number % SHARDS]).remove(key);
        }
        Ok(json!({"Responses": vec![json!({"TableName": "orders"}); statements.len()]}))
    }
}
