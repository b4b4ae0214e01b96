//! What addresses are called, for the classic face: the system's reverse
//! lookup, asked once for each address, in a thread of its own so that a slow
//! name server delays lines but never probes for long.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// How long a line waits for a name.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names kept; a group may be answered by anybody, so the number is bounded.
const MOST: usize = 1024;

/// Asks for names, unless numbers were asked for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    wanted: bool,
    known: HashMap<IpAddr, Option<String>>,
    asked: HashMap<IpAddr, Receiver<Option<String>>>,
}

impl Names {
    /// `wanted`: whether to ask at all.
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Starts asking, so that the answer is there when it is needed.
    pub(crate) fn ask(&mut self, address: IpAddr) {
        if !self.wanted || self.known.contains_key(&address) || self.asked.contains_key(&address) {
            return;
        }
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("names".to_owned());
        // Without a thread, or when nobody waits any more, there is no name.
        let _ = thread.spawn(move || sender.send(look_up(address)));
        self.asked.insert(address, receiver);
    }

    /// The name of an address, if it has one.
    pub(crate) fn name(&mut self, address: IpAddr) -> Option<&str> {
        if !self.wanted {
            return None;
        }
        if !self.known.contains_key(&address) {
            if self.known.len() >= MOST {
                return None;
            }
            self.ask(address);
            let answer = self.asked.remove(&address);
            let name = answer.and_then(|answer| answer.recv_timeout(PATIENCE).ok());
            self.known.insert(address, name.flatten());
        }
        self.known.get(&address)?.as_deref()
    }
}

fn look_up(address: IpAddr) -> Option<String> {
    let name = dns_lookup::lookup_addr(&address).ok()?;
    // Without a name the system gives the number.
    name.parse::<IpAddr>().is_err().then_some(name)
}
