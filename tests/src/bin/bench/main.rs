//! Measures how fast TrackOps is on this machine's local cloud. It prints what it measured and judges nothing.

mod cold_start;
mod relay;
mod stand_in;
mod sweep;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use futures::future::join_all;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep_until};
use trackops_local::output::NotPrinted;
use trackops_local::say;
use trackops_testkit::{Basket, World};

/// Measures an order's way to CONFIRMED, a burst of orders, the cold start and size of create-order, and the relay
/// beside the bare clients of its buses, and the sweeper with a backlog.
///
/// Starts a local cloud of its own, which the last two do without;
/// TRACKOPS_ENDPOINTS_JSON=<file with the answer of `cargo local up --json`> measures a running one instead.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    what: Vec<What>,
    /// Orders a second at a steady pace
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// How long the steady pace is kept
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    seconds: u32,
    /// Orders placed at once; the API lets 500 pass
    #[arg(long, default_value_t = 200)]
    burst: u32,
    /// Cold starts of each function
    #[arg(long, default_value_t = 20)]
    starts: u32,
    /// Rounds of the relay and of the bare client, in turn
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// Batches of 100 stream records in each round
    #[arg(long, default_value_t = 100)]
    batches: u32,
    /// Items that the sweeper finds
    #[arg(long, default_value_t = 100_000)]
    backlog: usize,
    /// Memory of the sweeper in MB, by which it has its share of a processor; the template's is the default
    #[arg(long, default_value_t = 1024)]
    memory: u32,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    Latency,
    Burst,
    ColdStart,
    Relay,
    Sweep,
}

/// Products the orders are spread over.
const PRODUCTS: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match measure().await {
        Err(error) if error.downcast_ref().is_some_and(NotPrinted::has_no_reader) => Ok(()),
        measured => measured,
    }
}

async fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    if wanted(What::Relay) {
        relay::measure(arguments.rounds, arguments.batches).await?;
    }
    if wanted(What::Sweep) {
        sweep::measure(arguments.backlog, arguments.memory).await?;
    }
    let needs_no_cloud = |what: &What| matches!(what, What::Relay | What::Sweep);
    if !arguments.what.is_empty() && arguments.what.iter().all(needs_no_cloud) {
        return Ok(());
    }
    let world = World::new().await;
    let shelf = Shelf::stocked(&world).await;
    // Both sides of every connection, and every function once, before anything is measured.
    shelf.orders(&world, 5, Duration::ZERO).await;

    if wanted(What::Latency) {
        let pace = Duration::from_secs(1) / arguments.rate;
        let journeys = shelf.orders(&world, arguments.rate * arguments.seconds, pace).await;
        say!("{} orders, {} a second:", journeys.len(), arguments.rate)?;
        print_percentiles(
            "  answered 201",
            journeys.iter().map(|journey| journey.answered).collect(),
        )?;
        print_percentiles("  CONFIRMED", journeys.iter().map(Journey::to_confirmed).collect())?;
    }
    if wanted(What::Burst) {
        let journeys = shelf.orders(&world, arguments.burst, Duration::ZERO).await;
        let started =
            journeys.iter().map(|journey| journey.placed).min().expect("a burst has orders");
        let ended =
            journeys.iter().map(|journey| journey.confirmed).max().expect("a burst has orders");
        let took = duration(ended - started);
        let tenths = u128::from(arguments.burst) * 10_000 / took.as_millis().max(1);
        say!(
            "{} orders at once: all CONFIRMED after {} ms, {}.{} a second",
            journeys.len(),
            took.as_millis(),
            tenths / 10,
            tenths % 10
        )?;
        print_percentiles("  CONFIRMED", journeys.iter().map(Journey::to_confirmed).collect())?;
    }
    if wanted(What::ColdStart) {
        cold_start::measure(&world, &shelf.skus[0], arguments.starts).await?;
    }
    Ok(())
}

/// Enough of everything.
struct Shelf {
    skus: Vec<String>,
}

/// One order, by the machine's clock.
struct Journey {
    placed: OffsetDateTime,
    /// How long the `POST` took.
    answered: Duration,
    confirmed: OffsetDateTime,
}

impl Journey {
    fn to_confirmed(&self) -> Duration {
        duration(self.confirmed - self.placed)
    }
}

impl Shelf {
    async fn stocked(world: &World) -> Self {
        let skus = join_all((0..PRODUCTS).map(|_| world.stock("BENCH", 100_000))).await;
        Self { skus }
    }

    /// Places `count` orders, one every `pace`; returns when all are confirmed.
    async fn orders(&self, world: &World, count: u32, pace: Duration) -> Vec<Journey> {
        let start = Instant::now();
        let journey = async |number: u32| {
            sleep_until(start + pace * number).await;
            let basket = Basket::of(&self.skus[number as usize % PRODUCTS], 1);
            let placed = OffsetDateTime::now_utc();
            let order = world.customer.order(&basket).await;
            (order.order_id, placed, duration(OffsetDateTime::now_utc() - placed))
        };
        let placed = join_all((0..count).map(journey)).await;

        let mut journeys = Vec::new();
        for (id, placed, answered) in placed {
            // The order's own clock says when it was confirmed, so that asking often is not needed.
            let order = world.until_status(&id, &["CONFIRMED"]).await;
            let confirmed =
                OffsetDateTime::parse(&order.updated_at, &Rfc3339).expect("updatedAt is a time");
            journeys.push(Journey { placed, answered, confirmed });
        }
        journeys
    }
}

fn print_percentiles(what: &str, mut measured: Vec<Duration>) -> Result<()> {
    measured.sort();
    let at = |percent: usize| measured[(measured.len() - 1) * percent / 100].as_millis();
    say!("{what}: p50 {} ms, p95 {} ms, longest {} ms", at(50), at(95), at(100))?;
    Ok(())
}

/// Times are of one clock and in order; a clock set back meanwhile counts as no time at all.
fn duration(between: time::Duration) -> Duration {
    between.try_into().unwrap_or_default()
}
