//! The machine in random order of everything that can happen.

use super::bench::Bench;
use super::*;
use crate::fault::Delay;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Send(Vec<u8>),
    Room(usize),
    Turn(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (any::<u8>(), 1..70_000_usize)
            .prop_map(|(byte, n)| Act::Send((0..n).map(|i| byte.wrapping_add(i as u8)).collect())),
        prop::collection::vec(any::<u8>(), 1..4).prop_map(Act::Send),
        (0..90_000_usize).prop_map(Act::Room),
        (1..=TAIL_MAX).prop_map(Act::Turn),
        (0..50_u64).prop_map(Act::Pass),
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
            idle: None,
            rate,
            faults: delay.map(|(base, jitter)| Faults {
                delay: Some(Delay {
                    base: Duration::from_millis(base),
                    jitter: Duration::from_millis(jitter),
                }),
                ..Faults::default()
            }),
        })
}

fn play(bench: &mut Bench, acts: Vec<Act>) {
    for act in acts {
        match act {
            Act::Send(bytes) => bench.wire.input.extend(bytes),
            Act::Room(n) => bench.wire.room = n,
            Act::Turn(scratch) => bench.turn(scratch),
            Act::Pass(ms) => bench.pass(Duration::from_millis(ms)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the order: no byte is lost, changed or made up, the peer's end
    /// of file ends the connection once all is sent, and a limit ends it at
    /// exactly that byte, with the write side shut down first unless the peer
    /// has ended.
    #[test]
    fn everything_comes_back(rules in rules(), acts in prop::collection::vec(act(), 0..40)) {
        let mut bench = Bench::new(rules);
        play(&mut bench, acts);
        bench.wire.fin = true;
        bench.run_out();
        prop_assert!(bench.wire.output == bench.expected, "other bytes came back");
        let (bytes_in, bytes_out) = bench.machine.bytes();
        prop_assert_eq!(bytes_in, bench.taken as u64);
        prop_assert_eq!(bytes_out, bench.wire.output.len() as u64);
        match bench.rules.max_bytes {
            Some(max) if bytes_in == max => {
                prop_assert!(bench.wire.shut || bench.ended, "closing may reset");
                prop_assert_eq!(bench.last, Step::Close(Reason::MaxBytes));
            }
            max => {
                prop_assert!(bytes_in < max.unwrap_or(u64::MAX));
                prop_assert_eq!(bench.last, Step::Close(Reason::Eof));
            }
        }
        prop_assert!(bench.wire.input.is_empty(), "left unread: closing would reset");
    }

    /// A cut connection still sends what it has taken, and is over in time
    /// even if the peer does not notice.
    #[test]
    fn a_cut_keeps_its_promises(rules in rules(), acts in prop::collection::vec(act(), 0..40), deaf: bool) {
        let mut bench = Bench::new(rules);
        play(&mut bench, acts);
        if bench.is_over() {
            return Ok(());
        }
        let grace = Duration::from_secs(1);
        bench.machine.cut(bench.now + grace);
        bench.follow();
        if deaf {
            bench.wire.room = 0;
            bench.pass(grace);
            prop_assert!(bench.is_over());
            prop_assert!(bench.expected.starts_with(&bench.wire.output));
        } else {
            bench.run_out();
            bench.wire.fin = true;
            bench.run_out();
            prop_assert!(bench.wire.output == bench.expected, "a promise was broken");
            prop_assert!(bench.is_over());
        }
    }

    /// Faults of all kinds: nothing but pieces of what was taken in, counted
    /// right.
    #[test]
    fn faults_make_nothing_up(seed: u64, acts in prop::collection::vec(act(), 0..40)) {
        let faults = Faults { drop: 0.2, corrupt: 0.2, truncate: 0.2, reset: 0.05, seed, delay: None };
        let mut bench = Bench::new(Rules { faults: Some(faults), ..Rules::default() });
        play(&mut bench, acts);
        bench.wire.fin = true;
        bench.run_out();
        let (bytes_in, bytes_out) = bench.machine.bytes();
        prop_assert!(bytes_out <= bytes_in);
        prop_assert_eq!(bytes_out, bench.wire.output.len() as u64);
        prop_assert!(matches!(bench.last, Step::Close(Reason::Eof) | Step::Reset(Reason::Fault)));
    }
}

#[test]
fn silence_is_closed_and_activity_puts_it_off() {
    let idle = Duration::from_secs(10);
    let mut bench = Bench::new(Rules {
        idle: Some(idle),
        ..Rules::default()
    });
    bench.follow();
    bench.pass(Duration::from_secs(9));
    bench.wire.input.extend(b"x");
    bench.wire.room = 1;
    bench.turn(64);
    assert_eq!(
        bench.machine.deadline(&bench.rules, bench.now),
        Some(Duration::from_secs(19))
    );
    bench.pass(Duration::from_secs(9));
    assert!(!bench.is_over());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.last, Step::Close(Reason::Idle));
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from() {
    let mut bench = Bench::new(Rules::default());
    bench.wire.input.extend(vec![7; 3 * TAIL_MAX]);
    bench.wire.room = 10;
    for _ in 0..10 {
        bench.turn(TAIL_MAX);
    }
    assert_eq!(bench.last, Step::Wait(Interest::Write));
    assert_eq!(bench.machine.bytes(), (TAIL_MAX as u64, 10));
}

/// What it gives back does not fit, and it writes on before it reads.
#[test]
fn a_peer_that_writes_all_before_it_reads_gets_its_bytes() {
    let idle = Duration::from_secs(10);
    let mut bench = Bench::new(Rules {
        max_bytes: Some(20),
        idle: Some(idle),
        ..Rules::default()
    });
    bench.wire.input.extend(vec![7; 3 * TAIL_MAX]);
    bench.wire.room = 10;
    for _ in 0..10 {
        bench.turn(TAIL_MAX);
    }
    assert!(bench.wire.input.is_empty(), "it still waits to be read");
    assert_eq!(bench.last, Step::Wait(Interest::Both));
    bench.wire.room = 100;
    bench.turn(TAIL_MAX);
    assert_eq!((bench.wire.output.len(), bench.wire.shut), (20, true));
    assert_eq!(bench.last, Step::Wait(Interest::Read));
}

#[test]
fn writing_alone_puts_off_no_idle_timeout_at_the_end() {
    let mut bench = Bench::new(Rules {
        max_bytes: Some(20),
        idle: Some(Duration::from_secs(10)),
        ..Rules::default()
    });
    bench.wire.input.extend(vec![7; 100]);
    bench.turn(TAIL_MAX);
    for _ in 0..4 {
        bench.pass(Duration::from_secs(3));
        bench.wire.input.extend(vec![7; 100]);
        bench.turn(TAIL_MAX);
    }
    assert_eq!(bench.last, Step::Close(Reason::Idle));
}

#[test]
fn one_that_lingers_does_so_until_the_cut_is_over() {
    let mut bench = Bench::new(Rules {
        max_bytes: Some(20),
        ..Rules::default()
    });
    bench.wire.input.extend(vec![7; 100]);
    bench.wire.room = 100;
    bench.turn(TAIL_MAX);
    assert_eq!(
        (bench.last, bench.wire.shut),
        (Step::Wait(Interest::Read), true)
    );
    let grace = Duration::from_millis(20);
    bench.machine.cut(bench.now + grace);
    bench.follow();
    assert!(!bench.is_over());
    bench.pass(grace);
    assert_eq!(bench.last, Step::Close(Reason::MaxBytes));
}

#[test]
fn it_stays_small() {
    // Ten thousand idle connections are to cost little.
    assert!(size_of::<Machine>() <= 184, "{}", size_of::<Machine>());
}

fn delayed(ms: u64) -> Bench {
    let delay = Delay {
        base: Duration::from_millis(ms),
        jitter: Duration::ZERO,
    };
    let mut bench = Bench::new(Rules {
        faults: Some(Faults {
            delay: Some(delay),
            ..Faults::default()
        }),
        ..Rules::default()
    });
    bench.wire.room = usize::MAX / 2;
    bench.follow();
    bench
}

/// A delay is that of each piece, and not that of all before it, too.
#[test]
fn pieces_in_flight_keep_their_own_delay() {
    let mut bench = delayed(50);
    let ms = Duration::from_millis;
    for byte in 0..5 {
        bench.wire.input.extend([byte]);
        bench.turn(TAIL_MAX);
        bench.pass(ms(10));
    }
    // At 50 ms the first goes, and then one every 10 ms.
    for count in 1..=5 {
        assert_eq!(bench.wire.output.len(), count, "at {:?}", bench.now);
        bench.pass(ms(9));
        assert_eq!(bench.wire.output.len(), count, "at {:?}", bench.now);
        bench.pass(ms(1));
    }
    assert_eq!(bench.wire.output, [0, 1, 2, 3, 4]);
}

/// Also while the first ones of several are held: the room behind them is
/// read, and up to a number of pieces.
#[test]
fn held_pieces_are_bounded_in_bytes_and_number() {
    let mut bench = delayed(1000);
    bench.wire.input.extend(vec![7; 3 * TAIL_MAX]);
    for _ in 0..10 {
        bench.turn(TAIL_MAX);
    }
    assert_eq!(bench.machine.bytes(), (TAIL_MAX as u64, 0));
    let mut bench = delayed(1000);
    for _ in 0..2 * HELD_MAX {
        bench.wire.input.extend([7]);
        bench.turn(1);
    }
    assert_eq!(bench.machine.bytes(), (HELD_MAX as u64, 0));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.wire.output.len(), HELD_MAX);
    bench.turn(TAIL_MAX);
    assert_eq!(bench.machine.bytes().0, 2 * HELD_MAX as u64);
}
