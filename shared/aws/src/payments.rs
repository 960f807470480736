//! The `payments` table.

use trackops_domain::payment::{Fact, Payment, PaymentState};
use trackops_domain::{Event, IllegalMove, OrderId, Schema, Timestamp, event::Cause};

use crate::aggregate::{Aggregate, Table, Write};
use crate::error::StoreError;

impl Aggregate for Payment {
    fn key(&self) -> String {
        Self::key(&self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn schema(&self) -> Schema {
        self.schema
    }

    fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    fn events(&self) -> Vec<Event> {
        Vec::from_iter(self.raised.clone())
    }

    fn due_at(&self) -> Option<Timestamp> {
        Self::due_at(self)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("there is no payment {0}")]
    NoPayment(OrderId),
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone, Debug)]
pub struct Payments {
    table: Table,
}

impl Payments {
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    pub const fn table(&self) -> &Table {
        &self.table
    }

    pub async fn find(&self, id: &OrderId) -> Result<Option<Payment>, StoreError> {
        self.table.load(&Payment::key(id)).await
    }

    /// Stores the intent before the provider is asked. If there is a payment already, that one stays.
    pub async fn intend(&self, intended: Payment) -> Result<Payment, StoreError> {
        let key = Payment::key(&intended.id);
        let decide = |found: Option<Payment>| {
            Ok(found.map_or_else(|| Write::Create(intended.clone()), Write::Nothing))
        };
        self.table.decide(&key, decide).await
    }

    /// Records that the money must not be kept. A payment that does not exist is written as a tombstone: it can never
    /// be charged.
    pub async fn void(&self, id: &OrderId, cause: &Cause) -> Result<Payment, RecordError> {
        let decide = |payment: Option<Payment>| {
            let now = Timestamp::now();
            let Some(payment) = payment else {
                return Ok(Write::Create(Payment::tombstone(*id, now, cause.clone())));
            };
            let next = payment.after(Fact::VoidRequested, now, cause)?;
            Ok(next.map_or(Write::Nothing(payment), Write::Replace))
        };
        self.table.decide(&Payment::key(id), decide).await
    }

    /// Records that the money of a charge without an outcome must not be kept. Any other payment stays as it is.
    pub async fn void_unpaid(&self, id: &OrderId) -> Result<Payment, RecordError> {
        let decide = |payment: Option<Payment>| {
            let payment = payment.ok_or(RecordError::NoPayment(*id))?;
            if !matches!(payment.state, PaymentState::Charging | PaymentState::Awaiting) {
                return Ok(Write::Nothing(payment));
            }
            let next = payment.after(Fact::VoidRequested, Timestamp::now(), &payment.cause)?;
            Ok(next.map_or(Write::Nothing(payment), Write::Replace))
        };
        self.table.decide(&Payment::key(id), decide).await
    }

    /// Keeps an outcome of the provider that we do not know, once.
    pub async fn keep(&self, id: &OrderId, outcome: &str) -> Result<Payment, RecordError> {
        let decide = |payment: Option<Payment>| {
            let payment = payment.ok_or(RecordError::NoPayment(*id))?;
            let next = payment.keeping(outcome, Timestamp::now());
            Ok(next.map_or(Write::Nothing(payment), Write::Replace))
        };
        self.table.decide(&Payment::key(id), decide).await
    }

    /// Records what the provider says, once.
    pub async fn record(
        &self,
        id: &OrderId,
        fact: Fact,
        cause: &Cause,
    ) -> Result<Payment, RecordError> {
        let decide = |payment: Option<Payment>| {
            let payment = payment.ok_or(RecordError::NoPayment(*id))?;
            let next = payment.after(fact, Timestamp::now(), cause)?;
            Ok(next.map_or(Write::Nothing(payment), Write::Replace))
        };
        self.table.decide(&Payment::key(id), decide).await
    }
}
