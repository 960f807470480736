//! One TrackOps per test process: its own runner starts it on free ports, and it ends with the process.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_cloudformation::config::BehaviorVersion;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde::Deserialize;
use trackops_http::Http1;

/// Seconds that an order waits for its payment here. This is more than a test takes. It still lets the simulated
/// provider pay 20 seconds too late, because a message can be delayed for 900 seconds.
const PAYMENT_DEADLINE_SECONDS: u32 = 870;

/// The origin whose pages may call the APIs.
pub const CORS_ORIGIN: &str = "https://shop.example";

/// Two test runs at the same time share this instance; it ends when both have ended.
const INSTANCE: &str = "test";

/// The same with Kafka as the bus.
const INSTANCE_ON_KAFKA: &str = "test-kafka";

/// Names the file that holds what `cargo local up --json --faults` printed, to test that system instead of a new one.
const RUNNING_SYSTEM: &str = "TRACKOPS_ENDPOINTS_JSON";

/// Credentials for a cloud that does not check who calls.
pub fn aws_at(endpoint: &str, region: &str) -> SdkConfig {
    let account = Credentials::from_keys("000000000000", "local", None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(account))
        .http_client(Http1::plain())
        .sleep_impl(TokioSleep::new())
        .build()
}

/// Where a running TrackOps is. Plain data, because every test has its own runtime and so needs its own clients.
#[derive(Debug, Clone, Deserialize)]
pub struct System {
    pub endpoint: String,
    pub orders: String,
    pub inventory: String,
    pub relay: String,
    pub payments: String,
    pub region: String,
    pub stack: String,
    /// The brokers, when Kafka is the bus.
    pub kafka: Option<String>,
    #[serde(default = "default_instance")]
    instance: String,
    #[serde(skip)]
    outputs: HashMap<String, String>,
}

fn default_instance() -> String {
    "default".to_owned()
}

impl System {
    /// The system that all tests of this process share. The first test that asks starts it.
    pub fn shared() -> &'static Self {
        static SYSTEM: OnceLock<Result<System, String>> = OnceLock::new();
        Self::once(&SYSTEM, Self::start_or_attach)
    }

    /// The same with Kafka as the bus.
    pub fn on_kafka() -> &'static Self {
        static SYSTEM: OnceLock<Result<System, String>> = OnceLock::new();
        Self::once(&SYSTEM, || Self::start(INSTANCE_ON_KAFKA, &["--bus", "kafka"])?.deployed())
    }

    fn once(
        system: &'static OnceLock<Result<Self, String>>,
        start: impl Fn() -> Result<Self> + Send + 'static,
    ) -> &'static Self {
        let system = system.get_or_init(|| {
            // On a thread of its own, because the caller may be inside a runtime.
            let started = std::thread::spawn(start).join();
            let started = started.unwrap_or_else(|_| Err(anyhow!("starting it panicked")));
            started.map_err(|error| format!("{error:?}"))
        });
        system.as_ref().unwrap_or_else(|error| panic!("no TrackOps to test: {error}"))
    }

    fn start_or_attach() -> Result<Self> {
        let system = match std::env::var(RUNNING_SYSTEM) {
            Ok(path) => {
                let described = std::fs::read_to_string(&path);
                Self::read(&described.with_context(|| format!("{RUNNING_SYSTEM} names {path}"))?)?
            }
            Err(_) => Self::start(INSTANCE, &[])?,
        };
        system.deployed()
    }

    fn start(instance: &str, options: &[&str]) -> Result<Self> {
        Ok(Self { instance: instance.to_owned(), ..Self::read(&start(instance, options)?)? })
    }

    fn deployed(self) -> Result<Self> {
        let mut system = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        system.outputs = runtime.block_on(system.read_outputs())?;
        Ok(system)
    }

    fn read(described: &str) -> Result<Self> {
        serde_json::from_str(described)
            .with_context(|| format!("`cargo local up --json` printed {described:?}"))
    }

    async fn read_outputs(&self) -> Result<HashMap<String, String>> {
        let answer = aws_sdk_cloudformation::Client::new(&self.aws())
            .describe_stacks()
            .stack_name(&self.stack)
            .send()
            .await?;
        let stack = answer.stacks().first().with_context(|| format!("no stack {}", self.stack))?;
        let pair = |output: &aws_sdk_cloudformation::types::Output| {
            Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
        };
        Ok(stack.outputs().iter().filter_map(pair).collect())
    }

    /// An output of the stack.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| {
            panic!("the stack has no output {name}, only {:?}", self.outputs.keys())
        })
    }

    /// The name of a deployed function.
    pub fn function(&self, job: &str) -> String {
        format!("{}-{job}", self.stack)
    }

    /// How to reach the local cloud; for clients of one runtime.
    pub fn aws(&self) -> SdkConfig {
        aws_at(&self.endpoint, &self.region)
    }

    /// A token of the local issuer; `role` is customer, operator or service.
    pub fn token(&self, role: &str, subject: &str) -> Result<String> {
        self.sign(role, subject, &[])
    }

    /// A token signed with a key that the issuer publishes and the deployment was not given.
    pub fn token_of_next_key(&self, role: &str, subject: &str) -> Result<String> {
        self.sign(role, subject, &["--next-key"])
    }

    fn sign(&self, role: &str, subject: &str, how: &[&str]) -> Result<String> {
        let mut arguments = vec!["token", "--instance", &self.instance, "--role", role];
        if role == "customer" {
            arguments.extend(["--customer", subject]);
        }
        arguments.extend(how);
        run(runner()?.args(arguments)).map(|token| token.trim().to_owned())
    }
}

/// Starts an instance that ends with this process, however the process ends.
fn start(instance: &str, options: &[&str]) -> Result<String> {
    // Not with `eprintln!`, which panics when nobody reads its output. Losing this output does no harm.
    let _ = writeln!(io::stderr(), "starting TrackOps on a local cloud, instance {instance}");
    run(runner()?
        .args(["up", "--detach", "--json", "--no-demo", "--faults", "--port", "0"])
        .args(options)
        .args(["--instance", instance, "--while-pid", &std::process::id().to_string()])
        .args(["--parameter", &format!("PaymentDeadlineSeconds={PAYMENT_DEADLINE_SECONDS}")])
        .args(["--parameter", &format!("CorsOrigin={CORS_ORIGIN}")]))
}

/// The repository.
pub fn workspace_root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("shared/testkit is two folders deep")
}

/// `cargo local`, built first if need be.
fn runner() -> Result<Command> {
    static RUNNER: OnceLock<PathBuf> = OnceLock::new();
    let path = match RUNNER.get() {
        Some(path) => path,
        None => {
            let path = build(&["--quiet", "--bin", "trackops-local"])?;
            RUNNER.get_or_init(|| path)
        }
    };
    let mut command = Command::new(path);
    forget_cargo(&mut command);
    command.current_dir(workspace_root()).stderr(Stdio::inherit());
    Ok(command)
}

/// Lets Cargo build the binary or example that these options name, and returns its path.
pub fn build(what: &[&str]) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_cargo(&mut cargo);
    cargo
        .current_dir(workspace_root())
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(what)
        .stderr(Stdio::inherit());
    let messages = run(&mut cargo)?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    // The target itself comes after everything that it depends on.
    let built = messages.lines().filter_map(executable).next_back();
    built.with_context(|| format!("cargo built no executable of {what:?}"))
}

/// Removes the environment variables with which `cargo test` describes its own package. Build scripts of a nested cargo
/// run would take them for a change and build everything again.
fn forget_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let of_this_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if of_this_package.iter().any(|prefix| name.starts_with(prefix))
            || ["CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "LD_LIBRARY_PATH"].contains(&&*name)
        {
            command.env_remove(&*name);
        }
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    let program = command.get_program().display();
    ensure!(
        output.status.success(),
        "{program} ended with {}; what it said is above",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}
