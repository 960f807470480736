//! The commands of `cargo local`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use trackops_local::demo::{Show, demo};
use trackops_local::env::env;
use trackops_local::instance::Instance;
use trackops_local::keeper::{Keep, keep};
use trackops_local::logs::logs;
use trackops_local::output::NotPrinted;
use trackops_local::seed::seed;
use trackops_local::status::status;
use trackops_local::token::{Role, Which, sign};
use trackops_local::up::{Up, up};
use trackops_local::{note, say};

/// TrackOps on a local cloud: no AWS account, no Docker, only Rust and Python 3.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version, after_help = START)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Which local cloud: each name is one of its own, and only `default` has fixed ports
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    instance: String,
}

const START: &str = "\
Start with `cargo local up`. Everything it makes is under target/local/, and it listens on 127.0.0.1 only.

Place an order yourself, as a customer:
  curl -s http://127.0.0.1:8081/api/orders -H \"authorization: Bearer $(cargo local token --role customer)\" \\
    -H 'content-type: application/json' \\
    -d '{\"items\":[{\"productId\":\"TEA-SENCHA-100\",\"quantity\":1}],\"currency\":\"EUR\",\"paymentMethod\":\"tok_ok\",
         \"address\":{\"streetAddress\":\"1 Harbour Street\",\"city\":\"Galway\",\"postalCode\":\"H91 E2K3\",\"country\":\"IE\"}}'";

#[derive(Subcommand)]
enum Command {
    /// Build, start the local cloud, deploy template.yaml, load sample data, place a demo order; stays until Ctrl-C
    ///
    /// Run again, it updates what changed. A stopped instance starts empty: orders do not outlive `down`.
    Up(Up),
    /// Stop everything `up` started; its data goes with it
    Down,
    /// Say what is running and where; exit code 1 when nothing is
    Status,
    /// Print what the functions logged, oldest first
    Logs {
        /// One function, as `create-order`; all of them if not given
        function: Option<String>,
        /// Go on printing until Ctrl-C
        #[arg(long, short)]
        follow: bool,
    },
    /// Load the sample data of localstack/seed/; products that are there stay as they are
    Seed,
    /// Print a bearer token of the local issuer, good for 12 hours
    Token {
        #[arg(long, value_enum)]
        role: Role,
        /// Whose token it is: the customer's id [default: local-<role>]
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// Sign with the key that the issuer publishes for its next change of keys, and the deployment was not given
        #[arg(long)]
        next_key: bool,
    },
    /// Print what a shell needs for the commands of docs/runbooks/: eval "$(cargo local env)"
    Env,
    /// Follow four orders to their end: confirmed, out of stock, declined, cancelled
    Demo,
    /// The background process of `up`
    #[command(hide = true)]
    Keep(Keep),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) if error.downcast_ref().is_some_and(NotPrinted::has_no_reader) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            note!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let instance = Instance::named(&cli.instance)?;
    match cli.command {
        Command::Up(options) => up(&instance, &options).await?,
        Command::Down => {
            let stopped = instance.stop().await?;
            note!("{} {}", instance.name(), if stopped { "is stopped" } else { "was not running" });
        }
        Command::Status => {
            if !status(&instance).await? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Logs { function, follow } => logs(&instance, function.as_deref(), follow).await?,
        Command::Seed => seed(&instance).await?,
        Command::Token { role, customer, next_key } => {
            let which = if next_key { Which::Next } else { Which::Current };
            say!("{}", sign(instance.name(), which, role, customer.as_deref())?)?;
        }
        Command::Env => env(&instance)?,
        Command::Demo => demo(&instance, Show::All).await?,
        Command::Keep(options) => keep(&instance, &options).await?,
    }
    Ok(ExitCode::SUCCESS)
}
