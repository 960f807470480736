//! `cargo local up`: from a clone to a running system, or from a running system to the state of the sources.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::clients::Aws;
use crate::demo::{Show, demo};
use crate::instance::{Endpoints, Holders, Instance, STACK, workspace};
use crate::issuer::JWKS_PATH;
use crate::kafka::{self, BROKERS};
use crate::keeper::{self, Keep};
use crate::ports::Ports;
use crate::progress::Step;
use crate::proxy::Apis;
use crate::seed::seed;
use crate::template::Template;
use crate::token::{AUDIENCE, Signer, Which, jwks};
use crate::topics::Mapping;
use crate::{functions, note, python, say, stack, status, topics};

#[derive(Clone, Debug, clap::Args)]
pub struct Up {
    /// Return when it is up; `cargo local down` stops it
    #[arg(long)]
    pub detach: bool,
    /// Print one JSON object: endpoint, orders, inventory, relay, payments, region, stack, issuer, and kafka if that is the bus
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub ports: Ports,
    /// Give a parameter of template.yaml another value than its default; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub parameters: Vec<(String, String)>,
    /// Build the functions as for AWS: slower to build, faster to run
    #[arg(long)]
    pub release: bool,
    /// Do not place a demo order at the end
    #[arg(long)]
    pub no_demo: bool,
    /// What carries the events. kafka starts a real Apache Kafka (needs Java 17 and Maven), unless KAFKA_BOOTSTRAP_SERVERS names
    /// brokers [default: eventbridge]
    #[arg(long, value_enum)]
    pub bus: Option<BusKind>,
    /// Let tests inject faults, at /_trackops/faults of the local cloud
    #[arg(long)]
    pub faults: bool,
    /// Return when it is up, and stop it when process PID has ended; when all have, if given several times
    #[arg(long, value_name = "PID")]
    pub while_pid: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BusKind {
    Eventbridge,
    Kafka,
}

/// Brings the instance up and, unless detached, stays until it is stopped.
///
/// # Errors
/// When a step fails or is interrupted. Nothing that this call started is left running then.
pub async fn up(instance: &Instance, options: &Up) -> Result<()> {
    // Read before the build, which may replace the file.
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut interrupted = std::pin::pin!(async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    });

    let turn = tokio::select! {
        turn = instance.take_turn() => turn?,
        () = &mut interrupted => bail!("interrupted"),
    };
    let ran_before = instance.running()?.is_some();
    let me = std::process::id();
    let mut holders = if ran_before { instance.holders()? } else { Holders::default() };
    holders.pids.push(me);
    instance.write_holders(&holders)?;

    let brought_up = tokio::select! {
        done = bring_up(instance, options, program) => done,
        () = &mut interrupted => Err(anyhow!("interrupted")),
    };
    let stays =
        brought_up.is_ok() && !ran_before && !options.detach && options.while_pid.is_empty();
    if !stays {
        holders.pids.retain(|&pid| pid != me);
        holders.pids.extend(&options.while_pid);
        holders.until_down |= brought_up.is_ok() && !ran_before && options.while_pid.is_empty();
        instance.write_holders(&holders)?;
    }
    if brought_up.is_err() && !ran_before {
        instance.stop().await?;
    }
    let endpoints = brought_up?;
    drop(turn);

    if options.json {
        say!("{}", serde_json::to_string(&endpoints)?)?;
    }
    note!("TrackOps is up:\n{}", status::addresses(&endpoints));
    let [demo, logs, down] = ["demo", "logs --follow", "down"].map(|it| instance.command(it));
    if !stays {
        note!("Next: {demo}, {logs}; {down} stops it.");
        return Ok(());
    }
    note!("Next, in another terminal: {demo}, {logs}. Ctrl-C here stops it.");
    let step = tokio::select! {
        () = interrupted => Step::start("\nStopping"),
        () = stopped(instance) => Step::start("\nIt was stopped"),
    };
    instance.stop().await?;
    step.done("nothing is left running");
    Ok(())
}

async fn bring_up(instance: &Instance, options: &Up, program: PathBuf) -> Result<Endpoints> {
    let template = Template::load(&workspace().join("template.yaml"))?;
    // Before the long steps: a misspelt name fails here.
    stack::parameters(&template, &[], &options.parameters)?;

    let python = python::environment().await?;
    // Before the build: a taken port should not cost minutes.
    let endpoints = cloud(instance, options, &program, python).await?;
    let binaries = template.binaries();
    let step = Step::start(&format!("Building the {} binaries of the functions", binaries.len()));
    let built = functions::build(&binaries, options.release).await?;
    let release = options.release;
    let packages = tokio::task::spawn_blocking(move || functions::pack(&built, release)).await??;
    step.done("built and packed");

    let aws = Aws::at(&endpoints.endpoint);
    let kafka = endpoints.kafka.as_ref();
    let own = [
        ("Deployment", "local".to_owned()),
        ("EventBus", if kafka.is_some() { "kafka" } else { "eventbridge" }.to_owned()),
        ("KafkaBootstrapServers", kafka.cloned().unwrap_or_default()),
        ("KafkaSecurity", "plaintext".to_owned()),
        ("KafkaReplicationFactor", "1".to_owned()),
        ("Architecture", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }.to_owned()),
        ("JwtIssuer", endpoints.issuer.clone()),
        ("JwtAudience", AUDIENCE.to_owned()),
        ("JwtKeys", jwks(&[&Signer::of(instance, Which::Current)?]).to_string()),
        ("JwksUri", format!("{}{JWKS_PATH}", endpoints.issuer)),
        ("SimulatorWebhookUrl", format!("{}/api/payments/webhook", endpoints.payments)),
    ];
    let parameters = stack::parameters(&template, &own, &options.parameters)?;
    let mappings: Vec<Mapping> = template
        .topics()
        .into_iter()
        .map(|(topic, job)| Mapping { function: format!("{STACK}-{job}"), topic: topic.to_owned() })
        .collect();
    let outputs = stack::deploy(instance, &aws, template, packages, &parameters).await?;
    if kafka.is_some() {
        instance.write(topics::FILE, &mappings)?;
    }
    let apis = stack::apis(&outputs, &endpoints.endpoint, parameters.get("CorsOrigin"))?;
    instance.write(Apis::FILE, &apis)?;

    seed(instance).await?;
    if !options.no_demo {
        demo(instance, Show::First).await?;
    }
    Ok(endpoints)
}

/// The running cloud of the instance, started if need be.
async fn cloud(
    instance: &Instance,
    options: &Up,
    program: &Path,
    python: PathBuf,
) -> Result<Endpoints> {
    if let Some(running) = instance.running()? {
        if options.ports != Ports::default() && options.ports.port != Some(0)
            || options.faults && !running.faults
            || options
                .bus
                .is_some_and(|bus| (bus == BusKind::Kafka) != running.endpoints.kafka.is_some())
        {
            bail!(
                "it runs already, with other options: {} first, then start it with these",
                instance.command("down")
            );
        }
        return Ok(running.endpoints);
    }
    let (mut kafka_packages, mut kafka) = (None, None);
    if options.bus == Some(BusKind::Kafka) {
        kafka = std::env::var(BROKERS).ok().filter(|brokers| !brokers.is_empty());
        if kafka.is_none() {
            kafka_packages = Some(kafka::packages().await?);
        }
    }
    let (faults, ports) = (options.faults, options.ports.clone());
    let keep = Keep { python, faults, kafka_packages, kafka, ports };
    Ok(keeper::start(instance, program, &keep).await?.endpoints)
}

/// Waits until the instance does not run any more.
async fn stopped(instance: &Instance) {
    while instance.running().is_ok_and(|running| running.is_some()) {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

fn key_and_value(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').context("write it as Key=Value")?;
    Ok((key.to_owned(), value.to_owned()))
}
