//! SDK configuration built by hand from Lambda's environment.
//!
//! The SDK's own loader probes profiles, IMDS and the certificate folder; a Lambda needs none of it, and
//! without it the first answer comes some ten times sooner (docs/decisions/0002-cold-start.md).

use std::env;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use tokio::time::timeout;
use trackops_http::{BadRoots, Http1, Roots};

/// How long a cold start waits for work that makes the first request faster. Lambda gives it 10 seconds.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "environment variable {0} is missing; Lambda sets it, and so must whoever runs this elsewhere"
    )]
    Missing(&'static str),
    #[error("SSL_CERT_FILE, {path:?}")]
    Certificates { path: Option<String>, source: BadRoots },
}

/// What the region, credentials, endpoint and certificates of the environment say.
pub fn config() -> Result<SdkConfig, ClientError> {
    let required = |name| env::var(name).map_err(|_| ClientError::Missing(name));
    let endpoint = env::var("AWS_ENDPOINT_URL").ok().filter(|url| !url.is_empty());
    let credentials = Credentials::new(
        required("AWS_ACCESS_KEY_ID")?,
        required("AWS_SECRET_ACCESS_KEY")?,
        env::var("AWS_SESSION_TOKEN").ok().filter(|token| !token.is_empty()),
        None,
        "lambda-environment",
    );
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(required("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http(endpoint.as_deref())?)
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(3)).build(),
        );
    config.set_endpoint_url(endpoint);
    Ok(config.build())
}

/// A client for `url`, with the certificates of `SSL_CERT_FILE`, or the machine's.
pub fn http(url: Option<&str>) -> Result<Http1, ClientError> {
    if url.is_some_and(|url| url.starts_with("http://")) {
        return Ok(Http1::plain());
    }
    let path = env::var("SSL_CERT_FILE").ok();
    let roots = path.as_ref().map_or(Roots::Native, |path| Roots::File(Path::new(path)));
    Http1::new(roots).map_err(|source| ClientError::Certificates { path, source })
}

/// Does now what the first request would have to wait for. If it fails, the first request meets the same trouble and
/// can report it; a function that does not start cannot.
pub async fn warm_up<E: Error>(what: &str, check: impl Future<Output = Result<(), E>>) {
    let problem = match timeout(WARM_UP, check).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        Err(_) => format!("no answer within {WARM_UP:?}"),
    };
    tracing::warn!(what, error = problem, "not warmed up");
}
