//! The worker pool, as the accepting loop uses it: one worker on the accepting
//! loop itself, or threads that get connections in turn.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::clock::Clock;
use crate::conn::Shutdown;
use crate::poller::Poller;
use crate::shared::Shared;
use crate::worker::{self, AcceptedConnection, Mailbox, Worker};

/// The workers of a server.
#[derive(Debug)]
pub(crate) enum WorkerPool {
    /// A single worker, which shares the thread and poller of the accepting
    /// loop.
    Inline(Box<Worker>),
    /// Workers that run in their own threads.
    Threads {
        mailboxes: Vec<Mailbox>,
        /// The index of the worker that got the last connection.
        last: usize,
        /// The errors of workers that cannot continue.
        failures: mpsc::Receiver<io::Error>,
    },
}

impl WorkerPool {
    /// Starts `workers` workers, at least 1.
    pub(crate) fn start(
        workers: usize,
        acceptor: &Arc<Poller>,
        shared: &Arc<Shared>,
        clock: Clock,
    ) -> io::Result<Self> {
        if workers == 1 {
            let poller = Arc::clone(acceptor);
            let worker = Worker::new(poller, Arc::clone(acceptor), Arc::clone(shared));
            return Ok(Self::Inline(Box::new(worker)));
        }
        let (sender, failures) = mpsc::channel();
        let mailboxes = (0..workers)
            .map(|index| worker::spawn(index, acceptor, shared, clock, &sender))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self::Threads {
            mailboxes,
            last: 0,
            failures,
        })
    }

    /// Passes a connection to the next worker.
    pub(crate) fn dispatch(&mut self, connection: AcceptedConnection, now: Duration) {
        match self {
            Self::Inline(worker) => worker.add(connection, now),
            Self::Threads {
                mailboxes, last, ..
            } => {
                *last = (*last + 1) % mailboxes.len();
                mailboxes[*last].dispatch(connection);
            }
        }
    }

    /// Handles a readiness event of the accepting loop's poller that concerns a
    /// connection.
    pub(crate) fn on_ready(&mut self, token: usize, now: Duration) {
        if let Self::Inline(worker) = self {
            worker.on_ready(token, now);
        }
    }

    /// Handles expired deadlines of connections.
    pub(crate) fn on_timeouts(&mut self, now: Duration) {
        if let Self::Inline(worker) = self {
            worker.on_timeouts(now);
        }
    }

    /// Returns when to call [`WorkerPool::on_timeouts`].
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Inline(worker) => worker.deadline(),
            Self::Threads { .. } => None,
        }
    }

    /// Returns the error of a worker that cannot continue. The worker has woken
    /// the accepting loop.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        match self {
            Self::Inline(_) => None,
            Self::Threads { failures, .. } => failures.try_recv().ok(),
        }
    }

    /// Ends connections from this side.
    pub(crate) fn shut_down(&mut self, shutdown: Shutdown, now: Duration) {
        match self {
            Self::Inline(worker) => worker.shut_down(shutdown, now),
            Self::Threads { mailboxes, .. } => mailboxes
                .iter()
                .for_each(|mailbox| mailbox.shut_down(shutdown)),
        }
    }

    /// Closes all connections and ends the threads.
    pub(crate) fn stop(&mut self, now: Duration) {
        match self {
            Self::Inline(worker) => worker.close_all(now),
            Self::Threads { mailboxes, .. } => mailboxes.iter_mut().for_each(Mailbox::stop),
        }
    }
}
