//! A worker: a loop over the connections it owns.
//!
//! Each worker has its own poller, scratch buffer, connections and deadlines,
//! and shares nothing with the others but counters and the log. With one
//! worker there is no thread: the accepting loop owns the [`Worker`] and
//! shares its poller. With more, each has a thread ([`spawn`]) and is spoken
//! to through its [`Mailbox`].

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::channel::Channel;
use crate::clock::Clock;
use crate::conn::{Conn, Cut, Shared};
use crate::event::Reason;
use crate::lull::Lull;
use crate::machine::TAIL_MAX;
use crate::peer::Peer;
use crate::readiness::{Interest, Poller, Ready, Watched};
use crate::sys;
use crate::timers::Timers;

/// An accepted connection on its way to a worker.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// The socket, non-blocking.
    pub(crate) socket: OwnedFd,
    /// Who it is.
    pub(crate) peer: Peer,
    /// Its number, in order of acceptance.
    pub(crate) number: u64,
}

/// Connections and what it takes to serve them.
#[derive(Debug)]
pub(crate) struct Worker {
    poller: Arc<Poller>,
    /// The accepting loop's, to be woken when it waits for a departure.
    acceptor: Arc<Poller>,
    shared: Arc<Shared>,
    conns: Vec<Option<Conn<OwnedFd>>>,
    free: Vec<usize>,
    timers: Timers,
    /// The keys that have come up, kept for its memory.
    due: Vec<usize>,
    lull: Lull,
    scratch: Box<[u8]>,
}

impl Worker {
    /// A worker whose connections are registered with `poller`, under small
    /// keys.
    pub(crate) fn new(poller: Arc<Poller>, acceptor: Arc<Poller>, shared: Arc<Shared>) -> Self {
        Self {
            poller,
            acceptor,
            shared,
            conns: Vec::new(),
            free: Vec::new(),
            timers: Timers::default(),
            due: Vec::new(),
            lull: Lull::default(),
            scratch: vec![0; TAIL_MAX].into_boxed_slice(),
        }
    }

    /// Takes a connection over.
    pub(crate) fn adopt(&mut self, newcomer: Newcomer, now: Duration) {
        let Newcomer {
            socket,
            peer,
            number,
        } = newcomer;
        let key = self.free.pop().unwrap_or(self.conns.len());
        let watched = Watched::new(socket, &self.poller, key, Interest::Read);
        let (Ok(socket), Ok(channel)) = (watched, Channel::new(&self.shared)) else {
            // The system is short of something; the peer sees a close.
            self.free.push(key);
            if key == self.conns.len() {
                self.conns.push(None);
            }
            return self.leave(&peer);
        };
        let conn = Conn::new(socket, channel, peer, number, &self.shared, now);
        if key == self.conns.len() {
            self.conns.push(Some(conn));
        } else {
            self.conns[key] = Some(conn);
        }
        self.lull.came(self.open());
        if self.shared.rules.greeting.is_empty() {
            self.arm(key, now);
        } else {
            self.event(key, now);
        }
    }

    /// A socket is ready.
    pub(crate) fn event(&mut self, key: usize, now: Duration) {
        let Some(Some(conn)) = self.conns.get_mut(key) else {
            return;
        };
        match conn.turn(&self.shared, &mut self.scratch, now) {
            None => self.arm(key, now),
            Some(reason) => self.close(key, reason, now),
        }
    }

    /// Looks once at every connection whose deadline has come: one that is due
    /// again at once waits until the others have had their turn.
    pub(crate) fn timeouts(&mut self, now: Duration) {
        let mut due = std::mem::take(&mut self.due);
        while let Some(key) = self.timers.pop(now) {
            due.push(key);
        }
        for key in due.drain(..) {
            let Some(Some(conn)) = self.conns.get_mut(key) else {
                continue;
            };
            conn.armed = None;
            match conn.timeout(&self.shared, &mut self.scratch, now) {
                None => self.arm(key, now),
                Some(reason) => self.close(key, reason, now),
            }
        }
        self.due = due;
        let open = self.open();
        if self.lull.is_here(open, now) {
            if open == 0 {
                (self.conns, self.free) = (Vec::new(), Vec::new());
            }
            sys::release_memory();
        }
    }

    /// When [`Worker::timeouts`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.timers
            .next()
            .into_iter()
            .chain(self.lull.deadline())
            .min()
    }

    /// How many connections it has.
    fn open(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    /// Ends connections from this side.
    pub(crate) fn cut(&mut self, cut: Cut, now: Duration) {
        for key in 0..self.conns.len() {
            let Some(conn) = &mut self.conns[key] else {
                continue;
            };
            match conn.cut(&self.shared, cut, now) {
                None => self.arm(key, now),
                Some(reason) => self.close(key, reason, now),
            }
        }
    }

    /// Ends all that are left, at once: the run is over.
    pub(crate) fn abandon(&mut self, now: Duration) {
        for key in 0..self.conns.len() {
            if let Some(conn) = &self.conns[key] {
                let reason = conn.abandoned();
                self.close(key, reason, now);
            }
        }
    }

    fn arm(&mut self, key: usize, now: Duration) {
        if let Some(conn) = &mut self.conns[key] {
            let due = conn.deadline(&self.shared, now);
            self.timers.want(key, &mut conn.armed, due);
        }
    }

    fn close(&mut self, key: usize, reason: Reason, now: Duration) {
        let Some(mut conn) = self.conns[key].take() else {
            return;
        };
        self.timers.cancel(key, &mut conn.armed);
        self.free.push(key);
        self.lull.went(self.open(), now);
        let wake = conn.farewell(&self.shared, reason, now);
        // Closed before the accepting loop hears of it: it may want the
        // descriptor.
        drop(conn);
        if wake {
            self.wake_acceptor();
        }
    }

    fn leave(&self, peer: &Peer) {
        if self.shared.census.leave(peer, Reason::Error) {
            self.wake_acceptor();
        }
    }

    fn wake_acceptor(&self) {
        // It fails only without an eventfd, and then nothing works.
        let _ = self.acceptor.notify();
    }
}

/// What a worker's thread finds when it wakes up.
#[derive(Debug, Default)]
struct Inbox {
    newcomers: Vec<Newcomer>,
    cut: Option<Cut>,
    stop: bool,
}

/// How the accepting loop speaks to a worker's thread.
#[derive(Debug)]
pub(crate) struct Mailbox {
    poller: Arc<Poller>,
    inbox: Arc<Mutex<Inbox>>,
    thread: Option<JoinHandle<()>>,
}

impl Mailbox {
    /// Hands a connection over.
    pub(crate) fn hand(&self, newcomer: Newcomer) {
        let was_empty = {
            let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.newcomers.push(newcomer);
            inbox.newcomers.len() == 1
        };
        if was_empty {
            let _ = self.poller.notify();
        }
    }

    /// Ends its connections.
    pub(crate) fn cut(&self, cut: Cut) {
        self.tell(|inbox| inbox.cut = Some(cut));
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        self.tell(|inbox| inbox.stop = true);
        if let Some(thread) = self.thread.take() {
            // Its error has been sent; a panic ends the process.
            let _ = thread.join();
        }
    }

    fn tell(&self, word: impl FnOnce(&mut Inbox)) {
        word(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = self.poller.notify();
    }
}

/// Starts a worker on a thread of its own.
pub(crate) fn spawn(
    index: usize,
    acceptor: &Arc<Poller>,
    shared: &Arc<Shared>,
    clock: Clock,
    failures: &mpsc::Sender<io::Error>,
) -> io::Result<Mailbox> {
    spawn_on(Poller::new()?, index, acceptor, shared, clock, failures)
}

fn spawn_on(
    poller: Poller,
    index: usize,
    acceptor: &Arc<Poller>,
    shared: &Arc<Shared>,
    clock: Clock,
    failures: &mpsc::Sender<io::Error>,
) -> io::Result<Mailbox> {
    let poller = Arc::new(poller);
    let inbox = Arc::new(Mutex::new(Inbox::default()));
    let mut worker = Worker::new(
        Arc::clone(&poller),
        Arc::clone(acceptor),
        Arc::clone(shared),
    );
    let (letters, wakes) = (Arc::clone(&inbox), Arc::clone(&poller));
    let failures = failures.clone();
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            if let Err(e) = serve(&mut worker, &wakes, &letters, clock) {
                // Nobody listens only when the server has ended.
                let _ = failures.send(e);
                worker.wake_acceptor();
            }
        })?;
    Ok(Mailbox {
        poller,
        inbox,
        thread: Some(thread),
    })
}

/// Serves until told to stop; an error if waiting fails, for then nothing can
/// be served any more.
fn serve(
    worker: &mut Worker,
    poller: &Poller,
    inbox: &Mutex<Inbox>,
    clock: Clock,
) -> io::Result<()> {
    let mut ready = Ready::new();
    loop {
        worker.shared.log.flush();
        let now = clock.now();
        let timeout = worker.deadline().map(|due| due.saturating_sub(now));
        poller.wait(&mut ready, timeout)?;
        let now = clock.now();
        for key in ready.keys() {
            worker.event(key, now);
        }
        let letters = std::mem::take(&mut *inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for newcomer in letters.newcomers {
            worker.adopt(newcomer, now);
        }
        if let Some(cut) = letters.cut {
            worker.cut(cut, now);
        }
        worker.timeouts(now);
        if letters.stop {
            worker.abandon(now);
            worker.shared.log.flush();
            return Ok(());
        }
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;
    use crate::census::Census;
    use crate::log::Log;
    use crate::machine::Rules;

    #[test]
    fn a_worker_that_cannot_wait_says_so() {
        let acceptor = Arc::new(Poller::new().unwrap());
        let shared = Arc::new(Shared {
            rules: Rules::default(),
            log: Log::silent(),
            census: Census::new(None),
            #[cfg(feature = "tls")]
            tls: None,
        });
        let (failures, failed) = mpsc::channel();
        let (broken, clock) = (Poller::broken().unwrap(), Clock::start());
        let mut mailbox = spawn_on(broken, 0, &acceptor, &shared, clock, &failures).unwrap();
        // No timeout: without its notice this would hang.
        acceptor.wait(&mut Ready::new(), None).unwrap();
        let error = failed.try_recv().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        mailbox.stop();
    }
}
