//! Standard output: buffered, flushed by record, and honest about its end.
//!
//! Rust ignores SIGPIPE, so a reader that has gone shows as an error of the
//! write. Here it becomes an [`Error`] that says so, and [`crate::app::run`]
//! ends the tool quietly with status 0. Any other failure, such as a full
//! disk, is an ordinary error of kind `system`, also at the last flush.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::json;

/// Bytes collected before they are written without being asked to.
const CAPACITY: usize = 64 * 1024;

/// A buffered writer of records.
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
    /// Wraps the stream that takes the data.
    pub fn new(inner: Box<dyn Write + Send>) -> Self {
        Self {
            inner,
            buffer: Vec::with_capacity(CAPACITY),
        }
    }

    /// Adds bytes; written when the buffer is full or [`Out::flush`] is called.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > CAPACITY {
            self.flush_buffer()?;
        }
        if bytes.len() >= CAPACITY {
            return self.inner.write_all(bytes).map_err(|e| Error::stdout(&e));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds one line; the newline is added here.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<()> {
        // A Vec takes everything; only `text` itself could refuse.
        writeln!(self.buffer, "{text}").map_err(|e| Error::stdout(&e))?;
        self.flush_if_full()
    }

    /// Adds one JSON object as a line.
    pub fn json(&mut self, record: &impl Serialize) -> Result<()> {
        json::write_line(&mut self.buffer, record).map_err(|e| Error::stdout(&e))?;
        self.flush_if_full()
    }

    /// The buffer itself, for code that formats by hand; call
    /// [`Out::flush_if_full`] after each record.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer when it has grown to its capacity.
    pub fn flush_if_full(&mut self) -> Result<()> {
        if self.buffer.len() >= CAPACITY {
            self.flush_buffer()?;
        }
        Ok(())
    }

    /// Hands everything to the system. Call it before waiting for anything.
    pub fn flush(&mut self) -> Result<()> {
        self.flush_buffer()?;
        self.inner.flush().map_err(|e| Error::stdout(&e))
    }

    fn flush_buffer(&mut self) -> Result<()> {
        let outcome = self.inner.write_all(&self.buffer);
        // Also after a failure: the same bytes must not be tried twice.
        self.buffer.clear();
        outcome.map_err(|e| Error::stdout(&e))
    }
}

/// For renderers that write to `impl Write`. Errors of the stream keep their
/// kind, so [`From<io::Error>`] below tells a closed pipe from a full disk.
impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > CAPACITY {
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

/// An I/O error met with `?` is one of writing records: renderers write to
/// nothing but [`Out`]. Other I/O is mapped by [`Error::network`] and
/// [`Error::local`] by name.
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
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn records_arrive_whole_and_in_order() {
        let sink = Sink::default();
        let mut out = Out::new(Box::new(sink.clone()));
        out.line("one").unwrap();
        out.bytes(&vec![b'x'; CAPACITY]).unwrap();
        out.bytes(b"\n").unwrap();
        write!(out, "two").unwrap();
        out.flush().unwrap();
        let got = sink.0.lock().unwrap().clone();
        assert_eq!(got.len(), 4 + CAPACITY + 1 + 3);
        assert!(got.starts_with(b"one\nx") && got.ends_with(b"x\ntwo"));
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let mut out = Out::new(Box::new(Broken(io::ErrorKind::BrokenPipe)));
        out.line("x").unwrap();
        assert!(out.flush().unwrap_err().is_stdout_closed());
        let mut out = Out::new(Box::new(Broken(io::ErrorKind::StorageFull)));
        out.line("x").unwrap();
        let error = out.flush().unwrap_err();
        assert!(!error.is_stdout_closed());
        assert_eq!(error.exit(), crate::Exit::Fault);
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
            let sink = Sink::default();
            let mut out = Out::new(Box::new(sink.clone()));
            for _ in 0..20_000 {
                write(&mut out);
                assert!(out.buffer.len() <= CAPACITY + 16);
            }
            out.flush().unwrap();
            let length = sink.0.lock().unwrap().len();
            assert!((200_000..=260_000).contains(&length), "{length}");
        }
    }

    /// Fails the first write, and every flush.
    struct FailsOnce(Sink, bool);

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
            let sink = Sink::default();
            let mut out = Out::new(Box::new(FailsOnce(sink.clone(), true)));
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
            assert_eq!(*sink.0.lock().unwrap(), b"kept");
        }
    }
}
