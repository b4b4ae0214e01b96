//! Where things are: the root of the workspace, cargo itself, and the tools
//! built from it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Outcome, exec};

/// The names of the tools, which are also those of their packages.
pub(crate) const TOOLS: [&str; 6] = testkit::bins::TOOLS;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo, as it started this program, in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = testkit::bins::cargo();
    command.current_dir(root());
    command
}

/// The version all packages share.
pub(crate) fn version() -> Outcome<String> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array();
    packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "subnetcalc")
        .and_then(|package| package["version"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| "cargo metadata knows no package subnetcalc".to_owned())
}

/// What `cargo metadata` says of the workspace's own packages.
pub(crate) fn metadata() -> Outcome<Value> {
    let output = cargo()
        .args(["metadata", "--locked", "--no-deps", "--format-version=1"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo metadata: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))
}

/// The target directory.
pub(crate) fn target() -> Outcome<PathBuf> {
    let metadata = metadata()?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata names no target directory".to_owned())
}

/// The two ways the tools are built here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build; what `cargo test` uses too.
    Dev,
    /// What a user installs.
    Release,
}

/// The directory that holds the six tools.
#[derive(Debug)]
pub(crate) struct Bins {
    dir: PathBuf,
}

impl Bins {
    /// Builds the six and takes their place from cargo's messages.
    pub(crate) fn build(profile: Profile) -> Outcome<Self> {
        let mut command = cargo();
        // The same selection as the tests' own, so that nothing is built twice
        // with other features.
        command.args(["build", "--locked", "--workspace", "--bins"]);
        command.args(["--exclude", "xtask"]);
        command.arg("--message-format=json-render-diagnostics");
        if profile == Profile::Release {
            command.arg("--release");
        }
        eprintln!("+ {}", exec::shown(&command));
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot start cargo build: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo build: {}", output.status));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let places: Vec<PathBuf> = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
            .collect();
        let place = |tool: &str| places.iter().find(|path| path.ends_with(tool));
        if let Some(missing) = TOOLS.iter().find(|tool| place(tool).is_none()) {
            return Err(format!("cargo built no `{missing}`"));
        }
        // Cargo puts all final binaries of a profile into one directory.
        let first = TOOLS.iter().find_map(|tool| place(tool));
        first
            .and_then(|path| path.parent())
            .map(|dir| Self {
                dir: dir.to_path_buf(),
            })
            .ok_or_else(|| "cargo named no directory".to_owned())
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// One of the six.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A `PATH` with the tools before everything else.
    pub(crate) fn path(&self) -> Outcome<OsString> {
        let system = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.dir.clone()).chain(std::env::split_paths(&system));
        std::env::join_paths(all).map_err(|error| format!("PATH: {error}"))
    }
}

/// A fresh directory below the system's temporary one, removed when dropped.
pub(crate) fn scratch() -> Outcome<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("inetkit-")
        .tempdir()
        .map_err(|error| format!("cannot make a temporary directory: {error}"))
}
