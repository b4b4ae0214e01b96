//! Names of targets: looked up by the system, several at once, each within a
//! time of its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::address::Family;
use common::endpoint::Host;
use common::operands::Operand;
use common::{Error, Kind, Result, net};

use crate::feed::{Hand, Item, Reading, fitting};

/// How long a name lookup may take.
const LOOKUP: Duration = Duration::from_secs(30);

/// Names looked up at once, each in a thread. A name that is looked up until it
/// resolves keeps its thread, so there may be more of these.
const LOOKUPS: usize = 32;
const PATIENT_LOOKUPS: usize = 256;

/// Names that wait for a lookup, at most; then reading operands waits.
const QUEUE: usize = 256;

/// From one lookup of a name that does not resolve to the next, where a host
/// is waited for.
const AGAIN: Duration = Duration::from_secs(1);

/// Names whose lookup has not ended, with the operands that they came from.
pub(crate) type Names = Arc<Mutex<HashMap<u64, Operand>>>;

/// The names that wait for a lookup.
type Queue = Arc<Mutex<Receiver<Job>>>;

/// A name to be looked up.
struct Job {
    number: u64,
    operand: Operand,
    name: String,
}

/// The lookups of a list.
pub(crate) struct Lookups {
    reading: Reading,
    names: Names,
    jobs: Option<(SyncSender<Job>, Queue)>,
    helpers: usize,
    number: u64,
}

impl Lookups {
    /// No lookups yet; `names` shows those that have not ended.
    pub(crate) fn new(reading: Reading, names: Names) -> Self {
        Self {
            reading,
            names,
            jobs: None,
            helpers: 0,
            number: 0,
        }
    }

    /// Looks up a name; what comes of it goes through `hand`.
    pub(crate) fn start(&mut self, hand: &Hand, operand: Operand, name: String) -> Result<()> {
        let (sender, queue) = self.jobs.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::sync_channel(QUEUE);
            (sender, Arc::new(Mutex::new(receiver)))
        });
        let most = if self.reading.patient {
            PATIENT_LOOKUPS
        } else {
            LOOKUPS
        };
        if self.helpers < most {
            let helper = Helper {
                reading: self.reading,
                hand: hand.clone(),
                names: Arc::clone(&self.names),
                queue: Arc::clone(queue),
            };
            let thread = thread::Builder::new().name("names".to_owned());
            match thread.spawn(move || helper.run()) {
                Ok(_) => self.helpers += 1,
                Err(e) if self.helpers == 0 => return Err(Error::local(&e)),
                // Fewer do the same work.
                Err(_) => {}
            }
        }
        self.number += 1;
        let number = self.number;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(number, operand.clone());
        drop(names);
        // It fails only if the run is over.
        let _ = sender.send(Job {
            number,
            operand,
            name,
        });
        Ok(())
    }
}

/// A thread that looks names up.
struct Helper {
    reading: Reading,
    hand: Hand,
    names: Names,
    queue: Queue,
}

impl Helper {
    fn run(self) {
        loop {
            let job = self
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok(job) = job else { break };
            let mut items = self.items(&job);
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            // The run has ended, and told of it.
            if names.remove(&job.number).is_none() {
                break;
            }
            drop(names);
            if !self.hand.over(&mut items) {
                break;
            }
        }
        self.hand.end();
    }

    fn items(&self, job: &Job) -> Vec<Item> {
        let about = |error: Error| {
            let text = &job.operand.text;
            Item::Refused(job.operand.error(error.with_subject(text)))
        };
        let found = loop {
            match addresses(&job.operand.text, &job.name, self.reading.family, LOOKUP) {
                Err(error) if self.reading.patient && error.kind() == Kind::Name => {
                    thread::sleep(AGAIN);
                }
                other => break other,
            }
        };
        let mut found = match found {
            Ok(found) => found,
            Err(error) => return vec![about(error)],
        };
        if !self.reading.all_addresses {
            found.truncate(1);
        }
        found
            .into_iter()
            .map(|address| {
                let item = Item::One(Some(job.operand.text.clone()), address, None);
                fitting(item, self.reading.size).unwrap_or_else(about)
            })
            .collect()
    }
}

/// A hint if an operand is the name of a file.
pub(crate) fn file_hint(text: &str) -> Option<String> {
    let is_file = Path::new(text).is_file();
    is_file.then(|| format!("@{text} reads the file of that name"))
}

/// The addresses of a name, the one that the system prefers first, after
/// `limit` at the latest. `text` is the name as typed.
pub(crate) fn addresses(
    text: &str,
    name: &str,
    family: Family,
    limit: Duration,
) -> Result<Vec<IpAddr>> {
    let host = Host::Name(name.to_owned());
    let found = net::lookup(&host, 0, family, Some(limit.min(LOOKUP)));
    match found {
        Ok(found) => Ok(found.iter().map(std::net::SocketAddr::ip).collect()),
        Err(error) => {
            let error = error.with_subject(text);
            Err(match file_hint(text) {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

/// The same until the name resolves, but for names that cannot.
pub(crate) fn addresses_patiently(
    text: &str,
    name: &str,
    family: Family,
    limit: Duration,
) -> Result<Vec<IpAddr>> {
    let start = Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match addresses(text, name, family, left) {
            Err(error) if error.kind() == Kind::Name && left > AGAIN => {
                thread::sleep(AGAIN);
            }
            other => return other,
        }
    }
}
