//! [`Output`]: the result of a finished program, with assertions.
//!
//! Assertions return `&Self` so that they can be chained. A failed assertion
//! prints the command, the status and both streams, so that the test log is
//! enough to understand it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The streams and the status of a finished program.
#[derive(Debug, Clone)]
#[must_use = "check the output, at least its status"]
pub struct Output {
    /// Standard output, unless it was redirected.
    pub stdout: Vec<u8>,
    /// Standard error, unless it was redirected.
    pub stderr: Vec<u8>,
    /// The exit status, unless a signal ended the program.
    pub code: Option<i32>,
    /// The signal that ended the program.
    pub signal: Option<i32>,
    /// The peak resident memory in bytes, if [`crate::Tool::measure_memory`] was
    /// called.
    pub peak_memory: Option<u64>,
    command: String,
}

impl Output {
    pub(crate) fn new(
        command: String,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        status: ExitStatus,
        peak_memory: Option<u64>,
    ) -> Self {
        Self {
            stdout,
            stderr,
            code: status.code(),
            signal: status.signal(),
            peak_memory,
            command,
        }
    }

    /// Asserts the exit status.
    #[track_caller]
    pub fn code(&self, expected: i32) -> &Self {
        assert!(
            self.code == Some(expected),
            "expected status {expected}\n{}",
            self.report()
        );
        self
    }

    /// Asserts that the resident memory of the program never reached `limit`
    /// bytes; needs [`crate::Tool::measure_memory`]. A program that ended before
    /// the first measurement counts as 0 bytes.
    #[track_caller]
    pub fn peak_memory_below(&self, limit: u64) -> &Self {
        let peak = self.peak_memory.unwrap_or(0);
        assert!(
            peak < limit,
            "peak memory of {peak} bytes, expected less than {limit}\n{}",
            self.report()
        );
        self
    }

    /// Asserts that this signal ended the program.
    #[track_caller]
    pub fn killed_by(&self, signal: i32) -> &Self {
        assert!(
            self.signal == Some(signal),
            "expected signal {signal}\n{}",
            self.report()
        );
        self
    }

    /// Asserts standard output, byte for byte.
    #[track_caller]
    pub fn stdout(&self, expected: &str) -> &Self {
        assert!(
            self.stdout == expected.as_bytes(),
            "stdout differs{}\n{}",
            difference(expected, &self.stdout),
            self.report()
        );
        self
    }

    /// Asserts standard error, byte for byte.
    #[track_caller]
    pub fn stderr(&self, expected: &str) -> &Self {
        assert!(
            self.stderr == expected.as_bytes(),
            "stderr differs{}\n{}",
            difference(expected, &self.stderr),
            self.report()
        );
        self
    }

    /// Asserts that standard output contains this text.
    #[track_caller]
    pub fn stdout_contains(&self, part: &str) -> &Self {
        assert!(
            String::from_utf8_lossy(&self.stdout).contains(part),
            "stdout lacks {part:?}\n{}",
            self.report()
        );
        self
    }

    /// Asserts that standard error contains this text.
    #[track_caller]
    pub fn stderr_contains(&self, part: &str) -> &Self {
        assert!(
            String::from_utf8_lossy(&self.stderr).contains(part),
            "stderr lacks {part:?}\n{}",
            self.report()
        );
        self
    }

    /// Returns standard output as text; panics if it is not UTF-8.
    #[track_caller]
    pub fn stdout_str(&self) -> &str {
        match std::str::from_utf8(&self.stdout) {
            Ok(text) => text,
            Err(error) => panic!("stdout is not UTF-8: {error}\n{}", self.report()),
        }
    }

    /// Returns standard error as text; panics if it is not UTF-8.
    #[track_caller]
    pub fn stderr_str(&self) -> &str {
        match std::str::from_utf8(&self.stderr) {
            Ok(text) => text,
            Err(error) => panic!("stderr is not UTF-8: {error}\n{}", self.report()),
        }
    }

    /// Returns the lines of standard output.
    #[track_caller]
    pub fn lines(&self) -> Vec<String> {
        self.stdout_str().lines().map(str::to_owned).collect()
    }

    /// Parses standard output as JSON Lines. Every line must be an object and its
    /// first key is `"type"`, and the last line must end with a newline.
    #[track_caller]
    pub fn json(&self) -> Vec<serde_json::Value> {
        let text = self.stdout_str();
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "the last line has no newline\n{}",
            self.report()
        );
        text.lines()
            .map(|line| {
                assert!(
                    line.starts_with(r#"{"type":""#),
                    "not an object that begins with its type: {line}\n{}",
                    self.report()
                );
                match serde_json::from_str(line) {
                    Ok(value) => value,
                    Err(error) => panic!("not JSON ({error}): {line}\n{}", self.report()),
                }
            })
            .collect()
    }

    /// Returns the command, status and streams, for a panic message.
    pub fn report(&self) -> String {
        let end = match (self.code, self.signal) {
            (Some(code), _) => format!("status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "no status".to_owned(),
        };
        format!(
            "command: {}\nended:   {end}\n{}",
            self.command,
            streams(&self.stdout, &self.stderr)
        )
    }
}

/// Formats both streams under headings.
pub(crate) fn streams(stdout: &[u8], stderr: &[u8]) -> String {
    format!(
        "--- stdout ({} bytes)\n{}\n--- stderr ({} bytes)\n{}\n---",
        stdout.len(),
        excerpt(stdout),
        stderr.len(),
        excerpt(stderr)
    )
}

/// Returns the text of a stream, without its middle part if it is long. Control
/// characters except the newline are escaped, since they often are the difference.
fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 8 * 1024;
    let show = |part: &[u8]| {
        String::from_utf8_lossy(part)
            .chars()
            .flat_map(|c| {
                let escape = c != '\n' && c.is_control();
                let escaped = escape.then(|| c.escape_default());
                escaped.into_iter().flatten().chain((!escape).then_some(c))
            })
            .collect::<String>()
    };
    if bytes.len() <= MAX {
        return show(bytes);
    }
    let (head, tail) = (&bytes[..MAX / 2], &bytes[bytes.len() - MAX / 2..]);
    format!(
        "{}\n[... {} bytes ...]\n{}",
        show(head),
        bytes.len() - MAX,
        show(tail)
    )
}

/// Describes the first line that differs.
fn difference(expected: &str, found: &[u8]) -> String {
    let found = String::from_utf8_lossy(found);
    let mut lines = expected.split_inclusive('\n');
    let mut others = found.split_inclusive('\n');
    let mut number = 0;
    loop {
        number += 1;
        let pair = (lines.next(), others.next());
        match pair {
            (None, None) => return " (in bytes that are not UTF-8)".to_owned(),
            (a, b) if a == b => {}
            (a, b) => {
                let text = |line: Option<&str>| {
                    line.map_or_else(|| "(nothing)".to_owned(), |line| format!("{line:?}"))
                };
                return format!(
                    " in line {number}\nexpected: {}\nfound:    {}",
                    text(a),
                    text(b)
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Tool;

    fn printed(text: &str) -> crate::Output {
        Tool::new("/usr/bin/printf").args(["%s", text]).run()
    }

    #[test]
    fn assertions_chain() {
        printed("a\nb\n")
            .code(0)
            .stdout("a\nb\n")
            .stdout_contains("b")
            .stderr("");
        assert_eq!(printed("a\nb\n").lines(), ["a", "b"]);
    }

    #[test]
    #[should_panic(expected = "in line 2\nexpected: \"c\\n\"\nfound:    \"b\\n\"")]
    fn a_difference_is_located() {
        printed("a\nb\n").stdout("a\nc\n");
    }

    #[test]
    fn json_lines_are_parsed() {
        let records = printed("{\"type\":\"x\",\"n\":1}\n{\"type\":\"y\"}\n").json();
        assert_eq!(records[0]["n"], 1);
        assert_eq!(records[1]["type"], "y");
    }

    #[test]
    #[should_panic(expected = "begins with its type: {\"n\":1}")]
    fn a_record_without_a_type_fails() {
        printed("{\"n\":1}\n").json();
    }
}
