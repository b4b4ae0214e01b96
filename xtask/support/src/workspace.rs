//! The root of the workspace, cargo and its metadata, and the built tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{TaskResult, exec};

/// The names of the tools and of their packages.
pub const TOOLS: [&str; 6] = testkit::bins::TOOLS;

/// The packages of development tasks, which are not part of a build of the tools.
pub const TASKS: [&str; 5] = testkit::bins::TASKS;

/// Returns the root directory of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Returns a command for the cargo that started this program, in the root of the
/// workspace.
pub fn cargo() -> Command {
    let mut command = testkit::bins::cargo();
    command.current_dir(root());
    command
}

/// Returns the version that all packages share.
pub fn version() -> TaskResult<String> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array();
    packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "subnetcalc")
        .and_then(|package| package["version"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| "cargo metadata has no package subnetcalc".to_owned())
}

/// Returns the output of `cargo metadata` for the packages of the workspace.
pub fn metadata() -> TaskResult<Value> {
    let output = cargo()
        .args(["metadata", "--locked", "--no-deps", "--format-version=1"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo metadata: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))
}

/// Returns the packages from the registry that the six tools link, as `cargo
/// metadata` describes them, in the order of their names.
pub fn dependencies() -> TaskResult<Vec<Value>> {
    let mut tree = cargo();
    tree.args([
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
    ]);
    for tool in TOOLS {
        tree.args(["--package", tool]);
    }
    let output = tree.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start cargo tree: {error}"))?;
    let linked = String::from_utf8_lossy(&output.stdout).into_owned();
    let output = cargo()
        .args(["metadata", "--locked", "--format-version=1"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo metadata: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let is_linked = |package: &&Value| {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let line = format!("{} v{}", text("name"), text("version"));
        package["source"].is_string()
            && linked.lines().any(|other| {
                other
                    .trim_end_matches(" (*)")
                    .trim_end_matches(" (proc-macro)")
                    == line
            })
    };
    let mut packages: Vec<Value> = packages.filter(is_linked).cloned().collect();
    packages.sort_by_key(|package| package["id"].as_str().unwrap_or_default().to_owned());
    Ok(packages)
}

/// Returns the target directory of cargo.
pub fn target() -> TaskResult<PathBuf> {
    let metadata = metadata()?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata has no target directory".to_owned())
}

/// The cargo profile of a build of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The profile of `cargo test`, fast to build.
    Dev,
    /// The profile of an installation.
    Release,
}

/// Returns a `cargo build` of the tools. The tests select the same packages, so that
/// nothing is built twice with other features.
fn cargo_build() -> Command {
    let mut command = cargo();
    command.args(["build", "--locked", "--workspace", "--bins"]);
    for task in TASKS {
        command.args(["--exclude", task]);
    }
    command.arg("--message-format=json-render-diagnostics");
    command
}

/// Returns the directory in which cargo keeps the sources of dependencies.
fn cargo_home() -> TaskResult<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let default = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    set.or_else(default)
        .ok_or_else(|| "neither CARGO_HOME nor HOME is set".to_owned())
}

/// A compiler other than cargo's default. The default value is cargo's own.
#[derive(Debug, Default)]
pub struct Compiler {
    /// Further arguments of `cargo build`.
    pub cargo_args: Vec<String>,
    /// The environment variables to set for cargo.
    pub env: Vec<(String, OsString)>,
    /// Further flags of rustc.
    pub rustc_flags: Vec<String>,
    /// The directory with the sources of the standard library, if it is compiled too.
    pub library: Option<PathBuf>,
}

/// A directory that contains the six tools.
#[derive(Debug)]
pub struct Bins {
    dir: PathBuf,
}

impl Bins {
    /// Returns the tools of a directory that has all six.
    pub fn in_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Builds the tools and finds them through cargo's messages.
    pub fn build(profile: Profile) -> TaskResult<Self> {
        let mut command = cargo_build();
        if profile == Profile::Release {
            command.arg("--release");
        }
        Self::built_by(&mut command)
    }

    /// Builds the tools of a release for a target, in a target directory of their
    /// own, with cargo's compiler or another one. The binaries contain no paths of this
    /// machine.
    pub fn build_for_release(triple: &str, compiler: &Compiler) -> TaskResult<Self> {
        let (mut rustc_flags, mut c_flags) = (compiler.rustc_flags.clone(), Vec::new());
        let mut paths = vec![(cargo_home()?, "/cargo"), (root(), "/inetkit")];
        // The last match of a path applies, and the library's sources may lie below
        // the root.
        paths.extend(compiler.library.clone().map(|path| (path, "/rust")));
        for (path, name) in paths {
            let path = path.display();
            rustc_flags.push(format!("--remap-path-prefix={path}={name}"));
            c_flags.push(format!("-ffile-prefix-map={path}={name}"));
        }
        let mut command = cargo_build();
        command
            .args(["--release", "--target", triple, "--target-dir"])
            .arg(target()?.join("dist"))
            .args(&compiler.cargo_args)
            .env("CARGO_ENCODED_RUSTFLAGS", rustc_flags.join("\x1f"))
            .env("CFLAGS", c_flags.join(" "))
            .envs(compiler.env.iter().map(|(key, value)| (key, value)));
        Self::built_by(&mut command)
    }

    /// Runs a `cargo build`, and returns the directory with the binaries.
    fn built_by(command: &mut Command) -> TaskResult<Self> {
        eprintln!("+ {}", exec::command_text(command));
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot start cargo build: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo build: {}", output.status));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let paths: Vec<PathBuf> = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
            .collect();
        let find = |tool: &str| paths.iter().find(|path| path.ends_with(tool));
        if let Some(missing) = TOOLS.iter().find(|tool| find(tool).is_none()) {
            return Err(format!("cargo did not build `{missing}`"));
        }
        // Cargo puts all final binaries of a profile into one directory.
        let first = TOOLS.iter().find_map(|tool| find(tool));
        first
            .and_then(|path| path.parent())
            .map(|dir| Self {
                dir: dir.to_path_buf(),
            })
            .ok_or_else(|| "cargo's messages contain no directory".to_owned())
    }

    /// Returns the directory of the tools.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of a tool.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns a `PATH` with the tools first.
    pub fn path(&self) -> TaskResult<OsString> {
        let system = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.dir.clone()).chain(std::env::split_paths(&system));
        std::env::join_paths(all).map_err(|error| format!("PATH: {error}"))
    }
}

/// Creates a temporary directory, which is removed when the value is dropped.
pub fn scratch() -> TaskResult<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("inetkit-")
        .tempdir()
        .map_err(|error| format!("cannot create a temporary directory: {error}"))
}
