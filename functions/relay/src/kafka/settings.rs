//! How to reach the brokers: from the environment, checked at the cold start.

use std::sync::Arc;

use aws_types::SdkConfig;
use rskafka::client::{Credentials, OauthBearerCredentials, SaslConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use trackops_aws::secrets;
use trackops_lambda::Error;
use trackops_lambda::config::{ConfigError, env, env_as};

use super::msk_iam;

#[derive(Clone)]
pub struct Settings {
    pub brokers: Vec<String>,
    pub tls: Option<Arc<ClientConfig>>,
    pub sasl: Option<SaslConfig>,
    /// For topics that do not exist yet.
    pub replication_factor: i16,
}

/// The secret of a user, in the form that MSK asks for.
#[derive(Deserialize)]
struct User {
    username: String,
    password: String,
}

/// The brokers that `KAFKA_BOOTSTRAP_SERVERS` names, with commas between; `None` when it is not set.
pub fn brokers() -> Option<Vec<String>> {
    let brokers = env("KAFKA_BOOTSTRAP_SERVERS").ok()?;
    Some(brokers.split(',').map(|broker| broker.trim().to_owned()).collect())
}

impl Settings {
    /// Brokers without TLS and users.
    pub const fn plaintext(brokers: Vec<String>, replication_factor: i16) -> Self {
        Self { brokers, tls: None, sasl: None, replication_factor }
    }

    /// `None` when `KAFKA_BOOTSTRAP_SERVERS` is not set. `KAFKA_SECURITY` is `msk-iam`, `scram` (SCRAM-SHA-512 over
    /// TLS, the user in the secret `KAFKA_SECRET_ARN`), `tls` or `plaintext`.
    pub async fn from_env(config: &SdkConfig) -> Result<Option<Self>, Error> {
        let Some(brokers) = brokers() else { return Ok(None) };
        let plaintext = Self::plaintext(brokers, env_as("KAFKA_REPLICATION_FACTOR")?);
        let security = env("KAFKA_SECURITY")?;
        let sasl = match security.as_str() {
            "plaintext" => return Ok(Some(plaintext)),
            "tls" => None,
            "scram" => {
                let user = secrets::read(config, env("KAFKA_SECRET_ARN")?).await?;
                let User { username, password } = serde_json::from_str(&user)
                    .map_err(|_| "the secret of the Kafka user has no username and password")?;
                Some(SaslConfig::ScramSha512(Credentials { username, password }))
            }
            "msk-iam" => Some(iam(config)?),
            other => {
                return Err(ConfigError::new("KAFKA_SECURITY", format!("is {other:?}")).into());
            }
        };
        Ok(Some(Self { tls: Some(tls(&env("SSL_CERT_FILE")?)?), sasl, ..plaintext }))
    }
}

/// Every new connection gets a new token.
fn iam(config: &SdkConfig) -> Result<SaslConfig, Error> {
    let provider = config.credentials_provider().ok_or("there are no credentials")?;
    let region = config.region().ok_or("there is no region")?.to_string();
    let callback = move || msk_iam::token(provider.clone(), region.clone());
    Ok(SaslConfig::Oauthbearer(OauthBearerCredentials {
        callback: Arc::new(move || Box::pin(callback())),
        authz_id: None,
        bearer_kvs: Vec::new(),
    }))
}

fn tls(roots_file: &str) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots_file)? {
        // rustls may refuse some of the system's root certificates; it uses the others.
        roots.add_parsable_certificates([certificate?]);
    }
    if roots.is_empty() {
        return Err(ConfigError::new("SSL_CERT_FILE", "has no certificate that can be used").into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
