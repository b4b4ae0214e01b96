//! Tests of the frame with streams in memory.

use super::*;
use std::sync::{Arc, Mutex};

/// A sample command line
#[derive(Parser)]
#[command(name = "sample", disable_help_flag = true, disable_version_flag = true)]
#[command(version = "1")]
struct Sample {
    #[allow(dead_code, reason = "only the usage of it is read")]
    target: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Cli for Sample {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// A stream with shared content. Writes fail with `error` if it is set.
#[derive(Clone, Default)]
struct Stream {
    content: Arc<Mutex<Vec<u8>>>,
    error: Option<io::ErrorKind>,
}

impl Stream {
    fn failing(error: io::ErrorKind) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.content.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.error {
            Some(error) => Err(error.into()),
            None => self.content.lock().unwrap().write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A run of `sample` with these streams.
fn sample(stdout: &Stream, stderr: &Stream) -> Io {
    let mut io = Io::over(
        Out::new(Box::new(stdout.clone())),
        Reporter::new("sample", Box::new(stderr.clone())),
    );
    io.args = vec!["sample".into()];
    io.usage = usage::usage_hint::<Sample>;
    io.help = usage::help_command::<Sample>;
    io
}

fn args(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

#[test]
fn without_operands_only_a_filter_reads_stdin() {
    let mut io = sample(&Stream::default(), &Stream::default());
    io.terminal.stdin = true;
    let error = io.operands(&[], "a target").unwrap_err();
    assert_eq!(
        error.to_string(),
        "a target is missing; usage: sample [OPTIONS] [TARGET]...; see 'sample --help'"
    );
    assert_eq!(error.exit(), Exit::LocalError);
    assert!(io.operands_or_stdin(&[], "a target").is_err());
    let one = ["x".to_owned()];
    let mut operands = io.operands_or_stdin(&one, "a target").unwrap();
    assert_eq!(operands.next().unwrap().unwrap().text, "x");
    io.terminal.stdin = false;
    assert!(io.operands(&[], "a target").is_err());
    assert!(io.operands_or_stdin(&[], "a target").is_ok());
}

#[test]
fn the_highest_status_of_the_run_is_the_final_one() {
    for (reported, returned, expected) in [
        (Exit::Success, Exit::Negative, Exit::Negative),
        (Exit::Network, Exit::Success, Exit::Network),
        (Exit::Negative, Exit::LocalError, Exit::LocalError),
    ] {
        let mut io = sample(&Stream::default(), &Stream::default());
        io.report.raise(reported);
        assert_eq!(finish(Ok(returned), &mut io), expected);
    }
}

#[test]
fn the_last_error_is_reported_and_output_is_flushed() {
    let (stdout, stderr) = (Stream::default(), Stream::default());
    let mut io = sample(&stdout, &stderr);
    io.records = "error: A failure.\n    seq  integer?  The number.\n";
    io.json = true;
    io.out.line("before").unwrap();
    let exit = finish(Err(Error::input("x", "not an address")), &mut io);
    assert_eq!(exit, Exit::LocalError);
    assert_eq!(stderr.text(), "sample: x: not an address\n");
    let start = "before\n{\"type\":\"error\",\"target\":\"x\",\"kind\":\"input\",\
                 \"message\":\"not an address\",\"seq\":null,\"time\":";
    assert!(stdout.text().starts_with(start), "{}", stdout.text());
}

#[test]
fn a_usage_error_points_to_the_help_once() {
    for (error, line) in [
        (Error::usage("bad"), "sample: bad; see 'sample --help'\n"),
        (
            Error::usage("bad").hint("see 'sample x --help'"),
            "sample: bad; see 'sample x --help'\n",
        ),
        (Error::new(Kind::Input, "bad"), "sample: bad\n"),
    ] {
        let stderr = Stream::default();
        let mut io = sample(&Stream::default(), &stderr);
        assert_eq!(finish(Err(error), &mut io), Exit::LocalError);
        assert_eq!(stderr.text(), line);
    }
}

#[test]
fn a_closed_stdout_ends_a_run_quietly_and_a_full_disk_does_not() {
    for (error, status, line) in [
        (io::ErrorKind::BrokenPipe, Exit::Success, ""),
        (
            io::ErrorKind::StorageFull,
            Exit::LocalError,
            "sample: standard output: no storage space\n",
        ),
    ] {
        let stderr = Stream::default();
        let mut io = sample(&Stream::failing(error), &stderr);
        io.out.line("x").unwrap();
        assert_eq!(finish(Ok(Exit::Success), &mut io), status);
        assert_eq!(stderr.text(), line);
        // The same error, if the run has already met it.
        let mut io = sample(&Stream::failing(error), &Stream::default());
        io.report.raise(Exit::Network);
        let outcome = Err(Error::stdout(&error.into()));
        let expected = if line.is_empty() {
            Exit::Success
        } else {
            Exit::Network
        };
        assert_eq!(finish(outcome, &mut io), expected);
    }
}

#[test]
fn the_version_needs_no_definition() {
    for line in ["sample -V", "sample --version"] {
        assert!(only_version(&args(line)), "{line}");
    }
    for line in ["sample", "sample -v", "sample -V x", "-V"] {
        assert!(!only_version(&args(line)), "{line}");
    }
}

#[test]
fn a_repeated_option_replaces_its_earlier_value() {
    let parsed = parse(&args("sample --color never --color always")).unwrap();
    let Parsed::<Sample>::Run(cli) = parsed else {
        panic!("--generate was not given");
    };
    assert_eq!(cli.common.color, crate::color::ColorChoice::Always);
}

#[test]
fn help_is_data_and_a_parse_error_is_one_line() {
    let stdout = Stream::default();
    let mut io = sample(&stdout, &Stream::default());
    let error = parse::<Sample>(&args("sample --help")).err().unwrap();
    assert_eq!(
        handle_parse_error::<Sample>(&error, &mut io),
        Ok(Exit::Success)
    );
    io.out.flush().unwrap();
    assert!(stdout.text().contains("Usage: sample"), "{}", stdout.text());
    let error = parse::<Sample>(&args("sample --jsn")).err().unwrap();
    let error = handle_parse_error::<Sample>(&error, &mut io).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(
        error.to_string(),
        "unknown option '--jsn'; a similar argument exists: '--json'; \
         see 'sample --help'"
    );
}

#[test]
fn the_version_is_one_line() {
    let stdout = Stream::default();
    let mut io = sample(&stdout, &Stream::default());
    assert_eq!(print_version("sample", &mut io).unwrap(), Exit::Success);
    io.out.flush().unwrap();
    let expected = format!("sample {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout.text(), expected);
}
