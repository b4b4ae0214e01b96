//! The frame around every tool: parse the command line, run, report, end
//! with the right status.
//!
//! This is the only place that touches the process: arguments, environment,
//! standard streams. What runs inside gets an [`Io`] and returns a
//! [`Result`]; it neither prints nor exits.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::color::ColorEnv;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::generate;
use crate::operands::Operands;
use crate::options::Common;
use crate::out::Out;

/// A tool's command line: a clap struct that holds the [`Common`] options.
pub trait Cli: Parser {
    /// The flattened options.
    fn common(&self) -> &Common;

    /// A definition that is enough for these arguments. A tool of many
    /// commands leaves out those that are not named, for to make them all
    /// takes longer than most runs; what does not parse is tried again with
    /// the whole.
    fn command_for(_args: &[OsString]) -> clap::Command {
        Self::command()
    }

    /// The tool's own keys of an error record, which are null if an error does
    /// not say more.
    fn error_keys() -> &'static [&'static str] {
        &[]
    }

    /// The table of the tool's JSON records ([`crate::schema`]).
    fn records() -> &'static str {
        ""
    }

    /// What to say of an option that another program of the kind has and this
    /// one has not.
    fn foreign_option_hint(_option: &str) -> Option<&'static str> {
        None
    }
}

/// The standard streams and what the environment says, for one run.
#[derive(Debug)]
pub struct Io {
    /// Standard output.
    pub out: Out,
    /// Standard error.
    pub report: Reporter,
    /// Whether `--json` was given.
    pub json: bool,
    /// Whether to colour standard output.
    pub color: bool,
    /// Whether standard input, output and error are terminals.
    pub terminal: Terminal,
    /// What is said of a command line without operands; made when needed.
    usage: fn() -> String,
    /// The command that prints the help that applies.
    help: fn() -> String,
    /// See [`Cli::error_keys`].
    error_keys: &'static [&'static str],
}

/// Which of the standard streams are terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Io {
    /// A run over other streams than the process's, none of them a terminal:
    /// for tests of what runs inside.
    pub fn over(out: Out, report: Reporter) -> Self {
        Self {
            out,
            report,
            json: false,
            color: false,
            terminal: Terminal::default(),
            usage: String::new,
            help: String::new,
            error_keys: &[],
        }
    }

    /// Standard input, to be read by one party.
    #[allow(
        clippy::unused_self,
        reason = "input belongs to the run, as output does"
    )]
    pub fn stdin(&self) -> Box<dyn Read + Send> {
        // Not the lock: it is bound to this thread. Large reads pass by the
        // handle's own buffer.
        Box::new(io::stdin())
    }

    /// Descriptors of standard input and output, for an event loop that reads
    /// and writes both itself. [`Io::out`] must be empty while they are used.
    #[allow(clippy::unused_self, reason = "the streams belong to the run")]
    pub fn raw_streams(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        Ok((stdin, stdout))
    }

    /// The operands of the command line; `-` stands for the lines of standard
    /// input. It is a usage error to give none, even if standard input is not
    /// a terminal: a tool that read it unasked would swallow the input of the
    /// script around it.
    pub fn operands(&self, args: &[String], what: &str) -> Result<Operands> {
        self.operands_from(args, what, self.stdin())
    }

    /// [`Io::operands`] that reads `stdin` instead of the process's.
    pub fn operands_from(
        &self,
        args: &[String],
        what: &str,
        stdin: Box<dyn Read + Send>,
    ) -> Result<Operands> {
        if args.is_empty() {
            return Err(self.no_operand(what));
        }
        Ok(Operands::new(args.to_vec(), stdin))
    }

    /// [`Io::operands`] of a filter, which reads standard input if there are
    /// no operands and standard input is not a terminal.
    pub fn operands_or_stdin(&self, args: &[String], what: &str) -> Result<Operands> {
        let args = match args {
            [] if self.terminal.stdin => return Err(self.no_operand(what)),
            [] => vec!["-".to_owned()],
            _ => args.to_vec(),
        };
        Ok(Operands::new(args, self.stdin()))
    }

    fn no_operand(&self, what: &str) -> Error {
        Error::usage(format!("{what} is missing")).hint((self.usage)())
    }

    /// Reports an error that does not end the run: a line on stderr, with
    /// `--json` a record on stdout too, and its status is remembered.
    pub fn fail(&mut self, error: &Error) -> Result<()> {
        self.report.error(error);
        if self.json {
            self.out.json(&error.with_keys(self.error_keys))?;
        }
        Ok(())
    }

    /// A variable of the environment, if it is set and UTF-8.
    #[allow(clippy::unused_self, reason = "the environment belongs to the run")]
    pub fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Standard error: `TOOL: …` lines, and the highest status reported so far.
/// Clones share both, so threads may report.
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
    /// A reporter for `tool` that writes to `stream`.
    pub fn new(tool: &'static str, stream: Box<dyn Write + Send>) -> Self {
        Self {
            tool,
            stream: Arc::new(Mutex::new(stream)),
            worst: Arc::default(),
        }
    }

    /// Reports an error and remembers its status.
    pub fn error(&self, error: &Error) {
        self.raise(error.exit());
        self.line(error);
    }

    /// Says something that is no error and has no status: `TOOL: text`.
    pub fn line(&self, text: impl fmt::Display) {
        self.raw(format!("{}: {text}\n", self.tool).as_bytes());
    }

    /// Writes bytes to standard error as they are, in one piece. Where even
    /// that fails there is nobody left to tell.
    pub fn raw(&self, bytes: &[u8]) {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    }

    /// Remembers a status without saying anything.
    pub fn raise(&self, exit: Exit) {
        self.worst.fetch_max(exit.code(), Ordering::SeqCst);
    }

    /// The highest status so far.
    pub fn worst(&self) -> Exit {
        match self.worst.load(Ordering::SeqCst) {
            0 => Exit::Yes,
            1 => Exit::No,
            2 => Exit::Fault,
            _ => Exit::Network,
        }
    }
}

/// Runs a tool on the process's arguments and streams. The status is the
/// highest of what `tool_main` returns and what was reported on the way.
pub fn run<C: Cli>(
    tool: &'static str,
    tool_main: impl FnOnce(C, &mut Io) -> Result<Exit>,
) -> ExitCode {
    let terminal = Terminal {
        stdin: io::stdin().is_terminal(),
        stdout: io::stdout().is_terminal(),
        stderr: io::stderr().is_terminal(),
    };
    let mut io = Io {
        out: Out::new(Box::new(raw_stdout())),
        report: Reporter::new(tool, Box::new(io::stderr())),
        json: false,
        color: false,
        terminal,
        usage: usage::<C>,
        help: help::<C>,
        error_keys: C::error_keys(),
    };
    let parsed = if only_version() {
        None
    } else {
        Some(parse::<C>())
    };
    let outcome = match parsed {
        None => version(tool, &mut io),
        Some(Ok(cli)) => {
            let common = cli.common();
            io.json = common.json;
            io.color = common.color.enabled(color_env(), terminal.stdout);
            match common.generate {
                Some(what) => generate::write(what, C::command(), C::records(), &mut io.out)
                    .map(|()| Exit::Yes)
                    .map_err(Error::from),
                None => tool_main(cli, &mut io),
            }
        }
        Some(Err(error)) => {
            io.json = json_wanted();
            not_parsed::<C>(&error, &mut io)
        }
    };
    finish(outcome, &mut io).into()
}

/// Whether the version is all that is asked for: no option needs to be made to
/// answer that.
fn only_version() -> bool {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    args.next().is_none() && first.is_some_and(|arg| arg == "--version" || arg == "-V")
}

/// The tools have one version, that of the workspace.
fn version(tool: &str, io: &mut Io) -> Result<Exit> {
    io.out
        .line(format_args!("{tool} {}", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::Yes)
}

/// Parses the process's arguments. An option given again replaces what it
/// said before, so that an alias can be overridden.
fn parse<C: Cli>() -> std::result::Result<C, clap::Error> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let parsed = |command: clap::Command| {
        let command = command.args_override_self(true);
        command.try_get_matches_from(&args)
    };
    let mut matches = match parsed(C::command_for(&args)) {
        Err(error) if error.kind() != ErrorKind::DisplayVersion => parsed(C::command())?,
        other => other?,
    };
    C::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut C::command()))
}

/// The usage of the tool, or of the subcommand that was given, and where there
/// is more, in one line.
fn usage<C: Cli>() -> String {
    let mut command = C::command();
    command.build();
    let usage = match subcommand(&command) {
        Some(name) => command
            .find_subcommand_mut(&name)
            .map(|command| command.render_usage().to_string()),
        None => None,
    };
    let usage = usage.unwrap_or_else(|| command.render_usage().to_string());
    let forms: Vec<&str> = usage.lines().map(str::trim).collect();
    format!(
        "usage: {}; see '{}'",
        forms.join(" or ").trim_start_matches("Usage: "),
        help::<C>()
    )
}

/// `TOOL --help`, or `TOOL SUBCOMMAND --help` if a subcommand was given.
fn help<C: Cli>() -> String {
    let command = C::command();
    let tool = command.get_name();
    match subcommand(&command) {
        Some(name) => format!("{tool} {name} --help"),
        None => format!("{tool} --help"),
    }
}

/// The first argument that is the name of a subcommand. In a command line that
/// does not parse this is the best that is known.
fn subcommand(command: &clap::Command) -> Option<String> {
    std::env::args_os()
        .skip(1)
        .take_while(|arg| arg != "--")
        .filter_map(|arg| arg.into_string().ok())
        .find(|arg| command.find_subcommand(arg).is_some())
}

/// Help and version are data; every other parse error is one line.
fn not_parsed<C: Cli>(error: &clap::Error, io: &mut Io) -> Result<Exit> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            io.out.bytes(error.render().to_string().as_bytes())?;
            Ok(Exit::Yes)
        }
        _ => {
            let text = foreign::<C>(error).unwrap_or_else(|| one_line(&error.render().to_string()));
            Err(Error::usage(text).hint(format!("see '{}'", help::<C>())))
        }
    }
}

/// What to say if the error is about an option of another program.
fn foreign<C: Cli>(error: &clap::Error) -> Option<String> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    if let Some(instead) = C::foreign_option_hint(option) {
        return Some(format!("{option} is not an option here: {instead}"));
    }
    let number = option.strip_prefix('-')?;
    let negative =
        number.starts_with(|c: char| c.is_ascii_digit()) && number.parse::<f64>().is_ok();
    // -0 is a letter that other programs have.
    (negative && number != "0")
        .then(|| format!("{option} is no option, and a negative number is not taken here"))
}

/// clap's message and tip without its usage block, on one line.
fn one_line(rendered: &str) -> String {
    let mut line = String::new();
    for part in rendered.lines().map(str::trim) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        let part = part.strip_prefix("error: ").unwrap_or(part);
        let part = part.strip_prefix("tip: ").unwrap_or(part);
        // An unknown option is hardly ever meant as an operand.
        if part.is_empty() || part.starts_with("to pass ") {
            continue;
        }
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    // What the number parsers of the standard library say is for programmers.
    line.replace("invalid digit found in string", "not a whole number")
        .replace(
            "cannot parse integer from empty string",
            "not a whole number",
        )
        .replace(
            "number too large to fit in target type",
            "too large a number",
        )
}

/// Whether a command line that did not parse asked for JSON.
fn json_wanted() -> bool {
    std::env::args_os()
        .skip(1)
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json" || arg == "-j")
}

fn color_env() -> ColorEnv {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    ColorEnv {
        no_color: set("NO_COLOR").is_some(),
        force: set("CLICOLOR_FORCE").is_some_and(|v| v != "0"),
        dumb: set("TERM").is_some_and(|v| v == "dumb"),
    }
}

/// Reports what ended the run, flushes, and gives the final status.
fn finish(outcome: Result<Exit>, io: &mut Io) -> Exit {
    let outcome = outcome.or_else(|error| {
        if error.is_stdout_closed() {
            return Err(error);
        }
        let error = match error.kind() {
            crate::Kind::Usage if !error.to_string().contains("--help") => {
                error.hint(format!("see '{}'", (io.help)()))
            }
            _ => error,
        };
        io.fail(&error)?;
        Ok(error.exit())
    });
    match outcome.and_then(|exit| io.out.flush().map(|()| exit)) {
        Ok(exit) => exit.and(io.report.worst()),
        // The reader has had what it wanted.
        Err(error) if error.is_stdout_closed() => Exit::Yes,
        Err(error) => {
            io.report.error(&error);
            io.report.worst()
        }
    }
}

/// Standard output without the line buffer of [`io::stdout`]: [`Out`] does
/// the buffering, and every flush is one write. A descriptor that cannot be
/// duplicated was closed by the parent; std's handle then takes the bytes.
fn raw_stdout() -> Box<dyn Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(fd) => Box::new(std::fs::File::from(fd)),
        Err(_) => Box::new(io::stdout()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    #[test]
    fn clap_errors_become_one_line() {
        let command = clap::Command::new("sample").arg(clap::Arg::new("FILE").required(true));
        let command = Common::augment_args(
            command
                .disable_help_flag(true)
                .disable_version_flag(true)
                .version("1"),
        );
        let error = command
            .clone()
            .try_get_matches_from(["sample"])
            .unwrap_err();
        assert_eq!(
            one_line(&error.render().to_string()),
            "the following required arguments were not provided: <FILE>"
        );
        let error = command
            .try_get_matches_from(["sample", "--jsn", "x"])
            .unwrap_err();
        assert_eq!(
            one_line(&error.render().to_string()),
            "unexpected argument '--jsn' found; a similar argument exists: '--json'"
        );
    }

    /// A sample
    #[derive(Parser)]
    #[command(name = "sample", disable_help_flag = true, disable_version_flag = true)]
    #[command(version = "1")]
    struct Sample {
        #[allow(dead_code, reason = "only its usage is looked at")]
        target: Vec<String>,
        #[command(flatten)]
        common: Common,
    }

    impl Cli for Sample {
        fn common(&self) -> &Common {
            &self.common
        }
    }

    #[test]
    fn without_operands_only_a_filter_reads_stdin() {
        let mut io = Io {
            out: Out::new(Box::new(io::sink())),
            report: Reporter::new("sample", Box::new(io::sink())),
            json: false,
            color: false,
            terminal: Terminal {
                stdin: true,
                ..Terminal::default()
            },
            usage: usage::<Sample>,
            help: help::<Sample>,
            error_keys: &[],
        };
        let error = io.operands(&[], "a target").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a target is missing; usage: sample [OPTIONS] [TARGET]...; see 'sample --help'"
        );
        assert_eq!(error.exit(), Exit::Fault);
        assert!(io.operands_or_stdin(&[], "a target").is_err());
        io.terminal.stdin = false;
        assert!(io.operands(&[], "a target").is_err());
        assert!(io.operands_or_stdin(&[], "a target").is_ok());
    }

    #[test]
    fn the_worst_report_is_the_status() {
        let report = Reporter::new("sample", Box::new(io::sink()));
        report.clone().error(&Error::new(crate::Kind::Timeout, "x"));
        report.raise(Exit::No);
        assert_eq!(report.worst(), Exit::Network);
    }
}
