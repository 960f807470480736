//! `infra/asyncapi.yaml` describes every event, and its examples are valid events.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use trackops_domain::Event;
use trackops_domain::event::EventType;
use trackops_testkit::workspace_root;

use crate::{file, kept, validator};

fn document() -> Value {
    let text = fs::read_to_string(workspace_root().join("infra/asyncapi.yaml")).unwrap();
    yaml_serde::from_str(&text).expect("infra/asyncapi.yaml is YAML")
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn published() -> impl Iterator<Item = (EventType, usize)> {
    EventType::ALL
        .into_iter()
        .flat_map(|kind| (1..=kind.version()).map(move |version| (kind, version)))
}

#[test]
fn every_type_has_its_channel_and_every_version_its_message() {
    let document = document();
    let types: BTreeSet<&str> = EventType::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(keys(&document["channels"]), types);
    for kind in EventType::ALL {
        let channel = &document["channels"][kind.name()];
        assert_eq!(channel["address"], kind.name());
        let names = (1..=kind.version()).map(|version| format!("{}.v{version}", kind.name()));
        for name in names.clone() {
            let message = json!({"$ref": format!("#/components/messages/{name}")});
            assert_eq!(channel["messages"][&name], message, "message {name} of its channel");
        }
        assert_eq!(channel["messages"].as_object().map(|all| all.len()), Some(kind.version()));
        let sent = document["operations"].as_object().unwrap().values();
        let of = json!({"$ref": format!("#/channels/{}", kind.name())});
        let sent =
            sent.filter(|operation| operation["action"] == "send" && operation["channel"] == of);
        assert_eq!(sent.count(), 1, "operations that send {}", kind.name());
    }
    let messages = document["components"]["messages"].as_object().unwrap().len();
    assert_eq!(messages, published().count(), "messages");
}

#[test]
fn every_message_names_its_schemas_and_its_examples_are_valid_and_read() {
    let document = document();
    let envelope = kept("envelope", 1).expect("the envelope has a schema");
    for (kind, version) in published() {
        let message = &document["components"]["messages"][format!("{}.v{version}", kind.name())];
        let schema = &message["payload"]["schema"];
        assert_eq!(
            schema,
            &json!({
                "allOf": [{"$ref": "./events/envelope.v1.schema.json"}],
                "properties": {
                    "type": {"const": kind.name()},
                    "data": {"$ref": format!("./events/{}", file(kind.name(), version))},
                },
            })
        );
        let data = kept(kind.name(), version).expect("a version has its schema");
        let (envelope, data) = (validator(&envelope), validator(&data));
        let examples = message["examples"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(!examples.is_empty(), "{} has no example", kind.name());
        for example in examples.iter().map(|example| &example["payload"]) {
            envelope.validate(example).unwrap_or_else(|error| panic!("{error}: {example}"));
            data.validate(&example["data"]).unwrap_or_else(|error| panic!("{error}: {example}"));
            let event: Event = serde_json::from_value(example.clone()).unwrap();
            assert_eq!(event.kind, kind);
            assert_eq!(event.source, format!("/{}", kind.source()));
            if version == kind.version() {
                let sent = serde_json::to_value(&event).unwrap();
                assert_eq!(&sent, example, "the example says what is not in the schema");
            }
        }
    }
}
