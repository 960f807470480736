//! The events on the bus: a queue that receives every event from now on.

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName};
use serde_json::Value;

use crate::world::unique;
use crate::{World, eventually};

/// Receives every event of the bus.
pub struct EventTap<'a> {
    world: &'a World,
    name: String,
    bus: String,
    queue: String,
    seen: Vec<SeenEvent>,
}

/// An event as the bus delivered it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenEvent {
    pub id: String,
    pub source: String,
    pub kind: String,
    pub subject: String,
    pub sequence: u64,
    pub envelope: Value,
    /// The envelope, character by character.
    pub text: String,
}

impl World {
    /// Listens to the bus from now on.
    pub async fn tap_events(&self) -> EventTap<'_> {
        self.tap(self.system.output("EventBusName")).await
    }

    /// Listens to this bus from now on.
    pub async fn tap(&self, bus: &str) -> EventTap<'_> {
        let name = unique("test-tap");
        let (queue, arn) = self.queue(&name).await;
        let target = Target::builder().id("tap").arn(arn).build();
        self.bus
            .put_rule()
            .name(&name)
            .event_bus_name(bus)
            .event_pattern(r#"{"source": [{"prefix": ""}]}"#)
            .send()
            .await
            .expect("a rule");
        self.bus
            .put_targets()
            .rule(&name)
            .event_bus_name(bus)
            .targets(target.expect("id and ARN are set"))
            .send()
            .await
            .expect("the rule takes its target");
        EventTap { world: self, name, bus: bus.to_owned(), queue, seen: Vec::new() }
    }
}

impl World {
    /// A new queue: its URL and its ARN.
    async fn queue(&self, name: &str) -> (String, String) {
        let queue = self.queues.create_queue().queue_name(name).send().await;
        let queue = queue.expect("a queue").queue_url.expect("the queue has a URL");
        let arn = QueueAttributeName::QueueArn;
        let attributes = self.queues.get_queue_attributes().queue_url(&queue);
        let attributes = attributes.attribute_names(arn.clone()).send().await;
        let mut attributes = attributes.expect("the queue has attributes").attributes;
        let arn = attributes.as_mut().and_then(|all| all.remove(&arn));
        (queue, arn.expect("the queue has an ARN"))
    }

    /// A queue that gets the messages of the topic `LowStock` from now on.
    pub async fn subscribe_to_low_stock(&self) -> String {
        let (queue, arn) = self.queue(&unique("test-low-stock")).await;
        let topic = self.system.output("LowStockTopicArn");
        let subscribe = self.topics.subscribe().topic_arn(topic).protocol("sqs").endpoint(arn);
        subscribe.send().await.expect("a subscription");
        queue
    }
}

impl EventTap<'_> {
    /// Waits until the events about `order_id` satisfy `complete`; returns all of them, in the order of arrival.
    pub async fn until(
        &mut self,
        what: &str,
        order_id: &str,
        complete: impl Fn(&[SeenEvent]) -> bool,
    ) -> Vec<SeenEvent> {
        eventually(what, async || {
            self.receive().await;
            let about: Vec<SeenEvent> =
                self.seen.iter().filter(|event| event.is_about(order_id)).cloned().collect();
            if complete(&about) {
                Ok(about)
            } else {
                Err(about
                    .iter()
                    .map(|event| format!("{}#{} ", event.kind, event.sequence))
                    .collect())
            }
        })
        .await
    }

    /// All events that have arrived by now, in the order of arrival.
    pub async fn all(&mut self) -> &[SeenEvent] {
        self.receive().await;
        &self.seen
    }

    async fn receive(&mut self) {
        let (queues, queue) = (&self.world.queues, &self.queue);
        loop {
            let batch = queues.receive_message().queue_url(queue).max_number_of_messages(10);
            let batch = batch.send().await.expect("the tap's queue can be read");
            let messages = batch.messages.unwrap_or_default();
            if messages.is_empty() {
                return;
            }
            self.seen
                .extend(messages.iter().filter_map(|message| SeenEvent::read(message.body()?)));
            let done = messages.into_iter().enumerate().map(|(number, message)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                entry.set_receipt_handle(message.receipt_handle).build().expect("both are set")
            });
            let done =
                queues.delete_message_batch().queue_url(queue).set_entries(Some(done.collect()));
            done.send().await.expect("the tap's messages can be deleted");
        }
    }

    /// Stops listening. A test that failed leaves rule and queue to the end of the local cloud.
    pub async fn close(self) {
        let (rule, bus) = (&self.name, &self.bus);
        let bus_client = &self.world.bus;
        let _ = bus_client.remove_targets().rule(rule).event_bus_name(bus).ids("tap").send().await;
        let _ = bus_client.delete_rule().name(rule).event_bus_name(bus).send().await;
        let _ = self.world.queues.delete_queue().queue_url(&self.queue).send().await;
    }
}

impl SeenEvent {
    fn read(message: &str) -> Option<Self> {
        let delivered: Value = serde_json::from_str(message).ok()?;
        // It is the last part of the delivery.
        let (_, text) = message.split_once("\"detail\":")?;
        let envelope = delivered["detail"].clone();
        let sequence = &envelope["sequence"];
        Some(Self {
            id: envelope["id"].as_str()?.to_owned(),
            source: delivered["source"].as_str()?.to_owned(),
            kind: delivered["detail-type"].as_str()?.to_owned(),
            subject: envelope["subject"].as_str().unwrap_or_default().to_owned(),
            sequence: sequence.as_u64().or_else(|| sequence.as_str()?.parse().ok())?,
            envelope,
            text: text.trim().strip_suffix('}')?.to_owned(),
        })
    }

    fn is_about(&self, order_id: &str) -> bool {
        self.envelope.to_string().contains(order_id)
    }
}
