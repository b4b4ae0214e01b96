//! Edge cases that other clients handle: existing files, a time limit of zero, zones of
//! addresses, and unusual answers of proxies and servers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use testkit::http::{HttpServer, Reply};
use testkit::peer::TcpPeer;

use crate::support::{always, files, httpget};

#[test]
fn the_record_of_a_skipped_url_is_complete() {
    let server = always(Reply::text("new"));
    let url = server.url("/");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "old").unwrap();
    let out = httpget()
        .cwd(dir.path())
        .args(["--json", "--skip-existing", "-o", "f", &url])
        .run();
    out.code(0).stderr("");
    let text = out.stdout_str();
    let expected = format!(
        "{{\"type\":\"response\",\"url\":\"{url}\",\"final_url\":null,\"method\":\"GET\",\
         \"status\":null,\"reason\":null,\"http_version\":null,\"headers\":null,\"body\":null,\
         \"body_base64\":null,\"file\":\"f\",\"bytes\":null,\"wire_bytes\":null,\"sha256\":null,\
         \"redirects\":[],\"address\":null,\"tls\":null,\"dns_ms\":null,\"connect_ms\":null,\
         \"tls_ms\":null,\"first_byte_ms\":null,\"duration_ms\":"
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(out.json()[0]["error"].is_null());
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn zones_of_addresses_are_used() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        return testkit::netns::skip(&format!("no IPv6 here: {error}"));
    }
    let server = HttpServer::start_on("[::1]:0", None, |_| Reply::text("x\n"));
    let port = server.addr().port();
    let url = |zone: &str| format!("http://[::1%{zone}]:{port}/");
    httpget()
        .args([url("25lo"), url("lo"), url("251")])
        .run()
        .code(0)
        .stdout("x\nx\nx\n")
        .stderr("");
    let requests = server.requests();
    let host = format!("[::1]:{port}");
    assert!(requests.iter().all(|r| r.header("host") == Some(&host)));
    // A connection is reused only in its own zone.
    let connections: Vec<usize> = requests.iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
    httpget()
        .arg(url("25no-such-if"))
        .run()
        .code(2)
        .stderr(&format!(
            "httpget: {}: no network interface named no-such-if\n",
            url("25no-such-if")
        ));
}

#[test]
fn a_time_limit_of_zero_is_no_limit() {
    let server = always(Reply::text("x\n"));
    httpget()
        .args(["-m", "0", &server.url("/")])
        .run()
        .code(0)
        .stdout("x\n")
        .stderr("");
}

#[test]
fn a_silent_proxy_is_limited_by_max_time() {
    let proxy = TcpPeer::silent();
    httpget()
        .args(["-m", "1", "-x", &format!("https://{}", proxy.addr())])
        .arg("http://origin.invalid/")
        .run()
        .code(3)
        .stderr("httpget: http://origin.invalid/: no answer from the proxy within --max-time\n");
}

#[test]
fn a_nul_byte_in_a_trailer_is_refused() {
    let server = always(Reply::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: \0\r\n\r\n",
    ));
    let url = server.url("/");
    httpget()
        .arg(&url)
        .run()
        .code(3)
        .stdout("a")
        .stderr(&format!(
            "httpget: {url}: invalid chunked body: a NUL byte outside of data\n"
        ));
}

#[test]
fn a_disposition_without_a_type_is_read() {
    let server =
        always(Reply::text("x").header("Content-Disposition", "filename=name.txt; charset=x"));
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/a");
    httpget()
        .cwd(dir.path())
        .args(["-OJ", &url])
        .run()
        .code(0)
        .stdout("")
        .stderr(&format!("httpget: {url}: saved as name.txt\n"));
    assert_eq!(files(dir.path()), ["name.txt"]);
}

/// A proxy that answers CONNECT with `status` and connects the client to `to`.
fn tunnelling(status: &'static str, to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        write!(client, "HTTP/1.1 {status}\r\n\r\n").unwrap();
        let mut origin = TcpStream::connect(to).unwrap();
        let (mut from, mut back) = (client.try_clone().unwrap(), origin.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut back));
        let _ = std::io::copy(&mut origin, &mut client);
    });
    address
}

#[test]
fn responses_to_connect_are_checked() {
    let refusing = always(Reply::new(405).reason("Method Not Allowed"));
    httpget()
        .args(["-x", &refusing.url("")])
        .arg("https://origin.invalid/")
        .run()
        .code(3)
        .stderr("httpget: https://origin.invalid/: the proxy answered 405 Method Not Allowed\n");
    let origin = HttpServer::start_tls(|_| Reply::text("secret\n"));
    for status in ["200 Connection established", "201 Created", "299 Fine"] {
        let proxy = tunnelling(status, origin.addr());
        httpget()
            .args(["--cacert", origin.ca_file().to_str().unwrap()])
            .args(["-x", &format!("http://{proxy}"), &origin.url("/")])
            .run()
            .code(0)
            .stdout("secret\n")
            .stderr("");
    }
}
