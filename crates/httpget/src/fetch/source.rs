//! The body on its way in: counted, kept under its limits, slowed down or
//! given up as too slow, and decoded on request.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::report::{Stop, Trouble};
use crate::net::{self, BodyReader};

/// Bounds on a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// The most bytes, as sent and as decoded.
    pub(crate) max: Option<u64>,
    /// Bytes a second, at most.
    pub(crate) rate: Option<u64>,
    /// Bytes a second, at least, on average over this time.
    pub(crate) slow: Option<(u64, Duration)>,
}

/// The trouble with a body over `max` bytes.
pub(crate) fn too_large(max: u64) -> Trouble {
    Trouble::no("size", format!("the body is larger than {max} bytes"))
}

/// The window in which the speed is judged.
pub(super) struct Window {
    since: Instant,
    /// Bytes that had come before.
    bytes: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Judges it when its time is over, now that `bytes` have come in all.
    pub(super) fn judge(&mut self, bytes: u64, slow: Option<(u64, Duration)>) -> Result<(), Stop> {
        let Some((least, time)) = slow else {
            return Ok(());
        };
        let passed = self.since.elapsed();
        if passed < time {
            return Ok(());
        }
        let got = bytes - self.bytes;
        if (got as f64) < least as f64 * passed.as_secs_f64() {
            return Err(Stop {
                trouble: net::too_slow(least, time).into(),
                cut: true,
            });
        }
        *self = Self {
            since: Instant::now(),
            bytes,
        };
        Ok(())
    }
}

/// A body as it comes.
pub(crate) struct Source {
    body: BodyReader,
    limits: Limits,
    started: Instant,
    window: Window,
    /// Bytes that Content-Range promises, and what was there before them.
    span: Option<(u64, u64)>,
    /// Bytes so far.
    pub(crate) bytes: u64,
    /// Why reading ended early; an I/O error from [`Read`] stands for this.
    pub(crate) stop: Option<Stop>,
}

impl Source {
    pub(crate) fn new(body: BodyReader, limits: Limits) -> Self {
        Self {
            body,
            limits,
            started: Instant::now(),
            window: Window::new(),
            span: None,
            bytes: 0,
            stop: None,
        }
    }

    /// The body must have `length` bytes, however it is framed; `had` bytes
    /// were there before it.
    pub(super) fn expect(mut self, length: Option<u64>, had: u64) -> Self {
        self.span = length.map(|length| (length, had));
        self
    }

    /// Judges the bytes so far by the length that was promised.
    fn judge_span(&self, ended: bool) -> Result<(), Stop> {
        let Some((length, had)) = self.span else {
            return Ok(());
        };
        if self.bytes > length {
            let message = "the body is longer than its Content-Range";
            return Err(Trouble::protocol(message).into());
        }
        if ended && self.bytes < length {
            let message = format!(
                "the body was cut short: {} of {} bytes came",
                had.saturating_add(self.bytes),
                had.saturating_add(length)
            );
            return Err(Stop {
                trouble: Trouble::protocol(message),
                cut: true,
            });
        }
        Ok(())
    }

    /// Reads some bytes; 0 at the end.
    pub(super) fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let buffer = match self.limits.rate {
            // Small pieces, so that the pace is even.
            Some(rate) => {
                let most = usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1);
                let most = most.min(buffer.len());
                &mut buffer[..most]
            }
            None => buffer,
        };
        let n = self.body.read(buffer)?;
        self.bytes += n as u64;
        self.judge_span(n == 0 && !buffer.is_empty())?;
        if let Some(max) = self.limits.max
            && self.bytes > max
        {
            return Err(too_large(max).into());
        }
        if let Some(rate) = self.limits.rate
            && n > 0
        {
            let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(self.started.elapsed()));
        }
        if n > 0 {
            self.window.judge(self.bytes, self.limits.slow)?;
        }
        Ok(n)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pull(buffer).map_err(|stop| {
            let text = stop.trouble.message();
            self.stop = Some(stop);
            io::Error::other(text)
        })
    }
}
