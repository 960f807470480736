//! Remembers which events were told to somebody, so that each is told once, however often it comes.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use trackops_domain::{Schema, Timestamp};
use uuid::Uuid;

use crate::aggregate::Table;
use crate::error::StoreError;
use crate::stored::{self, read};

/// How long one turn lasts; after it another call may have the turn. It is longer than the function may run, and
/// shorter than its queue's visibility timeout, so that a message that comes again is not refused.
const TURN: Duration = Duration::from_secs(30);

/// Longer than an event may be on its way: published again, 4 days in a queue, and 14 days among dead letters.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Tell the event, and then call [`Notices::told`].
    Yours,
    /// The event was told before.
    Told,
    /// Somebody else is telling it now: ask again later.
    Taken,
}

#[derive(Clone, Debug)]
pub struct Notices {
    table: Table,
}

impl Notices {
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Whose turn it is to tell of the event.
    pub async fn turn(&self, event_id: &str) -> Result<Turn, StoreError> {
        let now = Timestamp::now();
        let mine = AttributeValue::S(Uuid::now_v7().to_string());
        let taken = self
            .update(event_id)
            .update_expression(
                "SET turn_of = :mine, turn_until = :until, forget_at = :forget_at, \
                 #schema = if_not_exists(#schema, :schema)",
            )
            // When the SDK repeats the request, the turn is already its own.
            .condition_expression(
                "attribute_not_exists(told_at) \
                 AND (attribute_not_exists(turn_of) OR turn_of = :mine OR turn_until < :now)",
            )
            .expression_attribute_values(":mine", mine)
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":until", AttributeValue::S(now.plus(TURN).to_string()))
            .expression_attribute_values(":forget_at", forget_at(now))
            .send()
            .await;
        match taken.map_err(StoreError::from) {
            Ok(_) => Ok(Turn::Yours),
            Err(StoreError::Stale) => {
                #[derive(Deserialize)]
                struct Notice {
                    told_at: Option<String>,
                }
                let notice = self.table.item(&key(event_id)).await?;
                let notice: Option<Notice> =
                    notice.map(|notice| read(notice, Schema::FIRST)).transpose()?;
                let told = notice.is_some_and(|notice| notice.told_at.is_some());
                Ok(if told { Turn::Told } else { Turn::Taken })
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that the event was told: nobody tells it again.
    pub async fn told(&self, event_id: &str) -> Result<(), StoreError> {
        let now = Timestamp::now();
        self.update(event_id)
            .update_expression("SET told_at = :now, forget_at = :forget_at, #schema = if_not_exists(#schema, :schema)")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":forget_at", forget_at(now))
            .send()
            .await?;
        Ok(())
    }

    fn update(&self, event_id: &str) -> UpdateItemFluentBuilder {
        let call = self.table.client.update_item().table_name(&self.table.name);
        call.key("pk", AttributeValue::S(key(event_id)))
            .expression_attribute_names("#schema", stored::SCHEMA)
            .expression_attribute_values(":schema", stored::schema(Schema::FIRST))
    }
}

fn key(event_id: &str) -> String {
    format!("NOTICE#{event_id}")
}

fn forget_at(now: Timestamp) -> AttributeValue {
    AttributeValue::N(now.plus(REMEMBERED).unix_seconds().to_string())
}
