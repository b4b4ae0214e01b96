//! Tests of the service over TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::tls::{Authority, Leaf};

use crate::harness::{Client, SIGTERM, Server, pattern, tool};

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

fn start_server(authority: &Authority, args: &[&str]) -> Server {
    let (cert, key) = authority.files(Leaf::Good);
    Server::spawn(
        tool()
            .arg("--cert")
            .arg(cert)
            .arg("--key")
            .arg(key)
            .args(args)
            .arg("127.0.0.1:0"),
    )
}

fn connect(server: &Server, authority: &Authority) -> TlsClient {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(authority.ca_file()).unwrap() {
        roots.add(cert.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(session, server.connect().0)
}

fn echo(client: &mut TlsClient, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    client.flush().unwrap();
    let mut received = vec![0; bytes.len()];
    client.read_exact(&mut received).unwrap();
    assert!(received == bytes, "other bytes were echoed");
}

/// Sends close_notify and reads up to the server's close_notify.
fn close(mut client: TlsClient) -> Vec<u8> {
    client.conn.send_close_notify();
    client.flush().unwrap();
    let mut rest = Vec::new();
    // Without the server's close_notify this would be an error.
    client.read_to_end(&mut rest).unwrap();
    rest
}

#[test]
fn bytes_are_echoed() {
    let authority = Authority::new();
    for workers in ["1", "2"] {
        let server = start_server(&authority, &["--workers", workers]);
        let mut client = connect(&server, &authority);
        echo(&mut client, b"x");
        for _ in 0..20 {
            echo(&mut client, &pattern(50_000));
        }
        assert_eq!(close(client), b"");
        let out = server.terminate();
        out.code(0);
        let lines = out.lines();
        let fields: Vec<&str> = lines[2].split('\t').collect();
        assert_eq!(
            (fields[2], fields[3], fields[5]),
            ("1000001", "1000001", "eof")
        );
    }
}

#[test]
fn more_bytes_than_the_buffers_hold_are_echoed() {
    let authority = Authority::new();
    let server = start_server(&authority, &[]);
    let mut client = connect(&server, &authority);
    let sent = pattern(300_000);
    // The client sends everything before it reads, so the buffers fill.
    for piece in sent.chunks(10_000) {
        client.write_all(piece).unwrap();
    }
    client.flush().unwrap();
    let mut received = vec![0; sent.len()];
    client.read_exact(&mut received).unwrap();
    assert!(received == sent);
    assert_eq!(close(client), b"");
}

#[test]
fn replies_and_limits_work_over_tls() {
    let authority = Authority::new();
    let greeted = start_server(&authority, &["--greeting", "hi ", "--reply", "there"]);
    let mut client = connect(&greeted, &authority);
    client.write_all(b"x").unwrap();
    let mut received = [0; 8];
    client.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"hi there");

    let limited = start_server(&authority, &["--max-bytes", "10"]);
    let mut client = connect(&limited, &authority);
    client.write_all(&pattern(5000)).unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received, pattern(10));

    // The server reads small pieces, so decrypted bytes wait without an event.
    let slow = start_server(&authority, &["--rate", "100k"]);
    let mut client = connect(&slow, &authority);
    echo(&mut client, &pattern(30_000));
    assert_eq!(close(client), b"");

    let delayed = start_server(&authority, &["--delay", "5ms:5ms"]);
    let mut client = connect(&delayed, &authority);
    echo(&mut client, &pattern(100_000));
    assert_eq!(close(client), b"");
}

#[test]
fn clients_without_tls_are_disconnected() {
    let authority = Authority::new();
    let server = start_server(&authority, &[]);
    let mut good = connect(&server, &authority);
    echo(&mut good, b"before");
    let _ = server.next_event();
    let mut plain = server.connect();
    plain.send(b"GET / HTTP/1.0\r\n\r\n");
    // The server sends an alert, then closes the connection.
    let mut rest = Vec::new();
    match plain.0.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(server.next_event()[0], "connected");
    assert_eq!(server.next_event()[5], "error");
    // A client that sends nothing does not delay others.
    let _silent: Client = server.connect();
    echo(&mut good, b"after");
}

#[test]
fn a_close_notify_may_arrive_with_the_last_bytes() {
    let authority = Authority::new();
    // Also if the server reads in pieces, and the last piece is full.
    for (args, size) in [
        (&[][..], 5),
        (&[], 16_384),
        (&["--rate", "16k"], 32 << 10),
        (&["--delay", "5ms:5ms"], 5),
    ] {
        let server = start_server(&authority, args);
        let mut client = connect(&server, &authority);
        echo(&mut client, b"x");
        let sent = pattern(size);
        // Both are sent together, so no further readiness event follows.
        client.conn.writer().write_all(&sent).unwrap();
        client.conn.send_close_notify();
        let mut records = Vec::new();
        while client.conn.wants_write() {
            client.conn.write_tls(&mut records).unwrap();
        }
        client.sock.write_all(&records).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest == sent, "{args:?} {size}");
        let _ = server.next_event();
        assert_eq!(server.next_event()[5], "eof");
    }
}

#[test]
fn an_end_of_file_without_close_notify_is_accepted() {
    let authority = Authority::new();
    let server = start_server(&authority, &[]);
    let mut client = connect(&server, &authority);
    echo(&mut client, b"hello");
    client.sock.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    let _ = server.next_event();
    assert_eq!(server.next_event()[5], "eof");
}

#[test]
fn clients_that_do_not_read_do_not_delay_others() {
    let authority = Authority::new();
    let args = ["--workers", "1", "--rate", "4M", "--drain", "50ms"];
    let server = start_server(&authority, &args);
    // Several clients, because each stops at another position in a record.
    let mut stuck: Vec<_> = (0..4).map(|_| connect(&server, &authority)).collect();
    let chunk = pattern(64 * 1024);
    std::thread::scope(|scope| {
        for client in &mut stuck {
            scope.spawn(|| {
                let options = socket2::SockRef::from(&client.sock);
                options.set_recv_buffer_size(4096).unwrap();
                options.set_send_buffer_size(64 * 1024).unwrap();
                let timeout = std::time::Duration::from_secs(1);
                client.sock.set_write_timeout(Some(timeout)).unwrap();
                // Until the server cannot send its replies and stops reading.
                while client.write_all(&chunk).is_ok() {}
            });
        }
    });
    let mut other = connect(&server, &authority);
    echo(&mut other, b"hello");
    assert_eq!(close(other), b"");
    let out = server.terminate();
    out.code(1).stderr_contains("5 connections, ");
    out.stderr_contains(" 4 cut off, ");
    drop(stuck);
}

#[test]
fn cut_off_connections_get_a_close_notify() {
    let authority = Authority::new();
    let server = start_server(&authority, &["--drain", "50ms"]);
    let mut client = connect(&server, &authority);
    echo(&mut client, b"hello");
    server.running.signal(SIGTERM);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    drop(client);
    let _ = server.running.wait().code(1);
}

#[test]
fn invalid_certificates_and_keys_are_errors() {
    let authority = Authority::new();
    let (cert, key) = authority.files(Leaf::Good);
    let (_, other) = authority.files(Leaf::WrongName);
    let with = |cert: &std::path::Path, key: &std::path::Path| {
        tool()
            .arg("--cert")
            .arg(cert)
            .arg("--key")
            .arg(key)
            .arg(":0")
            .run()
    };
    let none = authority.dir().join("none");
    with(&none, &key)
        .code(2)
        .stderr_contains("none: no such file or directory");
    with(&key, &key)
        .code(2)
        .stderr_contains("the file contains no PEM certificate");
    with(&cert, &cert)
        .code(2)
        .stderr_contains("the file contains no PEM private key");
    with(&cert, &other)
        .code(2)
        .stderr_contains(": the private key does not belong to the certificate\n");
    tool()
        .arg("--cert")
        .arg(&cert)
        .run()
        .code(2)
        .stderr_contains("--key");
}
