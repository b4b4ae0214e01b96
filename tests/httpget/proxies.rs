//! Proxies: absolute-form for http, CONNECT for https, SOCKS, and hosts that need no
//! proxy; Unix sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use testkit::http::{HttpServer, Reply};

use crate::support::{always, httpget};

#[test]
fn http_is_requested_by_its_whole_url() {
    let proxy = always(Reply::text("by proxy\n"));
    let at = proxy.addr().to_string();
    let by_user = format!("http://us:pw@{at}");
    httpget()
        .args(["-x", &by_user, "http://origin.invalid:81/p?q"])
        .run()
        .code(0)
        .stdout("by proxy\n");
    let request = &proxy.requests()[0];
    assert_eq!(request.target, "http://origin.invalid:81/p?q");
    assert_eq!(request.header("host"), Some("origin.invalid:81"));
    assert_eq!(
        request.header("proxy-authorization"),
        Some("Basic dXM6cHc=")
    );
    httpget()
        .args(["-x", &at, "-U", "a:b", "http://origin.invalid/"])
        .run()
        .code(0);
    assert_eq!(
        proxy.requests()[1].header("proxy-authorization"),
        Some("Basic YTpi")
    );
}

#[test]
fn https_uses_a_tunnel() {
    let origin = HttpServer::start_tls(|_| Reply::text("safe\n"));
    let end = origin.addr();
    let proxy = HttpServer::start(move |request| match request.header("proxy-authorization") {
        Some("Basic dXM6cHc=") => Reply::tunnel(end),
        _ => Reply::new(407),
    });
    let ca = origin.ca_file();
    let run = |proxy: &str| {
        httpget()
            .args([
                "-x",
                proxy,
                "--cacert",
                ca.to_str().unwrap(),
                "-u",
                "me:secret",
            ])
            .arg(origin.url_by_name("/"))
            .run()
    };
    run(&format!("http://us:pw@{}", proxy.addr()))
        .code(0)
        .stdout("safe\n")
        .stderr("");
    let connect = &proxy.requests()[0];
    assert_eq!(connect.method, "CONNECT");
    assert_eq!(
        connect.target,
        format!("localhost:{}", origin.addr().port())
    );
    assert_eq!(connect.header("authorization"), None);
    assert_eq!(origin.requests()[0].header("proxy-authorization"), None);
    run(&format!("http://{}", proxy.addr()))
        .code(3)
        .stdout("")
        .stderr_contains("407");
    run("http://127.0.0.1:1")
        .code(3)
        .stderr_contains("proxy: connection refused");
}

#[test]
fn proxies_of_the_environment() {
    let proxy = always(Reply::text("by proxy\n"));
    let direct = always(Reply::text("direct\n"));
    let at = format!("http://{}", proxy.addr());
    let url = direct.url("/");
    let run = |env: &[(&str, &str)], args: &[&str]| {
        let mut tool = httpget().args(args).arg(&url);
        for (name, value) in env {
            tool = tool.env(name, value);
        }
        tool.run().stdout_str().to_owned()
    };
    assert_eq!(run(&[("http_proxy", &at)], &[]), "by proxy\n");
    assert_eq!(run(&[("HTTP_PROXY", &at)], &[]), "direct\n");
    assert_eq!(run(&[("https_proxy", &at)], &[]), "direct\n");
    assert_eq!(run(&[("ALL_PROXY", &at)], &[]), "by proxy\n");
    for except in ["127.0.0.1", "127.0.0.0/8", "*", "x.test,127.0.0.1"] {
        assert_eq!(
            run(&[("http_proxy", &at), ("NO_PROXY", except)], &[]),
            "direct\n"
        );
        assert_eq!(
            run(&[("http_proxy", &at), ("no_proxy", except)], &[]),
            "direct\n"
        );
    }
    assert_eq!(
        run(&[("http_proxy", &at), ("no_proxy", "10.0.0.0/8")], &[]),
        "by proxy\n"
    );
    assert_eq!(run(&[("http_proxy", &at)], &["-x", ""]), "direct\n");
    assert_eq!(
        run(&[("http_proxy", &at)], &["--noproxy", "127.0.0.1"]),
        "direct\n"
    );
    assert_eq!(run(&[("no_proxy", "*")], &["-x", &at]), "direct\n");
}

/// A SOCKS 5 server with a login, and a SOCKS 4 server, for one connection each.
/// Returns the requested endpoint.
fn socks(origin: SocketAddr) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let handle = thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let take = |near: &mut TcpStream, count: usize| {
            let mut bytes = vec![0; count];
            near.read_exact(&mut bytes).unwrap();
            bytes
        };
        let version = take(&mut near, 1)[0];
        let endpoint = if version == 5 {
            let count = take(&mut near, 1)[0];
            let methods = take(&mut near, count.into());
            if methods.contains(&2) {
                near.write_all(&[5, 2]).unwrap();
                let user = take(&mut near, 2)[1];
                take(&mut near, user.into());
                let password = take(&mut near, 1)[0];
                assert_eq!(take(&mut near, password.into()), b"pw");
                near.write_all(&[1, 0]).unwrap();
            } else {
                near.write_all(&[5, 0]).unwrap();
            }
            let head = take(&mut near, 4);
            let endpoint = match head[3] {
                1 => take(&mut near, 4),
                3 => {
                    let length = take(&mut near, 1)[0];
                    take(&mut near, length.into())
                }
                _ => take(&mut near, 16),
            };
            take(&mut near, 2);
            near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            endpoint
        } else {
            let head = take(&mut near, 7);
            let mut text = Vec::new();
            let mut ends = if head[3..6] == [0, 0, 0] { 2 } else { 1 };
            while ends > 0 {
                match take(&mut near, 1)[0] {
                    0 => ends -= 1,
                    b => text.push(b),
                }
            }
            near.write_all(&[0, 90, 0, 0, 0, 0, 0, 0]).unwrap();
            if text.is_empty() {
                head[3..].to_vec()
            } else {
                text
            }
        };
        let far = TcpStream::connect(origin).unwrap();
        let pump = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        };
        let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let thread = thread::spawn(move || pump(back.0, back.1));
        pump(near, far);
        thread.join().unwrap();
        endpoint
    });
    (at, handle)
}

#[test]
fn socks_proxies_of_every_kind() {
    let origin = always(Reply::text("by socks\n"));
    let port = origin.addr().port();
    for (scheme, host, endpoint) in [
        ("socks5h://us:pw", "origin.invalid", &b"origin.invalid"[..]),
        ("socks5h://", "origin.invalid", b"origin.invalid"),
        ("socks5://", "127.0.0.1", &[127, 0, 0, 1]),
        ("socks5://", "localhost", &[127, 0, 0, 1]),
        ("socks4a://", "origin.invalid", b"origin.invalid"),
        ("socks4://", "127.0.0.1", &[127, 0, 0, 1]),
    ] {
        let (at, handle) = socks(origin.addr());
        let sep = if scheme.ends_with('/') { "" } else { "@" };
        httpget()
            .args(["-4", "-x", &format!("{scheme}{sep}{at}")])
            .arg(format!("http://{host}:{port}/"))
            .run()
            .code(0)
            .stdout("by socks\n")
            .stderr("");
        assert_eq!(handle.join().unwrap(), endpoint, "{scheme} {host}");
    }
    let not_socks = always(Reply::text("no socks"));
    httpget()
        .args([
            "-x",
            &format!("socks5h://{}", not_socks.addr()),
            "-m",
            "5",
            "http://h.invalid/",
        ])
        .run()
        .code(3);
}

#[test]
fn unix_sockets_are_connected_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nunix\n")
            .unwrap();
        String::from_utf8(head).unwrap()
    });
    let out = httpget()
        .args([
            "--json",
            "--unix-socket",
            path.to_str().unwrap(),
            "http://docker/info",
        ])
        .run();
    out.code(0).stderr("");
    let record = &out.json()[0];
    assert_eq!(
        record["body_base64"].as_str().or(record["body"].as_str()),
        Some("unix\n")
    );
    assert_eq!(record["address"], path.to_str().unwrap());
    assert!(
        server
            .join()
            .unwrap()
            .starts_with("GET /info HTTP/1.1\r\nHost: docker\r\n")
    );
    httpget()
        .args(["--unix-socket", "/no/such", "http://x/"])
        .run()
        .code(2)
        .stderr_contains("/no/such");
}

#[test]
fn a_unix_socket_with_a_full_queue_times_out() {
    use socket2::{Domain, SockAddr, Socket, Type};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let address = SockAddr::unix(&path).unwrap();
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let queued: Vec<Socket> = std::iter::repeat_with(|| {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        client
    })
    .take_while(|client| client.connect(&address).is_ok())
    .collect();
    assert!(!queued.is_empty());
    for limit in ["--connect-timeout", "--max-time"] {
        httpget()
            .args([limit, "0.2", "--unix-socket", path.to_str().unwrap()])
            .arg("http://x/")
            .run()
            .code(3)
            .stderr_contains("no connection within ");
    }
}

/// A server that sends `start`, and then `rest` at intervals, and never reads.
fn slow_endless_server(start: &'static [u8], rest: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut written = stream.write_all(start);
                while written.is_ok() {
                    thread::sleep(std::time::Duration::from_millis(50));
                    written = stream.write_all(rest);
                }
            });
        }
    });
    address
}

#[test]
fn slow_handshakes_time_out() {
    // A TLS record of the largest size, an endless response to CONNECT, and a SOCKS
    // reply with the longest name.
    let tls = slow_endless_server(b"\x16\x03\x03\x3f\xff", b"\x02");
    let connect = slow_endless_server(b"HTTP/1.1 200 OK\r\n", b"x");
    let socks = slow_endless_server(b"\x05\x00\x05\x00\x00\x03\xff", b"x");
    for (limit, shown) in [
        ("--connect-timeout", " within 300 ms"),
        ("--max-time", " within --max-time"),
    ] {
        let run = |args: &[&str], url: &str| {
            httpget()
                .args(["-k", limit, "0.3"])
                .args(args)
                .arg(url)
                .run()
                .code(3)
                .stderr_contains(shown);
        };
        run(&[], &format!("https://{tls}/"));
        run(&["-x", &format!("https://{tls}")], "http://origin.invalid/");
        run(
            &["-x", &format!("http://{connect}")],
            "https://origin.invalid/",
        );
        run(
            &["-x", &format!("socks5h://{socks}")],
            "http://origin.invalid/",
        );
    }
}
