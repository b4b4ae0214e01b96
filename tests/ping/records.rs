//! JSON records: their types, keys and order.

use serde_json::Value;

use super::{may_ping, ping};

fn keys(record: &Value) -> Vec<&str> {
    let object = record.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

#[test]
fn a_run_has_start_replies_and_summary() {
    if !may_ping() {
        return;
    }
    let out = ping("--json -c 2 -i 0.01 127.0.0.1").run();
    let records = out.code(0).stderr("").json();
    let types: Vec<_> = records
        .iter()
        .map(|r| r["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["start", "reply", "reply", "summary"]);
    let line = out.lines().remove(1);
    let order = [
        "type",
        "target",
        "address",
        "seq",
        "bytes",
        "ttl",
        "rtt_ms",
        "time",
        "duplicate",
        "reordered",
        "corrupt",
        "from",
    ];
    let positions = order.map(|key| line.find(&format!("\"{key}\":")).expect(key));
    assert!(positions.is_sorted(), "{line}");
    assert_eq!(records[1]["seq"], 1);
    assert_eq!(records[1]["bytes"], 64);
    assert_eq!(records[1]["ttl"], 64);
    assert!(records[1]["rtt_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(records[2]["seq"], 2);
    let summary = &records[3];
    for key in [
        "target",
        "address",
        "sent",
        "received",
        "lost",
        "in_flight",
        "loss_percent",
        "foreign",
        "late",
        "duplicates",
        "reordered",
        "corrupt",
        "errors",
        "min_ms",
        "avg_ms",
        "max_ms",
        "mdev_ms",
        "p50_ms",
        "p90_ms",
        "p99_ms",
        "jitter_ms",
        "duration_ms",
        "time",
    ] {
        assert!(keys(summary).contains(&key), "{key}");
    }
    assert_eq!(
        (&summary["sent"], &summary["received"], &summary["lost"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!(summary["loss_percent"], 0.0);
}

#[test]
fn quiet_omits_replies() {
    if !may_ping() {
        return;
    }
    let out = ping("-jq -c 3 -i 0.01 127.0.0.1").run();
    let records = out.code(0).json();
    let types: Vec<_> = records
        .iter()
        .map(|r| r["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["start", "summary"]);
}

#[test]
fn a_list_has_records_of_every_target() {
    if !may_ping() {
        return;
    }
    let out = ping("--json 127.0.0.1 127.1 127.0.0.2").run();
    out.code(2)
        .stderr("ping: 127.1: not an address: IPv4 needs four numbers, this has 2\n");
    let records = out.json();
    let count_of = |kind: &str| records.iter().filter(|r| r["type"] == kind).count();
    assert_eq!(
        (
            count_of("start"),
            count_of("reply"),
            count_of("summary"),
            count_of("error")
        ),
        (2, 2, 2, 1)
    );
    let error = records.iter().find(|r| r["type"] == "error").unwrap();
    assert_eq!(
        (&error["kind"], &error["target"]),
        (&"input".into(), &"127.1".into())
    );
}

/// Keys that do not apply are null.
#[test]
fn every_error_has_the_same_keys() {
    let Some(lab) = super::lab() else { return };
    let script = "
        ping --json --bad; ping --json; ping --json 127.1; ping --json -s 65508 127.0.0.1
        ping --json -I nope ::1; ping --json 10.9.9.9; ping --json 10.9.9.9 127.1
        ping --json --mtu 127.1; ping --json @absent; ping --json -f -i 1 127.0.0.1 127.0.0.2
        ping --json --mtu -W 0.01 127.255.255.255
        setpriv --bounding-set -net_raw --inh-caps -net_raw ping --json 127.0.0.1 127.1";
    let out = lab.script(script);
    let records = out.json();
    let errors: Vec<_> = records.iter().filter(|r| r["type"] == "error").collect();
    assert!(errors.len() >= 13, "{}", out.report());
    for error in errors {
        let mut expected = [
            "type", "target", "kind", "message", "address", "seq", "icmp", "rtt_ms", "time",
        ];
        expected.sort_unstable();
        assert_eq!(keys(error), expected, "{error}");
    }
    for record in &records {
        assert!(record["time"].as_str().unwrap().ends_with('Z'), "{record}");
    }
    let first = out.lines().remove(0);
    let order = [
        "type", "target", "kind", "message", "address", "seq", "icmp", "rtt_ms", "time",
    ];
    let positions = order.map(|key| first.find(&format!("\"{key}\":")).expect(key));
    assert!(positions.is_sorted(), "{first}");
}
