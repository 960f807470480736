//! The process that keeps an instance running: it owns the local cloud and serves the APIs and the issuer.
//!
//! `up` starts it in the background in every mode, so that there is one way for an instance to run and to end. In
//! whatever way this process ends, the cloud notices it and ends too.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use std::os::unix::process::CommandExt;
use tokio::signal::unix::{SignalKind, signal};

use crate::cloud::Cloud;
use crate::instance::{Endpoints, Instance, REGION, Running, STACK};
use crate::kafka::Broker;
use crate::ports::{self, Ports};
use crate::proxy::{self, Apis};
use crate::token::{Signer, Which};
use crate::{issuer, progress::Step, topics};

const STARTS_WITHIN: Duration = Duration::from_secs(330);

/// The hidden command that `up` starts.
#[derive(Clone, Debug, clap::Args)]
pub struct Keep {
    #[arg(long)]
    pub python: PathBuf,
    #[arg(long)]
    pub faults: bool,
    /// The jars of a broker to start
    #[arg(long)]
    pub kafka_packages: Option<PathBuf>,
    /// Brokers that are there
    #[arg(long)]
    pub kafka: Option<String>,
    #[command(flatten)]
    pub ports: Ports,
}

/// Starts a keeper in the background and waits until it serves.
///
/// # Errors
/// With the last message of the keeper, when it gave up.
pub async fn start(instance: &Instance, program: &Path, keep: &Keep) -> Result<Running> {
    let step = Step::start("Starting the local cloud");
    let said = instance.path("keeper.log");
    let log = File::create(&said)?;
    let mut command = Command::new(program);
    command.args(["keep", "--instance", instance.name(), "--python"]).arg(&keep.python);
    command.args(keep.faults.then_some("--faults"));
    if let Some(packages) = &keep.kafka_packages {
        command.arg("--kafka-packages").arg(packages);
    }
    if let Some(brokers) = &keep.kafka {
        command.args(["--kafka", brokers]);
    }
    for (flag, port) in keep.ports.flags(instance.name()) {
        command.args([flag, &port.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // Out of reach of the terminal's Ctrl-C, which `up` handles.
    let mut keeper =
        command.process_group(0).spawn().context("cannot start the background process")?;
    let deadline = Instant::now() + STARTS_WITHIN;
    loop {
        if let Some(running) = instance.running()?.filter(|running| running.pid == keeper.id()) {
            step.done(&format!("{} is ready", running.endpoints.endpoint));
            return Ok(running);
        }
        if keeper.try_wait()?.is_some() {
            let said = fs::read_to_string(&said).unwrap_or_default();
            bail!("{}", said.trim().trim_start_matches("error: "));
        }
        if Instant::now() > deadline {
            let _ = keeper.kill();
            bail!(
                "the local cloud did not start within {} s: see {}",
                STARTS_WITHIN.as_secs(),
                said.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Runs until a signal, the end of the cloud, or the end of everyone who holds the instance.
pub async fn keep(instance: &Instance, options: &Keep) -> Result<()> {
    let Some(_alive) = instance.try_keep()? else {
        bail!("instance {} is running already", instance.name());
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let _hangup = signal(SignalKind::hangup())?; // handled, so that closing the terminal does not end it

    // All ports are taken at once, so that no two of them are the same.
    let mut listeners = Vec::new();
    for (flag, port) in options.ports.flags(instance.name()) {
        listeners.push(ports::bind(port, flag)?);
    }
    let [cloud, orders, inventory, relay, payments, issuer] =
        <[TcpListener; 6]>::try_from(listeners).expect("one listener per flag");
    let mut endpoints = Endpoints {
        endpoint: url(&cloud)?,
        orders: url(&orders)?,
        inventory: url(&inventory)?,
        relay: url(&relay)?,
        payments: url(&payments)?,
        region: REGION.to_owned(),
        stack: STACK.to_owned(),
        issuer: url(&issuer)?,
        kafka: options.kafka.clone(),
    };
    let cloud_port = cloud.local_addr()?.port();
    drop(cloud); // it was only held so that nobody else gets the port

    // These files are of an earlier cloud.
    for file in [Apis::FILE, topics::FILE] {
        let _ = fs::remove_file(instance.path(file));
    }
    proxy::forward(orders, instance.clone(), |apis| apis.orders)?;
    proxy::forward(inventory, instance.clone(), |apis| apis.inventory)?;
    proxy::forward(relay, instance.clone(), |apis| apis.relay)?;
    proxy::forward(payments, instance.clone(), |apis| apis.payments)?;
    let keys = [Signer::of(instance, Which::Current)?, Signer::of(instance, Which::Next)?];
    issuer::publish(instance, issuer, &endpoints.issuer, &keys.each_ref())?;

    let starting = async {
        let cloud = Cloud::start(instance, &options.python, cloud_port, options.faults);
        tokio::try_join!(cloud, broker(instance, options.kafka_packages.as_deref()))
    };
    let (mut cloud, mut broker) = tokio::select! {
        started = starting => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    if let Some(broker) = &broker {
        endpoints.kafka = Some(broker.bootstrap.clone());
    }
    let (endpoint, brokers) = (endpoints.endpoint.clone(), endpoints.kafka.clone());
    let running = Running {
        pid: std::process::id(),
        cloud_pid: cloud.pid,
        faults: options.faults,
        endpoints,
    };
    instance.write("running.json", &running)?;

    let ended = tokio::select! {
        failed = topics(instance, endpoint, brokers) => Err(failed),
        status = broker_ended(&mut broker) => Err(anyhow!("Apache Kafka ended by itself ({status}): see {}", instance.path("kafka/broker.log").display())),
        status = cloud.ended() => Err(anyhow!("the local cloud ended by itself ({status}): see {}", instance.path("cloud.log").display())),
        turn = abandoned(instance) => turn.map(Some),
        _ = terminate.recv() => Ok(None),
        _ = interrupt.recv() => Ok(None),
    };
    cloud.stop().await;
    if let Some(broker) = broker {
        broker.stop().await;
    }
    for file in ["running.json", "holders.json", Apis::FILE, topics::FILE] {
        let _ = fs::remove_file(instance.path(file));
    }
    ended.map(drop)
}

async fn broker(instance: &Instance, packages: Option<&Path>) -> Result<Option<Broker>> {
    match packages {
        Some(packages) => Broker::start(packages, instance.path("kafka")).await.map(Some),
        None => Ok(None),
    }
}

async fn broker_ended(broker: &mut Option<Broker>) -> String {
    match broker {
        Some(broker) => broker.ended().await,
        None => std::future::pending().await,
    }
}

/// Feeds the functions from their topics; returns when it cannot.
async fn topics(instance: &Instance, endpoint: String, brokers: Option<String>) -> anyhow::Error {
    match brokers {
        Some(brokers) => match topics::serve(instance.clone(), endpoint, brokers).await {
            Ok(never) => match never {},
            Err(error) => error,
        },
        None => std::future::pending().await,
    }
}

/// Waits until no process needs the instance any more. The turn that it returns makes a new `up` wait until this keeper
/// has ended.
async fn abandoned(instance: &Instance) -> Result<File> {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if instance.holders()?.any_left() {
            continue;
        }
        if let Some(turn) = instance.try_turn()?
            && !instance.holders()?.any_left()
        {
            return Ok(turn);
        }
    }
}

fn url(listener: &TcpListener) -> Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}
