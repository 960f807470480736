//! Shared secrets from Secrets Manager, and message authentication with them: HMAC-SHA256 (RFC 2104).

use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use tokio::sync::OnceCell;

use crate::clients;

pub use hmac::Mac;

pub struct Secret(Vec<u8>);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret {arn} cannot be read")]
    Unreadable { arn: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the secret is shorter than 32 characters")]
    Short,
}

impl Secret {
    pub fn new(secret: &str) -> Result<Self, SecretError> {
        if secret.len() < 32 { Err(SecretError::Short) } else { Ok(Self(secret.into())) }
    }

    /// A MAC, to be fed with the message.
    pub fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
    }
}

/// A secret that is read when it is first needed, and kept.
pub struct SecretSource {
    from: Option<(SdkConfig, String)>,
    secret: OnceCell<Secret>,
}

impl SecretSource {
    /// Reads the secret during the cold start if possible.
    pub async fn connect(config: &SdkConfig, arn: String) -> Self {
        let source = Self { from: Some((config.clone(), arn)), secret: OnceCell::new() };
        clients::warm_up("the secret", async { source.get().await.map(drop) }).await;
        source
    }

    pub fn fixed(secret: Secret) -> Self {
        Self { from: None, secret: OnceCell::new_with(Some(secret)) }
    }

    pub async fn get(&self) -> Result<&Secret, SecretError> {
        let load = async || {
            let (config, arn) = self.from.as_ref().ok_or(SecretError::Short)?;
            Secret::new(&read(config, arn.clone()).await?)
        };
        self.secret.get_or_try_init(load).await
    }
}

/// The text of a secret.
pub async fn read(config: &SdkConfig, arn: String) -> Result<String, SecretError> {
    let answer = Client::new(config).get_secret_value().secret_id(&arn).send().await;
    let answer =
        answer.map_err(|error| SecretError::Unreadable { arn, source: Box::new(error) })?;
    Ok(answer.secret_string.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::canned::Canned;

    #[test]
    fn a_short_secret_is_no_secret() {
        assert!(Secret::new("short").is_err());
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_at_a_cold_start_is_read_when_it_is_needed() {
        let down = (500, json!({"__type": "InternalServiceError"}));
        let secret = (200, json!({"SecretString": "0123456789abcdef0123456789abcdef"}));
        let manager = Canned::answering([down, secret]);
        let source = SecretSource::connect(&manager.config(), "arn".into()).await;
        assert!(source.get().await.is_ok());
        assert!(source.get().await.is_ok(), "it is read once");
    }
}
