//! The engine with a real socket on loopback.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use common::Out;
use common::app::Reporter;
use testkit::{netns, privilege};

use super::*;
use crate::cookie::Cookies;
use crate::schedule::DataSizes;
use crate::schedule::periodic::{Mode, PeriodicOptions, PeriodicSchedule};
use crate::socket::SocketOptions;
use crate::target::Target;

const HOUR: i64 = 3_600_000_000_000;

/// How far the wall clock is set forward.
static STEP: AtomicI64 = AtomicI64::new(0);

/// An observer that sets the wall clock after each reply.
#[derive(Default)]
struct ClockSetter {
    rtts: Vec<Nanos>,
    timeouts: u64,
}

impl Observer for ClockSetter {
    fn event(&mut self, _: &mut Io, _: Clock, _: &Target, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Sent => {}
            Event::Reply(reply) => {
                self.rtts.push(reply.rtt.expect("a round-trip time"));
                // An hour forward, back, then a quarter of a second each way.
                let steps = [HOUR, -HOUR, -HOUR / 14_400, HOUR / 14_400];
                let step = steps[self.rtts.len() % steps.len()];
                STEP.fetch_add(step, Ordering::Relaxed);
            }
            Event::Timeout { .. } => self.timeouts += 1,
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}

/// An engine with a socket, and a schedule of probes to 127.0.0.1.
struct Fixture {
    engine: Engine,
    schedule: PeriodicSchedule,
    target: TargetId,
    observer: ClockSetter,
    io: Io,
}

impl Fixture {
    /// Creates a schedule of `count` probes, all in one batch or one after the
    /// other. Returns `None` if this user may not ping.
    fn new(clock: Clock, count: u64, is_one_batch: bool) -> Option<Self> {
        if !privilege::can_ping() {
            netns::skip("no permission for an ICMP socket");
            return None;
        }
        let cookies = Cookies::default();
        let id = cookies.identifier();
        let socket = IcmpSocket::open(IpVersion::V4, &SocketOptions::default()).unwrap();
        let template = Template::new(IpVersion::V4, id, vec![0; 56]).unwrap();
        let channel = Channel::new(IpVersion::V4, socket, id, template);
        let mut tracker = ProbeTracker::new(cookies, 100);
        let target = tracker
            .targets
            .add(Target::new(None, "127.0.0.1".parse().unwrap(), 0));
        let signals = Signals::catch(&[signal::SIGQUIT]).unwrap();
        let preload = if is_one_batch { count } else { 1 };
        let sizes = BufferSizes {
            batch: preload as usize,
            max_message: 200,
        };
        let options = PeriodicOptions {
            mode: Mode::Interval,
            interval: 2_000_000,
            count: Some(count),
            preload,
            timeout: None,
            deadline: None,
            sizes: DataSizes::fixed(56),
            outstanding: false,
            wait_for: None,
        };
        let report = Reporter::new("ping", Box::new(io::sink()));
        Some(Self {
            engine: Engine::new(clock, vec![channel], signals, tracker, sizes),
            schedule: PeriodicSchedule::new(options, target),
            target,
            observer: ClockSetter::default(),
            io: Io::over(Out::new(Box::new(io::sink())), report),
        })
    }

    /// Calls a function with the engine and the context of a run.
    fn with<T>(&mut self, call: impl FnOnce(&mut Engine, &mut RunContext<'_>) -> T) -> T {
        let context = &mut RunContext {
            schedule: &mut self.schedule,
            observer: &mut self.observer,
            io: &mut self.io,
        };
        call(&mut self.engine, context)
    }

    fn send_batch(&mut self) {
        self.with(|engine, context| {
            engine.queue_due_probes(context).unwrap();
            engine.send(0, context).unwrap();
        });
    }

    fn stats(&self) -> &crate::stats::Stats {
        &self.engine.tracker.targets.get(self.target).unwrap().stats
    }
}

/// The wall clock as this process reads it is set between the probes. After the
/// kernel has stamped a reply, that has the same effect as setting the clock.
#[test]
fn setting_the_wall_clock_changes_no_round_trip() {
    let mut clock = Clock::start();
    clock.step = &STEP;
    let count = 16;
    let Some(mut fixture) = Fixture::new(clock, count, false) else {
        return;
    };
    let reason = fixture
        .engine
        .run(
            &mut fixture.schedule,
            &mut fixture.observer,
            &mut fixture.io,
        )
        .unwrap();
    let duration = clock.now();
    assert_eq!(reason, StopReason::Done);
    let rtts = &fixture.observer.rtts;
    assert_eq!(rtts.len() as u64, count);
    assert!(
        rtts.iter().all(|rtt| (1..duration).contains(rtt)),
        "{rtts:?} in {duration}"
    );
    let stats = fixture.stats();
    assert_eq!((stats.received, stats.lost, stats.late), (count, 0, 0));
}

#[test]
fn replies_are_received_before_a_probe_is_given_up() {
    let clock = Clock::start();
    let Some(mut fixture) = Fixture::new(clock, 1, false) else {
        return;
    };
    fixture.send_batch();
    // Over loopback the reply is in the socket by now, but has not been read.
    fixture.engine.now = clock.now() + 3_600_000_000_000;
    fixture.with(|engine, context| engine.expire(context).unwrap());
    let stats = fixture.stats();
    assert_eq!((stats.received, stats.lost), (1, 0));
    assert_eq!(fixture.observer.timeouts, 0);
}

/// Signals and deadlines are handled however much there is to read.
#[test]
fn one_pass_receives_a_bounded_number_of_messages() {
    let Some(mut fixture) = Fixture::new(Clock::start(), 64, true) else {
        return;
    };
    fixture.engine.pass_limit = 8;
    fixture.send_batch();
    fixture.engine.recv_batch = recv::batch(4, 200);
    // Replies to other processes also count, so a pass may receive fewer.
    let mut passes = 1;
    while !fixture.with(|engine, context| engine.receive_all(context).unwrap()) {
        assert!(fixture.stats().received <= passes * 8);
        passes += 1;
    }
    assert_eq!(fixture.stats().received, 64);
    assert!(passes >= 8, "{passes}");
}
