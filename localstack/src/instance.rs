//! An instance: one local cloud with TrackOps on it, and its files under `target/local/<name>/`.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::note;

/// The region of every local cloud.
pub const REGION: &str = "eu-central-1";
/// The name of the stack. Each instance has its own cloud, so the name is never taken.
pub const STACK: &str = "trackops";

/// The addresses of everything; the output of `up --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The AWS endpoint of the local cloud.
    pub endpoint: String,
    pub orders: String,
    pub inventory: String,
    pub relay: String,
    pub payments: String,
    pub region: String,
    pub stack: String,
    pub issuer: String,
    /// The brokers, when Kafka is the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<String>,
}

/// What the keeper process writes to its file when everything that it serves is up.
#[derive(Debug, Serialize, Deserialize)]
pub struct Running {
    pub pid: u32,
    pub cloud_pid: u32,
    pub faults: bool,
    pub endpoints: Endpoints,
}

/// The processes that need the instance: it stops when all of `pids` have ended, unless it runs until `down`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders {
    pub pids: Vec<u32>,
    pub until_down: bool,
}

impl Holders {
    pub fn any_left(&self) -> bool {
        self.until_down || self.pids.iter().any(|&pid| is_alive(pid))
    }
}

#[derive(Clone, Debug)]
pub struct Instance {
    name: String,
    dir: PathBuf,
}

/// The root of the workspace this binary was built from.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("localstack/ is inside the workspace")
}

/// Where the runner keeps its files: one directory per instance. Shared directories begin with `_`; no instance can
/// have such a name.
pub fn local_dir() -> PathBuf {
    workspace().join("target/local")
}

impl Instance {
    /// # Errors
    /// When the name cannot be a directory's name, or the directory cannot be made.
    pub fn named(name: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(allowed) {
            bail!("instance name {name:?}: use 1 to 40 lower-case letters, digits and hyphens");
        }
        let dir = local_dir().join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self { name: name.to_owned(), dir })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command for this instance, as a hint shows it.
    pub fn command(&self, command: &str) -> String {
        match self.name.as_str() {
            "default" => format!("`cargo local {command}`"),
            name => format!("`cargo local --instance {name} {command}`"),
        }
    }

    /// A file or directory of this instance.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Waits until no other `up` works on this instance; dropping the result lets the next one in.
    pub async fn take_turn(&self) -> Result<File> {
        if let Some(turn) = self.try_turn()? {
            return Ok(turn);
        }
        note!("Another {} works on it; waiting for that ...", self.command("up"));
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Some(turn) = self.try_turn()? {
                return Ok(turn);
            }
        }
    }

    /// Like [`Self::take_turn`], but `None` when another `up` is working.
    pub fn try_turn(&self) -> Result<Option<File>> {
        try_lock(self.lock_file("up.lock")?)
    }

    /// The lock that a keeper holds as long as it lives, however it ends; `None` when a keeper is alive.
    pub fn try_keep(&self) -> Result<Option<File>> {
        try_lock(self.lock_file("keeper.lock")?)
    }

    /// The running instance; `None` when it is stopped, or only its files are left.
    pub fn running(&self) -> Result<Option<Running>> {
        if self.try_keep()?.is_some() {
            return Ok(None);
        }
        self.read("running.json")
    }

    /// # Errors
    /// When it is not running: the message says how to start it.
    pub fn expect_running(&self) -> Result<Running> {
        self.running()?
            .with_context(|| format!("not running: start it with {}", self.command("up --detach")))
    }

    pub fn holders(&self) -> Result<Holders> {
        Ok(self.read("holders.json")?.unwrap_or_default())
    }

    pub fn write_holders(&self, holders: &Holders) -> Result<()> {
        self.write("holders.json", holders)
    }

    /// Ends the keeper, and with it everything that it serves. Does nothing when it is not running.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(&self) -> Result<bool> {
        let Some(running) = self.running()? else {
            return Ok(false);
        };
        signal(running.pid, Signal::TERM);
        if !self.stopped_within(Duration::from_secs(60)).await? {
            signal(running.pid, Signal::KILL);
            if !self.stopped_within(Duration::from_secs(30)).await? {
                bail!("process {} does not end: end it with `kill -9 {0}`", running.pid);
            }
        }
        // If the keeper was killed, the cloud notices this by itself.
        wait_until(Duration::from_secs(60), || Ok(!is_alive(running.cloud_pid))).await?;
        Ok(true)
    }

    async fn stopped_within(&self, limit: Duration) -> Result<bool> {
        wait_until(limit, || Ok(self.try_keep()?.is_some())).await
    }

    /// `None` when there is no such file.
    pub fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        let path = self.path(file);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged: run {}", path.display(), self.command("down"))
            })?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file in one step, because other processes read it at any time.
    pub fn write(&self, file: &str, content: &impl Serialize) -> Result<()> {
        let temporary = self.path(&format!("{file}.new"));
        fs::write(&temporary, serde_json::to_vec_pretty(content)?)
            .and_then(|()| fs::rename(&temporary, self.path(file)))
            .with_context(|| format!("cannot write {}", self.path(file).display()))
    }

    fn lock_file(&self, file: &str) -> Result<File> {
        let path = self.path(file);
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

fn try_lock(file: File) -> Result<Option<File>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

pub fn is_alive(pid: u32) -> bool {
    // A process of another user refuses the signal, and is alive.
    as_pid(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH)) && !is_zombie(pid)
}

/// A zombie: the process has ended, but its parent has not waited for it. In a container this may last
/// (proc_pid_stat(5)).
fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z')))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = as_pid(pid) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

pub fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Polls until `holds`; false when it still does not at the deadline.
pub async fn wait_until(limit: Duration, holds: impl Fn() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        if holds()? {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_name_cannot_leave_its_directory() {
        for name in ["", "..", "a/b", "A", "a b"] {
            assert!(Instance::named(name).is_err(), "{name:?} was taken");
        }
    }

    #[test]
    fn a_hint_names_the_instance_that_it_is_about() {
        let hint = |name| Instance::named(name).unwrap().command("logs --follow");
        assert_eq!(hint("default"), "`cargo local logs --follow`");
        assert_eq!(hint("test"), "`cargo local --instance test logs --follow`");
    }

    #[test]
    fn a_process_that_ended_is_not_alive_even_before_its_parent_asks() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let deadline = Instant::now() + Duration::from_secs(120);
        while is_alive(pid) {
            assert!(Instant::now() < deadline, "waited for `true` to end");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn an_instance_goes_on_while_one_holder_lives() {
        let dead = u32::MAX >> 1;
        let holders = |pids: &[u32], until_down| Holders { pids: pids.to_vec(), until_down };
        assert!(holders(&[dead, std::process::id()], false).any_left());
        assert!(holders(&[dead], true).any_left());
        assert!(!holders(&[dead], false).any_left());
    }
}
