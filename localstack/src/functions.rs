//! Builds the functions' binaries and packs each as Lambda wants it: a zip that holds `bootstrap`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::instance::{local_dir, workspace};

/// A packed function.
#[derive(Clone, Debug)]
pub struct Package {
    /// Named after its content, so that a function with an unchanged binary is not updated.
    pub key: String,
    pub path: PathBuf,
}

/// Builds the binaries with Cargo, which reports its progress itself.
///
/// # Errors
/// When the build fails: Cargo has said why.
pub async fn build(
    binaries: &BTreeSet<String>,
    release: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(cargo);
    // The whole workspace, so that dependencies have the features they have in `cargo test` and are built once.
    command.current_dir(workspace()).args([
        "build",
        "--workspace",
        "--message-format=json-render-diagnostics",
    ]);
    command.args(release.then_some("--release"));
    // Removes the variables with which `cargo run` describes its package: build scripts would take them for a change,
    // and half of the dependencies would be built again.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    for binary in binaries {
        command.args(["--bin", binary]);
    }
    let mut cargo = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run cargo: install Rust from https://rustup.rs")?;

    let mut built = BTreeMap::new();
    let mut messages = BufReader::new(cargo.stdout.take().context("cargo has no stdout")?).lines();
    while let Some(message) = messages.next_line().await? {
        built.extend(executable(&message));
    }
    if !cargo.wait().await?.success() {
        bail!("the functions do not build: Cargo's errors are above");
    }
    if let Some(missing) = binaries.iter().find(|&binary| !built.contains_key(binary)) {
        bail!("Cargo built no binary {missing}");
    }
    Ok(built)
}

/// The binary that a message of Cargo is about.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    Some((message["target"]["name"].as_str()?.to_owned(), message["executable"].as_str()?.into()))
}

/// Packs every binary that has changed since it was last packed, on all cores at once.
pub fn pack(built: &BTreeMap<String, PathBuf>, release: bool) -> Result<BTreeMap<String, Package>> {
    let dir = local_dir().join("_functions").join(if release { "release" } else { "dev" });
    fs::create_dir_all(&dir)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs: Vec<_> = built.iter().collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .chunks(jobs.len().div_ceil(threads).max(1))
            .map(|share| {
                let dir = &dir;
                scope.spawn(move || {
                    let pack = |&(name, binary): &(&String, &PathBuf)| {
                        Ok((
                            name.clone(),
                            pack_one(name, binary, dir)
                                .with_context(|| format!("cannot pack {name}"))?,
                        ))
                    };
                    share.iter().map(pack).collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        let mut packages = BTreeMap::new();
        for worker in workers {
            packages.extend(worker.join().expect("packing does not panic")?);
        }
        Ok(packages)
    })
}

fn pack_one(name: &str, binary: &Path, dir: &Path) -> Result<Package> {
    let path = dir.join(format!("{name}.zip"));
    let key_file = dir.join(format!("{name}.key"));
    let modified = fs::metadata(binary)?.modified()?;
    // The key's file carries the time of the binary: Cargo may put an older build in its place.
    if fs::metadata(&key_file).and_then(|file| file.modified()).ok() != Some(modified) {
        // Other instances may pack the same binary at this moment.
        let temporary = dir.join(format!("{name}.{}", std::process::id()));
        let packed = stripped(binary, &temporary).and_then(|bootstrap| zip(&bootstrap))?;
        fs::write(&temporary, &packed)?;
        fs::rename(&temporary, &path)?;
        let mut file = File::create(&temporary)?;
        write!(file, "functions/{name}-{}.zip", content_hash(&packed))?;
        file.set_modified(modified)?;
        fs::rename(&temporary, &key_file)?;
    }
    Ok(Package { key: fs::read_to_string(key_file)?, path })
}

/// The binary without symbols, which are most of a debug build and no use on the local cloud.
fn stripped(binary: &Path, temporary: &Path) -> Result<Vec<u8>> {
    let strip =
        Command::new("strip").arg("-o").arg(temporary).arg(binary).stderr(Stdio::null()).status();
    // Without `strip`, packing only takes longer.
    let smaller = strip.is_ok_and(|status| status.success());
    Ok(fs::read(if smaller { temporary } else { binary })?)
}

fn zip(bootstrap: &[u8]) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    // The fastest level, because the zip is unpacked on the same machine. No time stamp, so that equal binaries make
    // equal zips.
    let options = SimpleFileOptions::default().compression_level(Some(1)).unix_permissions(0o755);
    zip.start_file("bootstrap", options)?;
    zip.write_all(bootstrap)?;
    Ok(zip.finish()?.into_inner())
}

/// A hash of a content, for keys.
pub fn content_hash(content: &[u8]) -> String {
    hex::encode(&Sha256::digest(content)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_binaries_name_one() {
        let bin = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"get-item"},"executable":"/t/get-item"}"#;
        let lib = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"orders"},"executable":null}"#;
        assert_eq!(executable(bin), Some(("get-item".to_owned(), "/t/get-item".into())));
        assert_eq!(executable(lib), None);
        assert_eq!(executable("warning: not JSON"), None);
    }

    #[test]
    fn equal_binaries_make_equal_zips_with_an_executable_bootstrap() {
        let packed = zip(b"#!/bin/sh").unwrap();
        assert_eq!(packed, zip(b"#!/bin/sh").unwrap());
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(packed)).unwrap();
        assert_eq!(archive.by_name("bootstrap").unwrap().unix_mode().unwrap() & 0o777, 0o755);
    }
}
