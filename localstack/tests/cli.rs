//! What `cargo local` prints, without a cloud.

// clippy.toml allows this in tests, but it cannot know that this whole file is tests and helpers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

fn cargo_local(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trackops-local"));
    command.args(["--instance", "printed"]).args(arguments).stdin(Stdio::null());
    command
}

/// The exit code when nobody reads stdout, and the text on stderr.
fn without_a_reader(arguments: &[&str]) -> (ExitStatus, String) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let output = cargo_local(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    for arguments in ["status", "--help"] {
        let (status, said) = without_a_reader(&[arguments]);
        assert!(status.success() && said.is_empty(), "{arguments}: {status}, {said}");
    }
}

#[test]
fn what_goes_wrong_is_an_error_even_where_nobody_reads() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let status = cargo_local(&["demo"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1), "not a panic, and no success");
}

#[test]
fn hints_name_the_instance() {
    let output = cargo_local(&["status"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("`cargo local --instance printed up`"), "{said}");
    for command in ["demo", "logs", "env", "seed"] {
        let output = cargo_local(&[command]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("`cargo local --instance printed up --detach`"), "{command}: {said}");
    }
}

/// Some hints appear only when something breaks, so the sources are checked too.
#[test]
fn no_message_names_a_command_without_its_instance() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for source in fs::read_dir(sources).unwrap() {
        let path = source.unwrap().path();
        // `Instance::command` is what makes them, and `cargo local --help` shows how to start.
        if path.ends_with("instance.rs") || path.ends_with("main.rs") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let code = !line.trim_start().starts_with("//");
            let names = line.contains("`cargo local") || line.contains("cargo local {");
            assert!(!(code && names), "{}: use Instance::command: {line}", path.display());
        }
    }
}
