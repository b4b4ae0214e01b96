//! The message of a run: MESSAGE, `--file` or `--hex`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use common::address::Family;
use common::endpoint::Host;
use common::{Error, Kind, Result};

use crate::cli::Cli;
use crate::message::MAX_DATAGRAM;
use crate::target::Target;

/// The largest payload of a UDP datagram over IPv6, in bytes. The payload length
/// of IPv6 does not include the header (RFC 8200, section 3).
const MAX_DATAGRAM_V6: usize = 65_527;

/// The source of a message.
#[derive(Debug)]
pub(crate) enum Body {
    /// Bytes from the command line.
    Bytes(Vec<u8>),
    /// An open file and its name.
    File(File, String),
    /// Standard input, read as the peer accepts it.
    Stdin,
}

/// Returns the message that was given as MESSAGE, `--file` or `--hex`, if any.
pub(super) fn message_body(
    cli: &Cli,
    target: &Target,
    message: Option<Vec<u8>>,
) -> Result<Option<Body>> {
    let forms = [
        (message.is_some(), "MESSAGE"),
        (cli.file.is_some(), "--file"),
        (cli.hex.is_some(), "--hex"),
    ];
    let given: Vec<&str> = forms
        .iter()
        .filter(|form| form.0)
        .map(|form| form.1)
        .collect();
    if let [first, second, ..] = given[..] {
        return Err(Error::usage(format!(
            "{first} cannot be used with {second}"
        )));
    }
    let file = match &cli.file {
        Some(path) => Some(open(path)?),
        None => None,
    };
    let hex = cli.hex.clone().map(|hex| Body::Bytes(hex.0));
    let body = message.map(Body::Bytes).or(file).or(hex);
    // The message is sent as one datagram, so all of it is read first.
    let body = match body {
        Some(body) if cli.udp => {
            let bytes = datagram(body, datagram_max(cli, target))?;
            Some(Body::Bytes(bytes))
        }
        body => body,
    };
    Ok(body)
}

/// Opens the file of `--file`; `-` is standard input.
fn open(path: &Path) -> Result<Body> {
    if path.as_os_str() == "-" {
        return Ok(Body::Stdin);
    }
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            // Fail here, not at the first read after the connect.
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        Ok(file)
    });
    match opened {
        Ok(file) => Ok(Body::File(file, name)),
        Err(e) => Err(Error::local(&e).with_subject(name)),
    }
}

/// Reads a message into memory. Fails with the text `too_long` if it is longer
/// than `limit` bytes.
pub(super) fn read_whole(body: Body, limit: usize, too_long: &str) -> Result<Vec<u8>> {
    let bytes = match body {
        Body::Bytes(bytes) => bytes,
        Body::Stdin => {
            return Err(Error::usage(
                "'--file -' cannot be used with --udp, -c or -i, which need the whole message \
                 first; use --file FILE",
            ));
        }
        Body::File(file, name) => {
            let mut bytes = Vec::new();
            file.take(limit as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(|e| Error::local(&e).with_subject(name))?;
            bytes
        }
    };
    if bytes.len() > limit {
        return Err(Error::new(Kind::Input, too_long));
    }
    Ok(bytes)
}

/// Returns the largest datagram that can be sent to the target, in bytes. The
/// family of a name is not known yet, so the larger limit applies to it.
pub(super) fn datagram_max(cli: &Cli, target: &Target) -> usize {
    let is_v4 = match target {
        Target::Inet(endpoint, _) => {
            matches!(endpoint.host, Host::Address(address) if address.is_ipv4())
        }
        Target::Unix(_) | Target::Abstract(_) => false,
    };
    if is_v4 || cli.family.family() == Family::V4 {
        MAX_DATAGRAM
    } else {
        MAX_DATAGRAM_V6
    }
}

fn datagram(body: Body, max: usize) -> Result<Vec<u8>> {
    let too_long = format!("the message is longer than a datagram: at most {max} bytes fit");
    read_whole(body, max, &too_long)
}
