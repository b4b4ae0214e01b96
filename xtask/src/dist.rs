//! `cargo xtask dist`: builds a tarball in `dist/` for the host target.
//!
//! ```text
//! inetkit-VERSION-TARGET/
//!   bin/TOOL
//!   share/man/man1/TOOL.1
//!   share/bash-completion/completions/TOOL
//!   share/zsh/site-functions/_TOOL
//!   share/fish/vendor_completions.d/TOOL.fish
//!   share/doc/inetkit/    README.md, docs/, licences, third-party notices
//! ```
//!
//! The tree is a prefix, so `tar -C /usr/local --strip-components=1 -xzf FILE`
//! installs it. [`crate::install`] writes the same files below its `--root`.
//!
//! `SHA256SUMS` next to it contains the digest of the tarball. Owners, order and
//! times are fixed, so the same sources and compiler produce the same file.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::TaskResult;
use support::exec::{Exec, run_visible};
use support::workspace::{self, Bins, Profile, TOOLS, root};

use crate::{docs, no_arguments};

/// Returns the path of the completion file of a tool.
type FileName = fn(&str) -> String;

/// The shells with the paths of their completion files.
const SHELLS: [(&str, FileName); 3] = [
    ("bash", |tool| format!("bash-completion/completions/{tool}")),
    ("zsh", |tool| format!("zsh/site-functions/_{tool}")),
    ("fish", |tool| {
        format!("fish/vendor_completions.d/{tool}.fish")
    }),
];

/// Builds the tools, collects the files and packs them.
pub(crate) fn run(args: &[String]) -> TaskResult {
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
    }
    shared_files(&bins, &tree.join("share"))?;
    let doc = tree.join("share/doc/inetkit");
    let docs = [
        "cookbook.md",
        "environment.md",
        "faq.md",
        "json.md",
        "migration.md",
        "platforms.md",
    ];
    let docs = docs.map(|file| format!("docs/{file}"));
    let files = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];
    for file in files.into_iter().chain(docs.iter().map(String::as_str)) {
        let (from, to) = (root().join(file), doc.join(file));
        make_parent(&to)?;
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    write(&doc.join("THIRD-PARTY-NOTICES"), &notices()?)?;
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

/// Writes man pages and completions below `share`.
pub(crate) fn shared_files(bins: &Bins, share: &Path) -> TaskResult {
    for tool in TOOLS {
        for (name, page) in docs::man_pages(bins, tool)? {
            write(&share.join("man/man1").join(name), &page)?;
        }
        for (shell, path) in SHELLS {
            let script = docs::generated(bins, tool, &[], shell)?;
            write(&share.join(path(tool)), &script)?;
        }
    }
    Ok(())
}

/// Returns the licences of the crates that the binaries contain, as their
/// packages carry them.
fn notices() -> TaskResult<String> {
    let mut text = String::new();
    for package in workspace::dependencies()? {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        let license = package["license"].as_str().unwrap_or("see below");
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        text += &format!("== {name} {version} ({license})\n");
        let dir = manifest.parent().unwrap_or(manifest);
        let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .to_uppercase();
            let is_license = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"]
                .iter()
                .any(|start| name.starts_with(start));
            if is_license && file.is_file() {
                let bytes =
                    fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
                text += &format!("\n{}\n", String::from_utf8_lossy(&bytes).trim_end());
            }
        }
        text.push('\n');
    }
    Ok(text)
}

fn write(path: &Path, text: &str) -> TaskResult {
    make_parent(path)?;
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn make_parent(path: &Path) -> TaskResult {
    match path.parent() {
        Some(dir) => fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display())),
        None => Ok(()),
    }
}

/// Returns the default target of rustc.
fn host() -> TaskResult<String> {
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
