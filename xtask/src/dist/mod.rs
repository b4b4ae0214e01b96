//! `cargo xtask dist [--target TARGET] [--deb]`: builds a tarball in `dist/`.
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
//! installs it. [`crate::install`] writes the same files below its `--root`. With
//! `--deb`, [`deb`] makes a Debian package of the same files.
//!
//! `SHA256SUMS` next to them contains the digests. Owners, order and times are
//! fixed, and the binaries contain no paths of the machine, so the same sources and
//! compiler produce the same files in every directory.

mod deb;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::TaskResult;
use support::exec::{Exec, run_visible};
use support::workspace::{self, Bins, Compiler, TOOLS, root};

use crate::cross::{self, CrossCompiler};
use crate::{USAGE, docs};

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
    let (mut target, mut with_deb) = (None, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--deb" => with_deb = true,
            "--target" => target = args.next().cloned(),
            _ => return Err(format!("dist accepts --target TARGET and --deb\n{USAGE}")),
        }
    }
    let host = host()?;
    let target = target.unwrap_or_else(|| host.clone());
    let bins = Bins::build_for_release(&target, &compiler_for(&target)?)?;
    // The tools print their own man pages and completions.
    let native = if target == host {
        Bins::in_dir(bins.dir().to_path_buf())
    } else {
        Bins::build_for_release(&host, &Compiler::default())?
    };
    let name = format!("inetkit-{}-{target}", workspace::version()?);
    let dist = root().join("dist");
    let tree = dist.join(&name);
    collect(&bins, &native, &tree)?;
    let tarball = format!("{name}.tar.gz");
    pack(&dist, &name, &tarball)?;
    let mut files = vec![tarball];
    if with_deb {
        files.push(deb::build(&tree, &dist, &target)?);
    }
    let sums = Exec::new("sha256sum", &files).cwd(&dist).text()?;
    let file = dist.join("SHA256SUMS");
    fs::write(&file, &sums).map_err(|error| format!("{}: {error}", file.display()))?;
    print!("{sums}");
    Ok(())
}

/// Returns the compiler for a target: for musl the cross compiler, which links static
/// binaries, and cargo's for all others.
fn compiler_for(target: &str) -> TaskResult<Compiler> {
    match cross::TARGETS.iter().find(|(name, _)| *name == target) {
        Some((_, zig)) if target.ends_with("-musl") => {
            CrossCompiler::unpacked()?.for_target(target, zig)
        }
        _ => Ok(Compiler::default()),
    }
}

/// Writes the tree of the tarball, with the output of the `native` tools.
fn collect(bins: &Bins, native: &Bins, tree: &Path) -> TaskResult {
    if tree.exists() {
        fs::remove_dir_all(tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    }
    for tool in TOOLS {
        let to = tree.join("bin").join(tool);
        make_parent(&to)?;
        let from = bins.tool(tool);
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    shared_files(native, &tree.join("share"))?;
    let doc = tree.join("share/doc/inetkit");
    let docs = [
        "comparison.md",
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
    write(&doc.join("THIRD-PARTY-NOTICES"), &notices()?)
}

/// Packs the directory `name` below `dist`, with fixed owners, order and times.
fn pack(dist: &Path, name: &str, tarball: &str) -> TaskResult {
    let mut tar = Command::new("tar");
    tar.current_dir(dist)
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", commit_time())])
        // Without the name and the time in the header of gzip.
        .args(["-I", "gzip -n", "-cf", tarball, name]);
    run_visible(&mut tar)
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
