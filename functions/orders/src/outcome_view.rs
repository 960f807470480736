//! What inventory and payments told about an order, as the API shows it.

use serde::Serialize;
use trackops_domain::Sku;
use trackops_domain::money::{Amount, Currency};
use trackops_domain::outcome::Of;
use trackops_domain::payment::PaymentState;
use trackops_domain::reservation::{ReservationState, Shortage};
use trackops_lambda::identity::{Caller, Role};

#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum OutcomeView {
    Reservation {
        state: ReservationState,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        shortages: Vec<ShortageView>,
    },
    Payment {
        previous_state: PaymentState,
        state: PaymentState,
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
        #[serde(skip_serializing_if = "Option::is_none")]
        currency: Option<Currency>,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShortageView {
    product_id: Sku,
    requested: u32,
    /// Units available at that moment. Not shown to customers, who could tell from it what others have ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u32>,
}

impl OutcomeView {
    pub fn of(of: Of, caller: &Caller) -> Self {
        match of {
            Of::Reservation { state, shortages } => {
                let shortages = shortages.into_iter();
                let shortages = shortages.map(|it| ShortageView::of(it, caller)).collect();
                Self::Reservation { state, shortages }
            }
            Of::Payment { previous_state, state, amount, currency } => {
                Self::Payment { previous_state, state, amount, currency }
            }
        }
    }
}

impl ShortageView {
    fn of(shortage: Shortage, caller: &Caller) -> Self {
        let told = caller.role != Role::Customer;
        Self {
            product_id: shortage.sku,
            requested: shortage.requested,
            available: told.then_some(shortage.available),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn how_many_units_there_were_is_told_to_operators_and_what_was_missing_to_all() {
        let seen = |role| -> Value {
            let caller = Caller { role, subject: "somebody".parse().unwrap() };
            let tea = Shortage { sku: "TEA".parse().unwrap(), requested: 3, available: 1 };
            let of = Of::Reservation { state: ReservationState::Rejected, shortages: vec![tea] };
            serde_json::to_value(OutcomeView::of(of, &caller)).unwrap()
        };
        let missing = json!({"productId": "TEA", "requested": 3});
        let expected = json!({"state": "REJECTED", "shortages": [missing]});
        assert_eq!(seen(Role::Customer), expected);
        let missing = json!({"productId": "TEA", "requested": 3, "available": 1});
        let expected = json!({"state": "REJECTED", "shortages": [missing]});
        for role in [Role::Operator, Role::Service] {
            assert_eq!(seen(role), expected);
        }
    }
}
