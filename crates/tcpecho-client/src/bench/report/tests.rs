//! Tests of the output of a load test with all its fields.

use super::*;
use crate::message::Sizes;

/// Creates statistics of 100,000 latencies, of 100 late sends, and of three
/// connections. The percentiles are whole milliseconds from 1 to 5, and the
/// maximum is 6 ms.
fn stats() -> LoadStats {
    let mut stats = LoadStats::default();
    for (ms, count) in [
        (1, 50_000),
        (2, 40_000),
        (3, 9000),
        (4, 900),
        (5, 99),
        (6, 1),
    ] {
        for _ in 0..count {
            stats.record_echo(10, ms * 1_000_000);
        }
    }
    for n in 1..=100 {
        stats.record_lateness(n * 1_000_000);
    }
    for _ in 0..3 {
        stats.record_connection(1);
    }
    stats.corrupt = 7;
    stats.record_error("reset");
    stats.end_read(4_000_000_000);
    stats.record_tcp_info(Duration::from_micros(100), 2);
    stats.record_tcp_info(Duration::from_micros(300), 3);
    stats
}

fn load(reconnect: bool) -> LoadOptions {
    LoadOptions {
        connections: 3,
        duration: Duration::from_secs(3),
        sizes: Sizes::default(),
        pipeline: 1,
        rate: Some(5.0),
        reconnect,
        seed: 0,
        timeout: Duration::from_secs(5),
    }
}

fn summary<'a>(options: &'a LoadOptions, stats: &'a LoadStats) -> Summary<'a> {
    Summary {
        target: "host:7",
        address: Some("192.0.2.1:7"),
        options,
        stats,
        duration: Duration::from_secs(4),
    }
}

/// Formats the fields of a record without `time`. Numbers are rounded, since
/// values of a histogram can be up to 0.1 % too high.
fn fields(record: &impl Serialize) -> String {
    let serde_json::Value::Object(fields) = serde_json::to_value(record).unwrap() else {
        panic!("not an object");
    };
    let mut fields: Vec<String> = fields
        .into_iter()
        .filter(|(key, _)| key != "time")
        .map(|(key, value)| match value.as_f64() {
            Some(number) if value.is_f64() => format!("{key} {number:.1}"),
            _ => format!("{key} {value}"),
        })
        .collect();
    fields.sort();
    fields.join("\n")
}

#[test]
fn the_summary_record_has_every_field() {
    let (stats, options) = (stats(), load(true));
    assert_eq!(
        fields(&summary(&options, &stats).record()),
        "address \"192.0.2.1:7\"\navg_ms 1.6\nbytes 1000000\nbytes_per_second 250000.0\n\
         connections 3\nconnections_per_second 0.8\ncorrupt 7\nduration_ms 4000.0\n\
         errors 1\nmax_ms 6.0\nmessages 100000\nmessages_per_second 25000.0\nmin_ms 1.0\n\
         p50_ms 1.0\np90_ms 2.0\np9999_ms 5.0\np999_ms 4.0\np99_ms 3.0\n\
         send_late_max_ms 100.0\nsend_late_p99_ms 99.0\ntarget \"host:7\"\n\
         tcp_retransmits 5\ntcp_rtt_ms 0.2\ntype \"summary\""
    );
}

#[test]
fn a_summary_has_every_line() {
    let (stats, options) = (stats(), load(true));
    let lines = summary(&options, &stats).lines("host:7");
    assert_eq!(
        lines.join("\n"),
        "--- host:7 bench statistics ---\n\
         3 connections, 100000 messages, 1000000 bytes verified in 4.000 s\n\
         25000 messages/s, 0.250 MB/s each way, 1 connections/s\n\
         7 corrupt, 1 error\n\
         latency min/avg/p50/p90/p99/p99.9/p99.99/max = \
         1.000/1.611/1.000/2.000/2.999/4.001/4.999/6.000 ms\n\
         send lateness p99/max = 99.000/100.000 ms\n\
         tcp rtt = 0.200 ms, 5 retransmits"
    );
    // The rate of connections is shown with --reconnect only.
    let options = load(false);
    let summary = summary(&options, &stats);
    assert!(summary.lines("host:7")[2].ends_with(" MB/s each way"));
    assert_eq!(summary.record().connections_per_second, None);
}

#[test]
fn the_record_of_an_interval_has_every_figure() {
    let interval = stats().next_interval();
    let (elapsed, length) = (Duration::from_secs(9), Duration::from_secs(2));
    let record = JsonInterval::new(&interval, elapsed, length, true);
    assert_eq!(
        fields(&record),
        "bytes 1000000\nbytes_per_second 500000.0\nconnections 3\n\
         connections_per_second 1.5\ncorrupt 7\nduration_ms 2000.0\nelapsed_ms 9000.0\n\
         errors 1\nmax_ms 6.0\nmessages 100000\nmessages_per_second 50000.0\np50_ms 1.0\n\
         p90_ms 2.0\np99_ms 3.0\ntype \"interval\""
    );
    assert_eq!(
        record.line(),
        "9 s: 50000 messages/s, 2 connections/s, p50 1.000 ms, p99 2.999 ms, 7 corrupt, 1 error"
    );
}

#[test]
fn counts_after_the_last_tick_form_another_interval() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let report = common::app::Reporter::new("test", Box::new(std::io::sink()));
    let mut io = Io::over(common::Out::new(Box::new(writer)), report);
    io.json = true;
    let mut reporter = IntervalReporter::new(&load(false), false);
    let mut stats = stats();
    reporter
        .tick(&mut io, &mut stats, Duration::from_secs(1))
        .unwrap();
    reporter
        .finish(&mut io, &mut stats, Duration::from_secs(2))
        .unwrap();
    stats.record_echo(10, 1);
    reporter
        .finish(&mut io, &mut stats, Duration::from_secs(3))
        .unwrap();
    drop(io);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    let lengths: Vec<f64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|record| record["duration_ms"].as_f64().unwrap())
        .collect();
    assert_eq!(lengths, [1000.0, 2000.0]);
}
