//! Names of addresses, with a name server that does not answer: lookups delay
//! lines, but neither probes nor the end of the run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::icmp::{IcmpLab, Probe};
use testkit::{Tool, netns};

use super::SOON;
use super::host::start;

/// Returns `ping` in a mount namespace in which `target.test` is 127.0.0.1, and
/// every other lookup lasts until the resolver gives up.
fn silent_resolver(args: &str) -> Tool {
    let ping = env!("CARGO_BIN_EXE_ping");
    let script = format!(
        "set -e
         mount -t tmpfs tmpfs /run
         echo nameserver 127.0.0.1 >/run/resolv.conf
         echo hosts: files dns >/run/nsswitch.conf
         echo 127.0.0.1 target.test >/run/hosts
         for file in resolv.conf nsswitch.conf hosts; do mount --bind /run/$file /etc/$file; done
         nft 'add table ip t; add chain ip t i {{ type filter hook input priority 0; }}'
         nft 'add rule ip t i udp dport 53 drop'
         exec {ping} {args}"
    );
    Tool::new("unshare").args(["--mount", "sh", "-c", &script])
}

/// Returns 29 errors about a probe, each from another address.
fn errors_from_many_addresses(probe: &Probe) -> Vec<testkit::icmp::IcmpMessage> {
    (1..30)
        .map(|n| {
            let from = [127, 1, probe.seq as u8, n];
            probe.error(11, 0, 0).from(from.into())
        })
        .collect()
}

fn lab<F>(replies: F) -> Option<IcmpLab>
where
    F: Fn(&Probe) -> Vec<testkit::icmp::IcmpMessage> + Send + Sync + 'static,
{
    if let Err(reason) = netns::available() {
        netns::skip(&reason);
        return None;
    }
    start(replies)
}

#[test]
fn a_run_ends_without_the_names() {
    let Some(lab) = lab(errors_from_many_addresses) else {
        return;
    };
    // Only one line waits for two seconds. If every line did, it would take three
    // minutes.
    for args in ["-c 3 -i 0.1 -W 1 target.test", "-w 1 -i 0.3 target.test"] {
        let out = lab.run(silent_resolver(args).timeout(SOON));
        let lines = out.code(1).lines();
        let is_error =
            |line: &&String| line.starts_with("From 127.1.") && line.ends_with("exceeded");
        let errors = lines.iter().filter(is_error).count();
        // The deadline of `-w` may pass before the last errors arrive.
        assert!(
            errors == 87 || (errors > 0 && args.starts_with("-w")),
            "{}",
            out.report()
        );
        out.stdout_contains(&format!("+{errors} errors, 100% packet loss"));
    }
}

#[test]
fn a_signal_ends_the_wait_for_names() {
    let (sender, third) = mpsc::channel();
    let sender = Mutex::new(sender);
    let Some(lab) = lab(move |probe| {
        if probe.seq == 3 {
            sender.lock().unwrap().send(()).unwrap();
        }
        errors_from_many_addresses(probe)
    }) else {
        return;
    };
    let running = lab.spawn(silent_resolver("-i 0.05 target.test").timeout(SOON));
    third.recv_timeout(SOON).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.pid()));
    let tasks = tasks.unwrap().count();
    // The engine's thread and eight lookup threads, for more than 50 addresses.
    assert!((2..=9).contains(&tasks), "{tasks}");
    running.signal(libc::SIGINT);
    let out = running.wait();
    out.code(1)
        .stdout_contains("packets transmitted, 0 received, +");
    // The lines that waited are printed.
    out.stdout_contains("From 127.1.2.29 icmp_seq=2 Time to live exceeded\n");
}

#[test]
fn probes_are_sent_while_a_name_is_looked_up() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let Some(lab) = lab(move |probe| {
        count.fetch_add(1, Ordering::SeqCst);
        // Only the first probe gets an error. Its line waits for a name, and the
        // run ends before the lookup.
        match probe.seq {
            1 => vec![probe.error(3, 1, 0).from([127, 1, 0, 1].into())],
            _ => vec![],
        }
    }) else {
        return;
    };
    let out = lab.run(silent_resolver("-i 0.01 -c 50 -W 0.01 target.test").timeout(SOON));
    out.code(1)
        .stdout_contains("From 127.1.0.1 icmp_seq=1 Destination Host Unreachable\n")
        .stdout_contains("50 packets transmitted, 0 received, +1 errors, 100% packet loss");
    assert_eq!(seen.load(Ordering::SeqCst), 50);
}

/// A summary is printed only if a probe has been sent.
#[test]
fn a_signal_ends_the_lookup_of_the_target() {
    let Some(lab) = lab(|_| vec![]) else { return };
    let running = lab.spawn(silent_resolver("slow.test").timeout(SOON));
    // The lookup runs in a second thread.
    let tasks = format!("/proc/{}/task", running.pid());
    while std::fs::read_dir(&tasks).unwrap().count() < 2 {
        assert!(running.is_running());
    }
    // A shell ignores SIGINT in processes that it runs in the background.
    running.signal(libc::SIGTERM);
    let out = running.wait();
    out.stdout("").stderr("").killed_by(libc::SIGTERM);
}

#[test]
fn the_name_of_the_target_is_looked_up_within_the_deadline() {
    let Some(lab) = lab(|_| vec![]) else { return };
    for args in ["-w 1 slow.test", "--until-up --timeout 1 slow.test"] {
        let out = lab.run(silent_resolver(args).timeout(Duration::from_secs(8)));
        out.code(3)
            .stdout("")
            .stderr("ping: slow.test: name lookup timed out\n");
    }
}
