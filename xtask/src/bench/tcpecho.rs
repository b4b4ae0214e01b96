//! The rows of tcpecho-server: beside a floor that does nothing but echo, and
//! beside socat, ncat and xinetd.

mod arena;

use self::arena::{Arena, Figure, Server};
use super::rows::absent;
use super::{Row, Shop, Target};
use crate::Outcome;

/// Bytes of user memory that an idle connection may cost.
const IDLE_LIMIT: f64 = 0.3 * 1024.0;

/// All of them.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    let arena = Arena::build(shop)?;
    if !arena.is_pinned() {
        rows.push(absent(
            "tcpecho-server: pinned",
            "one processor, or no taskset",
        ));
    }
    rows.extend(messages(&arena)?);
    rows.extend(connections(&arena)?);
    rows.extend(bulk(&arena)?);
    rows.extend(idle(&arena)?);
    Ok(rows)
}

/// 64 bytes there and back.
fn messages(arena: &Arena<'_>) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, count, depth, cpu, p99) in [
        ("50 connections", "50", "1", 1.10, None),
        ("1,000 connections", "1000", "1", 1.10, Some(1.3)),
        ("50 connections, 16 deep", "50", "16", 1.15, None),
    ] {
        let duel = arena.compete(&["rr", count, "300", "64", depth], Server::Floor)?;
        let row = |figure: &str, values, unit, target| {
            let what = format!("tcpecho-server: {what}, {figure}");
            beside(what, values, unit, Server::Floor, target)
        };
        rows.push(row("CPU a message", duel.cpu_us, "us", Target::AtMost(cpu)));
        if let Some(limit) = p99 {
            rows.push(row("p99", duel.p99_us, "us", Target::AtMost(limit)));
        }
        rows.push(row("messages a second", duel.rate, "/s", Target::Open));
    }
    for (peer, target) in [
        (Server::Socat, Target::AtLeast(2.5)),
        (Server::Ncat, Target::AtLeast(3.0)),
        (Server::Xinetd, Target::Open),
    ] {
        let load = ["rr", "50", "300", "64", "1"];
        let what = "tcpecho-server: 50 connections, messages a second";
        rows.push(against(arena, what, &load, peer, target)?);
    }
    Ok(rows)
}

/// Connect, one echo, close; 32 in parallel.
fn connections(arena: &Arena<'_>) -> Outcome<Vec<Row>> {
    let load = ["crr", "32", "300", "64"];
    let what = "tcpecho-server: connections a second";
    let mut rows = Vec::new();
    for (peer, target) in [
        (Server::Floor, Target::AtLeast(0.85)),
        (Server::OursLogging, Target::Open),
        (Server::Socat, Target::AtLeast(8.0)),
    ] {
        rows.push(against(arena, what, &load, peer, target)?);
    }
    Ok(rows)
}

/// One GiB, every byte compared by the generator.
fn bulk(arena: &Arena<'_>) -> Outcome<Vec<Row>> {
    [("1", "1 connection"), ("4", "4 connections")]
        .into_iter()
        .map(|(count, what)| {
            let duel = arena.compete(&["bulk", count, "1024"], Server::Floor)?;
            let mut rate = duel.rate;
            rate.ours /= 1e6;
            rate.theirs /= 1e6;
            let what = format!("tcpecho-server: bulk 1 GiB, {what}");
            let target = Target::AtLeast(0.85);
            Ok(beside(what, rate, "MB/s", Server::Floor, target))
        })
        .collect()
}

fn idle(arena: &Arena<'_>) -> Outcome<Vec<Row>> {
    let (bytes, cpu) = arena.idle(10_000)?;
    let limit = |what: &str, ours: String, theirs: &str, ratio: f64| Row {
        what: format!("tcpecho-server: 10,000 idle, {what}"),
        ours,
        theirs: theirs.to_owned(),
        ratio: Some(ratio),
        target: Target::AtMost(1.0),
    };
    Ok(vec![
        limit(
            "memory each",
            format!("{:.2} KiB", bytes / 1024.0),
            "limit 0.3 KiB",
            bytes / IDLE_LIMIT,
        ),
        limit(
            "CPU in a second",
            format!("{:.1} ms", cpu * 1e3),
            "limit 1 ms",
            cpu * 1e3,
        ),
    ])
}

/// A row of rates beside a peer, if that is installed.
fn against(
    arena: &Arena<'_>,
    what: &str,
    load: &[&str],
    peer: Server,
    target: Target,
) -> Outcome<Row> {
    if !peer.is_here() {
        let why = format!("{} not installed", peer.name());
        return Ok(absent(what, &why));
    }
    let duel = arena.compete(load, peer)?;
    Ok(beside(what.to_owned(), duel.rate, "/s", peer, target))
}

/// Ours over theirs.
fn beside(what: String, values: Figure, unit: &str, peer: Server, target: Target) -> Row {
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
