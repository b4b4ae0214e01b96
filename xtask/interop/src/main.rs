//! `cargo xtask interop`: compares the tools with their classic counterparts on
//! loopback.
//!
//! A check lists the programs that it needs. If one of them is missing, the check
//! is skipped with a message, or fails with `CI=true`. A failed check does not stop
//! the others.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task prints its results"
)]
#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a few more allocations do not matter for a task"
)]

mod completions;
mod dns;
mod echo;
mod http;
mod pings;
mod resolvers;
mod subnets;
mod web;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use support::TaskResult;
use support::exec::{Exec, shorten, which};
use support::workspace::{self, Bins, Profile};

/// A comparison with other programs.
struct Check {
    /// The name on the command line.
    name: &'static str,
    /// The programs that must be installed.
    peers: &'static [&'static str],
    /// Compares the programs and returns a summary of the comparison.
    run: fn(&Context) -> TaskResult<String>,
}

const CHECKS: &[Check] = &[
    Check {
        name: "completions-bash",
        peers: &["bash"],
        run: completions::bash,
    },
    Check {
        name: "completions-fish",
        peers: &["fish"],
        run: completions::fish,
    },
    Check {
        name: "completions-zsh",
        peers: &["zsh"],
        run: completions::zsh,
    },
    Check {
        name: "subnets-python",
        peers: &["python3"],
        run: subnets::facts,
    },
    Check {
        name: "aggregate-python",
        peers: &["python3"],
        run: subnets::collapse,
    },
    Check {
        name: "algebra-python",
        peers: &["python3"],
        run: subnets::algebra,
    },
    Check {
        name: "aggregate-iprange",
        peers: &["iprange"],
        run: subnets::iprange,
    },
    Check {
        name: "aggregate-aggregate",
        peers: &["aggregate"],
        run: subnets::aggregate,
    },
    Check {
        name: "ping-iputils",
        peers: &["ping"],
        run: pings::classic_format,
    },
    Check {
        name: "ping-jc",
        peers: &["python3"],
        run: pings::jc,
    },
    Check {
        name: "ping-check_ping",
        peers: &[pings::CHECK_PING, "ping", "unshare", "nft"],
        run: pings::check_ping,
    },
    Check {
        name: "resolve-dig",
        peers: &["nsd", "dig"],
        run: dns::presentation,
    },
    Check {
        name: "resolve-getent",
        peers: &["getent"],
        run: dns::system,
    },
    Check {
        name: "resolve-kdig",
        peers: &["nsd", "kdig"],
        run: resolvers::kdig,
    },
    Check {
        name: "resolve-transfer",
        peers: &["nsd", "dig"],
        run: resolvers::transfer,
    },
    Check {
        name: "resolve-validating",
        peers: &["nsd", "unbound", "ldns-keygen", "ldns-signzone"],
        run: resolvers::validating,
    },
    Check {
        name: "resolve-encrypted",
        peers: &["nsd", "unbound", "dnsdist"],
        run: resolvers::encrypted,
    },
    Check {
        name: "httpget-curl",
        peers: &["nginx", "curl"],
        run: http::nginx,
    },
    Check {
        name: "httpget-tinyproxy",
        peers: &["tinyproxy"],
        run: web::proxy,
    },
    Check {
        name: "httpget-microsocks",
        peers: &["microsocks"],
        run: web::socks,
    },
    Check {
        name: "httpget-httpbin",
        peers: &["python3"],
        run: web::httpbin,
    },
    Check {
        name: "server-socat",
        peers: &["socat"],
        run: echo::server_socat,
    },
    Check {
        name: "server-ncat",
        peers: &["ncat"],
        run: echo::server_ncat,
    },
    Check {
        name: "server-xinetd",
        peers: &["xinetd", "socat"],
        run: echo::server_xinetd,
    },
    Check {
        name: "server-systemd",
        peers: &["systemd-socket-activate", "socat"],
        run: echo::server_systemd,
    },
    Check {
        name: "client-socat",
        peers: &["socat"],
        run: echo::client_socat,
    },
    Check {
        name: "client-ncat",
        peers: &["ncat"],
        run: echo::client_ncat,
    },
];

/// The tools and the working directory of a check.
struct Context {
    bins: Bins,
    dir: tempfile::TempDir,
}

impl Context {
    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns a tool with arguments.
    fn tool<I>(&self, name: &str, args: I) -> Exec
    where
        I: IntoIterator,
        I::Item: AsRef<std::ffi::OsStr>,
    {
        Exec::new(self.bins.tool(name), args).cwd(self.dir())
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    support::exit_code("interop", run(&args))
}

/// Runs all checks, or those with a name that starts with one of the arguments.
fn run(args: &[String]) -> TaskResult {
    let is_selected = |check: &&Check| {
        args.is_empty() || args.iter().any(|arg| check.name.starts_with(arg.as_str()))
    };
    let checks: Vec<&Check> = CHECKS.iter().filter(is_selected).collect();
    if checks.is_empty() {
        let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        return Err(format!(
            "unknown check; the checks are {}",
            names.join(", ")
        ));
    }
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    let context = Context {
        bins: Bins::build(Profile::Dev)?,
        dir: workspace::scratch()?,
    };
    let mut failed = Vec::new();
    for check in checks {
        let missing: Vec<&str> = check
            .peers
            .iter()
            .copied()
            .filter(|peer| which(peer).is_none())
            .collect();
        if !missing.is_empty() {
            println!(
                "SKIPPED {}: not installed: {}",
                check.name,
                missing.join(", ")
            );
            if strict {
                failed.push(check.name);
            }
            continue;
        }
        let start = Instant::now();
        match (check.run)(&context) {
            Ok(summary) => println!(
                "ok      {}: {summary} ({:.1} s)",
                check.name,
                start.elapsed().as_secs_f64()
            ),
            Err(error) => {
                println!("FAILED  {}: {error}", check.name);
                failed.push(check.name);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("interop failed: {}", failed.join(", ")))
    }
}

/// Returns a Python with the packages of `requirements.txt`. They are installed
/// into an environment below the target directory, which later runs reuse.
fn python() -> TaskResult<PathBuf> {
    const REQUIREMENTS: &str = include_str!("requirements.txt");
    let env = workspace::target()?.join("interop-python");
    let python = env.join("bin/python3");
    let stamp = env.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(python);
    }
    let system = which("python3").ok_or("python3 is not installed")?;
    let text = |path: &Path| path.display().to_string();
    Exec::new(system, ["-m", "venv", "--clear", &text(&env)]).text()?;
    let requirements = env.join("requested.txt");
    let write = |path: &Path| {
        std::fs::write(path, REQUIREMENTS).map_err(|error| format!("{}: {error}", path.display()))
    };
    write(&requirements)?;
    Exec::new(
        &python,
        ["-m", "pip", "install", "-q", "-r", &text(&requirements)],
    )
    .timeout(Duration::from_secs(180))
    .text()?;
    // Last, so that an interrupted installation is repeated.
    write(&stamp)?;
    Ok(python)
}

/// Fails with the first line that differs between two texts.
fn same_lines(name: &str, ours: &str, theirs: &str) -> TaskResult {
    if ours == theirs {
        return Ok(());
    }
    let mut numbered = 1..;
    let (mut a, mut b) = (ours.lines(), theirs.lines());
    loop {
        let (line, ours, theirs) = (numbered.next(), a.next(), b.next());
        if ours != theirs || ours.is_none() {
            return Err(format!(
                "{name}: line {}:\n  ours   {}\n  theirs {}",
                line.unwrap_or(0),
                shorten(ours.unwrap_or("(end)")),
                shorten(theirs.unwrap_or("(end)")),
            ));
        }
    }
}
