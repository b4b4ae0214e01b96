//! Which probes count as lost if a run is cut short by `-w` or a signal, or a
//! snapshot is taken, in every format.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;
use testkit::Running;
use testkit::icmp::{IcmpLab, IcmpMessage, Probe};

use super::SOON;
use super::host::{SOCKET_CASES, SocketCase, of_type, start, summary};

/// Starts a lab with a host that answers only the probes with these sequence
/// numbers. The receiver gets the sequence number of every probe.
fn answer_only(seqs: &'static [u16]) -> Option<(IcmpLab, mpsc::Receiver<u16>)> {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let lab = start(move |probe: &Probe| -> Vec<IcmpMessage> {
        // The receiver is gone if the test has ended.
        let _ = sender.lock().expect("the lock").send(probe.seq);
        if seqs.contains(&probe.seq) {
            vec![probe.reply()]
        } else {
            vec![]
        }
    })?;
    Some((lab, receiver))
}

/// Waits until the host has received a probe.
fn wait_for(seen: &mpsc::Receiver<u16>, seq: u16) {
    while seen.recv_timeout(SOON).expect("a probe") != seq {}
}

/// Starts `ping` after the probes of earlier runs.
fn spawn(lab: &IcmpLab, seen: &mpsc::Receiver<u16>, case: SocketCase, args: &str) -> Running {
    while seen.try_recv().is_ok() {}
    lab.spawn(case.tool(args).timeout(SOON))
}

#[test]
fn without_a_reply_every_probe_is_lost() {
    let Some((lab, seen)) = answer_only(&[]) else {
        return;
    };
    for case in SOCKET_CASES {
        // This holds even if their timeout has not passed.
        let running = spawn(&lab, &seen, case, "-W 60 -i 0.05");
        wait_for(&seen, 3);
        running.signal(libc::SIGQUIT);
        let line = running.read_stderr_line(SOON);
        assert!(
            line.contains("0/") && line.ends_with("packets, 100% loss"),
            "{line}"
        );
        running.signal(libc::SIGINT);
        let out = running.wait();
        out.code(1).stdout_contains(" 0 received, 100% packet loss");

        let running = spawn(&lab, &seen, case, "--json -i 0.05");
        wait_for(&seen, 3);
        running.signal(libc::SIGTERM);
        let out = running.wait();
        let summary = summary(out.code(1));
        assert_eq!(
            (&summary["loss_percent"], &summary["in_flight"]),
            (&100.0.into(), &0.into())
        );
        assert_eq!(summary["lost"], summary["sent"]);

        let running = spawn(&lab, &seen, case, "--metrics -i 0.05");
        wait_for(&seen, 2);
        running.signal(libc::SIGINT);
        let out = running.wait();
        out.code(1).stdout_contains("\nping_lost_total{");
        let ratio = out
            .lines()
            .into_iter()
            .find(|line| line.starts_with("ping_loss_ratio{"));
        assert!(ratio.unwrap().ends_with("} 1"), "{}", out.report());

        let running = spawn(&lab, &seen, case, "-c 9 --period 0.2 127.0.0.5");
        wait_for(&seen, 2);
        wait_for(&seen, 3);
        running.signal(libc::SIGINT);
        let out = running.wait();
        let line = case.text(&out);
        let line = line
            .lines()
            .find(|line| line.starts_with("HOST : "))
            .unwrap();
        assert!(line.ends_with("/0/100%"), "{}", out.report());
    }
    for case in [SOCKET_CASES[0], SOCKET_CASES[3]] {
        let out = case.run(&lab, "-w 1 -i 0.2");
        out.code(1);
        case.expect_text(&out, " packets transmitted, 0 received, 100% packet loss");
    }
}

#[test]
fn a_probe_within_its_timeout_is_in_flight() {
    let Some((lab, seen)) = answer_only(&[1, 2]) else {
        return;
    };
    for case in SOCKET_CASES {
        for (args, code) in [("", 0), (" --max-loss 0", 0)] {
            let running = spawn(&lab, &seen, case, &format!("--json -W 60 -i 0.05{args}"));
            wait_for(&seen, 4);
            running.signal(libc::SIGINT);
            let out = running.wait();
            let summary = summary(out.code(code));
            assert_eq!(
                (&summary["received"], &summary["lost"]),
                (&2.into(), &0.into())
            );
            let sent = summary["sent"].as_u64().unwrap();
            assert_eq!(summary["in_flight"], sent - 2);
            assert_eq!(summary["loss_percent"], 0.0);
        }
    }
}

#[test]
fn a_probe_older_than_two_round_trips_is_lost() {
    // All four probes are sent at the start, and the third has no reply. It is
    // lost after twice the longest round trip of the others.
    let Some((lab, seen)) = answer_only(&[1, 2, 4]) else {
        return;
    };
    for case in SOCKET_CASES {
        let running = spawn(&lab, &seen, case, "--json -i 60 -l 4 --max-loss 10");
        let mut longest = 0.0;
        for kind in ["start", "reply", "reply", "reply"] {
            let record: Value = serde_json::from_str(&running.read_line(SOON)).unwrap();
            assert_eq!(record["type"], kind);
            longest = record["rtt_ms"].as_f64().unwrap_or(0.0).max(longest);
        }
        std::thread::sleep(Duration::from_secs_f64(2.0 * longest / 1e3));
        running.signal(libc::SIGINT);
        let out = running.wait();
        let summary = summary(out.code(1));
        assert_eq!(
            (&summary["sent"], &summary["received"]),
            (&4.into(), &3.into())
        );
        assert_eq!(
            (&summary["lost"], &summary["in_flight"]),
            (&1.into(), &0.into())
        );
        assert!(
            of_type(&out.json(), "timeout").is_empty(),
            "{}",
            out.report()
        );
    }
}

#[test]
fn a_snapshot_changes_nothing() {
    let Some((lab, seen)) = answer_only(&[1, 2, 3, 4]) else {
        return;
    };
    for case in SOCKET_CASES {
        let running = spawn(&lab, &seen, case, "--json -c 4 -i 0.05");
        wait_for(&seen, 2);
        running.signal(libc::SIGQUIT);
        let summary = summary(running.wait().code(0));
        assert_eq!(
            (&summary["received"], &summary["lost"]),
            (&4.into(), &0.into())
        );
    }
}
