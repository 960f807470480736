//! A provider for laptops and tests. The payment method decides what it does. It writes what it did into its own
//! ledger, so that tests can compare this with our payments.
//!
//! | method | does |
//! |---|---|
//! | `tok_ok` | pays at once |
//! | `tok_pending_ok`, `tok_pending_declined` | answers through the webhook, `ANSWER_AFTER` later |
//! | `tok_timeout` | pays, but the call does not answer |
//! | `tok_late` | cannot be recalled, and pays after the payment deadline |
//! | any other, such as `tok_declined` | declines |

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use trackops_aws::StoreError;
use trackops_aws::aggregate::Item;
use trackops_domain::money::Currency;
use trackops_domain::payment::Intent;
use trackops_domain::{OrderId, Schema, Timestamp};
use trackops_lambda::config::{ConfigError, env};

use crate::provider::{Charge, Provider, ProviderError, Void};

/// How long a pending charge takes.
const ANSWER_AFTER: Duration = Duration::from_secs(3);

/// How long after the deadline a late charge pays.
const LATE_BY: Duration = Duration::from_secs(20);

/// The longest delay of an SQS message. Source: "Amazon SQS message timers", SQS Developer Guide.
const MAX_DELAY: Duration = Duration::from_secs(900);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum State {
    Pending,
    Taken,
    Declined,
    Voided,
    Refunded,
}

/// An entry of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    state: State,
    /// What a pending charge will become.
    becomes: State,
    recallable: bool,
    /// Minor units.
    amount_minor: i64,
    refunded_minor: i64,
    currency: Option<Currency>,
    answers_at: Timestamp,
    #[serde(default)]
    schema: Schema,
}

/// A promise to answer later, on its way through the queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Later {
    pub charge_key: OrderId,
    pub answers_at: Timestamp,
}

pub struct Simulated {
    ledger: Client,
    table: String,
    queue: aws_sdk_sqs::Client,
    queue_url: String,
}

fn unknown(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ProviderError {
    ProviderError::Unknown(error.into())
}

impl Simulated {
    /// From `PAYMENT_PROVIDER`, `LEDGER_TABLE` and `SIMULATOR_QUEUE_URL`.
    pub fn from_env(config: &SdkConfig) -> Result<Self, ConfigError> {
        if env("PAYMENT_PROVIDER")? != "simulated" {
            return Err(ConfigError::new("PAYMENT_PROVIDER", "names no provider that we have"));
        }
        Ok(Self {
            ledger: Client::new(config),
            table: env("LEDGER_TABLE")?,
            queue: aws_sdk_sqs::Client::new(config),
            queue_url: env("SIMULATOR_QUEUE_URL")?,
        })
    }

    /// Decides a charge that was pending. `None`: there is nothing to tell.
    pub(crate) async fn settle(&self, key: &OrderId) -> Result<Option<Charge>, ProviderError> {
        let Some(entry) = self.entry(key).await? else { return Ok(None) };
        if entry.state == State::Pending {
            let settled = Entry { state: entry.becomes, ..entry };
            self.replace(key, &settled, State::Pending).await?;
        }
        let told = self.entry(key).await?.map(|entry| entry.state);
        Ok(match told {
            Some(State::Taken) => Some(Charge::Paid),
            Some(State::Declined) => Some(Charge::Declined),
            Some(State::Pending) => return Err(unknown("the charge is still pending")),
            Some(State::Voided | State::Refunded) | None => None,
        })
    }

    /// Answers at that time or later.
    pub(crate) async fn answer_later(&self, later: &Later) -> Result<(), ProviderError> {
        let delay = later.answers_at.since(Timestamp::now()).min(MAX_DELAY);
        // Rounded up: an answer must not come early.
        let seconds = i32::try_from(delay.as_millis().div_ceil(1000)).map_err(unknown)?;
        let body = serde_json::to_string(later).map_err(unknown)?;
        let message = self.queue.send_message().queue_url(&self.queue_url).message_body(body);
        message.delay_seconds(seconds.min(900)).send().await.map_err(unknown)?;
        Ok(())
    }

    async fn entry(&self, key: &OrderId) -> Result<Option<Entry>, ProviderError> {
        let call = self.ledger.get_item().table_name(&self.table).key("pk", pk(key));
        let answer = call.consistent_read(true).send().await.map_err(unknown)?;
        answer.item.map(from_item).transpose().map_err(unknown)
    }

    /// Writes a first entry. If there is an entry already, that one stays.
    async fn first(&self, key: &OrderId, entry: Entry) -> Result<Entry, ProviderError> {
        let put = self.ledger.put_item().table_name(&self.table);
        let put = put.set_item(Some(item(key, &entry)?));
        let put = put.condition_expression("attribute_not_exists(pk)").send().await;
        match put.map_err(StoreError::from) {
            Ok(_) => Ok(entry),
            Err(StoreError::Stale) => {
                self.entry(key).await?.ok_or_else(|| unknown("the ledger lost an entry"))
            }
            Err(error) => Err(unknown(error)),
        }
    }

    /// Does nothing if the entry's state has changed meanwhile: somebody else decided it.
    async fn replace(
        &self,
        key: &OrderId,
        entry: &Entry,
        from: State,
    ) -> Result<(), ProviderError> {
        let from = serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(from).map_err(unknown)?;
        let put = self.ledger.put_item().table_name(&self.table);
        let put = put.set_item(Some(item(key, entry)?)).condition_expression("#state = :from");
        let put = put.expression_attribute_names("#state", "state");
        let put = put.expression_attribute_values(":from", from).send().await;
        match put.map_err(StoreError::from) {
            Ok(_) | Err(StoreError::Stale) => Ok(()),
            Err(error) => Err(unknown(error)),
        }
    }
}

fn pk(key: &OrderId) -> AttributeValue {
    AttributeValue::S(format!("CHARGE#{key}"))
}

fn item(key: &OrderId, entry: &Entry) -> Result<Item, ProviderError> {
    let mut item: Item = to_item(entry).map_err(unknown)?;
    item.insert("pk".into(), pk(key));
    Ok(item)
}

fn charge_of(state: State) -> Charge {
    match state {
        State::Taken | State::Refunded => Charge::Paid,
        State::Pending => Charge::Pending,
        State::Declined | State::Voided => Charge::Declined,
    }
}

impl Provider for Simulated {
    async fn charge(&self, key: &OrderId, intent: &Intent) -> Result<Charge, ProviderError> {
        let now = Timestamp::now();
        let (state, becomes, recallable, answers_at) = match intent.method.as_str() {
            "tok_ok" | "tok_timeout" => (State::Taken, State::Taken, true, now),
            "tok_pending_ok" => (State::Pending, State::Taken, true, now.plus(ANSWER_AFTER)),
            "tok_pending_declined" => {
                (State::Pending, State::Declined, true, now.plus(ANSWER_AFTER))
            }
            "tok_late" => (State::Pending, State::Taken, false, intent.wanted_until.plus(LATE_BY)),
            _ => (State::Declined, State::Declined, true, now),
        };
        let entry = Entry {
            state,
            becomes,
            recallable,
            amount_minor: intent.amount,
            refunded_minor: 0,
            currency: Some(intent.currency),
            answers_at,
            schema: Schema::FIRST,
        };
        let entry = self.first(key, entry).await?;
        if entry.state == State::Pending {
            // Promised again when the call is repeated: the first call may have died before it promised.
            let later = Later { charge_key: *key, answers_at: entry.answers_at };
            self.answer_later(&later).await?;
        }
        if intent.method == "tok_timeout" && entry.state == State::Taken {
            return Err(unknown("the connection timed out"));
        }
        Ok(charge_of(entry.state))
    }

    async fn find(&self, key: &OrderId) -> Result<Option<Charge>, ProviderError> {
        Ok(self.entry(key).await?.map(|entry| charge_of(entry.state)))
    }

    async fn void(&self, key: &OrderId) -> Result<Void, ProviderError> {
        let never = Entry {
            state: State::Voided,
            becomes: State::Voided,
            recallable: true,
            amount_minor: 0,
            refunded_minor: 0,
            currency: None,
            answers_at: Timestamp::now(),
            schema: Schema::FIRST,
        };
        let entry = self.first(key, never).await?;
        if entry.state == State::Pending && entry.recallable {
            let voided = Entry { state: State::Voided, ..entry.clone() };
            self.replace(key, &voided, State::Pending).await?;
        }
        let entry = self.entry(key).await?.ok_or_else(|| unknown("the ledger lost an entry"))?;
        Ok(match entry.state {
            State::Taken | State::Refunded => Void::Taken,
            State::Declined | State::Voided => Void::NotTaken,
            State::Pending => Void::Undecided,
        })
    }

    async fn refund(&self, key: &OrderId) -> Result<(), ProviderError> {
        let entry = self.entry(key).await?;
        match entry {
            Some(entry) if entry.state == State::Taken => {
                let amount = entry.amount_minor;
                let refunded = Entry { state: State::Refunded, refunded_minor: amount, ..entry };
                self.replace(key, &refunded, State::Taken).await
            }
            Some(entry) if entry.state == State::Refunded => Ok(()),
            _ => Err(ProviderError::Refused("there is nothing to refund".into())),
        }
    }
}
