//! One type per identifier, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Namespace of order ids derived from an idempotency key. Fixed for ever: changing it would forget every key.
const IDEMPOTENCY_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_6f0a_1d1b_4c5e_9b7a_7472_6163_6b6f);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    #[error("must be a UUID, such as 019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68")]
    NotUuid,
    #[error("must be 1 to {max} characters out of {allowed}")]
    Characters { max: usize, allowed: &'static str },
    #[error("must not be . or .., which no URL can end in")]
    DotSegment,
}

/// An order. The reservation and the payment made for it carry the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("format" = "uuid")))]
#[serde(into = "String", try_from = "String")]
pub struct OrderId(Uuid);

impl OrderId {
    /// UUIDv7 (RFC 9562): ids of later orders sort after ids of earlier orders.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// UUIDv5 of (principal, key): the same caller with the same key always names the same order.
    pub fn for_idempotency_key(principal: &str, key: &str) -> Self {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        let name = format!("{}:{principal}{key}", principal.len());
        Self(Uuid::new_v5(&IDEMPOTENCY_NAMESPACE, name.as_bytes()))
    }

    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for OrderId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        // One spelling per id: only the hyphenated one names an order.
        match Uuid::try_parse(text) {
            Ok(id) if text.len() == uuid::fmt::Hyphenated::LENGTH => Ok(Self(id)),
            _ => Err(BadId::NotUuid),
        }
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for OrderId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:literal, $pattern:literal, $allowed:literal, $is_allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(
            feature = "schema",
            derive(schemars::JsonSchema),
            schemars(extend("maxLength" = $max, "pattern" = $pattern))
        )]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Longest accepted, in characters.
            pub const MAX: usize = $max;

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        /// Reads an id that was stored or published before.
        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                let is_allowed: fn(u8) -> bool = $is_allowed;
                if (1..=$max).contains(&text.len()) && text.bytes().all(is_allowed) {
                    Ok(Self(text))
                } else {
                    Err(BadId::Characters { max: $max, allowed: $allowed })
                }
            }
        }
    };
}

text_id!(
    /// A stock keeping unit; `productId` in the API.
    Sku, 64, r"^[A-Za-z0-9._\-:@]+$", "letters, digits and ._-:@",
    |byte| byte.is_ascii_alphanumeric() || b"._-:@".contains(&byte)
);
text_id!(
    /// A customer, as the token's `sub` names them.
    ///
    /// Source of the limit: OpenID Connect Core 1.0, section 2, of which only the control characters are left out.
    CustomerId, 255, "^[ -~]+$", "printable ASCII",
    |byte| byte == b' ' || byte.is_ascii_graphic()
);

/// An id that a caller gives. It stands in a path, so it must not be `.` or `..`, which clients resolve. Source: RFC
/// 3986, section 5.2.4.
impl FromStr for Sku {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match text {
            "." | ".." => Err(BadId::DotSegment),
            text => text.to_owned().try_into(),
        }
    }
}

impl FromStr for CustomerId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        text.to_owned().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_names_one_order_per_caller() {
        let id = OrderId::for_idempotency_key("alice", "k1");
        assert_eq!(id, OrderId::for_idempotency_key("alice", "k1"));
        assert_ne!(id, OrderId::for_idempotency_key("bob", "k1"));
        assert_ne!(
            OrderId::for_idempotency_key("ab", "c"),
            OrderId::for_idempotency_key("a", "bc")
        );
    }

    #[test]
    fn only_the_hyphenated_spelling_names_an_order() {
        let id = OrderId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.as_uuid().simple().to_string().parse::<OrderId>().is_err());
    }

    #[test]
    fn no_new_product_has_an_id_that_a_url_cannot_end_in_and_one_that_has_it_stays_readable() {
        for odd in [".", ".."] {
            assert_eq!(odd.parse::<Sku>(), Err(BadId::DotSegment), "{odd}");
            assert_eq!(Sku::try_from(odd.to_owned()).unwrap().as_str(), odd);
        }
        for unusable in ["", "%2F", "%2E%2E", "a/b", "a?b", "a#b", "a b", "a\\b", "a;b", "a+b"] {
            assert!(unusable.parse::<Sku>().is_err(), "{unusable}");
            assert!(Sku::try_from(unusable.to_owned()).is_err(), "{unusable}");
        }
        for good in ["...", ".a", "a.", "..a", "a..b", "-", "_", ":", "@", "a:b@c"] {
            assert_eq!(good.parse::<Sku>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_customer_has_any_subject_that_openid_connect_allows() {
        let longest = "s".repeat(255);
        let google = "auth0|5f7c8ec7c33c6c004bbafe82";
        let good =
            [google, "a+b/c=d", "user@example.com", "urn:x:1", "a,b;c", "{}", "a b", &longest];
        for subject in good {
            assert_eq!(subject.parse::<CustomerId>().unwrap().as_str(), subject);
        }
        for odd in ["", &"s".repeat(256), "\u{e9}", "a\nb", "\u{0}", "\u{7f}"] {
            assert!(odd.parse::<CustomerId>().is_err(), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_sku_or_is_refused_without_panic(text in ".{0,80}") {
            if let Ok(sku) = text.parse::<Sku>() {
                prop_assert_eq!(sku.as_str(), text);
            }
        }
    }
}
