//! Standard output: buffered, flushed explicitly, with every error reported.
//!
//! Rust ignores SIGPIPE, so a write to a closed pipe fails. [`Error::is_stdout_closed`]
//! is true for that failure, and [`crate::app::run`] then ends the tool without a
//! message and with status 0. Any other failure, such as a full disk, is an error
//! of kind `system`, also at the last flush.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::json;

/// The size of the buffer in bytes. A full buffer is written, but the
/// stream is not flushed.
const BUFFER_SIZE: usize = 64 * 1024;

/// A buffered writer of lines and records.
pub struct Out {
    inner: Box<dyn Write + Send>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out")
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

impl Out {
    /// Creates a writer for this stream.
    pub fn new(inner: Box<dyn Write + Send>) -> Self {
        Self {
            inner,
            buffer: Vec::with_capacity(BUFFER_SIZE),
        }
    }

    /// Appends bytes to the buffer.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_SIZE {
            self.flush_buffer()?;
        }
        if bytes.len() >= BUFFER_SIZE {
            return self.inner.write_all(bytes).map_err(|e| Error::stdout(&e));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a line and its newline.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<()> {
        // Only the formatting of `text` can fail, not a write to a Vec.
        writeln!(self.buffer, "{text}").map_err(|e| Error::stdout(&e))?;
        self.flush_if_full()
    }

    /// Appends a JSON object as a line.
    pub fn json(&mut self, record: &impl Serialize) -> Result<()> {
        json::write_line(&mut self.buffer, record).map_err(|e| Error::stdout(&e))?;
        self.flush_if_full()
    }

    /// Returns the buffer, for code that formats records itself and calls
    /// [`Out::flush_if_full`] after each of them.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer if it is full.
    pub fn flush_if_full(&mut self) -> Result<()> {
        if self.buffer.len() >= BUFFER_SIZE {
            self.flush_buffer()?;
        }
        Ok(())
    }

    /// Writes the buffer and flushes the stream. Call it before any wait.
    pub fn flush(&mut self) -> Result<()> {
        self.flush_buffer()?;
        self.inner.flush().map_err(|e| Error::stdout(&e))
    }

    fn flush_buffer(&mut self) -> Result<()> {
        let outcome = self.inner.write_all(&self.buffer);
        // Cleared even after a failure, so that no byte is written twice.
        self.buffer.clear();
        outcome.map_err(|e| Error::stdout(&e))
    }
}

/// For renderers that write to `impl Write`. I/O errors keep their kind, so the
/// conversion to [`Error`] can distinguish a closed pipe from a full disk.
impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_SIZE {
            let outcome = self.inner.write_all(&self.buffer);
            self.buffer.clear();
            outcome?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.inner.write_all(&self.buffer);
        self.buffer.clear();
        outcome?;
        self.inner.flush()
    }
}

/// Converts an I/O error of a renderer, which writes only to [`Out`]. Errors of
/// other I/O are converted with [`Error::network`] and [`Error::local`].
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::stdout(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct FailingStream(io::ErrorKind);

    impl Write for FailingStream {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn records_are_written_completely_and_in_order() {
        let stream = SharedBuffer::default();
        let mut out = Out::new(Box::new(stream.clone()));
        out.line("one").unwrap();
        out.bytes(&vec![b'x'; BUFFER_SIZE]).unwrap();
        out.bytes(b"\n").unwrap();
        write!(out, "two").unwrap();
        out.flush().unwrap();
        let got = stream.0.lock().unwrap().clone();
        assert_eq!(got.len(), 4 + BUFFER_SIZE + 1 + 3);
        assert!(got.starts_with(b"one\nx") && got.ends_with(b"x\ntwo"));
    }

    #[test]
    fn a_closed_pipe_is_distinguished_from_a_full_disk() {
        let mut out = Out::new(Box::new(FailingStream(io::ErrorKind::BrokenPipe)));
        out.line("x").unwrap();
        assert!(out.flush().unwrap_err().is_stdout_closed());
        let mut out = Out::new(Box::new(FailingStream(io::ErrorKind::StorageFull)));
        out.line("x").unwrap();
        let error = out.flush().unwrap_err();
        assert!(!error.is_stdout_closed());
        assert_eq!(error.exit(), crate::Exit::LocalError);
        assert!(error.to_string().starts_with("standard output: "));
    }

    #[test]
    fn memory_is_bounded_without_a_flush() {
        let writers: [fn(&mut Out); 4] = [
            |out| out.line("0123456789").unwrap(),
            |out| out.json(&"0123456789").unwrap(),
            |out| out.bytes(b"0123456789").unwrap(),
            |out| out.write_all(b"0123456789").unwrap(),
        ];
        for write in writers {
            let stream = SharedBuffer::default();
            let mut out = Out::new(Box::new(stream.clone()));
            for _ in 0..20_000 {
                write(&mut out);
                assert!(out.buffer.len() <= BUFFER_SIZE + 16);
            }
            out.flush().unwrap();
            let length = stream.0.lock().unwrap().len();
            assert!((200_000..=260_000).contains(&length), "{length}");
        }
    }

    /// Fails the first write, and every flush.
    struct FailsOnce(SharedBuffer, bool);

    impl Write for FailsOnce {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if std::mem::take(&mut self.1) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn bytes_are_not_written_again_after_a_failure() {
        for through_write in [false, true] {
            let stream = SharedBuffer::default();
            let mut out = Out::new(Box::new(FailsOnce(stream.clone(), true)));
            out.bytes(b"lost").unwrap();
            assert!(out.flush_buffer().is_err());
            if through_write {
                out.write_all(b"kept").unwrap();
            } else {
                out.bytes(b"kept").unwrap();
            }
            // The stream takes the bytes, but fails to flush them.
            let flushed = if through_write {
                Write::flush(&mut out).is_err()
            } else {
                out.flush().is_err()
            };
            assert!(flushed);
            assert_eq!(*stream.0.lock().unwrap(), b"kept");
        }
    }
}
