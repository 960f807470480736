//! The publishing side of the outbox: what an item still has to tell, and forgetting it once it is told.

use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementError, BatchStatementErrorCodeEnum, BatchStatementRequest, Select,
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_attribute_value};
use trackops_domain::event::EventType;
use trackops_domain::{Event, Timestamp};

use crate::aggregate::{Item, SHARDS, Table};
use crate::error::StoreError;
use crate::retry;

/// Appends `:raised`; the item stays in the index since its oldest event that is not published.
pub(crate) const APPEND: &str = "outbox = list_append(if_not_exists(outbox, :nothing), :raised), \
     unpublished = :shard, unpublished_since = if_not_exists(unpublished_since, :since)";

/// An event on its way: ready to be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub time: Timestamp,
    pub traceparent: Option<String>,
    /// The CloudEvent, structured JSON.
    pub body: String,
}

impl OutboxEntry {
    pub fn of(event: &Event) -> Result<Self, StoreError> {
        Ok(Self {
            id: event.id.clone(),
            kind: event.kind,
            time: event.time,
            traceparent: event.traceparent.clone(),
            body: serde_json::to_string(event).map_err(StoreError::corrupt)?,
        })
    }

    /// The id of the aggregate, as in `subject`; `None` when the event's id is not `<KIND>#<id>#<version>`.
    pub fn aggregate_id(&self) -> Option<&str> {
        let (key, _) = self.id.rsplit_once('#')?;
        key.split_once('#').map(|(_, id)| id).filter(|id| !id.is_empty())
    }
}

/// What an item of any table still has to tell, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Unpublished {
    pub pk: String,
    #[serde(default)]
    pub outbox: Vec<OutboxEntry>,
}

/// An outbox as it was read, and how many of its events, the oldest first, the bus has taken.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub read: &'a Unpublished,
    pub count: usize,
}

/// Statements a batch takes. Source: "Running batch operations with PartiQL for DynamoDB", DynamoDB Developer Guide.
const STATEMENTS: usize = 25;

/// Tries of a statement that was throttled: as many as the SDK gives a call, which does not look into a batch.
const TRIES: u32 = 3;

/// Entries read from an index at once.
const PAGE: i32 = 50;

/// Where to go on reading an index; the default is its beginning.
#[derive(Clone, Debug, Default)]
pub struct Page {
    after: Option<Item>,
}

/// The index partition of a key.
pub(crate) fn shard(key: &str) -> AttributeValue {
    AttributeValue::S((hash(key) % SHARDS).to_string())
}

/// FNV-1a, because it must be the same in every build for ever.
pub(crate) fn hash(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Table {
    /// What the item has to tell now; `None` when it has told everything.
    pub async fn unpublished(&self, key: &str) -> Result<Option<Unpublished>, StoreError> {
        let item: Option<Unpublished> = self.item(key).await?.map(from_item).transpose()?;
        Ok(item.filter(|item| !item.outbox.is_empty()))
    }

    /// Keys of items that have had something to tell since before `before`, oldest first, a page at a time.
    pub async fn unpublished_before(
        &self,
        shard: u32,
        before: Timestamp,
        page: Page,
    ) -> Result<(Vec<String>, Option<Page>), StoreError> {
        let (keys, next) =
            self.index("unpublished", "unpublished_since", shard, before, page).await?;
        Ok((keys.into_iter().map(|(key, _)| key).collect(), next))
    }

    /// A page of a sparse index: keys, each with its value of the range attribute.
    pub(crate) async fn index(
        &self,
        index: &str,
        range: &str,
        shard: u32,
        before: Timestamp,
        page: Page,
    ) -> Result<(Vec<(String, String)>, Option<Page>), StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(index)
            .key_condition_expression("#shard = :shard AND #range < :before")
            .expression_attribute_names("#shard", index)
            .expression_attribute_names("#range", range)
            .expression_attribute_values(":shard", AttributeValue::S(shard.to_string()))
            .expression_attribute_values(":before", AttributeValue::S(before.to_string()))
            .select(Select::AllProjectedAttributes)
            .limit(PAGE)
            .set_exclusive_start_key(page.after)
            .send()
            .await?;
        let text = |item: &Item, name: &str| match item.get(name) {
            Some(AttributeValue::S(text)) => Ok(text.clone()),
            _ => Err(StoreError::corrupt(format!("an entry of index {index} without {name}"))),
        };
        let entries = answer.items().iter().map(|item| Ok((text(item, "pk")?, text(item, range)?)));
        let entries = entries.collect::<Result<_, StoreError>>()?;
        Ok((entries, answer.last_evaluated_key.map(|after| Page { after: Some(after) })))
    }

    /// Those of these items (of at most 100 keys) that have something to tell, in any order.
    pub async fn outboxes(&self, keys: Vec<String>) -> Result<Vec<Unpublished>, StoreError> {
        let items = self.items(keys, true).await?.into_iter();
        let outboxes = items.map(|item| Ok(from_item::<Unpublished>(item)?));
        let outboxes: Vec<_> = outboxes.collect::<Result<_, StoreError>>()?;
        Ok(outboxes.into_iter().filter(|item| !item.outbox.is_empty()).collect())
    }

    /// The version of an item; `None` when it is not there.
    pub async fn version(&self, key: &str) -> Result<Option<u64>, StoreError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let item: Option<Versioned> = self.item(key).await?.map(from_item).transpose()?;
        Ok(item.map(|item| item.version))
    }

    /// Forgets exactly the events that were published. When others were added meanwhile it leaves all of
    /// them: whoever publishes those publishes these again first, so the order holds.
    pub async fn trim(&self, published: &Unpublished) -> Result<(), StoreError> {
        self.forget(published, published.outbox.len()).await.map(drop)
    }

    /// [`Self::forget_all`] of one outbox.
    pub async fn forget(&self, read: &Unpublished, count: usize) -> Result<bool, StoreError> {
        Ok(self.forget_all(&[Told { read, count }]).await? == [true])
    }

    /// Forgets what these outboxes, each of another item, have told. Whether it did, in the order given: when an outbox
    /// is not as it was read it leaves all of it. An error is the first of those that there were; whatever did not
    /// fail is forgotten all the same.
    pub async fn forget_all(&self, told: &[Told<'_>]) -> Result<Vec<bool>, StoreError> {
        let calls = told.chunks(STATEMENTS).map(|told| self.forget_some(told));
        let forgotten: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
        Ok(forgotten?.concat())
    }

    async fn forget_some(&self, told: &[Told<'_>]) -> Result<Vec<bool>, StoreError> {
        // What tells nothing has nothing to forget.
        let mut left: Vec<usize> = (0..told.len()).filter(|it| told[*it].count > 0).collect();
        let mut forgotten = vec![true; told.len()];
        for attempt in 0..TRIES {
            if left.is_empty() {
                break;
            }
            if attempt > 0 {
                retry::back_off(attempt).await;
            }
            let statements = left.iter().map(|it| told[*it].statement(&self.name));
            let statements = statements.collect::<Result<_, _>>()?;
            let call = self.client.batch_execute_statement().set_statements(Some(statements));
            let answers = call.send().await?.responses.unwrap_or_default();
            if answers.len() != left.len() {
                return Err(StoreError::corrupt(
                    "a batch was answered with another number of answers",
                ));
            }
            let (mut again, mut failed) = (Vec::new(), None);
            for (it, answer) in left.into_iter().zip(answers) {
                match answer.error.map(error) {
                    None => {}
                    Some(StoreError::Stale) => forgotten[it] = false,
                    Some(StoreError::Busy(_)) if attempt + 1 < TRIES => again.push(it),
                    Some(error) => failed = failed.or(Some(error)),
                }
            }
            if let Some(failed) = failed {
                return Err(failed);
            }
            left = again;
        }
        Ok(forgotten)
    }
}

impl Told<'_> {
    /// Holds only if the outbox is as it was read.
    fn statement(&self, table: &str) -> Result<BatchStatementRequest, StoreError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let Unpublished { pk, outbox } = self.read;
        let first = outbox.first().map(|event| event.id.as_str()).unwrap_or_default();
        let condition = "WHERE pk = ? AND outbox[0].id = ? AND size(outbox) = ?";
        let length = AttributeValue::N(outbox.len().to_string());
        let condition_values = [text(pk), text(first), length];
        let statement = match outbox.get(self.count) {
            None => BatchStatementRequest::builder()
                .statement(format!(
                    "UPDATE \"{table}\" REMOVE outbox REMOVE unpublished REMOVE unpublished_since {condition}"
                ))
                .set_parameters(Some(condition_values.into())),
            Some(next) => {
                let rest = to_attribute_value(&outbox[self.count..])?;
                let mut values = vec![rest, text(&next.time.to_string())];
                values.extend(condition_values);
                BatchStatementRequest::builder()
                    .statement(format!(
                        "UPDATE \"{table}\" SET outbox = ? SET unpublished_since = ? {condition}"
                    ))
                    .set_parameters(Some(values))
            }
        };
        statement.build().map_err(StoreError::corrupt)
    }
}

fn error(error: BatchStatementError) -> StoreError {
    let code = error.code.as_ref().map_or("NoCode", BatchStatementErrorCodeEnum::as_str);
    StoreError::of_statement(code, error.message().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::Canned;
    use serde_json::{Value, json};

    fn outbox(pk: &str, ids: &[&str]) -> Unpublished {
        let (kind, time) = (EventType::OrderCreated, Timestamp::from_millis(0));
        let entry = |id: &&str| OutboxEntry {
            id: (*id).into(),
            kind,
            time,
            traceparent: None,
            body: "{}".into(),
        };
        Unpublished { pk: pk.into(), outbox: ids.iter().map(entry).collect() }
    }

    fn answers(codes: &[Option<&str>]) -> (u16, Value) {
        let answer = |code: &Option<&str>| match code {
            None => json!({"TableName": "table"}),
            Some(code) => json!({"Error": {"Code": code, "Message": "as prepared"}}),
        };
        (200, json!({"Responses": codes.iter().map(answer).collect::<Vec<_>>()}))
    }

    /// The keys that each call was about.
    fn keys(dynamodb: &Canned) -> Vec<Vec<String>> {
        let key = |statement: &Value| {
            let values = statement["Parameters"].as_array().unwrap();
            values[values.len() - 3]["S"].as_str().unwrap().to_owned()
        };
        let of_call =
            |call: &Value| call["Statements"].as_array().unwrap().iter().map(key).collect();
        dynamodb.requests().iter().map(of_call).collect()
    }

    #[tokio::test]
    async fn a_throttled_trim_is_tried_again_alone_and_each_item_has_an_answer_of_its_own() {
        let throttled = Some("ThrottlingError");
        let dynamodb = Canned::answering([
            answers(&[None, throttled, Some("ConditionalCheckFailed")]),
            answers(&[throttled]),
            answers(&[None]),
        ]);
        let read = ["A", "B", "C"].map(|pk| outbox(pk, &["1"]));
        let told: Vec<_> = read.iter().map(|read| Told { read, count: 1 }).collect();
        let forgotten = dynamodb.table().forget_all(&told).await.unwrap();
        assert_eq!(forgotten, [true, true, false]);
        assert_eq!(keys(&dynamodb), [vec!["A", "B", "C"], vec!["B"], vec!["B"]]);
    }

    #[tokio::test]
    async fn a_trim_that_fails_is_no_success_and_one_that_stays_throttled_is_busy() {
        let read = outbox("A", &["1"]);
        let denied = Canned::answering([answers(&[Some("AccessDenied")])]);
        let error = denied.table().forget(&read, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");

        let throttled = || answers(&[Some("ProvisionedThroughputExceeded")]);
        let busy = Canned::answering([throttled(), throttled(), throttled()]);
        let error = busy.table().forget(&read, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Busy(_)), "{error:?}");

        let silent = Canned::answering([answers(&[])]);
        let error = silent.table().forget(&read, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_call_has_25_trims_at_most_and_a_failed_one_keeps_the_others_from_nothing() {
        let failed = (400, crate::canned::error("ValidationException"));
        let dynamodb = Canned::answering([failed, answers(&[None; 25]), answers(&[None; 10])]);
        let read: Vec<_> = (0..60).map(|pk| outbox(&format!("{pk}"), &["1"])).collect();
        let told: Vec<_> = read.iter().map(|read| Told { read, count: 1 }).collect();
        assert!(dynamodb.table().forget_all(&told).await.is_err());
        let sizes: Vec<_> = keys(&dynamodb).iter().map(Vec::len).collect();
        assert_eq!(sizes, [25, 25, 10]);
    }

    fn aggregate_id(id: &str) -> Option<String> {
        let (kind, time) = (EventType::OrderCreated, Timestamp::from_millis(0));
        let (traceparent, body) = (None, String::new());
        let entry = OutboxEntry { id: id.into(), kind, time, traceparent, body };
        entry.aggregate_id().map(str::to_owned)
    }

    #[test]
    fn the_id_of_an_event_names_its_aggregate() {
        assert_eq!(aggregate_id("STOCK#TEA-1#12").as_deref(), Some("TEA-1"));
        for odd in ["", "STOCK", "STOCK#12", "STOCK##12"] {
            assert_eq!(aggregate_id(odd), None, "{odd:?}");
        }
    }
}
