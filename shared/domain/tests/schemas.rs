//! The shape of stored items and the number of this shape must change together
//! (docs/decisions/0034-schema-versions.md).

// clippy.toml allows this in tests, but it cannot know that this whole file is tests and helpers.
#![allow(clippy::unwrap_used)]

use serde::Serialize;
use serde_json::{Value, json};
use trackops_domain::Schema;
use trackops_domain::order::{OrderStatus, Reason};
use trackops_domain::payment::PaymentState;
use trackops_domain::reservation::ReservationState;

fn names<T: Serialize>(values: &[T]) -> Value {
    json!(values)
}

/// Older versions cannot read a new value. So raise `SCHEMA` of the aggregate that stores it, then add the value here,
/// under the new number.
#[test]
fn a_new_value_of_a_stored_enumeration_raises_the_schema() {
    assert_eq!(Schema::FIRST, Schema(1));
    let stored = json!({
        "order status": names(&OrderStatus::ALL),
        "order reason": names(&Reason::ALL),
        "payment state": names(&PaymentState::ALL),
        "reservation state": names(&ReservationState::ALL),
    });
    let known: Value = serde_json::from_str(include_str!("fixtures/schemas/1.json")).unwrap();
    assert_eq!(stored, known);
}
