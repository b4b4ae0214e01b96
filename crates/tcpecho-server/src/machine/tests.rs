//! Tests of the state machine, with events in random order and one by one.

use super::harness::Harness;
use super::*;
use crate::fault::Delay;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Send(Vec<u8>),
    Room(usize),
    Ready(usize),
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (any::<u8>(), 1..70_000_usize)
            .prop_map(|(byte, n)| Op::Send((0..n).map(|i| byte.wrapping_add(i as u8)).collect())),
        prop::collection::vec(any::<u8>(), 1..4).prop_map(Op::Send),
        (0..90_000_usize).prop_map(Op::Room),
        (1..=MAX_SEND_BUFFER).prop_map(Op::Ready),
        (0..50_u64).prop_map(Op::Advance),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let bytes = |n| prop::collection::vec(any::<u8>(), 0..n);
    (
        bytes(5),
        prop::option::of(bytes(2_000)),
        prop::option::of(1..200_000_u64),
        prop::option::of(1_000..10_000_000_u64),
        prop::option::of((0..30_u64, 0..30_u64)),
    )
        .prop_map(|(greeting, reply, max_bytes, rate, delay)| Rules {
            greeting,
            reply,
            max_bytes,
            idle_timeout: None,
            rate,
            faults: delay.map(|(base, jitter)| delay_only(base, jitter)),
        })
}

/// Faults with a delay in milliseconds and nothing else.
fn delay_only(base: u64, jitter: u64) -> Faults {
    Faults {
        delay: Some(Delay {
            base: Duration::from_millis(base),
            jitter: Duration::from_millis(jitter),
        }),
        ..Faults::default()
    }
}

fn run(harness: &mut Harness, ops: Vec<Op>) {
    for op in ops {
        match op {
            Op::Send(bytes) => harness.socket.input.extend(bytes),
            Op::Room(n) => harness.socket.room = n,
            Op::Ready(scratch) => harness.on_ready(scratch),
            Op::Advance(ms) => harness.advance(Duration::from_millis(ms)),
        }
    }
}

/// Checks that the peer gets every byte after `ops` and its end of file.
fn check_echo(rules: Rules, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut harness = Harness::new(rules);
    run(&mut harness, ops);
    harness.socket.fin = true;
    harness.run_to_end();
    prop_assert!(
        harness.socket.output == harness.expected,
        "other bytes were sent"
    );
    let (bytes_received, bytes_sent) = harness.machine.bytes();
    prop_assert_eq!(bytes_received, harness.received as u64);
    prop_assert_eq!(bytes_sent, harness.socket.output.len() as u64);
    match harness.rules.max_bytes {
        Some(max) if bytes_received == max => {
            prop_assert!(
                harness.socket.shut_down || harness.eof_read,
                "closing may cause a reset"
            );
            prop_assert_eq!(harness.last_step, Step::Close(Reason::MaxBytes));
        }
        max => {
            prop_assert!(bytes_received < max.unwrap_or(u64::MAX));
            prop_assert_eq!(harness.last_step, Step::Close(Reason::Eof));
        }
    }
    prop_assert!(
        harness.socket.input.is_empty(),
        "closing with unread bytes causes a reset"
    );
    Ok(())
}

/// Checks a shutdown after `ops`: the peer gets every byte, or if it does not
/// read, the connection ends at the deadline.
fn check_shutdown(rules: Rules, ops: Vec<Op>, peer_reads: bool) -> Result<(), TestCaseError> {
    let mut harness = Harness::new(rules);
    run(&mut harness, ops);
    if harness.is_finished() {
        return Ok(());
    }
    let grace = Duration::from_secs(1);
    harness.machine.shut_down(harness.now + grace);
    harness.apply_steps();
    if peer_reads {
        harness.run_to_end();
        harness.socket.fin = true;
        harness.run_to_end();
        prop_assert!(harness.socket.output == harness.expected, "bytes were lost");
        prop_assert!(harness.is_finished());
    } else {
        harness.socket.room = 0;
        harness.advance(grace);
        prop_assert!(harness.is_finished());
        prop_assert!(harness.expected.starts_with(&harness.socket.output));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// In whatever order events occur, no byte is lost, changed or invented.
    /// The peer's end of file ends the connection once everything is sent. A
    /// limit ends it after exactly that byte; before closing, the sending side
    /// is shut down unless the peer has ended.
    #[test]
    fn every_byte_is_echoed(rules in rules(), ops in prop::collection::vec(op(), 0..40)) {
        check_echo(rules, ops)?;
    }

    /// A connection that the server shuts down still sends everything it has
    /// received, and ends in time even if the peer does not react.
    #[test]
    fn a_shutdown_loses_no_byte(rules in rules(), ops in prop::collection::vec(op(), 0..40), peer_reads: bool) {
        check_shutdown(rules, ops, peer_reads)?;
    }

    /// With all faults, the output still consists of received bytes only, and
    /// the counts are correct.
    #[test]
    fn faults_invent_no_bytes(seed: u64, ops in prop::collection::vec(op(), 0..40)) {
        let faults = Faults { drop: 0.2, corrupt: 0.2, truncate: 0.2, reset: 0.05, seed, delay: None };
        let mut harness = Harness::new(Rules { faults: Some(faults), ..Rules::default() });
        run(&mut harness, ops);
        harness.socket.fin = true;
        harness.run_to_end();
        let (bytes_received, bytes_sent) = harness.machine.bytes();
        prop_assert!(bytes_sent <= bytes_received);
        prop_assert_eq!(bytes_sent, harness.socket.output.len() as u64);
        prop_assert!(matches!(harness.last_step, Step::Close(Reason::Eof) | Step::Reset(Reason::Fault)));
    }
}

/// A case that once failed: the limit is reached while a chunk is delayed.
#[test]
fn a_limit_is_reached_while_a_chunk_is_delayed() {
    let rules = || Rules {
        max_bytes: Some(1),
        faults: Some(delay_only(8, 1)),
        ..Rules::default()
    };
    let ops = || vec![Op::Send(b"ab".to_vec()), Op::Ready(MAX_SEND_BUFFER)];
    check_echo(rules(), ops()).unwrap();
    for peer_reads in [false, true] {
        check_shutdown(rules(), ops(), peer_reads).unwrap();
    }
}

/// A case that once failed: long fixed replies with delay, rate and limit,
/// shut down while several of them are buffered.
#[test]
fn delayed_replies_are_sent_after_a_shutdown() {
    let rules = || Rules {
        reply: Some(vec![b'r'; 1500]),
        max_bytes: Some(174_826),
        rate: Some(7_625_659),
        faults: Some(delay_only(25, 10)),
        ..Rules::default()
    };
    let ops = || {
        vec![
            Op::Room(61_313),
            Op::Send(vec![b'a'; 60_000]),
            Op::Send(vec![b'b'; 60_000]),
            Op::Advance(13),
            Op::Ready(20_807),
            Op::Room(37_948),
            Op::Send(vec![b'c'; 60_000]),
            Op::Room(50_512),
            Op::Room(71_539),
            Op::Advance(6),
            Op::Ready(54_534),
            Op::Ready(50_825),
            Op::Ready(17_480),
            Op::Ready(25_974),
            Op::Send(vec![b'd'; 60_000]),
        ]
    };
    check_echo(rules(), ops()).unwrap();
    for peer_reads in [false, true] {
        check_shutdown(rules(), ops(), peer_reads).unwrap();
    }
}

#[test]
fn the_idle_timeout_is_postponed_by_activity() {
    let mut harness = Harness::new(Rules {
        idle_timeout: Some(Duration::from_secs(10)),
        ..Rules::default()
    });
    harness.apply_steps();
    harness.advance(Duration::from_secs(9));
    harness.socket.input.extend(b"x");
    harness.socket.room = 1;
    harness.on_ready(64);
    assert_eq!(
        harness.machine.deadline(&harness.rules, harness.now),
        Some(Duration::from_secs(19))
    );
    harness.advance(Duration::from_secs(9));
    assert!(!harness.is_finished());
    harness.advance(Duration::from_secs(1));
    assert_eq!(harness.last_step, Step::Close(Reason::Idle));
}

#[test]
fn sending_alone_postpones_the_idle_timeout() {
    let mut harness = Harness::new(Rules {
        idle_timeout: Some(Duration::from_secs(10)),
        ..Rules::default()
    });
    harness.socket.input.extend(vec![7; 10]);
    harness.on_ready(MAX_SEND_BUFFER);
    for _ in 0..5 {
        harness.advance(Duration::from_secs(9));
        harness.socket.room = 1;
        harness.on_ready(MAX_SEND_BUFFER);
    }
    assert!(!harness.is_finished());
    harness.advance(Duration::from_secs(10));
    assert_eq!(harness.last_step, Step::Close(Reason::Idle));
}

#[test]
fn nothing_is_read_from_a_peer_that_does_not_read() {
    let mut harness = Harness::new(Rules::default());
    harness.socket.input.extend(vec![7; 3 * MAX_SEND_BUFFER]);
    harness.socket.room = 10;
    for _ in 0..10 {
        harness.on_ready(MAX_SEND_BUFFER);
    }
    assert_eq!(harness.last_step, Step::Wait(Interest::Write));
    assert_eq!(harness.machine.bytes(), (MAX_SEND_BUFFER as u64, 10));
}

/// The replies of such a peer do not fit into the socket, and it does not read
/// until it has written everything.
#[test]
fn a_peer_that_writes_everything_before_it_reads_gets_its_bytes() {
    let mut harness = Harness::new(Rules {
        max_bytes: Some(20),
        idle_timeout: Some(Duration::from_secs(10)),
        ..Rules::default()
    });
    harness.socket.input.extend(vec![7; 3 * MAX_SEND_BUFFER]);
    harness.socket.room = 10;
    for _ in 0..10 {
        harness.on_ready(MAX_SEND_BUFFER);
    }
    assert!(harness.socket.input.is_empty(), "input was not discarded");
    assert_eq!(harness.last_step, Step::Wait(Interest::ReadWrite));
    harness.socket.room = 100;
    harness.on_ready(MAX_SEND_BUFFER);
    assert_eq!(
        (harness.socket.output.len(), harness.socket.shut_down),
        (20, true)
    );
    assert_eq!(harness.last_step, Step::Wait(Interest::Read));
}

#[test]
fn discarded_input_does_not_postpone_the_idle_timeout() {
    let mut harness = Harness::new(Rules {
        max_bytes: Some(20),
        idle_timeout: Some(Duration::from_secs(10)),
        ..Rules::default()
    });
    harness.socket.input.extend(vec![7; 100]);
    harness.on_ready(MAX_SEND_BUFFER);
    for _ in 0..4 {
        harness.advance(Duration::from_secs(3));
        harness.socket.input.extend(vec![7; 100]);
        harness.on_ready(MAX_SEND_BUFFER);
    }
    assert_eq!(harness.last_step, Step::Close(Reason::Idle));
}

/// A connection that has echoed the 20 bytes of its limit. The peer has not
/// ended its side.
fn lingering() -> Harness {
    let mut harness = Harness::new(Rules {
        max_bytes: Some(20),
        idle_timeout: Some(Duration::from_secs(10)),
        ..Rules::default()
    });
    harness.socket.input.extend(vec![7; 100]);
    harness.socket.room = 100;
    harness.on_ready(MAX_SEND_BUFFER);
    assert_eq!(
        (harness.last_step, harness.socket.shut_down),
        (Step::Wait(Interest::Read), true)
    );
    harness
}

#[test]
fn a_lingering_connection_ends_at_the_shutdown_deadline() {
    let mut harness = lingering();
    let grace = Duration::from_millis(20);
    harness.machine.shut_down(harness.now + grace);
    harness.apply_steps();
    assert!(!harness.is_finished());
    harness.advance(grace);
    assert_eq!(harness.last_step, Step::Close(Reason::MaxBytes));
}

#[test]
fn a_later_shutdown_moves_the_deadline() {
    let mut harness = Harness::new(Rules::default());
    let ms = Duration::from_millis;
    harness.socket.input.extend(b"x");
    harness.on_ready(MAX_SEND_BUFFER);
    harness.machine.shut_down(ms(1000));
    harness.machine.shut_down(ms(20));
    harness.apply_steps();
    harness.advance(ms(19));
    assert!(!harness.is_finished());
    harness.advance(ms(1));
    assert_eq!(harness.last_step, Step::Close(Reason::Drain));
}

/// The limit ended the connection, however the peer reacts to that.
#[test]
fn a_lingering_connection_keeps_its_reason() {
    let mut after_error = lingering();
    after_error.machine.on_error(Reason::Reset);
    after_error.apply_steps();
    let mut after_silence = lingering();
    after_silence.advance(Duration::from_secs(10));
    let mut after_eof = lingering();
    after_eof.socket.fin = true;
    // Discards the rest of the input, then reads the end of file.
    after_eof.on_ready(MAX_SEND_BUFFER);
    after_eof.on_ready(MAX_SEND_BUFFER);
    for harness in [after_error, after_silence, after_eof] {
        assert_eq!(harness.last_step, Step::Close(Reason::MaxBytes));
    }
}

#[test]
fn the_state_of_a_connection_is_small() {
    // Ten thousand idle connections must cost little memory.
    assert!(size_of::<Machine>() <= 184, "{}", size_of::<Machine>());
}

fn delayed(ms: u64) -> Harness {
    let mut harness = Harness::new(Rules {
        faults: Some(delay_only(ms, 0)),
        ..Rules::default()
    });
    harness.socket.room = usize::MAX / 2;
    harness.apply_steps();
    harness
}

/// A chunk is not delayed by the chunks before it.
#[test]
fn each_chunk_has_its_own_delay() {
    let mut harness = delayed(50);
    let ms = Duration::from_millis;
    for byte in 0..5 {
        harness.socket.input.extend([byte]);
        harness.on_ready(MAX_SEND_BUFFER);
        harness.advance(ms(10));
    }
    // The first is sent after 50 ms, then one every 10 ms.
    for count in 1..=5 {
        assert_eq!(harness.socket.output.len(), count, "at {:?}", harness.now);
        harness.advance(ms(9));
        assert_eq!(harness.socket.output.len(), count, "at {:?}", harness.now);
        harness.advance(ms(1));
    }
    assert_eq!(harness.socket.output, [0, 1, 2, 3, 4]);
}

#[test]
fn delayed_chunks_are_bounded_in_bytes_and_number() {
    let mut harness = delayed(1000);
    harness.socket.input.extend(vec![7; 3 * MAX_SEND_BUFFER]);
    for _ in 0..10 {
        harness.on_ready(MAX_SEND_BUFFER);
    }
    assert_eq!(harness.machine.bytes(), (MAX_SEND_BUFFER as u64, 0));
    let mut harness = delayed(1000);
    for _ in 0..2 * MAX_DELAYED_PIECES {
        harness.socket.input.extend([7]);
        harness.on_ready(1);
    }
    assert_eq!(harness.machine.bytes(), (MAX_DELAYED_PIECES as u64, 0));
    harness.advance(Duration::from_secs(1));
    assert_eq!(harness.socket.output.len(), MAX_DELAYED_PIECES);
    harness.on_ready(MAX_SEND_BUFFER);
    assert_eq!(harness.machine.bytes().0, 2 * MAX_DELAYED_PIECES as u64);
}
