//! One URL from its first request to its last byte: tries, hops, delivery.
//!
//! [`fetch`] runs the tries. Each try follows redirects ([`hops`]) to a
//! response, and its body goes through [`source`] and [`crate::http::coding`] into a
//! [`sink`]. All of it leaves a [`Report`].

mod auth;
mod deliver;
mod extract;
mod hops;
mod names;
mod naming;
mod part;
mod report;
mod resuming;
mod save;
mod segments;
mod sink;
mod small;
mod source;
mod stage;
mod unchanged;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use common::Error;
use common::app::Reporter;

pub(crate) use auth::Suffixes;
pub(crate) use naming::Claims;
pub(crate) use report::{Report, Trouble};
pub(crate) use source::Limits;
pub(crate) use stage::{Shared, Stage};

use url::Url;

use crate::config::{Config, Start};
use crate::http::head::Head;
use crate::net::{self, Line, Network};
use crate::output::progress::Progress;
use crate::policy::cookie::Jar;
use crate::policy::resume::{self, Had};
use crate::policy::target::{Target, User};
use crate::pool::Gate;
use report::Stop;
use save::Earlier;
use sink::{Again, Sink};

/// Where a URL's body goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To standard output, or into the JSON record.
    Stdout,
    /// Into this file.
    File(PathBuf),
    /// Into a file named by the URL or the server.
    Remote,
}

/// One URL to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// As typed, without credentials.
    pub(crate) url: String,
    pub(crate) target: Target,
    pub(crate) place: Place,
    /// The origin that credentials are for.
    pub(crate) home: url::Origin,
    /// The number of the URL, from 0.
    pub(crate) index: usize,
    /// The number of the page behind it, with `--next`.
    pub(crate) page: u32,
    /// The SHA-256 that the body must have, in lower case.
    pub(crate) sha256: Option<String>,
}

/// What all transfers share.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) network: &'a Network,
    pub(crate) talk: Reporter,
    /// The file of `-D`.
    pub(crate) heads: Option<Mutex<std::fs::File>>,
    /// Cookies, where they are kept.
    pub(crate) jar: Option<Mutex<Jar>>,
    /// Set-Cookie headers of a file, for the URLs that are asked for.
    pub(crate) given_cookies: Vec<String>,
    /// The password that was asked for on the terminal.
    pub(crate) password: OnceLock<Result<String, Error>>,
    pub(crate) suffixes: Suffixes,
    pub(crate) progress: Progress,
    /// The names that are taken.
    pub(crate) claims: Claims,
    /// The limit of `--max-per-host`.
    pub(crate) hosts: Option<Gate>,
}

/// Why there is no further try although one was asked for.
const NO_RETRY: &str =
    "not tried again, since what is out already can neither be taken back nor be continued";

/// The same where the time for tries is over.
const TOO_LATE: &str = "the next try would be too late; --retry-max-time allows more";

/// A transfer under way.
struct Transfer<'a, 'b> {
    context: &'a Context<'a>,
    job: &'a Job,
    stage: &'a mut Stage<'b>,
    report: Report,
    sink: Sink,
    /// Whether this body goes nowhere, though there may be a file that others
    /// went to.
    drops: bool,
    started: Instant,
    /// When this try must be done.
    deadline: Option<Instant>,
    /// Where the response came from.
    final_url: Url,
    /// User and password in a Location of the origin that was asked for.
    led_user: Option<User>,
    /// The id of the URL, for the record beside a part file.
    id: String,
    /// Whether a first piece is asked for, to have the rest in pieces, too.
    split: bool,
    /// The connection of that first piece.
    line: Option<Arc<Line>>,
    /// The heads of this try, where they belong into the file.
    heads: Vec<u8>,
    /// The digest of what is on stdout, for a try that goes on behind it.
    hashed: Option<ring::digest::Context>,
    /// Whether the entity tag has been printed.
    tagged: bool,
    /// The last bytes that are there and that the body repeats first.
    overlap: Vec<u8>,
    /// Whether it repeated others.
    differs: bool,
    /// What is there already and shall be continued.
    resume: Option<Had>,
    /// Whether `resume` was asked for by number, so that the start cannot be
    /// had from anywhere else.
    fixed: bool,
}

/// How one try ended when it did not fail.
enum Tried {
    Done,
    /// The status may pass within this time.
    Later(Duration),
}

/// Fetches one URL.
pub(crate) fn fetch(context: &Context<'_>, job: &Job, stage: &mut Stage<'_>) -> Report {
    let head = context.config.request.head;
    let transfer = Transfer {
        context,
        job,
        stage,
        report: Report {
            url: job.url.clone(),
            method: if head { "HEAD" } else { "GET" },
            ..Report::default()
        },
        sink: Sink::Undecided,
        drops: false,
        started: Instant::now(),
        deadline: None,
        final_url: job.target.url.clone(),
        led_user: None,
        id: resume::url_id(&job.target.url),
        split: false,
        line: None,
        heads: Vec::new(),
        hashed: None,
        tagged: false,
        overlap: Vec::new(),
        differs: false,
        resume: None,
        fixed: false,
    };
    transfer.run()
}

impl Transfer<'_, '_> {
    fn run(mut self) -> Report {
        self.take_given_cookies();
        let outcome = match self.prepare() {
            Ok(true) => {
                self.split = self.splits();
                self.tries()
            }
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        self.report.total = self.started.elapsed();
        let failed = outcome.is_err();
        self.report.trouble = outcome.err();
        let remove = self.context.config.saving.remove_on_error
            || matches!(self.report.trouble, Some(Trouble::No { .. }));
        if let Err(error) = self.sink.settle() {
            self.report.trouble.get_or_insert(error.into());
        }
        match self.sink {
            Sink::File { saver, used, .. } => {
                // One that is complete has its name, and is here no more.
                let outcome = if used {
                    saver.abandon(remove)
                } else {
                    saver.leave()
                };
                if let (Err(error), None) = (outcome, &self.report.trouble) {
                    self.report.trouble = Some(error.into());
                }
            }
            // One that is too large is not printed either.
            Sink::Memory { bytes, .. }
                if self
                    .report
                    .trouble
                    .as_ref()
                    .is_none_or(|trouble| trouble.kind() != "size")
                    && (!failed || !bytes.is_empty()) =>
            {
                self.report.body = Some(bytes);
            }
            _ => {}
        }
        self.report
    }

    /// Looks at what is there before anything is asked. False if nothing is
    /// to be asked.
    fn prepare(&mut self) -> Result<bool, Error> {
        let config = self.context.config;
        let path = match &self.job.place {
            Place::Stdout => None,
            Place::Remote if config.saving.remote_header_name => None,
            _ => Some(self.path(None)?.0),
        };
        if let Some(path) = &path
            && config.saving.skip_existing
            && path.exists()
        {
            self.report.file = Some(path.clone());
            return Ok(false);
        }
        match (config.start, path) {
            (Start::Zero, _) | (Start::At(0), None) => {}
            (Start::At(bytes), None) => {
                self.fixed = true;
                self.resume = Some(Had {
                    bytes,
                    exact: true,
                    ..Had::default()
                });
            }
            (Start::Earlier, None) => {
                return Err(Error::usage("-C - needs a file to continue (-o or -O)"));
            }
            (start, Some(path)) => {
                let (_, taken) = self.claimed(None)?;
                let mut unproved = false;
                let saver = save::Saver::open(&path, taken, config.saving.create_dirs, &self.id)?;
                self.resume = match start {
                    Start::At(bytes) => {
                        self.fixed = true;
                        Some(Had {
                            bytes,
                            of_file: true,
                            exact: true,
                            ..Had::default()
                        })
                    }
                    _ => match saver.earlier(self.job.sha256.is_some())? {
                        Earlier::There(had) => Some(had),
                        Earlier::Unproved => {
                            unproved = true;
                            None
                        }
                        Earlier::Nothing => None,
                    },
                };
                self.sink = Sink::file(saver);
                if unproved {
                    self.start_over(
                        "no validator proves that a rest belongs to what is there; \
                         --sha256 would",
                    );
                }
            }
        }
        Ok(true)
    }

    /// Tries until it is done, or until no further try is allowed.
    fn tries(&mut self) -> Result<(), Trouble> {
        let rules = &self.context.config.retry;
        let mut tried = 0;
        loop {
            let more = tried < rules.count
                && rules
                    .max_time
                    .is_none_or(|max| self.started.elapsed() < max);
            let (why, pause) = match self.attempt(!more) {
                Ok(Tried::Done) => return Ok(()),
                Ok(Tried::Later(pause)) => {
                    let head = self.report.head.as_deref();
                    (head.map_or_else(String::new, Head::status_text), pause)
                }
                Err(Stop { trouble, cut }) => match &trouble {
                    Trouble::Error(error) if more && rules.passes(error, cut) => {
                        if !self.can_go_on()? {
                            return Err(error.clone().hint(NO_RETRY).into());
                        }
                        match self.pause(self.report.head.as_deref()) {
                            Some(pause) => (trouble.message(), pause),
                            None => return Err(error.clone().hint(TOO_LATE).into()),
                        }
                    }
                    _ => return Err(trouble),
                },
            };
            tried += 1;
            self.report.retries = tried;
            if !self.context.config.output.silent {
                self.context.talk.line(format_args!(
                    "{}: {}; trying again {}",
                    common::text::escape(self.job.url.as_bytes()),
                    common::text::escape(why.as_bytes()),
                    if pause.is_zero() {
                        "at once".to_owned()
                    } else {
                        format!("in {}", net::shown(pause))
                    },
                ));
            }
            std::thread::sleep(pause);
        }
    }

    /// One try. `last` says that there will be no other.
    fn attempt(&mut self, last: bool) -> Result<Tried, Stop> {
        self.deadline = self
            .context
            .config
            .max_time
            .map(|time| Instant::now() + time);
        loop {
            let answer = self.hops()?;
            if let Some(pause) = self.later(&answer.head, last) {
                return Ok(Tried::Later(pause));
            }
            if let Some(tried) = self.deliver(answer, last)? {
                return Ok(tried);
            }
            // What was there cannot be continued: the whole, then.
        }
    }

    /// The pause after which a response may be another; `None` where it is what
    /// there is to be had.
    fn later(&self, head: &Head, last: bool) -> Option<Duration> {
        let passes = !last && self.context.config.retry.passes_status(head.status);
        passes.then(|| self.pause(Some(head))).flatten()
    }

    /// The pause before a further try; `None` where that would be too late.
    fn pause(&self, head: Option<&Head>) -> Option<Duration> {
        let rules = &self.context.config.retry;
        let pause = rules.pause(self.report.retries + 1, head, random());
        let left = rules
            .max_time
            .map(|max| max.saturating_sub(self.started.elapsed()));
        left.is_none_or(|left| pause <= left).then_some(pause)
    }

    /// Whether a further try can continue or repeat what was delivered.
    fn can_go_on(&mut self) -> Result<bool, Error> {
        match self.sink.again()? {
            Again::From(had) => self.resume = Some(had),
            // From the start, or behind what an earlier run left or the user
            // named.
            Again::Fresh if self.sink.is_used() && !self.fixed => self.resume = None,
            Again::Fresh => {}
            Again::Never => return Ok(false),
        }
        Ok(true)
    }
}

/// A random byte, for pauses that differ between clients.
fn random() -> u8 {
    let mut byte = [0];
    // Without randomness the pause is merely not spread.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
