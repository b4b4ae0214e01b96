//! Runs the tool: prepares the state that all transfers share, fetches each operand,
//! and writes the cookie jar.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use common::operands::{Operand, Operands};
use common::{Error, Exit, Io, Kind, Out, Result};
use url::{Position, Url};

use crate::cli::Cli;
use crate::config::{Config, FileOrStdout};
use crate::fetch::{
    self, Context, PublicSuffixes, ReservedNames, SharedStdout, TransferOutput, UrlJob,
};
use crate::files;
use crate::http::head::Head;
use crate::http::{date, link};
use crate::input::{CancellableStdin, Canceller};
use crate::net::{Dialer, Network, TlsConnector};
use crate::output::progress::Progress;
use crate::output::timing;
use crate::policy::request_url::RequestUrl;
use crate::policy::{digest, request_url};
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

/// Returns the job of an operand.
fn url_job(config: &Config, operand: &Operand, index: usize) -> Result<UrlJob> {
    let bare = strip_credentials(&operand.text);
    let mut request = request_url::parse(&operand.text)
        .map_err(|e| Error::new(Kind::Input, e).with_subject(&bare))?;
    request_url::add_query(&mut request.url, &config.request.url_query);
    Ok(UrlJob {
        display_url: bare,
        trusted_origin: request.url.origin(),
        request,
        destination: config.saving.destination(index).clone(),
        index,
        page: 0,
        sha256: config.saving.sha256.get(index).cloned(),
    })
}

/// Returns the job for the next page, which the response names in Link rel="next".
/// Credentials stay bound to the origin of the first page.
fn next_page(job: &UrlJob, report: &Report) -> Result<Option<UrlJob>> {
    let refused = |message: String| Err(Error::new(Kind::Protocol, message));
    let link = report
        .head
        .as_ref()
        .and_then(|head| link::find(head.all("link"), "next"));
    let base = report.final_url.as_deref().map(Url::parse);
    let (Some(link), Some(Ok(base))) = (link, base) else {
        return Ok(None);
    };
    let Ok(mut url) = base.join(link) else {
        return refused(format!(
            "the link to the next page is not a valid URL: {link}"
        ));
    };
    if !matches!(url.scheme(), "http" | "https")
        || base.scheme() == "https" && url.scheme() == "http"
    {
        return refused(format!(
            "refused to follow the link to the next page: {url}"
        ));
    }
    request_url::strip(&mut url);
    Ok(Some(UrlJob {
        display_url: url.to_string(),
        request: RequestUrl {
            raw_path: url[Position::BeforePath..].to_owned(),
            user: job.request.user.clone(),
            zone: job
                .request
                .zone
                .clone()
                .filter(|_| url.host() == job.request.url.host()),
            url,
        },
        destination: job.destination.clone(),
        trusted_origin: job.trusted_origin.clone(),
        index: job.index,
        page: job.page + 1,
        // The digest is that of the first page.
        sha256: None,
    }))
}

/// Returns a URL as typed, without its credentials.
fn strip_credentials(text: &str) -> String {
    if request_url::other_scheme(text).is_some() {
        return text.to_owned();
    }
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}{}", &text[..start], &text[start + at + 1..]),
        None => text.to_owned(),
    }
}

/// Writes the record and the output of `-w`, and prints the messages on stderr.
fn finish_report(
    context: &Context<'_>,
    operand: &Operand,
    report: &Report,
    index: usize,
    output: &mut TransferOutput<'_>,
) -> Result<()> {
    let config = context.config;
    if let Some(error) = &report.error
        && error.is_stdout_closed()
        && let FetchError::Error(error) = error
    {
        return Err(error.clone());
    }
    if config.output.json {
        output.record(report)?;
    }
    if let Some(write_out) = &config.output.write_out {
        let (out, err) = write_out.render(report, index);
        context.progress.suspend(|| {
            context.reporter.raw(err.as_bytes());
            output.write(out.as_bytes())
        })?;
    }
    context.reporter.raise(report.exit());
    context
        .progress
        .suspend(|| print_messages(context, operand, report));
    Ok(())
}

/// Prints the messages about a transfer on stderr.
fn print_messages(context: &Context<'_>, operand: &Operand, report: &Report) {
    let config = context.config;
    if config.output.show_cert {
        context
            .reporter
            .raw(timing::certificates(report).as_bytes());
    }
    if config.output.time {
        context.reporter.raw(timing::times(report).as_bytes());
    }
    if !config.output.show_errors {
        return;
    }
    if let (true, Some(file)) = (config.saving.remote_header_name, &report.file) {
        let name = file.display().to_string();
        context.reporter.line(format_args!(
            "{}: saved as {}",
            common::text::escape(report.url.as_bytes()),
            common::text::escape(name.as_bytes())
        ));
    }
    match &report.error {
        Some(FetchError::Error(error)) => {
            // The message starts with the URL instead of the subject of the error.
            let error = match error.subject() {
                Some(about) if about != report.url => {
                    context.reporter.line(common::text::escape(
                        format!("{}: {error}", report.url).as_bytes(),
                    ));
                    return;
                }
                _ => error.clone().with_subject(&report.url),
            };
            context.reporter.line(operand.error(error));
        }
        Some(error) => context.reporter.line(common::text::escape(
            format!("{}: {}", report.url, error.message()).as_bytes(),
        )),
        None if report.is_failure_status => {
            let status = report.head.as_deref().map(Head::status_text);
            let unanswered = config.credentials.digest
                && report
                    .head
                    .as_deref()
                    .is_some_and(|head| head.status == 401 && digest::challenge(head).is_none());
            let why = if unanswered {
                ": the server offers no Digest challenge that is supported (MD5 or SHA-256, qop auth)"
            } else {
                ""
            };
            context.reporter.line(common::text::escape(
                format!("{}: {}{why}", report.url, status.unwrap_or_default()).as_bytes(),
            ));
        }
        None => {}
    }
}
