use std::sync::atomic::{AtomicI64, Ordering};

use common::Out;
use common::app::Reporter;
use testkit::{netns, privilege};

use super::*;
use crate::cookie::Cookies;
use crate::plan::DataSizes;
use crate::plan::steady::{Mode, Steady, SteadyPlan};
use crate::socket::Options;
use crate::target::{Target, Targets};

const HOUR: i64 = 3_600_000_000_000;

/// Sets the wall clock whenever an answer was told.
struct Stepping {
    step: &'static AtomicI64,
    times: Vec<Nanos>,
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
                self.step.fetch_add(step, Ordering::Relaxed);
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn ended(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, _: &mut Io, _: &Targets) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Io, _: Clock, _: &Targets, _: u64) -> Result<()> {
        Ok(())
    }
}

static STEP: AtomicI64 = AtomicI64::new(0);

/// A whole run over a real socket and the kernel's real stamps, in which the
/// wall clock as this side reads it is set between the probes: once the kernel
/// has stamped an answer, a clock that was set and a reading that is off are
/// the same thing.
#[test]
fn a_wall_clock_that_is_set_changes_no_time() {
    if !privilege::can_ping() {
        netns::skip_softly("no ICMP socket allowed here");
        return;
    }
    let mut clock = Clock::start();
    clock.step = &STEP;
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
    let sizes = Sizes {
        batch: 1,
        largest: 200,
    };
    let mut engine = Engine::new(clock, vec![line], signals, books, sizes);
    let count = 16;
    let steady = Steady {
        mode: Mode::Interval,
        interval: 2_000_000,
        count: Some(count),
        preload: 1,
        timeout: None,
        deadline: None,
        sizes: DataSizes::fixed(56),
        outstanding: false,
        until: None,
    };
    let mut face = Stepping {
        step: &STEP,
        times: Vec::new(),
    };
    let report = Reporter::new("ping", Box::new(io::sink()));
    let mut io = Io::over(Out::new(Box::new(io::sink())), report);
    let mut plan = SteadyPlan::new(steady, target);
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
