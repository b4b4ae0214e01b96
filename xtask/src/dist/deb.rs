//! The Debian package, made by `dpkg-deb` from the tree of the tarball.
//!
//! Debian's packages `iputils-ping` and `subnetcalc` contain commands of the same
//! names. So that all of them can be installed together, the binaries are in
//! `/usr/lib/inetkit/bin`, which can be put first in `PATH`, and `/usr/bin` has links
//! named `inetkit-ping` and `inetkit-subnetcalc`; the other four links have the names
//! of the tools. The man pages are named like the links.
//!
//! The package sets the capability that `ping` needs when it is configured.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use support::TaskResult;
use support::exec::{Exec, run_visible};
use support::workspace::{self, TOOLS};

use super::{commit_time, make_parent, write};

/// The tools whose names are taken by other packages of Debian.
const RENAMED: [&str; 2] = ["ping", "subnetcalc"];

const BIN_DIR: &str = "usr/lib/inetkit/bin";

/// The script that runs after the installation. Without the capability `ping` prints
/// how to set it, so a failure does not fail the installation.
const POSTINST: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ]; then
    ping=/usr/lib/inetkit/bin/ping
    if ! command -v setcap >/dev/null || ! setcap cap_net_raw+ep "$ping"; then
        echo "inetkit: $ping has no capability to send ICMP; install libcap2-bin and run:" >&2
        echo "    setcap cap_net_raw+ep $ping" >&2
    fi
fi
"#;

/// Builds the package in `dist` from the tree of the tarball, and returns its file
/// name.
pub(super) fn build(tree: &Path, dist: &Path, target: &str) -> TaskResult<String> {
    let architecture = architecture(target)?;
    let version = workspace::version()?;
    let name = format!("inetkit_{version}_{architecture}");
    let root = dist.join(&name);
    if root.exists() {
        fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    }
    for tool in TOOLS {
        copy(
            &tree.join("bin").join(tool),
            &root.join(BIN_DIR).join(tool),
            0o755,
        )?;
        link(tool, &root.join("usr/bin").join(package_name(tool)))?;
    }
    let share = tree.join("share");
    for file in files(&share)? {
        if let Some(to) = installed_path(&file) {
            copy(&share.join(&file), &root.join("usr/share").join(to), 0o644)?;
        }
    }
    write(&root.join("usr/share/doc/inetkit/copyright"), &copyright()?)?;
    for page in files(&root.join("usr/share/man"))? {
        gzip(&root.join("usr/share/man").join(page))?;
    }
    gzip(&root.join("usr/share/doc/inetkit/CHANGELOG.md"))?;
    let needed = needed_packages(&root.join(BIN_DIR))?;
    let size = installed_size(&root)?;
    write(
        &root.join("DEBIAN/control"),
        &control(&version, architecture, &needed, size),
    )?;
    let script = root.join("DEBIAN/postinst");
    write(&script, POSTINST)?;
    set_mode(&script, 0o755)?;
    let file = format!("{name}.deb");
    let mut command = std::process::Command::new("dpkg-deb");
    command
        .args(["--build", "--root-owner-group", "-Zxz"])
        .arg(&root)
        .arg(dist.join(&file))
        .env("SOURCE_DATE_EPOCH", commit_time().to_string());
    run_visible(&mut command)?;
    Ok(file)
}

/// Returns the name of a tool in `/usr/bin` and of its man page.
fn package_name(tool: &str) -> String {
    if RENAMED.contains(&tool) {
        format!("inetkit-{tool}")
    } else {
        tool.to_owned()
    }
}

/// Returns the place of a file of the tarball's `share` below `/usr/share`; `None` if
/// it is not part of the package. Debian's package bash-completion completes `ping`,
/// and a completion for the renamed command would not be found by the shells.
fn installed_path(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let tool = name.trim_start_matches('_');
    let tool = tool.split(['.', '-']).next()?;
    if !RENAMED.contains(&tool) {
        return Some(file.to_path_buf());
    }
    let is_page = file.starts_with("man");
    is_page.then(|| file.with_file_name(format!("inetkit-{name}")))
}

/// Returns the text of the control file.
fn control(version: &str, architecture: &str, needed: &str, kib: u64) -> String {
    format!(
        "Package: inetkit\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The inetkit developers <inetkit@users.noreply.github.com>\n\
         Installed-Size: {kib}\n\
         Depends: {needed}\n\
         Recommends: ca-certificates, libcap2-bin\n\
         Section: net\n\
         Priority: optional\n\
         Description: six small network tools\n \
         subnetcalc calculates with networks and sets of addresses, ping sends ICMP\n \
         echo requests to one host or many, resolve asks the system or DNS servers,\n \
         httpget fetches over HTTP and HTTPS, and tcpecho-server and tcpecho-client\n \
         are an echo service (RFC 862) and its probe and load generator.\n \
         .\n \
         Two commands are named inetkit-ping and inetkit-subnetcalc, since other\n \
         packages have commands of their names. The directory /usr/lib/inetkit/bin\n \
         has all six under their own names.\n"
    )
}

/// Returns Debian's name of the architecture of a target.
fn architecture(target: &str) -> TaskResult<&'static str> {
    match target.split('-').next() {
        Some("x86_64") => Ok("amd64"),
        Some("aarch64") => Ok("arm64"),
        _ => Err(format!(
            "--deb: no Debian architecture is known for {target}"
        )),
    }
}

/// Returns the packages with the libraries that the binaries need, with the oldest
/// version of libc6 that has the symbols that they use.
fn needed_packages(bin: &Path) -> TaskResult<String> {
    let mut versions = Vec::new();
    let mut needs_libgcc = false;
    for tool in TOOLS {
        let path = bin.join(tool);
        let text = Exec::new("readelf", ["-W", "-V", "-d", &path.to_string_lossy()]).text()?;
        needs_libgcc |= text.contains("[libgcc_s.so.1]");
        versions.extend(glibc_versions(&text));
    }
    let Some((major, minor)) = versions.into_iter().max() else {
        return Err("the binaries are static; make a tarball instead of a package".to_owned());
    };
    let mut needed = format!("libc6 (>= {major}.{minor})");
    if needs_libgcc {
        needed.push_str(", libgcc-s1");
    }
    Ok(needed)
}

/// Returns the versions of glibc's symbols in the output of readelf.
fn glibc_versions(text: &str) -> Vec<(u32, u32)> {
    let mut versions = Vec::new();
    for part in text.split("GLIBC_").skip(1) {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != '.');
        let version = &part[..end.unwrap_or(part.len())];
        let mut numbers = version.split('.').map(str::parse);
        if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) {
            versions.push((major, minor));
        }
    }
    versions
}

/// Returns the licence file of the package, in Debian's machine-readable format.
fn copyright() -> TaskResult<String> {
    let mut text = String::from(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: inetkit\n\
         \n\
         Files: *\n\
         Copyright: The inetkit developers\n\
         License: MIT or Apache-2.0\n\
         Comment: The licences of the libraries in the binaries are in\n \
         THIRD-PARTY-NOTICES.\n",
    );
    for (name, file) in [("MIT", "LICENSE-MIT"), ("Apache-2.0", "LICENSE-APACHE")] {
        let path = workspace::root().join(file);
        let license =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Writing to a String cannot fail.
        let _ = write!(text, "\nLicense: {name}\n");
        for line in license.trim_end().lines() {
            let _ = writeln!(text, " {}", if line.trim().is_empty() { "." } else { line });
        }
    }
    Ok(text)
}

/// Returns the files below a directory, relative to it, in order.
fn files(dir: &Path) -> TaskResult<Vec<PathBuf>> {
    let text = Exec::new("find", [".", "-type", "f", "-printf", "%P\\n"])
        .cwd(dir)
        .text()?;
    let mut files: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
    files.sort();
    Ok(files)
}

/// Returns the size of all files in KiB.
fn installed_size(root: &Path) -> TaskResult<u64> {
    let mut bytes = 0;
    for file in files(root)? {
        let path = root.join(file);
        let metadata =
            fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        bytes += metadata.len();
    }
    Ok(bytes.div_ceil(1024))
}

/// Compresses a file without its name and time, as Debian's policy wants it.
fn gzip(path: &Path) -> TaskResult {
    Exec::new("gzip", ["-9n", &path.to_string_lossy()])
        .text()
        .map(drop)
}

fn copy(from: &Path, to: &Path, mode: u32) -> TaskResult {
    make_parent(to)?;
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    set_mode(to, mode)
}

fn set_mode(path: &Path, mode: u32) -> TaskResult {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Creates a link in `/usr/bin` to a tool.
fn link(tool: &str, path: &Path) -> TaskResult {
    make_parent(path)?;
    symlink(format!("../lib/inetkit/bin/{tool}"), path)
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{architecture, control, glibc_versions, installed_path};

    #[test]
    fn files_of_taken_names_are_renamed() {
        let place = |file: &str| installed_path(Path::new(file));
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(place("man/man1/ping.1"), path("man/man1/inetkit-ping.1"));
        assert_eq!(
            place("man/man1/subnetcalc-match.1"),
            path("man/man1/inetkit-subnetcalc-match.1")
        );
        assert_eq!(place("man/man1/httpget.1"), path("man/man1/httpget.1"));
        assert_eq!(place("bash-completion/completions/ping"), None);
        assert_eq!(place("zsh/site-functions/_subnetcalc"), None);
        assert_eq!(place("fish/vendor_completions.d/ping.fish"), None);
        let client = "zsh/site-functions/_tcpecho-client";
        assert_eq!(place(client), path(client));
        let readme = "doc/inetkit/README.md";
        assert_eq!(place(readme), path(readme));
    }

    #[test]
    fn versions_of_glibc_are_read() {
        let text = "  0x0010:   Name: GLIBC_2.2.5  Flags: none\n Name: GLIBC_2.34 x GLIBC_PRIVATE";
        assert_eq!(glibc_versions(text), [(2, 2), (2, 34)]);
    }

    #[test]
    fn the_control_file_has_all_fields() {
        let text = control("1.2.3", "amd64", "libc6 (>= 2.34)", 99);
        let start = "Package: inetkit\nVersion: 1.2.3\nArchitecture: amd64\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\nInstalled-Size: 99\nDepends: libc6 (>= 2.34)\n"));
        // The lines of the description start with one space.
        let description = text.split("Description: ").nth(1).unwrap();
        for line in description.lines().skip(1) {
            assert!(line.starts_with(' ') && !line.starts_with("  "), "{line:?}");
        }
        assert_eq!(architecture("aarch64-unknown-linux-gnu"), Ok("arm64"));
        assert!(architecture("riscv64gc-unknown-linux-gnu").is_err());
    }
}
