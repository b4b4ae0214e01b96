//! `cargo xtask check-platforms [TARGET]...`: compiles the tools for the platforms of
//! `docs/platforms.md` without running them.
//!
//! The standard library of each target is compiled from source. Debian's packages
//! contain a compiler with its sources (`rustc-web`, `rust-web-src`), which are
//! unpacked below the target directory and not installed, since they conflict with
//! rustup. The C compiler for all targets is Zig, from the Python package `ziglang`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::TaskResult;
use support::exec::{Exec, run_visible, which};
use support::workspace::{self, TASKS, cargo};

use crate::USAGE;

/// The targets, and the names of them that Zig knows.
const TARGETS: [(&str, &str); 5] = [
    ("x86_64-unknown-linux-musl", "x86_64-linux-musl"),
    ("aarch64-unknown-linux-musl", "aarch64-linux-musl"),
    ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu"),
    ("x86_64-apple-darwin", "x86_64-macos"),
    ("x86_64-unknown-freebsd", "x86_64-freebsd"),
];

/// The packages of Debian with the compiler and the sources of its library.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

/// The version of the Python package with the C compiler.
const ZIG: &str = "ziglang==0.17.1";

/// Compiles the tools for all targets, or for the named ones.
pub(crate) fn run(args: &[String]) -> TaskResult {
    if let Some(unknown) = args
        .iter()
        .find(|arg| !TARGETS.iter().any(|(target, _)| target == arg))
    {
        let names = TARGETS.map(|(target, _)| target).join(", ");
        return Err(format!("unknown target {unknown}; known: {names}\n{USAGE}"));
    }
    for program in ["apt-get", "apt-cache", "dpkg", "python3"] {
        if which(program).is_none() {
            return Err(format!(
                "{program} is missing; this check needs a Debian system with Python"
            ));
        }
    }
    let dir = workspace::target()?.join("platforms");
    let compiler = Compiler::unpacked_in(&dir)?;
    let mut failed = Vec::new();
    for (target, zig) in TARGETS {
        if !args.is_empty() && !args.iter().any(|arg| arg == target) {
            continue;
        }
        match compiler.check(target, zig) {
            Ok(()) => println!("{target}: ok"),
            Err(error) => {
                println!("{target}: {error}");
                failed.push(target);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("does not compile for {}", failed.join(", ")))
    }
}

/// The compilers for Rust and C, unpacked below the target directory.
struct Compiler {
    dir: PathBuf,
    /// The directory with the files of Debian's packages.
    root: PathBuf,
}

impl Compiler {
    /// Downloads and unpacks the compilers, unless an earlier run has.
    fn unpacked_in(dir: &Path) -> TaskResult<Self> {
        let root = dir.join("root");
        let compiler = Self {
            dir: dir.to_path_buf(),
            root: root.clone(),
        };
        if dir.join("ready").exists() {
            return Ok(compiler);
        }
        let debs = dir.join("debs");
        for dir in [&root, &debs] {
            fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        run_visible(
            Command::new("apt-get")
                .arg("download")
                .args(package_names()?)
                .current_dir(&debs),
        )?;
        for file in fs::read_dir(&debs).map_err(|error| error.to_string())? {
            let file = file.map_err(|error| error.to_string())?.path();
            run_visible(Command::new("dpkg").arg("-x").arg(file).arg(&root))?;
        }
        let venv = dir.join("venv");
        run_visible(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run_visible(Command::new(venv.join("bin/pip")).args(["install", "--quiet", ZIG]))?;
        fs::write(dir.join("ready"), "").map_err(|error| error.to_string())?;
        Ok(compiler)
    }

    /// Compiles the packages of the tools for a target, without linking.
    fn check(&self, target: &str, zig: &str) -> TaskResult {
        let variable = target.replace('-', "_");
        let mut command = cargo();
        command
            .args(["check", "--locked", "--workspace", "--keep-going"])
            .args(["--exclude", "inetkit-testkit"])
            .args(TASKS.iter().flat_map(|task| ["--exclude", task]))
            .args(["--target", target, "-Zbuild-std=std,panic_abort"])
            .arg("--target-dir")
            .arg(self.dir.join("target"))
            .env("RUSTC", self.root.join("usr/bin/rustc"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("LD_LIBRARY_PATH", self.library_path())
            .env(format!("CC_{variable}"), self.wrapper("cc", zig)?)
            .env(format!("AR_{variable}"), self.wrapper("ar", zig)?);
        run_visible(&mut command)
    }

    /// Returns the directories with the libraries of the compiler.
    fn library_path(&self) -> String {
        let dirs = fs::read_dir(self.root.join("usr/lib"))
            .into_iter()
            .flatten();
        let llvm = dirs
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains("/llvm-"))
            .map(|path| path.join("lib"));
        std::iter::once(self.root.join("usr/lib/x86_64-linux-gnu"))
            .chain(llvm)
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(":")
    }

    /// Writes a script that runs Zig as a C compiler or archiver, and returns its
    /// path. Zig does not know the names of targets that the crate `cc` passes.
    fn wrapper(&self, tool: &str, zig: &str) -> TaskResult<PathBuf> {
        let python = self.dir.join("venv/bin/python");
        let script = if tool == "cc" {
            format!(
                "#!/bin/bash\nargs=()\nfor arg; do\n    case $arg in\n    \
                 --target=*|-m64|-mmacos*-version-min=*) ;;\n    *) args+=(\"$arg\") ;;\n    \
                 esac\ndone\nexec {} -m ziglang cc -target {zig} \"${{args[@]}}\"\n",
                python.display()
            )
        } else {
            format!(
                "#!/bin/sh\nexec {} -m ziglang ar \"$@\"\n",
                python.display()
            )
        };
        let path = self.dir.join(format!("{tool}-{zig}"));
        fs::write(&path, script)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// Returns the names of Debian's packages, with the libraries that the compiler needs.
fn package_names() -> TaskResult<Vec<String>> {
    let mut names = PACKAGES.map(str::to_owned).to_vec();
    for start in ["libstd-rust-web-", "libllvm"] {
        let depends = Exec::new(
            "apt-cache",
            ["depends"]
                .into_iter()
                .chain(names.iter().map(String::as_str)),
        )
        .text()?;
        let library = depends
            .split_whitespace()
            .find(|word| word.starts_with(start) && word.ends_with(char::is_numeric))
            .ok_or_else(|| format!("Debian's compiler depends on no {start}*"))?;
        names.push(library.to_owned());
    }
    Ok(names)
}
