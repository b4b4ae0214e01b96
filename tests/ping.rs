//! Black box tests of `ping`: on loopback, and in network namespaces with a
//! router, a packet filter, and a host that a test controls.

#[path = "ping/classic.rs"]
mod classic;
#[path = "ping/errors.rs"]
mod errors;
#[path = "ping/every_error.rs"]
mod every_error;
#[path = "ping/graph.rs"]
mod graph;
#[path = "ping/host.rs"]
mod host;
#[path = "ping/list.rs"]
mod list;
#[path = "ping/losses.rs"]
mod losses;
#[path = "ping/names.rs"]
mod names;
#[path = "ping/records.rs"]
mod records;
#[path = "ping/replies.rs"]
mod replies;
#[path = "ping/reports.rs"]
mod reports;
#[path = "ping/targets.rs"]
mod targets;
#[path = "ping/usage.rs"]
mod usage;

use std::time::Duration;

use testkit::netns::{self, Lab};
use testkit::{Output, Tool, privilege};

/// The time after which a missing event is a failure.
const SOON: Duration = Duration::from_secs(30);

/// The timeout of a script with many runs.
const LONG: Duration = Duration::from_secs(60);

/// Returns `ping` with these arguments. If this user may not ping, it runs as
/// root of a namespace that has only a loopback device.
fn ping(args: &str) -> Tool {
    if privilege::can_ping() || netns::available().is_err() {
        return Tool::new(env!("CARGO_BIN_EXE_ping")).args(args.split_whitespace());
    }
    let lab = Lab::new().with(env!("CARGO_BIN_EXE_ping"));
    lab.tool(&format!("exec ping {args}"))
}

/// Whether a test can ping loopback; if not, the test is skipped.
fn may_ping() -> bool {
    let may = privilege::can_ping() || netns::available().is_ok();
    if !may {
        netns::skip("no permission for an ICMP socket, and no namespaces");
    }
    may
}

/// Whether a test can ping `::1`; if not, the test is skipped.
fn may_ping6() -> bool {
    let may = privilege::can_ping6() || (!privilege::can_ping() && netns::available().is_ok());
    if !may {
        netns::skip("no permission for an ICMPv6 socket");
    }
    may
}

/// Creates a lab with `ping` in its `PATH`, if namespaces are available.
fn lab() -> Option<Lab> {
    match netns::available() {
        Ok(()) => Some(Lab::new().with(env!("CARGO_BIN_EXE_ping")).timeout(LONG)),
        Err(reason) => {
            netns::skip(&reason);
            None
        }
    }
}

/// Returns standard output with every time replaced by `T`.
fn masked_stdout(out: &Output) -> String {
    mask(out.stdout_str())
}

/// Replaces every time in the output by `T`.
fn mask(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let line = match line.split_once(" = ") {
            Some((head, tail)) if line.starts_with("rtt ") || line.starts_with("p50/") => {
                let rest = tail.split_once(" ms").map_or("", |(_, rest)| rest);
                format!("{head} = T{rest}")
            }
            _ => line.to_owned(),
        };
        let line = match line.split_once(" time=") {
            Some((head, tail)) => {
                let rest = tail.split_once(" ms").map_or("", |(_, rest)| rest);
                format!("{head} time=T{rest}")
            }
            None => line,
        };
        let line = match line.rsplit_once(", time ") {
            Some((head, tail)) if tail.ends_with("ms") => format!("{head}, time T"),
            _ => line,
        };
        let line = match (line.find(" is alive ("), line.ends_with(" ms)")) {
            (Some(at), true) => format!("{} is alive (T)", &line[..at]),
            _ => line,
        };
        let line = match line.split_once(", min/avg/max = ") {
            Some((head, _)) => format!("{head}, T"),
            None => line,
        };
        masked.push_str(&line);
        masked.push('\n');
    }
    masked
}
