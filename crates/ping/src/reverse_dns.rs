//! Names of addresses for the classic format: the system's reverse lookup, once
//! for each address, by a bounded number of threads. Nothing here blocks; a line
//! waits in [`crate::output::held_lines`] until its name is known.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use common::{Error, Result};
use net::Waker;

/// The maximum number of names to keep. A group may be answered from any number
/// of addresses, and an ICMP error may come from any address.
const MAX_NAMES: usize = 1024;

/// The maximum number of lookups at a time. Each is a thread, and a lookup
/// without an answer lasts until the system's resolver gives up.
const MAX_LOOKUPS: usize = 8;

/// The longest time for which a line waits for a name.
pub(crate) const NAME_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of a reverse lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupResult {
    /// The name, or `None` if the address has no name.
    Done(Option<String>),
    /// The name server did not answer. A later line may ask again.
    Failed,
}

/// The state of the lookup of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameStatus<'a> {
    /// The name, or `None` if the address is printed without one.
    Known(Option<&'a str>),
    /// The lookup has not ended.
    Pending,
}

/// Looks up the names of addresses, unless only numbers are wanted.
#[derive(Debug)]
pub(crate) struct ReverseDns(Option<Resolver>);

#[derive(Debug)]
struct Resolver {
    known: HashMap<IpAddr, Option<String>>,
    /// The addresses that are being looked up or in the queue.
    pending: HashSet<IpAddr>,
    queue: VecDeque<IpAddr>,
    running: usize,
    sender: Sender<CompletedLookup>,
    receiver: Receiver<CompletedLookup>,
    waker: Waker,
    look_up: fn(IpAddr) -> LookupResult,
    /// Whether a line has timed out, and no lookup has ended in time since then.
    has_timed_out: bool,
}

/// A lookup that has ended.
#[derive(Debug)]
struct CompletedLookup {
    address: IpAddr,
    result: LookupResult,
    duration: Duration,
}

impl ReverseDns {
    /// Creates a resolver that looks names up only if `is_enabled`.
    pub(crate) fn new(is_enabled: bool) -> Result<Self> {
        if !is_enabled {
            return Ok(Self(None));
        }
        Ok(Self(Some(Resolver::new(look_up)?)))
    }

    /// Creates a resolver with another lookup function.
    #[cfg(test)]
    pub(crate) fn with_lookup(look_up: fn(IpAddr) -> LookupResult) -> Self {
        Self(Some(Resolver::new(look_up).expect("an eventfd")))
    }

    /// Starts a lookup, unless the name is known or too many names are kept.
    pub(crate) fn request(&mut self, address: IpAddr) {
        if let Some(resolver) = &mut self.0 {
            resolver.receive_results();
            resolver.request(address);
        }
    }

    /// Returns the state of an address that was requested.
    pub(crate) fn status(&mut self, address: IpAddr) -> NameStatus<'_> {
        let Some(resolver) = &mut self.0 else {
            return NameStatus::Known(None);
        };
        resolver.receive_results();
        if resolver.pending.contains(&address) {
            return NameStatus::Pending;
        }
        NameStatus::Known(resolver.known.get(&address).and_then(Option::as_deref))
    }

    /// Records that a line has waited for [`NAME_TIMEOUT`].
    pub(crate) fn record_timeout(&mut self) {
        if let Some(resolver) = &mut self.0 {
            resolver.has_timed_out = true;
        }
    }

    /// Whether a line has timed out, and no lookup has ended in time since then.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|resolver| resolver.has_timed_out)
    }

    /// Returns a descriptor that is readable if a lookup has ended since the
    /// last [`ReverseDns::reset_waker`].
    pub(crate) fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(|resolver| resolver.waker.as_fd())
    }

    /// Makes the descriptor unreadable. Check the states of addresses afterwards.
    pub(crate) fn reset_waker(&self) {
        if let Some(resolver) = &self.0 {
            resolver.waker.reset();
        }
    }
}

impl Resolver {
    fn new(look_up: fn(IpAddr) -> LookupResult) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        Ok(Self {
            known: HashMap::new(),
            pending: HashSet::new(),
            queue: VecDeque::new(),
            running: 0,
            sender,
            receiver,
            waker: Waker::new().map_err(|e| Error::local(&e))?,
            look_up,
            has_timed_out: false,
        })
    }

    fn request(&mut self, address: IpAddr) {
        let is_requested = self.known.contains_key(&address) || self.pending.contains(&address);
        if is_requested || self.known.len() + self.pending.len() >= MAX_NAMES {
            return;
        }
        self.pending.insert(address);
        self.queue.push_back(address);
        self.start_lookups();
    }

    /// Starts queued lookups up to [`MAX_LOOKUPS`].
    fn start_lookups(&mut self) {
        while self.running < MAX_LOOKUPS
            && let Some(address) = self.queue.pop_front()
        {
            let (sender, waker, look_up) = (self.sender.clone(), self.waker.clone(), self.look_up);
            let thread = thread::Builder::new().name("names".to_owned());
            let started = thread.spawn(move || {
                let start = Instant::now();
                let result = look_up(address);
                // A send fails only if the run has ended.
                let _ = sender.send(CompletedLookup {
                    address,
                    result,
                    duration: start.elapsed(),
                });
                waker.wake();
            });
            match started {
                Ok(_) => self.running += 1,
                // Without a thread the address is printed as a number.
                Err(_) => {
                    self.pending.remove(&address);
                }
            }
        }
    }

    fn receive_results(&mut self) {
        while let Ok(completed) = self.receiver.try_recv() {
            self.running -= 1;
            self.pending.remove(&completed.address);
            if let LookupResult::Done(name) = completed.result {
                self.known.insert(completed.address, name);
                self.has_timed_out &= completed.duration >= NAME_TIMEOUT;
            }
            self.start_lookups();
        }
    }
}

fn look_up(address: IpAddr) -> LookupResult {
    use dns_lookup::LookupErrorKind::{NoData, NoName};
    match dns_lookup::lookup_addr(&address) {
        // Without a name the system returns the number.
        Ok(name) => LookupResult::Done(name.parse::<IpAddr>().is_err().then_some(name)),
        Err(e) if matches!(e.kind(), NoName | NoData) => LookupResult::Done(None),
        Err(_) => LookupResult::Failed,
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
    fn wait_for(names: &mut ReverseDns, address: IpAddr) {
        while names.status(address) == NameStatus::Pending {
            let fd = names.wake_fd().unwrap();
            poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], None).unwrap();
            names.reset_waker();
        }
    }

    #[test]
    fn a_failed_lookup_is_repeated_and_a_missing_name_is_not() {
        static REQUESTED: Mutex<Vec<IpAddr>> = Mutex::new(Vec::new());
        let mut names = ReverseDns::with_lookup(|address| {
            REQUESTED.lock().unwrap().push(address);
            match address {
                IpAddr::V4(v4) if v4.octets()[3] == 1 => LookupResult::Failed,
                IpAddr::V4(v4) if v4.octets()[3] == 2 => LookupResult::Done(None),
                _ => LookupResult::Done(Some("host.test".to_owned())),
            }
        });
        for _ in 0..2 {
            for n in 1..=3 {
                names.request(address(n));
                wait_for(&mut names, address(n));
            }
        }
        assert_eq!(names.status(address(1)), NameStatus::Known(None));
        assert_eq!(names.status(address(2)), NameStatus::Known(None));
        assert_eq!(
            names.status(address(3)),
            NameStatus::Known(Some("host.test"))
        );
        assert_eq!(*REQUESTED.lock().unwrap(), [1, 2, 3, 1].map(address));
    }

    #[test]
    fn lookups_and_names_are_bounded() {
        static GATE: Mutex<()> = Mutex::new(());
        static RUNNING: Mutex<(usize, usize)> = Mutex::new((0, 0));
        let gate = GATE.lock().unwrap();
        let mut names = ReverseDns::with_lookup(|_| {
            {
                let mut running = RUNNING.lock().unwrap();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            drop(GATE.lock().unwrap());
            RUNNING.lock().unwrap().0 -= 1;
            LookupResult::Done(Some("host.test".to_owned()))
        });
        for n in 0..2 * MAX_NAMES as u32 {
            names.request(address(n));
        }
        let resolver = names.0.as_ref().unwrap();
        assert_eq!(
            (resolver.pending.len(), resolver.running),
            (MAX_NAMES, MAX_LOOKUPS)
        );
        drop(gate);
        for n in 0..MAX_NAMES as u32 {
            wait_for(&mut names, address(n));
        }
        assert_eq!(
            names.status(address(0)),
            NameStatus::Known(Some("host.test"))
        );
        let beyond = address(MAX_NAMES as u32);
        names.request(beyond);
        assert_eq!(names.status(beyond), NameStatus::Known(None));
        assert!(RUNNING.lock().unwrap().1 <= MAX_LOOKUPS);
    }

    #[test]
    fn nothing_is_looked_up_if_disabled() {
        let mut names = ReverseDns::new(false).unwrap();
        names.request(address(1));
        assert_eq!(names.status(address(1)), NameStatus::Known(None));
        assert!(names.wake_fd().is_none());
    }
}
