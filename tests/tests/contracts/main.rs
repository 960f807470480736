//! The contracts of the events do not change without notice. Needs no cloud.

// clippy.toml allows it in tests; it cannot tell that this is all tests and their helpers.
#![allow(clippy::unwrap_used)]

mod asyncapi;
mod change;
mod raised;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs, io};

use serde_json::{Value, json};
use trackops_domain::event::{EventType, schema};
use trackops_testkit::workspace_root;

/// If set, writes the schemas that are new, or that only have additions.
const WRITE: &str = "TRACKOPS_WRITE_SCHEMAS";

/// A schema as the types make it now, and the path of its file.
struct Contract {
    name: &'static str,
    version: usize,
    schema: Value,
}

fn contracts() -> impl Iterator<Item = Contract> {
    let envelope = Contract { name: "envelope", version: 1, schema: schema::envelope() };
    let data = EventType::ALL.map(|kind| Contract {
        name: kind.name(),
        version: kind.version(),
        schema: schema::data(kind),
    });
    data.into_iter().chain([envelope])
}

fn folder() -> PathBuf {
    workspace_root().join("infra/events")
}

fn file(name: &str, version: usize) -> String {
    format!("{name}.v{version}.schema.json")
}

/// The schema in the file.
fn kept(name: &str, version: usize) -> Option<Value> {
    match fs::read_to_string(folder().join(file(name, version))) {
        Ok(text) => Some(serde_json::from_str(&text).expect("a schema is JSON")),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}", file(name, version));
            None
        }
    }
}

/// A schema of whole events of a type, in the version that is raised now.
fn whole(kind: EventType) -> Value {
    let data = kept(kind.name(), kind.version());
    json!({
        "allOf": [kept("envelope", 1)],
        "properties": {"type": {"const": kind.name()}, "data": data},
    })
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a schema")
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Same,
    /// The new schema may replace the file.
    Outdated(String),
    /// The new schema must not replace the file.
    Breaking(String),
}

impl Contract {
    fn verdict(&self, kept: Option<&Value>) -> Verdict {
        let (name, version, next) = (self.name, self.version, self.version + 1);
        let file = file(name, version);
        let write = format!("{WRITE}=1 cargo test --test contracts no_schema");
        let breaks = match kept {
            None => return Verdict::Outdated(format!("infra/events/{file} is missing: {write}")),
            Some(kept) if *kept == self.schema => return Verdict::Same,
            Some(kept) => change::breaks(kept, &self.schema),
        };
        if breaks.is_empty() {
            return Verdict::Outdated(format!(
                "infra/events/{file} lacks what was added, which breaks nobody: {write}"
            ));
        }
        let broken = format!("{file} would break its readers:\n  {}", breaks.join("\n  "));
        if name == "envelope" {
            return Verdict::Breaking(format!("{broken}\nThe envelope has one version: undo it."));
        }
        Verdict::Breaking(format!(
            "{broken}\n\
             Leave version {version} as it is, and make version {next}:\n\
             1. EventType::versions (shared/domain/src/event/versions.rs): one more upcast for {name}, which takes data of \
             version {version} to version {next}\n\
             2. {write}\n\
             3. shared/domain/tests/fixtures/events/{name}.v{next}.jsonl: events of version {next}; those of version \
             {version} stay\n\
             4. infra/asyncapi.yaml: the message {name}.v{next}, and the dates of {name}.v{version}\n\
             docs/events.md says when it may be deployed."
        ))
    }
}

#[test]
fn no_schema_changes_under_its_readers() {
    let mut faults = Vec::new();
    for contract in contracts() {
        match contract.verdict(kept(contract.name, contract.version).as_ref()) {
            Verdict::Same => {}
            Verdict::Outdated(_) if env::var_os(WRITE).is_some() => {
                let text = serde_json::to_string_pretty(&contract.schema).unwrap() + "\n";
                fs::write(folder().join(file(contract.name, contract.version)), text).unwrap();
            }
            Verdict::Outdated(fault) | Verdict::Breaking(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n\n"));
}

#[test]
fn a_fault_says_what_to_do() {
    let of = |schema| Contract { name: "order.created", version: 1, schema };
    let kept = json!({"properties": {"a": {"type": "string"}}});
    let added = json!({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
    assert_eq!(of(kept.clone()).verdict(Some(&kept)), Verdict::Same);
    let command = "TRACKOPS_WRITE_SCHEMAS=1 cargo test --test contracts no_schema";
    for verdict in [of(added.clone()).verdict(Some(&kept)), of(added.clone()).verdict(None)] {
        assert!(
            matches!(&verdict, Verdict::Outdated(fault) if fault.ends_with(command)),
            "{verdict:?}"
        );
    }
    let removed = of(kept).verdict(Some(&added));
    let Verdict::Breaking(fault) = &removed else { panic!("{removed:?}") };
    for part in ["/properties/b: removed", "make version 2", "order.created.v2.jsonl", command] {
        assert!(fault.contains(part), "{part} is not in {fault}");
    }
}

#[test]
fn every_version_ever_published_has_its_schema_and_its_events_obey_it() {
    let mut files = BTreeSet::from([file("envelope", 1)]);
    let envelope = validator(&kept("envelope", 1).expect("the envelope has a schema"));
    let fixtures = workspace_root().join("shared/domain/tests/fixtures/events");
    for kind in EventType::ALL {
        for version in 1..=kind.version() {
            let name = file(kind.name(), version);
            let schema = kept(kind.name(), version).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(schema["$id"], format!("urn:trackops:{}:{version}", kind.name()));
            let data = validator(&schema);
            let events = fixtures.join(format!("{}.v{version}.jsonl", kind.name()));
            for line in fs::read_to_string(events).unwrap().lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                envelope.validate(&event).unwrap_or_else(|error| panic!("{error}: {line}"));
                data.validate(&event["data"]).unwrap_or_else(|error| panic!("{error}: {line}"));
            }
            files.insert(name);
        }
    }
    let kept = fs::read_dir(folder()).unwrap();
    let kept = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(kept.collect::<BTreeSet<_>>(), files, "the schemas of infra/events");
}

#[test]
fn a_schema_refuses_what_is_not_such_an_event() {
    let good = json!({
        "customerId": "alice", "orderId": "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68",
        "previousStatus": "PENDING", "reason": null, "status": "CONFIRMED"
    });
    let schema = validator(&kept("order.status.updated", 1).unwrap());
    assert!(schema.is_valid(&good));
    for (field, bad) in [
        ("orderId", json!("42")),
        ("customerId", json!("a\nb")),
        ("status", json!("CONFIRMD")),
        ("reason", json!("BORED")),
        ("previousStatus", json!(null)),
    ] {
        let mut event = good.clone();
        event[field] = bad;
        assert!(!schema.is_valid(&event), "{event}");
    }
}
