//! The rows of tcpecho-client. One message is compared with socat. The load
//! engine is compared with a generator that only sends and receives
//! (`floor/generator.rs`); both run against tcpecho-server, with a processor for
//! each process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use support::TaskResult;
use support::exec::{Background, Exec};
use testkit::peer::TcpPeer;

use super::measure::{CommandLine, compare};
use super::pin::Pin;
use super::rows::{not_measured, write};
use super::{Context, Goal, Row};

/// The number of runs of each program, of which the median is reported.
const RUNS: usize = 9;

/// The duration of one run in milliseconds.
const MS: &str = "400";

/// Measures all rows of this tool.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    let label = "tcpecho-client: load";
    if !cfg!(target_os = "linux") {
        return Ok(vec![not_measured(label, "the generator is for Linux")]);
    }
    let generator = compile(context)?;
    let pin = Pin::find();
    let log = context.dir.path().join("load.log");
    let port_file = context.dir.path().join("load.port");
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
        &context.bins.tool("tcpecho-server"),
        args.map(str::to_owned),
    );
    let mut server = Background::start(program, args, &log)?;
    server.until(|| std::fs::read_to_string(&port_file).is_ok_and(|text| text.ends_with('\n')))?;
    let port = std::fs::read_to_string(&port_file).map_err(|error| error.to_string())?;
    let port = port.trim();
    let mut rows = vec![one_message(context)?];
    for (connections, depth) in [("50", "1"), ("1000", "1"), ("50", "16")] {
        rows.push(compare_rates(
            context,
            pin,
            &generator,
            port,
            [connections, depth],
        )?);
    }
    rows.push(compare_loops(context, pin, &generator, port)?);
    server.terminate()?;
    Ok(rows)
}

/// Compares the round trip of one message with socat.
fn one_message(context: &Context) -> TaskResult<Row> {
    let server = TcpPeer::echo();
    let address = server.addr().to_string();
    let input = context.dir.path().join("message");
    write(&input, "hello")?;
    let ours = CommandLine::new(
        context.bins.tool("tcpecho-client"),
        [address.as_str(), "hello"],
    );
    let tcp = format!("TCP:{address}");
    let socat = CommandLine::peer("socat", ["-t", "5", "-", &tcp]).stdin(&input);
    let label = "tcpecho-client: one message";
    compare(label, 101, &ours, &socat, Goal::Faster(1.0))
}

/// Compiles the generator and returns its path.
fn compile(context: &Context) -> TaskResult<PathBuf> {
    let binary = context.dir.path().join("generator");
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
fn load(context: &Context, pin: Pin, port: &str, args: &[&str]) -> TaskResult<Value> {
    let address = format!("127.0.0.1:{port}");
    let ms = format!("{MS}ms");
    let all: Vec<&str> = ["--bench", "--json", "--duration", &ms, &address]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let (program, args) = pin.command(
        1,
        &context.bins.tool("tcpecho-client"),
        all.into_iter().map(str::to_owned),
    );
    let text = Exec::new(program, args)
        .timeout(Duration::from_secs(30))
        .text()?;
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|error| format!("{last:?}: {error}"))
}

/// Returns a number of a summary.
fn figure(summary: &Value, key: &str) -> TaskResult<f64> {
    summary[key]
        .as_f64()
        .ok_or_else(|| format!("no {key} in {summary}"))
}

/// Compares the rate of the closed loop with the generator, in alternating runs.
fn compare_rates(
    context: &Context,
    pin: Pin,
    generator: &Path,
    port: &str,
    [connections, depth]: [&str; 2],
) -> TaskResult<Row> {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let summary = load(
            context,
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
        label: format!("tcpecho-client: {connections} connections, {depth} deep"),
        ours: format!("{:.0} k/s", ours / 1e3),
        theirs: format!("generator {:.0} k/s", theirs / 1e3),
        // The ratio of the times per message: less is better.
        ratio: Some(median(ratios)),
        goal: Goal::AtMost(1.1),
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
fn compare_loops(context: &Context, pin: Pin, generator: &Path, port: &str) -> TaskResult<Row> {
    let (mut open, mut closed, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let summary = load(
            context,
            pin,
            port,
            &["--connections", "50", "--rate", "20000"],
        )?;
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
        label: "tcpecho-client: median at 20,000/s, open loop".to_owned(),
        ours: format!("{open:.3} ms"),
        theirs: format!("closed loop {closed:.3} ms"),
        ratio: Some(median(ratios)),
        goal: Goal::Within(0.2),
    })
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
