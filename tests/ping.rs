//! `ping`, black box: on loopback, and in network namespaces with a router, a
//! firewall and a host that answers as it is told.

#[path = "ping/answers.rs"]
mod answers;
#[path = "ping/classic.rs"]
mod classic;
#[path = "ping/errors.rs"]
mod errors;
#[path = "ping/every_error.rs"]
mod every_error;
#[path = "ping/graph.rs"]
mod graph;
#[path = "ping/list.rs"]
mod list;
#[path = "ping/losses.rs"]
mod losses;
#[path = "ping/names.rs"]
mod names;
#[path = "ping/records.rs"]
mod records;
#[path = "ping/reports.rs"]
mod reports;
#[path = "ping/targets.rs"]
mod targets;
#[path = "ping/usage.rs"]
mod usage;

use std::time::Duration;

use testkit::netns::{self, Lab};
use testkit::{Output, Tool, privilege};

const SOON: Duration = Duration::from_secs(30);

/// The time for a script of many runs.
const LONG: Duration = Duration::from_secs(60);

/// `ping` with these arguments. Where this user may not ping, it runs as the
/// root of a namespace that has nothing but a loopback device.
fn ping(args: &str) -> Tool {
    if privilege::can_ping() || netns::available().is_err() {
        return Tool::new(env!("CARGO_BIN_EXE_ping")).args(args.split_whitespace());
    }
    let lab = Lab::new().with(env!("CARGO_BIN_EXE_ping"));
    lab.tool(&format!("exec ping {args}"))
}

/// Whether to go on with a test that pings loopback.
fn may_ping() -> bool {
    let may = privilege::can_ping() || netns::available().is_ok();
    if !may {
        netns::skip("no ICMP socket allowed here, and no namespaces");
    }
    may
}

/// Whether to go on with a test that pings `::1`.
fn may_ping6() -> bool {
    let may = privilege::can_ping6() || (!privilege::can_ping() && netns::available().is_ok());
    if !may {
        netns::skip("no ICMPv6 here");
    }
    may
}

/// A laboratory with `ping` on its `PATH`, if there can be one.
fn lab() -> Option<Lab> {
    match netns::available() {
        Ok(()) => Some(Lab::new().with(env!("CARGO_BIN_EXE_ping")).timeout(LONG)),
        Err(reason) => {
            netns::skip(&reason);
            None
        }
    }
}

/// Standard output with every time replaced by `T`.
fn shape(out: &Output) -> String {
    mask(out.stdout_str())
}

fn mask(text: &str) -> String {
    let mut shaped = String::new();
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
        shaped.push_str(&line);
        shaped.push('\n');
    }
    shaped
}
