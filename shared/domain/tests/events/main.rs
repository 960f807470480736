//! The events as they are on the wire: written without a changed byte, and read in every old version.

// clippy.toml allows this in tests, but it cannot know that this whole file is tests and helpers.
#![allow(clippy::unwrap_used)]

mod given;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use trackops_domain::Event;
use trackops_domain::event::EventType;

/// Type, version, and the events in the file of that name, one a line.
type Fixtures = BTreeMap<(&'static str, usize), Vec<String>>;

fn fixtures() -> Fixtures {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    fs::read_dir(folder).unwrap().map(|entry| fixture(&entry.unwrap().path())).collect()
}

/// What is in a file such as `order.created.v1.jsonl`.
fn fixture(path: &PathBuf) -> ((&'static str, usize), Vec<String>) {
    let name = path.file_stem().unwrap().to_string_lossy();
    let (kind, version) = name.rsplit_once(".v").unwrap();
    let kind = EventType::ALL.into_iter().find(|known| known.name() == kind).unwrap();
    let lines = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    ((kind.name(), version.parse().unwrap()), lines)
}

#[test]
fn an_event_is_raised_byte_for_byte_as_its_first_reader_got_it() {
    let mut raised = Fixtures::new();
    for event in given::events() {
        let lines = raised.entry((event.kind.name(), event.kind.version())).or_default();
        lines.push(serde_json::to_string(&event).unwrap());
    }
    for (of, lines) in &raised {
        assert_eq!(Some(lines), fixtures().get(of), "{of:?}");
    }
    let told: BTreeSet<_> = raised.keys().map(|(kind, _)| *kind).collect();
    assert_eq!(told, EventType::ALL.map(EventType::name).into(), "types that are raised here");
}

#[test]
fn every_version_ever_published_is_read_and_has_a_fixture() {
    let fixtures = fixtures();
    for kind in EventType::ALL {
        for version in 1..=kind.version() {
            let lines = fixtures.get(&(kind.name(), version));
            let lines = lines.unwrap_or_else(|| panic!("no {}.v{version}.jsonl", kind.name()));
            assert!(!lines.is_empty(), "{}.v{version}.jsonl is empty", kind.name());
            for line in lines {
                let event: Event = serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{}.v{version}: {error}: {line}", kind.name()));
                assert_eq!((event.kind, event.data.kind()), (kind, kind));
                if version == kind.version() {
                    assert_eq!(&serde_json::to_string(&event).unwrap(), line);
                }
            }
        }
    }
    let published: usize = EventType::ALL.into_iter().map(EventType::version).sum();
    assert_eq!(fixtures.len(), published, "a fixture of a version that is not known");
}
