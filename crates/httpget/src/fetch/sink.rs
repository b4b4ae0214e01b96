//! The destination of a body during a transfer, and what a retry can do with it.

use std::path::PathBuf;

use common::Result;

use super::memory_file::MemoryFile;
use super::output_file::OutputFile;
use super::stdout::TransferOutput;
use crate::http::content_range;
use crate::http::date::Seconds;
use crate::http::head::Head;
use crate::output::view::View;
use crate::policy::resume::{self, PartialDownload, Validator};

/// The destination of the bytes of a body.
#[derive(Debug)]
pub(super) enum Sink {
    /// No response has been received yet.
    Undecided,
    /// The body is discarded: of HEAD, or of an error without a destination.
    Discard,
    /// Standard output, which receives the body unchanged.
    Stdout {
        /// The bytes written, and how they can be continued.
        written: PartialDownload,
        /// Whether offsets in the body are offsets in the output.
        is_resumable: bool,
    },
    /// Standard output, rendered for a terminal.
    View { view: View, is_started: bool },
    /// Memory, for the JSON record or for `--pointer`.
    Memory { bytes: Vec<u8>, max: u64 },
    /// A file, through a partial file.
    File {
        file: OutputFile,
        /// Whether this run has started to write it.
        is_started: bool,
        is_resumable: bool,
    },
    /// A file that is written when its body is complete.
    MemoryFile(MemoryFile),
}

/// How a retry can treat the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RetrySupport {
    /// Continue after these bytes.
    Continue(PartialDownload),
    /// Start from the beginning.
    Restart,
    /// No retry: printed bytes can neither be undone nor continued.
    Impossible,
}

impl Sink {
    pub(super) fn new_file(file: OutputFile) -> Self {
        Self::File {
            file,
            is_started: false,
            is_resumable: true,
        }
    }

    /// Returns the sink of a body on standard output, of which `written` bytes have
    /// been written.
    pub(super) fn new_stdout(head: &Head, is_resumable: bool, written: u64) -> Self {
        Self::Stdout {
            written: PartialDownload {
                bytes: written,
                validator: Validator::of(head),
                total: match head.status {
                    206 => content_range::of(head).and_then(|range| range.total),
                    _ => head.content_length().ok().flatten(),
                },
                coding: Some(resume::coding(head)),
                ..PartialDownload::default()
            },
            is_resumable,
        }
    }

    /// Whether the body has a destination that was used.
    pub(super) fn has_destination(&self) -> bool {
        !matches!(
            self,
            Self::Undecided
                | Self::File {
                    is_started: false,
                    ..
                }
        )
    }

    /// Whether the sink has received a body.
    pub(super) fn holds_body(&self) -> bool {
        self.has_destination() && !matches!(self, Self::Discard)
    }

    /// Moves a body in memory to a partial file, which is continued or removed
    /// like any other.
    pub(super) fn spill_to_file(&mut self) -> Result<()> {
        if matches!(self, Self::MemoryFile(_))
            && let Self::MemoryFile(memory_file) = std::mem::replace(self, Self::Discard)
        {
            *self = Self::File {
                file: memory_file.into_output_file()?,
                is_started: true,
                is_resumable: true,
            };
        }
        Ok(())
    }

    /// Whether bytes have been printed, which cannot be undone.
    pub(super) fn has_printed(&self) -> bool {
        match self {
            Self::Stdout { written, .. } => written.bytes > 0,
            Self::View { is_started, .. } => *is_started,
            _ => false,
        }
    }

    /// Writes a piece of the body; returns false if it exceeds the memory limit.
    pub(super) fn write(&mut self, bytes: &[u8], output: &mut TransferOutput<'_>) -> Result<bool> {
        match self {
            Self::Undecided | Self::Discard => {}
            Self::Stdout { written, .. } => {
                written.bytes += bytes.len() as u64;
                output.write(bytes)?;
            }
            Self::View { view, is_started } => {
                *is_started = true;
                view.push(bytes, &mut |shown| output.write(shown))?;
            }
            Self::Memory { bytes: held, max } => {
                if (held.len() + bytes.len()) as u64 > *max {
                    return Ok(false);
                }
                held.extend_from_slice(bytes);
            }
            Self::File {
                file, is_started, ..
            } => {
                *is_started = true;
                file.write(bytes)?;
            }
            Self::MemoryFile(memory_file) => memory_file.write(bytes),
        }
        Ok(true)
    }

    /// Renames a complete and verified file, which gets the time `modified`. Returns its
    /// name; `None` if the body is not saved.
    pub(super) fn save(&mut self, modified: Option<Seconds>) -> Result<Option<PathBuf>> {
        match std::mem::replace(self, Self::Discard) {
            Self::File {
                file,
                is_started: true,
                ..
            } => file.finish(modified).map(Some),
            Self::MemoryFile(memory_file) => memory_file.finish(modified).map(Some),
            other => {
                *self = other;
                Ok(None)
            }
        }
    }

    /// Ends the sink after the last attempt. Keeps a partial file for a later run,
    /// unless it `removes` it, and returns a body in memory.
    pub(super) fn close(mut self, removes: bool) -> Result<Option<Vec<u8>>> {
        self.spill_to_file()?;
        match self {
            // A complete file has been renamed and is no longer a sink.
            Self::File {
                file, is_started, ..
            } => {
                if is_started {
                    file.abandon(removes)?;
                } else {
                    file.discard_unused()?;
                }
                Ok(None)
            }
            Self::Memory { bytes, .. } => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// Returns how a retry can treat the output.
    pub(super) fn retry_support(&mut self) -> Result<RetrySupport> {
        let restart_if = |possible: bool| {
            if possible {
                RetrySupport::Restart
            } else {
                RetrySupport::Impossible
            }
        };
        self.spill_to_file()?;
        Ok(match self {
            Self::Undecided
            | Self::Discard
            | Self::MemoryFile(_)
            | Self::File {
                is_started: false, ..
            } => RetrySupport::Restart,
            Self::Memory { bytes, .. } => {
                bytes.clear();
                RetrySupport::Restart
            }
            Self::View { is_started, .. } => restart_if(!*is_started),
            Self::Stdout {
                written,
                is_resumable,
            } => match written {
                PartialDownload { bytes: 0, .. } => RetrySupport::Restart,
                PartialDownload {
                    validator: Some(Validator::Tag(_)),
                    ..
                } if *is_resumable => RetrySupport::Continue(written.clone()),
                _ => RetrySupport::Impossible,
            },
            Self::File {
                file, is_resumable, ..
            } => {
                let written = file.partial();
                // Within a run, the bytes are known to belong to this file.
                let is_proved = written.has_strong_validator() || written.resume_offset() > 0;
                if written.bytes > 0 && is_proved && *is_resumable && file.is_seekable() {
                    return Ok(RetrySupport::Continue(written.clone()));
                }
                // A pipe cannot be truncated; a partial file can.
                restart_if(file.is_seekable() || written.bytes == 0)
            }
        })
    }
}
