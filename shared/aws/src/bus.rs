//! The event bus on EventBridge, and the reasons why any bus does not take an event.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use futures::StreamExt;
use futures::stream;

use crate::error::StoreError;
use crate::outbox::OutboxEntry;

/// How many entries a PutEvents call takes, and how many bytes together. Source: "PutEvents", EventBridge API
/// reference.
pub const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 256 * 1024;

/// Calls under way at once: a batch of a stream (100 events) goes out in one round. The default quota is 400 to 10,000
/// calls a second, by region.
pub const CONCURRENT_CALLS: usize = 10;

#[derive(Clone, Debug)]
pub struct Bus {
    client: Client,
    name: String,
}

/// Entry errors that are about the event itself; every other error may be gone at the next try. Source:
/// "PutEventsResultEntry", EventBridge API reference.
const OF_THE_EVENT: [&str; 3] = ["InvalidArgument", "MalformedDetail", "RedactionFailure"];

/// Why an event was not taken, named by what its publisher does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The event itself is the reason: it is too large or malformed. The bus will always refuse it.
    #[error("the bus takes no such event: {code}: {message}")]
    ForGood { code: String, message: String },
    /// Throttled, not connected, not allowed: try the same event again a little later.
    #[error("the bus did not take the event: {code}: {message}")]
    ForNow { code: String, message: String },
}

impl Refusal {
    pub fn for_good(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::ForGood { code: code.into(), message: message.into() }
    }

    pub fn for_now(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::ForNow { code: code.into(), message: message.into() }
    }

    fn of_entry(code: Option<String>, message: Option<String>) -> Self {
        let (code, message) = (code.unwrap_or_else(|| "NoEventId".into()), message);
        if OF_THE_EVENT.contains(&code.as_str()) {
            Self::for_good(code, message.unwrap_or_default())
        } else {
            Self::for_now(code, message.unwrap_or_default())
        }
    }
}

impl Bus {
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Whether the bus is there.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.client.describe_event_bus().name(&self.name).send().await?;
        Ok(())
    }

    /// One result for each event, in the order given: a call that succeeds may still refuse single events.
    pub async fn publish(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
        let chunks = chunks(events, MAX_ENTRIES, MAX_BYTES, size).into_iter();
        let calls: Vec<_> = chunks.map(|chunk| self.put(chunk)).collect();
        let results: Vec<_> = stream::iter(calls).buffered(CONCURRENT_CALLS).collect().await;
        results.concat()
    }

    /// One of the events does not say which service raised it: only this event is refused.
    async fn put_each(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
        let mut results = Vec::with_capacity(events.len());
        for event in events {
            results.extend(match event.source() {
                Some(_) => Box::pin(self.put(&[event])).await,
                None => vec![Err(Refusal::for_good("NoSource", "the event has no source"))],
            });
        }
        results
    }

    async fn put(&self, events: &[&OutboxEntry]) -> Vec<Result<(), Refusal>> {
        if let [event] = events
            && size(event) > MAX_BYTES
        {
            let message = format!("{} bytes, of at most {MAX_BYTES}", size(event));
            return vec![Err(Refusal::for_good("TooLarge", message))];
        }
        let entries: Option<Vec<_>> = events.iter().map(|event| self.entry(event)).collect();
        let Some(entries) = entries else { return self.put_each(events).await };
        let answer = match self.client.put_events().set_entries(Some(entries)).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let code = error.as_service_error().and_then(|e| e.meta().code());
                let message = aws_smithy_types::error::display::DisplayErrorContext(&error);
                let refusal = Refusal::for_now(code.unwrap_or("CallFailed"), message.to_string());
                return vec![Err(refusal); events.len()];
            }
        };
        let mut answers = answer.entries.unwrap_or_default().into_iter();
        events
            .iter()
            .map(|_| match answers.next() {
                Some(entry) if entry.event_id.is_some() && entry.error_code.is_none() => Ok(()),
                Some(entry) => Err(Refusal::of_entry(entry.error_code, entry.error_message)),
                None => Err(Refusal::for_now("NoAnswer", "the answer has no entry for it")),
            })
            .collect()
    }

    /// `None` when the event does not say who raised it.
    fn entry(&self, event: &OutboxEntry) -> Option<PutEventsRequestEntry> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(event.source()?)
            .detail_type(event.kind.name())
            .time(DateTime::from_millis(event.time.millis()))
            .detail(&event.body);
        Some(entry.build())
    }
}

/// Bytes an entry counts for: 14 for the time, and the UTF-8 of source, detail type and detail.
/// Source: "Calculating PutEvents event entry size", EventBridge User Guide.
fn size(event: &OutboxEntry) -> usize {
    let source = event.source().map_or(0, |source| source.len());
    14 + source + event.kind.name().len() + event.body.len()
}

/// The events in order, cut into as few calls as these limits allow. An event beyond `max_bytes` is alone.
pub fn chunks<'a, 'b>(
    events: &'b [&'a OutboxEntry],
    max_entries: usize,
    max_bytes: usize,
    size: impl Fn(&OutboxEntry) -> usize,
) -> Vec<&'b [&'a OutboxEntry]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let size = size(event);
        if index > start && (index - start == max_entries || bytes + size > max_bytes) {
            chunks.push(&events[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < events.len() {
        chunks.push(&events[start..]);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::Canned;
    use proptest::prelude::*;
    use serde_json::json;
    use trackops_domain::Timestamp;
    use trackops_domain::event::EventType;

    fn event(bytes: usize) -> OutboxEntry {
        OutboxEntry {
            id: "ORDER#1#1".into(),
            kind: EventType::OrderCreated.into(),
            time: Timestamp::from_millis(0),
            traceparent: None,
            body: "x".repeat(bytes),
        }
    }

    #[tokio::test]
    async fn an_event_that_is_too_large_is_refused_for_good_and_its_neighbours_are_taken() {
        let taken = json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]});
        let eventbridge = Canned::answering([(200, taken.clone()), (200, taken)]);
        let bus = Bus::new(Client::new(&eventbridge.config()), "bus".into());
        let (small, large) = (event(10), event(MAX_BYTES));
        let results = bus.publish(&[&small, &large, &small]).await;
        assert!(
            matches!(&results[..], [Ok(()), Err(Refusal::ForGood { .. }), Ok(())]),
            "{results:?}"
        );
        assert_eq!(eventbridge.requests().len(), 2);
    }

    #[tokio::test]
    async fn of_a_call_that_succeeds_each_entry_is_taken_or_not_as_its_own_answer_says() {
        let throttled = json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "later"});
        let entries = json!([{"EventId": "1"}, throttled, {"EventId": "3"}, {}]);
        let answer = json!({"FailedEntryCount": 1, "Entries": entries});
        let eventbridge = Canned::answering([(200, answer)]);
        let bus = Bus::new(Client::new(&eventbridge.config()), "bus".into());
        let event = event(10);
        let results = bus.publish(&[&event; 5]).await;
        let taken: Vec<_> = results.iter().map(Result::is_ok).collect();
        // Neither without an id, nor without an answer.
        assert_eq!(taken, [true, false, true, false, false], "{results:?}");
    }

    #[test]
    fn only_what_is_wrong_with_the_event_itself_is_refused_for_good() {
        let refusal = |code: &str| Refusal::of_entry(Some(code.into()), None);
        for code in OF_THE_EVENT {
            assert!(matches!(refusal(code), Refusal::ForGood { .. }), "{code}");
        }
        for code in ["ThrottlingException", "InternalFailure", "AccessDeniedException"] {
            assert!(matches!(refusal(code), Refusal::ForNow { .. }), "{code}");
        }
    }

    proptest! {
        #[test]
        fn every_call_is_within_the_limits_and_no_event_is_left_out(
            sizes in prop::collection::vec(0..60_000_usize, 0..60)
        ) {
            let events: Vec<_> = sizes.into_iter().map(event).collect();
            let events: Vec<_> = events.iter().collect();
            let chunks = chunks(&events, MAX_ENTRIES, MAX_BYTES, size);
            for chunk in &chunks {
                prop_assert!(!chunk.is_empty() && chunk.len() <= MAX_ENTRIES);
                prop_assert!(chunk.iter().map(|event| size(event)).sum::<usize>() <= MAX_BYTES);
            }
            prop_assert_eq!(chunks.concat(), events);
        }
    }
}
