//! Entry points for the fuzz targets.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::time::Duration as Timeout;
use ureq::unversioned::transport::{NextTimeout, Transport};

use super::Request;
use super::exchange::{self, ConnectionInfo};
use super::stream::{Pending, ShutdownHandle, Stream};
use super::transport::UreqTransport;
use super::tunnel::{self, TunnelTarget};
use crate::http::head;
use crate::policy::proxy;

/// A peer that sends these bytes in pieces of `step`, and closes.
#[derive(Debug)]
struct ScriptedPeer {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl ScriptedPeer {
    fn new(bytes: &[u8], step: usize) -> Self {
        Self {
            bytes: bytes.to_vec(),
            at: 0,
            step: step.max(1),
        }
    }
}

impl Read for ScriptedPeer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let n = rest.len().min(self.step).min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        self.at += n;
        Ok(n)
    }
}

impl Write for ScriptedPeer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for ScriptedPeer {
    fn set_timeouts(&self, _: Option<Duration>, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_deadline(&mut self, _: Option<Instant>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::default()
    }

    fn pending(&self) -> Pending {
        Pending::Nothing
    }
}

/// Parses a certificate. The public key must be part of it, and the separators of
/// a distinguished name must not appear unescaped in its values.
pub fn certificate(der: &[u8]) {
    let Some(certificate) = ::net::tls::x509::parse(der) else {
        return;
    };
    let key = &certificate.public_key;
    assert!(der.windows(key.len()).any(|part| part == key));
    for name in [&certificate.subject, &certificate.issuer] {
        for part in name.split(", ").filter(|part| !part.is_empty()) {
            let unescaped = part.replace("\\\\", "").replace("\\=", "");
            let values = unescaped.replace("\\+", "").matches('+').count() + 1;
            assert_eq!(unescaped.matches('=').count(), values, "{name}");
        }
    }
}

/// Opens a tunnel through a proxy that answers with these bytes. The result must
/// not depend on the size of the pieces, and nothing after the answer is read.
pub fn tunnel(bytes: &[u8], step: usize) {
    let target = TunnelTarget::Name("h.test".to_owned(), 443);
    for scheme in ["http", "socks4a", "socks5h"] {
        let Ok(proxy) = proxy::parse(&format!("{scheme}://u:p@127.0.0.1:1")) else {
            continue;
        };
        let outcomes = [1, step].map(|step| {
            let mut peer = ScriptedPeer::new(bytes, step);
            let outcome = if scheme == "http" {
                tunnel::connect(&mut peer, &proxy, &target, None)
            } else {
                tunnel::socks(&mut peer, &proxy, &target)
            };
            if outcome.is_ok() && scheme == "http" {
                assert!(bytes[..peer.at].ends_with(b"\n"));
                let mut heads = &bytes[..peer.at];
                while let Some(end) = head::find_end(heads) {
                    heads = &heads[end..];
                }
                assert!(heads.is_empty());
            }
            (outcome, peer.at)
        });
        assert_eq!(outcomes[0].0, outcomes[1].0);
        if outcomes[0].0.is_ok() {
            assert_eq!(outcomes[0].1, outcomes[1].1);
        }
    }
}

/// Receives a response. The head and the result must not depend on the size of
/// the pieces, and the forwarded bytes are bounded by the input.
pub fn transport(bytes: &[u8], step: usize, is_head: bool) {
    let outcomes = [1, step].map(|step| receive(bytes, step, is_head));
    assert_eq!(outcomes[0], outcomes[1]);
}

fn receive(bytes: &[u8], step: usize, is_head: bool) -> (Option<Vec<u8>>, Option<String>) {
    let request = Request {
        head: is_head,
        url: "http://h.test/",
        zone: None,
        headers: &[],
        proxy: None,
        target: None,
        resume_offset: 0,
        deadline: None,
        abort_handle: None,
    };
    exchange::begin(&request, b"GET / HTTP/1.1\r\n\r\n");
    let mut transport = UreqTransport::new(
        Box::new(ScriptedPeer::new(bytes, step)),
        ConnectionInfo::default(),
        None,
    );
    let timeout = || NextTimeout {
        after: Timeout::NotHappening,
        reason: ureq::Timeout::Global,
        per_read: None,
        per_write: None,
    };
    let method: &[u8] = if is_head { b"HEAD " } else { b"GET  " };
    transport.buffers().output()[..method.len()].copy_from_slice(method);
    let mut handed_on = 0;
    let mut error = transport.transmit_output(method.len(), timeout()).err();
    while error.is_none() {
        match transport.await_input(timeout()) {
            Ok(true) => {
                let input = transport.buffers().input().len();
                handed_on += input;
                transport.buffers().input_consume(input);
            }
            Ok(false) => break,
            Err(e) => error = Some(e),
        }
    }
    assert!(handed_on <= 20 * bytes.len() + 200);
    let head = exchange::take().head.map(|head| head.raw.clone());
    (head, error.map(|e| e.to_string()))
}
