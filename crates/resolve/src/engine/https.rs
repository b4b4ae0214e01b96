//! DNS over HTTPS (RFC 8484): a few threads with one client between them,
//! since that client blocks. Answers come back over a channel, and a byte on
//! a socket pair wakes the engine.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::Kind;
use ureq::Agent;

use crate::answer::Status;
use crate::lookup::Failure;
use crate::tls;

/// Requests under way at once.
pub(crate) const THREADS: usize = 8;

/// The largest answer: what a DNS message can be.
const LARGEST: u64 = 65_535;

/// A query on its way to the server.
#[derive(Debug)]
struct Request {
    token: u64,
    message: Vec<u8>,
    deadline: Instant,
}

/// An answer, or why there is none.
pub(crate) type Answer = (u64, Result<Vec<u8>, (Status, Failure)>);

/// A server's threads.
#[derive(Debug)]
pub(crate) struct Https {
    queue: mpsc::Sender<Request>,
    requests: Arc<Mutex<mpsc::Receiver<Request>>>,
    answers: mpsc::Receiver<Answer>,
    sender: mpsc::Sender<Answer>,
    wake: UnixStream,
    waker: Arc<UnixStream>,
    agent: Agent,
    url: Arc<str>,
    get: bool,
    threads: usize,
}

impl Https {
    /// No thread yet; they start with the requests.
    pub(crate) fn new(url: &str, get: bool, trust: &tls::Trust) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel();
        let (sender, answers) = mpsc::channel();
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls::for_https(trust))
            .max_idle_connections_per_host(THREADS)
            .build()
            .new_agent();
        Ok(Self {
            queue,
            requests: Arc::new(Mutex::new(requests)),
            answers,
            sender,
            wake,
            waker: Arc::new(waker),
            agent,
            url: url.into(),
            get,
            threads: 0,
        })
    }

    /// Sends a query; `busy` requests are under way already.
    pub(crate) fn send(
        &mut self,
        token: u64,
        message: Vec<u8>,
        deadline: Instant,
        busy: usize,
    ) -> io::Result<()> {
        if self.threads < THREADS && busy >= self.threads {
            self.spawn()?;
        }
        let request = Request {
            token,
            message,
            deadline,
        };
        self.queue
            .send(request)
            .map_err(|_| io::Error::other("the threads for HTTPS are gone"))
    }

    /// The next answer that is there.
    pub(crate) fn receive(&mut self) -> Option<Answer> {
        let answer = self.answers.try_recv().ok();
        if answer.is_none() {
            let mut bytes = [0; 64];
            while matches!(self.wake.read(&mut bytes), Ok(n) if n > 0) {}
            // One may have come between the look and the reading.
            return self.answers.try_recv().ok();
        }
        answer
    }

    fn spawn(&mut self) -> io::Result<()> {
        let requests = Arc::clone(&self.requests);
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let (agent, url, get) = (self.agent.clone(), Arc::clone(&self.url), self.get);
        thread::Builder::new()
            .name("https".to_owned())
            .spawn(move || {
                loop {
                    let next = requests
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .recv();
                    let Ok(request) = next else { return };
                    let answer = exchange(&agent, &url, get, &request);
                    if sender.send((request.token, answer)).is_err() {
                        return;
                    }
                    // A full pair wakes the reader as well as one byte more.
                    let _ = (&*waker).write(&[0]);
                }
            })?;
        self.threads += 1;
        Ok(())
    }
}

impl AsFd for Https {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

const MEDIA: &str = "application/dns-message";

fn exchange(
    agent: &Agent,
    url: &str,
    get: bool,
    request: &Request,
) -> Result<Vec<u8>, (Status, Failure)> {
    let left = request.deadline.saturating_duration_since(Instant::now());
    let left = Some(left.max(Duration::from_millis(1)));
    let response = if get {
        let join = if url.contains('?') { '&' } else { '?' };
        let full = format!(
            "{url}{join}dns={}",
            URL_SAFE_NO_PAD.encode(&request.message)
        );
        let request = agent.get(full).config().timeout_global(left).build();
        request.header("accept", MEDIA).call()
    } else {
        let post = agent.post(url).config().timeout_global(left).build();
        post.header("accept", MEDIA)
            .content_type(MEDIA)
            .send(&request.message)
    };
    let mut response = response.map_err(|e| of_ureq(&e, url))?;
    let status = response.status();
    if !status.is_success() {
        return Err(failed(
            Status::Unreachable,
            Kind::Server,
            format!("{url} answered with HTTP status {}", status.as_u16()),
        ));
    }
    let media = response.body().mime_type().unwrap_or_default();
    if !media.eq_ignore_ascii_case(MEDIA) {
        let message = format!("{url} answered with {media}, not a DNS message");
        return Err(failed(Status::Malformed, Kind::Protocol, message));
    }
    let body = response.body_mut().with_config().limit(LARGEST);
    body.read_to_vec().map_err(|e| of_ureq(&e, url))
}

fn failed(status: Status, kind: Kind, message: String) -> (Status, Failure) {
    (status, Failure { kind, message })
}

fn of_ureq(error: &ureq::Error, url: &str) -> (Status, Failure) {
    let plain = |status, kind, text: &str| failed(status, kind, format!("{url}: {text}"));
    match error {
        ureq::Error::Timeout(_) => failed(
            Status::Timeout,
            Kind::Timeout,
            format!("no answer from {url} in time"),
        ),
        ureq::Error::Io(e) => {
            if let Some(cause) = tls::cause(e) {
                plain(Status::Tls, Kind::Tls, &cause)
            } else if matches!(
                e.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
            ) {
                // A server of HTTP/2 alone ends the connection, and whether
                // that shows as an end or as a reset is chance.
                let text = "connection closed without an answer; resolve speaks HTTP/1.1 only, \
                            the server may require HTTP/2";
                plain(Status::Malformed, Kind::Protocol, text)
            } else {
                let kind = Kind::of_io(e);
                let status = match kind {
                    Kind::Timeout => Status::Timeout,
                    Kind::Protocol => Status::Malformed,
                    Kind::Permission | Kind::System => Status::System,
                    _ => Status::Unreachable,
                };
                plain(status, kind, &common::error::io_message(e))
            }
        }
        ureq::Error::Rustls(e) => plain(Status::Tls, Kind::Tls, &tls::sentence(e)),
        ureq::Error::Tls(text) => plain(Status::Tls, Kind::Tls, text),
        ureq::Error::HostNotFound => plain(
            Status::Unreachable,
            Kind::Name,
            "cannot resolve the server's host name",
        ),
        ureq::Error::ConnectionFailed => {
            plain(Status::Unreachable, Kind::Unreachable, "connection failed")
        }
        ureq::Error::BodyExceedsLimit(_) => {
            let text = "the answer is longer than a DNS message";
            plain(Status::Malformed, Kind::Protocol, text)
        }
        ureq::Error::LargeResponseHeader(..) => {
            let text = "the head of the HTTP response is longer than 64 KiB";
            plain(Status::Malformed, Kind::Protocol, text)
        }
        ureq::Error::Protocol(e) => {
            let text = format!("not a valid HTTP/1.1 response: {e}");
            plain(Status::Malformed, Kind::Protocol, &text)
        }
        e => plain(Status::Malformed, Kind::Protocol, &e.to_string()),
    }
}
