//! An [`Io`] for unit tests that collects both output streams in one text.

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::Out;
use common::app::{Io, Reporter};

#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The streams of a run with the text that was written to them.
pub(crate) struct TestIo {
    pub(crate) io: Io,
    buffer: SharedBuffer,
}

impl TestIo {
    pub(crate) fn new() -> Self {
        let buffer = SharedBuffer::default();
        let report = Reporter::new("ping", Box::new(buffer.clone()));
        Self {
            io: Io::over(Out::new(Box::new(buffer.clone())), report),
            buffer,
        }
    }

    /// Returns the text that was written to both streams so far.
    pub(crate) fn text(&mut self) -> String {
        self.io.out.flush().unwrap();
        String::from_utf8(self.buffer.0.lock().unwrap().clone()).unwrap()
    }
}
