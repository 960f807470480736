//! How the runner talks to the local cloud: the SDK for CloudFormation, plain HTTP for the few other calls.

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_cloudformation::config::{BehaviorVersion, Region};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::instance::REGION;

/// The bucket of packaged code, definitions and templates.
pub const BUCKET: &str = "trackops-local-code";
/// A local cloud takes the key id for the account and does not verify signatures.
const ACCOUNT: &str = "000000000000";

/// The AWS endpoint of a local cloud.
#[derive(Clone, Debug)]
pub struct Aws {
    endpoint: String,
    http: reqwest::Client,
}

impl Aws {
    pub fn at(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), http: reqwest::Client::new() }
    }

    pub fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        let config = aws_sdk_cloudformation::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&self.endpoint)
            .credentials_provider(Credentials::new(ACCOUNT, "local", None, None, "local"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        aws_sdk_cloudformation::Client::from_conf(config)
    }

    /// Makes the bucket unless it is there.
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

    /// Uploads unless it is there: keys name their content.
    pub async fn put_object(&self, key: &str, content: Vec<u8>) -> Result<()> {
        if self.s3(Method::HEAD, key, Vec::new()).await? == StatusCode::OK {
            return Ok(());
        }
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
        let request = self
            .http
            .request(method, self.object_url(key))
            .header("authorization", authorization("s3"));
        let answer = request.body(body).send().await.context("the local cloud does not answer")?;
        Ok(answer.status())
    }

    /// One call of a service with a JSON protocol, as `DynamoDB_20120810.GetItem`.
    pub async fn call(&self, service: &str, target: &str, input: &Value) -> Result<Value> {
        let request = self
            .http
            .post(&self.endpoint)
            .header("authorization", authorization(service))
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.1")
            .body(input.to_string());
        let answer = request
            .send()
            .await
            .with_context(|| format!("the local cloud does not answer {target}"))?;
        let status = answer.status();
        let output: Value = answer.json().await.with_context(|| format!("{target}: {status}"))?;
        if !status.is_success() {
            bail!("{target}: {output}");
        }
        Ok(output)
    }
}

/// Names the account, region and service, by which a local cloud finds what is meant.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=unsigned"
    )
}
