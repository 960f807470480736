//! A repeated request gets the first answer and does nothing. The answer is stored in the same write as the change.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::to_item;
use trackops_domain::{Schema, Timestamp};
use uuid::Uuid;

use crate::aggregate::{Aggregate, Item, Table, Write};
use crate::error::StoreError;
use crate::retry;
use crate::stored::{self, read};
use crate::transact::{put, update};

/// An answer is kept for 24 hours, as the API promises, and for one hour more because clocks differ.
const KEPT: Duration = Duration::from_secs(25 * 60 * 60);

/// The newest shape of an answer that this version reads, and the one that it writes.
const SCHEMA: Schema = Schema::FIRST;

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Tells the request from another one of the same id.
    pub request_hash: String,
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// A request that may come again.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable {
    /// The same id for every repetition of the request, and for no other request.
    pub id: Uuid,
    /// Keeps the answer also when there was nothing to change.
    pub keep_unchanged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    Now(Answered),
    /// A request of this id was answered before.
    Before(Answered),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    answered: Answered,
    /// The call that stored the answer. If a call loses DynamoDB's answer, it recognises its own write by this.
    by: Uuid,
    /// Unix seconds.
    forget_at: i64,
}

impl Table {
    /// [`Self::decide`], and then `answer` for what is stored. Both happen once for each id, whatever happens in
    /// between.
    pub async fn answer_once<T: Aggregate, E: From<StoreError>>(
        &self,
        key: &str,
        request: &Repeatable,
        decide: impl Fn(Option<T>) -> Result<Write<T>, E>,
        answer: impl Fn(&T) -> Result<Answered, E>,
    ) -> Result<Once, E> {
        let (by, kept_key) = (Uuid::now_v7(), format!("ANSWER#{}", request.id));
        for attempt in 0..retry::TRIES {
            let item: Option<T> = self.load(key).await?;
            // Read after the item: if this call sees the change of an earlier one, it sees its answer too.
            if let Some(kept) = self.item(&kept_key).await? {
                let kept: Kept = read(kept, SCHEMA)?;
                let again = kept.by != by;
                return Ok(if again { Once::Before } else { Once::Now }(kept.answered));
            }
            let (action, value) = match decide(item.clone())? {
                Write::Nothing(value) => (None, value),
                Write::Create(value) => (Some(put(self.put_action(&value)?)), value),
                Write::Replace(value) => {
                    let item = item.ok_or_else(|| StoreError::corrupt("nothing to replace"))?;
                    (Some(update(self.replace_action(&item, &value)?)), value)
                }
            };
            let answered = answer(&value)?;
            if action.is_none() && !request.keep_unchanged {
                return Ok(Once::Now(answered));
            }
            let forget_at = Timestamp::now().plus(KEPT).unix_seconds();
            let kept = Kept { answered, by, forget_at };
            let mut actions = Vec::from_iter(action);
            actions.push(put(self.keep_action(&kept_key, &kept)?));
            match self.transact(actions).await {
                Ok(()) => return Ok(Once::Now(kept.answered)),
                Err(StoreError::Stale) => retry::back_off(attempt).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy("too many others write this item".into()).into())
    }

    fn keep_action(&self, key: &str, kept: &Kept) -> Result<Put, StoreError> {
        let mut item: Item = to_item(kept)?;
        item.insert("pk".into(), AttributeValue::S(key.to_owned()));
        item.insert(stored::SCHEMA.into(), stored::schema(SCHEMA));
        Put::builder()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(StoreError::corrupt)
    }
}
