//! Looks up the addresses of a name through the system, with a timeout.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::address::Family;
use common::endpoint::Host;
use common::error::io_message;
use common::{Error, Kind, Result};

/// Returns the addresses of a host in the system's order of preference, filtered
/// by family. `timeout` limits the lookup; since libc cannot cancel one, its
/// thread continues in the background.
pub fn lookup(
    host: &Host,
    port: u16,
    family: Family,
    timeout: Option<Duration>,
) -> Result<Vec<SocketAddr>> {
    let name = match host {
        Host::Address(address) if family.admits(address) => {
            return Ok(vec![SocketAddr::new(*address, port)]);
        }
        Host::Address(address) => {
            let option = match family {
                Family::V6 => "-6",
                Family::V4 | Family::Any => "-4",
            };
            let error = Error::input(address.to_string(), format!("not an {family} address"));
            return Err(error.hint(format!(
                "{option} or a source address selects {family} only"
            )));
        }
        Host::Any => "localhost".to_owned(),
        Host::Name(name) => name.clone(),
    };
    let found = match timeout {
        None => (name.as_str(), port).to_socket_addrs().map(Vec::from_iter),
        Some(timeout) => {
            let (sender, receiver) = mpsc::channel();
            let query = name.clone();
            thread::Builder::new()
                .name("lookup".to_owned())
                .spawn(move || {
                    // Fails if the receiver has timed out.
                    let _ =
                        sender.send((query.as_str(), port).to_socket_addrs().map(Vec::from_iter));
                })
                .map_err(|e| Error::local(&e).with_subject(&name))?;
            receiver
                .recv_timeout(timeout)
                .map_err(|_| Error::new(Kind::Name, "name lookup timed out").with_subject(&name))?
        }
    };
    let found = found.map_err(|e| {
        let text = io_message(&e);
        let text = text
            .strip_prefix("failed to lookup address information: ")
            .unwrap_or(&text);
        Error::new(Kind::Name, lower_first(text)).with_subject(&name)
    })?;
    let wanted = select(found, family);
    if wanted.is_empty() {
        return Err(Error::new(Kind::Name, format!("no {family} address")).with_subject(&name));
    }
    Ok(wanted)
}

/// Returns the addresses of a family, each once, in their order.
fn select(found: Vec<SocketAddr>, family: Family) -> Vec<SocketAddr> {
    let mut wanted: Vec<SocketAddr> = Vec::with_capacity(found.len());
    for address in found {
        if family.admits(&address.ip()) && !wanted.contains(&address) {
            wanted.push(address);
        }
    }
    wanted
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(c) => c.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_family_are_selected_once() {
        let all = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let found = all(&["127.0.0.1:1", "[::1]:1", "127.0.0.1:1", "[::1]:1"]);
        let select = |family| select(found.clone(), family);
        assert_eq!(select(Family::Any), all(&["127.0.0.1:1", "[::1]:1"]));
        assert_eq!(select(Family::V4), all(&["127.0.0.1:1"]));
        assert_eq!(select(Family::V6), all(&["[::1]:1"]));
    }

    #[test]
    fn names_and_addresses_are_looked_up() {
        let host = Host::Address("127.0.0.1".parse().unwrap());
        assert_eq!(lookup(&host, 7, Family::Any, None).unwrap().len(), 1);
        let error = lookup(&host, 7, Family::V6, None).unwrap_err();
        assert_eq!(error.exit(), common::Exit::LocalError);
        let localhost = Host::Name("localhost".to_owned());
        let found = lookup(&localhost, 7, Family::V4, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(found, ["127.0.0.1:7".parse().unwrap()]);
    }
}
