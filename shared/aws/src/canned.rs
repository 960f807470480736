//! A DynamoDB with prepared answers, for answers that a local DynamoDB never gives. (The SDK's own test client would
//! need some thirty more crates.)

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::{Value, json};

use crate::aggregate::Table;

/// Gives its answers in the order given, and keeps the requests.
#[derive(Clone, Debug)]
pub struct Canned {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Canned {
    pub fn answering(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { answers, requests: Arc::default() }
    }

    pub fn table(&self) -> Table {
        Table::at(&self.config(), "table".into())
    }

    /// Clients of this service; the SDK tries once, so that each call takes one answer.
    pub fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        let credentials = Credentials::from_keys("000000000000", "local", None);
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .retry_config(RetryConfig::disabled());
        config.build()
    }

    /// The bodies of the requests.
    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap();
        self.requests.lock().unwrap().push(serde_json::from_slice(body).unwrap());
        let (status, body) =
            self.answers.lock().unwrap().pop_front().expect("no answer was prepared");
        let mut answer =
            HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()));
        answer.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(answer))
    }
}

/// The error that DynamoDB calls `code`.
pub fn error(code: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": code})
}

/// A transaction given up for `reasons`, one for each of its actions.
pub fn cancelled(reasons: &[&str]) -> Value {
    let mut body = error("TransactionCanceledException");
    body["CancellationReasons"] = reasons.iter().map(|code| json!({"Code": code})).collect();
    body
}
