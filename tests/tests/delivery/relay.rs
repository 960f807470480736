//! A new relay on a new table, made like those of the stack, so that other tests are not disturbed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use aws_sdk_dynamodb::types::{BillingMode, GlobalSecondaryIndex};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode};
use serde_json::json;
use tokio::time::interval;
use trackops_aws::aggregate::{SHARDS, Table};
use trackops_aws::outbox::Page;
use trackops_aws::relay::RelayStore;
use trackops_domain::Timestamp;
use trackops_local::functions;
use trackops_testkit::{Fault, World, eventually, unique};

use crate::histories::Histories;

/// How often the sweeper runs here. In the stack it runs every minute, but the test has little time.
const SWEEPS_EVERY: Duration = Duration::from_secs(2);
const OLDER_THAN_SECONDS: u64 = 15;

/// How long after the start of an invocation the function is killed, in turn: before, during and after its work.
const KILLED_AFTER: [Duration; 4] = [
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(120),
];

const KILLED_EVERY: Duration = Duration::from_secs(1);

/// How often to look whether a victim was killed.
const LOOKS_EVERY: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Build {
    AsDeployed,
    /// Counts every event as published that was given to the bus.
    Careless,
}

pub struct Relay<'a> {
    world: &'a World,
    pub table: Table,
    store: RelayStore,
    function: String,
    sweeper: String,
    mapping: String,
    streams: Cell<bool>,
    killed: Cell<usize>,
}

impl<'a> Relay<'a> {
    /// The stack's relay of orders and its sweeper, on a table like that of orders and on the bus of `environment`.
    pub async fn deploy(
        world: &'a World,
        build: Build,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let name = unique("delivery");
        let stream = create_table(world, &name).await;
        let jobs = ["relay-events", "sweep-outbox"].map(str::to_owned);
        let mut built = functions::build(&BTreeSet::from(jobs), false).await.expect("it builds");
        let relay = match build {
            Build::AsDeployed => "relay-events",
            Build::Careless => "careless-relay",
        };
        if build == Build::Careless {
            let careless = trackops_testkit::build(&["--workspace", "--example", relay]);
            built.insert(relay.to_owned(), careless.expect("it builds"));
        }
        let packages = functions::pack(&built, false).expect("they are packed");
        let (function, sweeper) = (format!("{name}-relay"), format!("{name}-sweep"));
        // The sweeper has a table for each service.
        let others = ["InventoryTable", "PaymentsTable"].map(|table| world.system.output(table));
        let tables = [&[&*name], &others[..]].concat().join(",");
        for (copy, of, package, table) in [
            (&function, "relay-orders", relay, ("TABLE", name.clone())),
            (&sweeper, "sweep-outbox", "sweep-outbox", ("TABLES", tables)),
        ] {
            let zip = fs::read(&packages[package].path).expect("the package");
            let mut environment = environment.clone();
            environment.push(table);
            create_function(world, copy, &world.system.function(of), zip, environment).await;
        }
        let mapping = map(world, &stream, &function).await;
        let config = world.system.aws();
        let relay_table = world.system.output("RelayTable").to_owned();
        Self {
            world,
            table: Table::at(&config, name),
            store: RelayStore::new(Table::at(&config, relay_table)),
            function,
            sweeper,
            mapping,
            streams: Cell::new(true),
            killed: Cell::new(0),
        }
    }

    pub async fn switch_stream(&self, on: bool) {
        let mapping = self.world.lambda.update_event_source_mapping().uuid(&self.mapping);
        mapping.enabled(on).send().await.expect("the event source mapping is changed");
        self.streams.set(on);
    }

    /// Kills the relay and the sweeper at their work, again and again, and at least once.
    pub async fn while_it_is_killed(&self, work: impl Future<Output = ()>) {
        let before = self.killed();
        let killed_at_it = async {
            work.await;
            eventually("the relay or the sweeper to be killed", async || {
                if self.killed() > before { Ok(()) } else { Err("none was".to_owned()) }
            })
            .await;
        };
        tokio::select! {
            () = killed_at_it => {}
            never = self.keep_killing() => match never {},
        }
    }

    async fn keep_killing(&self) -> Infallible {
        let (mut turns, mut looks) = (interval(KILLED_EVERY), interval(LOOKS_EVERY));
        let victims = [&self.function, &self.sweeper, &self.function];
        let mut victims = victims.into_iter().cycle().zip(KILLED_AFTER.into_iter().cycle());
        loop {
            turns.tick().await;
            let Some((victim, after)) = victims.next() else { unreachable!("a cycle has no end") };
            // Without its stream nobody calls the relay.
            let victim = if self.streams.get() { victim } else { &self.sweeper };
            let fault = Fault::of_function(victim, "").killing_it_after(after);
            let fault = self.world.inject(fault).await;
            // Without a deadline: it goes on no longer than the work beside it, however long its victim takes to be
            // called again.
            while fault.hits().await == 0 {
                looks.tick().await;
            }
            self.killed.set(self.killed.get() + 1);
        }
    }

    pub fn killed(&self) -> usize {
        self.killed.get()
    }

    /// Runs the sweeper as its schedule does, but more often.
    pub async fn keep_sweeping(&self) -> Infallible {
        let mut schedule = interval(SWEEPS_EVERY);
        loop {
            schedule.tick().await;
            self.sweep(OLDER_THAN_SECONDS).await;
        }
    }

    /// The sweeper fails as long as something cannot be published, and when it is killed.
    async fn sweep(&self, older_than_seconds: u64) {
        let input = json!({"olderThanSeconds": older_than_seconds}).to_string();
        let sweep = self.world.lambda.invoke().function_name(&self.sweeper);
        sweep.payload(Blob::new(input)).send().await.expect("the sweeper is invoked");
    }

    /// Waits until the bus has refused something since then. A careless relay does not report this, because it has
    /// dropped the events.
    pub async fn until_refused(&self, since: Timestamp, build: Build, histories: &Histories) {
        if build == Build::Careless {
            return self.until_nothing_waits().await;
        }
        let ids = histories.newest_ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        eventually("the bus to refuse something", async || {
            let refused = self.store.refusals(&ids).await.expect("the relay's table is read");
            let refused = refused.values().any(|event| event.last_at >= since);
            if refused { Ok(()) } else { Err("nothing".to_owned()) }
        })
        .await;
    }

    /// Waits until the bus has refused an event of these orders at least so often.
    pub async fn until_refused_times(&self, histories: &Histories, times: u32) {
        let ids = histories.newest_ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        eventually(&format!("the bus to refuse an event {times} times"), async || {
            let refused = self.store.refusals(&ids).await.expect("the relay's table is read");
            let attempts = refused.values().map(|event| event.attempts).max().unwrap_or_default();
            if attempts >= times { Ok(()) } else { Err(format!("{attempts} times")) }
        })
        .await;
    }

    pub async fn until_all_is_published(&self) {
        eventually("everything to be published", async || {
            self.let_parked_events_be_due().await;
            self.sweep(0).await;
            self.waiting().await
        })
        .await;
    }

    /// The sweeper tries what is parked ever more seldom.
    async fn let_parked_events_be_due(&self) {
        for event in self.store.parked().await.expect("the relay's table is read") {
            self.world.backdate("RelayTable", &format!("EVENT#{}", event.id), "last_at").await;
        }
    }

    async fn until_nothing_waits(&self) {
        eventually("nothing to wait", async || self.waiting().await).await;
    }

    async fn waiting(&self) -> Result<(), String> {
        let mut waiting = 0;
        for shard in 0..SHARDS {
            let page = self.table.unpublished_before(shard, Timestamp::now(), Page::default());
            waiting += page.await.expect("the index is read").0.len();
        }
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} orders or more wait")) }
    }
}

/// A table like that of orders; answers the ARN of its stream.
async fn create_table(world: &World, name: &str) -> String {
    let orders = world.system.output("OrdersTable");
    let like = world.dynamo.describe_table().table_name(orders).send().await;
    let like = like.expect("the table is described").table.expect("a description");
    let indexes = like.global_secondary_indexes.unwrap_or_default().into_iter().map(|index| {
        GlobalSecondaryIndex::builder()
            .set_index_name(index.index_name)
            .set_key_schema(index.key_schema)
            .set_projection(index.projection)
            .build()
            .expect("an index has a name, a key and a projection")
    });
    let table = world
        .dynamo
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(like.attribute_definitions)
        .set_key_schema(like.key_schema)
        .set_global_secondary_indexes(Some(indexes.collect()))
        .set_stream_specification(like.stream_specification);
    let table = table.send().await.expect("the table is created").table_description;
    table.and_then(|table| table.latest_stream_arn).expect("it has a stream")
}

/// A function like `like`, but with other code and with the variables of `environment`.
async fn create_function(
    world: &World,
    name: &str,
    like: &str,
    zip: Vec<u8>,
    environment: Vec<(&'static str, String)>,
) {
    let like = world.lambda.get_function_configuration().function_name(like).send().await;
    let like = like.expect("the function is described");
    let mut variables = like.environment.and_then(|all| all.variables).unwrap_or_default();
    // Which bus it is, `environment` says.
    variables.remove("EVENT_BUS");
    variables.extend(environment.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let function = world
        .lambda
        .create_function()
        .function_name(name)
        .set_runtime(like.runtime)
        .set_role(like.role)
        .set_handler(like.handler)
        .set_timeout(like.timeout)
        .set_memory_size(like.memory_size)
        .environment(Environment::builder().set_variables(Some(variables)).build())
        .code(FunctionCode::builder().zip_file(Blob::new(zip)).build());
    function.send().await.expect("the function is created");
}

/// Feeds the function from the stream in the same way as the stack's relay; returns the mapping.
async fn map(world: &World, stream: &str, function: &str) -> String {
    let relay = world.system.function("relay-orders");
    let like = world.lambda.list_event_source_mappings().function_name(relay).send().await;
    let like = like.expect("the mappings are listed").event_source_mappings;
    let like = like.unwrap_or_default().pop().expect("the stack's relay has a mapping");
    let filters = like.filter_criteria.map(|criteria| {
        let filters = aws_sdk_lambda::types::FilterCriteria::builder();
        filters.set_filters(criteria.filters).build()
    });
    let mapping = world
        .lambda
        .create_event_source_mapping()
        .event_source_arn(stream)
        .function_name(function)
        .set_starting_position(like.starting_position)
        .set_batch_size(like.batch_size)
        .set_function_response_types(like.function_response_types)
        .set_maximum_retry_attempts(like.maximum_retry_attempts)
        .set_bisect_batch_on_function_error(like.bisect_batch_on_function_error)
        .set_filter_criteria(filters);
    mapping.send().await.expect("the mapping is created").uuid.expect("it has an id")
}
