//! Messages that look like options or files, empty datagrams, and retries until
//! the reply is correct.

use testkit::peer::TcpPeer;
use testkit::udp::UdpPeer;

use crate::{client, client_to};

#[test]
fn a_message_is_never_a_file_or_standard_input() {
    let peer = TcpPeer::echo();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "content").unwrap();
    for message in ["-", "@file", "@", "--"] {
        let tool = client_to(&peer).cwd(dir.path()).args(["--", message]);
        tool.stdin("other").run().code(0).stdout(message).stderr("");
    }
    for message in ["-", "@file"] {
        let tool = client_to(&peer).cwd(dir.path()).arg(message);
        tool.stdin("other").run().code(0).stdout(message).stderr("");
    }
}

#[test]
fn an_empty_datagram_is_sent_and_expected_back() {
    let udp_client_to = |peer: &UdpPeer| client().args(["--udp", &peer.addr().to_string()]);
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.display().to_string();
    for args in [&[""][..], &["--hex", ""], &["--file", &empty]] {
        let peer = UdpPeer::echo();
        udp_client_to(&peer)
            .args(args)
            .run()
            .code(0)
            .stdout("")
            .stderr("");
        let silent = UdpPeer::silent();
        let out = udp_client_to(&silent)
            .args(args)
            .args(["--timeout", "300ms"])
            .run();
        out.code(3).stderr_contains("timed out without a reply");
        let other = UdpPeer::start(|_, _| vec![b"x".to_vec()]);
        let out = udp_client_to(&other).args(args).run();
        out.code(1).stderr_contains("the reply differs at offset 0");
    }
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = socket.local_addr().unwrap().to_string();
    drop(socket);
    let out = client().args(["-u", &closed, ""]).run();
    out.code(3).stderr_contains("connection refused");
    let peer = UdpPeer::echo();
    let out = udp_client_to(&peer)
        .args(["", "-c", "3", "-i", "1ms"])
        .run();
    out.code(0).stdout_contains("3 sent, 3 received, 0% loss");
}

/// The peer closes the first connection, as a proxy without its service does,
/// and then echoes wrongly once before it echoes correctly.
#[test]
fn a_message_is_retried_until_the_reply_is_right() {
    use std::io::{Read, Write};
    let peer = || {
        let count = std::sync::atomic::AtomicUsize::new(0);
        TcpPeer::start(move |mut stream| {
            let mut message = [0; 5];
            stream.read_exact(&mut message)?;
            match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Ok(()),
                1 => stream.write_all(b"hexxo"),
                _ => stream.write_all(&message),
            }
        })
    };
    let args = ["--retry-delay", "1ms", "hello"];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hello");
    std::fs::write(&file, "hello").unwrap();
    let out = client_to(&peer()).args(["--retry", "5"]).args(args).run();
    // Only the reply of the last attempt is printed.
    out.code(0).stdout("hello").stderr("");
    let out = client_to(&peer())
        .args(["--retry", "2", "-v"])
        .args(args)
        .run();
    out.code(0).stdout("hello");
    out.stderr_contains("the peer closed the connection after 0 of 5 bytes; 2 retries left\n");
    out.stderr_contains(
        "the reply differs at offset 2: expected 0x6c 'l', got 0x78 'x'; 1 retry left\n",
    );
    let third = peer();
    let tool = client_to(&third).args(["--retry", "2", "--retry-delay", "1ms", "--file"]);
    tool.arg(&file).run().code(0).stdout("hello");
    // The last attempt decides.
    let out = client_to(&peer()).args(["--retry", "1"]).args(args).run();
    out.code(1)
        .stdout("hexxo")
        .stderr_contains("the reply differs at offset 2");
    let records = client_to(&peer())
        .args(["-j", "--retry", "1"])
        .args(args)
        .run();
    let records = records.code(1).json();
    assert_eq!(records.len(), 2);
    assert_eq!(
        (&records[0]["type"], &records[0]["offset"]),
        (&"exchange".into(), &2.into())
    );
    assert_eq!(
        (&records[1]["type"], &records[1]["kind"]),
        (&"error".into(), &"mismatch".into())
    );
    let out = client_to(&peer()).arg("hello").run();
    out.code(1)
        .stdout("")
        .stderr_contains("the peer closed the connection after 0 of 5 bytes");
}
