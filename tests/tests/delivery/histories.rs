//! Orders that are placed and then change, each at its own pace, without a saga: the relay needs nothing else.

use std::collections::{HashMap, VecDeque};

use futures::StreamExt;
use futures::stream;
use trackops_aws::aggregate::Table;
use trackops_domain::order::Fact::{
    Abandoned, CancelRequested, Compensated, Confirmed, Delivered, PaymentAwaited,
    ProcessingStarted, Shipped,
};
use trackops_domain::order::{Author, Fact, NewOrder, Order, Reason};
use trackops_domain::{Cause, Timestamp, examples};
use trackops_testkit::unique;

/// The statuses that an order may go through.
const JOURNEYS: [&[Fact]; 4] = [
    &[PaymentAwaited, Confirmed, ProcessingStarted, Shipped, Delivered],
    &[Confirmed, ProcessingStarted, CancelRequested, Compensated(Reason::CancelledByCustomer)],
    &[Confirmed, ProcessingStarted, Shipped, Delivered],
    &[Abandoned(Reason::OutOfStock), Compensated(Reason::OutOfStock)],
];

/// Orders that change at the same time.
const AT_ONCE: usize = 16;

/// One of so many orders belongs to the customer [`Histories::unlucky`].
const UNLUCKY: usize = 10;

struct History {
    order: Order,
    cause: Cause,
    ahead: VecDeque<Fact>,
}

pub struct Histories {
    orders: Vec<History>,
    parts: usize,
    /// A customer with some of the orders. The events of these orders have some 4,000 bytes, compressed or not; other
    /// events have hundreds.
    pub unlucky: String,
}

impl Histories {
    pub fn of(count: usize) -> Self {
        let (lucky, unlucky) = (unique("customer"), unique("customer"));
        let long: String = (0..300).map(|_| unique("")).collect();
        let history = |number: usize| {
            let (customer, id) = if number.is_multiple_of(UNLUCKY) {
                (&unlucky, &*long)
            } else {
                (&lucky, "a test")
            };
            let cause = Cause { correlation_id: id.to_owned(), ..Cause::default() };
            History {
                order: placed(customer, cause.clone()),
                cause,
                ahead: JOURNEYS[number % JOURNEYS.len()].iter().copied().collect(),
            }
        };
        Self { orders: (0..count).map(history).collect(), parts: 0, unlucky }
    }

    pub async fn begin(&mut self, table: &Table) {
        let orders = stream::iter(&self.orders);
        orders
            .for_each_concurrent(AT_ONCE, async |history| {
                table.create(&history.order).await.expect("the order is placed");
            })
            .await;
    }

    /// Makes a part of the changes: none, one or two changes of each order.
    pub async fn go_on(&mut self, table: &Table) {
        self.parts += 1;
        let part = self.parts;
        self.change(table, |number| (number + part) % 3).await;
    }

    /// Makes all changes that are left.
    pub async fn end(&mut self, table: &Table) {
        self.change(table, |_| usize::MAX).await;
    }

    async fn change(&mut self, table: &Table, changes: impl Fn(usize) -> usize) {
        let orders = stream::iter(self.orders.iter_mut().enumerate());
        orders
            .for_each_concurrent(AT_ONCE, async |(number, History { order, cause, ahead })| {
                let now = changes(number).min(ahead.len());
                for fact in ahead.drain(..now) {
                    let next = order.after(fact, Timestamp::now(), cause);
                    let next = next.expect("the move is legal").expect("the fact is new");
                    let next = next.by(Author::Saga(None));
                    table.replace(order, &next).await.expect("the order goes on");
                    *order = next;
                }
            })
            .await;
    }

    /// The newest version of each order.
    pub fn written(&self) -> HashMap<String, u64> {
        let written = self.orders.iter().map(|it| (it.order.id.to_string(), it.order.version));
        written.collect()
    }

    /// Of the newest event of each order.
    pub fn newest_ids(&self) -> Vec<String> {
        self.orders
            .iter()
            .filter_map(|history| history.order.event())
            .map(|event| event.id)
            .collect()
    }
}

fn placed(customer: &str, cause: Cause) -> Order {
    let new =
        NewOrder { customer_id: customer.parse().expect("a customer's id"), ..examples::order() };
    Order::place(new, Timestamp::now(), cause).expect("an order")
}
