//! The system path: libc's getaddrinfo and getnameinfo, as other programs
//! resolve names, in a pool of threads and with a deadline libc does not have.
//!
//! Canonical names are never asked for: libc hands them over as bytes and the
//! binding panics on those that are no UTF-8.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::address::Family;
use common::{Error, Kind, Result};
use dns_lookup::{AddrInfoHints, getaddrinfo};
use domain::base::iana::{OptRcode, Rtype};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::answer::Status;
use crate::drive::Backend;
use crate::lookup::{Asked, Failure, Lookup, Origin, Shown};
use crate::sys;

/// Lookups under way at once; libc blocks, so each has a thread.
const THREADS: usize = 32;

/// Threads stuck in libc beyond their deadline that are left behind; with
/// more of them, no further ones are started.
const STUCK_MAX: usize = 256;

/// Lookups that wait for a thread.
const WAITING: usize = 256;

/// What libc is asked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// Addresses of a name.
    Forward(String, Family),
    /// The name of an address.
    Reverse(IpAddr),
}

impl Question {
    /// What it asks for.
    pub(crate) fn asked(&self) -> Asked {
        match self {
            Self::Forward(_, Family::Any) => Asked::Addresses,
            Self::Forward(_, Family::V4) => Asked::Type(Rtype::A),
            Self::Forward(_, Family::V6) => Asked::Type(Rtype::AAAA),
            Self::Reverse(_) => Asked::Type(Rtype::PTR),
        }
    }

    /// The lookup with this outcome.
    fn lookup(&self, answer: Answer) -> Lookup {
        let mut lookup = match answer {
            Ok(records) => Lookup::found(self.asked(), records),
            Err((status, failure)) => Lookup::failed(self.asked(), status, failure),
        };
        lookup.origin = Origin::System;
        lookup.query_name = match self {
            Self::Forward(name, _) => Some(name.clone()),
            Self::Reverse(_) => None,
        };
        lookup
    }
}

/// Values in libc's order, or why there are none.
type Answer = Result<Vec<Shown>, (Status, Option<Failure>)>;

/// The threads, and the lookups they have and will have.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    wake: UnixStream,
    timeout: Duration,
    threads: usize,
    stuck: usize,
    /// Submitted and not yet handed out.
    pending: usize,
    done: Vec<(u64, Lookup)>,
}

#[derive(Debug)]
struct Shared {
    work: Mutex<Work>,
    more: Condvar,
    done: Mutex<Vec<(u64, Lookup)>>,
    /// Set by who is about to wait for `waker`'s byte.
    waiting: AtomicBool,
    waker: UnixStream,
}

#[derive(Debug, Default)]
struct Work {
    queue: VecDeque<(u64, Question)>,
    /// Lookups that a thread has, and since when. Whoever takes an entry out
    /// reports the lookup: the thread, or the deadline.
    running: Vec<Running>,
    /// Tells lookups apart, also those whose ticket is used again.
    serial: u64,
    idle: usize,
    over: bool,
}

#[derive(Clone, Debug)]
struct Running {
    serial: u64,
    ticket: u64,
    question: Question,
    since: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool without threads; they start with the lookups.
    pub(crate) fn new(timeout: Duration) -> Result<Self> {
        let pair = || -> io::Result<(UnixStream, UnixStream)> {
            let (wake, waker) = UnixStream::pair()?;
            wake.set_nonblocking(true)?;
            waker.set_nonblocking(true)?;
            Ok((wake, waker))
        };
        let (wake, waker) = pair().map_err(|e| Error::local(&e))?;
        Ok(Self {
            shared: Arc::new(Shared {
                work: Mutex::default(),
                more: Condvar::new(),
                done: Mutex::default(),
                waiting: AtomicBool::new(false),
                waker,
            }),
            wake,
            timeout,
            threads: 0,
            stuck: 0,
            pending: 0,
            done: Vec::new(),
        })
    }

    fn spawn(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || serve(&shared))?;
        self.threads += 1;
        Ok(())
    }

    /// Gives up the lookups that are too late, and says when the next one is.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let mut work = lock(&self.shared.work);
        let mut next: Option<Instant> = None;
        let mut late = Vec::new();
        let timeout = self.timeout;
        work.running.retain(|running| {
            let deadline = running.since + timeout;
            if deadline <= now {
                late.push((running.ticket, running.question.clone()));
            } else {
                next = Some(next.map_or(deadline, |n| n.min(deadline)));
            }
            deadline > now
        });
        drop(work);
        for (ticket, question) in late {
            // Its thread ends when libc lets it go.
            self.threads -= 1;
            self.stuck += 1;
            let (status, failure) = timed_out("the system's resolver did not answer in time");
            let mut lookup = question.lookup(Err((status, failure)));
            lookup.elapsed = timeout;
            lookup.tries = 1;
            self.done.push((ticket, lookup));
        }
        self.staff();
        next
    }

    /// Starts a thread for what waits, if there may be one more.
    fn staff(&mut self) {
        loop {
            let work = lock(&self.shared.work);
            let short = work.queue.len() > work.idle;
            drop(work);
            if !short || self.threads >= THREADS || self.stuck >= STUCK_MAX {
                return;
            }
            if let Err(error) = self.spawn() {
                if self.threads == 0 {
                    self.fail_all(&error);
                }
                return;
            }
            // One at a time: it takes its work from the queue.
            if self.threads > 1 {
                return;
            }
        }
    }

    /// Not a single thread could be had.
    fn fail_all(&mut self, error: &io::Error) {
        let queue = std::mem::take(&mut lock(&self.shared.work).queue);
        for (ticket, question) in queue {
            let failure = Failure {
                kind: Kind::System,
                message: common::error::io_message(error),
            };
            let lookup = question.lookup(Err((Status::System, Some(failure))));
            self.done.push((ticket, lookup));
        }
    }
}

impl Backend for Pool {
    type Question = Question;

    fn wants(&self) -> bool {
        lock(&self.shared.work).queue.len() < WAITING
    }

    fn submit(&mut self, ticket: u64, question: Question) {
        let mut work = lock(&self.shared.work);
        work.queue.push_back((ticket, question));
        let idle = work.idle > 0;
        drop(work);
        self.pending += 1;
        if idle {
            self.shared.more.notify_one();
        }
        self.staff();
    }

    fn is_idle(&self) -> bool {
        self.pending == 0
    }

    fn turn(
        &mut self,
        extra: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        idle: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        loop {
            self.done.append(&mut lock(&self.shared.done));
            let next = self.expire(Instant::now());
            if !self.done.is_empty() {
                return Ok(());
            }
            if !self.shared.waiting.swap(true, Ordering::SeqCst) {
                // Look once more, now that the threads know.
                continue;
            }
            idle()?;
            let next = next.into_iter().chain(until).min();
            let left = next.map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
            fds.extend(extra.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            match poll(&mut fds, left.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(Error::local(&e.into())),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[0] {
                let mut bytes = [0; 64];
                while matches!(self.wake.read(&mut bytes), Ok(n) if n > 0) {}
            }
            if ready.get(1) == Some(&true) || until.is_some_and(|at| at <= Instant::now()) {
                return Ok(());
            }
        }
    }

    fn done(&mut self) -> Vec<(u64, Lookup)> {
        self.pending -= self.done.len();
        std::mem::take(&mut self.done)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.work).over = true;
        self.shared.more.notify_all();
    }
}

/// A thread's life: lookups until nobody wants any.
fn serve(shared: &Shared) {
    loop {
        let mut work = lock(&shared.work);
        let (ticket, question) = loop {
            if work.over {
                return;
            }
            if let Some(next) = work.queue.pop_front() {
                break next;
            }
            work.idle += 1;
            work = shared
                .more
                .wait(work)
                .unwrap_or_else(PoisonError::into_inner);
            work.idle -= 1;
        };
        let since = Instant::now();
        work.serial += 1;
        let serial = work.serial;
        work.running.push(Running {
            serial,
            ticket,
            question: question.clone(),
            since,
        });
        drop(work);
        let answer = ask(&question);
        let mut work = lock(&shared.work);
        let Some(at) = work.running.iter().position(|r| r.serial == serial) else {
            // Given up meanwhile; another thread has taken this one's place.
            return;
        };
        work.running.swap_remove(at);
        drop(work);
        let mut lookup = question.lookup(answer);
        lookup.elapsed = since.elapsed();
        lookup.tries = 1;
        lock(&shared.done).push((ticket, lookup));
        if shared.waiting.swap(false, Ordering::SeqCst) {
            // A full pair wakes as well as one byte more.
            let _ = (&shared.waker).write(&[0]);
        }
    }
}

fn timed_out(message: &str) -> (Status, Option<Failure>) {
    let failure = Failure {
        kind: Kind::Timeout,
        message: message.to_owned(),
    };
    (Status::Timeout, Some(failure))
}

fn ask(question: &Question) -> Answer {
    match question {
        Question::Forward(name, family) => {
            let hints = AddrInfoHints {
                flags: 0,
                address: match family {
                    Family::Any => 0,
                    Family::V4 => libc::AF_INET,
                    Family::V6 => libc::AF_INET6,
                },
                // One entry an address instead of one a socket type.
                socktype: libc::SOCK_STREAM,
                protocol: 0,
            };
            let found = getaddrinfo(Some(name), None, Some(hints)).map_err(|e| {
                let code = e.error_num();
                let error = (code == libc::EAI_SYSTEM).then(|| io::Error::from(e));
                status(code, error.as_ref())
            })?;
            let addresses: Vec<Shown> = found
                .filter_map(Result::ok)
                .map(|info| match info.sockaddr.ip() {
                    IpAddr::V4(a) => value(name, Rtype::A, a.to_string()),
                    IpAddr::V6(a) => value(name, Rtype::AAAA, a.to_string()),
                })
                .collect();
            if addresses.is_empty() {
                return Err((Status::NoData, None));
            }
            Ok(addresses)
        }
        Question::Reverse(address) => {
            let name =
                sys::host_name(*address).map_err(|(code, error)| status(code, error.as_ref()))?;
            Ok(vec![value(
                &address.to_string(),
                Rtype::PTR,
                printable(&name),
            )])
        }
    }
}

fn value(name: &str, rtype: Rtype, data: String) -> Shown {
    Shown {
        name: name.to_owned(),
        rtype,
        ttl: None,
        data,
        wanted: true,
    }
}

/// A name from libc, which is not always one of a host: bytes that are not
/// printable as `\DDD`.
fn printable(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for &byte in name {
        if (0x21..0x7f).contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:03}");
        }
    }
    text
}

/// The status that an EAI code stands for; the error is that of `EAI_SYSTEM`.
fn status(code: i32, error: Option<&io::Error>) -> (Status, Option<Failure>) {
    let failure = |kind, message: &str| {
        Some(Failure {
            kind,
            message: message.to_owned(),
        })
    };
    match code {
        libc::EAI_NONAME => (Status::NoSuchName, None),
        // -9 is EAI_ADDRFAMILY, which the libc crate lacks on Linux.
        libc::EAI_NODATA | -9 => (Status::NoData, None),
        libc::EAI_AGAIN => timed_out("temporary failure in name resolution"),
        libc::EAI_FAIL => (
            Status::Rcode(OptRcode::SERVFAIL),
            failure(Kind::Server, "the system's resolver failed"),
        ),
        libc::EAI_MEMORY => (Status::System, failure(Kind::System, "out of memory")),
        libc::EAI_SYSTEM => {
            let text = error.map(common::error::io_message);
            let text = text.unwrap_or_else(|| "system error".to_owned());
            (Status::System, failure(Kind::System, &text))
        }
        n => (
            Status::System,
            failure(Kind::System, &format!("the system's resolver: code {n}")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_status() {
        let of = |code| status(code, None).0;
        assert_eq!(of(libc::EAI_NONAME), Status::NoSuchName);
        assert_eq!(of(libc::EAI_NODATA), Status::NoData);
        assert_eq!(of(-9), Status::NoData);
        assert_eq!(of(libc::EAI_AGAIN), Status::Timeout);
        assert_eq!(of(libc::EAI_FAIL).name(), "SERVFAIL");
        assert_eq!(of(libc::EAI_MEMORY), Status::System);
        assert_eq!(of(libc::EAI_SYSTEM), Status::System);
        assert_eq!(of(libc::EAI_SERVICE), Status::System);
    }

    #[test]
    fn names_from_libc_are_printable() {
        assert_eq!(printable(b"a\xff\x1b[m b\\.c"), "a\\255\\027[m\\032b\\.c");
    }

    #[test]
    fn many_lookups_all_come_back() {
        let mut pool = Pool::new(Duration::from_secs(60)).unwrap();
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        for ticket in 0..200 {
            let host = address.to_string();
            pool.submit(ticket, Question::Forward(host, Family::Any));
        }
        let mut tickets = Vec::new();
        while !pool.is_idle() {
            pool.turn(None, None, &mut || Ok(())).unwrap();
            for (ticket, lookup) in pool.done() {
                assert_eq!(lookup.records()[0].data, "127.0.0.1");
                tickets.push(ticket);
            }
        }
        tickets.sort_unstable();
        assert!(tickets.into_iter().eq(0..200));
    }
}
