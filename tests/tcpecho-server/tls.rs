//! The same service over TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::tls::{Authority, Leaf};

use crate::kit::{Client, Server, pattern, tool};

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn server(authority: &Authority, args: &[&str]) -> Server {
    let (cert, key) = authority.files(Leaf::Good);
    Server::of(
        tool()
            .arg("--cert")
            .arg(cert)
            .arg("--key")
            .arg(key)
            .args(args)
            .arg("127.0.0.1:0"),
    )
}

fn connect(server: &Server, authority: &Authority) -> Tls {
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

fn ask(client: &mut Tls, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    client.flush().unwrap();
    let mut got = vec![0; bytes.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == bytes, "other bytes came back");
}

/// Ends this side with a farewell and reads to the other one's.
fn end(mut client: Tls) -> Vec<u8> {
    client.conn.send_close_notify();
    client.flush().unwrap();
    let mut rest = Vec::new();
    // Without the server's farewell this would be an error.
    client.read_to_end(&mut rest).unwrap();
    rest
}

#[test]
fn bytes_come_back() {
    let authority = Authority::new();
    for workers in ["1", "2"] {
        let server = server(&authority, &["--workers", workers]);
        let mut client = connect(&server, &authority);
        ask(&mut client, b"x");
        for _ in 0..20 {
            ask(&mut client, &pattern(50_000));
        }
        assert_eq!(end(client), b"");
        let out = server.end();
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
fn more_than_the_buffers_hold() {
    let authority = Authority::new();
    let server = server(&authority, &[]);
    let mut client = connect(&server, &authority);
    let sent = pattern(300_000);
    // All of it before the first byte is read, so tails form on both sides.
    for piece in sent.chunks(10_000) {
        client.write_all(piece).unwrap();
    }
    client.flush().unwrap();
    let mut got = vec![0; sent.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == sent);
    assert_eq!(end(client), b"");
}

#[test]
fn answers_and_limits() {
    let authority = Authority::new();
    let greeted = server(&authority, &["--greeting", "hi ", "--reply", "there"]);
    let mut client = connect(&greeted, &authority);
    client.write_all(b"x").unwrap();
    let mut got = [0; 8];
    client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hi there");

    let limited = server(&authority, &["--max-bytes", "10"]);
    let mut client = connect(&limited, &authority);
    client.write_all(&pattern(5000)).unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, pattern(10));

    // Read in small pieces: what was decrypted waits without an event.
    let slow = server(&authority, &["--rate", "100k"]);
    let mut client = connect(&slow, &authority);
    ask(&mut client, &pattern(30_000));
    assert_eq!(end(client), b"");

    let late = server(&authority, &["--delay", "5ms:5ms"]);
    let mut client = connect(&late, &authority);
    ask(&mut client, &pattern(100_000));
    assert_eq!(end(client), b"");
}

#[test]
fn those_who_speak_no_tls_are_turned_away_alone() {
    let authority = Authority::new();
    let server = server(&authority, &[]);
    let mut good = connect(&server, &authority);
    ask(&mut good, b"before");
    let _ = server.event();
    let mut plain = server.connect();
    plain.send(b"GET / HTTP/1.0\r\n\r\n");
    // An alert, then the end.
    let mut rest = Vec::new();
    match plain.0.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(server.event()[0], "connected");
    assert_eq!(server.event()[5], "error");
    // One who says nothing at all holds up nobody.
    let _silent: Client = server.connect();
    ask(&mut good, b"after");
}

#[test]
fn a_farewell_that_comes_with_the_last_bytes() {
    let authority = Authority::new();
    // Also with input that is taken in pieces, the last of them full.
    for (args, size) in [
        (&[][..], 5),
        (&[], 16_384),
        (&["--rate", "16k"], 32 << 10),
        (&["--delay", "5ms:5ms"], 5),
    ] {
        let server = server(&authority, args);
        let mut client = connect(&server, &authority);
        ask(&mut client, b"x");
        let sent = pattern(size);
        // Both in one send, so that nothing follows that would be an event.
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
        let _ = server.event();
        assert_eq!(server.event()[5], "eof");
    }
}

#[test]
fn an_end_without_a_farewell_is_an_end() {
    let authority = Authority::new();
    let server = server(&authority, &[]);
    let mut client = connect(&server, &authority);
    ask(&mut client, b"hello");
    client.sock.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    let _ = server.event();
    assert_eq!(server.event()[5], "eof");
}

#[test]
fn one_that_does_not_read_holds_up_nobody() {
    let authority = Authority::new();
    let args = ["--workers", "1", "--rate", "4M", "--drain", "50ms"];
    let server = server(&authority, &args);
    // Several, since each stops at another place of a record.
    let mut deaf: Vec<_> = (0..4).map(|_| connect(&server, &authority)).collect();
    let chunk = pattern(64 * 1024);
    std::thread::scope(|scope| {
        for client in &mut deaf {
            scope.spawn(|| {
                let options = socket2::SockRef::from(&client.sock);
                options.set_recv_buffer_size(4096).unwrap();
                options.set_send_buffer_size(64 * 1024).unwrap();
                let patience = std::time::Duration::from_secs(1);
                client.sock.set_write_timeout(Some(patience)).unwrap();
                // Until the server cannot get rid of its answers and takes no
                // more.
                while client.write_all(&chunk).is_ok() {}
            });
        }
    });
    let mut other = connect(&server, &authority);
    ask(&mut other, b"hello");
    assert_eq!(end(other), b"");
    let out = server.end();
    out.code(1).stderr_contains("5 connections, ");
    out.stderr_contains(" 4 cut, ");
    drop(deaf);
}

#[test]
fn the_drain_says_farewell() {
    let authority = Authority::new();
    let server = server(&authority, &["--drain", "50ms"]);
    let mut client = connect(&server, &authority);
    ask(&mut client, b"hello");
    server.running.signal(15);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    drop(client);
    let _ = server.running.wait().code(1);
}

#[test]
fn files_that_do_not_serve() {
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
        .stderr_contains("the file holds no PEM certificate");
    with(&cert, &cert)
        .code(2)
        .stderr_contains("the file holds no PEM private key");
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
