//! Measures ping beside iputils' ping and fping: a sweep of many hosts, one host,
//! and the error of the round-trip times.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::icmp::IcmpLab;
use testkit::{Tool, privilege};

use super::measure::{Line, Peer, compare};
use super::rows::absent;
use super::{Row, Shop, Target};
use crate::Outcome;
use crate::exec::{Exec, which};

/// The network that is swept, with one probe per usable host.
const SWEEP: &str = "127.0.0.0/16";
const HOSTS: f64 = 65_534.0;

/// Returns the rows of ping.
pub(super) fn rows(shop: &Shop) -> Outcome<Vec<Row>> {
    if !privilege::can_ping() {
        return Ok(vec![absent("ping", "ICMP not permitted")]);
    }
    let mut rows = sweeps(shop)?;
    for mode in ["-f", "-A"] {
        let what = format!("ping: {mode} -q -c 100000 127.0.0.1");
        if !privilege::is_root() {
            rows.push(absent(&what, "only root may flood"));
            continue;
        }
        let args = [mode, "-q", "-c", "100000", "127.0.0.1"];
        let ours = Line::new(shop.bins.tool("ping"), args);
        let theirs = Line::peer("ping", args);
        rows.push(compare(what, 5, &ours, &theirs, Target::Faster(1.0))?);
    }
    rows.push(calls(shop)?);
    rows.push(median(shop)?);
    rows.push(cadence(shop)?);
    for delay in [10, 100] {
        rows.push(truth(shop, delay)?);
    }
    Ok(rows)
}

fn sweeps(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("ping");
    let ours = Line::new(&tool, ["--alive", "--retries", "0", SWEEP]);
    let theirs = Line::peer("fping", ["-i0", "-r0", "-q", "-a", "-g", SWEEP]);
    let what = "ping: 65,534 hosts of 127.0.0.0/8";
    let mut rows = vec![compare(what, 7, &ours, &theirs, Target::Faster(2.0))?];
    if let (Some(us), Some(them)) = (piped(&ours), theirs.line().and_then(piped)) {
        let them = Peer::of("fping", them);
        let what = "ping: the same, read through a pipe";
        rows.push(compare(what, 7, &us, &them, Target::Faster(2.0))?);
    }
    let theirs = match theirs.line() {
        Some(line) => line.memory()?,
        None => None,
    };
    rows.push(memory("ping: memory for 65,534 hosts", &ours, theirs, 10)?);
    let million = ["--alive", "--retries", "0", "127.0.0.1-127.15.66.64"];
    let million = Line::new(&tool, million);
    rows.push(memory(
        "ping: memory for 1,000,000 hosts",
        &million,
        None,
        80,
    )?);
    let done = Exec::new(&tool, million.words().into_iter().skip(1)).run()?;
    done.expect_code(0)?;
    rows.push(Row {
        what: "ping: 1,000,000 hosts that answered".to_owned(),
        ours: done.out().lines().count().to_string(),
        theirs: "fping gives up at 65,536".to_owned(),
        ratio: Some(1e6 / done.out().lines().count().max(1) as f64),
        target: Target::AtMost(1.0),
    });
    Ok(rows)
}

/// Returns the same command with its output read through a pipe.
fn piped(line: &Line) -> Option<Line> {
    let cat = which("cat")?.into_os_string();
    let script = "set -o pipefail; cat=$1; shift; \"$@\" | \"$cat\" >/dev/null";
    let words = ["-c", script, "bash"].map(Into::into);
    let all = words.into_iter().chain([cat]).chain(line.words());
    Some(Line::new(which("bash")?, all))
}

/// Compares the peak memory of a run with a limit in MB.
fn memory(what: &str, ours: &Line, theirs: Option<u64>, limit: u64) -> Outcome<Row> {
    let Some(kb) = ours.memory()? else {
        return Ok(absent(what, "time not installed"));
    };
    let theirs = theirs.map_or_else(String::new, |kb| format!("fping {kb} kB, "));
    Ok(Row {
        what: what.to_owned(),
        ours: format!("{kb} kB"),
        theirs: format!("{theirs}limit {limit} MB"),
        ratio: Some(kb as f64 / (limit as f64 * 1000.0)),
        target: Target::AtMost(1.0),
    })
}

/// Counts the system calls per probe of a sweep with strace.
fn calls(shop: &Shop) -> Outcome<Row> {
    let what = "ping: system calls per probe, sweep";
    let Some(strace) = which("strace") else {
        return Ok(absent(what, "strace not installed"));
    };
    let tool = shop.bins.tool("ping").into_os_string();
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
        what: what.to_owned(),
        ours: format!("{:.3}", total / HOSTS),
        theirs: "fping 7".to_owned(),
        ratio: Some(total / HOSTS / 0.5),
        target: Target::AtMost(1.0),
    })
}

/// Compares the median round trip to 127.0.0.1 of both programs.
fn median(shop: &Shop) -> Outcome<Row> {
    let what = "ping: median round trip at 10 ms";
    let Some(peer) = which("ping") else {
        return Ok(absent(what, "ping not installed"));
    };
    let args = ["-c", "300", "-i", "0.01", "-n", "127.0.0.1"];
    let of = |program: std::path::PathBuf| -> Outcome<f64> {
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
    let (ours, theirs) = (of(shop.bins.tool("ping"))?, of(peer)?);
    Ok(Row {
        what: what.to_owned(),
        ours: format!("{ours:.3} ms"),
        theirs: format!("ping {theirs:.3} ms"),
        ratio: Some(ours / theirs),
        target: Target::AtMost(1.0),
    })
}

/// Measures how exactly the interval is kept over a hundred probes.
fn cadence(shop: &Shop) -> Outcome<Row> {
    let args = ["-q", "-c", "100", "-i", "0.01", "127.0.0.1"];
    let text = Exec::new(shop.bins.tool("ping"), args).text()?;
    let took = text
        .lines()
        .find_map(|line| line.rsplit_once(", time ")?.1.strip_suffix("ms"))
        .and_then(|took| took.parse::<f64>().ok())
        .ok_or_else(|| format!("no total time in\n{text}"))?;
    let asked = 99.0 * 10.0;
    Ok(Row {
        what: "ping: 100 probes at 10 ms".to_owned(),
        ours: format!("{took} ms"),
        theirs: format!("asked {asked} ms"),
        ratio: Some((took - asked).abs() / asked / 0.005),
        target: Target::AtMost(1.0),
    })
}

/// Compares the mean that ping reports with the delay that the host measured.
fn truth(shop: &Shop, delay: u64) -> Outcome<Row> {
    let what = format!("ping: error of the mean, delay {delay} ms");
    let lab = IcmpLab::awake(move |probe| {
        let start = Instant::now();
        // A busy loop, because a sleep would be longer than requested.
        while start.elapsed() < Duration::from_millis(delay) {
            std::hint::spin_loop();
        }
        vec![probe.reply()]
    });
    let lab = match lab {
        Ok(lab) => lab,
        Err(why) => return Ok(absent(&what, &why)),
    };
    let interval = format!("{}ms", delay * 2);
    let args = ["--json", "-q", "-c", "20", "-i", &interval, "127.0.0.1"];
    let out = lab.run(Tool::new(shop.bins.tool("ping")).args(args));
    let records: Vec<Value> = out.json();
    let mean = records
        .iter()
        .find_map(|record| record["avg_ms"].as_f64())
        .ok_or_else(|| format!("no mean in\n{}", out.story()))?;
    let delays = lab.took();
    let total: Duration = delays.iter().sum();
    let truth = total.as_secs_f64() * 1e3 / delays.len().max(1) as f64;
    Ok(Row {
        what,
        ours: format!("{mean:.3} ms"),
        theirs: format!("truth {truth:.3} ms"),
        ratio: Some((mean - truth).abs() / 0.1),
        target: Target::AtMost(1.0),
    })
}
