//! Events as the API shows them.

use serde::Serialize;
use trackops_aws::bus::Refusal;
use trackops_aws::outbox::{Kind, OutboxEntry, Unreadable};
use trackops_aws::relay::RefusedEvent;
use trackops_domain::Timestamp;
use trackops_domain::event::EventType;

use crate::outboxes::Source;
use crate::publish::{Outcome, Stopped, UNREADABLE};

/// An event that is not published yet. `oldest` is what is known of the oldest event of its aggregate, if the bus
/// refused that one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnprocessedView {
    pub event_id: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    aggregate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    attempts: u32,
    pub parked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ErrorView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    /// The refused event that this one waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorView {
    code: String,
    /// Only if the event itself is wrong: other messages are for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

impl UnprocessedView {
    pub fn of(
        aggregate: &str,
        event: &OutboxEntry,
        oldest: Option<&RefusedEvent>,
        now: Timestamp,
    ) -> Self {
        let refused = oldest.filter(|oldest| oldest.id == event.id);
        Self {
            event_id: event.id.clone(),
            kind: Some(event.kind.clone()),
            aggregate: aggregate.to_owned(),
            source: event.source().map(Into::into),
            time: Some(event.time),
            age_seconds: Some(now.since(event.time).as_secs()),
            attempts: refused.map_or(0, |refused| refused.attempts),
            parked: refused.is_some_and(RefusedEvent::is_parked),
            last_error: refused.map(|refused| ErrorView {
                code: refused.code.clone(),
                message: refused.message.clone(),
                at: Some(refused.last_at),
            }),
            next_attempt_at: refused
                .filter(|refused| refused.is_parked())
                .map(RefusedEvent::next_attempt),
            waits_for: oldest.filter(|_| refused.is_none()).map(|oldest| oldest.id.clone()),
        }
    }

    pub fn is_of(&self, kind: EventType) -> bool {
        self.kind.as_ref().is_some_and(|of_event| *of_event == kind)
    }

    /// An entry that cannot be read. It counts as parked, whether this is noted already or not. The events behind it
    /// are not shown.
    pub fn of_unreadable(
        aggregate: &str,
        entry: Unreadable,
        oldest: Option<&RefusedEvent>,
        now: Timestamp,
    ) -> Self {
        let refused = oldest.filter(|oldest| oldest.id == entry.id);
        let source = Source::of_aggregate(aggregate).map(|source| source.name().to_owned());
        Self {
            event_id: entry.id,
            kind: entry.kind,
            aggregate: aggregate.to_owned(),
            source,
            time: entry.time,
            age_seconds: entry.time.map(|time| now.since(time).as_secs()),
            attempts: refused.map_or(0, |refused| refused.attempts),
            parked: true,
            last_error: Some(ErrorView {
                code: UNREADABLE.to_owned(),
                message: refused.and_then(|refused| refused.message.clone()),
                at: refused.map(|refused| refused.last_at),
            }),
            next_attempt_at: refused.map(RefusedEvent::next_attempt),
            waits_for: oldest.filter(|_| refused.is_none()).map(|oldest| oldest.id.clone()),
        }
    }
}

/// The event that the bus refused. This event and the events behind it are not published.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoppedView {
    event_id: String,
    parked: bool,
    error: ErrorView,
}

impl StoppedView {
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let (event_id, stopped) = outcome.stopped()?;
        let (code, message) = match stopped.refusal() {
            Refusal::ForGood { code, message } => (code.clone(), Some(message.clone())),
            Refusal::ForNow { code, .. } => (code.clone(), None),
        };
        Some(Self {
            event_id: event_id.into_owned(),
            parked: matches!(stopped, Stopped::Parked(_)),
            error: ErrorView { code, message, at: None },
        })
    }
}
