//! The configuration of a run, resolved from the command line: servers and types
//! are parsed, defaults are filled in, and incompatible options are rejected.

mod dig_options;
mod servers;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::address::{self, Family};
use common::app::Io;
use common::{Error, Result};
use domain::base::iana::Rtype;
use domain::base::name::ToLabelIter;

use self::servers::{find_servers, load_resolv_conf, split_operands};
use crate::cli::Cli;
use crate::engine::{LookupRequest, Settings};
use crate::output::Format;
use crate::resolvconf::ResolvConf;
use crate::server::{self, Server, ServerArg, Transport};
use crate::system::SystemQuestion;
use crate::wire::OwnedName;
use crate::wire::edns::EdnsOptions;
use crate::{name, operand, presentation, tls};

/// The longest timeout, so that adding it to a time never overflows.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 86_400);

/// The retransmission timeout until round-trip times are known.
const INITIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The UDP size to advertise, in bytes: the recommendation of DNS Flag Day 2020.
const EDNS_SIZE: u16 = 1232;

/// The mode of a run.
#[derive(Debug)]
pub(crate) enum Mode {
    Lookup,
    Trace { roots: Vec<SocketAddr> },
    Diff { includes_system: bool },
    Watch { interval: Duration },
}

/// The resolved options and operands.
#[derive(Debug)]
pub(crate) struct Config {
    /// The operands without servers and types.
    pub(crate) names: Vec<String>,
    /// Files of operands (`-f`).
    pub(crate) files: Vec<String>,
    /// Whether operands are read from files or standard input.
    pub(crate) reads_lists: bool,
    pub(crate) mode: Mode,
    /// The settings for DNS servers; `None` for the system's resolver.
    pub(crate) dns: Option<Settings>,
    pub(crate) types: Vec<Rtype>,
    pub(crate) is_reverse: bool,
    pub(crate) family: Family,
    pub(crate) timeout: Duration,
    /// The search list; empty unless it is used.
    pub(crate) search: Vec<String>,
    /// A name with at least this number of dots is tried without the search list first.
    pub(crate) ndots: usize,
    pub(crate) filters_wildcards: bool,
    pub(crate) is_ordered: bool,
    pub(crate) format: Format,
    /// Whether an option selects the format.
    pub(crate) is_format_explicit: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

/// An operand that can be looked up.
#[derive(Debug)]
pub(crate) struct LookupTarget {
    pub(crate) address: Option<IpAddr>,
    /// The name to query, which is the reverse name of an address.
    pub(crate) name: OwnedName,
}

impl Config {
    /// Resolves the command line, and reads `/etc/resolv.conf` if it is needed.
    pub(crate) fn new(cli: &Cli, io: &Io) -> Result<Self> {
        let (server_args, mut names) = split_operands(cli)?;
        let mut types = operand::parse_types(&cli.types)?;
        if cli.types.is_empty() && cli.plain.is_empty() {
            types = operand::take_trailing_types(&mut names, cli.files.len())?;
        }
        names.extend(cli.plain.iter().cloned());
        // The operand `-` is standard input already.
        let (stdin, files): (Vec<_>, Vec<_>) = cli.files.iter().cloned().partition(|f| f == "-");
        names.extend(stdin);
        let server_args = server_args.into_iter();
        let server_args = server_args.chain(cli.server.iter().map(String::as_str));
        let (servers, includes_system) = find_servers(server_args, cli)?;
        let mode = mode(cli, includes_system, &servers)?;
        let uses_dns = !servers.is_empty()
            || includes_system
            || !types.is_empty()
            || matches!(mode, Mode::Trace { .. } | Mode::Diff { .. });
        if let (false, Some(option)) = (uses_dns, dns_only_option(cli)) {
            return Err(Error::usage(format!(
                "{option} applies only to DNS servers; add @SERVER or -t TYPE"
            )));
        }
        if cli.query.cacert.is_some() && uses_dns && !servers.iter().any(Server::uses_tls) {
            return Err(Error::usage(
                "--cacert applies only to tls:// and https:// servers",
            ));
        }
        let conf = if uses_dns {
            load_resolv_conf(cli, io, &servers)?
        } else {
            None
        };
        let has_files = !files.is_empty();
        let is_single = !has_files && names.len() == 1 && names[0] != "-";
        let reads_lists = has_files || names.iter().any(|name| name == "-");
        let format = match (cli.output.short, cli.output.long, cli.output.full) {
            (true, _, _) => Format::Short,
            (_, true, _) => Format::Long,
            (_, _, true) => Format::Full,
            _ if is_single => Format::Short,
            _ => Format::Long,
        };
        let (search, ndots) = match &conf {
            Some(conf) if cli.query.search => (conf.search.clone(), conf.ndots),
            _ => (Vec::new(), 1),
        };
        let dns = if uses_dns {
            Some(settings(cli, io, servers, conf, reads_lists, format)?)
        } else {
            None
        };
        Ok(Self {
            names,
            files,
            reads_lists,
            mode,
            dns,
            types,
            is_reverse: cli.reverse,
            family: cli.family.family(),
            timeout: cli.timeout.min(MAX_TIMEOUT),
            search,
            ndots,
            filters_wildcards: cli.query.no_wildcards,
            // Operands of the command line are always shown in order.
            is_ordered: cli.output.ordered || !reads_lists,
            format,
            is_format_explicit: cli.output.short || cli.output.long || cli.output.full,
            quiet: cli.output.quiet,
            verbose: cli.output.verbose,
        })
    }

    /// Parses an operand. Fails if it is not an address or name.
    pub(crate) fn target(&self, text: &str) -> Result<LookupTarget> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(LookupTarget {
                address: Some(address),
                name: name::reverse(address),
            });
        }
        if let Some((ip, zone)) = text.split_once('%')
            && let Ok(IpAddr::V6(_)) = ip.parse::<IpAddr>()
        {
            let parsed = server::parse_zoned(ip, zone);
            let (address, _) = parsed.map_err(|why| Error::input(text, why))?;
            return Ok(LookupTarget {
                address: Some(address.into()),
                name: name::reverse(address.into()),
            });
        }
        if text.is_empty() {
            return Err(Error::input(text, "the name is empty; use . for the root"));
        }
        if let Some(why) = address::explain_other_form(text) {
            return Err(Error::input(text, why));
        }
        if address::looks_numeric(text) {
            let why = address::parse(text).err().unwrap_or_default();
            return Err(Error::input(text, why));
        }
        if self.is_reverse {
            return Err(Error::input(
                text,
                "not an address; -x accepts only addresses",
            ));
        }
        let name = name::parse(text).map_err(|e| Error::input(text, e))?;
        // Escapes and full-width digits must not bypass the check above: libc would
        // read `\049\050\055.1` as 127.0.0.1.
        if (!text.is_ascii() || text.contains('\\'))
            && address::looks_numeric(&presentation::name(&name))
        {
            return Err(Error::input(
                text,
                "not an address: without escapes and in ASCII it is a number",
            ));
        }
        Ok(LookupTarget {
            address: None,
            name,
        })
    }

    /// Returns the types to query for a target.
    pub(crate) fn types(&self, target: &LookupTarget) -> &[Rtype] {
        match (target.address, &self.types[..], self.family) {
            (Some(_), types, _) if !types.is_empty() && self.is_reverse => types,
            (Some(_), _, _) => &[Rtype::PTR],
            (None, [], Family::V4) => &[Rtype::A],
            (None, [], Family::V6) => &[Rtype::AAAA],
            (None, [], Family::Any) => &[Rtype::A, Rtype::AAAA],
            (None, types, _) => types,
        }
    }

    /// Returns the names to try for an operand, in reverse order: as typed, and
    /// with the suffixes of the search list. Empty if only the name of the
    /// target is tried.
    fn candidates(&self, text: &str, target: &LookupTarget) -> Vec<OwnedName> {
        if self.search.is_empty() || target.address.is_some() || text.ends_with('.') {
            return Vec::new();
        }
        let with_suffix = self
            .search
            .iter()
            .filter_map(|suffix| name::parse(&format!("{text}.{suffix}")).ok());
        let mut names: Vec<OwnedName> = with_suffix.collect();
        // The root is a label, too, so that a name of two labels has one dot.
        if target.name.iter_labels().count() > self.ndots + 1 {
            names.insert(0, target.name.clone());
        } else {
            names.push(target.name.clone());
        }
        names.reverse();
        names
    }

    /// Returns the lookups that an operand requests, one per type.
    pub(crate) fn lookup_requests(&self, text: &str) -> Result<Vec<LookupRequest>> {
        let target = self.target(text)?;
        let types = self.types(&target);
        let mut candidates = self.candidates(text, &target);
        let name = candidates.pop().unwrap_or(target.name);
        let request = |name, rtype, candidates| LookupRequest {
            token: 0,
            name,
            rtype,
            candidates,
            only_server: None,
        };
        let Some((last, others)) = types.split_last() else {
            return Ok(Vec::new());
        };
        let mut requests = Vec::with_capacity(types.len());
        let others = others.iter();
        requests.extend(others.map(|t| request(name.clone(), *t, candidates.clone())));
        requests.push(request(name, *last, candidates));
        Ok(requests)
    }
}

impl LookupTarget {
    /// Returns the question for the system's resolver; `text` is the operand.
    pub(crate) fn system_question(&self, text: &str, family: Family) -> SystemQuestion {
        if let Some(address) = self.address {
            return SystemQuestion::Reverse(address);
        }
        // libc gets names as typed, except those with escapes or non-ASCII characters.
        if text.is_ascii() && !text.contains('\\') {
            return SystemQuestion::Forward(text.to_owned(), family);
        }
        let shown = presentation::name(&self.name);
        let host = shown.strip_suffix('.').unwrap_or(&shown);
        SystemQuestion::Forward(host.to_owned(), family)
    }
}

fn mode(cli: &Cli, includes_system: bool, servers: &[Server]) -> Result<Mode> {
    if includes_system && !cli.modes.diff {
        return Err(Error::usage("@system requires --diff"));
    }
    if cli.modes.trace {
        if !servers.is_empty() {
            return Err(Error::usage(
                "@SERVER cannot be used with --trace; use --root to start at a server other than the \
             root",
            ));
        }
        let mut roots = Vec::new();
        for text in &cli.modes.root {
            match server::parse(text) {
                Ok(ServerArg::Server(Server {
                    transport: Transport::Udp(address),
                    ..
                })) => roots.push(address),
                _ => {
                    return Err(Error::usage(format!(
                        "invalid value '{text}' for '--root': must be IP[:PORT]"
                    )));
                }
            }
        }
        return Ok(Mode::Trace { roots });
    }
    if cli.modes.diff {
        if servers.is_empty() {
            return Err(Error::usage("--diff requires a server; add @SERVER"));
        }
        return Ok(Mode::Diff {
            includes_system: includes_system || servers.len() == 1,
        });
    }
    Ok(match cli.modes.watch {
        Some(interval) => Mode::Watch { interval },
        None => Mode::Lookup,
    })
}

/// Returns the first option that does not apply to the system's resolver.
fn dns_only_option(cli: &Cli) -> Option<&'static str> {
    let query = &cli.query;
    [
        (query.tcp, "--tcp"),
        (query.dnssec, "--dnssec"),
        (query.nsid, "--nsid"),
        (query.subnet.is_some(), "--subnet"),
        (query.bufsize.is_some(), "--bufsize"),
        (query.no_recurse, "--no-recurse"),
        (query.search, "--search"),
        (query.cacert.is_some(), "--cacert"),
        (query.rate.is_some(), "--rate"),
        (query.no_wildcards, "--no-wildcards"),
        (cli.output.full, "--full"),
    ]
    .into_iter()
    .find_map(|(is_given, option)| is_given.then_some(option))
}

fn settings(
    cli: &Cli,
    io: &Io,
    servers: Vec<Server>,
    conf: Option<ResolvConf>,
    reads_lists: bool,
    format: Format,
) -> Result<Settings> {
    let conf = conf.filter(|_| servers.is_empty());
    let query = &cli.query;
    let trust = if servers.iter().any(Server::uses_tls) {
        Some(tls::trust(query.cacert.as_deref())?)
    } else {
        None
    };
    let tls = trust.as_ref().map(tls::for_tls).transpose()?;
    let (servers, tcp, rotate, initial_timeout, attempts) = match conf {
        Some(conf) => (
            conf.servers,
            conf.tcp,
            conf.rotate,
            conf.timeout.unwrap_or(INITIAL_TIMEOUT),
            conf.attempts,
        ),
        None => (servers, false, false, INITIAL_TIMEOUT, None),
    };
    Ok(Settings {
        servers,
        timeout: cli.timeout.min(MAX_TIMEOUT),
        initial_timeout,
        attempts,
        rotate,
        edns: EdnsOptions {
            size: query.bufsize.unwrap_or(EDNS_SIZE),
            dnssec: query.dnssec,
            nsid: query.nsid,
            subnet: query.subnet,
        },
        recurse: !query.no_recurse,
        tcp: tcp || query.tcp,
        rate: query.rate,
        is_bulk: reads_lists,
        keep_owners: io.json,
        keep_messages: format == Format::Full || io.json,
        keep_failures: cli.output.verbose,
        accept_referrals: false,
        tls,
        trust,
    })
}
