//! Looks up the names of targets through the system, several at a time, each
//! with a timeout of its own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::address::Family;
use common::endpoint::Host;
use common::operands::Operand;
use common::{Error, Kind, Result};

use super::operands::{BatchSender, ResolvedOperand, SourceOptions, check_size, file_hint};

/// The timeout of a lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum number of lookup threads.
const MAX_WORKERS: usize = 32;

/// The maximum number of lookup threads if names are looked up until they
/// resolve, because such a name occupies its thread for a long time.
const MAX_RETRYING_WORKERS: usize = 256;

/// The maximum number of names in the queue. When it is full, no further
/// operands are read.
const QUEUE_LENGTH: usize = 256;

/// The time between two lookups of a name that does not resolve.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The operands that are being looked up, by the number of the lookup.
pub(crate) type PendingNames = Arc<Mutex<HashMap<u64, Operand>>>;

/// The lookups that no thread has taken yet.
type Queue = Arc<Mutex<Receiver<LookupJob>>>;

/// A name to look up.
struct LookupJob {
    number: u64,
    operand: Operand,
    name: String,
}

/// The threads that look up the names of a list. They are started one by one
/// with the first names.
pub(crate) struct LookupPool {
    options: SourceOptions,
    sender: BatchSender,
    pending_names: PendingNames,
    queue: Option<(SyncSender<LookupJob>, Queue)>,
    workers: usize,
    last_number: u64,
}

impl LookupPool {
    /// Creates a pool without threads. The results are sent to `sender`, and
    /// `pending_names` holds the names that are being looked up.
    pub(crate) fn new(
        options: SourceOptions,
        sender: BatchSender,
        pending_names: PendingNames,
    ) -> Self {
        Self {
            options,
            sender,
            pending_names,
            queue: None,
            workers: 0,
            last_number: 0,
        }
    }

    /// Queues the lookup of a name.
    pub(crate) fn start(&mut self, operand: Operand, name: String) -> Result<()> {
        let (jobs, queue) = self.queue.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::sync_channel(QUEUE_LENGTH);
            (sender, Arc::new(Mutex::new(receiver)))
        });
        let max_workers = if self.options.retries_lookups {
            MAX_RETRYING_WORKERS
        } else {
            MAX_WORKERS
        };
        if self.workers < max_workers {
            let worker = LookupWorker {
                options: self.options,
                sender: self.sender.clone(),
                pending_names: Arc::clone(&self.pending_names),
                queue: Arc::clone(queue),
            };
            let thread = thread::Builder::new().name("names".to_owned());
            match thread.spawn(move || worker.run()) {
                Ok(_) => self.workers += 1,
                Err(e) if self.workers == 0 => return Err(Error::local(&e)),
                // The threads that exist do the work.
                Err(_) => {}
            }
        }
        self.last_number += 1;
        let number = self.last_number;
        let mut names = self
            .pending_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        names.insert(number, operand.clone());
        drop(names);
        // A send fails only if the run has ended.
        let _ = jobs.send(LookupJob {
            number,
            operand,
            name,
        });
        Ok(())
    }

    /// Ends the threads once the queue is empty.
    pub(crate) fn close(self) {
        drop(self.queue);
        self.sender.close();
    }
}

/// The state of a lookup thread.
struct LookupWorker {
    options: SourceOptions,
    sender: BatchSender,
    pending_names: PendingNames,
    queue: Queue,
}

impl LookupWorker {
    fn run(self) {
        loop {
            let job = self
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok(job) = job else { break };
            let mut items = self.look_up(&job);
            let mut names = self
                .pending_names
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // If it was removed, the run has ended and reported the name.
            if names.remove(&job.number).is_none() {
                break;
            }
            drop(names);
            if !self.sender.send(&mut items) {
                break;
            }
        }
        self.sender.close();
    }

    fn look_up(&self, job: &LookupJob) -> Vec<ResolvedOperand> {
        let text = &job.operand.text;
        let rejected = |error: Error| {
            ResolvedOperand::Rejected(job.operand.error(error.with_subject(text.as_str())))
        };
        let result = loop {
            match resolve(text, &job.name, self.options.family, LOOKUP_TIMEOUT) {
                Err(error) if self.options.retries_lookups && error.kind() == Kind::Name => {
                    thread::sleep(RETRY_INTERVAL);
                }
                other => break other,
            }
        };
        let mut addresses = match result {
            Ok(addresses) => addresses,
            Err(error) => return vec![rejected(error)],
        };
        if !self.options.all_addresses {
            addresses.truncate(1);
        }
        let item = |address| {
            let item = ResolvedOperand::Single {
                typed: Some(text.clone()),
                address,
                zone: None,
            };
            match check_size(&item, self.options.max_data) {
                Ok(()) => item,
                Err(error) => rejected(error),
            }
        };
        addresses.into_iter().map(item).collect()
    }
}

/// Returns the addresses of a name, the one that the system prefers first. The
/// lookup takes `limit` or [`LOOKUP_TIMEOUT`] at most. `text` is the name as
/// typed, for the error.
pub(crate) fn resolve(
    text: &str,
    name: &str,
    family: Family,
    limit: Duration,
) -> Result<Vec<IpAddr>> {
    let host = Host::Name(name.to_owned());
    match net::lookup(&host, 0, family, Some(limit.min(LOOKUP_TIMEOUT))) {
        Ok(addresses) => Ok(addresses.iter().map(SocketAddr::ip).collect()),
        Err(error) => {
            let error = error.with_subject(text);
            Err(match file_hint(text) {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

/// Does the same as [`resolve`] again and again until the name resolves or
/// `limit` has passed.
pub(crate) fn resolve_with_retries(
    text: &str,
    name: &str,
    family: Family,
    limit: Duration,
) -> Result<Vec<IpAddr>> {
    let start = Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match resolve(text, name, family, left) {
            Err(error) if error.kind() == Kind::Name && left > RETRY_INTERVAL => {
                thread::sleep(RETRY_INTERVAL);
            }
            other => return other,
        }
    }
}
