//! All six tools on one `PATH`, for tests that combine them in a shell script.
//!
//! A test of a single tool gets the path of its binary from cargo
//! (`env!("CARGO_BIN_EXE_ping")`). Cargo sets that variable only for the package
//! of the binary, so tests of several tools build them once per process and
//! take the paths from cargo's messages. `TESTKIT_BIN_DIR=DIR` names a directory
//! with the tools instead, to test installed or packaged binaries.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Tool;

/// The names of the tools.
pub const TOOLS: [&str; 6] = [
    "httpget",
    "ping",
    "resolve",
    "subnetcalc",
    "tcpecho-client",
    "tcpecho-server",
];

/// The packages with the programs for development tasks, and their library.
pub const TASKS: [&str; 5] = [
    "inetkit-bench",
    "inetkit-interop",
    "inetkit-pictures",
    "xtask",
    "xtask-support",
];

/// Returns a directory that contains all six tools, freshly built.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = std::env::var_os("TESTKIT_BIN_DIR").map_or_else(build, PathBuf::from);
        for name in TOOLS {
            let path = dir.join(name);
            assert!(path.exists(), "{} is missing", path.display());
        }
        dir
    })
}

/// Returns the tool with this name.
pub fn tool(name: &str) -> Tool {
    Tool::new(dir().join(name))
}

/// Returns a `bash` script with `pipefail` set and the tools first on its `PATH`.
pub fn bash(script: &str) -> Tool {
    bash_plain(&format!("set -o pipefail\n{script}"))
}

/// Returns a `bash` script without any option set, as at a prompt.
pub fn bash_plain(script: &str) -> Tool {
    shell("bash", script)
}

/// Returns a script for the system's `sh`, with the tools first on its `PATH`.
pub fn sh(script: &str) -> Tool {
    shell("sh", script)
}

fn shell(name: &str, script: &str) -> Tool {
    Tool::new(name).args(["-c", script]).env("PATH", path())
}

/// Returns the directory of the tools followed by the system's `PATH`.
pub fn path() -> OsString {
    let system = crate::cmd::system_path();
    let all = std::iter::once(dir().to_path_buf()).chain(std::env::split_paths(&system));
    std::env::join_paths(all).expect("join a PATH without colons in its directories")
}

/// Returns a command that runs cargo without the variables that `cargo run` and
/// `cargo test` set for the package they run. Some build scripts (ring's) run
/// again when one of these changes, so inner and outer cargo would keep
/// rebuilding the crates of each other.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds the tools and returns their directory.
fn build() -> PathBuf {
    let mut command = cargo();
    command
        .args(["build", "--locked", "--workspace", "--bins"])
        .args(TASKS.iter().flat_map(|task| ["--exclude", task]))
        .arg("--message-format=json")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().expect("run cargo");
    assert!(
        output.status.success(),
        "cargo build failed: {}",
        output.status
    );
    let text = String::from_utf8(output.stdout).expect("read cargo's messages as UTF-8");
    let dirs: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| TOOLS.contains(&name))
        })
        .filter_map(|path| path.parent().map(Path::to_path_buf))
        .collect();
    // Cargo puts all final binaries of a profile into one directory.
    let first = dirs
        .first()
        .expect("find an executable in cargo's messages")
        .clone();
    assert!(dirs.iter().all(|dir| *dir == first), "{dirs:?}");
    first
}
