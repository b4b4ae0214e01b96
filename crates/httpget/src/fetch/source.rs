//! The received body: counted, checked against its length, limited in size and
//! speed.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::net::{self, BodyReader};
use crate::policy::limits::Limits;
use crate::report::{AttemptError, FetchError};

/// Returns the error of a body that is larger than `max` bytes.
pub(crate) fn too_large(max: u64) -> FetchError {
    FetchError::negative(
        "size",
        format!("the body is larger than {max} bytes (--max-filesize)"),
    )
}

/// The period over which the speed is measured.
pub(super) struct SpeedWindow {
    since: Instant,
    /// The bytes received before the period.
    bytes: u64,
}

impl SpeedWindow {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Checks the speed at the end of the period; `bytes` is the total received.
    pub(super) fn check(
        &mut self,
        bytes: u64,
        min_speed: Option<(u64, Duration)>,
    ) -> Result<(), AttemptError> {
        let Some((least, time)) = min_speed else {
            return Ok(());
        };
        let passed = self.since.elapsed();
        if passed < time {
            return Ok(());
        }
        let got = bytes - self.bytes;
        if (got as f64) < least as f64 * passed.as_secs_f64() {
            return Err(AttemptError {
                error: net::speed_error(least, time).into(),
                is_cut: true,
            });
        }
        *self = Self {
            since: Instant::now(),
            bytes,
        };
        Ok(())
    }
}

/// A reader of a body that enforces its limits.
pub(crate) struct BodySource {
    body: BodyReader,
    limits: Limits,
    started: Instant,
    window: SpeedWindow,
    /// The length by Content-Range, and the offset of its first byte.
    expected: Option<(u64, u64)>,
    /// The number of bytes received.
    pub(crate) bytes: u64,
    /// The error that ended the body; [`Read`] returns a placeholder for it.
    pub(crate) error: Option<AttemptError>,
}

impl BodySource {
    pub(crate) fn new(body: BodyReader, limits: Limits) -> Self {
        Self {
            body,
            limits,
            started: Instant::now(),
            window: SpeedWindow::new(),
            expected: None,
            bytes: 0,
            error: None,
        }
    }

    /// Sets the exact length of the body, regardless of its framing, and its offset in the
    /// representation.
    pub(super) fn expect_length(mut self, length: Option<u64>, offset: u64) -> Self {
        self.expected = length.map(|length| (length, offset));
        self
    }

    /// Checks the bytes received against the exact length.
    fn check_length(&self, ended: bool) -> Result<(), AttemptError> {
        let Some((length, offset)) = self.expected else {
            return Ok(());
        };
        if self.bytes > length {
            let message = "the body is longer than its Content-Range";
            return Err(FetchError::protocol(message).into());
        }
        if ended && self.bytes < length {
            let message = format!(
                "the body was cut short: {} of {} bytes received",
                offset.saturating_add(self.bytes),
                offset.saturating_add(length)
            );
            return Err(AttemptError {
                error: FetchError::protocol(message),
                is_cut: true,
            });
        }
        Ok(())
    }

    /// Reads some bytes; returns 0 at the end.
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, AttemptError> {
        let buffer = match self.limits.max_rate {
            // Small reads keep the speed steady.
            Some(rate) => {
                let most = usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1);
                let most = most.min(buffer.len());
                &mut buffer[..most]
            }
            None => buffer,
        };
        let n = self.body.read(buffer)?;
        self.bytes += n as u64;
        self.check_length(n == 0 && !buffer.is_empty())?;
        if let Some(max) = self.limits.max_bytes
            && self.bytes > max
        {
            return Err(too_large(max).into());
        }
        if let Some(rate) = self.limits.max_rate
            && n > 0
        {
            let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(self.started.elapsed()));
        }
        if n > 0 {
            self.window.check(self.bytes, self.limits.min_speed)?;
        }
        Ok(n)
    }
}

impl Read for BodySource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(|error| {
            let text = error.error.message();
            self.error = Some(error);
            io::Error::other(text)
        })
    }
}
