//! Tokens of the local issuer: ES256, signed with a key that never leaves `target/local/`.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::SecretKey;
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::EncodePrivateKey;
use serde::{Deserialize, Serialize};

use crate::instance::Instance;

/// Whom tokens of the local issuer are for.
pub const AUDIENCE: &str = "trackops";
/// How long a token is good for: a working day.
pub const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and changes own orders only.
    Customer,
    /// Runs the shop: all orders, and the catalogue.
    Operator,
    /// Another program.
    Service,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    role: Role,
    iat: u64,
    exp: u64,
}

/// The key of an instance's issuer.
pub struct Signer {
    key: EncodingKey,
    public: Jwk,
    kid: String,
}

impl Signer {
    /// The instance's key; made on first use, readable by its owner only.
    pub fn of(instance: &Instance) -> Result<Self> {
        let path = instance.path("issuer.key.der");
        let explain = || format!("cannot use {}: remove it to have a new key made", path.display());
        match fs::read(&path) {
            Ok(der) => Self::from_pkcs8(&der).with_context(explain),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let der = SecretKey::random(&mut OsRng).to_pkcs8_der()?;
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .and_then(|mut file| file.write_all(der.as_bytes()))
                    .with_context(explain)?;
                Self::from_pkcs8(der.as_bytes())
            }
            Err(error) => Err(error).with_context(explain),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let key = EncodingKey::from_ec_der(der);
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_algorithm = Some(KeyAlgorithm::ES256);
        Ok(Self { key, public, kid })
    }

    /// The public keys, as served at `jwks.json`.
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: vec![self.public.clone()] }
    }

    /// A token of `issuer` for `subject`, good from now on.
    pub fn token(&self, issuer: &str, role: Role, subject: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let claims = Claims {
            iss: issuer,
            aud: AUDIENCE,
            sub: subject,
            role,
            iat: now,
            exp: now + LIFETIME.as_secs(),
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}

/// A token for the named running instance; without `customer` the subject is named after the role.
pub fn sign(instance: &str, role: Role, customer: Option<&str>) -> Result<String> {
    let instance = Instance::named(instance)?;
    let issuer = instance.expect_running()?.endpoints.issuer;
    let subject = customer.unwrap_or(match role {
        Role::Customer => "local-customer",
        Role::Operator => "local-operator",
        Role::Service => "local-service",
    });
    Signer::of(&instance)?.token(&issuer, role, subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};

    #[test]
    fn a_token_verifies_against_the_published_keys() {
        let der = SecretKey::random(&mut OsRng).to_pkcs8_der().unwrap();
        let signer = Signer::from_pkcs8(der.as_bytes()).unwrap();
        let token = signer.token("http://issuer", Role::Customer, "alice").unwrap();

        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let published: JwkSet =
            serde_json::from_value(serde_json::to_value(signer.jwks()).unwrap()).unwrap();
        let key = DecodingKey::from_jwk(published.find(&kid).unwrap()).unwrap();
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&["http://issuer"]);

        let claims: serde_json::Value = jsonwebtoken::decode(&token, &key, &rules).unwrap().claims;
        assert_eq!((&claims["sub"], &claims["role"]), (&"alice".into(), &"customer".into()));
    }
}
