//! Tests of servers that systemd or inetd starts.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use testkit::Tool;

use crate::harness::{BIN, Client, SIGTERM, TIMEOUT, tool};

/// Returns the tool as systemd starts it: with the socket as descriptor 3, and
/// the two variables that announce it.
fn activated(socket: impl Into<OwnedFd>, args: &[&str]) -> Tool {
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    Tool::new("sh")
        .args(["-c", script, BIN])
        .args(args)
        .stdin_from(File::from(socket.into()))
}

#[test]
fn a_listener_of_systemd_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let running = activated(listener, &["--port-file", "port"]).spawn();
    // The inherited socket replaces the default port.
    assert_eq!(running.read_line(TIMEOUT), format!("listening\t{addr}"));
    let mut client = Client::connect(addr);
    client.echo(b"hello");
    assert!(running.read_line(TIMEOUT).starts_with("connected\t"));
    let port = std::fs::read_to_string(running.home().join("port")).unwrap();
    assert_eq!(port, format!("{}\n", addr.port()));
    drop(client);
    running.signal(SIGTERM);
    let _ = running.wait().code(0);
}

#[test]
fn operands_are_served_in_addition_to_inherited_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let running = activated(listener, &["127.0.0.2:0"]).spawn();
    let first = running.read_line(TIMEOUT);
    assert!(first.starts_with("listening\t127.0.0.2:"), "{first}");
    assert_eq!(running.read_line(TIMEOUT), format!("listening\t{addr}"));
    Client::connect(addr).echo(b"hello");
}

#[test]
fn unix_listeners_and_udp_sockets_of_systemd_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let listener = UnixListener::bind(&path).unwrap();
    let running = activated(listener, &[]).spawn();
    let listening = format!("listening\tunix:{}", path.display());
    assert_eq!(running.read_line(TIMEOUT), listening);
    let mut stream = UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut stream, b"hello").unwrap();
    let mut reply = [0; 5];
    std::io::Read::read_exact(&mut stream, &mut reply).unwrap();
    assert_eq!(&reply, b"hello");
    drop(stream);
    running.signal(SIGTERM);
    let _ = running.wait().code(0);
    assert!(
        path.exists(),
        "the path belongs to the process that created it"
    );

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let running = activated(socket, &[]).spawn();
    assert_eq!(running.read_line(TIMEOUT), format!("listening\t{addr}"));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.send_to(b"hello", addr).unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
    running.signal(SIGTERM);
    let _ = running.wait().code(0);
}

#[test]
fn variables_for_another_process_are_ignored() {
    let out = tool()
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "1")
        .args(["--for", "1ms", "127.0.0.1:0"])
        .run();
    assert_eq!(out.code(0).lines().len(), 1);
    let script = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec {BIN} 3<&-");
    Tool::new("sh")
        .args(["-c", &script])
        .run()
        .code(2)
        .stdout("")
        .stderr("tcpecho-server: descriptor 3: bad file descriptor\n");
}

#[test]
fn systemd_is_notified() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let running = tool()
        .env("NOTIFY_SOCKET", &path)
        .arg("127.0.0.1:0")
        .spawn();
    let notification = || {
        let mut buffer = [0; 64];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    assert_eq!(notification(), "READY=1");
    running.signal(SIGTERM);
    assert_eq!(notification(), "STOPPING=1");
    let _ = running.wait().code(0);

    // Without a receiver the server reports one error and continues.
    drop(socket);
    let out = tool()
        .env("NOTIFY_SOCKET", &path)
        .args(["--for", "1ms", "127.0.0.1:0"])
        .run();
    let errors = out.code(0).stderr_str().matches("NOTIFY_SOCKET ");
    assert_eq!(errors.count(), 1, "{}", out.report());
}

#[test]
fn a_connection_of_inetd_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap());
    let (stream, _) = listener.accept().unwrap();
    let duplicate = stream.try_clone().unwrap();
    let running = tool()
        .arg("--inetd")
        .stdin_from(File::from(OwnedFd::from(stream)))
        .spawn();
    client.echo(b"hello");
    assert!(duplicate.nodelay().unwrap(), "small replies are delayed");
    drop(duplicate);
    // Urgent data is data like any other here, too.
    let socket = socket2::SockRef::from(&client.0);
    socket.send_out_of_band(b"!").unwrap();
    client.expect(b"!");
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");
    running.wait().code(0).stdout("").stderr("");
}

#[test]
fn nothing_is_written_if_standard_output_and_error_are_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap());
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
    assert_eq!(
        client.read_to_eof(),
        b"",
        "something other than the echo was written"
    );
    let _ = running.wait().code(0);
}

#[test]
fn a_listener_of_inetd_is_served_until_no_client_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // At least one client is always connected or queued, so the server does not
    // end too early, however slow this test is.
    let mut client = Client::connect(addr);
    let running = tool()
        .args(["--inetd", "--idle-timeout", "300ms"])
        .stdin_from(File::from(OwnedFd::from(listener)))
        .spawn();
    for _ in 0..3 {
        let next = Client::connect(addr);
        client.half_close();
        assert_eq!(client.read_to_eof(), b"");
        client = next;
    }
    client.send(b"hello");
    client.half_close();
    assert_eq!(client.read_to_eof(), b"hello");
    // The server ends when no further client connects.
    running.wait().code(0).stdout("").stderr("");
}

/// The rate makes the echo take two seconds, twice the timeout.
#[test]
fn a_listener_of_inetd_is_served_while_a_connection_is_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut client = Client::connect(addr);
    let running = tool()
        .args(["--inetd", "--idle-timeout", "1s", "--rate", "64"])
        .stdin_from(File::from(OwnedFd::from(listener)))
        .spawn();
    client.echo(&[b'x'; 128]);
    Client::connect(addr).echo(b"x");
    drop(client);
    running.wait().code(0).stdout("").stderr("");
}

#[test]
fn inetd_without_a_socket_is_an_error() {
    tool().arg("--inetd").run().code(2).stdout("").stderr(
        "tcpecho-server: standard input: not a socket; \
         --inetd requires a socket from inetd, xinetd or systemd\n",
    );
    tool()
        .args(["--inetd", ":0"])
        .run()
        .code(2)
        .stderr_contains("cannot be used with");
}

/// The queue of the notification socket is full and stays full.
#[test]
fn a_service_manager_that_does_not_read_does_not_block_the_server() {
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
    let line = running.read_line(TIMEOUT);
    let addr = line.strip_prefix("listening\t").unwrap().parse().unwrap();
    Client::connect(addr).echo(b"hello");
    running.signal(SIGTERM);
    running.wait().code(0).stderr_contains("NOTIFY_SOCKET ");
}

/// The error is immediate, however large the announced number is.
#[test]
fn missing_inherited_descriptors_are_an_error() {
    for count in ["1", "2147483647"] {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec {BIN} 3<&-");
        let out = Tool::new("sh").args(["-c", &script]).measure_memory().run();
        out.code(2).stderr_contains("descriptor 3: ");
        out.peak_memory_below(16 << 20);
    }
    for count in ["-1", "0", "4294967297", "x", ""] {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec {BIN} --for 1ms 127.0.0.1:0");
        Tool::new("sh").args(["-c", &script]).run().code(0);
    }
}
