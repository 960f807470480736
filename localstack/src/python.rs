//! The Python environment of the local cloud: a venv with exactly the packages of `cloud/requirements.txt`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::instance::{local_dir, workspace};
use crate::progress::Step;

/// Prints the version as `major.minor`, and fails where `venv` cannot work.
const PROBE: &str = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";
const OLDEST: (u32, u32) = (3, 10);

/// The interpreter of the environment; made on first use and again when the requirements change.
///
/// # Errors
/// When there is no suitable Python, or its packages cannot be installed: the message says what to do.
pub async fn environment() -> Result<PathBuf> {
    let requirements = workspace().join("localstack/cloud/requirements.txt");
    let text = fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    // Named after the requirements, so that an instance that still runs on other requirements keeps its environment.
    let venv = local_dir().join(format!("_venv-{}", &hex::encode(Sha256::digest(text))[..12]));
    let python = venv.join("bin/python");
    let complete = venv.join("complete");

    let turn = File::create(local_dir().join("_venv.lock"))?;
    turn.lock()?;
    if complete.exists() && version_of(&python).await.is_ok() {
        return Ok(python);
    }
    let base = find_python().await?;
    let step = Step::start("Installing the local cloud's Python packages");
    let _ = fs::remove_dir_all(&venv);
    let mut make = Command::new(&base);
    make.args(["-m", "venv"]).arg(&venv);
    step.ticking(run(make)).await.context("cannot make a Python venv")?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--require-hashes", "--requirement"])
        .arg(&requirements);
    step.ticking(run(install)).await.context(
        "pip could not install the local cloud's packages: see that the network reaches PyPI \
         (or set PIP_INDEX_URL to a mirror), then run this again",
    )?;
    fs::write(&complete, "")?;
    step.done("installed");
    Ok(python)
}

async fn find_python() -> Result<String> {
    let asked = std::env::var("PYTHON").ok();
    let names =
        ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];
    let mut seen = Vec::new();
    for name in asked.as_deref().into_iter().chain(names) {
        match version_of(Path::new(name)).await {
            Ok(version) if version >= OLDEST => return Ok(name.to_owned()),
            Ok((major, minor)) => seen.push(format!("{name} is {major}.{minor}")),
            Err(Unfit::Lacking(what)) => seen.push(format!("{name} lacks {what}")),
            Err(Unfit::Absent) => {}
        }
    }
    let seen = if seen.is_empty() { "found none".to_owned() } else { seen.join(", ") };
    bail!(
        "the local cloud needs Python >= 3.10 with venv ({seen}): install it (Debian, Ubuntu: `apt install \
         python3-venv`; macOS: `brew install python3`), or set PYTHON to one"
    )
}

#[derive(Debug)]
enum Unfit {
    Absent,
    Lacking(String),
}

async fn version_of(python: &Path) -> Result<(u32, u32), Unfit> {
    let probe =
        Command::new(python).args(["-c", PROBE]).output().await.map_err(|_| Unfit::Absent)?;
    let answer = String::from_utf8_lossy(&probe.stdout);
    if !probe.status.success() {
        let error = String::from_utf8_lossy(&probe.stderr);
        return Err(Unfit::Lacking(missing_module(&error).unwrap_or("something").to_owned()));
    }
    parse_version(&answer).ok_or(Unfit::Absent)
}

fn parse_version(answer: &str) -> Option<(u32, u32)> {
    let (major, minor) = answer.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The module in Python's `ModuleNotFoundError: No module named 'ensurepip'`.
fn missing_module(error: &str) -> Option<&str> {
    error.rsplit_once("No module named '")?.1.split('\'').next()
}

/// Runs a silent command.
///
/// # Errors
/// When it fails: with the last lines it said.
pub(crate) async fn run(mut command: Command) -> Result<()> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {name}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        bail!("{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_not_by_text() {
        assert!(parse_version("3.9\n").unwrap() < OLDEST);
        assert!(parse_version("3.14\n").unwrap() > OLDEST);
        assert_eq!(parse_version("three"), None);
    }

    #[test]
    fn a_python_without_venv_says_which_module_it_lacks() {
        let error = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'ensurepip'\n";
        assert_eq!(missing_module(error), Some("ensurepip"));
    }
}
