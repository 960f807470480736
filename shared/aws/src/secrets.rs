//! Shared secrets from Secrets Manager, and what is authenticated with them: HMAC-SHA256 (RFC 2104).

use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

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

    pub async fn load(config: &SdkConfig, arn: String) -> Result<Self, SecretError> {
        Self::new(&read(config, arn).await?)
    }

    /// To be fed with what is authenticated.
    pub fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
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
    use super::*;

    #[test]
    fn a_short_secret_is_no_secret() {
        assert!(Secret::new("short").is_err());
    }
}
