//! The local cloud process: `cloud/launch.py` in the Python environment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::{Request, StatusCode};
use rustix::process::{Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::http::Http;
use crate::instance::{Instance, REGION, as_pid, workspace};
use crate::proxy::Apis;

const READY_WITHIN: Duration = Duration::from_secs(300);
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// The cloud and, in one process group with it, every function it started.
pub struct Cloud {
    process: Child,
    state: PathBuf,
    pub pid: u32,
    pub endpoint: String,
}

impl Cloud {
    /// Starts an empty cloud on 127.0.0.1 and waits until it answers.
    ///
    /// # Errors
    /// When it ends or stays silent: with the last lines of its log.
    pub async fn start(
        instance: &Instance,
        python: &Path,
        port: u16,
        faults: bool,
    ) -> Result<Self> {
        let state = instance.path("cloud");
        // The state of a cloud that was killed is incomplete, and deploying to a fresh cloud takes only seconds.
        let _ = fs::remove_dir_all(&state);
        let log_path = instance.path("cloud.log");
        let log = File::create(&log_path)?;

        let mut command = Command::new(python);
        command
            .arg(workspace().join("localstack/cloud/launch.py"))
            .args(["--port", &port.to_string(), "--region", REGION, "--state-dir"])
            .arg(&state)
            .arg("--apis")
            .arg(instance.path(Apis::FILE))
            .args(["--parent-pid", &std::process::id().to_string()])
            .args(faults.then_some("--faults"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let process = command.spawn().context("cannot start the local cloud")?;
        let pid = process.id().context("the local cloud ended at once")?;
        let mut cloud = Self { process, state, pid, endpoint: format!("http://127.0.0.1:{port}") };
        if let Err(error) = cloud.ready().await {
            cloud.stop().await;
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(8).collect();
            let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(error.context(format!("{last}\n(all of it: {})", log_path.display())));
        }
        Ok(cloud)
    }

    async fn ready(&mut self) -> Result<()> {
        let url = format!("{}/_ministack/ready", self.endpoint);
        let http = Http::new();
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("the local cloud ended ({status}) before it was ready");
            }
            let asked = http.send(Request::get(&url), Vec::new());
            let asked = tokio::time::timeout(Duration::from_secs(10), asked).await;
            if asked.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == StatusCode::OK))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the local cloud was not ready within {} s", READY_WITHIN.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the cloud ends; normally it does not.
    pub async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends the cloud and everything that it started.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout(STOPS_WITHIN, self.process.wait()).await;
        // Kills functions that are still running, or the whole cloud if it did not stop.
        self.signal(Signal::KILL);
        let _ = self.process.wait().await;
        // The functions' code is most of the data; the log stays.
        let _ = fs::remove_dir_all(&self.state);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = as_pid(self.pid) {
            // Nothing is left of the group when all went well.
            let _ = kill_process_group(group, signal);
        }
    }
}
