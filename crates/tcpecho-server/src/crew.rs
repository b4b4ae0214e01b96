//! Who serves the connections: the accepting loop itself, or threads in turn.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::clock::Clock;
use crate::conn::{Cut, Shared};
use crate::readiness::Poller;
use crate::worker::{self, Mailbox, Newcomer, Worker};

/// The workers, as the accepting loop sees them.
#[derive(Debug)]
pub(crate) enum Crew {
    /// The accepting loop itself.
    Alone(Box<Worker>),
    /// Threads, whose turn it is, and where they tell of failures.
    Threads(Vec<Mailbox>, usize, mpsc::Receiver<io::Error>),
}

impl Crew {
    /// Starts `workers` of them, 1 or more. A single one uses the accepting
    /// loop's own poller.
    pub(crate) fn start(
        workers: usize,
        acceptor: &Arc<Poller>,
        shared: &Arc<Shared>,
        clock: Clock,
    ) -> io::Result<Self> {
        if workers == 1 {
            let poller = Arc::clone(acceptor);
            let worker = Worker::new(poller, Arc::clone(acceptor), Arc::clone(shared));
            return Ok(Self::Alone(Box::new(worker)));
        }
        let (failures, failed) = mpsc::channel();
        (0..workers)
            .map(|index| worker::spawn(index, acceptor, shared, clock, &failures))
            .collect::<io::Result<Vec<_>>>()
            .map(|mailboxes| Self::Threads(mailboxes, 0, failed))
    }

    /// Hands a connection over.
    pub(crate) fn hand(&mut self, newcomer: Newcomer, now: Duration) {
        match self {
            Self::Alone(worker) => worker.adopt(newcomer, now),
            Self::Threads(mailboxes, turn, _) => {
                *turn = (*turn + 1) % mailboxes.len();
                mailboxes[*turn].hand(newcomer);
            }
        }
    }

    /// A socket of the accepting loop's poller is ready that is none of its
    /// own.
    pub(crate) fn event(&mut self, key: usize, now: Duration) {
        if let Self::Alone(worker) = self {
            worker.event(key, now);
        }
    }

    /// Looks at deadlines that have come.
    pub(crate) fn timeouts(&mut self, now: Duration) {
        if let Self::Alone(worker) = self {
            worker.timeouts(now);
        }
    }

    /// When [`Crew::timeouts`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Alone(worker) => worker.deadline(),
            Self::Threads(..) => None,
        }
    }

    /// The error of a worker that cannot go on, which then wakes the accepting
    /// loop.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        match self {
            Self::Alone(_) => None,
            Self::Threads(.., failed) => failed.try_recv().ok(),
        }
    }

    /// Ends connections from this side.
    pub(crate) fn cut(&mut self, cut: Cut, now: Duration) {
        match self {
            Self::Alone(worker) => worker.cut(cut, now),
            Self::Threads(mailboxes, ..) => mailboxes.iter().for_each(|mailbox| mailbox.cut(cut)),
        }
    }

    /// Ends the connections that are left, and the threads.
    pub(crate) fn stop(&mut self, now: Duration) {
        match self {
            Self::Alone(worker) => worker.abandon(now),
            Self::Threads(mailboxes, ..) => mailboxes.iter_mut().for_each(Mailbox::stop),
        }
    }
}
