//! JSON Schemas of the events, made from their types. For tests: no Lambda is built with them.

use schemars::JsonSchema;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use super::data::{
    InventoryItemUpdated, InventoryLowStock, InventoryReleased, InventoryReservationFailed,
    InventoryReserved, OrderCreated, OrderStatusUpdated, ProviderAnswer,
};
use super::{Event, EventType};

/// The schema of the newest version of `kind`'s data.
pub fn data(kind: EventType) -> Value {
    let schema = match kind {
        EventType::OrderCreated => schema::<OrderCreated>(),
        EventType::OrderStatusUpdated => schema::<OrderStatusUpdated>(),
        EventType::InventoryItemUpdated => schema::<InventoryItemUpdated>(),
        EventType::InventoryReserved => schema::<InventoryReserved>(),
        EventType::InventoryReservationFailed => schema::<InventoryReservationFailed>(),
        EventType::InventoryReleased => schema::<InventoryReleased>(),
        EventType::InventoryLowStock => schema::<InventoryLowStock>(),
        EventType::PaymentProcessed | EventType::PaymentFailed | EventType::PaymentRefunded => {
            schema::<ProviderAnswer>()
        }
    };
    named(schema, kind.name(), kind.version())
}

/// The schema of the envelope around every event's data.
pub fn envelope() -> Value {
    named(schema::<Event<Value>>(), "envelope", 1)
}

fn named(mut schema: Value, name: &str, version: usize) -> Value {
    schema["$id"] = json!(format!("urn:trackops:{name}:{version}"));
    schema["title"] = json!(format!("{name}, version {version}"));
    schema
}

/// A schema of what we write, with each type in place, so that a reader needs only one file.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.inline_subschemas = true;
    });
    settings
        .with_transform(RecursiveTransform(one_enum))
        .with_transform(RecursiveTransform(never_null))
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Enumerations whose names are documented one by one come as alternatives of one name each. One list is better for
/// readers, and for comparing two versions.
fn one_enum(schema: &mut Schema) {
    let Some(Value::Array(alternatives)) = schema.get("oneOf") else { return };
    let mut names = Vec::new();
    for alternative in alternatives {
        match (alternative.get("const"), alternative.get("enum")) {
            (Some(name), _) => names.push(name.clone()),
            (None, Some(Value::Array(some))) => names.extend(some.iter().cloned()),
            _ => return,
        }
    }
    schema.remove("oneOf");
    schema.insert("type".into(), json!("string"));
    schema.insert("enum".into(), Value::Array(names));
}

/// An optional field without a value is left out: it is never `null`.
fn never_null(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let always = |name: &String| required.as_array().is_some_and(|all| all.contains(&json!(name)));
    let Some(Value::Object(fields)) = schema.get_mut("properties") else { return };
    for (_, field) in fields.iter_mut().filter(|(name, _)| !always(name)) {
        let Value::Object(field) = field else { continue };
        if let Some(Value::Array(types)) = field.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = &types[..] {
                let only = only.clone();
                field.insert("type".into(), only);
            }
        }
        if let Some(Value::Array(mut either)) = field.remove("anyOf") {
            either.retain(|one| *one != json!({"type": "null"}));
            for (keyword, value) in either.iter().filter_map(Value::as_object).flatten() {
                field.entry(keyword).or_insert_with(|| value.clone());
            }
        }
    }
}
