//! The rows of tcpecho-client. One message is compared with socat. The load
//! engine is compared with a generator that only sends and receives
//! (`floor/generator.rs`); both run against tcpecho-server, with a processor for
//! each process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testkit::peer::TcpPeer;

use super::measure::{Line, compare};
use super::pin::Pin;
use super::rows::{absent, write};
use super::{Row, Shop, Target};
use crate::Outcome;
use crate::exec::{Background, Exec};

/// The number of runs of each program, of which the median is reported.
const RUNS: usize = 9;

/// The duration of one run in milliseconds.
const MS: &str = "400";

/// Measures all rows of this tool.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    let what = "tcpecho-client: load";
    if !cfg!(target_os = "linux") {
        return Ok(vec![absent(what, "the generator is for Linux")]);
    }
    let generator = compile(shop)?;
    let pin = Pin::find();
    let log = shop.dir.path().join("load.log");
    let port_file = shop.dir.path().join("load.port");
    let port_path = port_file.display().to_string();
    let args = [
        "-q",
        "--workers",
        "1",
        "--port-file",
        &port_path,
        "127.0.0.1:0",
    ];
    let (program, args) = pin.command(
        0,
        &shop.bins.tool("tcpecho-server"),
        args.map(str::to_owned),
    );
    let mut server = Background::start(program, args, &log)?;
    server.until(|| std::fs::read_to_string(&port_file).is_ok_and(|text| text.ends_with('\n')))?;
    let port = std::fs::read_to_string(&port_file).map_err(|error| error.to_string())?;
    let port = port.trim();
    let mut rows = vec![one_message(shop)?];
    for (connections, depth) in [("50", "1"), ("1000", "1"), ("50", "16")] {
        rows.push(compare_rates(
            shop,
            pin,
            &generator,
            port,
            [connections, depth],
        )?);
    }
    rows.push(compare_loops(shop, pin, &generator, port)?);
    server.terminate()?;
    Ok(rows)
}

/// Compares the round trip of one message with socat.
fn one_message(shop: &Shop) -> Outcome<Row> {
    let server = TcpPeer::echo();
    let address = server.addr().to_string();
    let input = shop.dir.path().join("message");
    write(&input, "hello")?;
    let ours = Line::new(
        shop.bins.tool("tcpecho-client"),
        [address.as_str(), "hello"],
    );
    let tcp = format!("TCP:{address}");
    let socat = Line::peer("socat", ["-t", "5", "-", &tcp]).stdin(&input);
    let what = "tcpecho-client: one message";
    compare(what, 101, &ours, &socat, Target::Faster(1.0))
}

/// Compiles the generator and returns its path.
fn compile(shop: &Shop) -> Outcome<PathBuf> {
    let binary = shop.dir.path().join("generator");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let text = include_str!("floor/generator.rs");
    let out = binary.display().to_string();
    let args = [
        "--edition",
        "2024",
        "-O",
        "--crate-name",
        "generator",
        "-",
        "-o",
        &out,
    ];
    Exec::new(rustc, args).stdin(text).text()?;
    Ok(binary)
}

/// Runs a load test and returns its summary.
fn load(shop: &Shop, pin: Pin, port: &str, args: &[&str]) -> Outcome<Value> {
    let address = format!("127.0.0.1:{port}");
    let ms = format!("{MS}ms");
    let all: Vec<&str> = ["--bench", "--json", "--duration", &ms, &address]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let (program, args) = pin.command(
        1,
        &shop.bins.tool("tcpecho-client"),
        all.into_iter().map(str::to_owned),
    );
    let text = Exec::new(program, args)
        .timeout(Duration::from_secs(30))
        .text()?;
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|error| format!("{last:?}: {error}"))
}

/// Returns a number of a summary.
fn figure(summary: &Value, key: &str) -> Outcome<f64> {
    summary[key]
        .as_f64()
        .ok_or_else(|| format!("no {key} in {summary}"))
}

/// Compares the rate of the closed loop with the generator, in alternating runs.
fn compare_rates(
    shop: &Shop,
    pin: Pin,
    generator: &Path,
    port: &str,
    [connections, depth]: [&str; 2],
) -> Outcome<Row> {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let summary = load(
            shop,
            pin,
            port,
            &["--connections", connections, "--pipeline", depth],
        )?;
        let our_rate = figure(&summary, "messages_per_second")?;
        let (program, args) = pin.command(
            1,
            generator,
            [port, connections, depth, MS].map(str::to_owned),
        );
        let text = Exec::new(program, args).text()?;
        let their_rate: f64 = text
            .trim()
            .parse()
            .map_err(|_| format!("no rate in {text:?}"))?;
        // A ratio for each pair of runs, since the load of the machine varies.
        ratios.push(their_rate / our_rate);
        ours.push(our_rate);
        theirs.push(their_rate);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    Ok(Row {
        what: format!("tcpecho-client: {connections} connections, {depth} deep"),
        ours: format!("{:.0} k/s", ours / 1e3),
        theirs: format!("generator {:.0} k/s", theirs / 1e3),
        // The ratio of the times per message: less is better.
        ratio: Some(median(ratios)),
        target: Target::AtMost(1.1),
    })
}

/// Compares the median latency of the open loop at 20,000 messages per second
/// with that of a closed loop at the same rate.
///
/// A closed loop at full speed would not be comparable: its server never sleeps
/// between two messages, and a processor takes longer to wake up after a longer
/// sleep. Here the server idles for the same time in both loops. The generator
/// measures from the send, so the difference shows messages that the open loop
/// sends late.
fn compare_loops(shop: &Shop, pin: Pin, generator: &Path, port: &str) -> Outcome<Row> {
    let (mut open, mut closed, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let summary = load(shop, pin, port, &["--connections", "50", "--rate", "20000"])?;
        let (program, args) = pin.command(1, generator, [port, "20000", MS].map(str::to_owned));
        let text = Exec::new(program, args).text()?;
        let paced: f64 = text
            .trim()
            .parse()
            .map_err(|_| format!("no time in {text:?}"))?;
        open.push(figure(&summary, "p50_ms")?);
        closed.push(paced);
        ratios.extend(open.last().map(|open| open / paced));
    }
    let (open, closed) = (median(open), median(closed));
    Ok(Row {
        what: "tcpecho-client: median at 20,000/s, open loop".to_owned(),
        ours: format!("{open:.3} ms"),
        theirs: format!("closed loop {closed:.3} ms"),
        ratio: Some(median(ratios)),
        target: Target::Within(0.2),
    })
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
