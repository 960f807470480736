//! The relay alone: it gets stream records, publishes events to the bus and trims items. It is compared with the bare
//! client of the same bus, which has the events ready and only publishes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::body::Bytes;
use serde_json::{Value, json};
use trackops_aws::aggregate::Table;
use trackops_aws::outbox::OutboxEntry;
use trackops_domain::order::{Line, Order};
use trackops_domain::{Cause, OrderId, Timestamp, examples};
use trackops_local::kafka::{self, Broker};
use trackops_local::output::NotPrinted;
use trackops_local::say;
use trackops_testkit::{aws_at, build, workspace_root};

use crate::stand_in::StandIn;
use trackops_tests::lambda::{Environment, Function, RuntimeApi, environment, median};

/// Records of a batch, as the mapping of `relay-orders` has it.
const BATCH: u32 = 100;

/// How many different batches there are; after the last one the first comes again.
const BATCHES: u32 = 10;

const REGION: &str = "eu-central-1";

/// Both take turns, so that other load on the machine affects both alike.
pub async fn measure(rounds: u32, batches: u32) -> Result<()> {
    let relay = build(&["--release", "--bin", "relay-events"])?;
    let bare = build(&["--release", "--example", "bare-publisher"])?;
    let aws = Arc::<StandIn>::default();
    let endpoint = aws.clone().serve().await?;
    let prepared = Prepared::new(&aws, &endpoint).await?;
    let environment = |of_bus: &[(&str, &str)]| {
        let mut all = environment("relay-orders", REGION, endpoint.clone());
        let of_relay =
            [("TABLE", "orders"), ("RELAY_TABLE", "relay"), ("EVENT_SOURCE", "trackops.orders")];
        let further = of_relay.iter().chain(of_bus);
        all.extend(further.map(|(name, value)| (name.to_string(), value.to_string())));
        all
    };
    let run = async |environment: Environment| {
        let relay = Contender::start(&relay, &environment).await?;
        relay.relay(&prepared, BATCHES).await?;
        let bare = Contender::start(&bare, &environment).await?;
        bare.api.invoke(json!({"keep": prepared.events}).to_string().into()).await?;
        bare.publish(BATCHES).await?;

        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (calls, updates) =
            (aws.calls.load(Ordering::Relaxed), aws.updates.load(Ordering::Relaxed));
        for _ in 0..rounds {
            ours.push(relay.timed(relay.relay(&prepared, batches)).await?);
            theirs.push(bare.timed(bare.publish(batches)).await?);
        }
        let relayed = u64::from(rounds * batches);
        let updates = aws.updates.load(Ordering::Relaxed) - updates;
        // Every item's, and that of the counters.
        ensure!(
            updates == relayed * u64::from(BATCH + 1),
            "{updates} updates for {relayed} batches"
        );
        let calls = (aws.calls.load(Ordering::Relaxed) - calls) / relayed;
        Round::print(&ours, &theirs, batches, calls)?;
        anyhow::Ok(())
    };

    say!("batches of {BATCH} stream records, median of {rounds} rounds of {batches} batches:")?;
    let (record, event) = prepared.sizes();
    say!("{record} bytes a record, of which {event} are its event")?;
    say!("EventBridge and DynamoDB answered at once by this benchmark")?;
    let events = aws.events.load(Ordering::Relaxed);
    run(environment(&[("EVENT_BUS", "bench")])).await?;
    let events = aws.events.load(Ordering::Relaxed) - events;
    let expected = u64::from(2 * (BATCHES + rounds * batches) * BATCH);
    ensure!(events == expected, "the bus got {events} events, not {expected}");

    if let Err(missing) = kafka::tools().await {
        say!("Kafka: skipped. {missing}")?;
        return Ok(());
    }
    say!("a real Apache Kafka; DynamoDB answered at once by this benchmark")?;
    let data = workspace_root().join("target/local/bench-kafka");
    let broker = Broker::start(&kafka::packages().await?, data).await?;
    let of_bus = [
        ("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap.as_str()),
        ("KAFKA_SECURITY", "plaintext"),
        ("KAFKA_REPLICATION_FACTOR", "1"),
    ];
    let measured = run(environment(&of_bus)).await;
    broker.stop().await;
    measured
}

/// A process that publishes, and how it is invoked.
struct Contender {
    function: Function,
    api: RuntimeApi,
}

impl Contender {
    async fn start(bootstrap: &std::path::Path, environment: &Environment) -> Result<Self> {
        let api = RuntimeApi::start().await?;
        let function = Function::spawn(bootstrap, environment, &api)?;
        Ok(Self { function, api })
    }

    /// Like the relay: an invocation for each batch of records.
    async fn relay(&self, prepared: &Prepared, batches: u32) -> Result<()> {
        let batches = prepared.batches.iter().cycle().take(usize::try_from(batches)?);
        let answers: Vec<_> = batches.map(|batch| self.api.invoke(batch.clone())).collect();
        for answer in answers {
            let answer = answer.await?;
            ensure!(answer["batchItemFailures"] == json!([]), "the relay answered {answer}");
        }
        Ok(())
    }

    /// Like the bare client: it publishes the events that it was given to keep.
    async fn publish(&self, batches: u32) -> Result<()> {
        self.api.invoke(json!({"publish": batches}).to_string().into()).await.map(drop)
    }

    async fn timed(&self, publishing: impl Future<Output = Result<()>>) -> Result<Round> {
        let (cpu, started) = (self.cpu(), Instant::now());
        publishing.await?;
        let took = started.elapsed();
        let cpu = self.cpu().zip(cpu).map(|(now, before)| now.saturating_sub(before));
        Ok(Round { took, cpu })
    }

    /// The processor time that its one thread has used; `None` where the system does not report it as Linux does.
    fn cpu(&self) -> Option<Duration> {
        self.function.cpu()
    }
}

#[derive(Clone, Copy)]
struct Round {
    took: Duration,
    cpu: Option<Duration>,
}

impl Round {
    fn print(ours: &[Self], theirs: &[Self], batches: u32, calls: u64) -> Result<(), NotPrinted> {
        let events = u128::from(batches * BATCH);
        let line = |rounds: &[Self]| {
            let took = median(rounds.iter().map(|round| round.took).collect());
            let rate = events * 1_000_000 / took.as_micros().max(1);
            let cpu = rounds.iter().map(|round| round.cpu).collect::<Option<Vec<_>>>();
            let cpu = cpu.map_or("unknown".to_owned(), |cpu| {
                let tenths = median(cpu).as_nanos() / 100 / events;
                format!("{}.{} us", tenths / 10, tenths % 10)
            });
            format!("{rate} events/s, CPU {cpu} an event")
        };
        let pairs = ours.iter().zip(theirs);
        let ratios = pairs.map(|(our, their)| their.took.as_micros() * 100 / our.took.as_micros());
        say!("  bare client  {}", line(theirs))?;
        say!("  relay-events {}; {calls} calls of DynamoDB a batch", line(ours))?;
        say!("  the relay has {} % of the bare client's events/s", median(ratios.collect()))
    }
}

/// Orders that were just placed: a batch has their stream records and their events.
struct Prepared {
    batches: Vec<Bytes>,
    events: Vec<Vec<OutboxEntry>>,
}

impl Prepared {
    async fn new(aws: &StandIn, endpoint: &str) -> Result<Self> {
        let table = Table::at(&aws_at(endpoint, REGION), "orders".to_owned());
        let (mut batches, mut events) = (Vec::new(), Vec::new());
        for _ in 0..BATCHES {
            let (mut records, mut of_batch) = (Vec::new(), Vec::new());
            for number in 0..BATCH {
                let order = order(number)?;
                let event = order.event().context("an order tells that it was placed")?;
                of_batch.push(OutboxEntry::of(&event)?);
                table.create(&order).await?;
                let image = aws.item.lock().expect("nobody panics holding it").take();
                records.push(record(number, image.context("the order was not put")?));
            }
            batches.push(json!({"Records": records}).to_string().into());
            events.push(of_batch);
        }
        Ok(Self { batches, events })
    }

    /// Bytes of a record, and of the event in it, on average.
    fn sizes(&self) -> (usize, usize) {
        let events: Vec<usize> = self.events.iter().flatten().map(|it| it.body.len()).collect();
        let records: usize = self.batches.iter().map(Bytes::len).sum();
        (records / events.len(), events.iter().sum::<usize>() / events.len())
    }
}

pub fn order(number: u32) -> Result<Order> {
    let mut new = examples::order();
    new.customer_id = format!("customer-{number}").parse()?;
    let line = |name: &str| Line { name: name.to_owned(), ..new.lines[0].clone() };
    new.lines = vec![line("Sencha, 100 g"), line("Cast iron teapot, 0.8 l")];
    new.request_hash =
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned();
    let cause = Cause {
        correlation_id: OrderId::generate().to_string(),
        causation_id: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    };
    Ok(Order::place(new, Timestamp::now(), cause)?)
}

/// Source: "Example Amazon DynamoDB Streams record event", Lambda Developer Guide.
fn record(number: u32, image: Value) -> Value {
    json!({
        "eventID": format!("{number:032x}"), "eventName": "INSERT", "eventVersion": "1.1",
        "eventSource": "aws:dynamodb", "awsRegion": REGION,
        "dynamodb": {
            // Never old: the relay looks up what may be a repetition.
            "ApproximateCreationDateTime": 4_102_444_800_u64, "Keys": {"pk": image["pk"]},
            "SequenceNumber": format!("{:021}", 4_421_584_500_000_000_000_u64 + u64::from(number)),
            "SizeBytes": image.to_string().len(), "StreamViewType": "NEW_IMAGE", "NewImage": image,
        },
        "eventSourceARN":
            "arn:aws:dynamodb:eu-central-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000",
    })
}
