//! The payments service: charging, refunding, and hearing from the provider.

pub mod charge_payment;
pub mod provider;
pub mod receive_webhook;
pub mod recover_refunds;
pub mod refund_payment;
pub mod signature;
pub mod simulate_provider;
pub mod simulated;
