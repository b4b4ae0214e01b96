//! The entry point of every tool: it parses the command line, runs the tool,
//! reports errors and returns the exit status.
//!
//! Only this module accesses the arguments, the environment and the standard
//! streams of the process. The code of a tool gets an [`Io`] and returns a
//! [`Result`]; it neither prints nor exits. [`reporter`] writes to standard
//! error, and [`usage`] describes command lines that do not parse.

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
use crate::schema;

pub use reporter::Reporter;

/// A tool's command line: a clap struct that holds the [`Common`] options.
pub trait Cli: Parser {
    /// Returns the flattened [`Common`] options.
    fn common(&self) -> &Common;

    /// Returns a definition that suffices to parse these arguments. A tool
    /// with many subcommands builds only the ones that are named: building all
    /// of them would take longer than most runs. Arguments that do not parse
    /// are parsed again with the complete definition.
    fn command_for(_args: &[OsString]) -> clap::Command {
        Self::command()
    }

    /// Returns the table of the tool's JSON records ([`crate::schema`]). Errors get
    /// the keys of its record `error`; this crate writes them as null.
    fn records() -> &'static str {
        ""
    }

    /// Returns the environment variables and files of the tool, for its man page: lines
    /// of the form `env NAME: effect` or `file PATH: use`, and comments after `#`.
    fn environment() -> &'static str {
        ""
    }

    /// Returns the error about an operand that is most likely the name of a
    /// subcommand, but of none that exists.
    fn unknown_command(_operand: &str) -> Option<Error> {
        None
    }

    /// Returns a hint for an option that similar programs have and this tool, or the
    /// given command of it, does not support.
    fn unsupported_option_hint(_command: Option<&str>, _option: &str) -> Option<&'static str> {
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
    /// The table of [`Cli::records`].
    records: &'static str,
}

/// The standard streams that are terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether standard input is a terminal.
    pub stdin: bool,
    /// Whether standard output is a terminal.
    pub stdout: bool,
    /// Whether standard error is a terminal.
    pub stderr: bool,
}

impl Io {
    /// Creates an `Io` for tests, which writes to the given streams. None of them
    /// counts as a terminal.
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
            records: "",
        }
    }

    /// Returns standard input. Only one reader may use it.
    #[allow(clippy::unused_self, reason = "input belongs to the run, like output")]
    pub fn stdin(&self) -> Box<dyn Read + Send> {
        // Not locked, since a lock cannot be sent to another thread. Large reads
        // bypass the buffer of the handle.
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
            return Err(self.missing_operand(name));
        }
        Ok(Operands::new(args.to_vec(), stdin))
    }

    /// Returns the operands of a filter. Without operands it reads standard
    /// input, unless that is a terminal.
    pub fn operands_or_stdin(&self, args: &[String], name: &str) -> Result<Operands> {
        let args = match args {
            [] if self.terminal.stdin => return Err(self.missing_operand(name)),
            [] => vec!["-".to_owned()],
            _ => args.to_vec(),
        };
        Ok(Operands::new(args, self.stdin()))
    }

    fn missing_operand(&self, name: &str) -> Error {
        Error::usage(format!("{name} is missing")).hint((self.usage)(&self.args))
    }

    /// Reports an error on standard error and, with `--json`, as a record on standard
    /// output, and lets the run continue. The final exit status is at least that of
    /// the error.
    pub fn fail(&mut self, error: &Error) -> Result<()> {
        self.report.error(error);
        if self.json {
            let keys = schema::error_keys(self.records);
            self.out.json(&error.with_keys(&keys))?;
        }
        Ok(())
    }

    /// Returns an environment variable if it is set and valid UTF-8.
    #[allow(clippy::unused_self, reason = "the environment belongs to the run")]
    pub fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Runs a tool on the arguments and streams of the process. The exit status is the
/// maximum of the value that `tool_main` returns and the statuses of all reported
/// errors.
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
        usage: usage::usage_hint::<C>,
        help: usage::help_command::<C>,
        records: C::records(),
    };
    let outcome = if only_version(&io.args) {
        print_version(tool, &mut io)
    } else {
        match parse::<C>(&io.args) {
            Ok(Parsed::Run(cli)) => {
                let common = cli.common();
                io.json = common.json;
                io.color = common.color.enabled(color_env(), io.terminal.stdout);
                tool_main(cli, &mut io)
            }
            Ok(Parsed::Generate(document, subcommand)) => {
                let command = C::command();
                let written = match subcommand {
                    Some(name) if document == Generate::Man => {
                        generate::write_command_page(&name, command, C::environment(), &mut io.out)
                    }
                    _ => generate::write(
                        document,
                        command,
                        C::records(),
                        C::environment(),
                        &mut io.out,
                    ),
                };
                written.map(|()| Exit::Success).map_err(Error::from)
            }
            Err(error) => {
                io.json = usage::wants_json(&io.args);
                handle_parse_error::<C>(&error, &mut io)
            }
        }
    };
    finish(outcome, &mut io).into()
}

/// Whether the only argument is `--version` or `-V`. The version is then printed
/// without building the clap definition.
fn only_version(args: &[OsString]) -> bool {
    matches!(args, [_, option] if option == "--version" || option == "-V")
}

/// Prints the version of the workspace, which all tools share.
fn print_version(tool: &str, io: &mut Io) -> Result<Exit> {
    io.out
        .line(format_args!("{tool} {}", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::Success)
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
        // `--generate` excludes all other arguments, but clap still requires those
        // of a required group.
        Err(error)
            if error.kind() == ErrorKind::MissingRequiredArgument
                && args.iter().any(|arg| arg == "--generate") =>
        {
            matches(C::command().ignore_errors(true), args)?
        }
        Err(error) if error.kind() != ErrorKind::DisplayVersion => matches(C::command(), args)?,
        other => other?,
    };
    // Checked before the operands, because a subcommand may require some.
    if let Ok(Some(&document)) = matches.try_get_one::<Generate>("generate") {
        let subcommand = matches.subcommand_name().map(str::to_owned);
        return Ok(Parsed::Generate(document, subcommand));
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

/// Prints help or the version; converts any other parse error to one line.
fn handle_parse_error<C: Cli>(error: &clap::Error, io: &mut Io) -> Result<Exit> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            io.out.bytes(error.render().to_string().as_bytes())?;
            Ok(Exit::Success)
        }
        _ => Err(
            usage::unknown_command::<C>(error, &io.args).unwrap_or_else(|| {
                Error::usage(usage::message::<C>(error, &io.args))
                    .hint(format!("see '{}'", (io.help)(&io.args)))
            }),
        ),
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
        // The reader, such as `head`, has closed the pipe.
        Err(error) if error.is_stdout_closed() => Exit::Success,
        Err(error) => {
            io.report.error(&error);
            io.report.worst()
        }
    }
}

/// Returns standard output without the line buffer of [`io::stdout`]: [`Out`]
/// has a buffer, and every flush is one write. If the
/// descriptor cannot be duplicated, the parent process has closed it, and the
/// standard handle discards the output.
fn raw_stdout() -> Box<dyn Write + Send> {
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(fd) => Box::new(std::fs::File::from(fd)),
        Err(_) => Box::new(io::stdout()),
    }
}

#[cfg(test)]
mod tests;
