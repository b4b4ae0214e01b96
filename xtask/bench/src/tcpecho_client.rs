//! The rows of tcpecho-client. One message is compared with socat. The load
//! engine is compared with a generator that only sends and receives
//! (`floor/generator.rs`); both run against tcpecho-server, with a processor for
//! each process.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use support::TaskResult;
use support::exec::{Background, Exec};
use support::workspace::Bins;
use testkit::peer::TcpPeer;

use super::Context;
use super::command::{CommandLine, Peer};
use super::measure::{compare, in_turn};
use super::pin::Pin;
use super::row::{Goal, Other, Row, Unit};
use super::rows::{compile, write};

/// The number of runs of each program, of which the median is reported.
const RUNS: usize = 9;

/// The duration of one run in milliseconds.
const MS: &str = "400";

/// Measures all rows of this tool.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    if !cfg!(target_os = "linux") {
        let label = "tcpecho-client: load";
        return Ok(vec![Row::not_measured(label, "the generator is for Linux")]);
    }
    let loads = Loads::start(context)?;
    let mut rows = vec![one_message(context)?];
    for (connections, depth) in [("50", "1"), ("1000", "1"), ("50", "16")] {
        rows.push(compare_rates(&loads, [connections, depth])?);
    }
    rows.push(compare_loops(&loads)?);
    Ok(rows)
}

/// A running server, and the programs that load it.
pub(super) struct Loads<'a> {
    context: &'a Context,
    pin: Pin,
    generator: PathBuf,
    /// The server, which runs until the value is dropped.
    _server: Background,
    port: String,
}

impl<'a> Loads<'a> {
    /// Compiles the generator and starts the server on a processor of its own.
    pub(super) fn start(context: &'a Context) -> TaskResult<Self> {
        let generator = compile(context.dir.path(), "generator")?;
        let pin = Pin::find();
        let log = context.dir.path().join("load.log");
        let port_file = context.dir.path().join("load.port");
        // The file of an earlier server has the wrong port.
        let _ = std::fs::remove_file(&port_file);
        let path = port_file.display().to_string();
        let listen = "127.0.0.1:0";
        let args = ["-q", "--workers", "1", "--port-file", &path, listen].map(str::to_owned);
        let server = context.bins.tool("tcpecho-server");
        let (program, args) = pin.command(0, &server, args);
        let mut server = Background::start(program, args, &log)?;
        server
            .until(|| std::fs::read_to_string(&port_file).is_ok_and(|text| text.ends_with('\n')))?;
        let port = std::fs::read_to_string(&port_file).map_err(|error| error.to_string())?;
        Ok(Self {
            context,
            pin,
            generator,
            _server: server,
            port: port.trim().to_owned(),
        })
    }

    /// Runs a load of our client and returns a number of its summary.
    pub(super) fn ours(&self, bins: &Bins, args: &[&str], key: &str) -> TaskResult<f64> {
        let address = format!("127.0.0.1:{}", self.port);
        let ms = format!("{MS}ms");
        let fixed = ["--bench", "--json", "--duration", &ms, &address];
        let all = fixed.iter().chain(args).map(|&arg| arg.to_owned());
        let client = bins.tool("tcpecho-client");
        let (program, args) = self.pin.command(1, &client, all);
        let text = Exec::new(program, args)
            .timeout(Duration::from_secs(30))
            .text()?;
        let last = text.lines().last().unwrap_or_default();
        let summary: Value =
            serde_json::from_str(last).map_err(|error| format!("{last:?}: {error}"))?;
        summary[key]
            .as_f64()
            .ok_or_else(|| format!("no {key} in {summary}"))
    }

    /// Runs the generator and returns the number that it prints.
    pub(super) fn theirs(&self, args: &[&str]) -> TaskResult<f64> {
        let all = std::iter::once(self.port.as_str()).chain(args.iter().copied());
        let all = all.chain([MS]).map(str::to_owned);
        let (program, args) = self.pin.command(1, &self.generator, all);
        let text = Exec::new(program, args).text()?;
        text.trim()
            .parse()
            .map_err(|_| format!("no number in {text:?}"))
    }
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
    let socat = Peer::system("socat", ["-t", "5", "-", &tcp]).stdin(&input);
    let label = "tcpecho-client: one message";
    compare(context, label, 101, (&ours, &socat), Goal::Faster(1.0))
}

/// Compares the rate of the closed loop with the generator.
fn compare_rates(loads: &Loads<'_>, [connections, depth]: [&str; 2]) -> TaskResult<Row> {
    let args = ["--connections", connections, "--pipeline", depth];
    let turns = in_turn(
        loads.context,
        RUNS,
        |bins| loads.ours(bins, &args, "messages_per_second"),
        Some(&|| loads.theirs(&[connections, depth])),
    )?;
    let label = format!("tcpecho-client: {connections} connections, {depth} deep");
    let other = Other::Reference {
        name: "generator".to_owned(),
        samples: turns.peer(|rate| *rate).unwrap_or_default(),
    };
    let args = args.join(" ");
    Ok(turns
        .row(label, Unit::PerSecond, |rate| *rate)
        .against(other, Goal::AtLeast(0.91))
        .command(format!(
            "tcpecho-client --bench --json --duration {MS}ms 127.0.0.1:PORT {args}"
        ))
        .command(format!("generator PORT {connections} {depth} {MS}")))
}

/// Compares the median latency of the open loop at 20,000 messages per second
/// with that of a closed loop at the same rate.
///
/// A closed loop at full speed would not be comparable: its server never sleeps
/// between two messages, and a processor takes longer to wake up after a longer
/// sleep. Here the server idles for the same time in both loops. The generator
/// measures from the send, so the difference shows messages that the open loop
/// sends late.
fn compare_loops(loads: &Loads<'_>) -> TaskResult<Row> {
    let args = ["--connections", "50", "--rate", "20000"];
    let turns = in_turn(
        loads.context,
        RUNS,
        |bins| Ok(loads.ours(bins, &args, "p50_ms")? / 1e3),
        Some(&|| Ok(loads.theirs(&["20000"])? / 1e3)),
    )?;
    let other = Other::Reference {
        name: "closed loop".to_owned(),
        samples: turns.peer(|seconds| *seconds).unwrap_or_default(),
    };
    let args = args.join(" ");
    let label = "tcpecho-client: median at 20,000/s, open loop";
    Ok(turns
        .row(label, Unit::Seconds, |seconds| *seconds)
        .against(other, Goal::Within(0.2))
        .command(format!(
            "tcpecho-client --bench --json --duration {MS}ms 127.0.0.1:PORT {args}"
        ))
        .command(format!("generator PORT 20000 {MS}")))
}
