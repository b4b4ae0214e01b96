//! The system's resolver: libc resolves names as for other programs, in a pool of threads
//! and with a deadline, which libc does not have. [`libc_query`] has the calls.

mod libc_query;

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{Error, Kind, Result};
use net::Waker;
use net::poll::{self, PollFd, PollFlags};

pub(crate) use self::libc_query::SystemQuestion;
use self::libc_query::{ask, timed_out};
use crate::answer::Status;
use crate::backend::Backend;
use crate::lookup::{Failure, Lookup};

/// The maximum number of threads. libc blocks, so each lookup needs one.
const MAX_THREADS: usize = 32;

/// The maximum number of threads that are blocked in libc beyond their deadline. They
/// are abandoned and replaced, up to this number.
const MAX_ABANDONED: usize = 256;

/// The maximum number of lookups that wait for a thread.
const MAX_QUEUED: usize = 256;

/// The system's resolver with a pool of threads.
#[derive(Debug)]
pub(crate) struct SystemResolver {
    shared: Arc<Shared>,
    timeout: Duration,
    threads: usize,
    /// Threads that are blocked in libc beyond their deadline.
    abandoned: usize,
    /// Lookups that were submitted, until their results are taken.
    pending: usize,
    finished: Vec<(u64, Lookup)>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<WorkQueue>,
    has_work: Condvar,
    finished: Mutex<Vec<(u64, Lookup)>>,
    /// Set before waiting for `waker`.
    is_waiting: AtomicBool,
    waker: Waker,
}

#[derive(Debug, Default)]
struct WorkQueue {
    queued: VecDeque<(u64, SystemQuestion)>,
    /// The running lookups. An entry is removed either by its thread or at its
    /// deadline, and the code that removes it reports the result.
    running: Vec<RunningLookup>,
    /// The last serial number of a running lookup.
    serial: u64,
    idle_threads: usize,
    /// Whether the threads should end.
    is_closed: bool,
}

#[derive(Clone, Debug)]
struct RunningLookup {
    /// Distinguishes lookups with equal tokens.
    serial: u64,
    token: u64,
    question: SystemQuestion,
    started: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SystemResolver {
    /// Creates a resolver without threads; they start with the lookups.
    pub(crate) fn new(timeout: Duration) -> Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                has_work: Condvar::new(),
                finished: Mutex::default(),
                is_waiting: AtomicBool::new(false),
                waker: Waker::new().map_err(|e| Error::local(&e))?,
            }),
            timeout,
            threads: 0,
            abandoned: 0,
            pending: 0,
            finished: Vec::new(),
        })
    }

    fn spawn(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || run_worker(&shared))?;
        self.threads += 1;
        Ok(())
    }

    /// Ends the lookups that have reached their deadline, and returns the next
    /// deadline.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let mut queue = lock(&self.shared.queue);
        let mut next: Option<Instant> = None;
        let mut expired = Vec::new();
        let timeout = self.timeout;
        queue.running.retain(|running| {
            let deadline = running.started + timeout;
            if deadline <= now {
                expired.push((running.token, running.question.clone()));
            } else {
                next = Some(next.map_or(deadline, |n| n.min(deadline)));
            }
            deadline > now
        });
        drop(queue);
        for (token, question) in expired {
            // Its thread ends when libc returns.
            self.threads -= 1;
            self.abandoned += 1;
            let (status, failure) = timed_out("the system's resolver did not answer in time");
            let mut lookup = question.lookup(Err((status, failure)));
            lookup.elapsed = timeout;
            lookup.tries = 1;
            self.finished.push((token, lookup));
        }
        self.start_threads();
        next
    }

    /// Starts a thread if lookups wait and another thread is allowed.
    fn start_threads(&mut self) {
        loop {
            let queue = lock(&self.shared.queue);
            let lacks_threads = queue.queued.len() > queue.idle_threads;
            drop(queue);
            if !lacks_threads || self.threads >= MAX_THREADS || self.abandoned >= MAX_ABANDONED {
                return;
            }
            if let Err(error) = self.spawn() {
                if self.threads == 0 {
                    self.fail_all(&error);
                }
                return;
            }
            // One at a time: the new thread has not taken its work yet.
            if self.threads > 1 {
                return;
            }
        }
    }

    /// Ends all waiting lookups because no thread could be started.
    fn fail_all(&mut self, error: &io::Error) {
        let queued = std::mem::take(&mut lock(&self.shared.queue).queued);
        for (token, question) in queued {
            let failure = Failure {
                kind: Kind::System,
                message: common::error::io_message(error),
            };
            let lookup = question.lookup(Err((Status::System, Some(failure))));
            self.finished.push((token, lookup));
        }
    }
}

impl Backend for SystemResolver {
    type Question = SystemQuestion;

    fn has_room(&self) -> bool {
        lock(&self.shared.queue).queued.len() < MAX_QUEUED
    }

    fn submit(&mut self, token: u64, question: SystemQuestion) {
        let mut queue = lock(&self.shared.queue);
        queue.queued.push_back((token, question));
        let has_idle = queue.idle_threads > 0;
        drop(queue);
        self.pending += 1;
        if has_idle {
            self.shared.has_work.notify_one();
        }
        self.start_threads();
    }

    fn is_idle(&self) -> bool {
        self.pending == 0
    }

    fn turn(
        &mut self,
        extra_fd: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        before_wait: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        loop {
            self.finished.append(&mut lock(&self.shared.finished));
            let deadline = self.expire(Instant::now());
            if !self.finished.is_empty() {
                return Ok(());
            }
            if !self.shared.is_waiting.swap(true, Ordering::SeqCst) {
                // Checks once more, now that the threads will wake it.
                continue;
            }
            before_wait()?;
            let wake_at = deadline.into_iter().chain(until).min();
            let timeout = wake_at.map(|at| at.saturating_duration_since(Instant::now()));
            let mut fds = vec![PollFd::new(&self.shared.waker, PollFlags::IN)];
            fds.extend(extra_fd.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            poll::wait_once(&mut fds, timeout).map_err(|e| Error::local(&e))?;
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[0] {
                self.shared.waker.reset();
            }
            if ready.get(1) == Some(&true) || until.is_some_and(|at| at <= Instant::now()) {
                return Ok(());
            }
        }
    }

    fn take_finished(&mut self) -> Vec<(u64, Lookup)> {
        self.pending -= self.finished.len();
        std::mem::take(&mut self.finished)
    }
}

impl Drop for SystemResolver {
    fn drop(&mut self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.has_work.notify_all();
    }
}

/// Performs lookups until the queue is closed or this thread has been abandoned.
fn run_worker(shared: &Shared) {
    loop {
        let mut queue = lock(&shared.queue);
        let (token, question) = loop {
            if queue.is_closed {
                return;
            }
            if let Some(next) = queue.queued.pop_front() {
                break next;
            }
            queue.idle_threads += 1;
            queue = shared
                .has_work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle_threads -= 1;
        };
        let started = Instant::now();
        queue.serial += 1;
        let serial = queue.serial;
        queue.running.push(RunningLookup {
            serial,
            token,
            question: question.clone(),
            started,
        });
        drop(queue);
        let answer = ask(&question);
        let mut queue = lock(&shared.queue);
        let Some(at) = queue.running.iter().position(|r| r.serial == serial) else {
            // The deadline has passed, and another thread replaces this one.
            return;
        };
        queue.running.swap_remove(at);
        drop(queue);
        let mut lookup = question.lookup(answer);
        lookup.elapsed = started.elapsed();
        lookup.tries = 1;
        lock(&shared.finished).push((token, lookup));
        if shared.is_waiting.swap(false, Ordering::SeqCst) {
            shared.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::address::Family;
    use std::net::IpAddr;

    #[test]
    fn every_lookup_has_a_result() {
        let mut resolver = SystemResolver::new(Duration::from_secs(60)).unwrap();
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        for token in 0..200 {
            let host = address.to_string();
            resolver.submit(token, SystemQuestion::Forward(host, Family::Any));
        }
        let mut tokens = Vec::new();
        while !resolver.is_idle() {
            resolver.turn(None, None, &mut || Ok(())).unwrap();
            for (token, lookup) in resolver.take_finished() {
                assert_eq!(lookup.records()[0].data, "127.0.0.1");
                tokens.push(token);
            }
        }
        tokens.sort_unstable();
        assert!(tokens.into_iter().eq(0..200));
    }
}
