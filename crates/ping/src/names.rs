//! Names of addresses for the classic face: the system's reverse lookup, asked
//! once for each address by a bounded number of threads. Nothing here blocks:
//! a line that needs a name which has not come yet is held back by the face
//! (see [`crate::face::held`]).

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use common::Result;

use crate::bell::Bell;

/// Names kept. A group may be answered from any number of addresses, and an
/// ICMP error may come from any address, so the number is bounded.
const MOST: usize = 1024;

/// Lookups at once. Each is a thread, and one without an answer stays until
/// the system's resolver gives up.
const LOOKUPS: usize = 8;

/// The longest time a line waits for a name.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The outcome of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A name, or the certainty that there is none.
    Known(Option<String>),
    /// The name server did not answer; a later line may ask again.
    Failed,
}

/// The state of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// Its name, or that the number has to do.
    Known(Option<&'a str>),
    /// Its lookup has not ended.
    Pending,
}

/// Asks for names, unless numbers were asked for.
#[derive(Debug)]
pub(crate) struct Names(Option<Desk>);

#[derive(Debug)]
struct Desk {
    known: HashMap<IpAddr, Option<String>>,
    /// Addresses whose lookup has not ended, those in the queue included.
    pending: HashSet<IpAddr>,
    queue: VecDeque<IpAddr>,
    running: usize,
    sender: Sender<Ended>,
    receiver: Receiver<Ended>,
    bell: Bell,
    look_up: fn(IpAddr) -> Outcome,
    /// Whether a line has waited in vain, and no lookup ended in time since.
    given_up: bool,
}

/// A lookup that has ended.
#[derive(Debug)]
struct Ended {
    address: IpAddr,
    outcome: Outcome,
    took: Duration,
}

impl Names {
    /// `wanted`: whether to ask at all.
    pub(crate) fn new(wanted: bool) -> Result<Self> {
        if !wanted {
            return Ok(Self(None));
        }
        Ok(Self(Some(Desk::new(look_up)?)))
    }

    /// Names that another lookup gives.
    #[cfg(test)]
    pub(crate) fn of(look_up: fn(IpAddr) -> Outcome) -> Self {
        Self(Some(Desk::new(look_up).expect("a descriptor")))
    }

    /// Starts a lookup, unless the name is known or there are too many.
    pub(crate) fn ask(&mut self, address: IpAddr) {
        if let Some(desk) = &mut self.0 {
            desk.take_in();
            desk.ask(address);
        }
    }

    /// The state of an address that was asked for. Takes in answers that have
    /// arrived.
    pub(crate) fn get(&mut self, address: IpAddr) -> Name<'_> {
        let Some(desk) = &mut self.0 else {
            return Name::Known(None);
        };
        desk.take_in();
        if desk.pending.contains(&address) {
            return Name::Pending;
        }
        Name::Known(desk.known.get(&address).and_then(Option::as_deref))
    }

    /// A line has waited for [`PATIENCE`].
    pub(crate) fn give_up(&mut self) {
        if let Some(desk) = &mut self.0 {
            desk.given_up = true;
        }
    }

    /// Whether a line has waited in vain, and no lookup ended in time since.
    pub(crate) fn has_given_up(&self) -> bool {
        self.0.as_ref().is_some_and(|desk| desk.given_up)
    }

    /// Readable when a lookup has ended since [`Names::silence`].
    pub(crate) fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(|desk| desk.bell.as_fd())
    }

    /// Makes [`Names::wake`] unreadable; look for answers afterwards.
    pub(crate) fn silence(&self) {
        if let Some(desk) = &self.0 {
            desk.bell.silence();
        }
    }
}

impl Desk {
    fn new(look_up: fn(IpAddr) -> Outcome) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        Ok(Self {
            known: HashMap::new(),
            pending: HashSet::new(),
            queue: VecDeque::new(),
            running: 0,
            sender,
            receiver,
            bell: Bell::new()?,
            look_up,
            given_up: false,
        })
    }

    fn ask(&mut self, address: IpAddr) {
        let known = self.known.contains_key(&address) || self.pending.contains(&address);
        if known || self.known.len() + self.pending.len() >= MOST {
            return;
        }
        self.pending.insert(address);
        self.queue.push_back(address);
        self.start();
    }

    /// Starts lookups as far as there may be more.
    fn start(&mut self) {
        while self.running < LOOKUPS
            && let Some(address) = self.queue.pop_front()
        {
            let (sender, bell, look_up) = (self.sender.clone(), self.bell.clone(), self.look_up);
            let thread = thread::Builder::new().name("names".to_owned());
            let started = thread.spawn(move || {
                let start = Instant::now();
                let outcome = look_up(address);
                // Without a receiver the run is over.
                let _ = sender.send(Ended {
                    address,
                    outcome,
                    took: start.elapsed(),
                });
                bell.ring();
            });
            match started {
                Ok(_) => self.running += 1,
                // Without a thread the number has to do.
                Err(_) => {
                    self.pending.remove(&address);
                }
            }
        }
    }

    fn take_in(&mut self) {
        while let Ok(ended) = self.receiver.try_recv() {
            self.running -= 1;
            self.pending.remove(&ended.address);
            if let Outcome::Known(name) = ended.outcome {
                self.known.insert(ended.address, name);
                self.given_up &= ended.took >= PATIENCE;
            }
            self.start();
        }
    }
}

fn look_up(address: IpAddr) -> Outcome {
    use dns_lookup::LookupErrorKind::{NoData, NoName};
    match dns_lookup::lookup_addr(&address) {
        // Without a name the system gives the number.
        Ok(name) => Outcome::Known(name.parse::<IpAddr>().is_err().then_some(name)),
        Err(e) if matches!(e.kind(), NoName | NoData) => Outcome::Known(None),
        Err(_) => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::sync::Mutex;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    /// Waits until the lookup of an address has ended.
    fn end(names: &mut Names, address: IpAddr) {
        while names.get(address) == Name::Pending {
            let wake = names.wake().unwrap();
            poll(&mut [PollFd::from_borrowed_fd(wake, PollFlags::IN)], None).unwrap();
            names.silence();
        }
    }

    #[test]
    fn a_failed_lookup_is_asked_again_and_a_missing_name_is_not() {
        static ASKED: Mutex<Vec<IpAddr>> = Mutex::new(Vec::new());
        let mut names = Names::of(|address| {
            ASKED.lock().unwrap().push(address);
            match address {
                IpAddr::V4(v4) if v4.octets()[3] == 1 => Outcome::Failed,
                IpAddr::V4(v4) if v4.octets()[3] == 2 => Outcome::Known(None),
                _ => Outcome::Known(Some("host.test".to_owned())),
            }
        });
        for _ in 0..2 {
            for n in 1..=3 {
                names.ask(address(n));
                end(&mut names, address(n));
            }
        }
        assert_eq!(names.get(address(1)), Name::Known(None));
        assert_eq!(names.get(address(2)), Name::Known(None));
        assert_eq!(names.get(address(3)), Name::Known(Some("host.test")));
        assert_eq!(*ASKED.lock().unwrap(), [1, 2, 3, 1].map(address));
    }

    #[test]
    fn lookups_at_once_and_names_kept_are_bounded() {
        static GATE: Mutex<()> = Mutex::new(());
        static RUNNING: Mutex<(usize, usize)> = Mutex::new((0, 0));
        let gate = GATE.lock().unwrap();
        let mut names = Names::of(|_| {
            {
                let mut running = RUNNING.lock().unwrap();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            drop(GATE.lock().unwrap());
            RUNNING.lock().unwrap().0 -= 1;
            Outcome::Known(Some("host.test".to_owned()))
        });
        for n in 0..2 * MOST as u32 {
            names.ask(address(n));
        }
        let desk = names.0.as_ref().unwrap();
        assert_eq!((desk.pending.len(), desk.running), (MOST, LOOKUPS));
        drop(gate);
        for n in 0..MOST as u32 {
            end(&mut names, address(n));
        }
        assert_eq!(names.get(address(0)), Name::Known(Some("host.test")));
        let beyond = address(MOST as u32);
        names.ask(beyond);
        assert_eq!(names.get(beyond), Name::Known(None));
        assert!(RUNNING.lock().unwrap().1 <= LOOKUPS);
    }

    #[test]
    fn numbers_are_never_asked_for() {
        let mut names = Names::new(false).unwrap();
        names.ask(address(1));
        assert_eq!(names.get(address(1)), Name::Known(None));
        assert!(names.wake().is_none());
    }
}
