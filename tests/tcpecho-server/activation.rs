//! Started by systemd and inetd.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use testkit::Tool;

use crate::kit::{Client, SOON, tool};

/// The tool started as systemd does: the socket as descriptor 3, and the two
/// variables that say so.
fn activated(socket: impl Into<OwnedFd>, args: &[&str]) -> Tool {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    Tool::new("sh")
        .args(["-c", script, bin])
        .args(args)
        .stdin_from(File::from(socket.into()))
}

#[test]
fn a_listener_from_systemd() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let running = activated(listener, &["--port-file", "port"]).spawn();
    // Not the default port, only what was handed down.
    assert_eq!(running.read_line(SOON), format!("listening\t{addr}"));
    let mut client = Client::to(addr);
    client.ask(b"hello");
    assert!(running.read_line(SOON).starts_with("connected\t"));
    let port = std::fs::read_to_string(running.home().join("port")).unwrap();
    assert_eq!(port, format!("{}\n", addr.port()));
    drop(client);
    running.signal(15);
    let _ = running.wait().code(0);
}

#[test]
fn operands_are_served_in_addition() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let running = activated(listener, &["127.0.0.2:0"]).spawn();
    let first = running.read_line(SOON);
    assert!(first.starts_with("listening\t127.0.0.2:"), "{first}");
    assert_eq!(running.read_line(SOON), format!("listening\t{addr}"));
    Client::to(addr).ask(b"hello");
}

#[test]
fn a_unix_listener_and_a_datagram_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let listener = UnixListener::bind(&path).unwrap();
    let running = activated(listener, &[]).spawn();
    let listening = format!("listening\tunix:{}", path.display());
    assert_eq!(running.read_line(SOON), listening);
    let mut stream = UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut stream, b"hello").unwrap();
    let mut back = [0; 5];
    std::io::Read::read_exact(&mut stream, &mut back).unwrap();
    assert_eq!(&back, b"hello");
    drop(stream);
    running.signal(15);
    let _ = running.wait().code(0);
    assert!(path.exists(), "it belongs to whoever made it");

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let running = activated(socket, &[]).spawn();
    assert_eq!(running.read_line(SOON), format!("listening\t{addr}"));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.send_to(b"hello", addr).unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
    running.signal(15);
    let _ = running.wait().code(0);
}

#[test]
fn variables_for_somebody_else_are_ignored() {
    let out = tool()
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "1")
        .args(["--for", "1ms", "127.0.0.1:0"])
        .run();
    assert_eq!(out.code(0).lines().len(), 1);
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    let script = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec {bin} 3<&-");
    Tool::new("sh")
        .args(["-c", &script])
        .run()
        .code(2)
        .stdout("")
        .stderr("tcpecho-server: descriptor 3: bad file descriptor\n");
}

#[test]
fn systemd_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let running = tool()
        .env("NOTIFY_SOCKET", &path)
        .arg("127.0.0.1:0")
        .spawn();
    let told = || {
        let mut buffer = [0; 64];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    assert_eq!(told(), "READY=1");
    running.signal(15);
    assert_eq!(told(), "STOPPING=1");
    let _ = running.wait().code(0);

    // Nobody there to be told: a word about it, and on it goes.
    drop(socket);
    let out = tool()
        .env("NOTIFY_SOCKET", &path)
        .args(["--for", "1ms", "127.0.0.1:0"])
        .run();
    out.code(0).stderr_contains("NOTIFY_SOCKET ");
}

#[test]
fn a_connection_from_inetd() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::to(listener.local_addr().unwrap());
    let (stream, _) = listener.accept().unwrap();
    let running = tool()
        .arg("--inetd")
        .stdin_from(File::from(OwnedFd::from(stream)))
        .spawn();
    client.ask(b"hello");
    // Urgent data is data here, too.
    let socket = socket2::SockRef::from(&client.0);
    socket.send_out_of_band(b"!").unwrap();
    client.expect(b"!");
    client.half_close();
    assert_eq!(client.rest(), b"");
    running.wait().code(0).stdout("").stderr("");
}

#[test]
fn standard_output_and_error_may_be_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::to(listener.local_addr().unwrap());
    let (stream, _) = listener.accept().unwrap();
    let file = |stream: &TcpStream| File::from(OwnedFd::from(stream.try_clone().unwrap()));
    let running = tool()
        .args(["--inetd", "-v", "--json", "--drop", "0.5"])
        .stdin_from(file(&stream))
        .stdout_to(file(&stream))
        .stderr_to(file(&stream))
        .spawn();
    drop(stream);
    client.half_close();
    assert_eq!(client.rest(), b"", "not a word but the echo");
    let _ = running.wait().code(0);
}

#[test]
fn a_listener_from_inetd() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // Always at least one client is connected or queued, so the server does
    // not leave however slow this test is.
    let mut client = Client::to(addr);
    let running = tool()
        .args(["--inetd", "--idle-timeout", "300ms"])
        .stdin_from(File::from(OwnedFd::from(listener)))
        .spawn();
    for _ in 0..3 {
        let next = Client::to(addr);
        client.half_close();
        assert_eq!(client.rest(), b"");
        client = next;
    }
    client.send(b"hello");
    client.half_close();
    assert_eq!(client.rest(), b"hello");
    // It leaves by itself when nobody comes any more.
    running.wait().code(0).stdout("").stderr("");
}

#[test]
fn inetd_without_a_socket() {
    tool().arg("--inetd").run().code(2).stdout("").stderr(
        "tcpecho-server: standard input: not a socket; \
         --inetd is for inetd, xinetd and systemd, which pass one\n",
    );
    tool()
        .args(["--inetd", ":0"])
        .run()
        .code(2)
        .stderr_contains("cannot be used with");
}

/// Its queue is full, and it does not look.
#[test]
fn a_manager_that_does_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"X=1", &path).is_ok() {}
    let running = tool()
        .env("NOTIFY_SOCKET", &path)
        .arg("127.0.0.1:0")
        .spawn();
    let line = running.read_line(SOON);
    let addr = line.strip_prefix("listening\t").unwrap().parse().unwrap();
    Client::to(addr).ask(b"hello");
    running.signal(15);
    running.wait().code(0).stderr_contains("NOTIFY_SOCKET ");
}

/// More of them than there are: an error at once, whatever the number.
#[test]
fn more_descriptors_than_there_are() {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    for count in ["1", "2147483647"] {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec {bin} 3<&-");
        let out = Tool::new("sh").args(["-c", &script]).measure_memory().run();
        out.code(2).stderr_contains("descriptor 3: ");
        out.peak_memory_below(16 << 20);
    }
    for count in ["-1", "0", "4294967297", "x", ""] {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec {bin} --for 1ms 127.0.0.1:0");
        Tool::new("sh").args(["-c", &script]).run().code(0);
    }
}
