//! A worker: an event loop over the connections that it owns.
//!
//! Each worker has its own poller, scratch buffer, connections and deadlines.
//! Workers share nothing but the counters and the log. A single worker has no
//! thread: the accepting loop owns the [`Worker`] and shares its poller. Several
//! workers have a thread each ([`spawn`]), to which the accepting loop sends
//! messages through a [`Mailbox`].

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::address::Address;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::conn::{Conn, Shutdown};
use crate::event::Reason;
use crate::machine::MAX_SEND_BUFFER;
use crate::poller::{Events, Interest, Poller, Registered};
use crate::shared::Shared;
use crate::sys;
use crate::timers::Timers;
use crate::trim::MemoryTrimmer;

/// A connection that has been accepted and counted, but has no worker yet.
#[derive(Debug)]
pub(crate) struct AcceptedConnection {
    /// The socket, in non-blocking mode.
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Address,
    /// The number of the connection in the order of acceptance.
    pub(crate) id: u64,
}

/// The connections of one worker and their deadlines.
#[derive(Debug)]
pub(crate) struct Worker {
    poller: Arc<Poller>,
    /// The poller of the accepting loop, to wake it when a connection closes.
    acceptor: Arc<Poller>,
    shared: Arc<Shared>,
    /// The connections by token.
    conns: Vec<Option<Conn<OwnedFd>>>,
    /// The unused tokens below the length of `conns`.
    free: Vec<usize>,
    timers: Timers,
    /// The list of expired tokens, kept to reuse its memory.
    expired: Vec<usize>,
    trimmer: MemoryTrimmer,
    scratch: Box<[u8]>,
}

impl Worker {
    /// Creates a worker that registers its connections with `poller`, under
    /// tokens from 0 on.
    pub(crate) fn new(poller: Arc<Poller>, acceptor: Arc<Poller>, shared: Arc<Shared>) -> Self {
        Self {
            poller,
            acceptor,
            shared,
            conns: Vec::new(),
            free: Vec::new(),
            timers: Timers::default(),
            expired: Vec::new(),
            trimmer: MemoryTrimmer::default(),
            scratch: vec![0; MAX_SEND_BUFFER].into_boxed_slice(),
        }
    }

    /// Adds a connection and sends its greeting.
    pub(crate) fn add(&mut self, connection: AcceptedConnection, now: Duration) {
        let AcceptedConnection { socket, peer, id } = connection;
        let token = self.free.pop().unwrap_or(self.conns.len());
        let registered = Registered::new(socket, &self.poller, token, Interest::Read);
        let (Ok(socket), Ok(channel)) = (registered, Channel::new(self.shared.tls.as_ref())) else {
            // The system lacks a resource. The peer sees that the connection
            // is closed.
            self.free.push(token);
            if token == self.conns.len() {
                self.conns.push(None);
            }
            if self.shared.counters.connection_closed(&peer, Reason::Error) {
                self.wake_acceptor();
            }
            return;
        };
        let conn = Conn::new(socket, channel, peer, id, &self.shared.rules, now);
        if token == self.conns.len() {
            self.conns.push(Some(conn));
        } else {
            self.conns[token] = Some(conn);
        }
        self.trimmer.connection_opened(self.open_connections());
        if self.shared.rules.greeting.is_empty() {
            self.schedule_timer(token, now);
        } else {
            self.on_ready(token, now);
        }
    }

    /// Handles a readiness event.
    pub(crate) fn on_ready(&mut self, token: usize, now: Duration) {
        let Some(Some(conn)) = self.conns.get_mut(token) else {
            return;
        };
        match conn.on_ready(&self.shared, &mut self.scratch, now) {
            None => self.schedule_timer(token, now),
            Some(reason) => self.close(token, reason, now),
        }
    }

    /// Handles each expired deadline once. A connection that is due again
    /// immediately waits until the others have been served.
    pub(crate) fn on_timeouts(&mut self, now: Duration) {
        let mut expired = std::mem::take(&mut self.expired);
        while let Some(token) = self.timers.pop_expired(now) {
            expired.push(token);
        }
        for token in expired.drain(..) {
            let Some(Some(conn)) = self.conns.get_mut(token) else {
                continue;
            };
            conn.timer = None;
            match conn.on_timeout(&self.shared, &mut self.scratch, now) {
                None => self.schedule_timer(token, now),
                Some(reason) => self.close(token, reason, now),
            }
        }
        self.expired = expired;
        let open = self.open_connections();
        if self.trimmer.take_due(open, now) {
            if open == 0 {
                (self.conns, self.free) = (Vec::new(), Vec::new());
            }
            sys::trim_heap();
        }
    }

    /// Returns when to call [`Worker::on_timeouts`].
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.timers
            .next_deadline()
            .into_iter()
            .chain(self.trimmer.deadline())
            .min()
    }

    fn open_connections(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    /// Ends connections from this side.
    pub(crate) fn shut_down(&mut self, shutdown: Shutdown, now: Duration) {
        for token in 0..self.conns.len() {
            let Some(conn) = &mut self.conns[token] else {
                continue;
            };
            match conn.shut_down(&self.shared, shutdown, now) {
                None => self.schedule_timer(token, now),
                Some(reason) => self.close(token, reason, now),
            }
        }
    }

    /// Closes all connections immediately, at the end of the run.
    pub(crate) fn close_all(&mut self, now: Duration) {
        for token in 0..self.conns.len() {
            if let Some(conn) = &self.conns[token] {
                let reason = conn.current_close_reason();
                self.close(token, reason, now);
            }
        }
    }

    fn schedule_timer(&mut self, token: usize, now: Duration) {
        if let Some(conn) = &mut self.conns[token] {
            let due = conn.deadline(&self.shared, now);
            self.timers.schedule(token, &mut conn.timer, due);
        }
    }

    fn close(&mut self, token: usize, reason: Reason, now: Duration) {
        let Some(mut conn) = self.conns[token].take() else {
            return;
        };
        self.timers.cancel(token, &mut conn.timer);
        self.free.push(token);
        self.trimmer.connection_closed(self.open_connections(), now);
        let wake = conn.report_closed(&self.shared, reason, now);
        // Closes the descriptor before the accepting loop wakes up, which may
        // wait for one.
        drop(conn);
        if wake {
            self.wake_acceptor();
        }
    }

    fn wake_acceptor(&self) {
        // Waking fails only if the eventfd is invalid, which cannot happen.
        let _ = self.acceptor.wake();
    }
}

/// The messages that a worker's thread has not handled yet.
#[derive(Debug, Default)]
struct Messages {
    connections: Vec<AcceptedConnection>,
    shutdown: Option<Shutdown>,
    stop: bool,
}

/// Sends messages to a worker's thread.
#[derive(Debug)]
pub(crate) struct Mailbox {
    poller: Arc<Poller>,
    messages: Arc<Mutex<Messages>>,
    thread: Option<JoinHandle<()>>,
}

impl Mailbox {
    /// Passes a connection to the worker.
    pub(crate) fn dispatch(&self, connection: AcceptedConnection) {
        let was_empty = {
            let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            messages.connections.push(connection);
            messages.connections.len() == 1
        };
        if was_empty {
            let _ = self.poller.wake();
        }
    }

    /// Makes the worker end its connections.
    pub(crate) fn shut_down(&self, shutdown: Shutdown) {
        self.send(|messages| messages.shutdown = Some(shutdown));
    }

    /// Makes the worker close its connections, and waits until its thread has
    /// ended.
    pub(crate) fn stop(&mut self) {
        self.send(|messages| messages.stop = true);
        if let Some(thread) = self.thread.take() {
            // The thread has sent its error, if any, and a panic ends the
            // process.
            let _ = thread.join();
        }
    }

    fn send(&self, message: impl FnOnce(&mut Messages)) {
        message(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = self.poller.wake();
    }
}

/// Starts a worker on its own thread.
pub(crate) fn spawn(
    index: usize,
    acceptor: &Arc<Poller>,
    shared: &Arc<Shared>,
    clock: Clock,
    failures: &mpsc::Sender<io::Error>,
) -> io::Result<Mailbox> {
    spawn_with_poller(Poller::new()?, index, acceptor, shared, clock, failures)
}

fn spawn_with_poller(
    poller: Poller,
    index: usize,
    acceptor: &Arc<Poller>,
    shared: &Arc<Shared>,
    clock: Clock,
    failures: &mpsc::Sender<io::Error>,
) -> io::Result<Mailbox> {
    let poller = Arc::new(poller);
    let messages = Arc::new(Mutex::new(Messages::default()));
    let mut worker = Worker::new(
        Arc::clone(&poller),
        Arc::clone(acceptor),
        Arc::clone(shared),
    );
    let (inbox, wait_on) = (Arc::clone(&messages), Arc::clone(&poller));
    let failures = failures.clone();
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            if let Err(e) = run(&mut worker, &wait_on, &inbox, clock) {
                // The receiver is gone only if the server has ended.
                let _ = failures.send(e);
                worker.wake_acceptor();
            }
        })?;
    Ok(Mailbox {
        poller,
        messages,
        thread: Some(thread),
    })
}

/// Runs the event loop until the stop message. Returns an error if waiting
/// fails, because then no connection can be served.
fn run(
    worker: &mut Worker,
    poller: &Poller,
    inbox: &Mutex<Messages>,
    clock: Clock,
) -> io::Result<()> {
    let mut events = Events::new();
    loop {
        worker.shared.log.wake_writer();
        let now = clock.now();
        let timeout = worker.deadline().map(|due| due.saturating_sub(now));
        poller.wait(&mut events, timeout)?;
        let now = clock.now();
        for token in events.tokens() {
            worker.on_ready(token, now);
        }
        let messages = std::mem::take(&mut *inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in messages.connections {
            worker.add(connection, now);
        }
        if let Some(shutdown) = messages.shutdown {
            worker.shut_down(shutdown, now);
        }
        worker.on_timeouts(now);
        if messages.stop {
            worker.close_all(now);
            worker.shared.log.wake_writer();
            return Ok(());
        }
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;
    use crate::machine::Rules;

    fn shared() -> Arc<Shared> {
        Arc::new(Shared::silent(Rules::default()))
    }

    #[test]
    fn a_worker_that_cannot_wait_reports_its_error() {
        let acceptor = Arc::new(Poller::new().unwrap());
        let (sender, failures) = mpsc::channel();
        let (broken, clock) = (Poller::broken().unwrap(), Clock::start());
        let mut mailbox =
            spawn_with_poller(broken, 0, &acceptor, &shared(), clock, &sender).unwrap();
        // Without a timeout, a missing wake-up would hang here.
        acceptor.wait(&mut Events::new(), None).unwrap();
        let error = failures.try_recv().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        mailbox.stop();
    }

    #[test]
    fn the_tokens_of_closed_connections_are_reused() {
        let poller = Arc::new(Poller::new().unwrap());
        let mut worker = Worker::new(Arc::clone(&poller), Arc::clone(&poller), shared());
        for id in 0..20 {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let peer = Address::Unnamed(id);
            let socket = near.into();
            worker.shared.counters.connection_opened(&peer);
            worker.add(AcceptedConnection { socket, peer, id }, Duration::ZERO);
            drop(far);
            let token = (id % 2) as usize;
            // One connection is always open.
            if id > 0 {
                worker.close(token ^ 1, Reason::Eof, Duration::ZERO);
            }
        }
        assert_eq!((worker.conns.len(), worker.open_connections()), (2, 1));
    }
}
