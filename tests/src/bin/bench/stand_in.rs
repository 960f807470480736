//! An imitation of AWS that answers at once, always with success: only the cost of the calls themselves is measured.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use trackops_tests::lambda::serve;

/// The requests that it got.
#[derive(Default)]
pub struct StandIn {
    /// Entries of PutEvents.
    pub events: AtomicU64,
    /// Calls of DynamoDB.
    pub calls: AtomicU64,
    /// Updates of items; one call may have many.
    pub updates: AtomicU64,
    /// The item that was put last.
    pub item: Mutex<Option<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    #[serde(default)]
    entries: Vec<IgnoredAny>,
    #[serde(default)]
    statements: Vec<IgnoredAny>,
    item: Option<Value>,
}

impl StandIn {
    /// The address of `self`.
    pub async fn serve(self: Arc<Self>) -> Result<String> {
        let (address, _) = serve(move |request| self.clone().answer(request)).await?;
        Ok(format!("http://{address}"))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let target = head.headers.get("x-amz-target").context("not a call of AWS")?.to_str()?;
        let call: Call = serde_json::from_slice(&body.collect().await?.to_bytes())?;
        let (service, operation) = target.split_once('.').context("no operation")?;
        let answer = match (service, operation) {
            ("AWSEvents", "PutEvents") => {
                self.events.fetch_add(count(&call.entries), Ordering::Relaxed);
                let taken = json!({"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"});
                let entries = vec![taken; call.entries.len()];
                json!({"FailedEntryCount": 0, "Entries": entries})
            }
            ("DynamoDB_20120810", operation) => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                self.dynamodb(operation, call)?
            }
            _ => bail!("nobody prepared an answer to {target}"),
        };
        let answer = Response::builder()
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amzn-requestid", "bench")
            .body(Full::from(answer.to_string()))?;
        Ok(answer)
    }

    fn dynamodb(&self, operation: &str, call: Call) -> Result<Value> {
        match operation {
            "GetItem" => Ok(json!({})),
            "UpdateItem" => {
                self.updates.fetch_add(1, Ordering::Relaxed);
                Ok(json!({}))
            }
            "BatchExecuteStatement" => {
                self.updates.fetch_add(count(&call.statements), Ordering::Relaxed);
                Ok(json!({"Responses": vec![json!({"TableName": "bench"}); call.statements.len()]}))
            }
            "PutItem" => {
                *self.item.lock().expect("nobody panics holding it") = call.item;
                Ok(json!({}))
            }
            _ => bail!("nobody prepared an answer to {operation}"),
        }
    }
}

fn count(list: &[IgnoredAny]) -> u64 {
    list.len().try_into().unwrap_or(u64::MAX)
}
