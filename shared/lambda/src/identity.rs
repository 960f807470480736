//! Who is calling: every function verifies the bearer JWT itself, because gateways differ.
//!
//! Source: RFC 7515 (JWS), RFC 7517 (JWKS), RFC 7519 (JWT), RFC 8725 (best current practices: fixed algorithms, no
//! `none`, explicit types), RFC 9068 (JWT as access tokens).

mod keys;
mod signatures;

use std::time::Instant;

use jsonwebtoken::{Header, Validation, get_current_timestamp};
use serde::{Deserialize, Serialize};
use trackops_domain::CustomerId;

use crate::config::{ConfigError, env, env_as, optional_env};
use crate::problem::Problem;
use keys::{BadKeys, Keys};

/// Clocks may differ by so many seconds.
const LEEWAY: u32 = 30;

/// A longer token is refused at once.
const MAX_TOKEN: usize = 8 * 1024;

/// What a header may call its token, in upper or lower case; it may call it nothing too. Tokens of other kinds have the
/// same issuer and keys: they are not for access. Source: RFC 8725, section 3.11; RFC 9068, section 2.1.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and changes only their own things.
    Customer,
    Operator,
    Service,
}

impl Role {
    /// Its name in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Operator => "operator",
            Self::Service => "service",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub role: Role,
    pub subject: CustomerId,
}

impl Caller {
    /// Customers reach only their own things, operators and services everything.
    pub fn may_see(&self, customer: &CustomerId) -> bool {
        self.role != Role::Customer || self.subject == *customer
    }

    pub fn must_be(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) { Ok(()) } else { Err(Problem::forbidden()) }
    }
}

#[derive(Deserialize)]
struct Claims {
    /// One text, never a list. Source: RFC 7519, section 4.1.1.
    iss: String,
    sub: CustomerId,
    role: Role,
    exp: NumericDate,
    iat: Option<NumericDate>,
}

/// Seconds since 1970, maybe with a fraction, which is left out here. Source: RFC 7519, section 2.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(i64),
    Fraction(f64),
}

impl NumericDate {
    const fn seconds(self) -> i64 {
        match self {
            Self::Whole(seconds) => seconds,
            // What is larger becomes the largest.
            Self::Fraction(seconds) => seconds as i64,
        }
    }
}

impl Claims {
    /// Whether the token was issued already, and for no longer than `max` seconds. One that does not say when it was
    /// issued must end within `max` seconds from now.
    fn lives_at_most(&self, max: u32, now: i64) -> bool {
        let newest = now + i64::from(LEEWAY);
        let issued = self.iat.map_or(newest, NumericDate::seconds);
        issued <= newest && self.exp.seconds().saturating_sub(issued) <= i64::from(max)
    }
}

/// Whether a header wants nothing that is not done here, and its token is one that gives access.
fn is_understood(header: &Header) -> bool {
    // No extension is understood, so none can be critical. Source: RFC 7515, section 4.1.11.
    let has_no_extension = header.crit.is_none();
    // Source: RFC 7797, section 7.
    let is_encoded = header.extras.inner().get("b64").is_none_or(|b64| *b64 == true);
    let is_typed = |typ: &str| TYPES.iter().any(|ours| typ.eq_ignore_ascii_case(ours));
    has_no_extension && is_encoded && header.typ.as_deref().is_none_or(is_typed)
}

/// The issuer's public keys, and the claims that its tokens must have.
pub struct Identity {
    keys: Keys,
    issuer: String,
    audience: String,
    /// Seconds.
    max_lifetime: u32,
}

impl Identity {
    /// From `JWT_ISSUER`, `JWT_AUDIENCE`, `JWT_MAX_LIFETIME_SECONDS`, `JWT_KEYS` (a JWKS) and, if there is one,
    /// `JWKS_URI`.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (keys, uri) = (env("JWT_KEYS")?, optional_env("JWKS_URI"));
        let max_lifetime = env_as("JWT_MAX_LIFETIME_SECONDS")?;
        Self::new(&keys, uri, env("JWT_ISSUER")?, env("JWT_AUDIENCE")?, max_lifetime)
            .map_err(|bad| ConfigError::new("JWT_KEYS", crate::error::chain(&bad)))
    }

    fn new(
        jwks: &str,
        uri: Option<String>,
        issuer: String,
        audience: String,
        max_lifetime: u32,
    ) -> Result<Self, BadKeys> {
        signatures::install();
        Ok(Self { keys: Keys::new(jwks, uri, Instant::now())?, issuer, audience, max_lifetime })
    }

    /// The caller that the value of an `Authorization` header names.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<Caller, Problem> {
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
        if !is_understood(&header) {
            return Err(refused());
        }
        let id = header.kid.ok_or_else(refused)?;
        let key = self.keys.find(&id, Instant::now()).await.ok_or_else(refused)?;
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY.into();
        validation.validate_nbf = true;
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let token = jsonwebtoken::decode::<Claims>(token, &key.key, &validation);
        let claims = token.map_err(|_| refused())?.claims;
        let now = get_current_timestamp().cast_signed();
        if claims.iss != self.issuer || !claims.lives_at_most(self.max_lifetime, now) {
            return Err(refused());
        }
        Ok(Caller { role: claims.role, subject: claims.sub })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::hmac;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    /// A key for these tests alone, new in every run.
    static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap()
    });

    fn public_key() -> Value {
        // An uncompressed point: 4, x, y.
        let (x, y) = KEY.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": encode(x), "y": encode(y)})
    }

    fn identity() -> Identity {
        let jwks = json!({"keys": [public_key()]}).to_string();
        Identity::new(&jwks, None, "https://issuer".into(), "trackops".into(), 86_400).unwrap()
    }

    fn claims() -> Value {
        json!({"sub": "alice", "role": "customer", "iss": "https://issuer", "aud": "trackops",
               "exp": get_current_timestamp() + 60})
    }

    fn encode(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = sign(message.as_bytes());
        format!("Bearer {message}.{}", encode(signature))
    }

    fn es256(message: &[u8]) -> Vec<u8> {
        KEY.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    fn signed(claims: &Value) -> String {
        token(&json!({"alg": "ES256", "kid": "k1"}), claims, es256)
    }

    async fn refuses(token: &str) -> bool {
        identity().verify(Some(token)).await.is_err()
    }

    #[tokio::test]
    async fn a_good_token_names_its_caller() {
        let caller = identity().verify(Some(&signed(&claims()))).await.unwrap();
        assert_eq!(caller, Caller { role: Role::Customer, subject: "alice".parse().unwrap() });
    }

    #[tokio::test]
    async fn a_subject_is_whatever_openid_connect_allows() {
        let longest = "s".repeat(255);
        for subject in ["auth0|5f7c", "a+b/c==", "user@example.com", "urn:x:y", &longest] {
            let mut claims = claims();
            claims["sub"] = json!(subject);
            let caller = identity().verify(Some(&signed(&claims))).await.unwrap();
            assert_eq!(caller.subject.as_str(), subject);
        }
        for odd in ["s".repeat(256), "a\nb".into(), "\u{e9}".into()] {
            let mut claims = claims();
            claims["sub"] = json!(odd);
            assert!(refuses(&signed(&claims)).await, "{odd:?}");
        }
    }

    #[tokio::test]
    async fn a_token_that_is_not_for_us_or_not_valid_now_is_refused() {
        let now = get_current_timestamp();
        for (claim, value) in [
            ("iss", json!("https://other")),
            ("iss", json!(["https://issuer"])),
            ("iss", json!(["https://other", "https://issuer"])),
            ("aud", json!("other")),
            ("exp", json!(now - 120)),
            ("nbf", json!(now + 120)),
            ("iat", json!(now + 120)),
            ("iat", json!("yesterday")),
            ("role", json!("admin")),
            ("sub", json!("")),
        ] {
            let mut claims = claims();
            claims[claim] = value;
            assert!(refuses(&signed(&claims)).await, "wrong {claim} was accepted");
        }
        for claim in ["iss", "aud", "exp", "sub", "role"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(claim);
            assert!(refuses(&signed(&claims)).await, "a token without {claim} was accepted");
        }
    }

    #[tokio::test]
    async fn clocks_may_differ_by_half_a_minute() {
        let now = get_current_timestamp();
        for (claim, value) in [("exp", now - 20), ("nbf", now + 20), ("iat", now + 20)] {
            let mut claims = claims();
            claims[claim] = json!(value);
            assert!(!refuses(&signed(&claims)).await, "{claim}");
        }
    }

    #[tokio::test]
    async fn a_token_that_is_good_for_longer_than_a_day_is_refused() {
        let (now, day) = (get_current_timestamp(), 86_400);
        let good = |iat: Value, exp: Value| async {
            let mut claims = claims();
            (claims["iat"], claims["exp"]) = (iat, exp);
            !refuses(&signed(&claims)).await
        };
        assert!(good(json!(now), json!(now + day)).await);
        assert!(good(json!(now - 5), json!(now - 5 + day)).await);
        let half = |seconds: u64| serde_json::from_str(&format!("{seconds}.5")).unwrap();
        assert!(good(half(now - 5), half(now)).await, "a NumericDate may have a fraction");
        assert!(!good(half(now), half(now + day + 1)).await);
        assert!(!good(json!(now), json!(now + day + 1)).await);
        assert!(!good(json!(now - day), json!(now + 60)).await, "it was issued long ago");
        assert!(!good(json!(now), json!(u64::MAX)).await);
        assert!(!good(json!(-1), json!(now + 60)).await);
        // One that does not say when it was issued was issued now, by a clock that may be ahead of ours.
        assert!(good(json!(null), json!(now + day)).await);
        assert!(!good(json!(null), json!(now + day + 120)).await);
    }

    #[tokio::test]
    async fn a_token_with_an_extension_that_it_calls_critical_is_refused() {
        for (name, value) in [
            ("crit", json!(["exp"])),
            ("crit", json!(["b64"])),
            ("crit", json!(["kid"])),
            ("crit", json!([])),
            ("crit", json!("exp")),
            ("b64", json!(false)),
            ("b64", json!("true")),
        ] {
            let mut header = json!({"alg": "ES256", "kid": "k1", "exp": 1, name: value});
            assert!(refuses(&token(&header, &claims(), es256)).await, "{header}");
            header.as_object_mut().unwrap().remove(name);
            assert!(!refuses(&token(&header, &claims(), es256)).await, "what is not critical");
        }
    }

    #[tokio::test]
    async fn a_token_of_another_type_is_not_one_for_access() {
        let typed =
            |typ: Value| token(&json!({"alg": "ES256", "kid": "k1", "typ": typ}), &claims(), es256);
        for good in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert!(!refuses(&typed(json!(good))).await, "{good}");
        }
        for other in ["secevent+jwt", "logout+jwt", "dpop+jwt", "id_token", "JOSE", "", " JWT"] {
            assert!(refuses(&typed(json!(other))).await, "{other}");
        }
        assert!(refuses(&typed(json!(["JWT"]))).await);
    }

    #[tokio::test]
    async fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
        let header = json!({"alg": "HS256", "kid": "k1"});
        for secret in [KEY.public_key().as_ref().to_vec(), public_key().to_string().into_bytes()] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let sign = |message: &[u8]| hmac::sign(&key, message).as_ref().to_vec();
            assert!(refuses(&token(&header, &claims(), sign)).await);
        }
    }

    #[tokio::test]
    async fn an_unsigned_token_and_one_that_lies_about_its_algorithm_are_refused() {
        for algorithm in ["none", "None", "RS256", "ES384"] {
            let header = json!({"alg": algorithm, "kid": "k1"});
            assert!(refuses(&token(&header, &claims(), |_| Vec::new())).await, "{algorithm}");
            assert!(refuses(&token(&header, &claims(), es256)).await, "{algorithm}");
        }
    }

    #[test]
    fn customers_see_what_is_theirs_and_do_only_what_their_role_may() {
        let caller = |role| Caller { role, subject: "alice".parse().unwrap() };
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let customer = caller(Role::Customer);
        assert!(customer.may_see(&alice) && !customer.may_see(&bob));
        let staff = [Role::Operator, Role::Service];
        assert!(customer.must_be(&staff).is_err() && customer.must_be(&[Role::Customer]).is_ok());
        for role in staff {
            assert!(caller(role).may_see(&bob) && caller(role).must_be(&staff).is_ok());
            assert!(caller(role).must_be(&[Role::Customer]).is_err());
        }
    }

    #[tokio::test]
    async fn no_token_an_unknown_key_and_none_are_refused() {
        assert!(identity().verify(None).await.is_err());
        assert!(refuses("Basic YTpi").await);
        assert!(refuses(&token(&json!({"alg": "ES256", "kid": "k2"}), &claims(), es256)).await);
        assert!(refuses(&token(&json!({"alg": "ES256"}), &claims(), es256)).await);
    }
}
