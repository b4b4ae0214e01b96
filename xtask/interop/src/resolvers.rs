//! Compares resolve with kdig and with dig's zone transfer, and runs it against
//! servers that validate or encrypt: unbound with a signed zone, and dnsdist for
//! HTTPS.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::TaskResult;
use support::exec::{Done, Exec};
use support::nameservers::{dnsdist, nsd, unbound, write};
use support::ports::free_port;
use testkit::tls::{Authority, Leaf};

use super::{Context, same_lines};

/// A zone with records of common types.
const ZONE: &str = "$TTL 300\n\
    @ SOA ns.plain.test. admin.plain.test. 1 7200 900 86400 60\n\
    @ NS ns.plain.test.\nns A 127.0.0.1\nhost A 192.0.2.1\nhost AAAA 2001:db8::1\n\
    alias CNAME host\nhost MX 10 mail\nhost TXT \"one\" \"two\"\n_s._tcp SRV 1 2 3 host\n\
    host CAA 0 issue \"ca.test\"\nsub DS 60485 8 2 \
    D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A\nsub NS ns.sub\n";

/// Compares the values with kdig's short form, for types that it shows like dig.
pub(super) fn kdig(context: &Context) -> TaskResult<String> {
    let dir = context.dir();
    let port = free_port()?;
    write(dir, "plain.zone", ZONE)?;
    let _server = nsd(dir, port, &[("plain.test", "plain.zone")])?;
    let (server, port) = (format!("@127.0.0.1:{port}"), port.to_string());
    let questions = [
        ("host", "A"),
        ("host", "AAAA"),
        ("host", "MX"),
        ("host", "TXT"),
        ("_s._tcp", "SRV"),
    ];
    for (name, rtype) in questions {
        let name = format!("{name}.plain.test");
        let args = ["@127.0.0.1", "-p", &port, "+short", "-t", rtype, &name];
        let theirs = Exec::new("kdig", args).text()?;
        let ours = context
            .tool("resolve", [&server, "-t", rtype, &name])
            .text()?;
        same_lines(rtype, &ours, &theirs)?;
    }
    Ok(format!("{} types", questions.len()))
}

/// Compares a zone transfer with dig.
pub(super) fn transfer(context: &Context) -> TaskResult<String> {
    let dir = context.dir();
    let port = free_port()?;
    let mut zone = ZONE.to_owned();
    for n in 0..5000 {
        zone.push_str(&format!("h{n} A 10.0.{}.{}\n", n / 256, n % 256));
    }
    write(dir, "plain.zone", &zone)?;
    let _server = nsd(dir, port, &[("plain.test", "plain.zone")])?;
    let text = port.to_string();
    let args = [
        "-r",
        "@127.0.0.1",
        "-p",
        &text,
        "+onesoa",
        "+noall",
        "+answer",
    ];
    let theirs = Exec::new("dig", args.iter().chain(&["-t", "AXFR", "plain.test"])).text()?;
    let server = format!("@127.0.0.1:{port}");
    let ours = context
        .tool("resolve", [&server, "-t", "AXFR", "plain.test"])
        .text()?;
    let first = ours.lines().next();
    if first.is_none() || first != ours.lines().last() {
        return Err("the zone does not start and end with the SOA record".to_owned());
    }
    let set = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let (ours, theirs) = (set(&ours), set(&theirs));
    if ours == theirs {
        return Ok(format!("{} records", ours.len()));
    }
    let odd: Vec<&String> = ours.symmetric_difference(&theirs).take(4).collect();
    Err(format!("records that only one of them has: {odd:?}"))
}

/// Signs a zone in `dir` and returns the name of the file with its trust anchor.
fn sign(dir: &Path, name: &str, records: &str) -> TaskResult<String> {
    let run = |program: &str, args: &[&str]| Exec::new(program, args).cwd(dir).text();
    let file = format!("{name}.zone");
    write(
        dir,
        &file,
        &format!(
            "$ORIGIN {name}.\n$TTL 300\n@ SOA ns admin 1 7200 900 86400 60\n@ NS ns\n\
             ns A 127.0.0.1\n{records}"
        ),
    )?;
    let key = run("ldns-keygen", &["-a", "ECDSAP256SHA256", "-k", name])?;
    let key = key.trim().to_owned();
    run("ldns-signzone", &[&file, &key])?;
    Ok(format!("{key}.key"))
}

fn record(done: &Done) -> TaskResult<Value> {
    let text = done.out();
    let line = text.lines().next().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| format!("{error}: {text}{}", done.err()))
}

/// Asks a validating unbound: a valid answer is authenticated, and a forged one is
/// an error with a reason.
pub(super) fn validating(context: &Context) -> TaskResult<String> {
    let dir = context.dir();
    let good = sign(dir, "good.test", "host A 192.0.2.1\n")?;
    let bad = sign(dir, "bad.test", "host A 192.0.2.1\n")?;
    // The zone is forged after it was signed.
    let signed = dir.join("bad.test.zone.signed");
    let text = fs::read_to_string(&signed).map_err(|error| error.to_string())?;
    write(
        dir,
        "bad.test.zone.signed",
        &text.replace("192.0.2.1", "192.0.2.66"),
    )?;
    let (behind, port) = (free_port()?, free_port()?);
    let zones = [
        ("good.test", "good.test.zone.signed"),
        ("bad.test", "bad.test.zone.signed"),
    ];
    let _nsd = nsd(dir, behind, &zones)?;
    let at = dir.display();
    let more = format!(
        "  module-config: \"validator iterator\"\n  ede: yes\n  \
         trust-anchor-file: \"{at}/{good}\"\n  trust-anchor-file: \"{at}/{bad}\"\n"
    );
    let _unbound = unbound(dir, port, behind, &more)?;
    let server = format!("@127.0.0.1:{port}");
    let ask = |more: &[&str], name: &str| {
        let args = [server.as_str(), "--json", "-t", "A"];
        let args = args.iter().chain(more).copied().chain([name]);
        context.tool("resolve", args.collect::<Vec<_>>()).run()
    };
    let done = ask(&["--dnssec"], "host.good.test")?;
    done.expect_code(0)?;
    let found = record(&done)?;
    let types: Vec<&str> = found["records"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| r["type"].as_str())
        .collect();
    if found["authenticated"] != true || types != ["A", "RRSIG"] {
        return Err(format!("not authenticated or not signed: {found}"));
    }
    let done = ask(&[], "nowhere.good.test")?;
    done.expect_code(1)?;
    if record(&done)?["authenticated"] != true {
        return Err("a signed NXDOMAIN is not authenticated".to_owned());
    }
    let done = ask(&[], "host.bad.test")?;
    done.expect_code(3)?;
    let failed = record(&done)?;
    let message = failed["error"]["message"].as_str().unwrap_or_default();
    if failed["status"] != "SERVFAIL" || !message.contains("answered SERVFAIL (DNSSEC Bogus") {
        return Err(format!("no SERVFAIL with its extended error: {failed}"));
    }
    Ok("AD, RRSIG, signed NXDOMAIN, SERVFAIL with its extended error".to_owned())
}

/// Asks unbound and dnsdist over TLS and dnsdist over HTTPS, for one name and for a
/// list.
pub(super) fn encrypted(context: &Context) -> TaskResult<String> {
    let dir = context.dir();
    let authority = Authority::new();
    let ca = authority.ca_file().display().to_string();
    let (cert, key) = authority.files(Leaf::Good);
    let (cert, key) = (cert.display(), key.display());
    let mut zone = ZONE.to_owned();
    let mut names = String::new();
    for n in 0..2000 {
        zone.push_str(&format!("h{n} A 10.0.{}.{}\n", n / 256, n % 256));
        names.push_str(&format!("h{n}.plain.test\n"));
    }
    write(dir, "plain.zone", &zone)?;
    let behind = free_port()?;
    let _nsd = nsd(dir, behind, &[("plain.test", "plain.zone")])?;
    let (plain, dot) = (free_port()?, free_port()?);
    let more = format!(
        "  module-config: \"iterator\"\n  interface: 127.0.0.1@{dot}\n  tls-port: {dot}\n  \
         tls-service-pem: \"{cert}\"\n  tls-service-key: \"{key}\"\n"
    );
    let _unbound = unbound(dir, plain, behind, &more)?;
    let (front, dot2, doh) = (free_port()?, free_port()?, free_port()?);
    let config = format!(
        "newServer('127.0.0.1:{behind}')\n\
         addTLSLocal('127.0.0.1:{dot2}', '{cert}', '{key}')\n\
         addDOHLocal('127.0.0.1:{doh}', '{cert}', '{key}', '/dns-query')\n"
    );
    let _dnsdist = dnsdist(dir, front, &config)?;
    let url = format!("https://127.0.0.1:{doh}/dns-query");
    let servers = [
        format!("tls://127.0.0.1:{dot}"),
        format!("tls://127.0.0.1:{dot2}"),
        url.clone(),
        format!("{url}{{?dns}}"),
    ];
    for server in &servers {
        let args = ["-s", server, "--cacert", &ca, "--timeout", "60s"];
        let one = args.iter().chain(&["-t", "A,TXT", "host.plain.test"]);
        let text = context
            .tool("resolve", one.copied().collect::<Vec<_>>())
            .text()?;
        same_lines(server, &text, "192.0.2.1\n\"one\" \"two\"\n")?;
        let many = args.iter().chain(&["-t", "A", "-"]).copied();
        let done = context
            .tool("resolve", many.collect::<Vec<_>>())
            .stdin(names.as_str())
            .run()?;
        done.expect_code(0)?;
        let lines: BTreeSet<String> = done.out().lines().map(str::to_owned).collect();
        if lines.len() != 2000 {
            return Err(format!(
                "{server}: {} of 2000 names: {}",
                lines.len(),
                done.err()
            ));
        }
    }
    Ok(format!("{} transports, one name and 2000", servers.len()))
}
