//! The tour over the operands.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use common::operands::{Operand, Operands};
use common::{Error, Exit, Io, Kind, Out, Result};
use url::{Position, Url};

use crate::cli::Cli;
use crate::config::{self, Config};
use crate::fetch::{self, Claims, Context, Job, Place, Report, Shared, Stage, Suffixes, Trouble};
use crate::files;
use crate::http::head::Head;
use crate::http::{date, link};
use crate::input::{End, Input};
use crate::net::Network;
use crate::output::progress::Progress;
use crate::output::template::Template;
use crate::output::timing;
use crate::policy::{digest, target};
use crate::pool;
use crate::secrets;

/// Runs the tool.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    secrets::cover();
    let config = Config::new(cli, io)?;
    let at_once = if cli.many.parallel {
        usize::from(cli.many.parallel_max)
    } else {
        1
    };
    let network = Network::new(
        config::dialer(cli, &config)?,
        at_once * usize::from(config.segments),
        config.stall,
    );
    let cookies = config::cookie_file(&config.request, |file| {
        if config.show_errors {
            let file = common::text::escape(file.as_bytes());
            io.report.line(format_args!(
                "warning: {file}: no such file; cookies are kept in this run only"
            ));
        }
    })?;
    let (jar, given_cookies) = cookies
        .map(|file| (Mutex::new(file.jar), file.headers))
        .unzip();
    let context = Context {
        config: &config,
        network: &network,
        talk: io.report.clone(),
        heads: heads(&config)?,
        jar,
        given_cookies: given_cookies.unwrap_or_default(),
        password: OnceLock::new(),
        suffixes: Suffixes::default(),
        progress: Progress::new(io.terminal.stderr && config.shows_progress()),
        claims: Claims::default(),
        hosts: cli
            .many
            .max_per_host
            .map(|most| pool::Gate::new(most.into())),
    };
    if cli.saving.remote_header_name && !cli.saving.remote_name {
        warn(&context, "--remote-header-name does nothing without -O");
    }
    for name in config.write_out.iter().flat_map(Template::unknown) {
        let name = common::text::escape(name.as_bytes());
        warn(
            &context,
            format_args!("--write-out: unknown variable {name}"),
        );
    }
    let (operands, end) = operands(cli, io)?;
    let count = AtomicUsize::new(0);
    let operands = operands.inspect(|_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    // The transfers write; it comes back when they are done.
    let out = std::mem::replace(&mut io.out, Out::new(Box::new(std::io::sink())));
    let shared = Shared::new(out, config.stall.time);
    let outcome = if cli.many.parallel {
        let stage = |index| {
            let ticket = cli.many.ordered.then_some(index as u64);
            Stage::beside(&shared, ticket)
        };
        let work = |index, operand| {
            let mut stage = stage(index);
            let outcome = one(&context, operand, index, &mut stage);
            // Also after a failure: others wait for their turn.
            let outcome = stage.finish().and(outcome);
            if let (Err(_), Some(end)) = (&outcome, &end) {
                // Others may wait for a further URL, which nobody wants.
                end.now();
            }
            outcome
        };
        pool::run(operands, at_once, work, |index| stage(index).skip())
    } else {
        operands.enumerate().try_for_each(|(index, operand)| {
            one(&context, operand, index, &mut Stage::alone(&shared))
        })
    };
    io.out = shared.into_out();
    keep_jar(&context, &mut io.out)?;
    let count = count.into_inner();
    for (option, given) in [
        ("-o", config.saving.output.len()),
        ("--sha256", config.sha256.len()),
    ] {
        let surplus = given.saturating_sub(count);
        if surplus > 0 && outcome.is_ok() {
            warn(&context, format_args!("{surplus} more {option} than URLs"));
        }
    }
    outcome?;
    if count == 0 {
        io.report.line("the list is empty");
        return Ok(Exit::No);
    }
    Ok(Exit::Yes)
}

/// The operands; with `-Z` their input can be told to end.
fn operands(cli: &Cli, io: &Io) -> Result<(Operands, Option<End>)> {
    if !cli.many.parallel {
        return Ok((io.operands(&cli.urls, "a URL")?.with_files(), None));
    }
    let (input, end) = io
        .raw_streams()
        .and_then(|(stdin, _)| Input::new(stdin))
        .map_err(|e| Error::local(&e))?;
    let operands = io.operands_from(&cli.urls, "a URL", Box::new(input))?;
    Ok((operands.with_files(), Some(end)))
}

/// Adds a hint to a failed lookup if the operand is the name of a file.
fn mention_file(operand: &Operand, report: &mut Report) {
    let text = &operand.text;
    if let Some(Trouble::Error(error)) = &mut report.trouble
        && error.kind() == Kind::Name
        && Path::new(text).is_file()
    {
        *error = error
            .clone()
            .hint(format!("@{text} reads the file of that name"));
    }
}

/// What was asked for and has no effect, as curl warns of it.
fn warn(context: &Context<'_>, text: impl std::fmt::Display) {
    if context.config.show_errors {
        context.talk.line(format_args!("warning: {text}"));
    }
}

/// Writes the file of `-c`, readable by its owner only; `-` is standard output.
fn keep_jar(context: &Context<'_>, out: &mut Out) -> Result<()> {
    let (Some(path), Some(jar)) = (&context.config.request.cookie_jar, &context.jar) else {
        return Ok(());
    };
    let text = jar
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .write(date::now());
    if path == Path::new("-") {
        return if context.config.view {
            out.bytes(common::text::escape_body(text.as_bytes()).as_bytes())
        } else {
            out.bytes(text.as_bytes())
        };
    }
    files::replace_private(path, text.as_bytes())
}

/// The file of `-D`. A new one can be read by its owner only, for there are
/// cookies in heads.
fn heads(config: &Config) -> Result<Option<Mutex<std::fs::File>>> {
    match &config.output.dump_header {
        None => Ok(None),
        Some(path) if path == Path::new("-") => Ok(None),
        Some(path) => match OpenOptions::new()
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

/// One operand. An error here ends the run; what is wrong with the operand
/// or its transfer is reported.
fn one(
    context: &Context<'_>,
    operand: Result<Operand>,
    index: usize,
    stage: &mut Stage<'_>,
) -> Result<()> {
    let config = context.config;
    let job = operand.and_then(|operand| {
        job(config, &operand, index)
            .map(|job| (job, operand.clone()))
            .map_err(|e| operand.error(e))
    });
    let (job, operand) = match job {
        Ok(both) => both,
        Err(error) => {
            // Errors of usage and input are shown even with -s, as curl does
            // not: a script that silences the network still wants these.
            context.talk.error(&error);
            if config.json {
                let report = Report {
                    url: error.operand().unwrap_or_default().to_owned(),
                    method: if config.request.head { "HEAD" } else { "GET" },
                    trouble: Some(error.into()),
                    ..Report::default()
                };
                stage.record(&report)?;
            }
            return Ok(());
        }
    };
    let _pass = context
        .hosts
        .as_ref()
        .map(|gate| gate.enter(&target::authority(&job.target.url)));
    let mut job = job;
    for page in 0..=config.next {
        let mut report = fetch::fetch(context, &job, stage);
        mention_file(&operand, &mut report);
        tell(context, &operand, &report, index, stage)?;
        if page == config.next || report.exit() != Exit::Yes {
            break;
        }
        match next_page(&job, &report) {
            Ok(Some(next)) => job = next,
            Ok(None) => break,
            Err(error) => {
                if config.show_errors {
                    context.talk.error(&error.with_subject(&job.url));
                } else {
                    context.talk.raise(error.exit());
                }
                break;
            }
        }
    }
    Ok(())
}

/// What an operand asks for.
fn job(config: &Config, operand: &Operand, index: usize) -> Result<Job> {
    let bare = without_credentials(&operand.text);
    let mut target =
        target::parse(&operand.text).map_err(|e| Error::new(Kind::Input, e).with_subject(&bare))?;
    target::add_query(&mut target.url, &config.request.url_query);
    let place = match config.saving.output.get(index) {
        Some(path) if path == Path::new("-") => Place::Stdout,
        Some(path) => Place::File(path.clone()),
        None if config.saving.remote_name => Place::Remote,
        None => Place::Stdout,
    };
    Ok(Job {
        url: bare,
        home: target.url.origin(),
        target,
        place,
        index,
        page: 0,
        sha256: config.sha256.get(index).cloned(),
    })
}

/// The page behind a response's Link rel="next". Credentials stay with the
/// origin of the first one.
fn next_page(job: &Job, report: &Report) -> Result<Option<Job>> {
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
        return refused(format!("the next page has no URL: {link}"));
    };
    if !matches!(url.scheme(), "http" | "https")
        || base.scheme() == "https" && url.scheme() == "http"
    {
        return refused(format!("refused to go to the next page: {url}"));
    }
    target::strip(&mut url);
    Ok(Some(Job {
        url: url.to_string(),
        target: target::Target {
            raw_path: url[Position::BeforePath..].to_owned(),
            user: job.target.user.clone(),
            zone: job
                .target
                .zone
                .clone()
                .filter(|_| url.host() == job.target.url.host()),
            url,
        },
        place: job.place.clone(),
        home: job.home.clone(),
        index: job.index,
        page: job.page + 1,
        // It was that of the first page.
        sha256: None,
    }))
}

/// A URL as typed, but for what stands before an `@`.
fn without_credentials(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}{}", &text[..start], &text[start + at + 1..]),
        None => text.to_owned(),
    }
}

/// Reports a transfer: the record, the line on stderr, the status.
fn tell(
    context: &Context<'_>,
    operand: &Operand,
    report: &Report,
    index: usize,
    stage: &mut Stage<'_>,
) -> Result<()> {
    let config = context.config;
    if let Some(trouble) = &report.trouble
        && trouble.is_stdout_closed()
        && let Trouble::Error(error) = trouble
    {
        return Err(error.clone());
    }
    if config.json {
        stage.record(report)?;
    }
    if let Some(template) = &config.write_out {
        let (out, err) = template.render(report, index);
        context.progress.aside(|| {
            context.talk.raw(err.as_bytes());
            stage.write(out.as_bytes())
        })?;
    }
    context.talk.raise(report.exit());
    context.progress.aside(|| say(context, operand, report));
    Ok(())
}

/// The lines on stderr.
fn say(context: &Context<'_>, operand: &Operand, report: &Report) {
    let config = context.config;
    if config.output.show_cert {
        context.talk.raw(timing::certificates(report).as_bytes());
    }
    if config.output.time {
        context.talk.raw(timing::times(report).as_bytes());
    }
    if !config.show_errors {
        return;
    }
    if let (true, Some(file)) = (config.saving.remote_header_name, &report.file) {
        let name = file.display().to_string();
        context.talk.line(format_args!(
            "{}: saved as {}",
            common::text::escape(report.url.as_bytes()),
            common::text::escape(name.as_bytes())
        ));
    }
    match &report.trouble {
        Some(Trouble::Error(error)) => {
            // The URL leads, whatever file or name the error is about.
            let error = match error.operand() {
                Some(about) if about != report.url => {
                    context.talk.line(common::text::escape(
                        format!("{}: {error}", report.url).as_bytes(),
                    ));
                    return;
                }
                _ => error.clone().with_subject(&report.url),
            };
            context.talk.line(operand.error(error));
        }
        Some(trouble) => context.talk.line(common::text::escape(
            format!("{}: {}", report.url, trouble.message()).as_bytes(),
        )),
        None if report.status_fails => {
            let status = report.head.as_deref().map(Head::status_text);
            let unanswered = config.request.digest
                && report
                    .head
                    .as_deref()
                    .is_some_and(|head| head.status == 401 && digest::challenge(head).is_none());
            let why = if unanswered {
                ": the server offers no Digest that can be answered (MD5 or SHA-256, qop auth)"
            } else {
                ""
            };
            context.talk.line(common::text::escape(
                format!("{}: {}{why}", report.url, status.unwrap_or_default()).as_bytes(),
            ));
        }
        None => {}
    }
}
