//! Measures ping beside iputils' ping and fping: a sweep of many hosts, one host,
//! and the error of the round-trip times.

use std::time::{Duration, Instant};

use serde_json::Value;
use support::TaskResult;
use support::exec::{Exec, which};
use testkit::icmp::IcmpLab;
use testkit::{Tool, privilege};

use super::measure::{CommandLine, Peer, compare};
use super::rows::not_measured;
use super::{Context, Goal, Row};

/// The network that is swept, with one probe per usable host.
const SWEEP: &str = "127.0.0.0/16";
const HOSTS: f64 = 65_534.0;

/// Returns the rows of ping.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    if !privilege::can_ping() {
        return Ok(vec![not_measured("ping", "ICMP not permitted")]);
    }
    let mut rows = sweeps(context)?;
    for mode in ["-f", "-A"] {
        let label = format!("ping: {mode} -q -c 100000 127.0.0.1");
        if !privilege::is_root() {
            rows.push(not_measured(&label, "only root may flood"));
            continue;
        }
        let args = [mode, "-q", "-c", "100000", "127.0.0.1"];
        let ours = CommandLine::new(context.bins.tool("ping"), args);
        let theirs = CommandLine::peer("ping", args);
        rows.push(compare(label, 5, &ours, &theirs, Goal::Faster(1.0))?);
    }
    rows.push(calls(context)?);
    rows.push(median(context)?);
    rows.push(cadence(context)?);
    for delay in [10, 100] {
        rows.push(truth(context, delay)?);
    }
    Ok(rows)
}

fn sweeps(context: &Context) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("ping");
    let ours = CommandLine::new(&tool, ["--alive", "--retries", "0", SWEEP]);
    let theirs = CommandLine::peer("fping", ["-i0", "-r0", "-q", "-a", "-g", SWEEP]);
    let label = "ping: 65,534 hosts of 127.0.0.0/8";
    let mut rows = vec![compare(label, 7, &ours, &theirs, Goal::Faster(2.0))?];
    if let (Some(us), Some(them)) = (piped(&ours), theirs.line().and_then(piped)) {
        let them = Peer::of("fping", them);
        let label = "ping: the same, read through a pipe";
        rows.push(compare(label, 7, &us, &them, Goal::Faster(2.0))?);
    }
    let theirs = match theirs.line() {
        Some(line) => line.memory()?,
        None => None,
    };
    rows.push(memory("ping: memory for 65,534 hosts", &ours, theirs, 10)?);
    let million = ["--alive", "--retries", "0", "127.0.0.1-127.15.66.64"];
    let million = CommandLine::new(&tool, million);
    rows.push(memory(
        "ping: memory for 1,000,000 hosts",
        &million,
        None,
        80,
    )?);
    let done = Exec::new(&tool, million.words().into_iter().skip(1)).run()?;
    done.expect_code(0)?;
    rows.push(Row {
        label: "ping: 1,000,000 hosts that answered".to_owned(),
        ours: done.out().lines().count().to_string(),
        theirs: "fping gives up at 65,536".to_owned(),
        ratio: Some(1e6 / done.out().lines().count().max(1) as f64),
        goal: Goal::AtMost(1.0),
    });
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

/// Compares the peak memory of a run with a limit in MB.
fn memory(label: &str, ours: &CommandLine, theirs: Option<u64>, limit: u64) -> TaskResult<Row> {
    let Some(kb) = ours.memory()? else {
        return Ok(not_measured(label, "time not installed"));
    };
    let theirs = theirs.map_or_else(String::new, |kb| format!("fping {kb} kB, "));
    Ok(Row {
        label: label.to_owned(),
        ours: format!("{kb} kB"),
        theirs: format!("{theirs}limit {limit} MB"),
        ratio: Some(kb as f64 / (limit as f64 * 1000.0)),
        goal: Goal::AtMost(1.0),
    })
}

/// Counts the system calls per probe of a sweep with strace.
fn calls(context: &Context) -> TaskResult<Row> {
    let label = "ping: system calls per probe, sweep";
    let Some(strace) = which("strace") else {
        return Ok(not_measured(label, "strace not installed"));
    };
    let tool = context.bins.tool("ping").into_os_string();
    let words = ["-f", "-c", "-U", "calls,name"].map(Into::into);
    let sweep = ["-q", "--retries", "0", SWEEP].map(Into::into);
    let all = words.into_iter().chain([tool]).chain(sweep);
    let done = Exec::new(strace, all).run()?;
    let table = done.err();
    let total = table
        .lines()
        .find(|line| line.trim_end().ends_with(" total"))
        .and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        .ok_or_else(|| format!("strace counted nothing:\n{table}"))?;
    Ok(Row {
        label: label.to_owned(),
        ours: format!("{:.3}", total / HOSTS),
        theirs: "fping 7".to_owned(),
        ratio: Some(total / HOSTS / 0.5),
        goal: Goal::AtMost(1.0),
    })
}

/// Compares the median round trip to 127.0.0.1 of both programs.
fn median(context: &Context) -> TaskResult<Row> {
    let label = "ping: median round trip at 10 ms";
    let Some(peer) = which("ping") else {
        return Ok(not_measured(label, "ping not installed"));
    };
    let args = ["-c", "300", "-i", "0.01", "-n", "127.0.0.1"];
    let of = |program: std::path::PathBuf| -> TaskResult<f64> {
        let text = Exec::new(program, args).text()?;
        let times = text.lines().filter_map(|line| line.split_once(" time="));
        let mut times: Vec<f64> = times
            .filter_map(|(_, rest)| rest.split_once(' ')?.0.parse().ok())
            .collect();
        times.sort_by(f64::total_cmp);
        times
            .get(times.len() / 2)
            .copied()
            .ok_or_else(|| format!("no times in\n{text}"))
    };
    let (ours, theirs) = (of(context.bins.tool("ping"))?, of(peer)?);
    Ok(Row {
        label: label.to_owned(),
        ours: format!("{ours:.3} ms"),
        theirs: format!("ping {theirs:.3} ms"),
        ratio: Some(ours / theirs),
        goal: Goal::AtMost(1.0),
    })
}

/// Measures how exactly the interval is kept over a hundred probes.
fn cadence(context: &Context) -> TaskResult<Row> {
    let args = ["-q", "-c", "100", "-i", "0.01", "127.0.0.1"];
    let text = Exec::new(context.bins.tool("ping"), args).text()?;
    let took = text
        .lines()
        .find_map(|line| line.rsplit_once(", time ")?.1.strip_suffix("ms"))
        .and_then(|took| took.parse::<f64>().ok())
        .ok_or_else(|| format!("no total time in\n{text}"))?;
    let asked = 99.0 * 10.0;
    Ok(Row {
        label: "ping: 100 probes at 10 ms".to_owned(),
        ours: format!("{took} ms"),
        theirs: format!("asked {asked} ms"),
        ratio: Some((took - asked).abs() / asked / 0.005),
        goal: Goal::AtMost(1.0),
    })
}

/// Compares the mean that ping reports with the delay that the host measured.
fn truth(context: &Context, delay: u64) -> TaskResult<Row> {
    let label = format!("ping: error of the mean, delay {delay} ms");
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
        Err(why) => return Ok(not_measured(&label, &why)),
    };
    let interval = format!("{}ms", delay * 2);
    let args = ["--json", "-q", "-c", "20", "-i", &interval, "127.0.0.1"];
    let out = lab.run(Tool::new(context.bins.tool("ping")).args(args));
    let records: Vec<Value> = out.json();
    let mean = records
        .iter()
        .find_map(|record| record["avg_ms"].as_f64())
        .ok_or_else(|| format!("no mean in\n{}", out.report()))?;
    let delays = lab.response_times();
    let total: Duration = delays.iter().sum();
    let truth = total.as_secs_f64() * 1e3 / delays.len().max(1) as f64;
    Ok(Row {
        label,
        ours: format!("{mean:.3} ms"),
        theirs: format!("truth {truth:.3} ms"),
        ratio: Some((mean - truth).abs() / 0.1),
        goal: Goal::AtMost(1.0),
    })
}
