//! The rows of the echo pair: the server beside a floor that does nothing but
//! echo, and beside socat, ncat and xinetd; the client beside socat.

mod arena;

use testkit::peer::TcpPeer;

use self::arena::{Arena, Score, Server};
use super::measure::{Line, compare};
use super::rows::{absent, write};
use super::{Row, Shop, Target};
use crate::Outcome;

/// Bytes of user memory that an idle connection may cost.
const IDLE_LIMIT: f64 = 0.3 * 1024.0;

/// All of them.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let mut rows = vec![one_message(shop)?];
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

fn one_message(shop: &Shop) -> Outcome<Row> {
    let server = TcpPeer::echo();
    let at = server.addr().to_string();
    let input = shop.dir.path().join("message");
    write(&input, "hello")?;
    let ours = Line::new(shop.bins.tool("tcpecho-client"), [at.as_str(), "hello"]);
    let tcp = format!("TCP:{at}");
    let socat = Line::peer("socat", ["-t", "5", "-", &tcp]).stdin(&input);
    let what = "tcpecho-client: one message";
    compare(what, 101, &ours, &socat, Target::Faster(1.0))
}

/// 64 bytes there and back.
fn messages(arena: &Arena<'_>) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, load, cpu, p99) in [
        ("50 connections", ["rr", "50", "700", "64", "1"], 1.10, None),
        (
            "1,000 connections",
            ["rr", "1000", "700", "64", "1"],
            1.10,
            Some(1.3),
        ),
        (
            "50 connections, 16 deep",
            ["rr", "50", "700", "64", "16"],
            1.15,
            None,
        ),
    ] {
        let scores = arena.compete(&load, &[Server::Ours, Server::Floor])?;
        let [ours, floor] = scores[..] else {
            return Err("two servers, two scores".to_owned());
        };
        rows.push(beside(
            format!("tcpecho-server: {what}, CPU a message"),
            (ours.cpu_us(), floor.cpu_us()),
            "us",
            Server::Floor,
            Target::AtMost(cpu),
        ));
        if let Some(limit) = p99 {
            rows.push(beside(
                format!("tcpecho-server: {what}, p99"),
                (ours.p99_us / 1e3, floor.p99_us / 1e3),
                "ms",
                Server::Floor,
                Target::AtMost(limit),
            ));
        }
        rows.push(rate(
            format!("tcpecho-server: {what}, messages/s"),
            (ours, floor),
            Server::Floor,
            Target::Open,
        ));
    }
    for (peer, target) in [
        (Server::Socat, Target::AtLeast(2.5)),
        (Server::Ncat, Target::AtLeast(3.0)),
        (Server::Xinetd, Target::Open),
    ] {
        let load = ["rr", "50", "700", "64", "1"];
        let what = "tcpecho-server: 50 connections, messages/s";
        rows.push(against(arena, what, &load, peer, target)?);
    }
    Ok(rows)
}

/// Connect, one echo, close; 32 in parallel.
fn connections(arena: &Arena<'_>) -> Outcome<Vec<Row>> {
    let load = ["crr", "32", "700", "64"];
    let what = "tcpecho-server: connections/s";
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
            let load = ["bulk", count, "1024"];
            let scores = arena.compete(&load, &[Server::Ours, Server::Floor])?;
            Ok(beside(
                format!("tcpecho-server: bulk 1 GiB, {what}"),
                (scores[0].rate() / 1e9, scores[1].rate() / 1e9),
                "GB/s",
                Server::Floor,
                Target::AtLeast(0.85),
            ))
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
    let scores = arena.compete(load, &[Server::Ours, peer])?;
    Ok(rate(what.to_owned(), (scores[0], scores[1]), peer, target))
}

fn rate(what: String, (ours, theirs): (Score, Score), peer: Server, target: Target) -> Row {
    beside(
        what,
        (ours.rate() / 1e3, theirs.rate() / 1e3),
        "k/s",
        peer,
        target,
    )
}

/// Ours over theirs.
fn beside(
    what: String,
    (ours, theirs): (f64, f64),
    unit: &str,
    peer: Server,
    target: Target,
) -> Row {
    Row {
        what,
        ours: format!("{ours:.2} {unit}"),
        theirs: format!("{} {theirs:.2} {unit}", peer.name()),
        ratio: Some(ours / theirs),
        target,
    }
}
