//! Where a body ends up, and what of it is there when a try fails.

use common::Result;

use super::save::Saver;
use super::small::Small;
use super::stage::Stage;
use crate::output::view::View;
use crate::policy::resume::{Had, Validator};

/// The end of a body's way.
#[derive(Debug)]
pub(super) enum Sink {
    /// No response came yet.
    Undecided,
    /// Nowhere: HEAD, or an error's body that has no place.
    Nowhere,
    /// Standard output, byte for byte.
    Stdout {
        /// Bytes written, and how they can be continued.
        had: Had,
        /// Whether offsets on the wire are offsets here.
        plain: bool,
    },
    /// Standard output, for a person.
    View { view: View, started: bool },
    /// Memory: for the JSON record, or for a pointer.
    Memory { bytes: Vec<u8>, max: u64 },
    /// A file.
    File {
        saver: Saver,
        /// Whether this run has begun to write it.
        used: bool,
        plain: bool,
    },
    /// A file that is written when its body is whole.
    Small(Small),
}

/// How a further try may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Behind this.
    From(Had),
    /// From nothing.
    Fresh,
    /// Not at all: bytes are out that cannot be taken back.
    Never,
}

impl Sink {
    pub(super) fn file(saver: Saver) -> Self {
        Self::File {
            saver,
            used: false,
            plain: true,
        }
    }

    /// Whether anything was delivered.
    pub(super) fn is_used(&self) -> bool {
        !matches!(self, Self::Undecided | Self::File { used: false, .. })
    }

    /// What is held for a file goes into its part file, to be continued or
    /// cleared away as any other.
    pub(super) fn settle(&mut self) -> Result<()> {
        if matches!(self, Self::Small(_))
            && let Self::Small(small) = std::mem::replace(self, Self::Nowhere)
        {
            *self = Self::File {
                saver: small.into_saver()?,
                used: true,
                plain: true,
            };
        }
        Ok(())
    }

    /// Whether bytes are out that cannot be taken back.
    pub(super) fn is_out(&self) -> bool {
        match self {
            Self::Stdout { had, .. } => had.bytes > 0,
            Self::View { started, .. } => *started,
            _ => false,
        }
    }

    /// Takes a piece of the body. False if it takes no more.
    pub(super) fn write(&mut self, bytes: &[u8], stage: &mut Stage<'_>) -> Result<bool> {
        match self {
            Self::Undecided | Self::Nowhere => {}
            Self::Stdout { had, .. } => {
                had.bytes += bytes.len() as u64;
                stage.write(bytes)?;
            }
            Self::View { view, started } => {
                *started = true;
                view.take(bytes, &mut |shown| stage.write(shown))?;
            }
            Self::Memory { bytes: all, max } => {
                if (all.len() + bytes.len()) as u64 > *max {
                    return Ok(false);
                }
                all.extend_from_slice(bytes);
            }
            Self::File { saver, used, .. } => {
                *used = true;
                saver.write(bytes)?;
            }
            Self::Small(small) => small.write(bytes),
        }
        Ok(true)
    }

    /// How a further try may go on.
    pub(super) fn again(&mut self) -> Result<Again> {
        let fresh = |fresh: bool| if fresh { Again::Fresh } else { Again::Never };
        self.settle()?;
        Ok(match self {
            Self::Undecided | Self::Nowhere | Self::Small(_) | Self::File { used: false, .. } => {
                Again::Fresh
            }
            Self::Memory { bytes, .. } => {
                bytes.clear();
                Again::Fresh
            }
            Self::View { started, .. } => fresh(!*started),
            Self::Stdout { had, plain } => match had {
                Had { bytes: 0, .. } => Again::Fresh,
                Had {
                    validator: Some(Validator::Tag(_)),
                    ..
                } if *plain => Again::From(had.clone()),
                _ => Again::Never,
            },
            Self::File { saver, plain, .. } => {
                let had = saver.had();
                // Within a run the bytes are known to be of this file.
                let is_worth = had.is_proved() || had.from() > 0;
                if had.bytes > 0 && is_worth && *plain && saver.is_seekable() {
                    return Ok(Again::From(had.clone()));
                }
                // A pipe has been written to; a part file begins again.
                fresh(saver.is_seekable() || had.bytes == 0)
            }
        })
    }
}
