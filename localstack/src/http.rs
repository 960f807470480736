//! Plain HTTP to the local cloud and the APIs on it.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Http {
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    pub async fn send(&self, request: Builder, body: Vec<u8>) -> Result<Answer> {
        let request = request.body(Full::from(body))?;
        let what = format!("{} {}", request.method(), request.uri());
        let unanswered = || format!("no answer to {what}");
        let (head, body) =
            self.client.request(request).await.with_context(unanswered)?.into_parts();
        let body = body.collect().await.with_context(unanswered)?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// A request to one of TrackOps' APIs.
    pub async fn ask(
        &self,
        method: Method,
        url: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(AUTHORIZATION, format!("Bearer {token}"));
        match body {
            None => self.send(request, Vec::new()).await,
            Some(body) => {
                self.send(
                    request.header(CONTENT_TYPE, "application/json"),
                    serde_json::to_vec(body)?,
                )
                .await
            }
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.get(name)
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
