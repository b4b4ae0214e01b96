//! The tour over the operands: what each one asks for, by which path.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::address::{self, Family};
use common::app::Io;
use common::{Error, Exit, Result};
use domain::base::iana::Rtype;

use crate::answer::{self, Status};
use crate::cli::Cli;
use crate::codec::{Edns, OwnedName, Record};
use crate::dns::{self, Outcome, Settings};
use crate::lookup::{Lookup, Shown};
use crate::output::{self, Form};
use crate::server::{self, ResolvConf};
use crate::system::{self, Question, Value};
use crate::{name, present};

/// What all operands share.
struct Plan {
    direct: Option<Settings>,
    types: Vec<Rtype>,
    conf: ResolvConf,
    search: bool,
    reverse: bool,
    family: Family,
    timeout: Duration,
    form: Form,
    /// Whether the form was asked for.
    explicit: bool,
}

/// Runs the tool.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let mut servers = Vec::new();
    let mut names = Vec::new();
    for operand in &cli.operands {
        match operand.strip_prefix('@') {
            Some(text) => servers.push(server::parse(text).map_err(|e| usage(text, &e))?),
            None => names.push(operand.clone()),
        }
    }
    for text in &cli.server {
        servers.push(server::parse(text).map_err(|e| usage(text, &e))?);
    }
    let types: Result<Vec<Rtype>> = cli.types.iter().map(|t| parse_type(t)).collect();
    let types = types?;
    let direct = !servers.is_empty() || !types.is_empty();
    let mut conf = ResolvConf::default();
    if direct && (servers.is_empty() || cli.search) {
        // A machine without the file has its resolver on itself.
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        conf = server::resolv_conf(&text);
        if servers.is_empty() {
            servers.clone_from(&conf.servers);
        }
    }
    let pace = cli.rate.map(|rate| {
        let slots = vec![Instant::now(); servers.len()];
        (Duration::from_secs(1) / rate, Mutex::new(slots))
    });
    let many = names.len() != 1 || names[0] == "-";
    let plan = Plan {
        direct: direct.then_some(Settings {
            servers,
            timeout: cli.timeout,
            edns: Edns {
                size: cli.bufsize,
                dnssec: cli.dnssec,
                nsid: cli.nsid,
            },
            recurse: !cli.no_recurse,
            tcp: cli.tcp,
            pace,
        }),
        types,
        conf,
        search: cli.search,
        reverse: cli.reverse,
        family: cli.family.family(),
        timeout: cli.timeout,
        explicit: cli.short || cli.long || cli.full,
        form: match (cli.short, cli.long, cli.full) {
            (true, _, _) => Form::Short,
            (_, true, _) => Form::Long,
            (_, _, true) => Form::Full,
            _ if many => Form::Long,
            _ => Form::Short,
        },
    };
    let mut count = 0u64;
    for operand in io.operands(&names, "a name or address")? {
        let looked_up = operand.and_then(|o| {
            plan.lookups(&o.text, io)
                .map_err(|e| if e.is_stdout_closed() { e } else { o.error(e) })
        });
        match looked_up {
            Ok(lookups) => {
                count += 1;
                output::show(io, plan.form, cli.quiet, cli.verbose, &lookups)?;
            }
            Err(error) if error.is_stdout_closed() => return Err(error),
            Err(error) => io.fail(&error)?,
        }
    }
    if cli.verbose {
        io.report.line(format_args!("{count} operands looked up"));
    }
    Ok(Exit::Yes)
}

fn usage(text: &str, message: &str) -> Error {
    Error::usage(message).about(text)
}

fn parse_type(text: &str) -> Result<Rtype> {
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "NSAP-PTR" => Ok(Rtype::NSAPPTR),
        "OPT" | "IXFR" => Err(usage(text, "cannot be asked for")),
        _ => Rtype::from_str(&upper).map_err(|_| {
            usage(
                text,
                "unknown record type; use TYPEnnn for one without a name",
            )
        }),
    }
}

impl Plan {
    /// Looks one operand up; an error means it was never asked.
    fn lookups(&self, text: &str, io: &mut Io) -> Result<Vec<Lookup>> {
        let address = match address::parse(text) {
            Ok(address) => Some(address),
            Err(why) if address::looks_numeric(text) => return Err(Error::input(text, why)),
            Err(_) if self.reverse => {
                return Err(Error::input(text, "not an address; -x needs one"));
            }
            Err(_) => None,
        };
        let wanted = match address {
            Some(address) => name::reverse(address),
            None => name::parse(text).map_err(|e| Error::input(text, e))?,
        };
        // Escapes and full-width digits must not smuggle a number past the
        // check above: to libc `\\049\\050\\055.1` would be 127.0.0.1.
        if address.is_none() && address::looks_numeric(&present::name(&wanted)) {
            return Err(Error::input(text, "reads as a number, but is no address"));
        }
        let Some(settings) = &self.direct else {
            return Ok(vec![self.by_system(text, address, &wanted)]);
        };
        let types = match (address, &self.types[..], self.family) {
            (Some(_), types, _) if !types.is_empty() && self.reverse => types.to_vec(),
            (Some(_), _, _) => vec![Rtype::PTR],
            (None, [], Family::V4) => vec![Rtype::A],
            (None, [], Family::V6) => vec![Rtype::AAAA],
            (None, [], Family::Any) => vec![Rtype::A, Rtype::AAAA],
            (None, types, _) => types.to_vec(),
        };
        let mut lookups = Vec::new();
        for rtype in types {
            lookups.push(self.by_dns(settings, text, &wanted, rtype, io)?);
        }
        Ok(lookups)
    }

    /// The names to try in turn: as typed, or with the search list.
    fn candidates(&self, text: &str, wanted: &OwnedName) -> Vec<OwnedName> {
        if !self.search || text.ends_with('.') {
            return vec![wanted.clone()];
        }
        let suffixed = self
            .conf
            .search
            .iter()
            .filter_map(|suffix| name::parse(&format!("{text}.{suffix}")).ok());
        let mut all: Vec<OwnedName> = suffixed.collect();
        if wanted.label_count() > self.conf.ndots + 1 {
            all.insert(0, wanted.clone());
        } else {
            all.push(wanted.clone());
        }
        all
    }

    fn by_dns(
        &self,
        settings: &Settings,
        text: &str,
        wanted: &OwnedName,
        rtype: Rtype,
        io: &mut Io,
    ) -> Result<Lookup> {
        let started = Instant::now();
        let streamed = rtype == Rtype::AXFR && !io.json;
        let mut asked = wanted.clone();
        let outcome = if rtype == Rtype::AXFR {
            let mut written = Ok(());
            let outcome = dns::transfer(settings, wanted, !streamed, &mut |record| {
                if streamed && written.is_ok() {
                    written = zone_line(io, self.form, self.explicit, record);
                }
            });
            written?;
            outcome
        } else {
            let mut last = None;
            for candidate in self.candidates(text, wanted) {
                let outcome = dns::ask(settings, &candidate, rtype);
                let go_on = matches!(outcome.status, Status::NoSuchName | Status::NoData);
                asked = candidate;
                last = Some(outcome);
                if !go_on {
                    break;
                }
            }
            match last {
                Some(outcome) => outcome,
                None => dns::ask(settings, wanted, rtype),
            }
        };
        Ok(self.of_outcome(text, &asked, rtype, outcome, started, streamed))
    }

    fn of_outcome(
        &self,
        text: &str,
        asked: &OwnedName,
        rtype: Rtype,
        outcome: Outcome,
        started: Instant,
        streamed: bool,
    ) -> Lookup {
        let any = matches!(rtype, Rtype::ANY | Rtype::AXFR);
        let records = outcome.records.iter().map(|r| {
            let mut shown = shown(r);
            shown.wanted = any || r.rtype == rtype || r.rtype == Rtype::RRSIG;
            shown
        });
        let full = (self.form == Form::Full)
            .then(|| {
                outcome
                    .reply
                    .as_ref()
                    .map(|r| answer::full(r, asked, rtype))
            })
            .flatten();
        Lookup {
            name: text.to_owned(),
            query_type: present::mnemonic(rtype),
            source: "dns",
            server: outcome.server,
            protocol: Some(outcome.protocol),
            status: outcome.status,
            records: records.collect(),
            authenticated: outcome.reply.as_ref().is_some_and(|r| r.authenticated),
            elapsed: started.elapsed(),
            tries: outcome.tries,
            ignored: outcome.ignored,
            failure: outcome.failure,
            full,
            streamed,
        }
    }

    fn by_system(&self, text: &str, address: Option<IpAddr>, wanted: &OwnedName) -> Lookup {
        let started = Instant::now();
        // libc takes names as typed, but for what only DNS can write.
        let host = if text.is_ascii() && !text.contains('\\') {
            text.to_owned()
        } else {
            let shown = present::name(wanted);
            shown.strip_suffix('.').unwrap_or(&shown).to_owned()
        };
        let (query_type, question) = match (address, self.family) {
            (Some(address), _) => ("PTR", Question::Reverse(address)),
            (None, family) => (
                match family {
                    Family::Any => "A,AAAA",
                    Family::V4 => "A",
                    Family::V6 => "AAAA",
                },
                Question::Forward(host, family),
            ),
        };
        let (status, values, failure) = match system::ask(question, self.timeout) {
            Ok(values) => (Status::Found, values, None),
            Err((status, failure)) => (status, Vec::new(), failure),
        };
        let records = values.into_iter().map(|value| {
            let (rtype, data) = match value {
                Value::Address(IpAddr::V4(a)) => ("A", a.to_string()),
                Value::Address(IpAddr::V6(a)) => ("AAAA", a.to_string()),
                Value::Name(name) => (
                    "PTR",
                    present::string(name.as_bytes()).replace(' ', "\\032"),
                ),
            };
            Shown {
                name: text.to_owned(),
                rtype: rtype.to_owned(),
                ttl: None,
                data,
                wanted: true,
            }
        });
        Lookup {
            name: text.to_owned(),
            query_type: query_type.to_owned(),
            source: "system",
            server: None,
            protocol: None,
            status,
            records: records.collect(),
            authenticated: false,
            elapsed: started.elapsed(),
            tries: 1,
            ignored: 0,
            failure,
            full: None,
            streamed: false,
        }
    }
}

fn shown(record: &Record) -> Shown {
    Shown {
        name: present::name(&record.owner),
        rtype: present::mnemonic(record.rtype),
        ttl: Some(record.ttl),
        data: record.data.clone(),
        wanted: true,
    }
}

/// A record of a zone transfer: whole, as in a zone file, for its data alone
/// would say nothing.
fn zone_line(io: &mut Io, form: Form, explicit: bool, record: &Record) -> Result<()> {
    let shown = shown(record);
    match form {
        Form::Short | Form::Long if explicit => output::value(io, form, &shown.name, &shown),
        _ => io.out.line(format_args!(
            "{}\t{}\t{}\t{}\t{}",
            shown.name, record.ttl, record.class, shown.rtype, shown.data
        )),
    }
}
