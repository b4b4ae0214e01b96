//! The options of the output: of one URL, and of many.

use std::path::{Path, PathBuf};

use common::{Io, Result};

use super::errors::invalid_value;
use super::files;
use crate::cli::{Cli, ManyArgs};
use crate::json::pointer::{self, Pointer};
use crate::output::write_out::WriteOut;

/// The target of an option's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileOrStdout {
    File(PathBuf),
    Stdout,
}

impl FileOrStdout {
    /// Returns the target with this name; `-` is standard output.
    pub(super) fn new(name: &Path) -> Self {
        if name == Path::new("-") {
            Self::Stdout
        } else {
            Self::File(name.to_owned())
        }
    }
}

/// The use of a response with status 400 or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ErrorStatus {
    /// A failure, but its body is printed unless a file was expected.
    #[default]
    Print,
    /// A failure without its body (`--fail`).
    Discard,
    /// A success, like any other status (`--no-fail`).
    Accept,
}

impl ErrorStatus {
    /// Whether a response with this status is a failure.
    pub(crate) fn is_failure(self, status: u16) -> bool {
        status >= 400 && self != Self::Accept
    }
}

/// The options of the output.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputConfig {
    /// Whether the destination of a body also receives the response heads (`-i`, `-I`).
    pub(crate) heads: bool,
    /// The target of all response heads (`-D`).
    pub(crate) header_dump: Option<FileOrStdout>,
    /// The target of the entity tag (`--etag-save`).
    pub(crate) etag_save: Option<FileOrStdout>,
    pub(crate) error_status: ErrorStatus,
    /// The value of a JSON body that replaces it.
    pub(crate) pointer: Option<Pointer>,
    pub(crate) write_out: Option<WriteOut>,
    pub(crate) time: bool,
    pub(crate) show_cert: bool,
    pub(crate) verbose: bool,
    pub(crate) json: bool,
    /// Whether bodies are rendered for a terminal.
    pub(crate) view: bool,
    pub(crate) color: bool,
    /// Whether standard output is a terminal.
    pub(crate) stdout_is_terminal: bool,
    /// Whether progress bars are shown.
    pub(crate) progress: bool,
    /// Whether retries are announced.
    pub(crate) show_retries: bool,
    /// Whether errors and warnings are printed.
    pub(crate) show_errors: bool,
}

impl OutputConfig {
    /// Resolves the options of the output.
    pub(super) fn new(cli: &Cli, io: &Io) -> Result<Self> {
        let args = &cli.output;
        let pointer = args.pointer.as_deref().map(|text| {
            let parsed = pointer::parse(text);
            parsed.map_err(|e| invalid_value("--pointer", text, &e))
        });
        let write_out = args.write_out.as_deref().map(files::load_write_out);
        Ok(Self {
            heads: args.include || cli.request.head,
            header_dump: args.dump_header.as_deref().map(FileOrStdout::new),
            etag_save: cli.request.etag_save.as_deref().map(FileOrStdout::new),
            error_status: if args.fail {
                ErrorStatus::Discard
            } else if args.no_fail {
                ErrorStatus::Accept
            } else {
                ErrorStatus::Print
            },
            pointer: pointer.transpose()?,
            write_out: write_out.transpose()?,
            time: args.time,
            show_cert: args.show_cert,
            verbose: args.verbose,
            json: io.json,
            view: io.terminal.stdout && !io.json,
            color: io.color,
            stdout_is_terminal: io.terminal.stdout,
            progress: io.terminal.stderr && !args.silent && !args.no_progress_meter,
            show_retries: !args.silent,
            show_errors: !args.silent || args.show_error,
        })
    }
}

/// How several URLs are fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManyConfig {
    /// Whether transfers run in parallel (`-Z`).
    pub(crate) parallel: bool,
    /// The maximum number of transfers at the same time.
    pub(crate) max_transfers: usize,
    pub(crate) max_per_host: Option<usize>,
    /// Whether parallel transfers print in the order of the URLs.
    pub(crate) ordered: bool,
    /// The maximum number of further pages to follow (`--next`).
    pub(crate) next: u32,
}

impl ManyConfig {
    pub(super) fn new(args: &ManyArgs) -> Self {
        Self {
            parallel: args.parallel,
            max_transfers: if args.parallel {
                args.parallel_max.into()
            } else {
                1
            },
            max_per_host: args.max_per_host.map(usize::from),
            ordered: args.ordered,
            next: args.next,
        }
    }
}
