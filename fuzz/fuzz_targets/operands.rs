//! Operands of a stream: they do not depend on the sizes of the reads, and are
//! never empty, a comment or more than one line.
#![no_main]

use std::io::{self, Read};

use common::operands::Lines;
use libfuzzer_sys::fuzz_target;

/// A reader that returns at most `step` bytes per read.
struct Chunked {
    bytes: Vec<u8>,
    position: usize,
    step: usize,
}

impl Read for Chunked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(buffer.len()).min(self.bytes.len() - self.position);
        buffer[..n].copy_from_slice(&self.bytes[self.position..self.position + n]);
        self.position += n;
        Ok(n)
    }
}

fn read(bytes: &[u8], step: usize) -> Vec<Result<(String, u64), String>> {
    let reader = Chunked {
        bytes: bytes.to_vec(),
        position: 0,
        step,
    };
    Lines::new("-", Box::new(reader))
        .map(|item| match item {
            Ok(operand) => Ok((operand.text, operand.origin.map_or(0, |o| o.line))),
            Err(error) => Err(error.to_string()),
        })
        .collect()
}

fuzz_target!(|bytes: &[u8]| {
    let expected = read(bytes, usize::MAX);
    assert_eq!(expected, read(bytes, 1));
    assert_eq!(expected, read(bytes, 7));
    let mut last = 0;
    for (text, line) in expected.iter().flatten() {
        assert!(!text.is_empty() && text.trim() == text);
        assert!(!text.starts_with(['#', ';', '\u{feff}']) && !text.contains('\n'));
        assert!(*line > last, "more than one operand per line, or out of order");
        last = *line;
    }
});
