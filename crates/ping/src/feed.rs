//! Where targets come from: a thread reads operands and others look names up,
//! so that neither a slow writer of standard input nor a slow name server holds
//! the probes back, nor one name those behind it. They are a few hundred
//! operands ahead, never more.
//!
//! Networks and ranges cross over whole and are counted through here, one
//! address for each target asked for.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::thread;

use common::address::Family;
use common::operands::Operands;
use common::{Error, Result};

use crate::bell::Bell;
use crate::lookup::{Lookups, Names, file_hint};
use crate::operand::{self, Addresses, Range};
use crate::packet::Version;
use crate::plan::mtu::largest_data;
use crate::socket;
use crate::target::Target;

/// Operands handed over at once, at most.
const BATCH: usize = 256;

/// Batches under way, at most.
const BATCHES: usize = 4;

/// An operand, read.
pub(crate) enum Item {
    One(Option<String>, IpAddr, Option<u32>),
    Many(Range),
    Refused(Error),
}

/// What there is to be had.
#[derive(Debug)]
pub(crate) enum Fed {
    /// A target.
    Target(Target),
    /// An operand that is none.
    Refused(Error),
    /// Nothing at the moment; [`Feed::wake`] becomes readable.
    NotYet,
    /// Nothing any more.
    End,
}

/// How operands are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The address families taken.
    pub(crate) family: Family,
    /// The interface of link-local addresses, 0 for none.
    pub(crate) scope: u32,
    /// Bytes of data in the largest probe.
    pub(crate) size: u16,
    /// Ranges in the order that this seed decides.
    pub(crate) shuffle: Option<u64>,
    /// Every address of a name, not the first alone.
    pub(crate) all_addresses: bool,
    /// A name that does not resolve is looked up again, since its host is
    /// waited for.
    pub(crate) patient: bool,
}

/// The targets of a run.
#[derive(Debug)]
pub(crate) struct Feed {
    reading: Reading,
    receiver: Receiver<Vec<Item>>,
    bell: Bell,
    items: VecDeque<Item>,
    addresses: Option<Addresses>,
    /// Names that are being looked up.
    names: Names,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One(..) => "One",
            Self::Many(_) => "Many",
            Self::Refused(_) => "Refused",
        })
    }
}

impl Feed {
    /// Starts reading.
    pub(crate) fn start(operands: Operands, reading: Reading) -> Result<Self> {
        let bell = Bell::new()?;
        let names = Names::default();
        let (sender, receiver) = mpsc::sync_channel(BATCHES);
        let mut reader = Reader {
            reading,
            hand: Hand {
                sender,
                bell: bell.clone(),
            },
            lookups: Lookups::new(reading, Arc::clone(&names)),
        };
        thread::Builder::new()
            .name("operands".to_owned())
            .spawn(move || {
                reader.read(operands);
                let Reader { hand, lookups, .. } = reader;
                // Without further names the helpers end, too.
                drop(lookups);
                hand.end();
            })
            .map_err(|e| Error::local(&e))?;
        Ok(Self {
            reading,
            receiver,
            bell,
            items: VecDeque::new(),
            addresses: None,
            names,
        })
    }

    /// The errors of names whose lookup has not ended, and ends with the run.
    pub(crate) fn unresolved(&self) -> Vec<Error> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left: Vec<_> = names.drain().collect();
        left.sort_unstable_by_key(|(number, _)| *number);
        left.into_iter()
            .map(|(_, operand)| {
                let error = Error::new(common::Kind::Name, "name lookup timed out");
                operand.error(error)
            })
            .collect()
    }

    /// The next target.
    pub(crate) fn next(&mut self) -> Fed {
        loop {
            if let Some(address) = self.addresses.as_mut().and_then(Iterator::next) {
                return Fed::Target(self.target(None, address, None));
            }
            self.addresses = None;
            match self.items.pop_front() {
                Some(Item::One(label, address, zone)) => {
                    return Fed::Target(self.target(label, address, zone));
                }
                Some(Item::Many(range)) => {
                    self.addresses = Some(range.addresses(self.reading.shuffle));
                    continue;
                }
                Some(Item::Refused(error)) => return Fed::Refused(error),
                None => {}
            }
            match self.take() {
                Ok(items) => self.items = items.into(),
                Err(TryRecvError::Empty) => return Fed::NotYet,
                Err(TryRecvError::Disconnected) => return Fed::End,
            }
        }
    }

    fn take(&self) -> std::result::Result<Vec<Item>, TryRecvError> {
        match self.receiver.try_recv() {
            Err(TryRecvError::Empty) => {
                // A batch that arrives after the second look rings once more.
                self.bell.silence();
                self.receiver.try_recv()
            }
            other => other,
        }
    }

    fn target(&self, label: Option<String>, address: IpAddr, zone: Option<u32>) -> Target {
        let scope = match address {
            IpAddr::V6(v6) if operand::has_scope(v6) => zone.unwrap_or(self.reading.scope),
            _ => 0,
        };
        Target::new(label.map(Rc::from), address, scope)
    }

    /// Readable when there may be more.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The way of targets to the engine's thread.
#[derive(Clone)]
pub(crate) struct Hand {
    sender: SyncSender<Vec<Item>>,
    bell: Bell,
}

impl Hand {
    /// Hands over what there is; false when nobody wants it any more.
    pub(crate) fn over(&self, items: &mut Vec<Item>) -> bool {
        if items.is_empty() {
            return true;
        }
        let sent = self.sender.send(std::mem::take(items)).is_ok();
        self.bell.ring();
        sent
    }

    /// Hands over nothing more; the last hand's end is the end of all.
    pub(crate) fn end(self) {
        let Self { sender, bell } = self;
        drop(sender);
        bell.ring();
    }
}

/// The thread that reads operands.
struct Reader {
    reading: Reading,
    hand: Hand,
    lookups: Lookups,
}

impl Reader {
    fn read(&mut self, mut operands: Operands) {
        let mut items = Vec::new();
        loop {
            let full = items.len() >= BATCH || !operands.is_ready();
            if full && !self.hand.over(&mut items) {
                return;
            }
            let operand = match operands.next() {
                Some(Ok(operand)) => operand,
                Some(Err(error)) => {
                    items.push(Item::Refused(error));
                    continue;
                }
                None => break,
            };
            match understand(&operand.text, &self.reading) {
                Ok(Understood::Item(item)) => items.push(item),
                Ok(Understood::Name(name)) => {
                    if !self.hand.over(&mut items) {
                        return;
                    }
                    if let Err(error) = self.lookups.start(&self.hand, operand.clone(), name) {
                        items.push(Item::Refused(operand.error(error)));
                    }
                }
                Err(error) => items.push(Item::Refused(operand.error(error))),
            }
        }
        self.hand.over(&mut items);
    }
}

/// An operand that was read and not looked up.
enum Understood {
    Item(Item),
    Name(String),
}

/// [`operand::parse`], with a hint for the name of a file.
pub(crate) fn parse(text: &str, family: Family) -> Result<operand::Operand> {
    operand::parse(text, family).map_err(|error| match file_hint(text) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// Reads an operand.
fn understand(text: &str, reading: &Reading) -> Result<Understood> {
    let item = match parse(text, reading.family)? {
        operand::Operand::Address(address) => {
            // Only a spelling of its own is worth remembering.
            let label = (text != address.to_string()).then(|| text.to_owned());
            Item::One(label, address, None)
        }
        operand::Operand::Zoned(address, zone) => {
            let index = index(&zone, reading.scope).map_err(|error| error.with_subject(text))?;
            Item::One(Some(text.to_owned()), address.into(), Some(index))
        }
        operand::Operand::Range(range) => Item::Many(range),
        operand::Operand::Name(name) => return Ok(Understood::Name(name)),
    };
    fitting(item, reading.size).map(Understood::Item)
}

/// The mistake in an operand of the command line, if it shows before any name
/// is looked up and any file is opened.
pub(crate) fn mistake(text: &str, reading: &Reading) -> Option<Error> {
    if text == "-" || text.starts_with('@') {
        return None;
    }
    let error = understand(text, reading).err()?;
    Some(match error.operand() {
        Some(_) => error,
        None => error.with_subject(text),
    })
}

/// An IPv4 packet is smaller than what `-s` allows for the sake of IPv6.
pub(crate) fn fitting(item: Item, size: u16) -> Result<Item> {
    let is_v4 = match &item {
        Item::One(_, address, _) => address.is_ipv4(),
        Item::Many(range) => range.is_v4(),
        Item::Refused(_) => false,
    };
    if is_v4 {
        fits_v4(size)?;
    }
    Ok(item)
}

/// An error if an IPv4 probe cannot carry so much data.
pub(crate) fn fits_v4(size: u16) -> Result<()> {
    let most = largest_data(Version::V4);
    if size <= most {
        return Ok(());
    }
    let text = format!("an IPv4 probe takes {most} bytes of data at most");
    Err(Error::new(common::Kind::Usage, text))
}

/// The number of a zone, which must not contradict the interface of `-I`, 0
/// for none.
pub(crate) fn index(zone: &str, given: u32) -> Result<u32> {
    let index = socket::interface_index(zone)?;
    if given != 0 && given != index {
        return Err(Error::usage("-I and the zone name different interfaces"));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io;

    const READING: Reading = Reading {
        family: Family::Any,
        scope: 0,
        size: 56,
        shuffle: None,
        all_addresses: false,
        patient: false,
    };

    fn wait(feed: &mut Feed) -> Fed {
        loop {
            match feed.next() {
                Fed::NotYet => {
                    let wake = feed.wake();
                    let mut fds = [PollFd::from_borrowed_fd(wake, PollFlags::IN)];
                    poll(&mut fds, None).unwrap();
                }
                other => return other,
            }
        }
    }

    fn all(args: &[&str], input: &'static [u8]) -> Vec<String> {
        let args = args.iter().map(ToString::to_string).collect();
        let operands = Operands::new(args, Box::new(input));
        let mut feed = Feed::start(operands, READING).unwrap();
        let mut found = Vec::new();
        loop {
            match wait(&mut feed) {
                Fed::Target(target) => found.push(target.operand()),
                Fed::Refused(error) => found.push(error.to_string()),
                Fed::NotYet => {}
                Fed::End => return found,
            }
        }
    }

    #[test]
    fn operands_of_every_kind_in_order() {
        assert_eq!(
            all(
                &["10.0.0.0/30", "-", "::FFFF"],
                b"# x\n10.0.0.300\n127.0.0.1\n"
            ),
            [
                "10.0.0.1",
                "10.0.0.2",
                "-:2: 10.0.0.300: not an address: a number is above 255",
                "127.0.0.1",
                "::FFFF"
            ]
        );
    }

    #[test]
    fn many_lines() {
        let lines: Vec<String> = (0..5000)
            .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
            .collect();
        let text = lines.join("\n");
        assert_eq!(all(&["-"], text.leak().as_bytes()).len(), 5000);
    }

    #[test]
    fn a_line_comes_before_the_next_is_written() {
        let (reader, mut writer) = io::pipe().unwrap();
        let operands = Operands::new(vec!["-".to_owned()], Box::new(reader));
        let mut feed = Feed::start(operands, READING).unwrap();
        assert!(matches!(feed.next(), Fed::NotYet));
        for line in ["127.0.0.1", "127.0.0.2"] {
            io::Write::write_all(&mut writer, format!("{line}\n").as_bytes()).unwrap();
            match wait(&mut feed) {
                Fed::Target(target) => assert_eq!(target.operand(), line),
                other => panic!("{other:?}"),
            }
        }
        drop(writer);
        assert!(matches!(wait(&mut feed), Fed::End));
    }
}
