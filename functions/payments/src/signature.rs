//! Webhook signatures: HMAC-SHA256 (RFC 2104) over `<timestamp>.<raw body>`, in hex after `v1=`.

use std::time::Duration;

use lambda_http::http::HeaderName;
use trackops_aws::secrets::{Mac, Secret};
use trackops_domain::Timestamp;

pub const TIMESTAMP: HeaderName = HeaderName::from_static("trackops-timestamp");
pub const SIGNATURE: HeaderName = HeaderName::from_static("trackops-signature");

/// How far a timestamp may be from now: long enough for clocks that differ, too short for a replay.
const TOLERANCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the timestamp is missing, no number of Unix seconds, or not of the last five minutes")]
    Timestamp,
    #[error("the signature is missing or does not fit the body")]
    Signature,
}

/// The value of the signature header.
pub fn sign(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    format!("v1={}", hex::encode(mac(secret, seconds, body).finalize().into_bytes()))
}

/// Checked in constant time.
pub fn verify(
    secret: &Secret,
    timestamp: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Refused> {
    let seconds: i64 = timestamp.and_then(|text| text.parse().ok()).ok_or(Refused::Timestamp)?;
    if seconds.abs_diff(now.unix_seconds()) > TOLERANCE.as_secs() {
        return Err(Refused::Timestamp);
    }
    let signature = signature.and_then(|text| text.strip_prefix("v1="));
    let signature = signature.and_then(|digits| hex::decode(digits).ok());
    let signature = signature.ok_or(Refused::Signature)?;
    mac(secret, seconds, body).verify_slice(&signature).map_err(|_| Refused::Signature)
}

fn mac(secret: &Secret, seconds: i64, body: &[u8]) -> impl Mac {
    let mut mac = secret.mac();
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    mac
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
        let signature = sign(&secret(), 1000, b"body");
        for now in [700, 1000, 1300] {
            assert_eq!(verify(&secret(), Some("1000"), Some(&signature), b"body", at(now)), Ok(()));
        }
        for now in [699, 1301] {
            let verified = verify(&secret(), Some("1000"), Some(&signature), b"body", at(now));
            assert_eq!(verified, Err(Refused::Timestamp));
        }
    }

    #[test]
    fn another_body_time_or_secret_is_refused() {
        let signature = sign(&secret(), 1000, b"body");
        let verify = |secret: &Secret, time, body| {
            verify(secret, Some(time), Some(&signature), body, at(1000))
        };
        assert_eq!(verify(&secret(), "1000", b"bodY"), Err(Refused::Signature));
        assert_eq!(verify(&secret(), "1001", b"body"), Err(Refused::Signature));
        let other = Secret::new("another-secret-of-32-characters!").unwrap();
        assert_eq!(verify(&other, "1000", b"body"), Err(Refused::Signature));
    }

    #[test]
    fn a_missing_or_odd_header_is_refused() {
        let signature = sign(&secret(), 1000, b"");
        assert!(verify(&secret(), None, Some(&signature), b"", at(1000)).is_err());
        for odd in [None, Some(""), Some("v1="), Some("v1=zz"), Some("v2=00")] {
            assert!(verify(&secret(), Some("1000"), odd, b"", at(1000)).is_err(), "{odd:?}");
        }
    }
}
