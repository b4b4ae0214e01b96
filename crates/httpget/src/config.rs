//! The command line resolved: values parsed, the environment asked, options
//! that contradict each other refused.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Error, Io, Kind, Result};

use crate::cli::{Cli, OutputArgs, RequestArgs, SavingArgs};
use crate::files;
use crate::http::date::{self, Seconds};
use crate::json::pointer::{self, Pointer};
use crate::net::{DialOptions, Dialer, StallPolicy, TlsConnector, TlsOptions};
use crate::output::write_out::WriteOut;
use crate::policy::cookie::{CookieFile, ReadError};
use crate::policy::limits::Limits;
use crate::policy::netrc::Netrc;
use crate::policy::proxy::{self, NoProxy, Proxies, Proxy};
use crate::policy::request::{self, HeaderEdit};
use crate::policy::request_url;
use crate::policy::retry;
use crate::policy::route::Routes;

/// Where a download is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the start.
    Beginning,
    /// Where an earlier one stopped.
    Resume,
    /// At this byte.
    Offset(u64),
}

/// The age a body is wanted of (`-z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeCondition {
    /// Later than this.
    ModifiedAfter(Seconds),
    /// At the latest this.
    NotModifiedAfter(Seconds),
}

impl TimeCondition {
    /// Whether a body of that age is wanted; equal is not newer, and old
    /// enough.
    pub(crate) fn accepts(self, modified: Seconds) -> bool {
        match self {
            Self::ModifiedAfter(at) => modified > at,
            Self::NotModifiedAfter(at) => modified <= at,
        }
    }

    /// The header that says so.
    fn header(self) -> (&'static str, String) {
        match self {
            Self::ModifiedAfter(at) => ("If-Modified-Since", date::format_http(at)),
            Self::NotModifiedAfter(at) => ("If-Unmodified-Since", date::format_http(at)),
        }
    }
}

/// Everything a transfer goes by.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) request: RequestArgs,
    pub(crate) saving: SavingArgs,
    pub(crate) output: OutputArgs,
    pub(crate) edits: Vec<HeaderEdit>,
    pub(crate) user_agent: String,
    /// Of `-u`; without a password, it is asked for.
    pub(crate) user: Option<request_url::User>,
    pub(crate) bearer: Option<String>,
    pub(crate) netrc: Netrc,
    /// `-b NAME=VALUE`.
    pub(crate) cookies: Option<String>,
    /// If-Modified-Since and the like.
    pub(crate) conditional_headers: Vec<(&'static str, String)>,
    /// What `-z` says.
    pub(crate) time_condition: Option<TimeCondition>,
    pub(crate) write_out: Option<WriteOut>,
    /// Further pages to follow.
    pub(crate) next: u32,
    pub(crate) proxies: Proxies,
    pub(crate) start: Start,
    /// Connections for one file.
    pub(crate) segments: u16,
    /// By the number of the URL, in lower case.
    pub(crate) sha256: Vec<String>,
    pub(crate) pointer: Option<Pointer>,
    pub(crate) retry: retry::RetryPolicy,
    pub(crate) limits: Limits,
    pub(crate) stall: StallPolicy,
    pub(crate) max_time: Option<Duration>,
    /// Whether several transfers run side by side (`-Z`).
    pub(crate) parallel: bool,
    pub(crate) json: bool,
    /// Bodies on stdout are looked at by a person.
    pub(crate) view: bool,
    /// Whether standard output is a terminal.
    pub(crate) stdout_is_terminal: bool,
    pub(crate) color: bool,
    pub(crate) show_errors: bool,
}

impl Config {
    /// Resolves the command line.
    pub(crate) fn new(cli: &Cli, io: &Io) -> Result<Self> {
        let mut edits = Vec::new();
        for text in &cli.request.headers {
            match text.strip_prefix('@') {
                Some(file) => edits.extend(read_headers(Path::new(file))?),
                None => edits.push(request::parse(text).map_err(|e| usage("--header", &e))?),
            }
        }
        let start = match cli.saving.continue_at.as_deref() {
            None => Start::Beginning,
            Some("-") => Start::Resume,
            Some(text) => Start::Offset(
                text.parse()
                    .map_err(|_| usage("--continue-at", "use '-' or a number of bytes"))?,
            ),
        };
        check_conflicts(cli, io, start)?;
        check_header_value("--user-agent", cli.request.user_agent.as_deref())?;
        check_header_value("--referer", cli.request.referer.as_deref())?;
        for cookie in &cli.request.cookie {
            check_header_value("--cookie", Some(cookie))?;
        }
        let pointer = cli.output.pointer.as_deref().map(pointer::parse);
        let slow = speed_limit(cli.network.speed_limit, cli.network.speed_time);
        let timeouts = &cli.network;
        let time_condition = time_condition(&cli.request)?;
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
                .map(read_bearer_token)
                .transpose()?,
            netrc: load_netrc(&cli.request, io)?,
            cookies: cookie_header(&cli.request.cookie),
            conditional_headers: conditional_headers(&cli.request, time_condition)?,
            time_condition,
            write_out: cli
                .output
                .write_out
                .as_deref()
                .map(load_write_out)
                .transpose()?,
            next: cli.many.next,
            proxies: proxies(cli, io)?,
            start,
            segments: cli.saving.segments,
            sha256: cli
                .saving
                .sha256
                .iter()
                .map(|text| parse_digest(text))
                .collect::<Result<_>>()?,
            pointer: pointer.transpose().map_err(|e| usage("--pointer", &e))?,
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
                min_speed: slow,
            },
            stall: stall_policy(timeouts.stall_timeout, slow),
            max_time: timeouts.max_time.filter(|time| !time.is_zero()),
            parallel: cli.many.parallel,
            json: io.json,
            view: io.terminal.stdout && !io.json,
            stdout_is_terminal: io.terminal.stdout,
            color: io.color,
            show_errors: !cli.output.silent || cli.output.show_error,
        })
    }
}

impl Config {
    /// Whether a person may be shown how far a transfer is.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.output.silent && !self.output.no_progress_meter
    }
}

/// Refuses the value of a header that would be several.
fn check_header_value(option: &str, value: Option<&str>) -> Result<()> {
    if value.is_some_and(|value| value.contains(['\r', '\n', '\0'])) {
        return Err(usage(option, "a value with a line break cannot be sent"));
    }
    Ok(())
}

/// Refuses options that contradict each other.
fn check_conflicts(cli: &Cli, io: &Io, start: Start) -> Result<()> {
    if let Some(range) = &cli.request.range
        && !request::is_range(range)
    {
        return Err(usage(
            "--range",
            "use 0-99, 500- or -100, or a list of these",
        ));
    }
    if io.json {
        let printed = [
            ("--cookie-jar -", &cli.request.cookie_jar),
            ("--etag-save -", &cli.request.etag_save),
        ];
        let given = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        if let Some((option, _)) = printed.iter().find(|(_, file)| given(file)) {
            return Err(usage(option, "does not go with --json"));
        }
    }
    if start != Start::Beginning {
        let with = [
            ("--range", cli.request.range.is_some()),
            ("--head", cli.request.head),
            ("--include", cli.output.include),
            ("--remote-header-name", cli.saving.remote_header_name),
            ("--pointer", cli.output.pointer.is_some()),
        ];
        if let Some((other, _)) = with.iter().find(|(_, given)| *given) {
            return Err(usage("--continue-at", &format!("does not go with {other}")));
        }
    }
    if cli.saving.segments > 1 {
        let with = [
            ("--range", cli.request.range.is_some()),
            ("--head", cli.request.head),
            ("--include", cli.output.include),
            ("--pointer", cli.output.pointer.is_some()),
            ("--compressed", cli.request.compressed),
            ("--digest", cli.request.digest),
            ("--max-per-host", cli.many.max_per_host.is_some()),
        ];
        if let Some((other, _)) = with.iter().find(|(_, given)| *given) {
            return Err(usage("--segments", &format!("does not go with {other}")));
        }
        if cli.saving.output.is_empty() && !cli.saving.remote_name {
            return Err(usage("--segments", "needs a file to write (-o or -O)"));
        }
    }
    Ok(())
}

/// What makes connections.
pub(crate) fn dialer(cli: &Cli, config: &Config) -> Result<Dialer> {
    let tls13_only = cli.tls.tls13;
    let tls12_only = cli.tls.tls_max.as_deref() == Some("1.2");
    if tls13_only && tls12_only {
        return Err(usage("--tls-max", "1.2 does not go with --tlsv1.3"));
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

fn usage(option: &str, message: &str) -> Error {
    Error::usage(message).with_subject(option)
}

/// `USER:PASSWORD`; without a colon the password is empty.
fn split_user(text: &str) -> (String, String) {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    (user.to_owned(), password.to_owned())
}

fn parse_digest(text: &str) -> Result<String> {
    let text = text.trim().to_ascii_lowercase();
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(usage("--sha256", "a digest has 64 hexadecimal digits"));
    }
    Ok(text)
}

/// `-Y` without `-y` is for 30 s, `-y` without `-Y` for one byte a second.
fn speed_limit(limit: Option<u64>, time: Option<Duration>) -> Option<(u64, Duration)> {
    match (limit, time) {
        (None, None) | (Some(0), _) => None,
        (limit, time) => Some((limit.unwrap_or(1), time.unwrap_or(Duration::from_secs(30)))),
    }
}

/// A server that says nothing is slower than anything.
fn stall_policy(stall: Duration, slow: Option<(u64, Duration)>) -> StallPolicy {
    match slow {
        Some((least, time)) if time < stall => StallPolicy {
            timeout: time,
            min_speed: Some(least),
        },
        _ => StallPolicy {
            timeout: stall,
            min_speed: None,
        },
    }
}

fn read_bearer_token(file: &Path) -> Result<String> {
    let token = files::read_text(file)?.trim().to_owned();
    if token.is_empty() || token.contains(char::is_control) {
        return Err(
            Error::new(Kind::System, "no token in it").with_subject(file.display().to_string())
        );
    }
    Ok(token)
}

fn load_netrc(request: &RequestArgs, io: &Io) -> Result<Netrc> {
    let path = match (&request.netrc_file, request.netrc) {
        (Some(path), _) => path.clone(),
        (None, true) => match io.env("HOME") {
            Some(home) => Path::new(&home).join(".netrc"),
            None => return Err(usage("--netrc", "HOME is not set; use --netrc-file")),
        },
        (None, false) => return Ok(Netrc::default()),
    };
    files::read_text(&path).map(|text| Netrc::parse(&text))
}

/// The cookies among the values of `-b`; the others are files.
fn cookie_header(values: &[String]) -> Option<String> {
    let given: Vec<&str> = values
        .iter()
        .map(String::as_str)
        .filter(|v| v.contains('='))
        .collect();
    (!given.is_empty()).then(|| given.join("; "))
}

/// The cookies to begin with, if cookies are to be kept at all. `warn` is told
/// of a file that does not exist.
pub(crate) fn load_cookies(
    request: &RequestArgs,
    warn: impl Fn(&str),
) -> Result<Option<CookieFile>> {
    let files: Vec<&String> = request.cookie.iter().filter(|v| !v.contains('=')).collect();
    if files.is_empty() && request.cookie_jar.is_none() {
        return Ok(None);
    }
    let mut found = CookieFile::default();
    // An empty name only turns the jar on, as in curl.
    for file in files.into_iter().filter(|file| !file.is_empty()) {
        let failed = |e| Error::local(&e).with_subject(file.clone());
        let reader = match File::open(file) {
            Ok(file) => BufReader::new(file),
            // The first run of `-b FILE -c FILE` makes it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if request.cookie_jar.as_deref() != Some(Path::new(file)) {
                    warn(file);
                }
                continue;
            }
            Err(e) => return Err(failed(e)),
        };
        let read = CookieFile::read(reader).map_err(|error| match error {
            ReadError::Line(number) => Error::input(
                format!("{file}:{number}"),
                "not a line of a Netscape cookie file",
            ),
            ReadError::Io(e) => failed(e),
        })?;
        found.jar.merge(read.jar);
        found.headers.extend(read.headers);
    }
    Ok(Some(found))
}

fn time_condition(request: &RequestArgs) -> Result<Option<TimeCondition>> {
    let Some(text) = &request.time_cond else {
        return Ok(None);
    };
    let (until, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let modified = std::fs::metadata(text)
        .and_then(|meta| meta.modified())
        .ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let at = match since {
        Some(since) => since.as_secs().cast_signed(),
        None => date::parse_typed(text).ok_or_else(|| {
            usage(
                "--time-cond",
                "neither a file nor a date such as 2021-01-31, 20210131, \
                     2021-01-31T12:00:00Z, '31 Jan 2021' or one of HTTP",
            )
        })?,
    };
    Ok(Some(if until {
        TimeCondition::NotModifiedAfter(at)
    } else {
        TimeCondition::ModifiedAfter(at)
    }))
}

fn conditional_headers(
    request: &RequestArgs,
    time_condition: Option<TimeCondition>,
) -> Result<Vec<(&'static str, String)>> {
    let mut headers: Vec<_> = time_condition
        .map(TimeCondition::header)
        .into_iter()
        .collect();
    if let Some(file) = &request.etag_compare {
        // The first time there is no file yet.
        let tag = if file.exists() {
            files::read_text(file)?.trim().to_owned()
        } else {
            String::new()
        };
        // Without a tag yet, one that no resource has, as curl sends it.
        let tag = if tag.is_empty() {
            "\"\"".to_owned()
        } else {
            tag
        };
        headers.push(("If-None-Match", tag));
    }
    Ok(headers)
}

fn load_write_out(text: &str) -> Result<WriteOut> {
    let text = match text.strip_prefix('@') {
        Some(file) => files::read_text(Path::new(file))?,
        None => text.to_owned(),
    };
    WriteOut::parse(&text).map_err(|e| usage("--write-out", &e))
}

fn read_headers(file: &Path) -> Result<Vec<HeaderEdit>> {
    let text = files::read_text(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| request::parse(line).map_err(|e| Error::input(file.display().to_string(), e)))
        .collect()
}

fn proxies(cli: &Cli, io: &Io) -> Result<Proxies> {
    let parse = |name: &str, text: &str| -> Result<Option<Proxy>> {
        match text {
            "" => Ok(None),
            text => proxy::parse(text)
                .map(Some)
                .map_err(|e| Error::usage(e).with_subject(name)),
        }
    };
    let from_env = |names: &[&str]| -> Result<Option<Proxy>> {
        for name in names {
            if let Some(text) = io.env(name).filter(|text| !text.is_empty()) {
                return parse(name, &text);
            }
        }
        Ok(None)
    };
    let mut option = match &cli.network.proxy {
        None => None,
        Some(text) => Some(parse("--proxy", text)?),
    };
    let user = cli.network.proxy_user.as_deref().map(split_user);
    if let (Some(Some(proxy)), Some(user)) = (&mut option, &user) {
        proxy.user = Some(user.clone());
    }
    let no_proxy = match &cli.network.noproxy {
        Some(list) => Some(list.clone()),
        None => io.env("no_proxy").or_else(|| io.env("NO_PROXY")),
    };
    let mut proxies = Proxies {
        option,
        ..Proxies::default()
    };
    if let Some(list) = no_proxy {
        proxies.no_proxy = NoProxy::parse(&list);
    }
    if proxies.option.is_none() {
        proxies.http = from_env(&["http_proxy"])?;
        proxies.https = from_env(&["https_proxy", "HTTPS_PROXY"])?;
        proxies.all = from_env(&["all_proxy", "ALL_PROXY"])?;
        for proxy in [&mut proxies.http, &mut proxies.https, &mut proxies.all] {
            if let (Some(proxy), Some(user)) = (proxy, &user) {
                proxy.user = Some(user.clone());
            }
        }
    }
    Ok(proxies)
}

/// The path a file is saved under, in the folder of `--output-dir`.
pub(crate) fn in_dir(saving: &SavingArgs, name: &Path) -> PathBuf {
    match &saving.output_dir {
        Some(dir) => dir.join(name),
        None => name.to_owned(),
    }
}
