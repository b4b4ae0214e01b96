//! Replies of every kind: late, duplicate, reordered, corrupt, from another
//! address.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use testkit::icmp::{IcmpLab, IcmpMessage};

use super::host::{SOCKET_CASES, of_type, start, summary};
use super::{LONG, SOON};

/// Starts a lab with a host that keeps the reply to the probe `kept`, and sends it
/// after the reply to the probe `release`.
fn delay_reply(kept: u16, release: u16) -> Option<IcmpLab> {
    let waiting = Mutex::new(None);
    start(move |probe| {
        let mut waiting = waiting.lock().expect("the lock");
        let mut replies = vec![probe.reply()];
        if probe.seq == kept {
            *waiting = replies.pop();
        } else if probe.seq == release {
            replies.extend(waiting.take());
        }
        replies
    })
}

#[test]
fn duplicates_are_marked_and_counted() {
    let lab = start(|probe| vec![probe.reply(), probe.reply()]);
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        // The last duplicate may arrive after the end of the run.
        let out = case.run(&lab, "-c 3 -i 0.05");
        out.code(0).stderr("");
        let masked = case.text(&out);
        assert!(
            masked.contains(
                "icmp_seq=1 ttl=64 time=T\n64 bytes from HOST: icmp_seq=1 ttl=64 time=T (DUP!)\n"
            ),
            "{}",
            out.report()
        );
        assert!(
            masked.contains("3 packets transmitted, 3 received, +2 duplicates, 0% packet loss")
                || masked
                    .contains("3 packets transmitted, 3 received, +3 duplicates, 0% packet loss"),
            "{}",
            out.report()
        );
        let out = case.run(&lab, "--json -c 3 -i 0.05");
        let records = out.json();
        let replies = of_type(&records, "reply");
        assert_eq!(replies[0]["duplicate"], false);
        assert_eq!(replies[1]["duplicate"], true);
        assert_eq!(replies[1]["seq"], 1);
        assert_eq!(summary(&out)["received"], 3);
    }
}

/// Each first reply erases a dot, so the dots that are left are lost probes.
#[test]
fn a_duplicate_erases_no_dot_of_a_flood() {
    let lab = start(|probe| match probe.seq {
        1 => vec![],
        2 | 3 => vec![probe.reply(), probe.reply()],
        _ => vec![probe.reply()],
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-f -c 4 -W 1");
        let dots = &out.code(0).lines()[1];
        let (sent, erased) = (dots.matches('.').count(), dots.matches("\x08 \x08").count());
        assert_eq!((sent, erased), (4, 3), "{}", out.report());
        out.stdout_contains("4 packets transmitted, 3 received, +2 duplicates, 25% packet loss");
    }
}

#[test]
fn a_late_reply_is_recorded() {
    // The host keeps the first reply until the test has seen its timeout.
    let release = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&release);
    let kept = Mutex::new(None);
    let lab = start(move |probe| {
        let mut kept = kept.lock().expect("the lock");
        if probe.seq == 1 {
            *kept = Some(probe.reply());
            return vec![];
        }
        let late = kept.take_if(|_| released.load(Ordering::SeqCst));
        late.into_iter().chain([probe.reply()]).collect()
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        release.store(false, Ordering::SeqCst);
        let running = lab.spawn(case.tool("--json -i 0.1 -W 2").timeout(LONG));
        let wait_for = |kind: &str| loop {
            let line = running.read_line(SOON);
            let record: Value = serde_json::from_str(&line).expect("a record");
            if record["type"] == kind {
                return record;
            }
        };
        assert_eq!(wait_for("timeout")["seq"], 1);
        release.store(true, Ordering::SeqCst);
        let late = wait_for("late");
        assert_eq!(late["seq"], 1);
        assert!(late["rtt_ms"].as_f64().unwrap() > 2000.0, "{late}");
        running.signal(libc::SIGINT);
        let out = running.wait();
        let summary = summary(out.code(0));
        assert_eq!((&summary["lost"], &summary["late"]), (&1.into(), &1.into()));
        let received = summary["received"].as_u64().unwrap() as f64;
        let loss = summary["loss_percent"].as_f64().unwrap();
        assert!((loss - 100.0 / (received + 1.0)).abs() < 1e-6, "{summary}");
    }
}

#[test]
fn a_late_reply_is_marked_and_counted() {
    // The sixth probe is sent half a second after the first has timed out.
    let Some(lab) = delay_reply(1, 6) else {
        return;
    };
    for case in [SOCKET_CASES[0], SOCKET_CASES[3]] {
        let out = case.run(&lab, "-c 7 -i 0.5 -W 2");
        out.code(0).stderr("ping: 1 late\n");
        case.expect_text(&out, "icmp_seq=1 ttl=64 time=T (late)\n");
        case.expect_text(
            &out,
            "7 packets transmitted, 6 received, 14.2857% packet loss",
        );
    }
}

#[test]
fn a_late_reply_shows_that_the_host_is_up() {
    // Each reply is sent when the second probe after its own arrives. By then its
    // probe has timed out, but no three probes are lost without a late reply.
    let waiting: Mutex<Vec<IcmpMessage>> = Mutex::new(Vec::new());
    let lab = start(move |probe| {
        let mut waiting = waiting.lock().expect("the lock");
        if probe.seq == 1 {
            waiting.clear();
        }
        waiting.push(probe.reply());
        if waiting.len() > 2 {
            vec![waiting.remove(0)]
        } else {
            vec![]
        }
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let up = case.run(&lab, "--until-up -q -i 0.1 -W 0.1 --timeout 20");
        up.code(0);
        let down = case.run(&lab, "--until-down --json -i 0.2 -W 0.3 --timeout 2");
        let records = down.json();
        // On a busy machine a reply may take longer than it should, so three
        // probes may be lost in a row. The records say whether they were.
        let (mut in_a_row, mut timeouts) = (0, 0);
        for record in &records {
            match record["type"].as_str() {
                Some("timeout") => (in_a_row, timeouts) = (in_a_row + 1, timeouts + 1),
                Some("reply" | "late") => {
                    assert!(in_a_row < 3, "{}", down.report());
                    in_a_row = 0;
                }
                _ => {}
            }
        }
        assert!(!of_type(&records, "late").is_empty(), "{}", down.report());
        // Probes without a reply are lost when the run ends.
        in_a_row += summary(&down)["lost"].as_u64().unwrap() - timeouts;
        down.code(i32::from(in_a_row < 3));
    }
}

/// A host with round trips longer than the timeout of a list is up.
#[test]
fn any_reply_to_an_undecided_target_makes_it_alive() {
    let waiting = Mutex::new(None);
    let lab = start(move |probe| {
        // The reply to the first probe is sent with the third. The others have
        // no reply.
        let mut waiting = waiting.lock().expect("the lock");
        let count = probe.number % 3;
        if count == 0 {
            *waiting = Some(probe.reply());
        }
        if count == 2 {
            waiting.take().into_iter().collect()
        } else {
            vec![]
        }
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "--retries 2 -W 0.4");
        out.code(0);
        assert_eq!(case.text(&out), "HOST is alive (T)\n");
        // The time is the true round trip, longer than two timeouts.
        let time = out.stdout_str().split_once('(').unwrap().1;
        let time: f64 = time.split_once(' ').unwrap().0.parse().unwrap();
        assert!(time >= 800.0, "{}", out.report());
        let out = case.run(&lab, "--json --retries 2 -W 0.4");
        let summary = summary(out.code(0));
        assert_eq!(
            (&summary["sent"], &summary["received"], &summary["lost"]),
            (&3.into(), &1.into(), &1.into())
        );
        assert_eq!(summary["in_flight"], 1);
    }
}

#[test]
fn reordered_replies_are_counted() {
    // The second reply is sent after the third.
    let Some(lab) = delay_reply(2, 3) else {
        return;
    };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 4 -i 0.05");
        out.code(0).stderr("ping: 1 reordered\n");
        out.stdout_contains("4 packets transmitted, 4 received, 0% packet loss");
        let out = case.run(&lab, "--json -c 4 -i 0.05");
        let records = out.json();
        let replies = of_type(&records, "reply");
        let order: Vec<_> = replies.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
        assert_eq!(order, [1, 3, 2, 4]);
        assert_eq!(replies[2]["reordered"], true);
        assert_eq!(summary(&out)["reordered"], 1);
    }
}

#[test]
fn corrupt_data_is_dumped_and_counted() {
    let lab = start(|probe| vec![probe.reply().corrupt(8 + 22)]);
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 1");
        out.code(1);
        let masked = case.text(&out);
        assert!(
            masked.contains(
                "time=T\nwrong data byte #22 should be 0x16 but was 0xe9\n\
                 #16\t10 11 12 13 14 15 e9 17 18 "
            ),
            "{}",
            out.report()
        );
        assert!(
            masked.contains("1 packets transmitted, 0 received, +1 corrupted, 100% packet loss"),
            "{}",
            out.report()
        );
        out.stderr("ping: 1 corrupt\n");
        let out = case.run(&lab, "--json -c 1");
        let records = out.json();
        assert_eq!(of_type(&records, "reply")[0]["corrupt"], true);
        assert!(of_type(&records, "timeout").is_empty());
        assert_eq!(summary(&out)["corrupt"], 1);
    }
}

#[test]
fn a_reply_with_a_zeroed_cookie_has_no_round_trip_time() {
    let lab = start(|probe| vec![probe.reply().zeroed(8)]);
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "--json -c 1");
        let records = out.code(1).json();
        let reply = of_type(&records, "reply")[0];
        assert_eq!(
            (&reply["corrupt"], &reply["rtt_ms"]),
            (&true.into(), &Value::Null)
        );
        assert_eq!(summary(&out)["avg_ms"], Value::Null);
    }
}

#[test]
fn truncated_replies_are_corrupt() {
    let lab = start(|probe| vec![probe.reply().cut(8 + 30)]);
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 1");
        out.code(1);
        case.expect_text(&out, "38 bytes from HOST: icmp_seq=1 ttl=64 (truncated)\n");
        case.expect_text(&out, ", 0 received, +1 corrupted, 100% packet loss");
    }
}

#[test]
fn replies_with_a_bad_checksum_are_corrupt() {
    let lab = start(|probe| match probe.seq {
        1 => vec![probe.reply().bad_checksum()],
        _ => vec![probe.reply()],
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 2 -i 0.05 -W 0.2");
        out.code(0);
        if case.is_raw && case.host == "127.0.0.1" {
            case.expect_text(&out, "icmp_seq=1 ttl=64 time=T (BAD CHECKSUM!)\n");
            case.expect_text(
                &out,
                "2 packets transmitted, 1 received, +1 corrupted, 50% packet loss",
            );
        } else {
            // The kernel drops such a reply. Its drop counter includes it, but
            // ping does not report it as dropped for lack of buffer space.
            case.expect_text(&out, "2 packets transmitted, 1 received, 50% packet loss");
            assert!(!out.stderr_str().contains("dropped"), "{}", out.report());
        }
    }
}

#[test]
fn unrelated_replies_are_ignored() {
    let lab = start(|probe| match probe.seq {
        1 => vec![probe.reply().from_other_address().zeroed(8)],
        2 => vec![probe.reply().id(!probe.id)],
        _ => vec![probe.reply()],
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 3 -i 0.02 -W 0.2");
        out.code(0)
            .stderr("")
            .stdout_contains("3 packets transmitted, 1 received, 66.6667% packet loss");
        assert!(!out.stdout_str().contains("corrupt"), "{}", out.report());
    }
}

#[test]
fn a_reply_from_another_address_counts_and_is_marked() {
    let lab = start(|probe| match probe.seq {
        1 => vec![probe.reply().from_other_address()],
        _ => vec![probe.reply()],
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let elsewhere = if case.host == "::1" {
            "::7"
        } else {
            "127.0.0.7"
        };
        let out = case.run(&lab, "-c 2 -i 0.02");
        out.code(0).stderr("ping: 1 from another address\n");
        case.expect_text(
            &out,
            &format!(
                "64 bytes from {elsewhere}: icmp_seq=1 ttl=64 time=T (DIFFERENT ADDRESS!)\n\
                 64 bytes from HOST: icmp_seq=2 ttl=64 time=T\n"
            ),
        );
        case.expect_text(&out, "2 packets transmitted, 2 received, 0% packet loss");

        let out = case.run(&lab, "--json -c 2 -i 0.02");
        let records = out.code(0).json();
        let replies = of_type(&records, "reply");
        assert_eq!(replies[0]["from"], elsewhere);
        assert_eq!(replies[1]["from"], Value::Null);
        assert_eq!(
            (&replies[0]["address"], &replies[1]["address"]),
            (&case.host.into(), &case.host.into())
        );
        let summary_of = summary(&out);
        assert_eq!(
            (&summary_of["received"], &summary_of["foreign"]),
            (&2.into(), &1.into())
        );

        let out = case.run(&lab, "--strict-source -c 2 -i 0.02 -W 0.3");
        out.code(0).stderr("ping: 1 from another address\n");
        case.expect_text(&out, "2 packets transmitted, 1 received, 50% packet loss");
        let out = case.run(&lab, "--strict-source --json -c 1 -W 0.3");
        let summary_of = summary(out.code(1));
        assert_eq!(
            (&summary_of["lost"], &summary_of["foreign"]),
            (&1.into(), &1.into())
        );
        // The same holds in a list.
        case.run(&lab, "--alive")
            .code(0)
            .stdout(&format!("{}\n", case.host));
        case.run(&lab, "--alive --strict-source --retries 0 -W 0.2")
            .code(1)
            .stdout("");
    }
}

#[test]
fn replies_may_have_ip_options() {
    let lab = start(|probe| vec![probe.reply().options(usize::from(probe.seq) * 4)]);
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "-c 10 -i 0.01");
        out.code(0);
        case.expect_text(&out, "64 bytes from HOST: icmp_seq=10 ttl=64 time=");
        case.expect_text(&out, "10 packets transmitted, 10 received, 0% packet loss");
    }
}

#[test]
fn the_round_trip_is_no_shorter_than_the_delay() {
    let lab = start(|probe| vec![probe.reply().after(Duration::from_millis(20))]);
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let out = case.run(&lab, "--json -q -c 5 -i 0.05");
        // How much longer it is depends on the machine.
        let min = summary(&out)["min_ms"].as_f64().unwrap();
        assert!(min >= 20.0, "{}", out.report());
    }
}

#[test]
fn sequence_numbers_may_wrap() {
    let lab = start(|probe| match probe.seq {
        // The last probe before the wrap and the first after it.
        0xffff | 0 => vec![],
        _ => vec![probe.reply()],
    });
    let Some(lab) = lab else { return };
    // One case for each socket type and family, since each takes seconds.
    for case in [SOCKET_CASES[0], SOCKET_CASES[3]] {
        let tool = case.tool("--json -q -f -W 2 -c 65600");
        let out = lab.run(tool.timeout(LONG * 3));
        let summary = summary(out.code(0));
        let count = |key: &str| summary[key].as_u64().unwrap();
        // On a busy machine some replies are late, but each has its probe.
        assert_eq!(count("sent"), 65_600, "{summary}");
        assert_eq!(count("received") + count("late"), 65_598, "{summary}");
        assert_eq!(count("lost"), 2 + count("late"), "{summary}");
        assert_eq!((count("duplicates"), count("corrupt")), (0, 0), "{summary}");
    }
}
