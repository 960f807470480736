//! Tokens that prove an IAM role to MSK: a presigned URL of `kafka-cluster:Connect`, base64url, as SASL/OAUTHBEARER.
//! Source: "IAM access control for Amazon MSK", and AWS's own signers, such as `aws-msk-iam-sasl-signer-python`.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambda_http::http::Request;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The validity that AWS's signers ask for. A connection stays open after its token has expired, until the broker wants
/// a new token and closes it.
const EXPIRES: Duration = Duration::from_secs(900);

/// AWS's signers give their own name here; it is not part of the signature.
const USER_AGENT: &str = concat!("trackops%2F", env!("CARGO_PKG_VERSION"));

/// A token for a new connection.
pub async fn token(provider: SharedCredentialsProvider, region: String) -> Result<String, Error> {
    let credentials = provider.provide_credentials().await?;
    Ok(URL_SAFE_NO_PAD.encode(presigned(credentials, &region, SystemTime::now())?))
}

fn presigned(credentials: Credentials, region: &str, at: SystemTime) -> Result<String, Error> {
    let url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES);
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(at)
        .settings(settings)
        .build()?
        .into();
    let nothing = SignableBody::Bytes(&[]);
    let signable = SignableRequest::new("GET", &url, std::iter::empty(), nothing)?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    let mut request = Request::get(&url).body(())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(format!("{}&User-Agent={USER_AGENT}", request.uri()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Vector {
        access_key: String,
        secret_key: String,
        session_token: Option<String>,
        region: String,
        seconds: u64,
        token: String,
    }

    /// Path and parameters of a URL; AWS's signer names its own library as the user agent.
    fn parts(url: &str) -> (String, BTreeMap<String, String>) {
        let (path, query) = url.split_once('?').unwrap();
        let pair = |pair: &str| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        let pairs = query.split('&').map(|it| pair(it).unwrap());
        (path.to_owned(), pairs.filter(|(name, _)| name != "User-Agent").collect())
    }

    #[test]
    fn a_token_is_signed_as_by_the_signer_of_aws() {
        let vectors = include_str!("../../tests/msk_iam_tokens.json");
        let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
        assert!(vectors.iter().any(|vector| vector.session_token.is_some()));
        for vector in vectors {
            let of_aws = String::from_utf8(URL_SAFE_NO_PAD.decode(vector.token).unwrap()).unwrap();
            let credentials =
                Credentials::from_keys(vector.access_key, vector.secret_key, vector.session_token);
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(vector.seconds);
            let ours = presigned(credentials, &vector.region, at).unwrap();
            assert_eq!(parts(&ours), parts(&of_aws));
        }
    }
}
