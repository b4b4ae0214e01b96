//! One message and its reply: every outcome with its status.

use std::fs::File;

use serde_json::Value;
use testkit::peer::{TcpPeer, refused_addr};
use testkit::udp::UdpPeer;

use crate::{TEST_TIMEOUT, client, client_to, payload};

#[test]
fn the_echo_is_printed_unchanged() {
    let peer = TcpPeer::echo();
    client_to(&peer)
        .arg("Hello, Server!")
        .run()
        .code(0)
        .stdout("Hello, Server!")
        .stderr("");
    client_to(&peer).arg("").run().code(0).stdout("").stderr("");
    let addr = peer.addr();
    client()
        .args(["127.0.0.1", &addr.port().to_string(), "two words"])
        .run()
        .code(0)
        .stdout("two words")
        .stderr("");
}

#[test]
fn a_message_may_contain_any_bytes() {
    let peer = TcpPeer::echo();
    let out = client_to(&peer).args(["--hex", "00 ff:0a1b"]).run();
    assert_eq!(out.code(0).stdout, [0, 0xff, 0x0a, 0x1b]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large");
    let large = payload(5 << 20);
    std::fs::write(&path, &large).unwrap();
    let out = client_to(&peer).arg("--file").arg(&path).run();
    assert!(
        out.code(0).stderr("").stdout == large,
        "the echo of the file differs"
    );
    let out = client_to(&peer)
        .args(["--file", "-"])
        .stdin(large.clone())
        .run();
    assert!(
        out.code(0).stderr("").stdout == large,
        "the echo of stdin differs"
    );
    let out = client_to(&peer)
        .args(["-q", "--file", "-"])
        .stdin(large)
        .run();
    out.code(0).stdout("").stderr("");
}

#[test]
fn another_reply_may_be_expected() {
    let peer = TcpPeer::fixed_reply("Hello, Client!");
    let addr = peer.addr();
    client_to(&peer)
        .args(["Hello, Server!", "--expect", "Hello, Client!"])
        .run()
        .code(0)
        .stdout("Hello, Client!")
        .stderr("");
    client_to(&peer)
        .args(["x", "--expect", "Hello, Klient!"])
        .run()
        .code(1)
        .stderr(&format!(
            "tcpecho-client: {addr}: the reply differs at offset 7: expected 0x4b 'K', got 0x43 'C'\n"
        ));
    // Bytes after the expected text are not read.
    client_to(&peer)
        .args(["x", "--expect", "Hello"])
        .run()
        .code(0)
        .stdout("Hello")
        .stderr("");
    client_to(&peer)
        .args(["x", "--expect", "Hello, Client! And more"])
        .run()
        .code(1)
        .stdout("Hello, Client!")
        .stderr(&format!(
            "tcpecho-client: {addr}: the peer closed the connection after 14 of 23 bytes\n"
        ));
}

#[test]
fn a_reply_to_standard_input_may_be_expected() {
    let peer = TcpPeer::fixed_reply("pong");
    let run = |text| {
        client_to(&peer)
            .args(["--expect", text])
            .stdin("ping")
            .run()
    };
    run("pong").code(0).stdout("pong").stderr("");
    let out = run("ping");
    out.code(1).stderr_contains("the reply differs at offset 1");
    // Standard input is sent, and the peer's reply to it is compared.
    let echo = TcpPeer::echo();
    let out = client_to(&echo)
        .args(["--expect", "abc"])
        .stdin("abcd")
        .run();
    out.code(0).stdout("abc").stderr("");
}

#[test]
fn a_greeting_may_be_expected() {
    let peer = TcpPeer::greeting("220 ready\r\n");
    client_to(&peer)
        .args(["--expect", "220 "])
        .run()
        .code(0)
        .stdout("220 ")
        .stderr("");
    client_to(&peer)
        .arg("hello")
        .run()
        .code(1)
        .stdout("220 r")
        .stderr_contains("the reply differs at offset 0: expected 0x68 'h', got 0x32 '2'");
}

#[test]
fn a_corrupt_echo_is_status_1() {
    let peer = TcpPeer::corrupt_at(2);
    let out = client_to(&peer).arg("abcdef").run();
    out.code(1).stderr(&format!(
        "tcpecho-client: {}: the reply differs at offset 2: expected 0x63 'c', got 0x9c\n",
        peer.addr()
    ));
    assert_eq!(out.stdout, b"ab\x9cdef", "the entire reply is printed");
    let peer = TcpPeer::corrupt_at(4_000_000);
    client_to(&peer)
        .args(["-q", "--file", "-"])
        .stdin(payload(5 << 20))
        .run()
        .code(1)
        .stderr_contains("the reply differs at offset 4000000: ");
}

#[test]
fn an_incomplete_echo_is_status_1() {
    let peer = TcpPeer::truncate_at(2);
    client_to(&peer)
        .arg("abcdef")
        .run()
        .code(1)
        .stdout("ab")
        .stderr(&format!(
            "tcpecho-client: {}: the peer closed the connection after 2 of 6 bytes\n",
            peer.addr()
        ));
    let peer = TcpPeer::close_immediately();
    client_to(&peer)
        .arg("abcdef")
        .run()
        .code(1)
        .stdout("")
        .stderr(&format!(
            "tcpecho-client: {}: the peer closed the connection after 0 of 6 bytes\n",
            peer.addr()
        ));
}

#[test]
fn a_reset_is_status_3() {
    let peer = TcpPeer::reset_after(2);
    client_to(&peer)
        .arg("abcdef")
        .run()
        .code(3)
        .stderr(&format!(
            "tcpecho-client: {}: connection reset by peer after 2 of 6 bytes\n",
            peer.addr()
        ));
}

#[test]
fn a_timeout_is_status_3() {
    for peer in [TcpPeer::silent(), TcpPeer::unresponsive()] {
        client_to(&peer)
            .args(["abcdef", "--timeout", "1s"])
            .run()
            .code(3)
            .stdout("")
            .stderr(&format!(
                "tcpecho-client: {}: timed out without a reply\n",
                peer.addr()
            ));
    }
    let peer = TcpPeer::start(|mut stream| {
        use std::io::{Read, Write};
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    client_to(&peer)
        .args(["abcdef", "--timeout", "1s"])
        .run()
        .code(3)
        .stdout("a")
        .stderr(&format!(
            "tcpecho-client: {}: timed out after 1 of 6 bytes\n",
            peer.addr()
        ));
}

#[test]
fn a_peer_that_does_not_read_times_out() {
    let peer = TcpPeer::unresponsive();
    client_to(&peer)
        .args(["--file", "-", "--timeout", "1s"])
        .stdin(payload(32 << 20))
        .run()
        .code(3)
        .stdout("")
        .stderr_contains("timed out without a reply");
}

#[test]
fn a_refused_connect_is_status_3() {
    let refused = refused_addr();
    let out = client().arg(refused.addr().to_string()).arg("x").run();
    let line = format!("tcpecho-client: {}: connection refused\n", refused.addr());
    out.code(3).stdout("").stderr(&line);
    let out = client()
        .args(["--json", &refused.addr().to_string(), "x"])
        .run();
    let records = out.code(3).stderr(&line).json();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["type"], "error");
    assert_eq!(records[0]["target"], refused.addr().to_string());
    assert_eq!(records[0]["kind"], "refused");
    assert!(records[0]["time"].is_string());
    for key in ["address", "seq"] {
        assert!(records[0].get(key).is_some_and(Value::is_null), "{key}");
    }
}

#[test]
fn a_half_close_ends_the_message_for_the_peer() {
    let peer = TcpPeer::reply_after_eof();
    let out = client_to(&peer).args(["late", "--timeout", "1s"]).run();
    out.code(3).stderr_contains("timed out without a reply");
    client_to(&peer)
        .args(["late", "--half-close"])
        .run()
        .code(0)
        .stdout("late")
        .stderr("");
}

#[test]
fn without_verification_any_reply_is_a_success() {
    let peer = TcpPeer::fixed_reply("whatever");
    client_to(&peer)
        .args(["hello", "--no-verify"])
        .run()
        .code(0)
        .stdout("whatever")
        .stderr("");
    let peer = TcpPeer::greeting("hi ");
    client_to(&peer)
        .args(["hello", "--no-verify", "--timeout", "1s"])
        .run()
        .code(0)
        .stdout("hi hello")
        .stderr("");
    let peer = TcpPeer::reset_after(2);
    client_to(&peer)
        .args(["hello", "--no-verify"])
        .run()
        .code(3)
        .stderr_contains("reset");
}

#[test]
fn verbose_prints_the_address_and_the_byte_counts() {
    let peer = TcpPeer::echo();
    let out = client_to(&peer).args(["-v", "hello"]).run();
    let lines: Vec<&str> = out.code(0).stdout("hello").stderr_str().lines().collect();
    let addr = peer.addr();
    let start = format!("tcpecho-client: {addr}: connected to {addr} in ");
    assert!(
        lines[0].strip_prefix(&start).is_some_and(crate::is_ms),
        "{lines:?}"
    );
    let start = format!("tcpecho-client: {addr}: 5 bytes sent, 5 received in ");
    assert!(
        lines[1].strip_prefix(&start).is_some_and(crate::is_ms),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn an_exchange_has_a_record() {
    let peer = TcpPeer::corrupt_at(1);
    let out = client_to(&peer).args(["--json", "abc"]).run();
    let records = out.code(1).json();
    assert_eq!(records.len(), 2, "{}", out.report());
    assert_eq!(
        (&records[1]["type"], &records[1]["kind"]),
        (&"error".into(), &"mismatch".into())
    );
    for key in ["target", "message", "address", "time"] {
        assert!(records[1][key].is_string(), "{key}");
    }
    assert!(records[1]["seq"].is_null());
    let record = &records[0];
    let addr = peer.addr().to_string();
    assert_eq!(record["type"], "exchange");
    assert_eq!(record["target"], addr);
    assert_eq!(record["address"], addr);
    assert_eq!(
        (&record["bytes_sent"], &record["bytes_received"]),
        (&3.into(), &3.into())
    );
    assert_eq!(
        (&record["ok"], &record["corrupt"], &record["offset"]),
        (&false.into(), &true.into(), &1.into())
    );
    assert!(record["data"].is_null());
    assert_eq!(record["data_base64"], "YZ1j");
    assert!(record["connect_ms"].is_f64() && record["duration_ms"].is_f64());
    let echo = TcpPeer::echo();
    let records = client_to(&echo)
        .args(["--json", "a\nb"])
        .run()
        .code(0)
        .stderr("")
        .json();
    assert_eq!(records[0]["data"], "a\nb");
    assert!(records[0]["data_base64"].is_null() && records[0]["offset"].is_null());
    // The exchange has a record, and so does its error.
    let reset = TcpPeer::reset_after(1);
    let records = client_to(&reset)
        .args(["--json", "abc"])
        .run()
        .code(3)
        .json();
    assert_eq!(records[0]["type"], "exchange");
    assert_eq!(records[0]["ok"], false);
    assert_eq!(records[1]["type"], "error");
    assert_eq!(records[1]["kind"], "reset");
}

#[test]
fn an_interrupted_exchange_is_status_1() {
    for signal in [2, 15] {
        let (accepted, came) = std::sync::mpsc::channel();
        let peer = TcpPeer::start(move |mut stream| {
            use std::io::{Read, Write};
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            stream.write_all(&byte)?;
            let _ = accepted.send(());
            std::io::copy(&mut stream, &mut std::io::sink())
        });
        let running = client_to(&peer).args(["abc", "--timeout", "1h"]).spawn();
        came.recv_timeout(TEST_TIMEOUT).unwrap();
        running.signal(signal);
        let out = running.wait();
        out.code(1).stderr_contains("interrupted after ");
    }
}

#[test]
fn a_full_or_closed_standard_output_ends_the_run() {
    let peer = TcpPeer::echo();
    let full = File::options().write(true).open("/dev/full").unwrap();
    client_to(&peer)
        .arg("hello")
        .stdout_to(full)
        .run()
        .code(2)
        .stderr("tcpecho-client: standard output: no space left on device\n");
    client_to(&peer)
        .arg("hello")
        .run_closing_stdout_after(0)
        .code(0)
        .stderr("");
    // The output is not read, so the echo can never be complete.
    client_to(&peer)
        .args(["--file", "-"])
        .stdin(payload(4 << 20))
        .run_closing_stdout_after(1000)
        .code(0)
        .stderr("");
}

#[test]
fn messages_are_sent_over_udp() {
    let udp_client_to = |peer: &UdpPeer| client().args(["--udp", &peer.addr().to_string()]);
    let peer = UdpPeer::echo();
    udp_client_to(&peer)
        .arg("hello")
        .run()
        .code(0)
        .stdout("hello")
        .stderr("");
    udp_client_to(&peer)
        .args(["x", "--expect", "y"])
        .run()
        .code(1)
        .stdout("x");
    let out = udp_client_to(&peer)
        .args(["--file", "-"])
        .stdin("all of it")
        .run();
    out.code(2)
        .stderr_contains("'--file -' cannot be used with --udp");
    let peer = UdpPeer::corrupt();
    udp_client_to(&peer)
        .arg("abc")
        .run()
        .code(1)
        .stderr_contains("the reply differs at offset 2");
    let peer = UdpPeer::silent();
    udp_client_to(&peer)
        .args(["abc", "--timeout", "1s"])
        .run()
        .code(3)
        .stderr_contains("timed out without a reply");
    let peer = UdpPeer::start(|_, datagram| vec![datagram[..2].to_vec()]);
    udp_client_to(&peer)
        .arg("abc")
        .run()
        .code(1)
        .stdout("ab")
        .stderr_contains("the reply ended after 2 of 3 bytes");
    let peer = UdpPeer::start(|_, _| vec![Vec::new()]);
    udp_client_to(&peer)
        .arg("abc")
        .run()
        .code(1)
        .stdout("")
        .stderr_contains("the reply ended after 0 of 3 bytes");
    let peer = UdpPeer::start(|_, datagram| vec![[datagram, b"!"].concat()]);
    udp_client_to(&peer)
        .arg("abc")
        .run()
        .code(1)
        .stderr_contains("the reply differs at offset 3: expected the end, got 0x21 '!'");
    let closed = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let out = client().args(["--udp", &closed.to_string(), "x"]).run();
    out.code(3).stderr_contains("connection refused");
}
