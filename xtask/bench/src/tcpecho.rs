//! The rows of tcpecho-server: compared with the floor, a server that does
//! nothing but echo, and with socat, ncat and xinetd.

mod runner;

use support::TaskResult;

use super::Context;
use super::measure::Turns;
use super::row::{Goal, Other, Row, Samples, Unit};

pub(super) use runner::{Measurement, Runner, Server};

/// The acceptable memory of an idle connection, in bytes.
const IDLE_LIMIT: f64 = 0.3 * 1024.0;

/// Measures all rows of the tool.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    let mut rows = Vec::new();
    let runner = Runner::new(context)?;
    if !runner.is_pinned() {
        rows.push(Row::not_measured(
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
        let words = ["rr", count, "300", "64", depth];
        let turns = runner.compare(&words, Server::Floor)?;
        let compared = Compared {
            turns: &turns,
            peer: Server::Floor,
            load: &words,
        };
        let label = |figure: &str| format!("tcpecho-server: {load}, {figure}");
        let cpu_label = label("CPU per message");
        let goal = Goal::AtMost(cpu);
        rows.push(compared.row(cpu_label, Unit::Seconds, goal, Measurement::cpu));
        if let Some(limit) = p99 {
            let goal = Goal::AtMost(limit);
            rows.push(compared.row(label("p99"), Unit::Seconds, goal, |m| m.p99));
        }
        let rate = label("messages per second");
        rows.push(compared.row(rate, Unit::PerSecond, Goal::Open, Measurement::rate));
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
            let load = ["bulk", count, "1024"];
            let turns = runner.compare(&load, Server::Floor)?;
            let compared = Compared {
                turns: &turns,
                peer: Server::Floor,
                load: &load,
            };
            let label = format!("tcpecho-server: bulk 1 GiB, {connections}");
            let goal = Goal::AtLeast(0.85);
            Ok(compared.row(label, Unit::BytesPerSecond, goal, Measurement::rate))
        })
        .collect()
}

/// Measures the memory and processor time of idle connections.
fn idle(runner: &Runner<'_>) -> TaskResult<Vec<Row>> {
    let (mut bytes, mut seconds) = (Vec::new(), Vec::new());
    for bins in runner.builds() {
        let (memory, cpu) = runner.idle(10_000, bins)?;
        bytes.push(Samples::from_iter([memory]));
        seconds.push(Samples::from_iter([cpu]));
    }
    let row = |figure: &str, unit, samples: Vec<Samples>, limit: f64| {
        let mut builds = samples.into_iter();
        let ours = builds.next().unwrap_or_default();
        let label = format!("tcpecho-server: 10,000 idle, {figure}");
        Row::new(label, unit, ours)
            .base(builds.next())
            .against(Other::Limit(limit), Goal::AtMost(1.0))
            .command(Server::Ours.command_line())
            .command("load idle 10000")
    };
    Ok(vec![
        row("memory per connection", Unit::Bytes, bytes, IDLE_LIMIT),
        row("CPU per second", Unit::Seconds, seconds, 1e-3),
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
        let why = format!("{} is not installed", peer.name());
        return Ok(Row::not_measured(label, &why));
    }
    let turns = runner.compare(load, peer)?;
    let compared = Compared {
        turns: &turns,
        peer,
        load,
    };
    Ok(compared.row(label.to_owned(), Unit::PerSecond, goal, Measurement::rate))
}

/// The measurements of two servers under one load.
struct Compared<'a> {
    turns: &'a Turns<Measurement>,
    peer: Server,
    load: &'a [&'a str],
}

impl Compared<'_> {
    /// Makes a row of one figure.
    fn row(&self, label: String, unit: Unit, goal: Goal, value: fn(&Measurement) -> f64) -> Row {
        let name = self.peer.name().to_owned();
        let samples = self.turns.peer(value).unwrap_or_default();
        let other = match self.peer {
            Server::Floor | Server::OursLogging => Other::Reference { name, samples },
            _ => Other::Peer { name, samples },
        };
        self.turns
            .row(label, unit, value)
            .against(other, goal)
            .command(Server::Ours.command_line())
            .command(self.peer.command_line())
            .command(format!("load {}", self.load.join(" ")))
    }
}
