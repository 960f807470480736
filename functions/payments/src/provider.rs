//! The port to a payment provider. An adapter for a real one implements `Provider`.
//!
//! The idempotency key of a charge is the order's id. If a call is repeated under the same key, the provider does it
//! once.

use std::error::Error;
use std::future::Future;

use serde::{Deserialize, Serialize};
use trackops_domain::OrderId;
use trackops_domain::payment::Intent;

/// The outcome of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Charge {
    Paid,
    Declined,
    /// The provider answers later, through the webhook.
    Pending,
}

/// The outcome of the void of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Void {
    /// No money was taken under this key, and none ever will be.
    NotTaken,
    /// The void came too late: there is money to refund.
    Taken,
    /// The charge cannot be recalled and may still take money; the webhook will say which.
    Undecided,
}

#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The call may or may not have had its effect: ask before deciding.
    #[error("the provider did not answer")]
    Unknown(#[source] Box<dyn Error + Send + Sync>),
    /// The provider says that it cannot do this.
    #[error("the provider refused: {0}")]
    Refused(String),
}

pub trait Provider: Sync {
    fn charge(
        &self,
        key: &OrderId,
        intent: &Intent,
    ) -> impl Future<Output = Result<Charge, ProviderError>> + Send;

    /// `None`: the provider has never heard of it.
    fn find(
        &self,
        key: &OrderId,
    ) -> impl Future<Output = Result<Option<Charge>, ProviderError>> + Send;

    fn void(&self, key: &OrderId) -> impl Future<Output = Result<Void, ProviderError>> + Send;

    /// Gives back all that was taken, once.
    fn refund(&self, key: &OrderId) -> impl Future<Output = Result<(), ProviderError>> + Send;
}
