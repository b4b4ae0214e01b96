//! DNS over HTTPS (RFC 8484).
//!
//! The HTTP client blocks, so a few threads share one client. They return answers
//! over a channel and wake the engine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::Kind;
use data_encoding::BASE64URL_NOPAD;
use net::Waker;
use ureq::Agent;

use super::failure::{self, ServerFailure};
use crate::answer::Status;
use crate::lookup::Failure;
use crate::tls;

/// The maximum number of threads, and thus of requests at a time.
pub(crate) const THREADS: usize = 8;

/// The largest answer, in bytes: the largest DNS message.
const MAX_ANSWER: u64 = 65_535;

const MEDIA_TYPE: &str = "application/dns-message";

/// A query for one of the threads.
#[derive(Debug)]
struct Request {
    token: u64,
    message: Vec<u8>,
    deadline: Instant,
}

/// The token of a query, and its answer or failure.
pub(crate) type HttpsResult = (u64, Result<Vec<u8>, ServerFailure>);

/// The client of one server with its threads.
#[derive(Debug)]
pub(crate) struct HttpsClient {
    requests: mpsc::Sender<Request>,
    /// The other end of `requests`, which the threads share.
    queue: Arc<Mutex<mpsc::Receiver<Request>>>,
    results: mpsc::Receiver<HttpsResult>,
    /// The other end of `results`, for new threads.
    result_sender: mpsc::Sender<HttpsResult>,
    waker: Waker,
    agent: Agent,
    url: Arc<str>,
    get: bool,
    threads: usize,
}

impl HttpsClient {
    /// Creates a client without threads; they start with the requests.
    pub(crate) fn new(url: &str, get: bool, trust: &tls::Trust) -> io::Result<Self> {
        let (requests, queue) = mpsc::channel();
        let (result_sender, results) = mpsc::channel();
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
            requests,
            queue: Arc::new(Mutex::new(queue)),
            results,
            result_sender,
            waker: Waker::new()?,
            agent,
            url: url.into(),
            get,
            threads: 0,
        })
    }

    /// Queues a query. Starts a thread if `pending` requests keep all others busy.
    pub(crate) fn send(
        &mut self,
        token: u64,
        message: Vec<u8>,
        deadline: Instant,
        pending: usize,
    ) -> io::Result<()> {
        if self.threads < THREADS && pending >= self.threads {
            self.spawn()?;
        }
        let request = Request {
            token,
            message,
            deadline,
        };
        self.requests
            .send(request)
            .map_err(|_| io::Error::other("cannot send over HTTPS: its threads have ended"))
    }

    /// Returns the next result, if one is available.
    pub(crate) fn receive(&mut self) -> Option<HttpsResult> {
        let result = self.results.try_recv().ok();
        if result.is_none() {
            self.waker.reset();
            // A result may have arrived before the reset.
            return self.results.try_recv().ok();
        }
        result
    }

    fn spawn(&mut self) -> io::Result<()> {
        let queue = Arc::clone(&self.queue);
        let (sender, waker) = (self.result_sender.clone(), self.waker.clone());
        let (agent, url, get) = (self.agent.clone(), Arc::clone(&self.url), self.get);
        thread::Builder::new()
            .name("https".to_owned())
            .spawn(move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(request) = next else { return };
                    let answer = exchange(&agent, &url, get, &request);
                    if sender.send((request.token, answer)).is_err() {
                        return;
                    }
                    waker.wake();
                }
            })?;
        self.threads += 1;
        Ok(())
    }
}

impl AsFd for HttpsClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

/// Sends a query by GET or POST and returns the DNS message of the response.
fn exchange(
    agent: &Agent,
    url: &str,
    get: bool,
    request: &Request,
) -> Result<Vec<u8>, ServerFailure> {
    let timeout = request.deadline.saturating_duration_since(Instant::now());
    let timeout = Some(timeout.max(Duration::from_millis(1)));
    let response = if get {
        let join = if url.contains('?') { '&' } else { '?' };
        let query = BASE64URL_NOPAD.encode(&request.message);
        let full = format!("{url}{join}dns={query}");
        let request = agent.get(full).config().timeout_global(timeout).build();
        request.header("accept", MEDIA_TYPE).call()
    } else {
        let post = agent.post(url).config().timeout_global(timeout).build();
        post.header("accept", MEDIA_TYPE)
            .content_type(MEDIA_TYPE)
            .send(&request.message)
    };
    let mut response = response.map_err(|e| from_ureq(&e, url))?;
    let status = response.status();
    if !status.is_success() {
        return Err(failed(
            Status::Unreachable,
            Kind::Server,
            format!("{url} answered with HTTP status {}", status.as_u16()),
        ));
    }
    let media_type = response.body().mime_type().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        let message = format!("{url} answered with {media_type}, not a DNS message");
        return Err(failed(Status::Malformed, Kind::Protocol, message));
    }
    let body = response.body_mut().with_config().limit(MAX_ANSWER);
    body.read_to_vec().map_err(|e| from_ureq(&e, url))
}

fn failed(status: Status, kind: Kind, message: String) -> ServerFailure {
    (status, Failure { kind, message })
}

/// Describes an error of the HTTP client.
fn from_ureq(error: &ureq::Error, url: &str) -> ServerFailure {
    let at_url = |status, kind, text: &str| failed(status, kind, format!("{url}: {text}"));
    match error {
        ureq::Error::Timeout(_) => failure::timeout(url),
        ureq::Error::Io(e) => {
            if let Some(cause) = tls::cause(e) {
                at_url(Status::Tls, Kind::Tls, &cause)
            } else if matches!(
                e.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
            ) {
                // A server that requires HTTP/2 closes the connection, and it is a
                // matter of timing whether that appears as an end or as a reset.
                let text = "connection closed without an answer; resolve speaks HTTP/1.1 only, \
                            the server may require HTTP/2";
                at_url(Status::Malformed, Kind::Protocol, text)
            } else {
                let (status, kind) = failure::classify_io(e);
                at_url(status, kind, &common::error::io_message(e))
            }
        }
        ureq::Error::Rustls(e) => at_url(Status::Tls, Kind::Tls, &tls::sentence(e)),
        ureq::Error::Tls(text) => at_url(Status::Tls, Kind::Tls, text),
        ureq::Error::HostNotFound => at_url(
            Status::Unreachable,
            Kind::Name,
            "cannot resolve the server's host name",
        ),
        ureq::Error::ConnectionFailed => {
            at_url(Status::Unreachable, Kind::Unreachable, "connection failed")
        }
        ureq::Error::BodyExceedsLimit(_) => {
            let text = "the answer is longer than a DNS message";
            at_url(Status::Malformed, Kind::Protocol, text)
        }
        ureq::Error::LargeResponseHeader(..) => {
            let text = "the header of the HTTP response is longer than 64 KiB";
            at_url(Status::Malformed, Kind::Protocol, text)
        }
        ureq::Error::Protocol(e) => {
            let text = format!("not an HTTP/1 response: {e}");
            at_url(Status::Malformed, Kind::Protocol, &text)
        }
        e => at_url(Status::Malformed, Kind::Protocol, &e.to_string()),
    }
}
