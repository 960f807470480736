//! Whether a change of a schema breaks its readers.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keywords that are only for people: a change of them breaks nobody.
const WORDS: [&str; 4] = ["description", "title", "examples", "$comment"];

/// The changes that break a reader: one that reads by `old` and gets `new`, or one that reads by `new` and gets `old`.
/// Only a new optional field breaks neither.
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    found
}

fn compare(at: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keywords: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for keyword in keywords.into_iter().filter(|word| !WORDS.contains(&word.as_str())) {
                let at = format!("{at}/{keyword}");
                match (keyword.as_str(), old.get(keyword), new.get(keyword)) {
                    ("properties", _, _) => fields(&at, old, new, found),
                    ("required", _, _) => presence(&at, old, new, found),
                    (_, Some(old), Some(new)) => compare(&at, old, new, found),
                    (_, old, new) => found.push(format!("{at}: {}", was_and_is(old, new))),
                }
            }
        }
        // The arrays of a schema are sets, of names or of schemas.
        (Value::Array(old), Value::Array(new)) if set(old) == set(new) => {}
        (Value::Array(old), Value::Array(new)) if are_schemas(old) && old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{at}/{index}"), old, new, found);
            }
        }
        (old, new) if old == new => {}
        (old, new) => found.push(format!("{at}: {}", was_and_is(Some(old), Some(new)))),
    }
}

fn fields(at: &str, old: &Map<String, Value>, new: &Map<String, Value>, found: &mut Vec<String>) {
    let (before, after) = (properties(old), properties(new));
    for (name, schema) in &before {
        match after.get(name) {
            Some(changed) => compare(&format!("{at}/{name}"), schema, changed, found),
            None => found.push(format!("{at}/{name}: removed")),
        }
    }
}

fn presence(at: &str, old: &Map<String, Value>, new: &Map<String, Value>, found: &mut Vec<String>) {
    let (before, after) = (required(old), required(new));
    for name in before.difference(&after).filter(|name| properties(new).contains_key(**name)) {
        found.push(format!("{at}: {name} was always there, and now it may be missing"));
    }
    for name in after.difference(&before) {
        found
            .push(format!("{at}: {name} is always there now, and events of before are without it"));
    }
}

fn properties(schema: &Map<String, Value>) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn required(schema: &Map<String, Value>) -> BTreeSet<&str> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

fn are_schemas(array: &[Value]) -> bool {
    array.iter().all(Value::is_object)
}

fn set(array: &[Value]) -> BTreeSet<String> {
    array.iter().map(Value::to_string).collect()
}

fn was_and_is(old: Option<&Value>, new: Option<&Value>) -> String {
    let text = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
    format!("was {}, is {}", text(old), text(new))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order() -> Value {
        json!({
            "description": "An order.",
            "type": "object",
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "reason": {"type": ["string", "null"], "enum": ["A", "B", null]},
                "items": {"type": "array", "items": {
                    "type": "object", "properties": {"quantity": {"type": "integer"}}, "required": ["quantity"],
                }},
                "note": {"type": "string"},
                "place": {"anyOf": [{"description": "A place.", "type": "string"}, {"type": "null"}]},
            },
            "required": ["id", "reason", "items"],
        })
    }

    /// What breaks when the place `at` of the schema becomes `to`; `null` removes it.
    fn breaking(at: &str, to: Value) -> Vec<String> {
        let mut new = order();
        let (parent, key) = at.rsplit_once('/').unwrap();
        let parent = new.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if to.is_null() {
            parent.remove(key).unwrap();
        } else {
            parent.insert(key.to_owned(), to);
        }
        breaks(&order(), &new)
    }

    #[test]
    fn a_new_optional_field_breaks_nobody_at_any_depth() {
        let field = || json!({"type": "string"});
        assert_eq!(breaking("/properties/colour", field()), Vec::<String>::new());
        assert_eq!(
            breaking("/properties/items/items/properties/colour", field()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn words_and_the_order_of_names_break_nobody() {
        assert_eq!(breaking("/description", json!("Something else.")), Vec::<String>::new());
        assert_eq!(breaking("/properties/id/description", json!("New.")), Vec::<String>::new());
        assert_eq!(
            breaking("/properties/reason/enum", json!([null, "B", "A"])),
            Vec::<String>::new()
        );
        assert_eq!(breaking("/required", json!(["items", "reason", "id"])), Vec::<String>::new());
    }

    #[test]
    fn everything_else_breaks_somebody() {
        for (what, at, to) in [
            ("a field is removed", "/properties/id", json!(null)),
            ("an optional field is removed", "/properties/note", json!(null)),
            (
                "a field of an item is removed",
                "/properties/items/items/properties/quantity",
                json!(null),
            ),
            ("its type is another", "/properties/id/type", json!("integer")),
            ("its format is another", "/properties/id/format", json!("date")),
            ("its format goes", "/properties/id/format", json!(null)),
            ("it has a limit", "/properties/note/maxLength", json!(3)),
            ("it may not be null any more", "/properties/reason/type", json!("string")),
            ("it may be null", "/properties/note/type", json!(["string", "null"])),
            ("a name is added", "/properties/reason/enum", json!(["A", "B", "C", null])),
            ("a name is removed", "/properties/reason/enum", json!(["A", null])),
            (
                "it may be a number",
                "/properties/place/anyOf",
                json!([{"type": "string"}, {"type": "number"}]),
            ),
            ("it must be there", "/properties/place/anyOf", json!([{"type": "string"}])),
            ("it may be missing", "/required", json!(["id", "reason"])),
            ("nothing need be there", "/required", json!(null)),
            (
                "an optional field is required",
                "/required",
                json!(["id", "reason", "items", "note"]),
            ),
            ("nothing else may be there", "/additionalProperties", json!(false)),
        ] {
            assert_eq!(
                breaking(at, to).len(),
                if what.starts_with("nothing need") { 3 } else { 1 },
                "{what}"
            );
        }
        let mut renamed = order();
        renamed["properties"]["orderId"] = renamed["properties"]["id"].take();
        renamed["properties"].as_object_mut().unwrap().remove("id");
        renamed["required"][0] = json!("orderId");
        assert_eq!(
            breaks(&order(), &renamed),
            [
                "/properties/id: removed",
                "/required: orderId is always there now, and events of before are without it"
            ]
        );
    }
}
