//! The latencies, rates and counts of the summaries agree with what a peer counts
//! and measures with its own clock.
//!
//! In a closed loop the peer bounds each round trip from both sides: it is at
//! least the time for which the peer held the message, and at most the time from
//! the echo before it to the message after it. So the bounds hold on a machine of
//! any speed.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::peer::TcpPeer;

use crate::bench::load;
use crate::consistency::{check_echoes, count, number};
use crate::{TEST_TIMEOUT, client_to};

/// The size of the messages.
const SIZE: usize = 64;

/// A message as the peer has seen it.
#[derive(Clone, Debug)]
struct Seen {
    arrived: Instant,
    /// The time before the echo was written.
    departed: Instant,
    /// The same times by the clock of the records.
    arrived_at: String,
    departed_at: String,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// Starts an echo that holds message `n` for `hold(n)` and logs every message.
fn logging_peer(hold: impl Fn(u64) -> Duration + Send + Sync + 'static) -> (TcpPeer, Log) {
    let log = Log::default();
    let shared = Arc::clone(&log);
    let peer = TcpPeer::start(move |mut stream| {
        let mut message = [0; SIZE];
        for n in 0.. {
            stream.read_exact(&mut message)?;
            let (arrived, arrived_at) = (Instant::now(), common::time::now());
            let held = hold(n);
            if !held.is_zero() {
                std::thread::sleep(held);
            }
            shared.lock().unwrap().push(Seen {
                arrived,
                arrived_at,
                departed_at: common::time::now(),
                departed: Instant::now(),
            });
            stream.write_all(&message)?;
        }
        std::io::Result::Ok(())
    });
    (peer, log)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Returns the bounds of the round-trip times of a closed loop that ran from
/// `started` to `ended`, in milliseconds.
fn round_trips(seen: &[Seen], started: Instant, ended: Instant) -> Vec<(f64, f64)> {
    let bounds = |n: usize| {
        let before = n.checked_sub(1).map_or(started, |n| seen[n].departed);
        let after = seen.get(n + 1).map_or(ended, |next| next.arrived);
        (ms(seen[n].departed - seen[n].arrived), ms(after - before))
    };
    (0..seen.len()).map(bounds).collect()
}

/// Checks that the statistic `key` of a record is within the bounds, except for
/// rounding.
#[track_caller]
fn check_between(record: &Value, key: &str, (low, high): (f64, f64)) {
    let shown = number(record, key);
    let is_within = shown >= low * 0.998 - 1e-3 && shown <= high * 1.002 + 1e-3;
    assert!(is_within, "{key} is from {low} to {high}: {record}");
}

/// Checks the mean and the percentiles that a record contains against the bounds
/// of its latencies.
#[track_caller]
fn check_latencies(record: &Value, bounds: &[(f64, f64)]) {
    let (mut lows, mut highs): (Vec<f64>, Vec<f64>) = bounds.iter().copied().unzip();
    if record["avg_ms"].is_f64() {
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        check_between(record, "avg_ms", (mean(&lows), mean(&highs)));
    }
    // The n-th of the latencies is between the n-th of their bounds.
    lows.sort_by(f64::total_cmp);
    highs.sort_by(f64::total_cmp);
    for (key, share) in [
        ("min_ms", 0.0),
        ("p50_ms", 0.5),
        ("p90_ms", 0.9),
        ("p99_ms", 0.99),
        ("p999_ms", 0.999),
        ("p9999_ms", 0.9999),
        ("max_ms", 1.0),
    ] {
        if record[key].is_f64() {
            let rank = (share * lows.len() as f64).ceil() as usize;
            let index = rank.clamp(1, lows.len()) - 1;
            check_between(record, key, (lows[index], highs[index]));
        }
    }
}

/// Returns the bounds of the jitter of RFC 3550, a sum of differences with
/// positive weights.
fn jitter(round_trips: &[(f64, f64)]) -> (f64, f64) {
    let mut jitter = (0.0, 0.0);
    for pair in round_trips.windows(2) {
        let ((low, high), (next_low, next_high)) = (pair[0], pair[1]);
        let least = (next_low - high).max(low - next_high).max(0.0);
        let most = (next_high - low).max(high - next_low);
        jitter.0 += (least - jitter.0) / 16.0;
        jitter.1 += (most - jitter.1) / 16.0;
    }
    jitter
}

#[test]
fn round_trip_times_and_their_jitter_agree_with_the_peer() {
    let (peer, log) = logging_peer(|n| Duration::from_millis(n * 7 % 20));
    let started = Instant::now();
    let args = ["-j", "-c", "60", "-i", "0", "--timeout", "15s"];
    let out = client_to(&peer).args(args).timeout(TEST_TIMEOUT * 2).run();
    let ended = Instant::now();
    let records = out.code(0).json();
    let summary = check_echoes(&records);
    let seen = log.lock().unwrap().clone();
    assert_eq!(count(summary, "sent"), seen.len() as u64);
    let bounds = round_trips(&seen, started, ended);
    for (record, bounds) in records.iter().zip(&bounds) {
        check_between(record, "rtt_ms", *bounds);
    }
    check_latencies(summary, &bounds);
    check_between(summary, "jitter_ms", jitter(&bounds));
    let last = seen.len() - 1;
    let between = ms(seen[last].departed - seen[0].arrived);
    check_between(summary, "duration_ms", (between, ms(ended - started)));
    // The last message was sent after the echo before it, and the first one
    // arrived before its echo was sent.
    let least = ms(seen[last - 1].departed - seen[0].arrived) / last as f64;
    let most = ms(seen[last].arrived - started) / last as f64;
    check_between(summary, "interval_ms", (least, most));
}

#[test]
fn the_figures_of_a_closed_loop_agree_with_the_peer() {
    let (peer, log) = logging_peer(|n| Duration::from_millis(u64::from(n % 100 == 99) * 3));
    let started = Instant::now();
    let records = load(&peer, &["--duration", "2500ms", "--timeout", "15s"], 0);
    let ended = Instant::now();
    let seen = log.lock().unwrap().clone();
    let bounds = round_trips(&seen, started, ended);
    let (summary, intervals) = records.split_last().unwrap();
    assert_eq!(count(summary, "messages"), seen.len() as u64);
    assert_eq!(count(summary, "bytes"), (seen.len() * SIZE) as u64);
    check_latencies(summary, &bounds);
    // The kernel takes the round trips of the same segments.
    if cfg!(target_os = "linux") {
        let longest = bounds.iter().map(|(_, high)| *high).fold(0.0, f64::max);
        check_between(summary, "tcp_rtt_ms", (0.0, longest));
    }
    let first = seen[0].arrived;
    let last = seen.last().unwrap();
    let times = (ms(last.departed - first), ms(ended - started));
    check_between(summary, "duration_ms", times);
    let per_second = |ms: f64| seen.len() as f64 * 1000.0 / ms;
    let rates = (per_second(times.1), per_second(times.0));
    check_between(summary, "messages_per_second", rates);
    let bytes = |rate: f64| rate * SIZE as f64;
    let rates = (bytes(rates.0), bytes(rates.1));
    check_between(summary, "bytes_per_second", rates);
    // The messages of a connection are counted in order, so an interval has those
    // after the interval before it.
    let mut counted = 0;
    for interval in intervals {
        let messages = count(interval, "messages") as usize;
        if messages > 0 {
            check_latencies(interval, &bounds[counted..counted + messages]);
        }
        counted += messages;
        let time = interval["time"].as_str().unwrap();
        // The client sends a message after it has counted the one before.
        let sent = seen.iter().filter(|s| &*s.arrived_at < time).count();
        let echoed = seen.iter().filter(|s| &*s.departed_at <= time).count();
        assert!(
            (sent.saturating_sub(1)..=echoed).contains(&counted),
            "{counted} of {sent} to {echoed}: {interval}"
        );
    }
    assert!(intervals.len() >= 2, "{records:?}");
}

/// The client is stopped, so messages are sent late by known times.
#[test]
fn send_lateness_and_latencies_of_an_open_loop_agree_with_the_peer() {
    const RATE: f64 = 500.0;
    let (sender, arrivals) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let (peer, log) = logging_peer(move |n| {
        let _ = sender.lock().unwrap().send(n);
        Duration::ZERO
    });
    let started = Instant::now();
    let args = ["--bench", "-j", "--rate", "500", "--duration", "2s"];
    let running = client_to(&peer).args(args).spawn();
    while arrivals.recv_timeout(TEST_TIMEOUT).expect("a message") < 300 {}
    running.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(300));
    let resumed = Instant::now();
    let before = log.lock().unwrap().len();
    running.signal(libc::SIGCONT);
    let out = running.wait();
    let records = out.code(0).json();
    let summary = crate::consistency::check_load(&records);
    let seen = log.lock().unwrap().clone();
    assert_eq!(count(summary, "messages"), 1000);
    assert_eq!(seen.len(), 1000);
    // The run starts after the process and before the first message.
    let due = |start: Instant, n: usize| start + Duration::from_secs_f64(n as f64 / RATE);
    let first = seen[0].arrived;
    let late = |n: usize| {
        let least = if n < before {
            Duration::ZERO
        } else {
            resumed.saturating_duration_since(due(first, n))
        };
        let most = seen[n].arrived.saturating_duration_since(due(started, n));
        (ms(least), ms(most))
    };
    let (mut least, mut most): (Vec<f64>, Vec<f64>) = (0..seen.len()).map(late).unzip();
    least.sort_by(f64::total_cmp);
    most.sort_by(f64::total_cmp);
    check_between(summary, "send_late_p99_ms", (least[989], most[989]));
    check_between(summary, "send_late_max_ms", (least[999], most[999]));
    // The latency of each message is counted from its due time.
    let bounds = |n: usize| {
        let seen: &Seen = &seen[n];
        let since_due = seen.departed.saturating_duration_since(due(first, n));
        let least = (seen.departed - seen.arrived).max(since_due);
        (ms(least), f64::MAX / 1e6)
    };
    let bounds: Vec<(f64, f64)> = (0..seen.len()).map(bounds).collect();
    check_latencies(summary, &bounds);
}

#[test]
fn an_exchange_takes_as_long_as_for_the_peer() {
    let (peer, log) = logging_peer(|_| Duration::from_millis(30));
    let started = Instant::now();
    let message = "x".repeat(SIZE);
    let out = client_to(&peer).args(["-j", &message]).run();
    let ended = Instant::now();
    let record = out.code(0).json().remove(0);
    let seen = log.lock().unwrap().clone();
    let held = ms(seen[0].departed - seen[0].arrived);
    check_between(&record, "duration_ms", (held, ms(ended - started)));
    check_between(&record, "connect_ms", (0.0, ms(seen[0].arrived - started)));
}
