//! A real Apache Kafka: one broker on 127.0.0.1, in KRaft mode. Its packages come from Maven Central with
//! `kafka/pom.xml`; to use a broker that runs already, set `KAFKA_BOOTSTRAP_SERVERS`.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process_group};
use sha2::{Digest, Sha256};
use tokio::process::{Child, ChildStdin, Command};

use crate::instance::{as_pid, local_dir, workspace};
use crate::progress::Step;
use crate::python::run;

/// Names brokers to use instead of starting one.
pub const BROKERS: &str = "KAFKA_BOOTSTRAP_SERVERS";

const OLDEST_JAVA: u32 = 17;
const READY_WITHIN: Duration = Duration::from_secs(300);

/// Any id of 16 bytes will do.
const CLUSTER_ID: &str = "dHJhY2tvcHMtbG9jYWwtMQ";

/// Runs the given command and ends with it. When the process that started this one has ended in any way, its end of the
/// pipe closes, and the command is killed.
const WHILE_STDIN_IS_OPEN: &str = r#"exec 3<&0
"$@" </dev/null & child=$!
{ cat <&3 >/dev/null; kill -9 "$child"; } &
wait "$child""#;

/// # Errors
/// When a broker cannot be started here: the message says what is missing, and what to do instead.
pub async fn tools() -> Result<()> {
    let java = output("java", "-version").await;
    let java = java.as_deref().and_then(java_version);
    let maven = output("mvn", "--version").await;
    let missing = match (java, maven) {
        (Some(OLDEST_JAVA..), Some(_)) => return Ok(()),
        (Some(OLDEST_JAVA..), None) => "Maven is missing".to_owned(),
        (Some(old), _) => format!("Java is {old}"),
        (None, _) => "Java is missing".to_owned(),
    };
    bail!(
        "Apache Kafka needs Java {OLDEST_JAVA} or later and Maven, and {missing}: install them (Debian, Ubuntu: `apt install \
         openjdk-17-jre-headless maven`; macOS: `brew install openjdk maven`), or name a broker of your own in \
         {BROKERS}; localstack/compose.yaml has one for Docker"
    );
}

async fn output(program: &str, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    let done = command.arg(argument).stdin(Stdio::null()).output().await.ok()?;
    let said = [done.stdout, done.stderr].concat();
    done.status.success().then(|| String::from_utf8_lossy(&said).into_owned())
}

/// The 17 of `openjdk version "17.0.15" 2025-04-15`.
fn java_version(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("version \"")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The folder of the broker's jars; fetched on first use and again when `pom.xml` changes.
pub async fn packages() -> Result<PathBuf> {
    tools().await?;
    let pom = workspace().join("localstack/kafka/pom.xml");
    let text = fs::read(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let jars = local_dir().join(format!("_kafka-{}", &hex::encode(Sha256::digest(text))[..12]));
    let complete = jars.join("complete");

    fs::create_dir_all(local_dir())?;
    let turn = File::create(local_dir().join("_kafka.lock"))?;
    turn.lock()?;
    if complete.exists() {
        return Ok(jars);
    }
    let step = Step::start("Fetching Apache Kafka");
    let _ = fs::remove_dir_all(&jars);
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "--strict-checksums", "--file"]).arg(&pom);
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-DoutputDirectory={}", jars.display()));
    step.ticking(run(maven)).await.context(
        "Maven could not fetch Apache Kafka: see that the network reaches Maven Central \
         (or set a mirror in ~/.m2/settings.xml), then run this again",
    )?;
    fs::write(&complete, "")?;
    step.done("fetched");
    Ok(jars)
}

/// Like [`packages`], for tests on a real Kafka: `None` where no Kafka can run, with a message that nobody can miss.
///
/// # Panics
/// When `TRACKOPS_KAFKA_TESTS=required` forbids to skip them.
pub async fn packages_for_tests() -> Option<PathBuf> {
    let missing = match tools().await {
        Ok(()) => return Some(packages().await.expect("Apache Kafka is fetched")),
        Err(missing) => missing,
    };
    let required = std::env::var("TRACKOPS_KAFKA_TESTS").is_ok_and(|value| value == "required");
    assert!(!required, "the tests on a real Kafka must run here: {missing}");
    // Not with `eprintln!`, whose output the test runner hides when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED, a test on a real Kafka: {missing}");
    None
}

pub struct Broker {
    process: Child,
    /// Our end of the pipe. It is not left in `process`, because waiting for the process would close it.
    open: Option<ChildStdin>,
    packages: PathBuf,
    dir: PathBuf,
    /// The address for clients.
    pub bootstrap: String,
}

impl Broker {
    /// Starts an empty broker whose data is under `dir`.
    ///
    /// # Errors
    /// When it ends or stays silent: with the last lines of its log.
    pub async fn start(packages: &Path, dir: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        // Both ports are taken at once, so that they are not the same.
        let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [clients, controller] = [free[0].local_addr()?, free[1].local_addr()?];
        drop(free);
        let settings = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@{controller}\n\
             listeners=PLAINTEXT://{clients},CONTROLLER://{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\n",
            dir.join("data").display()
        );
        fs::write(dir.join("server.properties"), settings)?;
        let mut format = java(packages, "kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", CLUSTER_ID, "--config"]);
        format.arg(dir.join("server.properties"));
        run(format).await.context("cannot prepare the broker's folder")?;
        let mut process = spawn(packages, &dir)?;
        let open = process.stdin.take();
        let (packages, bootstrap) = (packages.to_owned(), clients.to_string());
        let mut broker = Self { process, open, packages, dir, bootstrap };
        broker.ready().await?;
        let _ = writeln!(std::io::stderr(), "Apache Kafka runs at {}", broker.bootstrap);
        Ok(broker)
    }

    /// Starts the broker again after [`Self::kill`]: on the same port, with the same data.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = spawn(&self.packages, &self.dir)?;
        self.open = self.process.stdin.take();
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let log = self.dir.join("broker.log");
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("Kafka Server started") {
                return Ok(());
            }
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let last: Vec<&str> = said.lines().rev().take(8).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                bail!("Apache Kafka did not start:\n{last}\n(all of it: {})", log.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the broker ends; normally it does not.
    pub async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    pub async fn kill(&mut self) {
        if let Some(group) = self.process.id().and_then(as_pid) {
            // Nothing is left of the group when it ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.open = None;
        let _ = self.process.wait().await;
    }

    /// Ends the broker and removes its data.
    pub async fn stop(mut self) {
        self.kill().await;
        let _ = fs::remove_dir_all(self.dir.join("data"));
    }
}

fn spawn(packages: &Path, dir: &Path) -> Result<Child> {
    let log = File::create(dir.join("broker.log"))?;
    let mut java = java(packages, "kafka.Kafka");
    java.arg(dir.join("server.properties"));
    let mut command = Command::new("sh");
    command.args(["-c", WHILE_STDIN_IS_OPEN, "sh"]);
    command.arg(java.as_std().get_program()).args(java.as_std().get_args());
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).process_group(0);
    command.spawn().context("cannot start Apache Kafka")
}

/// A small heap and the quick compiler: the broker carries only some events, and should start quickly.
fn java(packages: &Path, class: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    java.arg("-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info");
    java.arg("-cp").arg(packages.join("*")).arg(class);
    java
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_java_is_its_first_number() {
        assert_eq!(java_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(java_version("java version \"1.8.0_402\"\n"), Some(1));
        assert_eq!(java_version("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(java_version("command not found"), None);
    }
}
