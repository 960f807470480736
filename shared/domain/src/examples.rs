//! Examples that tests start from; each test changes the fields that matter to it.

use std::time::Duration;

use crate::OrderId;
use crate::money::Currency;
use crate::order::{Address, Line, NewOrder};

/// The panic message when an example cannot be parsed; the types say what the texts are.
const WELL_FORMED: &str = "the example is well-formed";

/// Alice's order of three tins of tea, to be paid within a quarter of an hour.
pub fn order() -> NewOrder {
    NewOrder {
        id: OrderId::generate(),
        customer_id: "alice".parse().expect(WELL_FORMED),
        lines: vec![Line {
            sku: "TEA".parse().expect(WELL_FORMED),
            name: "Tea".into(),
            quantity: 3,
            unit_price: 250,
        }],
        currency: Currency::from_code("EUR").expect(WELL_FORMED),
        address: Address {
            street_address: "1 Quay".into(),
            city: "Cork".into(),
            state: None,
            postal_code: "T12".into(),
            country: "IE".into(),
            phone_number: Some("+353123456".into()),
        },
        delivery_instructions: Some("ring twice".into()),
        payment_method: "tok_ok".into(),
        request_hash: "hash".into(),
        payment_window: Duration::from_secs(900),
    }
}
