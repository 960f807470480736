//! One type per identifier, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Namespace of order ids derived from an idempotency key. Fixed for ever: changing it would forget every key.
const IDEMPOTENCY_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_6f0a_1d1b_4c5e_9b7a_7472_6163_6b6f);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    #[error("must be a UUID")]
    NotUuid,
    #[error("must be 1 to {max} characters out of letters, digits and {punctuation}")]
    Characters { max: usize, punctuation: &'static str },
}

/// An order. The reservation and the payment made for it carry the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("format" = "uuid")))]
#[serde(into = "String", try_from = "String")]
pub struct OrderId(Uuid);

impl OrderId {
    /// UUIDv7 (RFC 9562): ids of later orders sort after those of earlier ones.
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
    ($(#[$doc:meta])* $name:ident, $max:literal, $punctuation:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(
            feature = "schema",
            derive(schemars::JsonSchema),
            schemars(extend(
                "maxLength" = $max,
                "pattern" = format!("^[A-Za-z0-9{}]+$", $punctuation.replace('-', r"\-"))
            ))
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

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || $punctuation.contains(c);
                if (1..=$max).contains(&text.len()) && text.chars().all(allowed) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadId::Characters { max: $max, punctuation: $punctuation })
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }
    };
}

text_id!(
    /// A stock keeping unit; `productId` in the API.
    Sku, 64, "._-:@"
);
text_id!(
    /// A customer, as the token's `sub` names them.
    CustomerId, 64, "._-:@|"
);

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

    proptest! {
        #[test]
        fn any_text_is_a_sku_or_is_refused_without_panic(text in ".{0,80}") {
            if let Ok(sku) = text.parse::<Sku>() {
                prop_assert_eq!(sku.as_str(), text);
            }
        }
    }
}
