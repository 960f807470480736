//! Who is calling: every function verifies the bearer JWT itself, because gateways differ.
//!
//! Source: RFC 7519 (JWT), RFC 7517 (JWKS), RFC 8725 (best current practices: fixed algorithms, no `none`).

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use trackops_domain::CustomerId;

use crate::config::{ConfigError, env};
use crate::problem::Problem;

/// Clocks may differ by so many seconds.
const LEEWAY: u64 = 30;

/// A longer token is not looked at.
const MAX_TOKEN: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and changes what is their own.
    Customer,
    Operator,
    Service,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub role: Role,
    pub subject: CustomerId,
}

impl Caller {
    /// Customers reach what is theirs, operators and services everything.
    pub fn may_see(&self, customer: &CustomerId) -> bool {
        self.role != Role::Customer || self.subject == *customer
    }

    pub fn must_be(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) { Ok(()) } else { Err(Problem::forbidden()) }
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: CustomerId,
    role: Role,
}

struct Key {
    id: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The issuer's public keys and what its tokens must say.
pub struct Identity {
    keys: Vec<Key>,
    issuer: String,
    audience: String,
}

impl Identity {
    /// From `JWT_ISSUER`, `JWT_AUDIENCE` and `JWT_KEYS` (a JWKS).
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::new(&env("JWT_KEYS")?, env("JWT_ISSUER")?, env("JWT_AUDIENCE")?)
    }

    pub fn new(jwks: &str, issuer: String, audience: String) -> Result<Self, ConfigError> {
        let bad = |problem: String| ConfigError::new("JWT_KEYS", problem);
        let set: JwkSet =
            serde_json::from_str(jwks).map_err(|e| bad(format!("is no JWKS: {e}")))?;
        let mut keys = Vec::new();
        for jwk in &set.keys {
            let id =
                jwk.common.key_id.clone().ok_or_else(|| bad("has a key without kid".into()))?;
            let key = DecodingKey::from_jwk(jwk).map_err(|e| bad(format!("has a bad key: {e}")))?;
            // The key says which algorithm it is for, never the token.
            let algorithm = match jwk.algorithm {
                jsonwebtoken::jwk::AlgorithmParameters::RSA(_) => Algorithm::RS256,
                jsonwebtoken::jwk::AlgorithmParameters::EllipticCurve(_) => Algorithm::ES256,
                _ => return Err(bad("may only have RSA and P-256 keys".into())),
            };
            keys.push(Key { id, algorithm, key });
        }
        if keys.is_empty() {
            return Err(bad("has no key".into()));
        }
        Ok(Self { keys, issuer, audience })
    }

    /// The caller that the value of an `Authorization` header names.
    pub fn verify(&self, authorization: Option<&str>) -> Result<Caller, Problem> {
        let (missing, refused) = (Problem::token_missing, Problem::token_refused);
        let (scheme, token) = authorization.and_then(|v| v.split_once(' ')).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let token = token.trim();
        if token.len() > MAX_TOKEN {
            return Err(refused());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused())?;
        let key = self.keys.iter().find(|key| Some(&key.id) == header.kid.as_ref());
        let key = key.ok_or_else(refused)?;
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let token = jsonwebtoken::decode::<Claims>(token, &key.key, &validation);
        let claims = token.map_err(|_| refused())?.claims;
        Ok(Caller { role: claims.role, subject: claims.sub })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{EncodingKey, Header};
    use p256::ecdsa::SigningKey;
    use p256::elliptic_curve::rand_core::OsRng;
    use p256::pkcs8::{EncodePrivateKey, SecretDocument};
    use serde_json::{Value, json};

    /// A key for these tests alone, new in every run.
    static KEY: LazyLock<SecretDocument> =
        LazyLock::new(|| SigningKey::random(&mut OsRng).to_pkcs8_der().unwrap());

    fn encoding_key() -> EncodingKey {
        EncodingKey::from_ec_der(KEY.as_bytes())
    }

    fn identity() -> Identity {
        let mut jwk = Jwk::from_encoding_key(&encoding_key(), Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("k1".into());
        let jwks = json!({"keys": [jwk]}).to_string();
        Identity::new(&jwks, "https://issuer".into(), "trackops".into()).unwrap()
    }

    fn claims() -> Value {
        json!({"sub": "alice", "role": "customer", "iss": "https://issuer", "aud": "trackops",
               "exp": jsonwebtoken::get_current_timestamp() + 60})
    }

    fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
        format!("Bearer {}", jsonwebtoken::encode(header, claims, key).unwrap())
    }

    fn header() -> Header {
        Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) }
    }

    #[test]
    fn a_good_token_names_its_caller() {
        let caller = identity().verify(Some(&sign(&header(), &claims(), &encoding_key()))).unwrap();
        assert_eq!(caller, Caller { role: Role::Customer, subject: "alice".parse().unwrap() });
    }

    #[test]
    fn a_token_that_is_not_for_us_or_not_valid_now_is_refused() {
        let now = jsonwebtoken::get_current_timestamp();
        for (claim, value) in [
            ("iss", json!("https://other")),
            ("aud", json!("other")),
            ("exp", json!(now - 120)),
            ("nbf", json!(now + 120)),
            ("role", json!("admin")),
            ("sub", json!("")),
        ] {
            let mut claims = claims();
            claims[claim] = value;
            let token = sign(&header(), &claims, &encoding_key());
            assert!(identity().verify(Some(&token)).is_err(), "wrong {claim} was accepted");
        }
        for claim in ["iss", "aud", "exp", "sub", "role"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(claim);
            let token = sign(&header(), &claims, &encoding_key());
            assert!(
                identity().verify(Some(&token)).is_err(),
                "a token without {claim} was accepted"
            );
        }
    }

    #[test]
    fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
        let jwk = Jwk::from_encoding_key(&encoding_key(), Algorithm::ES256).unwrap();
        let public = serde_json::to_vec(&jwk).unwrap();
        let token = sign(&header, &claims(), &EncodingKey::from_secret(&public));
        assert!(identity().verify(Some(&token)).is_err());
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        // {"alg":"none","kid":"k1"} . claims . no signature
        let good = sign(&header(), &claims(), &encoding_key());
        let payload = good.split('.').nth(1).unwrap();
        let token = format!("Bearer eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{payload}.");
        assert!(identity().verify(Some(&token)).is_err());
    }

    #[test]
    fn no_token_and_an_unknown_key_are_refused() {
        assert!(identity().verify(None).is_err());
        assert!(identity().verify(Some("Basic YTpi")).is_err());
        let header = Header { kid: Some("k2".into()), ..Header::new(Algorithm::ES256) };
        let token = sign(&header, &claims(), &encoding_key());
        assert!(identity().verify(Some(&token)).is_err());
    }
}
