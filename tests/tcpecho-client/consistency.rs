//! Checks of records: whether the statistics of a summary agree with the records
//! before it and with each other.

use serde_json::Value;

pub(crate) fn count(record: &Value, key: &str) -> u64 {
    record[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} in {record}"))
}

pub(crate) fn number(record: &Value, key: &str) -> f64 {
    record[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} in {record}"))
}

/// Returns the summary, which must be the last record.
#[track_caller]
pub(crate) fn summary(records: &[Value]) -> &Value {
    let last = records.last().expect("a summary");
    assert_eq!(last["type"], "summary", "{last}");
    last
}

/// Returns whether two numbers are equal but for rounding.
fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-3 * a.abs().max(b.abs()).max(1e-3)
}

/// Checks the summary of a run of messages against its records, and returns it.
/// The run must not have been quiet.
#[track_caller]
pub(crate) fn check_echoes(records: &[Value]) -> &Value {
    let summary = summary(records);
    let of = |tag: &'static str| records.iter().filter(move |r| r["type"] == tag);
    let with = |key: &'static str| of("reply").filter(move |r| r[key] == true).count() as u64;
    let right: Vec<&Value> = of("reply")
        .filter(|r| r["duplicate"] == false && r["corrupt"] == false)
        .collect();
    assert_eq!(right.len() as u64, count(summary, "received"), "{summary}");
    let failed = of("error").filter(|r| r["seq"].is_u64()).count() as u64;
    let timeouts = of("timeout").count() as u64;
    if count(summary, "in_flight") == 0 && count(summary, "received") > 0 {
        let reported = failed + timeouts;
        let lost = count(summary, "lost");
        // Messages that were lost at the end of the run have no record.
        assert!(reported <= lost, "{reported} of {summary}");
    }
    assert_eq!(with("corrupt"), count(summary, "corrupt"), "{summary}");
    if let Some(duplicates) = summary["duplicates"].as_u64() {
        assert_eq!(with("duplicate"), duplicates, "{summary}");
        assert_eq!(of("stray").count() as u64, count(summary, "strays"));
    }
    let reordered = right.iter().filter(|r| r["reordered"] == true).count();
    assert_eq!(reordered as u64, count(summary, "reordered"), "{summary}");
    // By the order of the records, an echo is reordered if that of a later
    // message was before it.
    let mut latest = 0;
    for reply in of("reply").filter(|r| r["duplicate"] == false) {
        let seq = count(reply, "seq");
        assert_eq!(reply["reordered"], seq < latest, "{reply}");
        latest = latest.max(seq);
    }
    let rtts: Vec<f64> = right.iter().map(|r| number(r, "rtt_ms")).collect();
    check_latencies(summary, &rtts);
    check_summary(summary);
    for record in records {
        assert!(record["time"].as_str().is_some_and(|t| t.ends_with('Z')));
    }
    summary
}

/// Checks the latencies of a summary against the round-trip times in order of
/// arrival.
#[track_caller]
fn check_latencies(summary: &Value, rtts: &[f64]) {
    let keys = ["min_ms", "avg_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms"];
    if rtts.is_empty() {
        for key in keys.into_iter().chain(["jitter_ms"]) {
            assert!(summary[key].is_null(), "{key} in {summary}");
        }
        return;
    }
    let mut sorted = rtts.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |q: f64| sorted[((q * rtts.len() as f64).ceil() as usize).clamp(1, rtts.len()) - 1];
    let mean = rtts.iter().sum::<f64>() / rtts.len() as f64;
    let expected = [rank(0.0), mean, rank(0.5), rank(0.9), rank(0.99), rank(1.0)];
    for (key, expected) in keys.into_iter().zip(expected) {
        let shown = number(summary, key);
        assert!(is_close(shown, expected), "{key} is {expected}: {summary}");
    }
    let mut jitter = 0.0;
    for pair in rtts.windows(2) {
        jitter += ((pair[1] - pair[0]).abs() - jitter) / 16.0;
    }
    if rtts.len() > 1 {
        assert!(
            is_close(number(summary, "jitter_ms"), jitter),
            "{jitter}: {summary}"
        );
    }
}

/// Checks the statistics of a summary of messages or connects against each other.
#[track_caller]
pub(crate) fn check_summary(summary: &Value) {
    let of = |key| summary[key].as_u64().unwrap_or(0);
    let completed = of("received") + of("lost") + of("corrupt");
    assert_eq!(of("sent"), completed + of("in_flight"), "{summary}");
    let loss = match completed {
        0 => 0.0,
        completed => of("lost") as f64 * 100.0 / completed as f64,
    };
    assert!(
        (number(summary, "loss_percent") - loss).abs() < 1e-3,
        "{summary}"
    );
    if of("received") == 0 && of("corrupt") == 0 && of("sent") > 0 {
        assert_eq!(summary["loss_percent"], 100.0, "{summary}");
    }
    let ordered = ["min_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms"];
    for pair in ordered.windows(2) {
        if let [Some(less), Some(more)] = [&summary[pair[0]], &summary[pair[1]]].map(Value::as_f64)
        {
            assert!(less <= more, "{pair:?} in {summary}");
        }
    }
    match (of("sent"), summary["interval_ms"].as_f64()) {
        (0 | 1, interval) => assert_eq!(interval, None, "{summary}"),
        (sent, Some(interval)) => {
            let all = interval * (sent - 1) as f64;
            assert!(all <= number(summary, "duration_ms") + 1e-3, "{summary}");
        }
        (_, None) => panic!("no interval in {summary}"),
    }
}

/// Checks the statistics of a load test against each other; returns the summary.
#[track_caller]
pub(crate) fn check_load(records: &[Value]) -> &Value {
    let summary = summary(records);
    let intervals: Vec<&Value> = records.iter().filter(|r| r["type"] == "interval").collect();
    for key in ["connections", "messages", "bytes", "corrupt", "errors"] {
        let sum: u64 = intervals.iter().map(|r| count(r, key)).sum();
        assert_eq!(
            sum,
            count(summary, key),
            "{key} of {intervals:?} and {summary}"
        );
    }
    let mut elapsed = 0.0;
    for interval in &intervals {
        elapsed += number(interval, "duration_ms");
        assert!(
            (number(interval, "elapsed_ms") - elapsed).abs() < 1e-3,
            "{interval}"
        );
        check_rates(interval);
    }
    assert!(
        elapsed <= number(summary, "duration_ms") + 1e-3,
        "{summary}"
    );
    check_rates(summary);
    let total = count(summary, "messages");
    let order = [
        "min_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "p9999_ms", "max_ms",
    ];
    for key in order.into_iter().chain(["avg_ms"]) {
        assert_eq!(summary[key].is_null(), total == 0, "{key} in {summary}");
    }
    if total > 0 {
        for pair in order.windows(2) {
            assert!(
                number(summary, pair[0]) <= number(summary, pair[1]),
                "{summary}"
            );
        }
        let greatest = intervals.iter().filter_map(|r| r["max_ms"].as_f64());
        let greatest = greatest.fold(0.0, f64::max);
        assert!(
            is_close(greatest, number(summary, "max_ms")),
            "{intervals:?} {summary}"
        );
    }
    let late = ["send_late_p99_ms", "send_late_max_ms"].map(|key| summary[key].as_f64());
    assert!(late[0] <= late[1], "{summary}");
    summary
}

/// Checks the rates of a record against its counts and its duration.
#[track_caller]
fn check_rates(record: &Value) {
    let seconds = number(record, "duration_ms") / 1000.0;
    for (key, rate) in [
        ("messages", "messages_per_second"),
        ("bytes", "bytes_per_second"),
        ("connections", "connections_per_second"),
    ] {
        let Some(rate) = record[rate].as_f64() else {
            assert_eq!(rate, "connections_per_second", "{record}");
            continue;
        };
        let counted = count(record, key) as f64;
        let error = (rate * seconds - counted).abs();
        assert!(error <= 1e-3 * counted.max(1.0), "{key} in {record}");
    }
}
