//! The rows of tcpecho-server: compared with the floor, a server that does
//! nothing but echo, and with socat, ncat and xinetd.

mod runner;

use self::runner::{Figure, Runner, Server};
use super::rows::absent;
use super::{Row, Shop, Target};
use crate::Outcome;

/// The acceptable memory of an idle connection, in bytes.
const IDLE_LIMIT: f64 = 0.3 * 1024.0;

/// Measures all rows of the tool.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    let runner = Runner::new(shop)?;
    if !runner.is_pinned() {
        rows.push(absent(
            "tcpecho-server: pinned",
            "only one processor, or no taskset",
        ));
    }
    rows.extend(messages(&runner)?);
    rows.extend(connections(&runner)?);
    rows.extend(bulk(&runner)?);
    rows.extend(idle(&runner)?);
    Ok(rows)
}

/// Measures exchanges of 64 bytes.
fn messages(runner: &Runner<'_>) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (load, count, depth, cpu, p99) in [
        ("50 connections", "50", "1", 1.10, None),
        ("1,000 connections", "1000", "1", 1.10, Some(1.3)),
        ("50 connections, 16 in flight", "50", "16", 1.15, None),
    ] {
        let compared = runner.compare(&["rr", count, "300", "64", depth], Server::Floor)?;
        let floor_row = |figure: &str, values, unit, target| {
            let what = format!("tcpecho-server: {load}, {figure}");
            row(what, values, unit, Server::Floor, target)
        };
        rows.push(floor_row(
            "CPU per message",
            compared.cpu_us,
            "us",
            Target::AtMost(cpu),
        ));
        if let Some(limit) = p99 {
            rows.push(floor_row(
                "p99",
                compared.p99_us,
                "us",
                Target::AtMost(limit),
            ));
        }
        rows.push(floor_row(
            "messages per second",
            compared.rate,
            "/s",
            Target::Open,
        ));
    }
    for (peer, target) in [
        (Server::Socat, Target::AtLeast(2.5)),
        (Server::Ncat, Target::AtLeast(3.0)),
        (Server::Xinetd, Target::Open),
    ] {
        let load = ["rr", "50", "300", "64", "1"];
        let what = "tcpecho-server: 50 connections, messages per second";
        rows.push(against(runner, what, &load, peer, target)?);
    }
    Ok(rows)
}

/// Measures connections with one exchange each, 32 in parallel.
fn connections(runner: &Runner<'_>) -> Outcome<Vec<Row>> {
    let load = ["crr", "32", "300", "64"];
    let what = "tcpecho-server: connections per second";
    let mut rows = Vec::new();
    for (peer, target) in [
        (Server::Floor, Target::AtLeast(0.85)),
        (Server::OursLogging, Target::Open),
        (Server::Socat, Target::AtLeast(8.0)),
    ] {
        rows.push(against(runner, what, &load, peer, target)?);
    }
    Ok(rows)
}

/// Measures the transfer of one GiB. The generator compares every byte.
fn bulk(runner: &Runner<'_>) -> Outcome<Vec<Row>> {
    [("1", "1 connection"), ("4", "4 connections")]
        .into_iter()
        .map(|(count, connections)| {
            let compared = runner.compare(&["bulk", count, "1024"], Server::Floor)?;
            let mut rate = compared.rate;
            rate.ours /= 1e6;
            rate.theirs /= 1e6;
            let what = format!("tcpecho-server: bulk 1 GiB, {connections}");
            let target = Target::AtLeast(0.85);
            Ok(row(what, rate, "MB/s", Server::Floor, target))
        })
        .collect()
}

/// Measures the memory and processor time of idle connections.
fn idle(runner: &Runner<'_>) -> Outcome<Vec<Row>> {
    let (bytes, cpu) = runner.idle(10_000)?;
    let limit = |what: &str, ours: String, theirs: &str, ratio: f64| Row {
        what: format!("tcpecho-server: 10,000 idle, {what}"),
        ours,
        theirs: theirs.to_owned(),
        ratio: Some(ratio),
        target: Target::AtMost(1.0),
    };
    Ok(vec![
        limit(
            "memory per connection",
            format!("{:.2} KiB", bytes / 1024.0),
            "limit 0.3 KiB",
            bytes / IDLE_LIMIT,
        ),
        limit(
            "CPU per second",
            format!("{:.1} ms", cpu * 1e3),
            "limit 1 ms",
            cpu * 1e3,
        ),
    ])
}

/// Compares rates with another server, if it is installed.
fn against(
    runner: &Runner<'_>,
    what: &str,
    load: &[&str],
    peer: Server,
    target: Target,
) -> Outcome<Row> {
    if !peer.is_installed() {
        let why = format!("{} not installed", peer.name());
        return Ok(absent(what, &why));
    }
    let compared = runner.compare(load, peer)?;
    Ok(row(what.to_owned(), compared.rate, "/s", peer, target))
}

/// Makes a row of a compared figure.
fn row(what: String, values: Figure, unit: &str, peer: Server, target: Target) -> Row {
    let show = |value: f64| {
        if value < 1000.0 {
            format!("{value:.2} {unit}")
        } else {
            format!("{value:.0} {unit}")
        }
    };
    Row {
        what,
        ours: show(values.ours),
        theirs: format!("{} {}", peer.name(), show(values.theirs)),
        ratio: Some(values.ratio),
        target,
    }
}
