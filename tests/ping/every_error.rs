//! Every ICMP and ICMPv6 error there is, sent by a host that is told to: its
//! words, type, code, MTU and name, and the status, through raw and datagram
//! sockets alike.

use super::answers::{WAYS, Way, of, start, summary};

/// Type, code, the second word of the message, MTU, words, name.
type Row = (u8, u8, u32, Option<u32>, &'static str, &'static str);

/// All but 11/1, which Linux keeps to itself.
const V4: [Row; 20] = [
    (
        3,
        0,
        0,
        None,
        "Destination Net Unreachable",
        "net_unreachable",
    ),
    (
        3,
        1,
        0,
        None,
        "Destination Host Unreachable",
        "host_unreachable",
    ),
    (
        3,
        2,
        0,
        None,
        "Destination Protocol Unreachable",
        "protocol_unreachable",
    ),
    (
        3,
        3,
        0,
        None,
        "Destination Port Unreachable",
        "port_unreachable",
    ),
    (
        3,
        4,
        1280,
        Some(1280),
        "Frag needed and DF set (mtu = 1280)",
        "fragmentation_needed",
    ),
    (3, 5, 0, None, "Source Route Failed", "source_route_failed"),
    (3, 6, 0, None, "Destination Net Unknown", "net_unknown"),
    (3, 7, 0, None, "Destination Host Unknown", "host_unknown"),
    (
        3,
        8,
        0,
        None,
        "Source Host Isolated",
        "source_host_isolated",
    ),
    (
        3,
        9,
        0,
        None,
        "Destination Net Prohibited",
        "net_prohibited",
    ),
    (
        3,
        10,
        0,
        None,
        "Destination Host Prohibited",
        "host_prohibited",
    ),
    (
        3,
        11,
        0,
        None,
        "Destination Net Unreachable for Type of Service",
        "net_unreachable_for_tos",
    ),
    (
        3,
        12,
        0,
        None,
        "Destination Host Unreachable for Type of Service",
        "host_unreachable_for_tos",
    ),
    (3, 13, 0, None, "Packet filtered", "admin_prohibited"),
    (
        3,
        14,
        0,
        None,
        "Precedence Violation",
        "precedence_violation",
    ),
    (3, 15, 0, None, "Precedence Cutoff", "precedence_cutoff"),
    (11, 0, 0, None, "Time to live exceeded", "ttl_exceeded"),
    (
        11,
        2,
        0,
        None,
        "Time exceeded, Bad Code: 2",
        "time_exceeded",
    ),
    (
        12,
        0,
        20 << 24,
        None,
        "Parameter problem: pointer = 20",
        "parameter_problem",
    ),
    (
        12,
        2,
        3 << 24,
        None,
        "Parameter problem: pointer = 3",
        "parameter_problem",
    ),
];

const V6: [Row; 15] = [
    (
        1,
        0,
        0,
        None,
        "Destination unreachable: No route",
        "no_route",
    ),
    (
        1,
        1,
        0,
        None,
        "Destination unreachable: Administratively prohibited",
        "admin_prohibited",
    ),
    (
        1,
        2,
        0,
        None,
        "Destination unreachable: Beyond scope of source address",
        "beyond_scope",
    ),
    (
        1,
        3,
        0,
        None,
        "Destination unreachable: Address unreachable",
        "address_unreachable",
    ),
    (
        1,
        4,
        0,
        None,
        "Destination unreachable: Port unreachable",
        "port_unreachable",
    ),
    (
        1,
        5,
        0,
        None,
        "Destination unreachable: Source address failed ingress/egress policy",
        "source_policy_failed",
    ),
    (
        1,
        6,
        0,
        None,
        "Destination unreachable: Reject route to destination",
        "reject_route",
    ),
    (
        1,
        7,
        0,
        None,
        "Destination unreachable: Unknown code 7",
        "unreachable",
    ),
    (
        2,
        0,
        1280,
        Some(1280),
        "Packet too big: mtu=1280",
        "packet_too_big",
    ),
    (
        3,
        0,
        0,
        None,
        "Time exceeded: Hop limit",
        "hop_limit_exceeded",
    ),
    (
        3,
        1,
        0,
        None,
        "Time exceeded: Defragmentation failure",
        "reassembly_time_exceeded",
    ),
    (
        4,
        0,
        40,
        None,
        "Parameter problem: Wrong header field at 40",
        "parameter_problem",
    ),
    (
        4,
        1,
        6,
        None,
        "Parameter problem: Unknown header at 6",
        "parameter_problem",
    ),
    (
        4,
        2,
        48,
        None,
        "Parameter problem: Unknown option at 48",
        "parameter_problem",
    ),
    (
        4,
        3,
        0,
        None,
        "Parameter problem: code 3 at 0",
        "parameter_problem",
    ),
];

fn rows(way: Way) -> &'static [Row] {
    if way.host == "::1" { &V6 } else { &V4 }
}

#[test]
fn words_codes_names_and_status() {
    let lab = start(|probe| {
        let rows: &[Row] = if probe.is_v6() { &V6 } else { &V4 };
        let (kind, code, rest, ..) = rows[usize::from(probe.seq) - 1];
        vec![probe.error(kind, code, rest)]
    });
    let Some(lab) = lab else { return };
    for way in WAYS {
        let rows = rows(way);
        let count = rows.len();
        let out = way.run(&lab, &format!("-c {count} -i 0.005"));
        out.code(1).stderr("");
        let text = way.text(&out);
        let lines: Vec<&str> = text.lines().skip(1).take(count).collect();
        let expected: Vec<String> = (1..)
            .zip(rows)
            .map(|(seq, row)| format!("From HOST icmp_seq={seq} {}", row.4))
            .collect();
        assert_eq!(lines, expected, "{}", out.story());
        let sum = format!("{count} packets transmitted, 0 received, +{count} errors, 100%");
        assert!(text.contains(&sum), "{}", out.story());

        let out = way.run(&lab, &format!("--json -c {count} -i 0.005"));
        let records = out.code(1).stderr("").json();
        let errors = of(&records, "error");
        assert_eq!(errors.len(), count, "{}", out.story());
        for (seq, (error, row)) in (1..).zip(errors.into_iter().zip(rows)) {
            let (kind, code, _, mtu, _, name) = *row;
            let icmp = serde_json::json!({
                "type": kind, "code": code, "name": name, "from": way.host, "mtu": mtu,
            });
            assert_eq!((&error["seq"], &error["icmp"]), (&seq.into(), &icmp));
            assert_eq!(
                (&error["target"], &error["address"]),
                (&way.host.into(), &way.host.into())
            );
            assert!(error["rtt_ms"].as_f64().unwrap() > 0.0, "{}", out.story());
            assert_eq!(error.as_object().unwrap().len(), 9, "{error}");
        }
        assert!(of(&records, "timeout").is_empty(), "{}", out.story());
        let summary = summary(&out);
        assert_eq!(
            (&summary["errors"], &summary["lost"]),
            (&count.into(), &count.into())
        );
    }
}

#[test]
fn an_answer_after_an_error_counts() {
    // The answer to a probe comes with the next one, its error at once.
    let waiting = std::sync::Mutex::new(None);
    let lab = start(move |probe| {
        let kind = if probe.is_v6() { 1 } else { 3 };
        let mut waiting = waiting.lock().expect("the lock");
        let before = waiting.replace(probe.reply()).filter(|_| probe.seq > 1);
        let error = probe.error(kind, 1, 0);
        before.into_iter().chain([error]).collect()
    });
    let Some(lab) = lab else { return };
    for way in WAYS {
        let out = way.run(&lab, "-c 3 -i 0.05");
        out.code(0);
        let sum = "3 packets transmitted, 2 received, +3 errors, 33.3333%";
        way.says(&out, sum);
    }
}

#[test]
fn an_error_about_data_that_is_not_ours_is_passed_over() {
    // A byte of the quoted cookie is wrong; who forges an error has never seen
    // that.
    let lab = start(|probe| {
        let (kind, header) = if probe.is_v6() { (1, 40) } else { (3, 20) };
        let quoted = 8 + header + 8;
        let at = usize::from(probe.seq) * 5 % 16;
        vec![probe.error(kind, 1, 0).corrupt(quoted + at), probe.reply()]
    });
    let Some(lab) = lab else { return };
    for way in WAYS {
        let out = way.run(&lab, "-c 3 -i 0.02");
        let text = way.text(out.code(0).stderr(""));
        assert!(!text.contains("From "), "{}", out.story());
        assert!(
            text.contains("3 packets transmitted, 3 received, 0%"),
            "{}",
            out.story()
        );
    }
}

#[test]
fn an_error_that_quotes_eight_bytes_is_believed() {
    let lab = start(|probe| {
        let (kind, header) = if probe.is_v6() { (1, 40) } else { (3, 20) };
        vec![probe.error(kind, 1, 0).cut(8 + header + 8)]
    });
    let Some(lab) = lab else { return };
    for way in WAYS {
        let out = way.run(&lab, "-c 2 -i 0.02");
        way.says(&out, "From HOST icmp_seq=2 ");
        way.says(&out, "2 packets transmitted, 0 received, +2 errors, 100%");
    }
}

#[test]
fn what_is_no_error_is_passed_over() {
    // A redirect or a quench says nothing about whether the answer will come.
    let lab = start(|probe| {
        let first = if probe.is_v6() {
            probe.error(137, 0, 0)
        } else {
            let kind = if probe.seq == 1 { 5 } else { 4 };
            probe.error(kind, 0, 0x7f00_0007)
        };
        vec![
            first,
            probe.reply().after(std::time::Duration::from_millis(30)),
        ]
    });
    let Some(lab) = lab else { return };
    for way in WAYS {
        let out = way.run(&lab, "-c 2 -i 0.05");
        let text = way.text(out.code(0));
        assert!(
            text.contains("2 packets transmitted, 2 received, 0%"),
            "{}",
            out.story()
        );
        let told = way.host == "127.0.0.1";
        for advice in [
            "From HOST icmp_seq=1 Redirect Network(New nexthop: 127.0.0.7)\n",
            "From HOST icmp_seq=2 Source Quench\n",
        ] {
            assert_eq!(text.contains(advice), told, "{}", out.story());
        }
        let records = way.run(&lab, "--json -c 2 -i 0.05").code(0).json();
        assert!(of(&records, "error").is_empty(), "{records:?}");
        let notices = of(&records, "notice");
        assert_eq!(notices.len(), if told { 2 } else { 0 }, "{records:?}");
        for (seq, notice) in (1..).zip(notices) {
            let keys: Vec<_> = notice.as_object().unwrap().keys().collect();
            let expected = [
                "address", "icmp", "message", "seq", "target", "time", "type",
            ];
            assert_eq!(keys, expected);
            let (kind, name) = [(5, "redirect"), (4, "source_quench")][seq - 1];
            assert_eq!(
                (&notice["seq"], &notice["icmp"]["type"]),
                (&seq.into(), &kind.into())
            );
            assert_eq!(notice["icmp"]["name"], name);
        }
        let out = way.run(&lab, "--csv -c 2 -i 0.05");
        let rows = out
            .code(0)
            .lines()
            .into_iter()
            .filter(|line| line.starts_with("notice,"));
        assert_eq!(rows.count(), if told { 2 } else { 0 }, "{}", out.story());
    }
}
