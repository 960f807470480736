//! JSON as a careless client might send it: like a good example, with a few mistakes.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

/// `example` with up to four changes: a value replaced, a field left out, added or renamed.
pub fn like(example: &Value) -> impl Strategy<Value = Value> + use<> {
    let example = example.clone();
    let changes = prop::collection::vec((any::<Index>(), any::<Index>(), anything()), 0..4);
    changes.prop_map(move |changes| {
        let mut body = example.clone();
        for (place, change, value) in changes {
            let pointers = pointers(&body, String::new());
            let place = body.pointer_mut(&pointers[place.index(pointers.len())]);
            apply(place.expect("it points at a value"), change.index(4), value);
        }
        body
    })
}

/// Any JSON. Its values are at or beyond some limit more often than by chance.
fn anything() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![-1, 0, 1, 59, 60, 10_000, 10_001, 1_000_000_000, 1_000_000_001])
            .prop_map(Value::from),
    ];
    let text = prop_oneof![
        ".{0,12}".prop_map(Value::from),
        (prop::sample::select(vec!["x", "🍵", " ", "\u{0}"]), 0..2100_usize)
            .prop_map(|(text, times)| Value::from(text.repeat(times))),
        prop::sample::select(vec!["TEA", "alice", "EUR", "JPY", "1.23", "-1", "1e9", "PAID"])
            .prop_map(Value::from),
    ];
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, text];
    leaf.prop_recursive(4, 60, 60, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..60).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..8)
                .prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

fn apply(place: &mut Value, change: usize, value: Value) {
    match (place, change) {
        (Value::Object(members), 0) => {
            members.insert("another".to_owned(), value);
        }
        (Value::Object(members), 1) => {
            let first = members.keys().next().cloned();
            first.map(|name| members.remove(&name));
        }
        (Value::Array(items), 0 | 1) => {
            let again = items.first().cloned();
            items.extend(std::iter::repeat_n(again.unwrap_or(value), change * 60 + 1));
        }
        (place, 2) => *place = json!([place.clone()]),
        (place, _) => *place = value,
    }
}

/// The JSON Pointer (RFC 6901) to every value in `value`.
fn pointers(value: &Value, at: String) -> Vec<String> {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    let below: Vec<_> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        Value::Object(members) => {
            members.iter().map(|(name, member)| (escaped(name), member)).collect()
        }
        _ => Vec::new(),
    };
    let below = below.into_iter().flat_map(|(name, value)| pointers(value, format!("{at}/{name}")));
    std::iter::once(at.clone()).chain(below.collect::<Vec<_>>()).collect()
}
