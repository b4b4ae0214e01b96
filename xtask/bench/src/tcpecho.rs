//! The rows of tcpecho-server: compared with the floor, a server that does
//! nothing but echo, and with socat, ncat and xinetd.

mod runner;

use support::TaskResult;

use self::runner::{Figure, Runner, Server};
use super::rows::not_measured;
use super::{Context, Goal, Row};

/// The acceptable memory of an idle connection, in bytes.
const IDLE_LIMIT: f64 = 0.3 * 1024.0;

/// Measures all rows of the tool.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    let mut rows = Vec::new();
    let runner = Runner::new(context)?;
    if !runner.is_pinned() {
        rows.push(not_measured(
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
fn messages(runner: &Runner<'_>) -> TaskResult<Vec<Row>> {
    let mut rows = Vec::new();
    for (load, count, depth, cpu, p99) in [
        ("50 connections", "50", "1", 1.10, None),
        ("1,000 connections", "1000", "1", 1.10, Some(1.3)),
        ("50 connections, 16 in flight", "50", "16", 1.15, None),
    ] {
        let compared = runner.compare(&["rr", count, "300", "64", depth], Server::Floor)?;
        let floor_row = |figure: &str, values, unit, goal| {
            let label = format!("tcpecho-server: {load}, {figure}");
            row(label, values, unit, Server::Floor, goal)
        };
        rows.push(floor_row(
            "CPU per message",
            compared.cpu_us,
            "us",
            Goal::AtMost(cpu),
        ));
        if let Some(limit) = p99 {
            rows.push(floor_row("p99", compared.p99_us, "us", Goal::AtMost(limit)));
        }
        rows.push(floor_row(
            "messages per second",
            compared.rate,
            "/s",
            Goal::Open,
        ));
    }
    for (peer, goal) in [
        (Server::Socat, Goal::AtLeast(2.5)),
        (Server::Ncat, Goal::AtLeast(3.0)),
        (Server::Xinetd, Goal::Open),
    ] {
        let load = ["rr", "50", "300", "64", "1"];
        let label = "tcpecho-server: 50 connections, messages per second";
        rows.push(against(runner, label, &load, peer, goal)?);
    }
    Ok(rows)
}

/// Measures connections with one exchange each, 32 in parallel.
fn connections(runner: &Runner<'_>) -> TaskResult<Vec<Row>> {
    let load = ["crr", "32", "300", "64"];
    let label = "tcpecho-server: connections per second";
    let mut rows = Vec::new();
    for (peer, goal) in [
        (Server::Floor, Goal::AtLeast(0.85)),
        (Server::OursLogging, Goal::Open),
        (Server::Socat, Goal::AtLeast(8.0)),
    ] {
        rows.push(against(runner, label, &load, peer, goal)?);
    }
    Ok(rows)
}

/// Measures the transfer of one GiB. The generator compares every byte.
fn bulk(runner: &Runner<'_>) -> TaskResult<Vec<Row>> {
    [("1", "1 connection"), ("4", "4 connections")]
        .into_iter()
        .map(|(count, connections)| {
            let compared = runner.compare(&["bulk", count, "1024"], Server::Floor)?;
            let mut rate = compared.rate;
            rate.ours /= 1e6;
            rate.theirs /= 1e6;
            let label = format!("tcpecho-server: bulk 1 GiB, {connections}");
            let goal = Goal::AtLeast(0.85);
            Ok(row(label, rate, "MB/s", Server::Floor, goal))
        })
        .collect()
}

/// Measures the memory and processor time of idle connections.
fn idle(runner: &Runner<'_>) -> TaskResult<Vec<Row>> {
    let (bytes, cpu) = runner.idle(10_000)?;
    let limit = |label: &str, ours: String, theirs: &str, ratio: f64| Row {
        label: format!("tcpecho-server: 10,000 idle, {label}"),
        ours,
        theirs: theirs.to_owned(),
        ratio: Some(ratio),
        goal: Goal::AtMost(1.0),
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
    label: &str,
    load: &[&str],
    peer: Server,
    goal: Goal,
) -> TaskResult<Row> {
    if !peer.is_installed() {
        let why = format!("{} not installed", peer.name());
        return Ok(not_measured(label, &why));
    }
    let compared = runner.compare(load, peer)?;
    Ok(row(label.to_owned(), compared.rate, "/s", peer, goal))
}

/// Makes a row of a compared figure.
fn row(label: String, values: Figure, unit: &str, peer: Server, goal: Goal) -> Row {
    let show = |value: f64| {
        if value < 1000.0 {
            format!("{value:.2} {unit}")
        } else {
            format!("{value:.0} {unit}")
        }
    };
    Row {
        label,
        ours: show(values.ours),
        theirs: format!("{} {}", peer.name(), show(values.theirs)),
        ratio: Some(values.ratio),
        goal,
    }
}
