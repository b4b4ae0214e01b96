//! Runs the tool: prepares the state that all transfers share, fetches each operand,
//! and writes the cookie jar.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use common::operands::{Operand, Operands};
use common::{Error, Exit, Io, Kind, Out, Result};

use crate::cli::Cli;
use crate::config::{Config, FileOrStdout};
use crate::fetch::{self, Context, PublicSuffixes, ReservedNames, SharedStdout, TransferOutput};
use crate::files;
use crate::http::date;
use crate::input::{CancellableStdin, Canceller};
use crate::jobs::{next_page, url_job};
use crate::messages::finish_report;
use crate::net::{Dialer, Network, TlsConnector};
use crate::output::progress::Progress;
use crate::policy::request_url;
use crate::pool;
use crate::report::{FetchError, Report};
use crate::secrets;

/// Runs the tool and returns its exit status.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    secrets::mask_arguments();
    let config = Config::new(cli, io)?;
    let many = config.many;
    let network = Network::new(
        Dialer::new(config.dial.clone(), TlsConnector::new(config.tls.clone())),
        many.max_transfers * usize::from(config.saving.segments),
        config.stall,
    );
    let cookies = config.cookies.load(|file| {
        if config.output.show_errors {
            let file = common::text::escape(file.as_bytes());
            io.report.line(format_args!(
                "warning: {file}: no such file; starting without cookies (NAME=VALUE sends a cookie)"
            ));
        }
    })?;
    let (jar, given_cookies) = cookies
        .map(|file| (Mutex::new(file.jar), file.headers))
        .unzip();
    let context = Context {
        config: &config,
        network: &network,
        reporter: io.report.clone(),
        header_dump: open_header_dump(&config)?,
        jar,
        given_cookies: given_cookies.unwrap_or_default(),
        password: OnceLock::new(),
        public_suffixes: PublicSuffixes::default(),
        progress: Progress::new(config.output.progress),
        reserved_names: ReservedNames::default(),
        host_limiter: many.max_per_host.map(pool::HostLimiter::new),
    };
    for warning in &config.warnings {
        warn(&context, warning);
    }
    let (operands, canceller) = operands(&config, io)?;
    let count = AtomicUsize::new(0);
    let operands = operands.inspect(|_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    // The transfers own the output until all of them are done.
    let out = std::mem::replace(&mut io.out, Out::new(Box::new(std::io::sink())));
    let shared = SharedStdout::new(out, config.stall.timeout);
    let outcome = if many.parallel {
        let output = |index| {
            let position = many.ordered.then_some(index as u64);
            TransferOutput::concurrent(&shared, position)
        };
        let work = |index, operand| {
            let mut output = output(index);
            let outcome = fetch_operand(&context, operand, index, &mut output);
            // The output is finished even after a failure, since the next transfer waits for
            // its turn.
            let outcome = output.finish().and(outcome);
            if let (Err(_), Some(canceller)) = (&outcome, &canceller) {
                // The thread that waits for another URL must stop, too.
                canceller.cancel();
            }
            outcome
        };
        pool::run(operands, many.max_transfers, work, |index| {
            output(index).skip();
        })
    } else {
        operands.enumerate().try_for_each(|(index, operand)| {
            fetch_operand(
                &context,
                operand,
                index,
                &mut TransferOutput::exclusive(&shared),
            )
        })
    };
    io.out = shared.into_out();
    write_cookie_jar(&context, &mut io.out)?;
    let count = count.into_inner();
    for (option, given) in [
        ("-o", config.saving.named_files()),
        ("--sha256", config.saving.sha256.len()),
    ] {
        let surplus = given.saturating_sub(count);
        if surplus > 0 && outcome.is_ok() {
            warn(&context, format_args!("{surplus} {option} without a URL"));
        }
    }
    outcome?;
    if count == 0 {
        io.report.line("the list is empty");
        return Ok(Exit::Negative);
    }
    Ok(Exit::Success)
}

/// Returns the operands; with `-Z`, reading them can be cancelled.
fn operands(config: &Config, io: &Io) -> Result<(Operands, Option<Canceller>)> {
    if !config.many.parallel {
        return Ok((io.operands(&config.urls, "a URL")?.with_files(), None));
    }
    let (input, canceller) = io
        .raw_streams()
        .and_then(|(stdin, _)| CancellableStdin::new(stdin))
        .map_err(|e| Error::local(&e))?;
    let operands = io.operands_from(&config.urls, "a URL", Box::new(input))?;
    Ok((operands.with_files(), Some(canceller)))
}

/// Adds a hint to a failed lookup if the operand is the name of a file.
fn hint_at_file(operand: &Operand, report: &mut Report) {
    let text = &operand.text;
    if let Some(FetchError::Error(error)) = &mut report.error
        && error.kind() == Kind::Name
        && Path::new(text).is_file()
    {
        *error = error
            .clone()
            .hint(format!("use @{text} to read the file with that name"));
    }
}

/// Warns that an option has no effect.
fn warn(context: &Context<'_>, text: impl std::fmt::Display) {
    if context.config.output.show_errors {
        context.reporter.line(format_args!("warning: {text}"));
    }
}

/// Writes the file of `-c`, which only its owner can read; `-` is standard output.
fn write_cookie_jar(context: &Context<'_>, out: &mut Out) -> Result<()> {
    let (Some(target), Some(jar)) = (&context.config.cookies.jar, &context.jar) else {
        return Ok(());
    };
    let text = jar
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .to_netscape(date::now());
    match target {
        FileOrStdout::File(path) => files::replace_private(path, text.as_bytes()),
        FileOrStdout::Stdout if context.config.output.view => {
            out.bytes(common::text::escape_body(text.as_bytes()).as_bytes())
        }
        FileOrStdout::Stdout => out.bytes(text.as_bytes()),
    }
}

/// Opens the file of `-D`. Only the owner can read a new file, since heads contain
/// cookies.
fn open_header_dump(config: &Config) -> Result<Option<Mutex<std::fs::File>>> {
    match &config.output.header_dump {
        None | Some(FileOrStdout::Stdout) => Ok(None),
        Some(FileOrStdout::File(path)) => match OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
        {
            Ok(file) => Ok(Some(Mutex::new(file))),
            Err(e) => Err(Error::local(&e).with_subject(path.display().to_string())),
        },
    }
}

/// Fetches one operand, including the pages of `--next`. An error ends the run;
/// failures of the operand or its transfer are only reported.
fn fetch_operand(
    context: &Context<'_>,
    operand: Result<Operand>,
    index: usize,
    output: &mut TransferOutput<'_>,
) -> Result<()> {
    let config = context.config;
    let job = operand.and_then(|operand| {
        url_job(config, &operand, index)
            .map(|job| (job, operand.clone()))
            .map_err(|e| operand.error(e))
    });
    let (job, operand) = match job {
        Ok(both) => both,
        Err(error) => {
            // Unlike in curl, -s does not hide errors of usage and input: a
            // script that hides network errors still needs these.
            context.reporter.error(&error);
            if config.output.json {
                let report = Report {
                    url: error.subject().unwrap_or_default().to_owned(),
                    method: config.request.method(),
                    error: Some(error.into()),
                    ..Report::default()
                };
                output.record(&report)?;
            }
            return Ok(());
        }
    };
    let _permit = context
        .host_limiter
        .as_ref()
        .map(|limiter| limiter.acquire(&request_url::authority(&job.request.url)));
    let mut job = job;
    for page in 0..=config.many.next {
        let mut report = fetch::fetch(context, &job, output);
        hint_at_file(&operand, &mut report);
        finish_report(context, &operand, &report, index, output)?;
        if page == config.many.next || report.exit() != Exit::Success {
            break;
        }
        match next_page(&job, &report) {
            Ok(Some(next)) => job = next,
            Ok(None) => break,
            Err(error) => {
                if config.output.show_errors {
                    context
                        .reporter
                        .error(&error.with_subject(&job.display_url));
                } else {
                    context.reporter.raise(error.exit());
                }
                break;
            }
        }
    }
    Ok(())
}
