//! Measures ping beside iputils' ping and fping: a sweep of many hosts, one host,
//! and the error of the round-trip times.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::TaskResult;
use support::exec::{Exec, which};
use support::workspace::Bins;
use testkit::icmp::IcmpLab;
use testkit::{Tool, privilege};

use super::Context;
use super::command::{CommandLine, Peer};
use super::measure::{compare, in_turn, memory, repeated};
use super::row::{Goal, Other, Row, Samples, Unit};

/// The network that is swept, with one probe per usable host.
const SWEEP: &str = "127.0.0.0/16";
const HOSTS: f64 = 65_534.0;

/// Returns the rows of ping.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    if !privilege::can_ping() {
        return Ok(vec![Row::not_measured("ping", "ICMP is not permitted")]);
    }
    let mut rows = sweeps(context)?;
    for mode in ["-f", "-A"] {
        let label = format!("ping: {mode} -q -c 100000 127.0.0.1");
        if !privilege::is_root() {
            rows.push(Row::not_measured(&label, "only root may flood"));
            continue;
        }
        let args = [mode, "-q", "-c", "100000", "127.0.0.1"];
        let ours = CommandLine::new(context.bins.tool("ping"), args);
        let theirs = Peer::system("ping", args);
        rows.push(compare(
            context,
            &label,
            5,
            (&ours, &theirs),
            Goal::Faster(1.0),
        )?);
    }
    rows.push(calls(context)?);
    rows.push(median(context)?);
    rows.push(cadence(context)?);
    for delay in [10, 100] {
        rows.push(repeated(|| truth(context, delay))?);
    }
    Ok(rows)
}

/// Returns the command lines that sweep a network.
pub(super) fn sweep(bins: &Bins, network: &str) -> (CommandLine, Peer) {
    let ours = ["--alive", "--retries", "0", network];
    let theirs = ["-i0", "-r0", "-q", "-a", "-g", network];
    (
        CommandLine::new(bins.tool("ping"), ours),
        Peer::system("fping", theirs),
    )
}

fn sweeps(context: &Context) -> TaskResult<Vec<Row>> {
    let (ours, theirs) = sweep(&context.bins, SWEEP);
    let label = "ping: 65,534 hosts of 127.0.0.0/8";
    let pair = (&ours, &theirs);
    let mut rows = vec![compare(context, label, 7, pair, Goal::Faster(2.0))?];
    if let (Some(us), Some(them)) = (piped(&ours), theirs.line().and_then(piped)) {
        let them = Peer::of("fping", them);
        let label = "ping: the same, read through a pipe";
        rows.push(compare(context, label, 7, (&us, &them), Goal::Faster(2.0))?);
    }
    rows.push(memory(context, "ping: 65,534 hosts", &ours, 10_000_000)?);
    let million = ["--alive", "--retries", "0", "127.0.0.1-127.15.66.64"];
    let million = CommandLine::new(context.bins.tool("ping"), million);
    let label = "ping: 1,000,000 hosts";
    rows.push(memory(context, label, &million, 80_000_000)?);
    let done = Exec::new(
        context.bins.tool("ping"),
        million.words().into_iter().skip(1),
    );
    let done = done.run()?;
    done.expect_code(0)?;
    let answers = Samples::from_iter([done.out().lines().count() as f64]);
    // fping gives up at 65,536 hosts.
    let label = "ping: 1,000,000 hosts, answers";
    rows.push(
        Row::new(label, Unit::Count, answers)
            .against(Other::Limit(1e6), Goal::AtLeast(1.0))
            .command(million.text(context)),
    );
    Ok(rows)
}

/// Returns the same command with its output read through a pipe.
fn piped(line: &CommandLine) -> Option<CommandLine> {
    let cat = which("cat")?.into_os_string();
    let script = "set -o pipefail; cat=$1; shift; \"$@\" | \"$cat\" >/dev/null";
    let words = ["-c", script, "bash"].map(Into::into);
    let all = words.into_iter().chain([cat]).chain(line.words());
    Some(CommandLine::new(which("bash")?, all))
}

/// Counts the system calls per probe of a sweep with strace. fping needs seven.
fn calls(context: &Context) -> TaskResult<Row> {
    let label = "ping: system calls per probe, sweep";
    let Some(strace) = which("strace") else {
        return Ok(Row::not_measured(label, "strace is not installed"));
    };
    let count = |bins: &Bins| -> TaskResult<f64> {
        let words = ["-f", "-c", "-U", "calls,name"].map(Into::into);
        let sweep = ["-q", "--retries", "0", SWEEP].map(Into::into);
        let tool = bins.tool("ping").into_os_string();
        let all = words.into_iter().chain([tool]).chain(sweep);
        let done = Exec::new(&strace, all).run()?;
        let table = done.err();
        let total = table
            .lines()
            .find(|line| line.trim_end().ends_with(" total"))
            .and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
            .ok_or_else(|| format!("strace counted nothing:\n{table}"))?;
        Ok(total / HOSTS)
    };
    let base = context.base.as_ref().map(count).transpose()?;
    let ours = Samples::from_iter([count(&context.bins)?]);
    Ok(Row::new(label, Unit::Number, ours)
        .base(base.map(|calls| Samples::from_iter([calls])))
        .against(Other::Limit(0.5), Goal::AtMost(1.0))
        .command(format!("strace -f -c ping -q --retries 0 {SWEEP}")))
}

/// Compares the median round trip to 127.0.0.1 of both programs.
fn median(context: &Context) -> TaskResult<Row> {
    let label = "ping: median round trip at 10 ms";
    let args = ["-c", "300", "-i", "0.01", "-n", "127.0.0.1"];
    let of = |program: &Path| -> TaskResult<f64> {
        let text = Exec::new(program, args).text()?;
        let times = text.lines().filter_map(|line| line.split_once(" time="));
        let times: Samples = times
            .filter_map(|(_, rest)| rest.split_once(' ')?.0.parse::<f64>().ok())
            .map(|ms| ms / 1e3)
            .collect();
        if times.is_empty() {
            return Err(format!("no times in\n{text}"));
        }
        Ok(times.median())
    };
    let ours = |bins: &Bins| of(&bins.tool("ping"));
    let peer = which("ping");
    let theirs = || peer.as_deref().map_or(Ok(0.0), of);
    let theirs: &dyn Fn() -> TaskResult<f64> = &theirs;
    let turns = in_turn(context, 1, ours, peer.is_some().then_some(theirs))?;
    let other = match turns.peer(|seconds| *seconds) {
        Some(samples) => Other::Peer {
            name: "ping".to_owned(),
            samples,
        },
        None => Other::Missing("ping is not installed".to_owned()),
    };
    let line = format!("ping {}", args.join(" "));
    Ok(turns
        .row(label, Unit::Seconds, |seconds| *seconds)
        .against(other, Goal::AtMost(1.0))
        .command(line.clone())
        .command(line))
}

/// Measures how exactly the interval is kept over a hundred probes: by how much the
/// total time differs, of which 0.5 % are acceptable.
fn cadence(context: &Context) -> TaskResult<Row> {
    let args = ["-q", "-c", "100", "-i", "0.01", "127.0.0.1"];
    let requested = 0.99;
    let error = |bins: &Bins| -> TaskResult<f64> {
        let text = Exec::new(bins.tool("ping"), args).text()?;
        let took = text
            .lines()
            .find_map(|line| line.rsplit_once(", time ")?.1.strip_suffix("ms"))
            .and_then(|took| took.parse::<f64>().ok())
            .ok_or_else(|| format!("no total time in\n{text}"))?;
        Ok((took / 1e3 - requested).abs())
    };
    let turns = in_turn(context, 1, error, None)?;
    Ok(turns
        .row(
            "ping: 100 probes at 10 ms, error of the total",
            Unit::Seconds,
            |error| *error,
        )
        .against(Other::Limit(requested * 0.005), Goal::AtMost(1.0))
        .command(format!("ping {}", args.join(" "))))
}

/// Compares the mean that ping reports with the delay that the host measured. Only our
/// build is measured: the testkit validates records by the schema of the tool, which an
/// older build may not have.
fn truth(context: &Context, delay: u64) -> TaskResult<Row> {
    let label = format!("ping: error of the mean, delay {delay} ms");
    let interval = format!("{}ms", delay * 2);
    let args = ["--json", "-q", "-c", "20", "-i", &interval, "127.0.0.1"];
    let lab = IcmpLab::busy_polling(move |probe| {
        let start = Instant::now();
        // A busy loop, because a sleep would be longer than requested.
        while start.elapsed() < Duration::from_millis(delay) {
            std::hint::spin_loop();
        }
        vec![probe.reply()]
    });
    let lab = match lab {
        Ok(lab) => lab,
        Err(why) => return Ok(Row::not_measured(&label, &why)),
    };
    let out = lab.run(Tool::new(context.bins.tool("ping")).args(args));
    let records: Vec<Value> = out.json();
    let mean = records
        .iter()
        .find_map(|record| record["avg_ms"].as_f64())
        .ok_or_else(|| format!("no mean in\n{}", out.report()))?;
    let delays = lab.response_times();
    let total: Duration = delays.iter().sum();
    let truth = total.as_secs_f64() * 1e3 / delays.len().max(1) as f64;
    let error = Samples::from_iter([(mean - truth).abs() / 1e3]);
    Ok(Row::new(label, Unit::Seconds, error)
        .against(Other::Limit(1e-4), Goal::AtMost(1.0))
        .command(format!("ping {}", args.join(" "))))
}
