//! Webhook signatures: HMAC-SHA256 (RFC 2104) over `<timestamp>.<raw body>`, in hex after `v1=`.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use hmac::{Hmac, KeyInit, Mac};
use lambda_http::http::HeaderName;
use sha2::Sha256;
use trackops_domain::Timestamp;

pub const TIMESTAMP: HeaderName = HeaderName::from_static("trackops-timestamp");
pub const SIGNATURE: HeaderName = HeaderName::from_static("trackops-signature");

/// How far a timestamp may be from now: long enough for clocks that differ, too short for a replay.
const TOLERANCE: Duration = Duration::from_secs(300);

pub struct Secret(Vec<u8>);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the webhook secret cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the webhook secret is shorter than 32 characters")]
    Short,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the timestamp is missing, no number of Unix seconds, or not of the last five minutes")]
    Timestamp,
    #[error("the signature is missing or does not fit the body")]
    Signature,
}

impl Secret {
    pub fn new(secret: &str) -> Result<Self, SecretError> {
        if secret.len() < 32 { Err(SecretError::Short) } else { Ok(Self(secret.into())) }
    }

    /// From Secrets Manager.
    pub async fn load(config: &SdkConfig, arn: String) -> Result<Self, SecretError> {
        let answer = Client::new(config).get_secret_value().secret_id(arn).send().await;
        let answer = answer.map_err(|error| SecretError::Unreadable(Box::new(error)))?;
        Self::new(answer.secret_string().unwrap_or_default())
    }

    /// The value of the signature header.
    pub fn sign(&self, seconds: i64, body: &[u8]) -> String {
        format!("v1={}", hex::encode(self.mac(seconds, body).finalize().into_bytes()))
    }

    /// Checked in constant time.
    pub fn verify(
        &self,
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Refused> {
        let seconds: i64 =
            timestamp.and_then(|text| text.parse().ok()).ok_or(Refused::Timestamp)?;
        if seconds.abs_diff(now.unix_seconds()) > TOLERANCE.as_secs() {
            return Err(Refused::Timestamp);
        }
        let signature = signature.and_then(|text| text.strip_prefix("v1="));
        let signature = signature.and_then(|digits| hex::decode(digits).ok());
        let signature = signature.ok_or(Refused::Signature)?;
        self.mac(seconds, body).verify_slice(&signature).map_err(|_| Refused::Signature)
    }

    fn mac(&self, seconds: i64, body: &[u8]) -> Hmac<Sha256> {
        // HMAC takes a key of any length, so this cannot fail.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn what_was_signed_is_accepted_for_five_minutes() {
        let signature = secret().sign(1000, b"body");
        for now in [700, 1000, 1300] {
            assert_eq!(secret().verify(Some("1000"), Some(&signature), b"body", at(now)), Ok(()));
        }
        for now in [699, 1301] {
            let verified = secret().verify(Some("1000"), Some(&signature), b"body", at(now));
            assert_eq!(verified, Err(Refused::Timestamp));
        }
    }

    #[test]
    fn another_body_time_or_secret_is_refused() {
        let signature = secret().sign(1000, b"body");
        let verify = |secret: &Secret, time, body| {
            secret.verify(Some(time), Some(&signature), body, at(1000))
        };
        assert_eq!(verify(&secret(), "1000", b"bodY"), Err(Refused::Signature));
        assert_eq!(verify(&secret(), "1001", b"body"), Err(Refused::Signature));
        let other = Secret::new("another-secret-of-32-characters!").unwrap();
        assert_eq!(verify(&other, "1000", b"body"), Err(Refused::Signature));
    }

    #[test]
    fn a_missing_or_odd_header_is_refused() {
        let signature = secret().sign(1000, b"");
        assert!(secret().verify(None, Some(&signature), b"", at(1000)).is_err());
        for odd in [None, Some(""), Some("v1="), Some("v1=zz"), Some("v2=00")] {
            assert!(secret().verify(Some("1000"), odd, b"", at(1000)).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_short_secret_is_no_secret() {
        assert!(Secret::new("short").is_err());
    }
}
