//! The source of targets: a thread reads operands and others look names up
//! ([`lookup`]), so that neither a slow writer of stdin nor a slow name
//! server delays the probes of other targets. The threads are at most a few
//! hundred operands ahead.
//!
//! Networks and ranges are passed on as they are ([`operands`]). Their addresses are
//! enumerated here, one for each target that is requested.

pub(crate) mod lookup;
pub(crate) mod operands;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::thread;

use common::operands::Operands;
use common::{Error, Kind, Result};
use net::Waker;

use self::lookup::{LookupPool, PendingNames};
use self::operands::{BatchSender, Parsed, ResolvedOperand, SourceOptions, parse_operand};
use crate::operand::{self, RangeAddresses};
use crate::target::Target;

/// The maximum number of operands in a batch.
const BATCH_SIZE: usize = 256;

/// The maximum number of batches in the queue to the engine's thread.
const MAX_QUEUED_BATCHES: usize = 4;

/// The result of asking for the next target.
#[derive(Debug)]
pub(crate) enum NextTarget {
    /// A target to probe next.
    Ready(Target),
    /// An operand that cannot be probed.
    Rejected(Error),
    /// Nothing yet; [`TargetSource::wake_fd`] becomes readable when there may be
    /// a target.
    Pending,
    /// The operands and all lookups are finished.
    Exhausted,
}

/// The targets of a run, in the order of the operands except for names.
#[derive(Debug)]
pub(crate) struct TargetSource {
    options: SourceOptions,
    receiver: Receiver<Vec<ResolvedOperand>>,
    waker: Waker,
    items: VecDeque<ResolvedOperand>,
    /// The remainder of the range that is being enumerated.
    addresses: Option<RangeAddresses>,
    pending_names: PendingNames,
}

impl TargetSource {
    /// Starts the thread that reads the operands.
    pub(crate) fn start(operands: Operands, options: SourceOptions) -> Result<Self> {
        let waker = Waker::new().map_err(|e| Error::local(&e))?;
        let pending_names = PendingNames::default();
        let (sender, receiver) = mpsc::sync_channel(MAX_QUEUED_BATCHES);
        let sender = BatchSender::new(sender, waker.clone());
        let mut reader = OperandReader {
            options,
            lookups: LookupPool::new(options, sender.clone(), Arc::clone(&pending_names)),
            sender,
        };
        thread::Builder::new()
            .name("operands".to_owned())
            .spawn(move || {
                reader.read(operands);
                let OperandReader {
                    sender, lookups, ..
                } = reader;
                // Ends the lookup threads after the last name.
                lookups.close();
                sender.close();
            })
            .map_err(|e| Error::local(&e))?;
        Ok(Self {
            options,
            receiver,
            waker,
            items: VecDeque::new(),
            addresses: None,
            pending_names,
        })
    }

    /// Returns an error for each name that is still being looked up, and drops
    /// these lookups.
    pub(crate) fn unresolved_names(&self) -> Vec<Error> {
        let mut names = self
            .pending_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut pending: Vec<_> = names.drain().collect();
        pending.sort_unstable_by_key(|(number, _)| *number);
        pending
            .into_iter()
            .map(|(_, operand)| operand.error(Error::new(Kind::Name, "name lookup timed out")))
            .collect()
    }

    /// Returns the next target, without blocking.
    pub(crate) fn next(&mut self) -> NextTarget {
        loop {
            if let Some(address) = self.addresses.as_mut().and_then(Iterator::next) {
                return NextTarget::Ready(self.target(None, address, None));
            }
            self.addresses = None;
            match self.items.pop_front() {
                Some(ResolvedOperand::Single {
                    typed,
                    address,
                    zone,
                }) => return NextTarget::Ready(self.target(typed, address, zone)),
                Some(ResolvedOperand::Range(range)) => {
                    self.addresses = Some(range.addresses(self.options.shuffle));
                    continue;
                }
                Some(ResolvedOperand::Rejected(error)) => return NextTarget::Rejected(error),
                None => {}
            }
            match self.receive_batch() {
                Ok(items) => self.items = items.into(),
                Err(TryRecvError::Empty) => return NextTarget::Pending,
                Err(TryRecvError::Disconnected) => return NextTarget::Exhausted,
            }
        }
    }

    fn receive_batch(&self) -> std::result::Result<Vec<ResolvedOperand>, TryRecvError> {
        match self.receiver.try_recv() {
            Err(TryRecvError::Empty) => {
                // A batch that arrives after the second check wakes the engine again.
                self.waker.reset();
                self.receiver.try_recv()
            }
            other => other,
        }
    }

    fn target(&self, typed: Option<String>, address: IpAddr, zone: Option<u32>) -> Target {
        let scope = match address {
            IpAddr::V6(v6) if operand::is_scoped(v6) => zone.unwrap_or(self.options.scope),
            _ => 0,
        };
        Target::new(typed.map(Rc::from), address, scope)
    }

    /// Returns a descriptor that becomes readable when there may be a target.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

/// The state of the thread that reads operands.
struct OperandReader {
    options: SourceOptions,
    sender: BatchSender,
    lookups: LookupPool,
}

impl OperandReader {
    fn read(&mut self, mut operands: Operands) {
        let mut items = Vec::new();
        loop {
            let must_send = items.len() >= BATCH_SIZE || !operands.is_ready();
            if must_send && !self.sender.send(&mut items) {
                return;
            }
            let operand = match operands.next() {
                Some(Ok(operand)) => operand,
                Some(Err(error)) => {
                    items.push(ResolvedOperand::Rejected(error));
                    continue;
                }
                None => break,
            };
            match parse_operand(&operand.text, &self.options) {
                Ok(Parsed::Resolved(item)) => items.push(item),
                Ok(Parsed::Name(name)) => {
                    if !self.sender.send(&mut items) {
                        return;
                    }
                    if let Err(error) = self.lookups.start(operand.clone(), name) {
                        items.push(ResolvedOperand::Rejected(operand.error(error)));
                    }
                }
                Err(error) => items.push(ResolvedOperand::Rejected(operand.error(error))),
            }
        }
        self.sender.send(&mut items);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use common::address::Family;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io;

    const OPTIONS: SourceOptions = SourceOptions {
        family: Family::Any,
        scope: 0,
        max_data: 56,
        shuffle: None,
        all_addresses: false,
        retries_lookups: false,
    };

    /// Starts a source of these operands and this stdin.
    pub(crate) fn source_of(operands: &[&str], input: &'static [u8]) -> TargetSource {
        let operands = operands.iter().map(ToString::to_string).collect();
        let operands = Operands::new(operands, Box::new(input));
        TargetSource::start(operands, OPTIONS).unwrap()
    }

    /// Waits for the next target.
    fn wait_next(source: &mut TargetSource) -> NextTarget {
        loop {
            match source.next() {
                NextTarget::Pending => {
                    let fd = source.wake_fd();
                    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
                    poll(&mut fds, None).unwrap();
                }
                other => return other,
            }
        }
    }

    /// Returns the operands of all targets and the errors.
    fn read_all(operands: &[&str], input: &'static [u8]) -> Vec<String> {
        let mut source = source_of(operands, input);
        let mut found = Vec::new();
        loop {
            match wait_next(&mut source) {
                NextTarget::Ready(target) => found.push(target.operand()),
                NextTarget::Rejected(error) => found.push(error.to_string()),
                NextTarget::Pending => {}
                NextTarget::Exhausted => return found,
            }
        }
    }

    #[test]
    fn targets_come_in_the_order_of_the_operands() {
        assert_eq!(
            read_all(
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
    fn a_list_may_be_longer_than_the_queue() {
        let lines: Vec<String> = (0..5000)
            .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
            .collect();
        let text = lines.join("\n");
        assert_eq!(read_all(&["-"], text.leak().as_bytes()).len(), 5000);
    }

    #[test]
    fn a_target_is_ready_before_the_next_line_is_written() {
        let (reader, mut writer) = io::pipe().unwrap();
        let operands = Operands::new(vec!["-".to_owned()], Box::new(reader));
        let mut source = TargetSource::start(operands, OPTIONS).unwrap();
        assert!(matches!(source.next(), NextTarget::Pending));
        for line in ["127.0.0.1", "127.0.0.2"] {
            io::Write::write_all(&mut writer, format!("{line}\n").as_bytes()).unwrap();
            match wait_next(&mut source) {
                NextTarget::Ready(target) => assert_eq!(target.operand(), line),
                other => panic!("{other:?}"),
            }
        }
        drop(writer);
        assert!(matches!(wait_next(&mut source), NextTarget::Exhausted));
    }
}
