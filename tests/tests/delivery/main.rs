//! Nothing is lost and nothing overtakes: the histories of 2,000 orders reach a consumer outside of the system while the
//! relay and the sweeper are killed at their work, the stream is switched off, and the bus refuses some events and then all.

mod arrivals;
mod buses;
mod histories;
mod relay;
#[path = "../common/topic.rs"]
mod topic;

use arrivals::Arrivals;
use buses::{Bus, EventBridge, Kafka};
use histories::Histories;
use relay::{Build, Relay};
use trackops_testkit::World;

const ORDERS: usize = 2_000;

/// Enough to find out a relay that is not what it should be.
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

/// Lets the histories of so many orders happen, a part of each in every weather; answers what arrived when all is published.
async fn weather(world: &World, bus: &mut impl Bus, build: Build, orders: usize) -> Arrivals {
    let relay = Relay::deploy(world, build, bus.environment()).await;
    let mut histories = Histories::of(orders);
    let storms = async {
        relay.while_it_is_killed(histories.begin(&relay.table)).await;

        bus.refuse_some(&histories).await;
        histories.go_on(&relay.table).await;
        relay.until_refused(build, &histories).await;
        bus.refuse_none().await;

        bus.go_down().await;
        histories.go_on(&relay.table).await;
        relay.until_refused(build, &histories).await;
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
    assert!(build == Build::Careless || relay.killed() > 0, "nothing was killed");
    let arrivals = Arrivals::new(histories.written(), bus.arrived().await);
    println!("{}, {build:?}, killed {} times: {arrivals}", bus.name(), relay.killed());
    arrivals
}
