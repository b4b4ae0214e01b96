//! The command line made whole: servers and types parsed, defaults filled in,
//! options that do not go together refused.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::address::{self, Family};
use common::app::Io;
use common::endpoint::Host;
use common::text::escape;
use common::{Error, Result};
use domain::base::iana::Rtype;
use domain::base::name::ToLabelIter;

use crate::cli::Cli;
use crate::engine::{SERVERS_MAX, Settings};
use crate::output::Form;
use crate::resolvconf::{self, ResolvConf};
use crate::server::{self, Server, Spec, Way};
use crate::system::Question;
use crate::wire::OwnedName;
use crate::wire::edns::Wish;
use crate::{name, operand, present, tls};

/// No longer than this, so that times can be added.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// How long a server may be silent before its round trips are known.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug)]
pub(crate) enum Mode {
    Lookup,
    Trace { roots: Vec<SocketAddr> },
    Diff { system: bool },
    Watch { interval: Duration },
}

/// Everything that was asked for.
#[derive(Debug)]
pub(crate) struct Config {
    /// Operands without the servers and types among them, and files of them.
    pub(crate) names: Vec<String>,
    pub(crate) files: Vec<String>,
    /// Whether files or standard input are among them.
    pub(crate) reads: bool,
    pub(crate) mode: Mode,
    /// How DNS servers are asked; `None` for the system path.
    pub(crate) direct: Option<Settings>,
    pub(crate) types: Vec<Rtype>,
    pub(crate) reverse: bool,
    pub(crate) family: Family,
    pub(crate) timeout: Duration,
    /// The search list, and how many dots make a name go without it first.
    pub(crate) search: Vec<String>,
    pub(crate) ndots: usize,
    pub(crate) wildcards: bool,
    pub(crate) ordered: bool,
    pub(crate) form: Form,
    /// Whether the form was asked for.
    pub(crate) explicit: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

/// An operand understood.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: Option<IpAddr>,
    /// The name to ask for, the reverse one of an address.
    pub(crate) name: OwnedName,
}

impl Config {
    /// Reads the options; `io` tells what standard input is.
    pub(crate) fn new(cli: &Cli, io: &Io) -> Result<Self> {
        let (servers, names): (Vec<&String>, Vec<&String>) =
            cli.operands.iter().partition(|o| o.starts_with('@'));
        let mut names: Vec<String> = names.into_iter().cloned().collect();
        if let Some(plus) = names.iter().find(|name| name.starts_with('+')) {
            return Err(Error::usage(format!(
                "{plus} is not an option here: options begin with --, as --short does"
            )));
        }
        let servers: Vec<&str> = servers.into_iter().map(|s| &s[1..]).collect();
        if let Some(file) = servers.iter().find(|s| operand::is_file(s)) {
            let why = "a file, not a server; -f reads names from it";
            return Err(usage(file, why));
        }
        let mut types = operand::types(&cli.types)?;
        if cli.types.is_empty() && cli.plain.is_empty() {
            types = operand::trailing_types(&mut names, cli.files.len())?;
        }
        names.extend(cli.plain.iter().cloned());
        // As an operand, `-` is standard input already.
        let (stdin, files): (Vec<_>, Vec<_>) = cli.files.iter().cloned().partition(|f| f == "-");
        names.extend(stdin);
        let servers = servers.into_iter();
        let servers = servers.chain(cli.server.iter().map(String::as_str));
        let (servers, system) = find_servers(servers, cli)?;
        let named = !servers.is_empty() || system || !types.is_empty();
        let mode = mode(cli, system, &servers)?;
        let direct = named || matches!(mode, Mode::Trace { .. } | Mode::Diff { .. });
        if let (false, Some(option)) = (direct, only_direct(cli)) {
            return Err(Error::usage(format!(
                "{option} is for DNS servers; add @SERVER or -t TYPE"
            )));
        }
        let conf = if direct && (servers.is_empty() || cli.query.search) {
            let conf = resolvconf::load()?;
            // With servers on the command line only the search list is used.
            if servers.is_empty() {
                resolvconf::require_server(&conf)?;
                for skipped in &conf.skipped {
                    let text = escape(skipped.as_bytes());
                    io.report.line(format_args!("{}: {text}", resolvconf::PATH));
                }
            }
            Some(conf)
        } else {
            None
        };
        let lists = !files.is_empty();
        let many = lists || names.len() != 1 || names[0] == "-";
        let reads = lists || names.iter().any(|name| name == "-");
        let form = match (cli.output.short, cli.output.long, cli.output.full) {
            (true, _, _) => Form::Short,
            (_, true, _) => Form::Long,
            (_, _, true) => Form::Full,
            _ if many => Form::Long,
            _ => Form::Short,
        };
        let (search, ndots) = match &conf {
            Some(conf) if cli.query.search => (conf.search.clone(), conf.ndots),
            _ => (Vec::new(), 1),
        };
        let direct = if direct {
            Some(settings(cli, io, servers, conf, reads, form)?)
        } else {
            None
        };
        Ok(Self {
            names,
            files,
            reads,
            mode,
            direct,
            types,
            reverse: cli.reverse,
            family: cli.family.family(),
            timeout: cli.timeout.min(TIMEOUT_MAX),
            search,
            ndots,
            wildcards: !cli.query.no_wildcards,
            // What is typed comes back in order; a list need not.
            ordered: cli.output.ordered || !reads,
            form,
            explicit: cli.output.short || cli.output.long || cli.output.full,
            quiet: cli.output.quiet,
            verbose: cli.output.verbose,
        })
    }

    /// Understands an operand; an error means it is never asked.
    pub(crate) fn target(&self, text: &str) -> Result<Target> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Target {
                address: Some(address),
                name: name::reverse(address),
            });
        }
        if let Some((ip, zone)) = text.split_once('%')
            && let Ok(IpAddr::V6(_)) = ip.parse::<IpAddr>()
        {
            let (address, _) = server::zoned(ip, zone).map_err(|why| Error::input(text, why))?;
            return Ok(Target {
                address: Some(address.into()),
                name: name::reverse(address.into()),
            });
        }
        if let Some(why) = address::explain_other_form(text) {
            return Err(Error::input(text, why));
        }
        if address::looks_numeric(text) {
            let why = address::parse(text).err().unwrap_or_default();
            return Err(Error::input(text, why));
        }
        if self.reverse {
            return Err(Error::input(text, "not an address; -x needs one"));
        }
        let name = name::parse(text).map_err(|e| Error::input(text, e))?;
        // Escapes and full-width digits must not smuggle a number past the
        // check above: to libc `\049\050\055.1` would be 127.0.0.1.
        if (!text.is_ascii() || text.contains('\\'))
            && address::looks_numeric(&present::name(&name))
        {
            return Err(Error::input(
                text,
                "reads as a number, but is not an address",
            ));
        }
        Ok(Target {
            address: None,
            name,
        })
    }

    /// The types to ask DNS servers for.
    pub(crate) fn types(&self, target: &Target) -> &[Rtype] {
        match (target.address, &self.types[..], self.family) {
            (Some(_), types, _) if !types.is_empty() && self.reverse => types,
            (Some(_), _, _) => &[Rtype::PTR],
            (None, [], Family::V4) => &[Rtype::A],
            (None, [], Family::V6) => &[Rtype::AAAA],
            (None, [], Family::Any) => &[Rtype::A, Rtype::AAAA],
            (None, types, _) => types,
        }
    }

    /// The names to try for an operand, in reverse order: as typed, and with
    /// the search list. Empty where the target's own name is the only one.
    pub(crate) fn candidates(&self, text: &str, target: &Target) -> Vec<OwnedName> {
        if self.search.is_empty() || target.address.is_some() || text.ends_with('.') {
            return Vec::new();
        }
        let suffixed = self
            .search
            .iter()
            .filter_map(|suffix| name::parse(&format!("{text}.{suffix}")).ok());
        let mut all: Vec<OwnedName> = suffixed.collect();
        // The root counts as a label, a name of two labels has one dot.
        if target.name.iter_labels().count() > self.ndots + 1 {
            all.insert(0, target.name.clone());
        } else {
            all.push(target.name.clone());
        }
        all.reverse();
        all
    }
}

impl Target {
    /// The question for the system; `text` is the operand.
    pub(crate) fn for_system(&self, text: &str, family: Family) -> Question {
        if let Some(address) = self.address {
            return Question::Reverse(address);
        }
        // libc takes names as typed, but for what only DNS can write.
        if text.is_ascii() && !text.contains('\\') {
            return Question::Forward(text.to_owned(), family);
        }
        let shown = present::name(&self.name);
        let host = shown.strip_suffix('.').unwrap_or(&shown);
        Question::Forward(host.to_owned(), family)
    }
}

fn usage(text: &str, message: &str) -> Error {
    Error::usage(message).with_subject(text)
}

/// The servers named, and whether the system is among them.
fn find_servers<'a>(
    texts: impl Iterator<Item = &'a str>,
    cli: &Cli,
) -> Result<(Vec<Server>, bool)> {
    let (mut servers, mut system) = (Vec::new(), false);
    for text in texts {
        let spec = server::parse(text).map_err(|e| usage(text, &e))?;
        // Before the name of such a server is looked up.
        if let (true, Some(why)) = (spec.wants_tls(), tls::MISSING) {
            return Err(usage(text, why));
        }
        match spec {
            Spec::Server(server) => {
                if let Way::Tls { name, .. } = &server.way
                    && !tls::is_server_name(name)
                {
                    return Err(usage(text, "not a name that a certificate can have"));
                }
                servers.push(server);
            }
            Spec::System => system = true,
            Spec::Named { host, port, text } => {
                // Found by the system, as any program finds a server.
                let found = common::net::lookup(
                    &Host::Name(host.clone()),
                    port,
                    Family::Any,
                    Some(cli.timeout),
                )
                .map_err(|e| e.with_subject(&text))?;
                servers.extend(found.into_iter().map(|address| {
                    Server::at(Way::Tls {
                        address,
                        name: host.clone(),
                    })
                }));
            }
        }
    }
    if servers.len() > SERVERS_MAX {
        return Err(Error::usage(format!("more than {SERVERS_MAX} servers")));
    }
    Ok((servers, system))
}

fn mode(cli: &Cli, system: bool, servers: &[Server]) -> Result<Mode> {
    if system && !cli.more.diff {
        return Err(usage("system", "only --diff compares with the system"));
    }
    if cli.more.trace {
        if !servers.is_empty() {
            return Err(Error::usage(
                "--trace begins at the root servers; use --root to name others",
            ));
        }
        let mut roots = Vec::new();
        for text in &cli.more.root {
            match server::parse(text) {
                Ok(Spec::Server(Server {
                    way: Way::Udp(address),
                    ..
                })) => roots.push(address),
                _ => return Err(usage(text, "not a root server; use IP[:PORT]")),
            }
        }
        return Ok(Mode::Trace { roots });
    }
    if cli.more.diff {
        if servers.is_empty() {
            return Err(Error::usage("--diff wants servers to compare; add @SERVER"));
        }
        return Ok(Mode::Diff {
            system: system || servers.len() == 1,
        });
    }
    Ok(match cli.more.watch {
        Some(interval) => Mode::Watch { interval },
        None => Mode::Lookup,
    })
}

/// The first option given that means nothing to the system's resolver.
fn only_direct(cli: &Cli) -> Option<&'static str> {
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
    .find_map(|(given, option)| given.then_some(option))
}

fn settings(
    cli: &Cli,
    io: &Io,
    servers: Vec<Server>,
    conf: Option<ResolvConf>,
    reads: bool,
    form: Form,
) -> Result<Settings> {
    let conf = conf.filter(|_| servers.is_empty());
    let query = &cli.query;
    let trust = if servers.iter().any(Server::wants_tls) {
        Some(tls::trust(query.cacert.as_deref())?)
    } else {
        None
    };
    let tls = trust.as_ref().map(tls::for_tls).transpose()?;
    let (servers, tcp, rotate, patience, attempts) = match conf {
        Some(conf) => (
            conf.servers,
            conf.tcp,
            conf.rotate,
            conf.timeout.unwrap_or(PATIENCE),
            conf.attempts,
        ),
        None => (servers, false, false, PATIENCE, None),
    };
    Ok(Settings {
        servers,
        timeout: cli.timeout.min(TIMEOUT_MAX),
        patience,
        attempts,
        rotate,
        edns: Wish {
            size: query.bufsize.unwrap_or(1232),
            dnssec: query.dnssec,
            nsid: query.nsid,
            subnet: query.subnet,
        },
        recurse: !query.no_recurse,
        tcp: tcp || query.tcp,
        rate: query.rate,
        bulk: reads,
        owners: io.json,
        messages: form == Form::Full || io.json,
        faults: cli.output.verbose,
        referrals: false,
        tls,
        trust,
    })
}
