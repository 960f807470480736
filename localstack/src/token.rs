//! Tokens of the local issuer: ES256, signed with keys that never leave `target/local/`.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::instance::Instance;

/// The audience of the local issuer's tokens.
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

/// Issuers publish their next key before they use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The key that the deployment gets as `JwtKeys`.
    Current,
    /// The key that the issuer also publishes, and that functions have to fetch.
    Next,
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

/// A key of an instance's issuer.
pub struct Signer {
    key: EcdsaKeyPair,
    /// A JWK (RFC 7517), as served at `jwks.json`.
    pub public: Value,
    kid: String,
}

impl Signer {
    /// The instance's key; made on first use, readable by its owner only.
    pub fn of(instance: &Instance, which: Which) -> Result<Self> {
        let path = instance.path(match which {
            Which::Current => "issuer.key.der",
            Which::Next => "issuer-next.key.der",
        });
        let explain = || format!("cannot use {}: remove it to have a new key made", path.display());
        match fs::read(&path) {
            Ok(der) => Self::from_pkcs8(&der).with_context(explain),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let der = new_key()?;
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .and_then(|mut file| file.write_all(&der))
                    .with_context(explain)?;
                Self::from_pkcs8(&der)
            }
            Err(error) => Err(error).with_context(explain),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::from_pkcs8(kind, der, &random);
        let key = key.map_err(|rejected| anyhow!("the key cannot be used: {rejected}"))?;
        // An uncompressed point: 4, x, y. Source: SEC 1, section 2.3.3.
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let mut public = json!({"crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y)});
        // Its members are in the order of their names, as the thumbprint needs them. Source: RFC 7638.
        let kid = encode(Sha256::digest(public.to_string()));
        for (name, value) in [("kid", kid.as_str()), ("use", "sig"), ("alg", "ES256")] {
            public[name] = value.into();
        }
        Ok(Self { key, public, kid })
    }

    /// A token of `issuer` for `subject`, good from now on: a JWS (RFC 7515) in its compact form.
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
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.kid}).to_string();
        let message = format!("{}.{}", encode(header), encode(serde_json::to_vec(&claims)?));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.map_err(|_| anyhow!("the token cannot be signed"))?;
        Ok(format!("{message}.{}", encode(signature)))
    }
}

fn new_key() -> Result<Vec<u8>> {
    let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let key = EcdsaKeyPair::generate_pkcs8(kind, &random);
    key.map(|der| der.as_ref().to_vec()).map_err(|_| anyhow!("no key can be made"))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A JWKS of these keys.
pub fn jwks(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| &signer.public).collect::<Vec<_>>()})
}

/// A token for the named running instance; without `customer` the subject is named after the role.
pub fn sign(instance: &str, which: Which, role: Role, customer: Option<&str>) -> Result<String> {
    let instance = Instance::named(instance)?;
    let issuer = instance.expect_running()?.endpoints.issuer;
    let subject = customer.unwrap_or(match role {
        Role::Customer => "local-customer",
        Role::Operator => "local-operator",
        Role::Service => "local-service",
    });
    Signer::of(&instance, which)?.token(&issuer, role, subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn a_token_verifies_against_the_published_key() {
        let signer = Signer::from_pkcs8(&new_key().unwrap()).unwrap();
        let token = signer.token("http://issuer", Role::Customer, "alice").unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let coordinate = |name: &str| decode(signer.public[name].as_str().unwrap());
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(message.as_bytes(), &decode(signature)).unwrap();

        let part = |index| decode(message.split('.').nth(index).unwrap());
        let header: Value = serde_json::from_slice(&part(0)).unwrap();
        assert_eq!((&header["alg"], &header["kid"]), (&"ES256".into(), &signer.public["kid"]));
        let claims: Value = serde_json::from_slice(&part(1)).unwrap();
        assert_eq!((&claims["sub"], &claims["role"]), (&"alice".into(), &"customer".into()));
    }

    #[test]
    fn the_id_of_a_key_is_its_thumbprint() {
        let signer = Signer::from_pkcs8(&new_key().unwrap()).unwrap();
        let member = |name: &str| signer.public[name].as_str().unwrap().to_owned();
        let canonical =
            format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, member("x"), member("y"));
        assert_eq!(member("kid"), encode(Sha256::digest(canonical)));
    }
}
