//! SDK configuration built by hand from Lambda's environment.
//!
//! The SDK's own loader probes profiles, IMDS and the certificate folder; a Lambda needs none of it, and
//! without it the first answer comes some ten times sooner (docs/decisions/0002-cold-start.md).

use std::env;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "environment variable {0} is missing; Lambda sets it, and so must whoever runs this elsewhere"
    )]
    Missing(&'static str),
    #[error("cannot read the certificates that SSL_CERT_FILE names, {path}")]
    Certificates { path: String, source: std::io::Error },
    #[error("the certificates cannot be used")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
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
        .http_client(http_client(endpoint.as_deref())?)
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(Duration::from_secs(3))
                .build(),
        );
    config.set_endpoint_url(endpoint);
    Ok(config.build())
}

fn http_client(endpoint: Option<&str>) -> Result<SharedHttpClient, ClientError> {
    let builder = aws_smithy_http_client::Builder::new();
    if endpoint.is_some_and(|url| url.starts_with("http://")) {
        return Ok(builder.build_http());
    }
    // One file is read in a millisecond; a folder of two hundred certificates takes thirty.
    let roots = match env::var("SSL_CERT_FILE") {
        Ok(path) => match std::fs::read(&path) {
            Ok(pem) => TrustStore::empty().with_pem_certificate(pem),
            Err(source) => return Err(ClientError::Certificates { path, source }),
        },
        Err(_) => TrustStore::default(),
    };
    let tls = TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .map_err(|error| ClientError::Tls(Box::new(error)))?;
    Ok(builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https())
}
