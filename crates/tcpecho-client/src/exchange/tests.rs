//! Tests of exchanges over simulated connections that split, corrupt and
//! truncate the bytes.

use super::*;
use proptest::prelude::*;

/// The behaviour of the peer; the numbers are offsets in the echo.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Echo,
    CorruptAt(usize),
    TruncateAt(usize),
}

/// Runs an exchange over a connection that transfers `steps` bytes at a time,
/// alternately in both directions.
fn run(mut exchange: Exchange, message: &[u8], peer: Peer, steps: &[usize]) -> Exchange {
    let mut input = message.chunks(7);
    let mut wire: VecDeque<u8> = VecDeque::new();
    let mut sent = 0;
    for &step in steps.iter().cycle() {
        if exchange.is_done() {
            return exchange;
        }
        if exchange.wants_input() {
            match input.next() {
                Some(chunk) => exchange.push_input(chunk.to_vec()),
                None => exchange.end_input(),
            }
        }
        let n = step.min(exchange.unsent().len());
        for &byte in &exchange.unsent()[..n] {
            match peer {
                Peer::CorruptAt(at) if at == sent => wire.push_back(!byte),
                Peer::TruncateAt(at) if sent >= at => {}
                _ => wire.push_back(byte),
            }
            sent += 1;
        }
        exchange.mark_sent(n);
        let n = step.min(exchange.read_limit()).min(wire.len());
        let received: Vec<u8> = wire.drain(..n).collect();
        exchange.receive(&received);
        if matches!(peer, Peer::TruncateAt(at) if sent >= at) && wire.is_empty() {
            exchange.peer_eof();
        }
    }
    exchange
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..200)
}

fn steps() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..40, 1..10)
}

proptest! {
    #[test]
    fn an_echo_is_correct(message in message(), steps in steps()) {
        let done = run(Exchange::new(Rule::Echo), &message, Peer::Echo, &steps);
        prop_assert_eq!(done.verdict(), Verdict::Correct);
        prop_assert_eq!(done.bytes_sent(), message.len() as u64);
        prop_assert_eq!(done.bytes_received(), message.len() as u64);
    }

    #[test]
    fn the_first_wrong_byte_is_found(message in message(), steps in steps(), at: prop::sample::Index) {
        let at = at.index(message.len());
        let done = run(Exchange::new(Rule::Echo), &message, Peer::CorruptAt(at), &steps);
        let difference = Difference {
            offset: at as u64,
            expected: Some(message[at]),
            actual: !message[at],
        };
        prop_assert_eq!(done.verdict(), Verdict::Differs(difference));
        prop_assert_eq!(done.bytes_received(), message.len() as u64);
    }

    #[test]
    fn a_truncated_echo_is_incomplete(message in message(), steps in steps(), at: prop::sample::Index) {
        let at = at.index(message.len());
        let done = run(Exchange::new(Rule::Echo), &message, Peer::TruncateAt(at), &steps);
        prop_assert_eq!(done.verdict(), Verdict::Incomplete);
        prop_assert_eq!(done.bytes_received(), at as u64);
    }

    #[test]
    fn a_text_ends_the_exchange_at_its_length_or_the_first_difference(
        message in message(), text in message(), steps in steps(),
    ) {
        let rule = Rule::Text(text.clone());
        let mut exchange = Exchange::new(rule);
        exchange.push_input(message.clone());
        exchange.end_input();
        let done = run(exchange, &[], Peer::TruncateAt(message.len()), &steps);
        let same = message.iter().zip(&text).take_while(|(a, b)| a == b).count();
        let expected = if same == text.len() {
            Verdict::Correct
        } else if same == message.len() {
            Verdict::Incomplete
        } else {
            Verdict::Differs(Difference {
                offset: same as u64,
                expected: Some(text[same]),
                actual: message[same],
            })
        };
        prop_assert_eq!(done.verdict(), expected);
    }
}

#[test]
fn a_datagram_that_is_too_long_differs_after_the_last_byte() {
    let mut exchange = Exchange::new(Rule::Echo);
    exchange.push_input(b"ab".to_vec());
    exchange.end_input();
    exchange.mark_sent(2);
    exchange.receive(b"abc");
    let Verdict::Differs(difference) = exchange.verdict() else {
        panic!("{exchange:?}");
    };
    assert_eq!(
        difference.to_string(),
        "differs at offset 2: expected the end, got 0x63 'c'"
    );
}

#[test]
fn input_is_sent_after_the_end_of_file_of_the_peer() {
    let mut exchange = Exchange::new(Rule::Any).half_close().send_after_peer_eof();
    exchange.peer_eof();
    assert!(!exchange.is_done() && exchange.wants_input());
    exchange.push_input(b"late".to_vec());
    exchange.mark_sent(4);
    exchange.end_input();
    assert!(exchange.wants_half_close() && !exchange.is_done());
    exchange.mark_half_closed();
    assert!(exchange.is_done());
    assert_eq!(exchange.verdict(), Verdict::Correct);
}

#[test]
fn an_empty_datagram_is_sent_and_expected_back() {
    for rule in [Rule::Echo, Rule::Text(Vec::new())] {
        let mut exchange = Exchange::new(rule).datagram();
        exchange.end_input();
        assert!(exchange.wants_empty_datagram() && !exchange.is_done());
        exchange.mark_sent(0);
        assert!(!exchange.wants_empty_datagram() && !exchange.is_done());
        assert!(exchange.read_limit() > 0);
        exchange.receive(b"");
        exchange.end_of_datagram();
        assert!(exchange.is_done());
        assert_eq!(exchange.verdict(), Verdict::Correct);
    }
    let mut exchange = Exchange::new(Rule::Echo).datagram();
    exchange.end_input();
    exchange.mark_sent(0);
    exchange.receive(b"x");
    exchange.end_of_datagram();
    assert!(matches!(exchange.verdict(), Verdict::Differs(_)));
}

#[test]
fn no_more_than_a_window_is_sent_ahead_of_the_echo() {
    let mut exchange = Exchange::new(Rule::Echo);
    exchange.push_input(vec![7; WINDOW + 100]);
    exchange.mark_sent(exchange.sendable().len());
    assert_eq!(exchange.bytes_sent(), WINDOW as u64);
    assert!(exchange.is_window_full() && !exchange.wants_input());
    exchange.receive(&[7; 30]);
    assert_eq!(exchange.sendable().len(), 30);
    assert!(!exchange.is_window_full());
    // A reply that is not compared with the message needs no window.
    let mut exchange = Exchange::new(Rule::Any);
    exchange.push_input(vec![7; 2 * WINDOW]);
    assert_eq!(exchange.sendable().len(), 2 * WINDOW);
}

#[test]
fn an_empty_message_is_done_immediately() {
    let mut exchange = Exchange::new(Rule::Echo);
    exchange.end_input();
    assert!(exchange.is_done());
    assert_eq!(exchange.verdict(), Verdict::Correct);
}
