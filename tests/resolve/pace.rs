//! Retransmissions to slow and lossy servers, `--rate`, and the summary of `-v`.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::Output;
use testkit::dns::{Behaviour, DnsServer, Zone};

use super::{at, resolve, zone};

const COUNT: usize = 200;

fn hosts() -> Zone {
    (0..COUNT).fold(Zone::new().soa("test"), |zone, n| {
        zone.a(&format!("h{n}.test"), &format!("10.0.0.{n}"))
    })
}

fn names() -> String {
    (0..COUNT).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "h{n}.test");
        text
    })
}

/// Asks for all names. Returns the times of the queries for each of them.
fn query_times(server: &DnsServer) -> HashMap<String, Vec<Instant>> {
    let out = resolve()
        .arg(at(server))
        .args(["--ordered", "-t", "A", "-"])
        .stdin(names())
        .run();
    let expected = (0..COUNT).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "h{n}.test\tA\t10.0.0.{n}");
        text
    });
    out.code(0).stdout(&expected).stderr("");
    let mut times: HashMap<String, Vec<Instant>> = HashMap::new();
    for logged in server.queries() {
        times.entry(logged.query.name).or_default().push(logged.at);
    }
    times
}

/// A query is not repeated before its answer can have come. Later repeats prove
/// nothing: a busy machine may hold up either side.
#[test]
fn a_slow_server_has_time_to_answer() {
    for time in [200, 700] {
        let time = Duration::from_millis(time);
        let delay = Behaviour::Delay(time);
        let server = DnsServer::with_behaviour(hosts(), move |_, _| delay.clone());
        let times = query_times(&server);
        let early = times.values().flat_map(|times| times.windows(2));
        let early = early.filter(|pair| pair[1] - pair[0] < time).count();
        assert!(early <= COUNT / 10, "{early} repeated within {time:?}");
    }
}

/// A recursive server needs more time for some names than for others.
#[test]
fn slow_names_are_repeated_with_growing_timeouts() {
    let server = DnsServer::with_behaviour(hosts(), |query, _| {
        if query.name.ends_with("7.test.") {
            Behaviour::Delay(Duration::from_millis(700))
        } else {
            Behaviour::Answer
        }
    });
    // The timeouts are 50 ms, 100 ms, 200 ms and so on, so that four of them exceed
    // 700 ms. A busy machine may need more.
    let times = query_times(&server);
    let slow = times.iter().filter(|(name, _)| name.ends_with("7.test."));
    let most = slow.map(|(_, times)| times.len()).max();
    assert!(most.is_some_and(|most| most <= 10), "{most:?}");
}

#[test]
fn a_dropped_query_is_repeated() {
    let count = AtomicUsize::new(0);
    let server = DnsServer::with_behaviour(hosts(), move |_, _| {
        match count.fetch_add(1, Ordering::SeqCst) % 50 {
            49 => Behaviour::Drop,
            _ => Behaviour::Answer,
        }
    });
    query_times(&server);
    let repeats = server.queries().len() - COUNT;
    // Four queries are dropped. The round-trip times are short, so that a short
    // stall of the machine repeats all queries in flight.
    assert!((4..COUNT).contains(&repeats), "{repeats}");
}

/// Runs `tool` and returns the elapsed time, which includes the whole run.
fn timed(tool: testkit::Tool) -> (Output, Duration) {
    let start = Instant::now();
    let out = tool.timeout(Duration::from_secs(120)).run();
    (out, start.elapsed())
}

/// The least time for this many queries at a rate, less the 10 ms that the tool may
/// make up for after a late query.
fn least_time(queries: usize, rate: u32) -> Duration {
    let gap = Duration::from_secs(1) / rate;
    (gap * (queries as u32 - 1)).saturating_sub(Duration::from_millis(11))
}

#[test]
fn a_rate_is_kept() {
    let server = DnsServer::start(zone());
    let (out, time) = timed(
        resolve()
            .arg(at(&server))
            .args(["--rate", "100", "--timeout", "60s", "-t", "A", "-"])
            .stdin("host.test\n".repeat(101)),
    );
    assert_eq!(out.code(0).lines().len(), 101);
    // Some queries may be repeated, at the same rate.
    let count = server.queries().len();
    assert!(count >= 101, "{count}");
    assert!(time >= least_time(count, 100), "{count} in {time:?}");
}

#[test]
fn retries_count_toward_the_rate_of_each_server() {
    let lossy = || {
        let count = AtomicUsize::new(0);
        DnsServer::with_behaviour(zone(), move |_, _| {
            match count.fetch_add(1, Ordering::SeqCst) % 2 {
                0 => Behaviour::Drop,
                _ => Behaviour::Answer,
            }
        })
    };
    let (one, two) = (lossy(), lossy());
    let (out, time) = timed(
        resolve()
            .args([at(&one), at(&two)])
            .args(["--rate", "50", "--timeout", "60s", "-t", "A", "-"])
            .stdin("host.test\n".repeat(60)),
    );
    assert_eq!(out.code(0).lines().len(), 60);
    let all = one.queries().len() + two.queries().len();
    assert!(all > 60, "{all}");
    for server in [&one, &two] {
        let count = server.queries().len();
        assert!(time >= least_time(count, 50), "{count} in {time:?}");
        // Both servers are used.
        assert!(count >= all / 8, "{count} of {all}");
    }
}

fn summary(out: &Output) -> String {
    let text = out.stderr_str();
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_summary_has_the_counts() {
    let server = DnsServer::start(zone());
    let run = |names: &[&str]| {
        let verbose = resolve().arg(at(&server)).args(["-v", "-t", "A"]);
        verbose.args(names).run()
    };
    assert_eq!(
        summary(&run(&["host.test"])),
        "resolve: 1 operand, 1 query, 0 of them repeated, ignored 0 unrelated packets"
    );
    assert_eq!(
        summary(&run(&["host.test", "no.test"])),
        "resolve: 2 operands, 2 queries, 0 of them repeated, ignored 0 unrelated packets"
    );
    let system = resolve().args(["-4", "-v", "localhost"]).run();
    assert_eq!(
        summary(&system),
        "resolve: 1 operand looked up by the system"
    );
}

/// Both streams go to one pipe, as on a terminal.
#[test]
fn the_summary_follows_the_answers() {
    let server = DnsServer::start(zone());
    let script = format!(
        "exec '{}' {} -v -t A host.test only4.test 2>&1",
        env!("CARGO_BIN_EXE_resolve"),
        at(&server)
    );
    let out = testkit::Tool::new("sh").args(["-c", &script]).run();
    let lines = out.code(0).lines();
    assert_eq!(lines.len(), 3, "{}", out.report());
    assert!(lines[2].starts_with("resolve: 2 operands"), "{lines:?}");
    let script = format!(
        "exec '{}' -4 -v localhost 2>&1",
        env!("CARGO_BIN_EXE_resolve")
    );
    let out = testkit::Tool::new("sh").args(["-c", &script]).run();
    assert_eq!(
        out.code(0).lines(),
        ["127.0.0.1", "resolve: 1 operand looked up by the system"]
    );
}
