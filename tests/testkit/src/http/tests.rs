//! Tests of the server with a plain socket and with rustls.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;

/// Sends `request` and reads to the end of the connection.
fn exchange(server: &HttpServer, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server.addr())?;
    stream.write_all(request.as_bytes())?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    Ok(all)
}

/// Like [`exchange`], over TLS with the server's authority as the only root.
fn exchange_tls(server: &HttpServer, request: &str) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(server.ca_file()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(server.addr())?);
    stream.write_all(request.as_bytes())?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    Ok(all)
}

#[test]
fn requests_of_one_connection_are_answered_and_logged() {
    let server = HttpServer::start(|request| match request.path() {
        "/chunks" => Reply::new(200).chunked(["ab", "c"]).header("X-A", "1"),
        _ => Reply::text("hi"),
    });
    let answer = exchange(
        &server,
        "GET /chunks?q HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(
        answer.unwrap(),
        "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nab\r\n1\r\nc\r\n0\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\n"
    );
    let log = server.requests();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0].header("HOST"), Some("x"));
    assert_eq!(
        (log[0].target.as_str(), log[0].path()),
        ("/chunks?q", "/chunks")
    );
    assert_eq!((log[1].method.as_str(), log[1].connection), ("HEAD", 0));
}

#[test]
fn raw_replies_and_resets_are_sent() {
    let server = HttpServer::start(|request| match request.path() {
        "/raw" => Reply::raw("junk").close(),
        "/reset" => Reply::new(200)
            .header("Content-Length", "9")
            .body("abc")
            .reset(),
        _ => Reply::new(404),
    });
    assert_eq!(
        exchange(&server, "GET /raw HTTP/1.1\r\n\r\n").unwrap(),
        "junk"
    );
    let error = exchange(&server, "GET /reset HTTP/1.1\r\n\r\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn ranges_are_answered() {
    let server = HttpServer::start(|request| Reply::ranged(request, b"abcdef", "\"1\""));
    let ask = |range: &str| {
        let request = format!("GET / HTTP/1.0\r\nRange: bytes={range}\r\n\r\n");
        exchange(&server, &request).unwrap()
    };
    assert!(ask("2-").contains("Content-Range: bytes 2-5/6\r\n"));
    assert!(ask("2-3").ends_with("\r\n\r\ncd"));
    assert!(ask("-1").ends_with("\r\n\r\nf"));
    assert!(ask("6-").starts_with("HTTP/1.1 416 "));
    assert!(ask("6-").contains("Content-Range: bytes */6\r\n"));
    let other = "GET / HTTP/1.0\r\nRange: bytes=2-\r\nIf-Range: \"0\"\r\n\r\n";
    assert!(exchange(&server, other).unwrap().ends_with("abcdef"));
}

#[test]
fn a_tunnel_forwards_to_its_target() {
    let server = HttpServer::start(|_| Reply::text("inner"));
    let inner = server.addr();
    let proxy = HttpServer::start(move |_| Reply::tunnel(inner));
    let both = "CONNECT x:1 HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    // Bytes after the head in the same segment are not part of the tunnel, so
    // the client waits for the answer first.
    let (connect, get) = both.split_at(25);
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.write_all(connect.as_bytes()).unwrap();
    let mut head = [0; 39];
    stream.read_exact(&mut head).unwrap();
    stream.write_all(get.as_bytes()).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("inner"), "{all}");
}

#[test]
fn certificates_are_valid_or_have_one_defect() {
    const GET: &str = "GET / HTTP/1.0\r\n\r\n";
    let answer = |_: &Request| Reply::text("secret");
    let good = HttpServer::start_tls(answer);
    assert!(exchange_tls(&good, GET).unwrap().ends_with("secret"));
    assert!(good.url("/").starts_with("https://127.0.0.1:"));
    let error = |server: &HttpServer| exchange_tls(server, GET).unwrap_err().to_string();
    let wrong = error(&HttpServer::start_tls_wrong_name(answer));
    assert!(wrong.contains("not valid for name"), "{wrong}");
    let expired = error(&HttpServer::start_tls_expired(answer));
    assert!(expired.contains("expired"), "{expired}");
    let own = Authority::new().server().leaf(Leaf::SelfSigned);
    let unknown = error(&HttpServer::start_tls_with(own, answer));
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let mutual = Authority::new().server().require_client_certificate();
    assert!(exchange_tls(&HttpServer::start_tls_with(mutual, answer), GET).is_err());
}

#[test]
fn a_cut_tls_stream_has_no_regular_end() {
    let server = HttpServer::start_tls(|_| Reply::raw("HTTP/1.1 200 OK\r\n\r\nabc").cut());
    let error = exchange_tls(&server, "GET / HTTP/1.0\r\n\r\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
