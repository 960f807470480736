//! Cursors: where a list goes on. They are opaque, and valid only for the caller and the filters that they were made
//! for.

use aws_types::SdkConfig;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambda_http::http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use trackops_aws::secrets::{Mac, Secret, SecretSource};

use crate::http::{Answer, json};
use crate::identity::Caller;
use crate::problem::Problem;

/// Bytes of the HMAC that a cursor carries. Source: RFC 2104, section 5: half of it, and 80 bits at least.
const TAG: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a cursor of this list with these filters; leave it out to start from the beginning"
)]
pub struct BadCursor;

impl From<BadCursor> for Problem {
    fn from(bad: BadCursor) -> Self {
        Self::field("cursor", bad)
    }
}

/// The cursors of every list.
pub struct Cursors {
    secret: SecretSource,
}

/// The cursors of one list for one caller and their filters.
pub struct ListCursors<'a> {
    secret: &'a Secret,
    scope: Vec<u8>,
}

impl Cursors {
    pub fn new(secret: Secret) -> Self {
        Self { secret: SecretSource::fixed(secret) }
    }

    pub async fn connect(config: &SdkConfig, secret_arn: String) -> Self {
        Self { secret: SecretSource::connect(config, secret_arn).await }
    }

    /// `filters` is everything that decides which entries are in the list. The size of a page is not part of it.
    pub async fn of(
        &self,
        list: &str,
        caller: &Caller,
        filters: &impl Serialize,
    ) -> Result<ListCursors<'_>, Problem> {
        let scope = serde_json::to_vec(&(list, caller.role, &caller.subject, filters));
        let scope = Sha256::digest(scope.map_err(Problem::internal)?).to_vec();
        Ok(ListCursors { secret: self.secret.get().await?, scope })
    }
}

impl ListCursors<'_> {
    pub fn write(&self, position: &impl Serialize) -> Result<String, serde_json::Error> {
        let position = serde_json::to_vec(position)?;
        let tag = self.mac(&position).finalize().into_bytes();
        Ok(URL_SAFE_NO_PAD.encode([&tag[..TAG], &position].concat()))
    }

    pub fn read<P: DeserializeOwned>(&self, cursor: &str) -> Result<P, BadCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| BadCursor)?;
        let (tag, position) = bytes.split_at_checked(TAG).ok_or(BadCursor)?;
        self.mac(position).verify_truncated_left(tag).map_err(|_| BadCursor)?;
        serde_json::from_slice(position).map_err(|_| BadCursor)
    }

    /// A page of the list, the ids of entries that belong into it but cannot be read, and the cursor for the next page.
    pub fn page(
        &self,
        items: Vec<impl Serialize>,
        unreadable: &[&str],
        next: Option<impl Serialize>,
    ) -> Answer {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a, T> {
            items: Vec<T>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            unreadable: &'a [&'a str],
            #[serde(skip_serializing_if = "Option::is_none")]
            next_cursor: Option<String>,
        }
        let next_cursor = next.map(|position| self.write(&position)).transpose();
        let next_cursor = next_cursor.map_err(Problem::internal)?;
        Ok(json(StatusCode::OK, &Page { items, unreadable, next_cursor }))
    }

    fn mac(&self, position: &[u8]) -> impl Mac {
        let mut mac = self.secret.mac();
        // Always 32 bytes, so scope and position cannot be taken for each other.
        mac.update(&self.scope);
        mac.update(position);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;
    use futures::FutureExt;
    use proptest::prelude::*;

    fn cursors() -> Cursors {
        Cursors::new(Secret::new("0123456789abcdef0123456789abcdef").unwrap())
    }

    fn of<'a>(
        cursors: &'a Cursors,
        list: &str,
        by: &Caller,
        of: &impl Serialize,
    ) -> ListCursors<'a> {
        let list = cursors.of(list, by, of).now_or_never();
        list.unwrap().unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    fn alice() -> Caller {
        Caller { role: Role::Customer, subject: "alice".parse().unwrap() }
    }

    #[test]
    fn a_cursor_is_refused_for_another_list_caller_role_filter_or_secret() {
        let cursors = cursors();
        let cursor = of(&cursors, "orders", &alice(), &"PENDING").write(&7).unwrap();
        let bob = Caller { subject: "bob".parse().unwrap(), ..alice() };
        let operator = Caller { role: Role::Operator, ..alice() };
        let other = Cursors::new(Secret::new("another-secret-of-32-characters!").unwrap());
        for list in [
            of(&cursors, "reservations", &alice(), &"PENDING"),
            of(&cursors, "orders", &bob, &"PENDING"),
            of(&cursors, "orders", &operator, &"PENDING"),
            of(&cursors, "orders", &alice(), &"CONFIRMED"),
            of(&other, "orders", &alice(), &"PENDING"),
        ] {
            assert_eq!(list.read::<u32>(&cursor), Err(BadCursor));
        }
        assert_eq!(of(&cursors, "orders", &alice(), &"PENDING").read(&cursor), Ok(7));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(position in ".*") {
            let cursors = cursors();
            let list = of(&cursors, "orders", &alice(), &());
            let cursor = list.write(&position).unwrap();
            prop_assert_eq!(list.read::<String>(&cursor), Ok(position));
        }

        #[test]
        fn a_cursor_with_one_character_changed_is_refused(
            position in "[a-z]{0,20}", at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_=-]",
        ) {
            let cursors = cursors();
            let list = of(&cursors, "orders", &alice(), &());
            let cursor = list.write(&position).unwrap();
            let at = at.index(cursor.len());
            prop_assume!(cursor[at..=at] != to);
            let mut changed = cursor;
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(list.read::<String>(&changed), Err(BadCursor));
        }

        #[test]
        fn no_text_is_taken_for_a_cursor(text in ".{0,60}") {
            prop_assert!(of(&cursors(), "orders", &alice(), &()).read::<String>(&text).is_err());
        }
    }
}
