//! The resolved configuration: option values are parsed, environment variables
//! and files are read, and options that exclude each other are refused.

mod conflicts;
mod files;
mod proxies;

use std::path::Path;
use std::time::Duration;

use common::{Error, Io, Result};

use crate::cli::{Cli, OutputArgs, RequestArgs, SavingArgs};
use crate::json::pointer::{self, Pointer};
use crate::net::{DialOptions, Dialer, StallPolicy, TlsConnector, TlsOptions};
use crate::output::write_out::WriteOut;
use crate::policy::limits::Limits;
use crate::policy::netrc::Netrc;
use crate::policy::proxy::Proxies;
use crate::policy::request::{self, HeaderEdit};
use crate::policy::request_url;
use crate::policy::retry;
use crate::policy::route::Routes;
use crate::policy::time_condition::TimeCondition;

pub(crate) use files::load_cookies;

/// The offset at which a download starts (`-C`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Start at the beginning.
    Beginning,
    /// Continue an earlier download.
    Resume,
    /// Start at this byte.
    Offset(u64),
}

/// The configuration of all transfers.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) request: RequestArgs,
    pub(crate) saving: SavingArgs,
    pub(crate) output: OutputArgs,
    pub(crate) edits: Vec<HeaderEdit>,
    pub(crate) user_agent: String,
    /// The login of `-u`; a missing password is prompted for.
    pub(crate) user: Option<request_url::User>,
    pub(crate) bearer: Option<String>,
    pub(crate) netrc: Netrc,
    /// The cookies of `-b NAME=VALUE`, as the value of a Cookie header.
    pub(crate) cookies: Option<String>,
    /// The headers of a conditional request, such as If-None-Match.
    pub(crate) conditional_headers: Vec<(&'static str, String)>,
    pub(crate) time_condition: Option<TimeCondition>,
    pub(crate) write_out: Option<WriteOut>,
    /// The maximum number of further pages to follow (`--next`).
    pub(crate) next: u32,
    pub(crate) proxies: Proxies,
    pub(crate) start: Start,
    /// The number of connections for one file (`--segments`).
    pub(crate) segments: u16,
    /// The expected SHA-256 digests in lower-case hexadecimal, by URL.
    pub(crate) sha256: Vec<String>,
    pub(crate) pointer: Option<Pointer>,
    pub(crate) retry: retry::RetryPolicy,
    pub(crate) limits: Limits,
    pub(crate) stall: StallPolicy,
    pub(crate) max_time: Option<Duration>,
    /// Whether transfers run in parallel (`-Z`).
    pub(crate) parallel: bool,
    pub(crate) json: bool,
    /// Whether bodies are rendered for a terminal.
    pub(crate) view: bool,
    /// Whether standard output is a terminal.
    pub(crate) stdout_is_terminal: bool,
    pub(crate) color: bool,
    pub(crate) show_errors: bool,
}

impl Config {
    /// Resolves the command line and checks it for conflicts.
    pub(crate) fn new(cli: &Cli, io: &Io) -> Result<Self> {
        let mut edits = Vec::new();
        for text in &cli.request.headers {
            match text.strip_prefix('@') {
                Some(file) => edits.extend(files::read_headers(Path::new(file))?),
                None => edits.push(request::parse(text).map_err(|e| usage("--header", &e))?),
            }
        }
        let start = match cli.saving.continue_at.as_deref() {
            None => Start::Beginning,
            Some("-") => Start::Resume,
            Some(text) => Start::Offset(text.parse().map_err(|_| {
                let message = "must be '-' or a number of bytes";
                invalid_value("--continue-at <OFFSET>", text, message)
            })?),
        };
        conflicts::check(cli, io, start)?;
        check_header_value("--user-agent", cli.request.user_agent.as_deref())?;
        check_header_value("--referer", cli.request.referer.as_deref())?;
        for cookie in &cli.request.cookie {
            check_header_value("--cookie", Some(cookie))?;
        }
        let pointer = cli.output.pointer.as_deref().map(|text| {
            let parsed = pointer::parse(text);
            parsed.map_err(|e| invalid_value("--pointer <POINTER>", text, &e))
        });
        let min_speed = speed_limit(cli.network.speed_limit, cli.network.speed_time);
        let timeouts = &cli.network;
        let time_condition = files::time_condition(&cli.request)?;
        Ok(Self {
            request: cli.request.clone(),
            saving: cli.saving.clone(),
            output: cli.output.clone(),
            edits,
            user_agent: match &cli.request.user_agent {
                Some(name) => name.clone(),
                None => concat!("httpget/", env!("CARGO_PKG_VERSION")).to_owned(),
            },
            user: cli.request.user.as_deref().map(|text| {
                let (user, password) = text
                    .split_once(':')
                    .map_or((text, None), |(user, password)| (user, Some(password)));
                (user.to_owned(), password.map(str::to_owned))
            }),
            bearer: cli
                .request
                .bearer_file
                .as_deref()
                .map(files::read_bearer_token)
                .transpose()?,
            netrc: files::load_netrc(&cli.request, io)?,
            cookies: files::cookie_header(&cli.request.cookie),
            conditional_headers: files::conditional_headers(&cli.request, time_condition)?,
            time_condition,
            write_out: cli
                .output
                .write_out
                .as_deref()
                .map(files::load_write_out)
                .transpose()?,
            next: cli.many.next,
            proxies: proxies::resolve(cli, io)?,
            start,
            segments: cli.saving.segments,
            sha256: cli
                .saving
                .sha256
                .iter()
                .map(|text| parse_digest(text))
                .collect::<Result<_>>()?,
            pointer: pointer.transpose()?,
            retry: retry::RetryPolicy {
                max_retries: cli.saving.retry,
                delay: cli.saving.retry_delay,
                max_time: cli.saving.retry_max_time,
                retry_refused: cli.saving.retry_connrefused,
                retry_all: cli.saving.retry_all_errors,
            },
            limits: Limits {
                max_bytes: cli.saving.max_filesize,
                max_rate: cli.saving.limit_rate.filter(|&rate| rate > 0),
                min_speed,
            },
            stall: stall_policy(timeouts.stall_timeout, min_speed),
            max_time: timeouts.max_time.filter(|time| !time.is_zero()),
            parallel: cli.many.parallel,
            json: io.json,
            view: io.terminal.stdout && !io.json,
            stdout_is_terminal: io.terminal.stdout,
            color: io.color,
            show_errors: !cli.output.silent || cli.output.show_error,
        })
    }

    /// Whether progress bars may be shown.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.output.silent && !self.output.no_progress_meter
    }
}

/// Refuses a value that would become several header lines.
fn check_header_value(option: &str, value: Option<&str>) -> Result<()> {
    if value.is_some_and(|value| value.contains(['\r', '\n', '\0'])) {
        return Err(usage(option, "must not contain a line break"));
    }
    Ok(())
}

/// Returns the dialer for the options of connections and TLS.
pub(crate) fn dialer(cli: &Cli, config: &Config) -> Result<Dialer> {
    let tls13_only = cli.tls.tls13;
    let tls12_only = cli.tls.tls_max.as_deref() == Some("1.2");
    if tls13_only && tls12_only {
        return Err(usage("--tls-max", "1.2 cannot be used with --tlsv1.3"));
    }
    let tls = TlsConnector::new(TlsOptions {
        ca_files: cli.tls.cacert.clone(),
        ca_dir: cli.tls.capath.clone(),
        insecure: cli.tls.insecure,
        certificate: cli.tls.cert.clone(),
        key: cli.tls.key.clone(),
        no_tls12: tls13_only,
        no_tls13: tls12_only,
        pins: cli
            .tls
            .pinnedpubkey
            .clone()
            .map(|pins| pins.0)
            .unwrap_or_default(),
    });
    let options = DialOptions {
        family: cli.family.family(),
        timeout: cli.network.connect_timeout,
        interface: cli.network.interface.clone(),
        unix_socket: cli.network.unix_socket.clone(),
        routes: Routes {
            resolve: cli.network.resolve.clone(),
            connect_to: cli.network.connect_to.clone(),
        },
        user_agent: Some(config.user_agent.clone()).filter(|name| !name.is_empty()),
    };
    Ok(Dialer::new(options, tls))
}

/// Returns the error of an option's value, in the form that clap uses. `option`
/// includes the name of the value.
fn invalid_value(option: &str, value: &str, message: &str) -> Error {
    let value = common::text::escape(value.as_bytes());
    Error::usage(format!("invalid value '{value}' for '{option}': {message}"))
}

/// Returns a usage error about an option.
fn usage(option: &str, message: &str) -> Error {
    Error::usage(message).with_subject(option)
}

fn parse_digest(text: &str) -> Result<String> {
    let digest = text.trim().to_ascii_lowercase();
    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        let message = "must have 64 hexadecimal digits";
        return Err(invalid_value("--sha256 <HEX>", text, message));
    }
    Ok(digest)
}

/// Combines `-Y` and `-y`: without `-y` the time is 30 s, without `-Y` the speed
/// is one byte per second.
fn speed_limit(limit: Option<u64>, time: Option<Duration>) -> Option<(u64, Duration)> {
    match (limit, time) {
        (None, None) | (Some(0), _) => None,
        (limit, time) => Some((limit.unwrap_or(1), time.unwrap_or(Duration::from_secs(30)))),
    }
}

/// Returns how long a server may be silent: no longer than a transfer may be too
/// slow.
fn stall_policy(stall: Duration, min_speed: Option<(u64, Duration)>) -> StallPolicy {
    match min_speed {
        Some((speed, time)) if time < stall => StallPolicy {
            timeout: time,
            min_speed: Some(speed),
        },
        _ => StallPolicy {
            timeout: stall,
            min_speed: None,
        },
    }
}
