//! Every ICMP and ICMPv6 error, from a host that the test controls: its text, type,
//! code, MTU and name, and the exit status, with raw and with datagram sockets.

use super::host::{SOCKET_CASES, SocketCase, of_type, start, summary};

/// Type, code, second word of the message, MTU, text, name.
type Row = (u8, u8, u32, Option<u32>, &'static str, &'static str);

/// All errors except 11/1, which Linux does not report.
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

fn rows(case: SocketCase) -> &'static [Row] {
    if case.host == "::1" { &V6 } else { &V4 }
}

#[test]
fn every_error_has_its_text_code_name_and_status() {
    let lab = start(|probe| {
        let rows: &[Row] = if probe.is_v6() { &V6 } else { &V4 };
        let (kind, code, rest, ..) = rows[usize::from(probe.seq) - 1];
        vec![probe.error(kind, code, rest)]
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let rows = rows(case);
        let count = rows.len();
        let out = case.run(&lab, &format!("-c {count} -i 0.005"));
        out.code(1).stderr("");
        let text = case.text(&out);
        let lines: Vec<&str> = text.lines().skip(1).take(count).collect();
        let expected: Vec<String> = (1..)
            .zip(rows)
            .map(|(seq, row)| format!("From HOST icmp_seq={seq} {}", row.4))
            .collect();
        assert_eq!(lines, expected, "{}", out.report());
        let sum = format!("{count} packets transmitted, 0 received, +{count} errors, 100%");
        assert!(text.contains(&sum), "{}", out.report());

        let out = case.run(&lab, &format!("--json -c {count} -i 0.005"));
        let records = out.code(1).stderr("").json();
        let errors = of_type(&records, "error");
        assert_eq!(errors.len(), count, "{}", out.report());
        for (seq, (error, row)) in (1..).zip(errors.into_iter().zip(rows)) {
            let (kind, code, _, mtu, _, name) = *row;
            let icmp = serde_json::json!({
                "type": kind, "code": code, "name": name, "from": case.host, "mtu": mtu,
            });
            assert_eq!((&error["seq"], &error["icmp"]), (&seq.into(), &icmp));
            assert_eq!(
                (&error["target"], &error["address"]),
                (&case.host.into(), &case.host.into())
            );
            assert!(error["rtt_ms"].as_f64().unwrap() > 0.0, "{}", out.report());
            assert_eq!(error.as_object().unwrap().len(), 9, "{error}");
        }
        assert!(of_type(&records, "timeout").is_empty(), "{}", out.report());
        let summary = summary(&out);
        assert_eq!(
            (&summary["errors"], &summary["lost"]),
            (&count.into(), &count.into())
        );
    }
}

#[test]
fn a_reply_after_an_error_counts() {
    // The error about a probe is sent immediately, its reply with the next probe.
    let waiting = std::sync::Mutex::new(None);
    let lab = start(move |probe| {
        let kind = if probe.is_v6() { 1 } else { 3 };
        let mut waiting = waiting.lock().expect("the lock");
        let previous = waiting.replace(probe.reply()).filter(|_| probe.seq > 1);
        let error = probe.error(kind, 1, 0);
        previous.into_iter().chain([error]).collect()
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 3 -i 0.05");
        out.code(0);
        let sum = "3 packets transmitted, 2 received, +3 errors, 33.3333%";
        case.expect_text(&out, sum);
    }
}

#[test]
fn a_forged_error_is_ignored() {
    // A byte of the quoted cookie is wrong. The sender of a forged error does not
    // know the cookie.
    let lab = start(|probe| {
        let (kind, header) = if probe.is_v6() { (1, 40) } else { (3, 20) };
        let quoted = 8 + header + 8;
        let offset = usize::from(probe.seq) * 5 % 16;
        vec![
            probe.error(kind, 1, 0).corrupt(quoted + offset),
            probe.reply(),
        ]
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 3 -i 0.02");
        let text = case.text(out.code(0).stderr(""));
        assert!(!text.contains("From "), "{}", out.report());
        assert!(
            text.contains("3 packets transmitted, 3 received, 0%"),
            "{}",
            out.report()
        );
    }
}

#[test]
fn an_error_may_quote_only_eight_bytes() {
    let lab = start(|probe| {
        let (kind, header) = if probe.is_v6() { (1, 40) } else { (3, 20) };
        vec![probe.error(kind, 1, 0).cut(8 + header + 8)]
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 2 -i 0.02");
        case.expect_text(&out, "From HOST icmp_seq=2 ");
        case.expect_text(&out, "2 packets transmitted, 0 received, +2 errors, 100%");
    }
}

#[test]
fn a_redirect_or_source_quench_is_a_notice() {
    // The reply may still come after either.
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
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 2 -i 0.05");
        let text = case.text(out.code(0));
        assert!(
            text.contains("2 packets transmitted, 2 received, 0%"),
            "{}",
            out.report()
        );
        let has_notices = case.host == "127.0.0.1";
        for notice in [
            "From HOST icmp_seq=1 Redirect Network(New nexthop: 127.0.0.7)\n",
            "From HOST icmp_seq=2 Source Quench\n",
        ] {
            assert_eq!(text.contains(notice), has_notices, "{}", out.report());
        }
        let records = case.run(&lab, "--json -c 2 -i 0.05").code(0).json();
        assert!(of_type(&records, "error").is_empty(), "{records:?}");
        let notices = of_type(&records, "notice");
        assert_eq!(
            notices.len(),
            if has_notices { 2 } else { 0 },
            "{records:?}"
        );
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
        let out = case.run(&lab, "--csv -c 2 -i 0.05");
        let rows = out
            .code(0)
            .lines()
            .into_iter()
            .filter(|line| line.starts_with("notice,"));
        assert_eq!(
            rows.count(),
            if has_notices { 2 } else { 0 },
            "{}",
            out.report()
        );
    }
}
