//! The race of a host's addresses (RFC 8305): a refusing address is skipped immediately,
//! a silent one after a quarter of a second.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use testkit::http::{HttpServer, Reply};

use crate::support::{always, httpget};

/// A listener that accepts no connection: its queue is full, and further packets are
/// dropped.
struct Silent {
    _socket: Socket,
    _queued: Vec<TcpStream>,
}

impl Silent {
    fn on(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        let try_it = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
        let queued: Vec<_> = std::iter::from_fn(|| try_it().ok()).take(8).collect();
        assert!(queued.len() < 8, "the queue has no end");
        Self {
            _socket: socket,
            _queued: queued,
        }
    }
}

/// Returns the record of a URL with a host of these addresses, and the exit status.
fn get(port: u16, addresses: &str, more: &[&str]) -> (serde_json::Value, i32) {
    let rule = format!("several.test:{port}:{addresses}");
    let url = format!("http://several.test:{port}/");
    let out = httpget()
        .args(["-s", "--json", "--resolve", &rule])
        .args(more)
        .arg(url)
        .run();
    (out.json().remove(0), out.code.unwrap())
}

fn served() -> (HttpServer, u16) {
    let server = always(Reply::text("here\n"));
    let port = server.addr().port();
    (server, port)
}

#[test]
fn the_first_address_is_preferred() {
    let (_server, port) = served();
    let other = HttpServer::start_on(("127.0.0.2", port), None, |_| Reply::text("there\n"));
    let (record, _) = get(port, "127.0.0.2,127.0.0.1", &[]);
    assert_eq!(record["body"], "there\n");
    assert_eq!(record["address"], other.addr().to_string());
}

#[test]
fn a_refusing_address_is_skipped_immediately() {
    let (server, port) = served();
    for first in ["[::1]", "127.0.0.3", "[::1],127.0.0.3"] {
        let (record, code) = get(port, &format!("{first},127.0.0.1"), &[]);
        assert_eq!((code, &record["body"]), (0, &"here\n".into()), "{first}");
        assert_eq!(record["address"], server.addr().to_string());
    }
    // If all addresses refuse, that is the result.
    let (record, code) = get(port, "127.0.0.3,127.0.0.4", &[]);
    assert_eq!((code, &record["kind"]), (3, &"refused".into()));
}

#[test]
fn a_silent_address_is_skipped_after_a_quarter_of_a_second() {
    let (server, port) = served();
    let _silent = Silent::on(SocketAddr::new([127, 0, 0, 2].into(), port));
    let (record, code) = get(port, "127.0.0.2,127.0.0.1", &[]);
    assert_eq!((code, &record["body"]), (0, &"here\n".into()));
    assert_eq!(record["address"], server.addr().to_string());
    let connect = record["connect_ms"].as_f64().unwrap();
    assert!(connect >= 240.0, "{connect} ms");
    // A single silent address is waited for until the connect timeout.
    let (record, code) = get(port, "127.0.0.2", &["--connect-timeout", "0.5"]);
    assert_eq!((code, &record["kind"]), (3, &"timeout".into()));
    assert_eq!(
        record["message"],
        "no connection within 500 ms (--connect-timeout)"
    );
    assert!(record["duration_ms"].as_f64().unwrap() >= 500.0);
}

#[test]
fn a_silent_address_of_the_other_family_is_skipped() {
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        return testkit::netns::skip(&format!("no IPv6 here: {error}"));
    }
    let (server, port) = served();
    let _silent = Silent::on(format!("[::1]:{port}").parse().unwrap());
    let (record, code) = get(port, "[::1],127.0.0.1", &[]);
    assert_eq!((code, &record["body"]), (0, &"here\n".into()));
    assert_eq!(record["address"], server.addr().to_string());
}
