//! The graph, on a terminal of 80 columns and 24 lines.

use std::time::Instant;

use testkit::pty::{Pty, screen};

use super::host::{SOCKET_CASES, start};
use super::{SOON, lab, mask, masked_stdout, may_ping, ping};

#[test]
fn nothing_is_drawn_to_a_pipe() {
    if !may_ping() {
        return;
    }
    let out = ping("--graph -c 1 127.0.0.1").run();
    out.code(0);
    assert!(
        masked_stdout(&out).starts_with(
            "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n\
             64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T\n"
        ),
        "{}",
        out.report()
    );
}

#[test]
fn one_target_keeps_its_row() {
    if !may_ping() {
        return;
    }
    let pty = Pty::new();
    let tool = ping("--graph -c 5 -i 0.06 127.0.0.1");
    tool.stdout_to(pty.end()).run().code(0).stderr("");
    let lines = screen(&pty.finish());
    let text = lines.join("\n");
    assert_eq!(lines.len(), 6, "{text}");
    assert_eq!(lines[0], "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.");
    let (name, bars) = lines[1].split_at(26);
    assert_eq!(name.trim(), "127.0.0.1", "{text}");
    let bars: Vec<char> = bars.chars().skip(1).take_while(|c| *c != ' ').collect();
    assert_eq!(bars.len(), 5, "{text}");
    assert!(bars.contains(&'▁') && bars.contains(&'█'), "{text}");
    assert!(lines[1].ends_with(" ms"), "{text}");
    let summary = format!("{}\n", lines[2..].join("\n"));
    assert_eq!(
        mask(&summary),
        "\n--- 127.0.0.1 ping statistics ---\n\
         5 packets transmitted, 5 received, 0% packet loss, time T\n\
         rtt min/avg/max/mdev = T\n",
    );
}

#[test]
fn a_silent_host_is_drawn_as_silent() {
    let lab = start(|probe| match probe.seq {
        1 => vec![probe.reply()],
        _ => vec![],
    });
    let Some(lab) = lab else { return };
    for case in SOCKET_CASES {
        let pty = Pty::new();
        let start = Instant::now();
        let running = lab.spawn(
            case.tool("--graph -i 0.06")
                .stdout_to(pty.end())
                .timeout(SOON),
        );
        // Two probes in a row are in flight. The round trip of the first took no
        // longer than the time since the start, so after twice that time the
        // second counts as lost.
        pty.wait_for(".. ");
        std::thread::sleep(start.elapsed() * 2);
        running.signal(libc::SIGINT);
        running.wait().code(0);
        let text = screen(&pty.finish()).join("\n");
        assert!(text.contains(" 1 received, "), "{text}");
        assert!(!text.contains(" 0% packet loss"), "{text}");
    }
}

#[test]
fn many_targets_fit_the_terminal() {
    if !may_ping() {
        return;
    }
    let pty = Pty::new();
    let tool = ping("--graph -c 4 --period 0.1 127.0.0.1-127.0.0.40");
    tool.stdout_to(pty.end()).run().code(0).stderr("");
    let bytes = pty.finish();
    let text = String::from_utf8_lossy(&bytes);
    // At the end only the results are left.
    let lines = screen(&bytes);
    assert_eq!(lines.len(), 40, "{}", lines.join("\n"));
    for line in &lines {
        assert!(line.contains(" : xmt/rcv/%loss = 4/4/0%"), "{line}");
    }
    // The graph never has more lines than the terminal.
    assert!(text.contains("and 18 more"), "{text}");
    for ups in text.split("\x1b[").filter_map(|part| part.split_once('A')) {
        if let Ok(lines) = ups.0.parse::<usize>() {
            assert!(lines < 24, "{lines}");
        }
    }
}

#[test]
fn lines_on_standard_error_are_not_overwritten() {
    let Some(lab) = lab() else { return };
    let pty = Pty::new();
    let script = "ping --graph -c 3 --period 0.1 127.0.0.1 127.1 127.0.0.2 10.9.9.9";
    let out = lab
        .tool(script)
        .stdout_to(pty.end())
        .stderr_to(pty.end())
        .run();
    out.code(3);
    let text = screen(&pty.finish()).join("\n");
    for line in [
        "ping: 127.1: not an address: IPv4 needs four numbers, this has 2",
        "ping: 10.9.9.9: network is unreachable",
        "127.0.0.1 : xmt/rcv/%loss = 3/3/0%",
        "127.0.0.2 : xmt/rcv/%loss = 3/3/0%",
        "10.9.9.9 : xmt/rcv/%loss = 3/0/100%",
    ] {
        assert_eq!(text.matches(line).count(), 1, "{line}\n{text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
}
