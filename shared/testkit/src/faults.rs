//! Faults the local cloud injects on request, each limited to one order, product or key, so tests run side by side.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::{World, eventually};

/// A failure to inject. It has no effect until it is given to [`World::inject`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    target: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    contains: String,
    when: &'static str,
    after_milliseconds: u64,
    times: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

impl Fault {
    fn on(target: &'static str, contains: &str) -> Self {
        Self {
            target,
            function: None,
            action: None,
            contains: contains.to_owned(),
            when: "before",
            after_milliseconds: 0,
            times: 1,
            status: None,
            error_type: None,
            error_code: None,
            body: None,
        }
    }

    /// Invocations of `function` whose payload contains `about` fail, before it runs.
    pub fn of_function(function: &str, about: &str) -> Self {
        Self {
            function: Some(function.to_owned()),
            error_type: Some("Injected".to_owned()),
            ..Self::on("lambda", about)
        }
    }

    /// DynamoDB calls of `operation` whose request contains `about` are answered with `error_type`.
    pub fn of_dynamodb(operation: &str, about: &str, error_type: &str) -> Self {
        Self {
            action: Some(format!("DynamoDB_20120810.{operation}")),
            status: Some(400),
            error_type: Some(error_type.to_owned()),
            ..Self::on("aws", about)
        }
    }

    /// Calls of PutEvents whose request contains `about` fail.
    pub fn of_put_events(about: &str) -> Self {
        Self {
            action: Some("AWSEvents.PutEvents".to_owned()),
            status: Some(503),
            error_type: Some("InternalException".to_owned()),
            ..Self::on("aws", about)
        }
    }

    /// Events that contain `about` are refused by the bus, within an otherwise successful PutEvents answer.
    pub fn of_the_bus(about: &str) -> Self {
        Self { error_code: Some("ThrottlingException".to_owned()), ..Self::on("put-events", about) }
    }

    /// The bus refuses with this code; some codes are about the event itself.
    pub fn refusing_with(self, error_code: &str) -> Self {
        Self { error_code: Some(error_code.to_owned()), ..self }
    }

    /// Fails after the work was done: the answer is thrown away.
    pub fn after(self) -> Self {
        Self { when: "after", ..self }
    }

    /// The function's processes are killed this long after the start of the invocation.
    pub fn killing_it_after(self, time: Duration) -> Self {
        let after_milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self { when: "during", after_milliseconds, ..self }
    }

    pub fn times(self, times: i32) -> Self {
        Self { times, ..self }
    }

    pub fn until_lifted(self) -> Self {
        self.times(-1)
    }

    pub fn raising(self, error_type: &str) -> Self {
        Self { error_type: Some(error_type.to_owned()), ..self }
    }

    pub fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    pub fn answering(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// An injected fault. It ends when this guard is dropped, also in a failing test.
#[must_use = "the fault is lifted as soon as this is dropped"]
#[derive(Debug)]
pub struct FaultGuard {
    id: String,
    /// What fails.
    what: String,
    control: String,
    http: reqwest::Client,
}

impl FaultGuard {
    /// How often the fault struck.
    pub async fn hits(&self) -> u64 {
        let faults: Value = async { self.http.get(&self.control).send().await?.json().await }
            .await
            .expect("the local cloud lists its faults");
        let list = faults["faults"].as_array();
        list.into_iter()
            .flatten()
            .find(|fault| fault["id"] == self.id.as_str())
            .and_then(|fault| fault["hits"].as_u64())
            .unwrap_or_else(|| panic!("fault {} is not among {faults}", self.id))
    }

    /// Waits until the fault struck at least this often.
    pub async fn struck(&self, times: u64) {
        eventually(&format!("{} to fail {times} times", self.what), async || {
            let hits = self.hits().await;
            if hits >= times { Ok(()) } else { Err(format!("{hits} times")) }
        })
        .await
    }

    pub fn lift(self) {
        drop(self);
    }
}

impl Drop for FaultGuard {
    /// A plain blocking request, because a destructor cannot await.
    fn drop(&mut self) {
        let address = self.control.trim_start_matches("http://");
        let (host, path) = address.split_once('/').unwrap_or((address, ""));
        let lifted = TcpStream::connect(host).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(120)))?;
            let id = &self.id;
            write!(
                stream,
                "DELETE /{path}/{id} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )?;
            stream.read(&mut [0; 512])
        });
        if let Err(error) = lifted {
            let _ = writeln!(std::io::stderr(), "fault {} may still be active: {error}", self.id);
        }
    }
}

impl World {
    /// Injects `fault` until the guard is dropped.
    pub async fn inject(&self, fault: Fault) -> FaultGuard {
        let control = format!("{}/_trackops/faults", self.system.endpoint.trim_end_matches('/'));
        let answer = self.http.post(&control).json(&fault).send().await;
        let answer = answer.expect("the local cloud takes faults");
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        let id = serde_json::from_str::<Value>(&body)
            .ok()
            .and_then(|answer| answer["id"].as_str().map(str::to_owned))
            .unwrap_or_else(|| panic!("{fault:?} was refused with {status}: {body}"));
        let what = fault.function.or(fault.action).unwrap_or_else(|| fault.target.to_owned());
        FaultGuard { id, what, control, http: self.http.clone() }
    }
}
