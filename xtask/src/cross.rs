//! A cross compiler for the targets that `check-platforms` compiles for and `dist`
//! builds for.
//!
//! The standard library of each target is compiled from source. Debian's packages
//! contain a compiler with its sources (`rustc-web`, `rust-web-src`), which are
//! unpacked below the target directory and not installed, since they conflict with
//! rustup. The C compiler and linker for all targets is Zig, from the Python package
//! `ziglang`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use support::TaskResult;
use support::exec::{Exec, run_visible, which};
use support::workspace::{self, Compiler};

/// The targets, and the names of them that Zig knows.
pub(crate) const TARGETS: [(&str, &str); 5] = [
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

/// The compilers for Rust and C, unpacked below the target directory.
pub(crate) struct CrossCompiler {
    dir: PathBuf,
    /// The directory with the files of Debian's packages.
    root: PathBuf,
}

impl CrossCompiler {
    /// Downloads and unpacks the compilers, unless an earlier run has.
    pub(crate) fn unpacked() -> TaskResult<Self> {
        for program in ["apt-get", "apt-cache", "dpkg", "python3"] {
            if which(program).is_none() {
                return Err(format!(
                    "{program} is missing; the cross compiler needs a Debian system with Python"
                ));
            }
        }
        let dir = workspace::target()?.join("platforms");
        let root = dir.join("root");
        let compiler = Self {
            dir: dir.clone(),
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

    /// Returns the target directory of builds without linking.
    pub(crate) fn target_dir(&self) -> PathBuf {
        self.dir.join("target")
    }

    /// Returns the compiler for a target, which Zig calls `zig`.
    pub(crate) fn for_target(&self, target: &str, zig: &str) -> TaskResult<Compiler> {
        let variable = target.replace('-', "_");
        let cc = self.wrapper("cc", zig)?.into_os_string();
        let linker = format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase());
        let rustc = self.root.join("usr/bin/rustc").into_os_string();
        Ok(Compiler {
            cargo_args: vec!["-Zbuild-std=std,panic_abort".to_owned()],
            env: vec![
                ("RUSTC".to_owned(), rustc),
                ("RUSTC_BOOTSTRAP".to_owned(), OsString::from("1")),
                ("LD_LIBRARY_PATH".to_owned(), self.library_path().into()),
                (format!("CC_{variable}"), cc.clone()),
                (linker, cc),
                (
                    format!("AR_{variable}"),
                    self.wrapper("ar", zig)?.into_os_string(),
                ),
            ],
            // Zig links its own start files.
            rustc_flags: vec!["-Clink-self-contained=no".to_owned()],
            library: Some(self.root.clone()),
        })
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
