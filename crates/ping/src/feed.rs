//! Where targets come from: a thread reads operands and looks names up, so
//! that neither a slow writer of standard input nor a slow name server holds
//! the probes back. It is a few hundred operands ahead, never more.
//!
//! Networks and ranges cross over whole and are counted through here, one
//! address for each target asked for.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

use common::address::Family;
use common::endpoint::Host;
use common::operands::Operands;
use common::{Error, Result, net};

use crate::bell::Bell;
use crate::operand::{self, Addresses, Operand, Range};
use crate::packet::Version;
use crate::plan::mtu::largest_data;
use crate::socket;
use crate::target::Target;

/// Operands handed over at once, at most.
const BATCH: usize = 256;

/// Batches under way, at most.
const BATCHES: usize = 4;

/// How long a name lookup may take.
const LOOKUP: Duration = Duration::from_secs(30);

/// An operand, read.
enum Item {
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
}

/// The targets of a run.
#[derive(Debug)]
pub(crate) struct Feed {
    reading: Reading,
    receiver: Receiver<Vec<Item>>,
    bell: Bell,
    items: VecDeque<Item>,
    addresses: Option<Addresses>,
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
        let rung = bell.clone();
        let (sender, receiver) = mpsc::sync_channel(BATCHES);
        thread::Builder::new()
            .name("operands".to_owned())
            .spawn(move || {
                let bell = &rung;
                read(operands, reading, &mut Hand { sender, bell });
                // The sender is gone now; the last ring says so.
                bell.ring();
            })
            .map_err(|e| Error::local(&e))?;
        Ok(Self {
            reading,
            receiver,
            bell,
            items: VecDeque::new(),
            addresses: None,
        })
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
                // What comes after the second look rings once more.
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

/// The reading end's way to the other.
struct Hand<'a> {
    sender: SyncSender<Vec<Item>>,
    bell: &'a Bell,
}

impl Hand<'_> {
    /// Hands over what there is; false when nobody wants it any more.
    fn over(&mut self, items: &mut Vec<Item>) -> bool {
        if items.is_empty() {
            return true;
        }
        let sent = self.sender.send(std::mem::take(items)).is_ok();
        self.bell.ring();
        sent
    }
}

/// The thread's work.
fn read(mut operands: Operands, reading: Reading, hand: &mut Hand<'_>) {
    let family = reading.family;
    let mut items = Vec::new();
    loop {
        let full = items.len() >= BATCH || !operands.is_ready();
        if full && !hand.over(&mut items) {
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
        let item = match understand(&operand.text, &reading) {
            Ok(Understood::Item(item)) => Ok(item),
            Ok(Understood::Name(name)) => {
                if !hand.over(&mut items) {
                    return;
                }
                lookup(&name, family, LOOKUP)
                    .map(|address| Item::One(Some(name), address, None))
                    .and_then(|item| fitting(item, reading.size))
            }
            Err(error) => Err(error),
        };
        items.push(item.unwrap_or_else(|error| Item::Refused(operand.error(error))));
    }
    hand.over(&mut items);
}

/// An operand that was read and not looked up.
enum Understood {
    Item(Item),
    Name(String),
}

/// Reads an operand.
fn understand(text: &str, reading: &Reading) -> Result<Understood> {
    let item = match operand::parse(text, reading.family)? {
        Operand::Address(address) => {
            // Only a spelling of its own is worth remembering.
            let label = (text != address.to_string()).then(|| text.to_owned());
            Item::One(label, address, None)
        }
        Operand::Zoned(address, zone) => {
            let index = index(&zone, reading.scope).map_err(|error| error.about(text))?;
            Item::One(Some(text.to_owned()), address.into(), Some(index))
        }
        Operand::Range(range) => Item::Many(range),
        Operand::Name(name) => return Ok(Understood::Name(name)),
    };
    fitting(item, reading.size).map(Understood::Item)
}

/// The mistake in an operand of the command line, if it shows before any name
/// is looked up.
pub(crate) fn mistake(text: &str, reading: &Reading) -> Option<Error> {
    if text == "-" {
        return None;
    }
    let error = understand(text, reading).err()?;
    Some(match error.operand() {
        Some(_) => error,
        None => error.about(text),
    })
}

/// An IPv4 packet is smaller than what `-s` allows for the sake of IPv6.
fn fitting(item: Item, size: u16) -> Result<Item> {
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

/// The address of a name that the system prefers, after `limit` at the latest.
pub(crate) fn lookup(name: &str, family: Family, limit: Duration) -> Result<IpAddr> {
    let host = Host::Name(name.to_owned());
    let found = net::lookup(&host, 0, family, Some(limit.min(LOOKUP)))?;
    // An empty answer is an error of the lookup's own.
    found
        .first()
        .map(std::net::SocketAddr::ip)
        .ok_or_else(|| Error::new(common::Kind::Name, "no address").about(name))
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
