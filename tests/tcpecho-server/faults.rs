//! Tests of deliberate faults: their effects, and that seeds repeat them.

use std::io::Read;

use crate::harness::{Server, pattern, round_trip};

/// Sends `count` bytes, each as one chunk, and returns the bytes received.
fn echo_one_by_one(args: &[&str], count: u8) -> Vec<u8> {
    let server = Server::start(&[&["-v", "--once"], args].concat());
    let mut client = server.connect();
    assert_eq!(server.next_event()[0], "connected");
    for byte in 0..count {
        client.send(&[byte]);
        let event = server.next_event();
        assert_eq!(event[..], ["received", &client.address(), "1", &event[3]]);
    }
    client.half_close();
    let received = client.read_to_eof();
    let _ = server.running.wait().code(0);
    received
}

#[test]
fn equal_seeds_give_equal_faults() {
    let run = |seed| echo_one_by_one(&["--drop", "0.5", "--seed", seed], 60);
    let first = run("7");
    assert!(first.is_sorted(), "the order changed");
    assert!((10..50).contains(&first.len()), "{} of 60", first.len());
    assert_eq!(run("7"), first);
    assert_ne!(run("8"), first);
}

/// The same chunks are dropped, whatever else happens to the others.
#[test]
fn another_fault_does_not_change_which_chunks_are_dropped() {
    let seed = ["--drop", "0.5", "--seed", "7"];
    let alone = echo_one_by_one(&seed, 60);
    let args = [&seed[..], &["--corrupt", "0.5", "--delay", "1ms:1ms"]].concat();
    let together = echo_one_by_one(&args, 60);
    assert_eq!(together.len(), alone.len());
    let equal = together.iter().zip(&alone).filter(|(a, b)| a == b).count();
    assert!((1..alone.len()).contains(&equal), "{together:?}");
}

#[test]
fn a_random_seed_is_reported() {
    let server = Server::start(&["--drop", "0.5"]);
    let out = server.terminate();
    let stderr = out.code(0).stderr_str();
    let seed = stderr
        .strip_prefix("tcpecho-server: faults use a random seed; use --seed ")
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_default();
    assert!(seed.parse::<u64>().is_ok(), "{}", out.report());
    let out = Server::start(&["--drop", "0.5", "--seed", "7"]).terminate();
    assert!(!out.stderr_str().contains("--seed"), "{}", out.report());
}

#[test]
fn probabilities_one_and_zero_mean_always_and_never() {
    assert_eq!(echo_one_by_one(&["--drop", "1"], 10), b"");
    let all: Vec<u8> = (0..10).collect();
    assert_eq!(echo_one_by_one(&["--drop", "0", "--corrupt", "0"], 10), all);
    // A chunk of one byte is corrupted completely, and truncated to nothing.
    let corrupt = echo_one_by_one(&["--corrupt", "1"], 10);
    assert!(corrupt.iter().zip(&all).all(|(a, b)| a != b));
    assert_eq!(corrupt.len(), 10);
    assert_eq!(echo_one_by_one(&["--truncate", "1"], 10), b"");
}

#[test]
fn corruption_changes_one_byte_and_truncation_shortens() {
    let server = Server::start(&["--corrupt", "1", "--seed", "1"]);
    let mut client = server.connect();
    let sent = pattern(1000);
    client.send(&sent);
    let mut received = vec![0; 1000];
    client.0.read_exact(&mut received).unwrap();
    assert_eq!(
        sent.iter().zip(&received).filter(|(a, b)| a != b).count(),
        1
    );

    let server = Server::start(&["--truncate", "1", "--seed", "1", "--once"]);
    let mut client = server.connect();
    client.send(&sent);
    client.half_close();
    let received = client.read_to_eof();
    assert!(received.len() < 1000 && sent.starts_with(&received));

    let server = Server::start(&["--reply", "Hello", "--corrupt", "1"]);
    let mut client = server.connect();
    client.send(b"x");
    let mut received = [0; 5];
    client.0.read_exact(&mut received).unwrap();
    assert_eq!(
        b"Hello"
            .iter()
            .zip(&received)
            .filter(|(a, b)| a != b)
            .count(),
        1
    );
}

#[test]
fn a_reset_fault_resets_the_connection() {
    let server = Server::start(&["--reset", "1"]);
    let mut client = server.connect();
    client.send(b"hello");
    let error = client.0.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let _ = server.next_event();
    let closed = server.next_event();
    assert_eq!(
        (&closed[2][..], &closed[3][..], &closed[5][..]),
        ("5", "0", "fault")
    );
}

#[test]
fn delays_keep_the_order_and_lose_no_byte() {
    let server = Server::start(&["--delay", "5ms:20ms", "--seed", "3"]);
    let sent = pattern(1 << 20);
    let mut client = server.connect();
    assert!(round_trip(&mut client, &sent) == sent);
    let mut client = server.connect();
    client.echo(b"more");
    drop(client);
    let _ = server.terminate().code(0);
}

#[test]
fn the_end_of_a_connection_waits_for_its_delay() {
    let server = Server::start(&["--delay", "200ms", "--once"]);
    let mut client = server.connect();
    client.send(b"hello");
    client.half_close();
    assert_eq!(client.read_to_eof(), b"hello");
    let out = server.running.wait();
    let ms: f64 = out.code(0).lines()[2]
        .split('\t')
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    assert!(ms >= 200.0, "{ms}");
}
