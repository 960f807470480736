//! The records of a table's stream, as far as the relay needs them.
//!
//! An image is a whole item, and the outbox is one part of it. The other attributes are skipped here and not parsed
//! into maps that nobody reads: apart from its calls, parsing is most of the relay's work.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use trackops_aws::outbox::{Kind, OutboxEntry, Unpublished};
use trackops_domain::Timestamp;

/// The event of a stream's mapping. Source: "Using AWS Lambda with Amazon DynamoDB", Lambda Developer Guide.
#[derive(Deserialize)]
pub struct Stream {
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

#[derive(Deserialize)]
pub struct Record {
    #[serde(rename = "dynamodb")]
    pub change: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    pub sequence_number: String,
    /// Unix seconds, rounded down. Source: "StreamRecord", DynamoDB Streams API reference.
    approximate_creation_date_time: Option<Box<RawValue>>,
    // These are not parsed yet, so that a record that makes no sense fails alone.
    keys: Option<Box<RawValue>>,
    new_image: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Keys {
    pk: Text<String>,
}

impl Change {
    /// When the item was written; long ago if the record does not say.
    pub fn at(&self) -> Timestamp {
        let seconds = self.approximate_creation_date_time.as_ref();
        let seconds = seconds.and_then(|raw| serde_json::from_str::<f64>(raw.get()).ok());
        let at = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Timestamp::from_millis(0).plus(at.unwrap_or_default())
    }

    /// Of the item that was written.
    pub fn key(&self) -> Option<String> {
        let Keys { pk: Text::S(pk) } = serde_json::from_str(self.keys.as_ref()?.get()).ok()?;
        Some(pk)
    }

    /// The events in the item's outbox.
    pub fn image(&self) -> Result<Unpublished, serde_json::Error> {
        let image = self.new_image.as_ref().map_or("null", |image| image.get());
        serde_json::from_str::<Image>(image).map(Unpublished::from)
    }
}

#[derive(Deserialize)]
struct Image {
    pk: Text<String>,
    #[serde(default)]
    outbox: List<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: Text<String>,
    #[serde(rename = "type")]
    kind: Text<Kind>,
    time: Text<Timestamp>,
    traceparent: Option<TextOrNull>,
    body: Text<String>,
}

// Attributes as DynamoDB's JSON has them: an object that names the type. Source: "AttributeValue", DynamoDB API reference.

#[derive(Deserialize)]
enum Text<T> {
    S(T),
}

#[derive(Deserialize)]
enum TextOrNull {
    S(String),
    #[serde(rename = "NULL")]
    Null(IgnoredAny),
}

#[derive(Deserialize)]
enum List<T> {
    L(Vec<Map<T>>),
}

#[derive(Deserialize)]
enum Map<T> {
    M(T),
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::L(Vec::new())
    }
}

impl From<Image> for Unpublished {
    fn from(image: Image) -> Self {
        let (Text::S(pk), List::L(entries)) = (image.pk, image.outbox);
        let outbox = entries.into_iter().map(|Map::M(entry)| entry.into()).collect();
        Self::new(pk, outbox)
    }
}

impl From<Entry> for OutboxEntry {
    fn from(entry: Entry) -> Self {
        let (Text::S(id), Text::S(kind), Text::S(time)) = (entry.id, entry.kind, entry.time);
        let Text::S(body) = entry.body;
        let traceparent = match entry.traceparent {
            Some(TextOrNull::S(traceparent)) => Some(traceparent),
            Some(TextOrNull::Null(_)) | None => None,
        };
        Self { id, kind, time, traceparent, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn image(image: Value) -> Result<Unpublished, serde_json::Error> {
        let record = json!({"dynamodb": {"SequenceNumber": "1", "NewImage": image}});
        let stream = json!({"Records": [record]}).to_string();
        serde_json::from_str::<Stream>(&stream).unwrap().records[0].change.image()
    }

    fn entry(traceparent: Value) -> Value {
        json!({"M": {
            "id": {"S": "ORDER#1#1"}, "type": {"S": "order.created"},
            "time": {"S": "1970-01-01T00:00:00.001Z"}, "traceparent": traceparent,
            "body": {"S": "{\"name\": \"tea \u{1f375}, 2\\\\3\"}"},
        }})
    }

    #[test]
    fn an_outbox_is_read_as_the_store_reads_it_whatever_else_the_item_has() {
        let outbox = [entry(json!({"NULL": true})), entry(json!({"S": "00-1-2-01"}))];
        let item = json!({
            "pk": {"S": "ORDER#1"}, "version": {"N": "7"}, "total": {"N": "250"}, "paid": {"BOOL": true},
            "outbox": {"L": outbox}, "reason": {"NULL": true}, "tags": {"SS": ["a", "b"]},
            "lines": {"L": [{"M": {"sku": {"S": "TEA"}, "outbox": {"S": "not this one"}}}]},
        });
        let read = image(item.clone()).unwrap();
        let stored: serde_dynamo::AttributeValue =
            serde_json::from_value(item["outbox"].clone()).unwrap();
        let stored: Vec<OutboxEntry> = serde_dynamo::from_attribute_value(stored).unwrap();
        assert_eq!(read, Unpublished::new("ORDER#1".into(), stored));
        assert_eq!(read.outbox[1].traceparent.as_deref(), Some("00-1-2-01"));
    }

    #[test]
    fn what_is_no_item_with_an_outbox_is_an_error_and_an_item_without_one_tells_nothing() {
        assert_eq!(image(json!({"pk": {"S": "ORDER#1"}})).unwrap().outbox, []);
        for odd in [
            json!(null),
            json!({}),
            json!({"pk": {"N": "1"}}),
            json!({"pk": {"S": "ORDER#1"}, "outbox": {"S": "not a list"}}),
            json!({"pk": {"S": "ORDER#1"}, "outbox": {"L": [{"S": "no entry"}]}}),
            json!({"pk": {"S": "ORDER#1"}, "outbox": {"L": [{"M": {"id": {"S": "no more"}}}]}}),
        ] {
            assert!(image(odd.clone()).is_err(), "{odd}");
        }
    }
}
