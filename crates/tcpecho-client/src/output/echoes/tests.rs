//! Tests of the lines and records of events and summaries.

use super::*;
use crate::tag::Tags;
use crate::tracker::Matching;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn every_event_has_a_line_and_a_record() {
    let (seq, bytes, rtt, offset) = (3, 64, MS(2), 9);
    let reply = |reordered| Event::Reply {
        seq,
        bytes,
        rtt,
        reordered,
    };
    let corrupt = |reordered| Event::Corrupt {
        seq,
        bytes,
        offset,
        rtt,
        reordered,
    };
    let late = |offset| Event::Late {
        seq,
        bytes,
        rtt,
        offset,
    };
    for (event, line, record) in [
        (
            reply(false),
            "64 bytes from a:7: seq=3 time=2.000 ms",
            "reply 3 64 2.0 false false false null",
        ),
        (
            reply(true),
            "64 bytes from a:7: seq=3 time=2.000 ms reordered",
            "reply 3 64 2.0 true false false null",
        ),
        (
            corrupt(false),
            "64 bytes from a:7: seq=3 time=2.000 ms differs at offset 9",
            "reply 3 64 2.0 false false true 9",
        ),
        (
            corrupt(true),
            "64 bytes from a:7: seq=3 time=2.000 ms differs at offset 9 reordered",
            "reply 3 64 2.0 true false true 9",
        ),
        (
            late(None),
            "late echo from a:7: seq=3 time=2.000 ms",
            "late 3 64 2.0 false false false null",
        ),
        (
            late(Some(offset)),
            "late echo from a:7: seq=3 time=2.000 ms differs at offset 9",
            "late 3 64 2.0 false false true 9",
        ),
        (
            Event::Duplicate { seq, bytes, rtt },
            "64 bytes from a:7: seq=3 time=2.000 ms duplicate",
            "reply 3 64 2.0 false true false null",
        ),
        (
            Event::Timeout { seq },
            "no echo from a:7: seq=3: timed out",
            "timeout 3",
        ),
        (
            Event::Stray { bytes },
            "64 bytes from a:7 that belong to no message",
            "stray 64",
        ),
    ] {
        assert_eq!(event_line("a:7", event), line);
        let json = serde_json::to_value(JsonEvent::new(event)).unwrap();
        let keys = [
            "type",
            "seq",
            "bytes",
            "rtt_ms",
            "reordered",
            "duplicate",
            "corrupt",
            "offset",
        ];
        let values = keys.iter().filter_map(|&key| json.get(key));
        let values: Vec<String> = values
            .map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
            .collect();
        assert_eq!(values.join(" "), record);
        assert!(json["time"].is_string());
    }
}

/// Calls `check` with the summary of nine messages: three echoes are correct, of
/// which one is reordered, one is corrupt, four messages are lost, one is in
/// flight; there are one duplicate and two strays.
fn summary(subject: Subject, check: impl FnOnce(&Summary<'_>)) {
    let tags = Tags::new(1);
    let mut tracker = EchoTracker::new(Matching::Tagged(tags));
    let datagram = |seq| {
        let mut datagram = vec![0; 20];
        tags.write(seq, &mut datagram);
        datagram
    };
    let mut latencies = Latencies::default();
    let mut jitter = Jitter::default();
    let mut events = Vec::new();
    for seq in 1..=9 {
        tracker.record_sent(seq, datagram(seq).into(), MS(seq * 10), MS(1000));
    }
    for seq in [2, 1, 1, 3, 0, 0] {
        tracker.receive_datagram(&datagram(seq), MS(90 + seq), &mut events);
    }
    tracker.receive_datagram(&datagram(4)[..18], MS(99), &mut events);
    for ms in [1, 3, 8] {
        latencies.record(MS(ms));
        jitter.record(MS(ms));
    }
    tracker.finish(MS(140), Some(MS(60)));
    check(&Summary {
        target: "host:7",
        address: Some("a:7"),
        subject,
        tracker: &tracker,
        latencies: &latencies,
        jitter,
        duration: MS(140),
    });
}

#[test]
fn every_line_of_the_summary() {
    summary(Subject::Echo, |summary| {
        assert_eq!(
            summary.lines().join("\n"),
            "\n--- host:7 echo statistics ---\n\
             9 sent, 3 received, 50% loss, 1 corrupt, 1 duplicate, 1 reordered, 2 stray, \
             1 in flight, time 140 ms\n\
             rtt min/avg/p50/p90/p99/max = 1.000/4.000/3.000/8.000/8.000/8.000 ms\n\
             jitter = 0.430 ms, interval = 10.000 ms"
        );
    });
    summary(Subject::Connect, |summary| {
        let lines = summary.lines();
        assert_eq!(lines[1], "--- host:7 connect statistics ---");
        assert!(lines[2].starts_with("9 tried, 3 connected, 50% failed, "));
        assert!(lines[3].starts_with("connect min/avg/"), "{lines:?}");
    });
}

#[test]
fn the_record_of_connects_has_no_counts_of_content() {
    let keys = ["corrupt", "duplicates", "reordered", "strays"];
    for (subject, figures) in [
        (Subject::Echo, [Some(1), Some(1), Some(1), Some(2)]),
        (Subject::Connect, [None; 4]),
    ] {
        summary(subject, |summary| {
            let record = serde_json::to_value(summary.record()).unwrap();
            assert_eq!(keys.map(|key| record[key].as_u64()), figures, "{record}");
        });
    }
}

#[test]
fn percentages() {
    assert_eq!(rounded(100.0 / 3.0).to_string(), "33.3333");
    assert_eq!(rounded(20.0).to_string(), "20");
}
