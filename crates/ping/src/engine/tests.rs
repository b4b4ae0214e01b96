use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use common::Out;
use common::app::Reporter;
use testkit::{netns, privilege};

use super::*;
use crate::cookie::Cookies;
use crate::event::Overdue;
use crate::plan::DataSizes;
use crate::plan::steady::{Mode, Steady, SteadyPlan};
use crate::socket::Options;
use crate::target::{Target, Targets};

const HOUR: i64 = 3_600_000_000_000;

/// Sets the wall clock whenever an answer was told.
#[derive(Default)]
struct Stepping {
    times: Vec<Nanos>,
    given_up: u64,
}

impl Observer for Stepping {
    fn started(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    fn event(&mut self, _: &mut Io, _: Clock, _: &Target, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Sent => {}
            Event::Reply(reply) => {
                self.times.push(reply.rtt.expect("a time"));
                // An hour on, back, a quarter of a second back, on again.
                let steps = [HOUR, -HOUR, -HOUR / 14_400, HOUR / 14_400];
                let step = steps[self.times.len() % steps.len()];
                STEP.fetch_add(step, Ordering::Relaxed);
            }
            Event::Timeout { .. } => self.given_up += 1,
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn ended(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, _: &mut Io, _: &Targets, _: &Overdue) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Io, _: Clock, _: &Targets, _: u64) -> Result<()> {
        Ok(())
    }
}

static STEP: AtomicI64 = AtomicI64::new(0);

/// An engine over a real socket, and a plan of so many probes to 127.0.0.1,
/// all of them at once or one after the other.
fn run(clock: Clock, count: u64, at_once: bool) -> Option<(Engine, SteadyPlan, TargetId)> {
    if !privilege::can_ping() {
        netns::skip("no ICMP socket allowed here");
        return None;
    }
    let cookies = Cookies::default();
    let id = cookies.identifier();
    let socket = IcmpSocket::open(Version::V4, &Options::default()).unwrap();
    let template = Template::new(Version::V4, id, vec![0; 56]).unwrap();
    let line = Line::new(Version::V4, socket, id, template);
    let mut books = Books::new(cookies, 100);
    let target = books
        .targets
        .add(Target::new(None, "127.0.0.1".parse().unwrap(), 0));
    let signals = Signals::catch(&[signal::SIGQUIT]).unwrap();
    let preload = if at_once { count } else { 1 };
    let sizes = Sizes {
        batch: preload as usize,
        largest: 200,
    };
    let steady = Steady {
        mode: Mode::Interval,
        interval: 2_000_000,
        count: Some(count),
        preload,
        timeout: None,
        deadline: None,
        sizes: DataSizes::fixed(56),
        outstanding: false,
        until: None,
    };
    let engine = Engine::new(clock, vec![line], signals, books, sizes);
    Some((engine, SteadyPlan::new(steady, target), target))
}

fn sink() -> Io {
    let report = Reporter::new("ping", Box::new(io::sink()));
    Io::over(Out::new(Box::new(io::sink())), report)
}

/// A whole run over a real socket and the kernel's real stamps, in which the
/// wall clock as this side reads it is set between the probes: once the kernel
/// has stamped an answer, a clock that was set and a reading that is off are
/// the same thing.
#[test]
fn a_wall_clock_that_is_set_changes_no_time() {
    let mut clock = Clock::start();
    clock.step = &STEP;
    let count = 16;
    let Some((mut engine, mut plan, target)) = run(clock, count, false) else {
        return;
    };
    let mut face = Stepping::default();
    let mut io = sink();
    let end = engine.run(&mut plan, &mut face, &mut io).unwrap();
    let took = clock.now();
    assert_eq!(end, End::Done);
    assert_eq!(face.times.len() as u64, count);
    let times = &face.times;
    assert!(
        times.iter().all(|time| (1..took).contains(time)),
        "{times:?} in {took}"
    );
    let stats = &engine.books.targets.get(target).unwrap().stats;
    assert_eq!((stats.received, stats.lost, stats.late), (count, 0, 0));
}

/// An answer that came after the last look at the socket is read before its
/// probe is given up.
#[test]
fn what_has_come_is_read_before_a_probe_is_given_up() {
    let clock = Clock::start();
    let Some((mut engine, mut plan, target)) = run(clock, 1, false) else {
        return;
    };
    let mut face = Stepping::default();
    let mut io = sink();
    let parties = &mut Parties {
        plan: &mut plan,
        observer: &mut face,
        io: &mut io,
    };
    engine.collect(parties).unwrap();
    engine.send(0, parties).unwrap();
    // Over loopback it has been answered; nobody has looked since.
    engine.now = clock.now() + 3_600_000_000_000;
    engine.expire(parties).unwrap();
    let stats = &engine.books.targets.get(target).unwrap().stats;
    assert_eq!((stats.received, stats.lost), (1, 0));
    assert_eq!(face.given_up, 0);
}

/// However much there is to read, signals and deadlines get their turn.
#[test]
fn one_pass_takes_in_a_bounded_number_of_packets() {
    let clock = Clock::start();
    let Some((mut engine, mut plan, target)) = run(clock, 64, true) else {
        return;
    };
    engine.pass = 8;
    let mut face = Stepping::default();
    let mut io = sink();
    let parties = &mut Parties {
        plan: &mut plan,
        observer: &mut face,
        io: &mut io,
    };
    engine.collect(parties).unwrap();
    engine.send(0, parties).unwrap();
    let received = |engine: &Engine| engine.books.targets.get(target).unwrap().stats.received;
    engine.inbox = Inbox::new(4, 200);
    // Other runs' replies count as well, so a pass may take in fewer of ours.
    let mut passes = 1;
    while !engine.receive_all(parties).unwrap() {
        assert!(received(&engine) <= passes * 8);
        passes += 1;
    }
    assert_eq!(received(&engine), 64);
    assert!(passes >= 8, "{passes}");
}
