//! The `orders` table: orders, and which of them somebody has to look at.

use trackops_domain::order::{Author, Fact, Order, STUCK_AFTER};
use trackops_domain::{Event, IllegalMove, OrderId, Schema, Timestamp, event::Cause};

use crate::aggregate::{Aggregate, Table, Write};
use crate::due::Due;
use crate::error::StoreError;
use crate::order_list;

impl Aggregate for Order {
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
        Vec::from_iter(self.event())
    }

    fn index_keys(&self) -> Vec<(&'static str, String)> {
        order_list::index_keys(self)
    }

    fn due_at(&self) -> Option<Timestamp> {
        Self::due_at(self)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("there is no order {0}")]
    NoOrder(OrderId),
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone, Debug)]
pub struct Orders {
    table: Table,
}

impl Orders {
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The order is due soon, because its payment has answered: if the run that follows fails, the recovery must not
    /// wait for the payment deadline.
    pub async fn hasten(&self, order: &Order, now: Timestamp) -> Result<(), StoreError> {
        let soon = now.plus(STUCK_AFTER);
        let Some(later) = order.due_at().filter(|due_at| *due_at > soon) else { return Ok(()) };
        // If it has moved on, it is due by itself.
        self.table.postpone(&Due::new(Order::key(&order.id), later), soon).await?;
        Ok(())
    }

    pub async fn find(&self, id: &OrderId) -> Result<Option<Order>, StoreError> {
        self.table.load(&Order::key(id)).await
    }

    /// `Err` holds the order that was there first.
    pub async fn place(&self, order: &Order) -> Result<Result<(), Order>, StoreError> {
        match self.table.create(order).await {
            Ok(()) => Ok(Ok(())),
            Err(StoreError::Stale) => match self.find(&order.id).await? {
                Some(first) => Ok(Err(first)),
                None => Err(StoreError::corrupt("an order that exists cannot be read")),
            },
            Err(error) => Err(error),
        }
    }

    /// Records a fact, once: recording it again returns the order as it is.
    pub async fn record(
        &self,
        id: &OrderId,
        fact: impl Fn(&Order) -> Result<Option<Fact>, RecordError>,
        author: &Author,
        cause: &Cause,
    ) -> Result<Order, RecordError> {
        let decide = |order: Option<Order>| {
            let order = order.ok_or(RecordError::NoOrder(*id))?;
            let next = match fact(&order)? {
                Some(fact) => order.after(fact, Timestamp::now(), cause)?,
                None => None,
            };
            let next = next.map(|next| next.by(author.clone()));
            Ok(next.map_or(Write::Nothing(order), Write::Replace))
        };
        self.table.decide(&Order::key(id), decide).await
    }
}
