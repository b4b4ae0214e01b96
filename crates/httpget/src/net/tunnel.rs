//! Tunnels through a proxy: CONNECT (RFC 9110, section 9.3.6), SOCKS 4, 4a and 5
//! (RFC 1928, RFC 1929). Every read has an exact length or reads one byte, so that
//! no byte after the answer of the proxy is taken.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Error, Kind, Result};

use super::stream::Stream;
use crate::http::head::{self, Head};
use crate::policy::proxy::{Protocol, Proxy};

/// The maximum length of the response to CONNECT in bytes, including interim
/// responses.
const RESPONSE_MAX: usize = 64 * 1024;

/// The endpoint of a tunnel.
#[derive(Clone, Debug)]
pub(super) enum TunnelTarget {
    /// A host name that the proxy resolves, and a port.
    Name(String, u16),
    /// An address with its port.
    Address(SocketAddr),
}

fn protocol_error(message: impl Into<String>) -> Error {
    Error::new(Kind::Protocol, message)
}

fn io_error(error: &io::Error) -> Error {
    let error = Error::network(error);
    Error::new(error.kind(), format!("proxy: {}", error.message()))
}

/// Returns `host:port`, with brackets around an IPv6 address.
fn authority(target: &TunnelTarget) -> String {
    match target {
        TunnelTarget::Name(name, port) if name.contains(':') => format!("[{name}]:{port}"),
        TunnelTarget::Name(name, port) => format!("{name}:{port}"),
        TunnelTarget::Address(address) => address.to_string(),
    }
}

/// Returns the value of Proxy-Authorization if the proxy has a login.
pub(crate) fn proxy_authorization(proxy: &Proxy) -> Option<String> {
    let (user, password) = proxy.user.as_ref()?;
    Some(format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

/// Requests a tunnel from an HTTP proxy.
pub(super) fn connect(
    stream: &mut dyn Stream,
    proxy: &Proxy,
    target: &TunnelTarget,
    user_agent: Option<&str>,
) -> Result<()> {
    let authority = authority(target);
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(value) = proxy_authorization(proxy) {
        request.extend(["Proxy-Authorization: ", &value, "\r\n"]);
    }
    if let Some(agent) = user_agent {
        request.extend(["User-Agent: ", agent, "\r\n"]);
    }
    request.push_str("Proxy-Connection: Keep-Alive\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.flush())
        .map_err(|e| io_error(&e))?;
    let mut raw = Vec::new();
    let (mut searched, mut count) = (0, 0);
    let head = loop {
        if head::find_end_from(&raw, &mut searched).is_some() {
            let head = Head::parse(&raw)?;
            if head.status / 100 != 1 {
                break head;
            }
            raw.clear();
            searched = 0;
        }
        // The limit includes interim responses.
        count += 1;
        if count > RESPONSE_MAX {
            return Err(protocol_error("the response head of the proxy is too long"));
        }
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => {
                return Err(protocol_error(
                    "the proxy closed the connection without a response",
                ));
            }
            Ok(_) => raw.push(byte[0]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io_error(&e)),
        }
    };
    match head.status {
        200..300 => Ok(()),
        407 => Err(
            protocol_error(format!("the proxy answered {}", head.status_text()))
                .hint("use -U USER:PASSWORD"),
        ),
        _ => Err(protocol_error(format!(
            "the proxy answered {}",
            head.status_text()
        ))),
    }
}

/// Requests a connection from a SOCKS proxy.
pub(super) fn socks(stream: &mut dyn Stream, proxy: &Proxy, target: &TunnelTarget) -> Result<()> {
    match proxy.protocol {
        Protocol::Socks4 | Protocol::Socks4a => socks4(stream, proxy, target),
        _ => socks5(stream, proxy, target),
    }
}

fn send(stream: &mut dyn Stream, bytes: &[u8]) -> Result<()> {
    stream
        .write_all(bytes)
        .and_then(|()| stream.flush())
        .map_err(|e| io_error(&e))
}

fn receive<const N: usize>(stream: &mut dyn Stream) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    (stream as &mut dyn Read)
        .read_exact(&mut bytes)
        .map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => protocol_error("the SOCKS proxy closed the connection"),
            _ => io_error(&e),
        })?;
    Ok(bytes)
}

fn socks4(stream: &mut dyn Stream, proxy: &Proxy, target: &TunnelTarget) -> Result<()> {
    let mut request = vec![4, 1];
    let (port, address, name) = match target {
        TunnelTarget::Address(SocketAddr::V4(v4)) => (v4.port(), v4.ip().octets(), None),
        TunnelTarget::Address(_) => {
            return Err(Error::new(
                Kind::Unreachable,
                "SOCKS 4 does not support IPv6 addresses",
            ));
        }
        // An invalid address announces a name (SOCKS 4a).
        TunnelTarget::Name(name, port) => (*port, [0, 0, 0, 1], Some(name)),
    };
    request.extend(port.to_be_bytes());
    request.extend(address);
    let user = proxy.user.as_ref().map_or("", |(user, _)| user);
    request.extend(user.bytes().filter(|&b| b != 0));
    request.push(0);
    if let Some(name) = name {
        request.extend(name.bytes().filter(|&b| b != 0));
        request.push(0);
    }
    send(stream, &request)?;
    let answer: [u8; 8] = receive(stream)?;
    match answer {
        [0, 90, ..] => Ok(()),
        [0, 91, ..] => Err(Error::new(
            Kind::Refused,
            "the SOCKS proxy rejected the request or could not connect",
        )),
        [0, code, ..] => Err(protocol_error(format!(
            "the SOCKS proxy refused the connection (code {code})"
        ))),
        _ => Err(protocol_error("the proxy does not speak SOCKS 4")),
    }
}

fn socks5(stream: &mut dyn Stream, proxy: &Proxy, target: &TunnelTarget) -> Result<()> {
    const NO_AUTHENTICATION: u8 = 0;
    const PASSWORD: u8 = 2;
    match &proxy.user {
        Some(_) => send(stream, &[5, 2, NO_AUTHENTICATION, PASSWORD])?,
        None => send(stream, &[5, 1, NO_AUTHENTICATION])?,
    }
    match (receive::<2>(stream)?, &proxy.user) {
        ([5, NO_AUTHENTICATION], _) => {}
        ([5, PASSWORD], Some((user, password))) => {
            let mut login = vec![1];
            for part in [user, password] {
                let length = u8::try_from(part.len())
                    .map_err(|_| Error::usage("user or password is too long for SOCKS 5"))?;
                login.push(length);
                login.extend(part.bytes());
            }
            send(stream, &login)?;
            if receive::<2>(stream)?[1] != 0 {
                return Err(protocol_error(
                    "the SOCKS proxy rejected the user or password",
                ));
            }
        }
        ([5, 0xff], _) => {
            return Err(protocol_error(
                "the SOCKS proxy accepts none of the offered login methods",
            )
            .hint("use -U USER:PASSWORD"));
        }
        _ => return Err(protocol_error("the proxy does not speak SOCKS 5")),
    }
    let mut request = vec![5, 1, 0];
    let port = match target {
        TunnelTarget::Address(address) => {
            match address.ip() {
                IpAddr::V4(v4) => {
                    request.push(1);
                    request.extend(v4.octets());
                }
                IpAddr::V6(v6) => {
                    request.push(4);
                    request.extend(v6.octets());
                }
            }
            address.port()
        }
        TunnelTarget::Name(name, port) => {
            let length = u8::try_from(name.len())
                .map_err(|_| Error::new(Kind::Name, "the name is too long for SOCKS 5"))?;
            request.extend([3, length]);
            request.extend(name.bytes());
            *port
        }
    };
    request.extend(port.to_be_bytes());
    send(stream, &request)?;
    let [version, code, _, kind] = receive(stream)?;
    if version != 5 {
        return Err(protocol_error("the proxy does not speak SOCKS 5"));
    }
    let says = |what: &str| format!("the SOCKS proxy reports: {what}");
    match code {
        0 => {}
        2 => return Err(protocol_error(says("not allowed"))),
        3 => return Err(Error::new(Kind::Unreachable, says("network unreachable"))),
        4 => return Err(Error::new(Kind::Unreachable, says("host unreachable"))),
        5 => return Err(Error::new(Kind::Refused, says("connection refused"))),
        6 => return Err(Error::new(Kind::Timeout, says("timed out"))),
        code => {
            return Err(protocol_error(format!(
                "the SOCKS proxy refused the connection (code {code})"
            )));
        }
    }
    // Skips the address that the proxy is bound to.
    match kind {
        1 => drop(receive::<6>(stream)?),
        4 => drop(receive::<18>(stream)?),
        3 => {
            let [length] = receive(stream)?;
            for _ in 0..usize::from(length) + 2 {
                receive::<1>(stream)?;
            }
        }
        _ => return Err(protocol_error("invalid reply from the SOCKS proxy")),
    }
    Ok(())
}
