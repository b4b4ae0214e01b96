//! The JSON format: one object per line for each record.

use common::Result;
use common::app::Io;

use super::record_stream::Encoding;
use super::records::Record;

/// Writes records as JSON Lines.
#[derive(Debug)]
pub(super) struct Json;

impl Encoding for Json {
    fn write(&mut self, io: &mut Io, record: &Record) -> Result<()> {
        io.out.json(record)
    }
}
