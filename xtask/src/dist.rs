//! `cargo xtask dist`: builds a tarball in `dist/` for the host target.
//!
//! ```text
//! inetkit-VERSION-TARGET/
//!   bin/        the six tools, stripped
//!   man/        TOOL.1
//!   completions/bash|zsh|fish/...
//!   README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE
//! ```
//!
//! `SHA256SUMS` next to it contains the digest of the tarball. Owners, order and
//! times are fixed, so the same sources and compiler produce the same file.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::exec::{Exec, run_visible};
use crate::workspace::{self, Bins, Profile, TOOLS, root};
use crate::{Outcome, no_arguments};

/// Returns the name of the completion file of a tool.
type FileName = fn(&str) -> String;

/// The shells with the names of their completion files.
const SHELLS: [(&str, FileName); 3] = [
    ("bash", |tool| tool.to_owned()),
    ("zsh", |tool| format!("_{tool}")),
    ("fish", |tool| format!("{tool}.fish")),
];

/// Builds the tools, collects the files and packs them.
pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let bins = Bins::build(Profile::Release)?;
    let name = format!("inetkit-{}-{}", workspace::version()?, host()?);
    let dist = root().join("dist");
    let tree = dist.join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    }
    for tool in TOOLS {
        let to = tree.join("bin").join(tool);
        make_parent(&to)?;
        let from = bins.tool(tool);
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
        generate(&bins, tool, "man", &tree.join(format!("man/{tool}.1")))?;
        for (shell, file) in SHELLS {
            let to = tree.join("completions").join(shell).join(file(tool));
            generate(&bins, tool, shell, &to)?;
        }
    }
    for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        let from = root().join(file);
        fs::copy(&from, tree.join(file)).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let tarball = format!("{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.current_dir(&dist)
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", commit_time())])
        .args(["-czf", &tarball, &name])
        // Without the name and the time in the header of gzip.
        .env("GZIP", "-n");
    run_visible(&mut tar)?;
    let sums = Exec::new("sha256sum", [&tarball]).cwd(&dist).text()?;
    let file = dist.join("SHA256SUMS");
    fs::write(&file, &sums).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("dist/{tarball}");
    print!("{sums}");
    Ok(())
}

/// Writes the output of `--generate` of a tool to a file.
fn generate(bins: &Bins, tool: &str, kind: &str, to: &Path) -> Outcome {
    make_parent(to)?;
    let text = Exec::new(bins.tool(tool), ["--generate", kind]).text()?;
    if text.is_empty() {
        return Err(format!("`{tool} --generate {kind}` prints nothing"));
    }
    fs::write(to, text).map_err(|error| format!("{}: {error}", to.display()))
}

fn make_parent(path: &Path) -> Outcome {
    match path.parent() {
        Some(dir) => fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display())),
        None => Ok(()),
    }
}

/// Returns the default target of rustc.
fn host() -> Outcome<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let text = Exec::new(rustc, ["-vV"]).text()?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "the output of rustc -vV contains no host".to_owned())
}

/// Returns the Unix time of the last commit, or 0 outside a repository.
fn commit_time() -> u64 {
    let output = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}
