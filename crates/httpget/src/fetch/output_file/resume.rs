//! The bytes of an earlier download: finds, reads and continues them.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use common::{Error, Kind, Result};

use super::OutputFile;
use crate::fetch::paths::{file_error, partial_path};
use crate::policy::resume::PartialDownload;
use crate::policy::state_file;

/// The result of looking for an earlier download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EarlierDownload {
    /// A partial download that can be continued.
    Found(PartialDownload),
    /// A partial file without proof that the rest belongs to it.
    Unverifiable,
    None,
}

impl OutputFile {
    /// Looks for a partial file of an earlier run, and then for the final file. A
    /// partial file without a validator counts only if the body has a `digest`.
    pub(crate) fn find_earlier(&self, digest: bool) -> Result<EarlierDownload> {
        let Some(partial_file) = self.partial_file() else {
            return Ok(EarlierDownload::None);
        };
        let length = self.length()?;
        let state = partial_file.state()?;
        let partial = state
            .as_deref()
            .and_then(|state| state_file::parse(state, &self.url_id, length));
        let mut is_unproved = false;
        match partial {
            Some(partial) if partial.validator.is_some() || digest => {
                return Ok(EarlierDownload::Found(partial));
            }
            Some(_) => is_unproved = true,
            None => {}
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() && meta.len() > 0 => {
                Ok(EarlierDownload::Found(PartialDownload {
                    bytes: meta.len(),
                    in_final_file: true,
                    ..PartialDownload::default()
                }))
            }
            _ if is_unproved => Ok(EarlierDownload::Unverifiable),
            _ => Ok(EarlierDownload::None),
        }
    }

    /// Returns the last `length` bytes of the partial download.
    pub(crate) fn read_tail(&self, length: u64) -> Result<Vec<u8>> {
        let mut tail = vec![0; length as usize];
        let read = self
            .file()
            .read_exact_at(&mut tail, self.partial.bytes - length);
        read.map_err(|e| self.file_error(&e))?;
        Ok(tail)
    }

    /// Continues a partial download of an earlier run or attempt. Passes the existing
    /// bytes to `observe`, for the digest.
    pub(crate) fn resume(
        &mut self,
        partial: &PartialDownload,
        mut observe: impl FnMut(&[u8]),
    ) -> Result<()> {
        if partial.in_final_file {
            // The partial file starts as a copy of the final file. An old state file
            // must not describe the copy.
            let mut whole = File::open(&self.path).map_err(|e| file_error(&e, &self.path))?;
            let meta = whole.metadata().map_err(|e| file_error(&e, &self.path))?;
            if meta.len() < partial.bytes {
                let message = format!("has only {} of {} bytes", meta.len(), partial.bytes);
                return Err(
                    Error::new(Kind::System, message).with_subject(self.path.display().to_string())
                );
            }
            if let Some(partial_file) = self.partial_file() {
                let nothing = PartialDownload::default();
                partial_file.write_state(&state_file::format(&nothing, &self.url_id, None))?;
            }
            self.truncate()?;
            let copied = io::copy(&mut (&mut whole).take(partial.bytes), &mut self.file())
                .map_err(|e| self.file_error(&e))?;
            if copied != partial.bytes {
                return Err(Error::new(
                    Kind::System,
                    "was truncated by another process during the download",
                )
                .with_subject(self.path.display().to_string()));
            }
        } else if self.length()? < partial.bytes {
            return Err(Error::new(
                Kind::System,
                "was truncated by another process during the download",
            )
            .with_subject(partial_path(&self.path, 0).display().to_string()));
        }
        self.file()
            .set_len(partial.bytes)
            .map_err(|e| self.file_error(&e))?;
        self.read_existing(&mut observe)?;
        self.partial = PartialDownload {
            in_final_file: false,
            is_exact: false,
            ..partial.clone()
        };
        self.save_state()?;
        let total = partial.total.unwrap_or(0);
        self.check_free_space(total.saturating_sub(partial.bytes))
    }

    /// Passes the existing bytes to `observe`, and seeks to their end.
    pub(crate) fn read_existing(&mut self, observe: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut file = self.file();
        file.seek(SeekFrom::Start(0))
            .map_err(|e| self.file_error(&e))?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => observe(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.file_error(&e)),
            }
        }
    }
}
