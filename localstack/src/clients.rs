//! How the runner talks to the local cloud: the SDK for CloudFormation, plain HTTP for the few other calls.

use std::path::Path;

use anyhow::{Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_cloudformation::config::{BehaviorVersion, Region};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use trackops_http::Http1;

use crate::http::Http;
use crate::instance::REGION;

/// The bucket of packaged code, definitions and templates.
pub const BUCKET: &str = "trackops-local-code";
/// A local cloud uses the key id as the account id, and does not verify signatures.
pub const ACCOUNT: &str = "000000000000";
pub const SECRET: &str = "local";

/// The AWS endpoint of a local cloud.
#[derive(Clone, Debug)]
pub struct Aws {
    endpoint: String,
    http: Http,
}

impl Aws {
    pub fn at(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), http: Http::new() }
    }

    pub fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        let config = aws_sdk_cloudformation::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&self.endpoint)
            .credentials_provider(Credentials::new(ACCOUNT, SECRET, None, None, "local"))
            .http_client(Http1::plain())
            .build();
        aws_sdk_cloudformation::Client::from_conf(config)
    }

    /// Makes the bucket if it does not exist.
    pub async fn create_bucket(&self) -> Result<()> {
        let region = format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        match self.s3(Method::PUT, "", region.into_bytes()).await? {
            StatusCode::OK | StatusCode::CONFLICT => Ok(()),
            status => bail!("the bucket {BUCKET} cannot be made: {status}"),
        }
    }

    /// Uploads a file if it does not exist: the key of a file is a hash of its content.
    pub async fn put_file(&self, key: &str, path: &Path) -> Result<()> {
        if self.s3(Method::HEAD, key, Vec::new()).await? == StatusCode::OK {
            return Ok(());
        }
        self.put_object(key, std::fs::read(path)?).await
    }

    pub async fn put_object(&self, key: &str, content: Vec<u8>) -> Result<()> {
        match self.s3(Method::PUT, key, content).await? {
            StatusCode::OK => Ok(()),
            status => bail!("{key} cannot be uploaded: {status}"),
        }
    }

    /// The address of an object.
    pub fn object_url(&self, key: &str) -> String {
        format!("{}/{BUCKET}/{key}", self.endpoint)
    }

    async fn s3(&self, method: Method, key: &str, body: Vec<u8>) -> Result<StatusCode> {
        let request = Request::builder().method(method).uri(self.object_url(key));
        Ok(self.http.send(request.header("authorization", authorization("s3")), body).await?.status)
    }

    /// One call of a service with a JSON protocol, as `DynamoDB_20120810.GetItem`.
    pub async fn call(&self, service: &str, target: &str, input: &Value) -> Result<Value> {
        let request = Request::post(&self.endpoint)
            .header("authorization", authorization(service))
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.1");
        let answer = self.http.send(request, serde_json::to_vec(input)?).await?;
        if !answer.status.is_success() {
            bail!("{target}: {} {}", answer.status, answer.text());
        }
        answer.json()
    }
}

/// Names the account, region and service, so that a local cloud knows which service is called.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=unsigned"
    )
}
