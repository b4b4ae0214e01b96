//! The frame around every tool: it parses the command line, runs the tool,
//! reports errors and returns the exit status.
//!
//! Only this module touches the process: its arguments, environment and
//! standard streams. The code of a tool gets an [`Io`] and returns a
//! [`Result`]; it neither prints nor exits. [`reporter`] writes to standard
//! error, [`usage`] describes command lines that do not parse.

mod reporter;
mod usage;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::color::ColorEnv;
use crate::error::{Error, Kind, Result};
use crate::exit::Exit;
use crate::generate::{self, Generate};
use crate::operands::Operands;
use crate::options::Common;
use crate::out::Out;

pub use reporter::Reporter;

/// A tool's command line: a clap struct that holds the [`Common`] options.
pub trait Cli: Parser {
    /// Returns the flattened [`Common`] options.
    fn common(&self) -> &Common;

    /// Returns a definition that is enough to parse these arguments. A tool
    /// with many subcommands builds only the ones that are named: building all
    /// of them would take longer than most runs. Arguments that do not parse
    /// are parsed again with the complete definition.
    fn command_for(_args: &[OsString]) -> clap::Command {
        Self::command()
    }

    /// Returns the keys that the tool adds to every error record. They are
    /// null in the records that are written here.
    fn error_keys() -> &'static [&'static str] {
        &[]
    }

    /// Returns the table of the tool's JSON records ([`crate::schema`]).
    fn records() -> &'static str {
        ""
    }

    /// Returns what to use instead of an option that similar programs have and
    /// this tool does not support.
    fn foreign_option_hint(_option: &str) -> Option<&'static str> {
        None
    }
}

/// The streams, the environment and the output settings of one run.
#[derive(Debug)]
pub struct Io {
    /// The writer to standard output.
    pub out: Out,
    /// The writer of errors and warnings to standard error.
    pub report: Reporter,
    /// Whether `--json` was given.
    pub json: bool,
    /// Whether to colour standard output.
    pub color: bool,
    /// Which of the standard streams are terminals.
    pub terminal: Terminal,
    /// The arguments of the process, the program's name first.
    args: Vec<OsString>,
    /// Describes the arguments of the tool, for a usage error.
    usage: fn(&[OsString]) -> String,
    /// Returns the command that prints the help for these arguments.
    help: fn(&[OsString]) -> String,
    /// The keys of [`Cli::error_keys`].
    error_keys: &'static [&'static str],
}

/// Which of the standard streams are terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether standard input is one.
    pub stdin: bool,
    /// Whether standard output is one.
    pub stdout: bool,
    /// Whether standard error is one.
    pub stderr: bool,
}

impl Io {
    /// Creates a run that writes to the given streams, none of which is a
    /// terminal. It serves the tests of a tool's code.
    pub fn over(out: Out, report: Reporter) -> Self {
        Self {
            out,
            report,
            json: false,
            color: false,
            terminal: Terminal::default(),
            args: Vec::new(),
            usage: |_| String::new(),
            help: |_| String::new(),
            error_keys: &[],
        }
    }

    /// Returns standard input. Only one reader may use it.
    #[allow(
        clippy::unused_self,
        reason = "input belongs to the run, as output does"
    )]
    pub fn stdin(&self) -> Box<dyn Read + Send> {
        // Not the lock, which is bound to this thread. Large reads bypass the
        // buffer of the handle.
        Box::new(io::stdin())
    }

    /// Returns descriptors of standard input and output, for an event loop that
    /// reads and writes both itself. Flush [`Io::out`] before using them.
    #[allow(clippy::unused_self, reason = "the streams belong to the run")]
    pub fn raw_streams(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        Ok((stdin, stdout))
    }

    /// Returns the operands of the command line; `-` stands for the lines of
    /// standard input. Without operands it fails with a usage error about the
    /// missing `name`, such as "a target", even if standard input is not a
    /// terminal: otherwise a tool could consume the input of a script by accident.
    pub fn operands(&self, args: &[String], name: &str) -> Result<Operands> {
        self.operands_from(args, name, self.stdin())
    }

    /// Like [`Io::operands`], with a reader in place of standard input.
    pub fn operands_from(
        &self,
        args: &[String],
        name: &str,
        stdin: Box<dyn Read + Send>,
    ) -> Result<Operands> {
        if args.is_empty() {
            return Err(self.no_operand(name));
        }
        Ok(Operands::new(args.to_vec(), stdin))
    }

    /// Returns the operands of a filter. Without operands it reads standard
    /// input, unless that is a terminal.
    pub fn operands_or_stdin(&self, args: &[String], name: &str) -> Result<Operands> {
        let args = match args {
            [] if self.terminal.stdin => return Err(self.no_operand(name)),
            [] => vec!["-".to_owned()],
            _ => args.to_vec(),
        };
        Ok(Operands::new(args, self.stdin()))
    }

    fn no_operand(&self, name: &str) -> Error {
        Error::usage(format!("{name} is missing")).hint((self.usage)(&self.args))
    }

    /// Reports an error that does not end the run: on standard error and, with
    /// `--json`, as a record on standard output. Its status is remembered.
    pub fn fail(&mut self, error: &Error) -> Result<()> {
        self.report.error(error);
        if self.json {
            self.out.json(&error.with_keys(self.error_keys))?;
        }
        Ok(())
    }

    /// Returns a variable of the environment if it is set and UTF-8.
    #[allow(clippy::unused_self, reason = "the environment belongs to the run")]
    pub fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Runs a tool on the arguments and streams of the process. The status is the
/// highest of the one that `tool_main` returns and those reported by the run.
pub fn run<C: Cli>(
    tool: &'static str,
    tool_main: impl FnOnce(C, &mut Io) -> Result<Exit>,
) -> ExitCode {
    let mut io = Io {
        out: Out::new(Box::new(raw_stdout())),
        report: Reporter::new(tool, Box::new(io::stderr())),
        json: false,
        color: false,
        terminal: Terminal {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
        },
        args: std::env::args_os().collect(),
        usage: usage::usage::<C>,
        help: usage::help::<C>,
        error_keys: C::error_keys(),
    };
    let outcome = if only_version(&io.args) {
        version(tool, &mut io)
    } else {
        match parse::<C>(&io.args) {
            Ok(Parsed::Run(cli)) => {
                let common = cli.common();
                io.json = common.json;
                io.color = common.color.enabled(color_env(), io.terminal.stdout);
                tool_main(cli, &mut io)
            }
            Ok(Parsed::Generate(what, subcommand)) => {
                let command = C::command();
                let written = match subcommand {
                    Some(name) if what == Generate::Man => {
                        generate::page_of(&name, command, &mut io.out)
                    }
                    _ => generate::write(what, command, C::records(), &mut io.out),
                };
                written.map(|()| Exit::Yes).map_err(Error::from)
            }
            Err(error) => {
                io.json = usage::wants_json(&io.args);
                not_parsed::<C>(&error, &mut io)
            }
        }
    };
    finish(outcome, &mut io).into()
}

/// Whether the only argument asks for the version, which is then printed
/// without building the definition of the command line.
fn only_version(args: &[OsString]) -> bool {
    matches!(args, [_, option] if option == "--version" || option == "-V")
}

/// Prints the version of the workspace, which all tools share.
fn version(tool: &str, io: &mut Io) -> Result<Exit> {
    io.out
        .line(format_args!("{tool} {}", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::Yes)
}

/// A command line that was parsed.
enum Parsed<C> {
    /// Arguments of the tool.
    Run(C),
    /// `--generate`, for the tool or for one of its subcommands.
    Generate(Generate, Option<String>),
}

fn parse<C: Cli>(args: &[OsString]) -> std::result::Result<Parsed<C>, clap::Error> {
    let mut matches = match matches(C::command_for(args), args) {
        // `--generate` excludes other arguments, also those of a required group,
        // which clap still requires.
        Err(error)
            if error.kind() == ErrorKind::MissingRequiredArgument
                && args.iter().any(|arg| arg == "--generate") =>
        {
            matches(C::command().ignore_errors(true), args)?
        }
        Err(error) if error.kind() != ErrorKind::DisplayVersion => matches(C::command(), args)?,
        other => other?,
    };
    // Before the operands are looked at, which a subcommand may require.
    if let Ok(Some(&what)) = matches.try_get_one::<Generate>("generate") {
        let subcommand = matches.subcommand_name().map(str::to_owned);
        return Ok(Parsed::Generate(what, subcommand));
    }
    C::from_arg_matches_mut(&mut matches)
        .map(Parsed::Run)
        .map_err(|error| error.format(&mut C::command()))
}

/// Matches the arguments. An option that is repeated replaces its earlier
/// value, so that a command line can override the options of an alias.
fn matches(
    command: clap::Command,
    args: &[OsString],
) -> std::result::Result<clap::ArgMatches, clap::Error> {
    command.args_override_self(true).try_get_matches_from(args)
}

/// Prints help and version, which are data; any other parse error becomes an
/// error of one line.
fn not_parsed<C: Cli>(error: &clap::Error, io: &mut Io) -> Result<Exit> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            io.out.bytes(error.render().to_string().as_bytes())?;
            Ok(Exit::Yes)
        }
        _ => Err(Error::usage(usage::message::<C>(error, &io.args))
            .hint(format!("see '{}'", (io.help)(&io.args)))),
    }
}

fn color_env() -> ColorEnv {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    ColorEnv {
        no_color: set("NO_COLOR").is_some(),
        force: set("CLICOLOR_FORCE").is_some_and(|v| v != "0"),
        dumb: set("TERM").is_some_and(|v| v == "dumb"),
    }
}

/// Reports the error that ended the run, flushes standard output, and returns
/// the final status.
fn finish(outcome: Result<Exit>, io: &mut Io) -> Exit {
    let outcome = outcome.or_else(|error| {
        if error.is_stdout_closed() {
            return Err(error);
        }
        let error = match error.kind() {
            Kind::Usage if !error.to_string().contains("--help") => {
                error.hint(format!("see '{}'", (io.help)(&io.args)))
            }
            _ => error,
        };
        io.fail(&error)?;
        Ok(error.exit())
    });
    match outcome.and_then(|exit| io.out.flush().map(|()| exit)) {
        Ok(exit) => exit.and(io.report.worst()),
        // The reader has read as much as it wanted.
        Err(error) if error.is_stdout_closed() => Exit::Yes,
        Err(error) => {
            io.report.error(&error);
            io.report.worst()
        }
    }
}

/// Returns standard output without the line buffer of [`io::stdout`]: [`Out`]
/// has a buffer, and every flush is one write. A descriptor that cannot be
/// duplicated was closed by the parent; the standard handle ignores the bytes.
fn raw_stdout() -> Box<dyn Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(fd) => Box::new(std::fs::File::from(fd)),
        Err(_) => Box::new(io::stdout()),
    }
}

#[cfg(test)]
mod tests {
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
        io.usage = usage::usage::<Sample>;
        io.help = usage::help::<Sample>;
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
        assert_eq!(error.exit(), Exit::Fault);
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
            (Exit::Yes, Exit::No, Exit::No),
            (Exit::Network, Exit::Yes, Exit::Network),
            (Exit::No, Exit::Fault, Exit::Fault),
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
        io.error_keys = &["seq"];
        io.json = true;
        io.out.line("before").unwrap();
        let exit = finish(Err(Error::input("x", "not an address")), &mut io);
        assert_eq!(exit, Exit::Fault);
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
            assert_eq!(finish(Err(error), &mut io), Exit::Fault);
            assert_eq!(stderr.text(), line);
        }
    }

    #[test]
    fn a_closed_stdout_ends_a_run_quietly_and_a_full_disk_does_not() {
        for (error, status, line) in [
            (io::ErrorKind::BrokenPipe, Exit::Yes, ""),
            (
                io::ErrorKind::StorageFull,
                Exit::Fault,
                "sample: standard output: no storage space\n",
            ),
        ] {
            let stderr = Stream::default();
            let mut io = sample(&Stream::failing(error), &stderr);
            io.out.line("x").unwrap();
            assert_eq!(finish(Ok(Exit::Yes), &mut io), status);
            assert_eq!(stderr.text(), line);
            // The same error, if the run has already met it.
            let mut io = sample(&Stream::failing(error), &Stream::default());
            io.report.raise(Exit::Network);
            let outcome = Err(Error::stdout(&error.into()));
            let expected = if line.is_empty() {
                Exit::Yes
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
        assert_eq!(not_parsed::<Sample>(&error, &mut io), Ok(Exit::Yes));
        io.out.flush().unwrap();
        assert!(stdout.text().contains("Usage: sample"), "{}", stdout.text());
        let error = parse::<Sample>(&args("sample --jsn")).err().unwrap();
        let error = not_parsed::<Sample>(&error, &mut io).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert_eq!(
            error.to_string(),
            "unexpected argument '--jsn' found; a similar argument exists: '--json'; \
             see 'sample --help'"
        );
    }
}
