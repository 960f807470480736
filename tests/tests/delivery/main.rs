//! No event is lost, and none overtakes an older one: the histories of 2,000 orders reach a consumer outside of the
//! system. Meanwhile the relay and the sweeper are killed at their work, the stream is switched off, and the bus
//! refuses some events and then all.

// Its figures are what it is run for, with `--nocapture`.
#![allow(clippy::print_stdout)]

mod arrivals;
mod buses;
mod histories;
mod relay;
#[path = "../common/topic.rs"]
mod topic;

use std::collections::HashMap;

use arrivals::{Arrival, Arrivals};
use buses::{Bus, EventBridge, Kafka};
use histories::Histories;
use relay::{Build, Relay};
use trackops_domain::Timestamp;
use trackops_testkit::World;

const ORDERS: usize = 2_000;

/// How often Lambda delivers a batch of the relay.
const TRIES: u32 = 6;

/// Enough orders to detect a relay that does not work as it should.
const FEW: usize = 60;

#[tokio::test]
async fn on_eventbridge_every_event_arrives_in_order_whatever_breaks() {
    let world = World::new().await;
    let mut bus = EventBridge::create(&world).await;
    let arrivals = weather(&world, &mut bus, Build::AsDeployed, ORDERS).await;
    arrivals.keep_the_promise();
    bus.close().await;
}

#[tokio::test]
async fn on_kafka_every_event_arrives_in_order_whatever_breaks() {
    let world = World::new().await;
    let Some(mut bus) = Kafka::start("weather").await else { return };
    let arrivals = weather(&world, &mut bus, Build::AsDeployed, ORDERS).await;
    arrivals.keep_the_promise();
    bus.close().await;
}

#[tokio::test]
async fn on_eventbridge_a_relay_that_does_not_look_at_the_answers_is_found_out() {
    let world = World::new().await;
    let mut bus = EventBridge::create(&world).await;
    let arrivals = weather(&world, &mut bus, Build::Careless, FEW).await;
    assert!(arrivals.lost() > 0, "{arrivals}");
    bus.close().await;
}

#[tokio::test]
async fn on_kafka_a_relay_that_does_not_look_at_the_answers_is_found_out() {
    let world = World::new().await;
    let Some(mut bus) = Kafka::start("careless").await else { return };
    let arrivals = weather(&world, &mut bus, Build::Careless, FEW).await;
    assert!(arrivals.lost() > 0, "{arrivals}");
    bus.close().await;
}

/// If nobody looked at repetitions, an event behind a refused event would go out with each try of the refused one.
#[tokio::test]
async fn one_event_that_is_refused_makes_those_behind_it_go_out_twice_at_most() {
    let world = World::new().await;
    let mut bus = EventBridge::create(&world).await;
    let relay = Relay::deploy(&world, Build::AsDeployed, bus.environment()).await;
    let mut histories = Histories::of(FEW);
    bus.refuse_some(&histories).await;
    // So that they come in batches.
    relay.switch_stream(false).await;
    histories.begin(&relay.table).await;
    relay.switch_stream(true).await;
    relay.until_refused_times(&histories, TRIES).await;
    bus.refuse_none().await;
    relay.until_all_is_published().await;
    let arrived = bus.arrived().await;
    let mut times = HashMap::<_, u64>::new();
    for Arrival { order, sequence } in &arrived {
        *times.entry((order, sequence)).or_default() += 1;
    }
    let most = times.values().max().copied().unwrap_or_default();
    println!("{} events arrived {} times, one of them {most} times", times.len(), arrived.len());
    assert_eq!(times.len(), FEW);
    // Once more if the relay began anew, and was told of none of it.
    assert!(most <= 2, "one of them went out {most} times");
    bus.close().await;
}

/// Lets the histories of so many orders happen, a part of each history in every kind of trouble. When all events are
/// published, returns the events that arrived.
async fn weather(world: &World, bus: &mut impl Bus, build: Build, orders: usize) -> Arrivals {
    let relay = Relay::deploy(world, build, bus.environment()).await;
    let mut histories = Histories::of(orders);
    let storms = async {
        relay.while_it_is_killed(histories.begin(&relay.table)).await;

        let refuses = Timestamp::now();
        bus.refuse_some(&histories).await;
        histories.go_on(&relay.table).await;
        relay.until_refused(refuses, build, &histories).await;
        bus.refuse_none().await;

        let is_down = Timestamp::now();
        bus.go_down().await;
        histories.go_on(&relay.table).await;
        relay.until_refused(is_down, build, &histories).await;
        bus.come_back().await;

        relay.switch_stream(false).await;
        relay.while_it_is_killed(histories.go_on(&relay.table)).await;
        relay.switch_stream(true).await;

        relay.while_it_is_killed(histories.end(&relay.table)).await;
        relay.until_all_is_published().await;
    };
    tokio::select! {
        () = storms => {}
        never = relay.keep_sweeping() => match never {},
    }
    let arrivals = Arrivals::new(histories.written(), bus.arrived().await);
    println!("{}, {build:?}, killed {} times: {arrivals}", bus.name(), relay.killed());
    arrivals
}
