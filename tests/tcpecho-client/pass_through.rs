//! Without a message: copies stdin to the peer and the peer's bytes to stdout.

use std::fs::File;
use std::io::{Read, Seek, Write};

use testkit::peer::{TcpPeer, refused_addr};
use testkit::udp::UdpPeer;

use crate::{TEST_TIMEOUT, client, client_to, payload};

#[test]
fn standard_input_comes_back() {
    let peer = TcpPeer::echo();
    client_to(&peer)
        .stdin("one\ntwo\n")
        .run()
        .code(0)
        .stdout("one\ntwo\n")
        .stderr("");
    client_to(&peer).run().code(0).stdout("").stderr("");
    // As nc has it, although the end of the input is passed on in any case.
    client_to(&peer)
        .arg("-N")
        .stdin("one\n")
        .run()
        .code(0)
        .stdout("one\n");
}

#[test]
fn lines_are_echoed_before_the_end_of_the_input() {
    let peer = TcpPeer::echo();
    let mut running = client_to(&peer).piped_stdin().spawn();
    running.write_stdin(b"one\n");
    assert_eq!(running.read_line(TEST_TIMEOUT), "one");
    running.write_stdin(b"two\n");
    assert_eq!(running.read_line(TEST_TIMEOUT), "two");
    running.close_stdin();
    running.wait().code(0).stdout("one\ntwo\n").stderr("");
}

#[test]
fn sixty_four_mebibytes_are_copied_both_ways() {
    let all = payload(64 << 20);
    let peer = TcpPeer::echo();
    let out = client_to(&peer)
        .stdin(all.clone())
        .timeout(TEST_TIMEOUT * 4)
        .run();
    assert!(
        out.code(0).stderr("").stdout == all,
        "{} bytes came back",
        out.stdout.len()
    );
}

#[test]
fn a_peer_that_sends_before_it_reads_is_not_a_deadlock() {
    let all = payload(16 << 20);
    let flood = all.clone();
    let peer = TcpPeer::start(move |mut stream| {
        stream.write_all(&flood)?;
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        stream.write_all(format!("{} bytes\n", got.len()).as_bytes())
    });
    let out = client_to(&peer)
        .stdin(all.clone())
        .timeout(TEST_TIMEOUT * 2)
        .run();
    let (flood, rest) = out.code(0).stderr("").stdout.split_at(all.len());
    assert!(flood == all, "the reply differs");
    assert_eq!(rest, format!("{} bytes\n", all.len()).as_bytes());
}

#[test]
fn an_output_that_is_not_read_does_not_stop_the_input() {
    let (sender, received) = std::sync::mpsc::channel();
    let peer = TcpPeer::start(move |mut stream| {
        // More bytes than the pipe and the buffers hold.
        stream.write_all(&vec![b'x'; 256 * 1024])?;
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        sender.send(got.len()).map_err(std::io::Error::other)
    });
    let (_unread, writer) = std::io::pipe().unwrap();
    let stdout = File::from(std::os::fd::OwnedFd::from(writer));
    let running = client_to(&peer)
        .stdin(payload(8 << 20))
        .stdout_to(stdout)
        .spawn();
    assert_eq!(received.recv_timeout(TEST_TIMEOUT).unwrap(), 8 << 20);
    assert!(running.is_running());
    // The client waits until its output is read; a signal ends the wait.
    running.signal(15);
    running.wait().code(0).stderr("");
}

#[test]
fn the_end_of_the_input_is_sent() {
    let peer = TcpPeer::reply_after_eof();
    let all = payload(4 << 20);
    let out = client_to(&peer).stdin(all.clone()).run();
    assert!(
        out.code(0).stderr("").stdout == all,
        "{} bytes came back",
        out.stdout.len()
    );
}

#[test]
fn input_is_sent_after_the_end_of_file_of_the_peer() {
    let (sender, received) = std::sync::mpsc::channel();
    let peer = TcpPeer::start(move |mut stream| {
        stream.write_all(b"bye\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        sender.send(got).map_err(std::io::Error::other)
    });
    let mut running = client_to(&peer).piped_stdin().spawn();
    assert_eq!(running.read_line(TEST_TIMEOUT), "bye");
    running.write_stdin(b"still here\n");
    running.close_stdin();
    running.wait().code(0).stdout("bye\n").stderr("");
    assert_eq!(
        received.recv_timeout(TEST_TIMEOUT).unwrap(),
        b"still here\n"
    );
}

#[test]
fn the_reply_is_not_verified() {
    let peer = TcpPeer::corrupt_at(0);
    let out = client_to(&peer).stdin("abc").run();
    assert_eq!(out.code(0).stderr("").stdout, b"\x9ebc");
}

#[test]
fn failed_connections_are_status_3() {
    let peer = TcpPeer::reset_after(2);
    let out = client_to(&peer).stdin("abcdef").run();
    out.code(3).stderr(&format!(
        "tcpecho-client: {}: connection reset by peer after 2 bytes\n",
        peer.addr()
    ));
    let refused = refused_addr();
    let out = client().arg(refused.addr().to_string()).stdin("x").run();
    out.code(3).stdout("").stderr(&format!(
        "tcpecho-client: {}: connection refused\n",
        refused.addr()
    ));
}

#[test]
fn an_idle_timeout_may_be_given() {
    let peer = TcpPeer::silent();
    let line = format!("tcpecho-client: {}: timed out without a reply", peer.addr());
    let running = client_to(&peer)
        .args(["--timeout", "1s"])
        .piped_stdin()
        .spawn();
    running.write_stdin(b"hello");
    assert_eq!(running.read_stderr_line(TEST_TIMEOUT), line);
    running.wait().code(3).stdout("");
}

#[test]
fn a_full_or_closed_standard_output_ends_the_run() {
    let peer = TcpPeer::echo();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let out = client_to(&peer).stdin("hello").stdout_to(full).run();
    out.code(2)
        .stderr("tcpecho-client: standard output: no space left on device\n");
    // A closed output ends the run even if there is nothing to write.
    let running = client_to(&peer).piped_stdin().close_stdout_after(6).spawn();
    running.write_stdin(b"hello\n");
    let out = running.wait();
    out.code(0).stderr("");
}

#[test]
fn a_signal_ends_the_run_with_status_0() {
    let peer = TcpPeer::echo();
    let running = client_to(&peer).piped_stdin().spawn();
    running.write_stdin(b"hello\n");
    assert_eq!(running.read_line(TEST_TIMEOUT), "hello");
    running.signal(2);
    running.wait().code(0).stdout("hello\n").stderr("");
}

#[test]
fn each_chunk_has_a_record() {
    let peer = TcpPeer::echo();
    let out = client_to(&peer)
        .arg("--json")
        .stdin(b"a\xff".to_vec())
        .run();
    let records = out.code(0).stderr("").json();
    let received: Vec<_> = records.iter().filter(|r| r["type"] == "received").collect();
    assert_eq!(
        received
            .iter()
            .map(|r| r["bytes"].as_u64().unwrap())
            .sum::<u64>(),
        2
    );
    let last = records.last().unwrap();
    assert_eq!(last["type"], "exchange");
    assert_eq!(
        (&last["bytes_sent"], &last["bytes_received"]),
        (&2.into(), &2.into())
    );
    assert_eq!(last["ok"], true);
}

#[test]
fn each_read_is_sent_as_a_datagram() {
    let peer = UdpPeer::echo();
    let out = client()
        .args(["--udp", &peer.addr().to_string()])
        .stdin("one datagram")
        .run();
    out.code(0).stdout("one datagram").stderr("");
    // The input is longer than a datagram.
    let peer = UdpPeer::echo();
    let all = payload(100_000);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&all).unwrap();
    file.rewind().unwrap();
    let out = client()
        .args(["--udp", &peer.addr().to_string()])
        .stdin_from(file)
        .run();
    assert!(out.code(0).stderr("").stdout == all, "{}", out.report());
    let peer = UdpPeer::silent();
    let out = client()
        .args(["--udp", "--timeout", "1s", &peer.addr().to_string()])
        .stdin("lost")
        .run();
    out.code(3)
        .stdout("")
        .stderr_contains("timed out without a reply");
}

/// Standard input stays open, and nothing is written to it.
#[test]
fn the_end_of_file_of_the_peer_ends_a_run_without_input() {
    let peer = TcpPeer::start(|mut stream| {
        stream.write_all(b"220 hello\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    for args in [&[][..], &["-j"], &["-q"]] {
        let running = client_to(&peer).args(args).piped_stdin().spawn();
        assert!(running.ends(), "the client waits for its input");
        let out = running.wait();
        out.code(0).stderr("");
        assert_eq!(out.stdout_str().contains("220 hello"), args != ["-q"]);
    }
}

#[test]
fn input_that_cannot_be_delivered_is_an_error() {
    let peer = TcpPeer::start(|mut stream| stream.write_all(b"bye\n"));
    let mut running = client_to(&peer).piped_stdin().spawn();
    assert_eq!(running.read_line(TEST_TIMEOUT), "bye");
    running.write_stdin(b"still here\n");
    running.close_stdin();
    let out = running.wait();
    out.code(3).stdout("bye\n");
    let stderr = out.stderr_str();
    assert!(
        stderr.contains("reset") || stderr.contains("broken pipe"),
        "{stderr}"
    );
}
