//! Faults on request: each does what it says, and the seed decides.

use std::io::Read;

use crate::kit::{Server, pattern, round_trip};

/// Sends one byte after the other, each a chunk of its own, and returns what
/// came back.
fn one_by_one(args: &[&str], count: u8) -> Vec<u8> {
    let server = Server::start(&[&["-v", "--once"], args].concat());
    let mut client = server.connect();
    assert_eq!(server.event()[0], "connected");
    for byte in 0..count {
        client.send(&[byte]);
        let event = server.event();
        assert_eq!(event[..], ["received", &client.name(), "1", &event[3]]);
    }
    client.half_close();
    let back = client.rest();
    let _ = server.running.wait().code(0);
    back
}

#[test]
fn the_seed_decides() {
    let run = |seed| one_by_one(&["--drop", "0.5", "--seed", seed], 60);
    let first = run("7");
    assert!(first.is_sorted(), "in order, whatever is left");
    assert!((10..50).contains(&first.len()), "{} of 60", first.len());
    assert_eq!(run("7"), first);
    assert_ne!(run("8"), first);
}

/// The same chunks are dropped, whatever else happens to them.
#[test]
fn another_fault_changes_nothing_about_the_first() {
    let seed = ["--drop", "0.5", "--seed", "7"];
    let alone = one_by_one(&seed, 60);
    let args = [&seed[..], &["--corrupt", "0.5", "--delay", "1ms:1ms"]].concat();
    let together = one_by_one(&args, 60);
    assert_eq!(together.len(), alone.len());
    let equal = together.iter().zip(&alone).filter(|(a, b)| a == b).count();
    assert!((1..alone.len()).contains(&equal), "{together:?}");
}

#[test]
fn a_made_up_seed_is_told() {
    let server = Server::start(&["--drop", "0.5"]);
    let out = server.end();
    let stderr = out.code(0).stderr_str();
    let seed = stderr
        .strip_prefix("tcpecho-server: faults by --seed ")
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    assert!(seed.parse::<u64>().is_ok(), "{}", out.story());
    let out = Server::start(&["--drop", "0.5", "--seed", "7"]).end();
    assert!(!out.stderr_str().contains("--seed"), "{}", out.story());
}

#[test]
fn always_and_never() {
    assert_eq!(one_by_one(&["--drop", "1"], 10), b"");
    let all: Vec<u8> = (0..10).collect();
    assert_eq!(one_by_one(&["--drop", "0", "--corrupt", "0"], 10), all);
    // One byte of one is all of it; half of one is none of it.
    let corrupt = one_by_one(&["--corrupt", "1"], 10);
    assert!(corrupt.iter().zip(&all).all(|(a, b)| a != b));
    assert_eq!(corrupt.len(), 10);
    assert_eq!(one_by_one(&["--truncate", "1"], 10), b"");
}

#[test]
fn a_changed_byte_and_a_shortened_chunk() {
    let server = Server::start(&["--corrupt", "1", "--seed", "1"]);
    let mut client = server.connect();
    let sent = pattern(1000);
    client.send(&sent);
    let mut back = vec![0; 1000];
    client.0.read_exact(&mut back).unwrap();
    assert_eq!(sent.iter().zip(&back).filter(|(a, b)| a != b).count(), 1);

    let server = Server::start(&["--truncate", "1", "--seed", "1", "--once"]);
    let mut client = server.connect();
    client.send(&sent);
    client.half_close();
    let back = client.rest();
    assert!(back.len() < 1000 && sent.starts_with(&back));

    let server = Server::start(&["--reply", "Hello", "--corrupt", "1"]);
    let mut client = server.connect();
    client.send(b"x");
    let mut back = [0; 5];
    client.0.read_exact(&mut back).unwrap();
    assert_eq!(
        b"Hello".iter().zip(&back).filter(|(a, b)| a != b).count(),
        1
    );
}

#[test]
fn resets() {
    let server = Server::start(&["--reset", "1"]);
    let mut client = server.connect();
    client.send(b"hello");
    let error = client.0.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let _ = server.event();
    let closed = server.event();
    assert_eq!(
        (&closed[2][..], &closed[3][..], &closed[5][..]),
        ("5", "0", "fault")
    );
}

#[test]
fn delays_keep_the_order_and_lose_nothing() {
    let server = Server::start(&["--delay", "5ms:20ms", "--seed", "3"]);
    let sent = pattern(1 << 20);
    let mut client = server.connect();
    assert!(round_trip(&mut client, &sent) == sent);
    let mut client = server.connect();
    client.ask(b"later");
    drop(client);
    let _ = server.end().code(0);
}

#[test]
fn a_delay_is_waited_for_at_the_end() {
    let server = Server::start(&["--delay", "200ms", "--once"]);
    let mut client = server.connect();
    client.send(b"hello");
    client.half_close();
    assert_eq!(client.rest(), b"hello");
    let out = server.running.wait();
    let ms: f64 = out.code(0).lines()[2]
        .split('\t')
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    assert!(ms >= 200.0, "{ms}");
}
