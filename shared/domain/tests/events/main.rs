//! The events as they are on the wire: written as ever, and read however old they are.

mod given;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// File names, such as `order.created.v1`, with the events in them, one a line.
fn fixtures() -> BTreeMap<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = |path: std::path::PathBuf| {
        let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), lines)
    };
    files.map(file).collect()
}

#[test]
fn an_event_is_byte_for_byte_what_its_first_reader_got() {
    let mut raised: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in given::events() {
        let lines = raised.entry(format!("{}.v1", event.kind.name())).or_default();
        lines.push(serde_json::to_string(&event).unwrap());
    }
    assert_eq!(raised, fixtures());
}
