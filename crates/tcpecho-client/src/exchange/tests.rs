//! Exchanges over lines that cut, spoil and end.

use super::*;
use proptest::prelude::*;

/// What the peer does with the bytes.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Echo,
    CorruptAt(usize),
    TruncateAt(usize),
}

/// Runs an exchange over a line that takes and gives `steps` bytes at a
/// time, in both directions in turns.
fn run(mut exchange: Exchange, message: &[u8], peer: Peer, steps: &[usize]) -> Exchange {
    let mut input = message.chunks(7);
    let mut line: VecDeque<u8> = VecDeque::new();
    let mut passed = 0;
    for &step in steps.iter().cycle() {
        if exchange.is_over() {
            return exchange;
        }
        if exchange.wants_input() {
            match input.next() {
                Some(chunk) => exchange.input(chunk.to_vec()),
                None => exchange.input_end(),
            }
        }
        let n = step.min(exchange.unsent().len());
        for &byte in &exchange.unsent()[..n] {
            match peer {
                Peer::CorruptAt(at) if at == passed => line.push_back(!byte),
                Peer::TruncateAt(at) if passed >= at => {}
                _ => line.push_back(byte),
            }
            passed += 1;
        }
        exchange.wrote(n);
        let n = step.min(exchange.read_limit()).min(line.len());
        let back: Vec<u8> = line.drain(..n).collect();
        exchange.received(&back);
        if matches!(peer, Peer::TruncateAt(at) if passed >= at) && line.is_empty() {
            exchange.peer_end();
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
    fn an_echo_is_right(message in message(), steps in steps()) {
        let done = run(Exchange::new(Rule::Echo), &message, Peer::Echo, &steps);
        prop_assert_eq!(done.verdict(), Verdict::Right);
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
            got: !message[at],
        };
        prop_assert_eq!(done.verdict(), Verdict::Differs(difference));
        prop_assert_eq!(done.bytes_received(), message.len() as u64);
    }

    #[test]
    fn what_is_missing_is_missed(message in message(), steps in steps(), at: prop::sample::Index) {
        let at = at.index(message.len());
        let done = run(Exchange::new(Rule::Echo), &message, Peer::TruncateAt(at), &steps);
        prop_assert_eq!(done.verdict(), Verdict::Short);
        prop_assert_eq!(done.bytes_received(), at as u64);
    }

    #[test]
    fn another_text_ends_at_its_length_or_the_first_difference(
        message in message(), text in message(), steps in steps(),
    ) {
        let rule = Rule::Text(text.clone());
        let mut exchange = Exchange::new(rule);
        exchange.input(message.clone());
        exchange.input_end();
        let done = run(exchange, &[], Peer::TruncateAt(message.len()), &steps);
        let same = message.iter().zip(&text).take_while(|(a, b)| a == b).count();
        let expected = if same == text.len() {
            Verdict::Right
        } else if same == message.len() {
            Verdict::Short
        } else {
            Verdict::Differs(Difference {
                offset: same as u64,
                expected: Some(text[same]),
                got: message[same],
            })
        };
        prop_assert_eq!(done.verdict(), expected);
    }
}

#[test]
fn a_datagram_too_long_differs_past_the_end() {
    let mut exchange = Exchange::new(Rule::Echo);
    exchange.input(b"ab".to_vec());
    exchange.input_end();
    exchange.wrote(2);
    exchange.received(b"abc");
    let Verdict::Differs(difference) = exchange.verdict() else {
        panic!("{exchange:?}");
    };
    assert_eq!(
        difference.to_string(),
        "differs at offset 2: expected the end, got 0x63 'c'"
    );
}

#[test]
fn stdin_goes_on_when_the_peer_has_ended() {
    let mut exchange = Exchange::new(Rule::Anything).half_close().outlive_peer();
    exchange.peer_end();
    assert!(!exchange.is_over() && exchange.wants_input());
    exchange.input(b"late".to_vec());
    exchange.wrote(4);
    exchange.input_end();
    assert!(exchange.wants_half_close() && !exchange.is_over());
    exchange.half_closed();
    assert!(exchange.is_over());
    assert_eq!(exchange.verdict(), Verdict::Right);
}

#[test]
fn an_empty_datagram_is_sent_and_waited_for() {
    for rule in [Rule::Echo, Rule::Text(Vec::new())] {
        let mut exchange = Exchange::new(rule).datagram();
        exchange.input_end();
        assert!(exchange.owes_datagram() && !exchange.is_over());
        exchange.wrote(0);
        assert!(!exchange.owes_datagram() && !exchange.is_over());
        assert!(exchange.read_limit() > 0);
        exchange.received(b"");
        exchange.datagram_end();
        assert!(exchange.is_over());
        assert_eq!(exchange.verdict(), Verdict::Right);
    }
    let mut exchange = Exchange::new(Rule::Echo).datagram();
    exchange.input_end();
    exchange.wrote(0);
    exchange.received(b"x");
    exchange.datagram_end();
    assert!(matches!(exchange.verdict(), Verdict::Differs(_)));
}

#[test]
fn no_more_than_a_window_is_sent_ahead() {
    let mut exchange = Exchange::new(Rule::Echo);
    exchange.input(vec![7; WINDOW + 100]);
    exchange.wrote(exchange.sendable().len());
    assert_eq!(exchange.bytes_sent(), WINDOW as u64);
    assert!(exchange.is_window_full() && !exchange.wants_input());
    exchange.received(&[7; 30]);
    assert_eq!(exchange.sendable().len(), 30);
    assert!(!exchange.is_window_full());
    // Under another rule nothing is kept of what is sent.
    let mut exchange = Exchange::new(Rule::Anything);
    exchange.input(vec![7; 2 * WINDOW]);
    assert_eq!(exchange.sendable().len(), 2 * WINDOW);
}

#[test]
fn an_empty_message_is_over_at_once() {
    let mut exchange = Exchange::new(Rule::Echo);
    exchange.input_end();
    assert!(exchange.is_over());
    assert_eq!(exchange.verdict(), Verdict::Right);
}
