//! `cargo xtask install`: installs all six tools with `cargo install` and the
//! versions of `Cargo.lock`. With `--root`, man pages and completions are
//! installed below the same directory.

use support::TaskResult;
use support::exec::run_visible;
use support::workspace::{Bins, TOOLS, cargo};

use crate::{USAGE, dist};

/// Installs the tools, below `--root DIR` if that is given.
pub(crate) fn run(args: &[String]) -> TaskResult {
    let root = match args {
        [flag, dir] if flag == "--root" => Some(dir.clone()),
        [arg] => arg.strip_prefix("--root=").map(str::to_owned),
        _ => None,
    };
    if root.is_none() && !args.is_empty() {
        return Err(format!("install accepts only --root DIR\n{USAGE}"));
    }
    // Relative to the current directory, while cargo runs in the workspace.
    let root = match root {
        Some(dir) => Some(std::path::absolute(&dir).map_err(|error| format!("{dir}: {error}"))?),
        None => None,
    };
    for tool in TOOLS {
        let mut command = cargo();
        command.args(["install", "--locked", "--path"]);
        command.arg(format!("crates/{tool}"));
        if let Some(root) = &root {
            command.arg("--root").arg(root);
        }
        run_visible(&mut command)?;
    }
    if let Some(root) = &root {
        let bins = Bins::in_dir(root.join("bin"));
        dist::shared_files(&bins, &root.join("share"))?;
    }
    eprintln!("installed: {}", TOOLS.join(" "));
    eprintln!("note: this `ping` hides the system's if its directory comes first in PATH");
    Ok(())
}
