//! The servers of a run: those of the command line, or those of `/etc/resolv.conf`.

use common::address::Family;
use common::app::Io;
use common::endpoint::Host;
use common::text::escape;
use common::{Error, Result};

use super::dig_options;
use crate::cli::Cli;
use crate::engine::MAX_SERVERS;
use crate::resolvconf::{self, ResolvConf};
use crate::server::{self, Server, ServerArg, Transport};
use crate::{operand, tls};

/// Creates a usage error about a word of the command line.
fn usage(text: &str, message: &str) -> Error {
    Error::usage(message).with_subject(text)
}

/// Splits the operands into servers, without their `@`, and names.
pub(super) fn split_operands(cli: &Cli) -> Result<(Vec<&str>, Vec<String>)> {
    let (servers, names): (Vec<&String>, Vec<&String>) =
        cli.operands.iter().partition(|o| o.starts_with('@'));
    if let Some(plus) = names.iter().find(|name| name.starts_with('+')) {
        return Err(Error::usage(dig_options::explain(plus)));
    }
    let servers: Vec<&str> = servers.into_iter().map(|server| &server[1..]).collect();
    if let Some(file) = servers.iter().find(|server| operand::is_file(server)) {
        let why = "this is a file, not a server; use -f to read names from it";
        return Err(usage(file, why));
    }
    Ok((servers, names.into_iter().cloned().collect()))
}

/// Parses the servers and looks up their names. Returns them and whether the
/// system is among them.
pub(super) fn find_servers<'a>(
    texts: impl Iterator<Item = &'a str>,
    cli: &Cli,
) -> Result<(Vec<Server>, bool)> {
    let (mut servers, mut includes_system) = (Vec::new(), false);
    for text in texts {
        if text.is_empty() {
            return Err(Error::usage("the server is empty; use @IP or -s IP"));
        }
        let arg = server::parse(text).map_err(|e| usage(text, &e))?;
        // Checked before the name of the server is looked up.
        if let (true, Some(why)) = (arg.uses_tls(), tls::MISSING) {
            return Err(usage(text, why));
        }
        match arg {
            ServerArg::Server(server) => {
                if let Transport::Tls { name, .. } = &server.transport
                    && !tls::is_server_name(name)
                {
                    let why = format!("'{name}' is not a valid server name for TLS");
                    return Err(usage(text, &why));
                }
                servers.push(server);
            }
            ServerArg::System => includes_system = true,
            ServerArg::Named { host, port, text } => {
                // The system's resolver looks up the server, as for other programs.
                let found = net::lookup(
                    &Host::Name(host.clone()),
                    port,
                    Family::Any,
                    Some(cli.timeout),
                )
                .map_err(|e| e.with_subject(&text))?;
                servers.extend(found.into_iter().map(|address| {
                    let name = host.clone();
                    Server::new(Transport::Tls { address, name })
                }));
            }
        }
    }
    if servers.len() > MAX_SERVERS {
        return Err(Error::usage(format!(
            "too many servers; at most {MAX_SERVERS} are supported"
        )));
    }
    Ok((servers, includes_system))
}

/// Reads `/etc/resolv.conf` if its servers or its search list are needed, and
/// reports the servers that cannot be used.
pub(super) fn load_resolv_conf(
    cli: &Cli,
    io: &Io,
    servers: &[Server],
) -> Result<Option<ResolvConf>> {
    if !servers.is_empty() && !cli.query.search {
        return Ok(None);
    }
    let conf = resolvconf::load()?;
    // With servers on the command line only the search list is used.
    if servers.is_empty() {
        resolvconf::require_server(&conf)?;
        for skipped in &conf.skipped {
            let text = escape(skipped.as_bytes());
            io.report.line(format_args!("{}: {text}", resolvconf::PATH));
        }
    }
    Ok(Some(conf))
}
