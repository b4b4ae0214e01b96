//! Operands from a stream: the same whatever the sizes of the reads, and
//! never blank, a comment, or more than a line.
#![no_main]

use std::io::{self, Read};

use common::operands::Lines;
use libfuzzer_sys::fuzz_target;

/// Hands out at most `step` bytes a read.
struct Slow {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(buffer.len()).min(self.bytes.len() - self.at);
        buffer[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn read(bytes: &[u8], step: usize) -> Vec<Result<(String, u64), String>> {
    let reader = Slow {
        bytes: bytes.to_vec(),
        at: 0,
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
    let whole = read(bytes, usize::MAX);
    assert_eq!(whole, read(bytes, 1));
    assert_eq!(whole, read(bytes, 7));
    let mut last = 0;
    for (text, line) in whole.iter().flatten() {
        assert!(!text.is_empty() && text.trim() == text);
        assert!(!text.starts_with(['#', ';', '\u{feff}']) && !text.contains('\n'));
        assert!(*line > last, "one operand a line, in order");
        last = *line;
    }
});
