//! Standard error: lines of the form `TOOL: text`, and the highest exit status
//! of the errors reported so far.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::exit::Exit;

/// Writes to standard error and remembers the highest status. Clones share the
/// stream and the status, so any thread may report.
#[derive(Clone)]
pub struct Reporter {
    tool: &'static str,
    stream: Arc<Mutex<Box<dyn Write + Send>>>,
    worst: Arc<AtomicU8>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("tool", &self.tool)
            .field("worst", &self.worst)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    /// Creates a reporter for `tool` that writes to `stream`.
    pub fn new(tool: &'static str, stream: Box<dyn Write + Send>) -> Self {
        Self {
            tool,
            stream: Arc::new(Mutex::new(stream)),
            worst: Arc::default(),
        }
    }

    /// Prints an error and remembers its status.
    pub fn error(&self, error: &Error) {
        self.raise(error.exit());
        self.line(error);
    }

    /// Prints `TOOL: text`: a warning or a note, which has no status.
    pub fn line(&self, text: impl fmt::Display) {
        self.raw(format!("{}: {text}\n", self.tool).as_bytes());
    }

    /// Writes bytes to standard error unchanged, with one write. A failure is
    /// ignored, since it cannot be reported anywhere.
    pub fn raw(&self, bytes: &[u8]) {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    }

    /// Remembers a status without printing anything.
    pub fn raise(&self, exit: Exit) {
        self.worst.fetch_max(exit.code(), Ordering::SeqCst);
    }

    /// Returns the highest status so far.
    pub fn worst(&self) -> Exit {
        match self.worst.load(Ordering::SeqCst) {
            0 => Exit::Success,
            1 => Exit::Negative,
            2 => Exit::LocalError,
            _ => Exit::Network,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use std::io;

    /// A stream with shared content.
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

    #[test]
    fn lines_start_with_the_name_of_the_tool() {
        let stream = SharedBuffer::default();
        let report = Reporter::new("sample", Box::new(stream.clone()));
        report.line("a note");
        assert_eq!(report.worst(), Exit::Success);
        report.error(&Error::input("x", "not an address"));
        report.raw(b"raw\n");
        assert_eq!(
            String::from_utf8_lossy(&stream.0.lock().unwrap()),
            "sample: a note\nsample: x: not an address\nraw\n"
        );
        assert_eq!(report.worst(), Exit::LocalError);
    }

    #[test]
    fn the_highest_status_of_all_clones_wins() {
        let report = Reporter::new("sample", Box::new(io::sink()));
        assert_eq!(report.worst(), Exit::Success);
        report.raise(Exit::Negative);
        assert_eq!(report.worst(), Exit::Negative);
        report.clone().error(&Error::new(Kind::Timeout, "x"));
        report.raise(Exit::Negative);
        assert_eq!(report.worst(), Exit::Network);
    }
}
