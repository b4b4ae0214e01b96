//! The rows of the table: what is run, beside what, and what is aimed at.

use std::fs;
use std::path::PathBuf;

use testkit::dns::{DnsServer, Zone};
use testkit::http::{HttpServer, Reply};
use testkit::peer::TcpPeer;
use testkit::privilege;

use super::measure::{Line, Peer, compare};
use super::{Row, Shop, Target};
use crate::Outcome;
use crate::exec::Exec;
use crate::interop::networks;

type Rows = fn(&Shop) -> Outcome<Vec<Row>>;

/// The speed of each tool in its main job.
pub(super) const OF_TOOLS: [(&str, Rows); 5] = [
    ("subnetcalc", subnetcalc),
    ("ping", ping),
    ("resolve", resolve),
    ("httpget", httpget),
    ("tcpecho-client", tcpecho),
];

/// The most bytes a binary may have.
fn size_limit(tool: &str) -> u64 {
    if tool == "httpget" {
        3_500_000
    } else {
        1_200_000
    }
}

/// The size of a release binary, which cargo has stripped.
pub(super) fn size(shop: &Shop, tool: &str) -> Outcome<Vec<Row>> {
    let path = shop.bins.tool(tool);
    let meta = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let limit = size_limit(tool);
    Ok(vec![Row {
        what: format!("{tool}: size, stripped"),
        ours: format!("{} kB", meta.len() / 1000),
        theirs: format!("limit {} kB", limit / 1000),
        ratio: Some(meta.len() as f64 / limit as f64),
        target: Target::AtMost(1.0),
    }])
}

/// `--version` beside a program that does nothing.
pub(super) fn start_up(shop: &Shop, tool: &str) -> Outcome<Vec<Row>> {
    let ours = Line::new(shop.bins.tool(tool), ["--version"]);
    let empty = Peer::made("empty program", empty_program(shop)?);
    let what = format!("{tool}: start-up (--version)");
    compare(what, 301, &ours, &empty, Target::AtMost(1.3)).map(|row| vec![row])
}

/// `fn main() {}`, compiled on the spot and only once.
fn empty_program(shop: &Shop) -> Outcome<PathBuf> {
    let binary = shop.dir.path().join("empty");
    if !binary.exists() {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let args = [
            "-O",
            "-C",
            "strip=symbols",
            "--crate-name",
            "empty",
            "-",
            "-o",
        ];
        let binary = binary.display().to_string();
        Exec::new(rustc, args.into_iter().chain([binary.as_str()]))
            .stdin("fn main() {}\n")
            .text()?;
    }
    Ok(binary)
}

fn subnetcalc(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("subnetcalc");
    let all = Line::new(&tool, ["hosts", "--all", "10.0.0.0/8"]);
    let what = "subnetcalc: hosts --all 10.0.0.0/8";
    let ten = shop.dir.path().join("ten");
    let set = shop.dir.path().join("set");
    write(&ten, "10.0.0.0/8\n")?;
    write(&set, &networks(7, 1_000_000, 12..=32))?;
    let iprange = Line::peer("iprange", ["-1"]).stdin(&ten);
    let prips = Line::peer("prips", ["10.0.0.0/8"]);
    let aggregate = Line::new(&tool, ["aggregate", "-"]).stdin(&set);
    let optimize = Line::peer("iprange", ["--optimize"]).stdin(&set);
    let info = Line::new(&tool, ["192.168.1.0/24"]);
    let ipcalc = Line::peer("ipcalc-ng", ["192.168.1.0/24"]);
    Ok(vec![
        compare(what, 3, &all, &iprange, Target::Faster(20.0))?,
        compare(what, 3, &all, &prips, Target::Faster(40.0))?,
        compare(
            "subnetcalc: aggregate of 1,000,000 networks",
            3,
            &aggregate,
            &optimize,
            Target::Faster(3.5),
        )?,
        compare(
            "subnetcalc: one info",
            101,
            &info,
            &ipcalc,
            Target::AtMost(1.25),
        )?,
    ])
}

fn ping(shop: &Shop) -> Outcome<Vec<Row>> {
    let what = "ping: -f -q -c 100000 127.0.0.1";
    if !privilege::can_ping() {
        return Ok(vec![absent(what, "ICMP not permitted")]);
    }
    let args = ["-f", "-q", "-c", "100000", "127.0.0.1"];
    let ours = Line::new(shop.bins.tool("ping"), args);
    let theirs = Line::peer("ping", args);
    Ok(vec![compare(what, 3, &ours, &theirs, Target::Faster(1.0))?])
}

fn resolve(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("resolve");
    let getent = Line::peer("getent", ["ahosts", "localhost"]);
    let system = Line::new(&tool, ["localhost"]);
    let server = DnsServer::start(Zone::new().a("example.test", "192.0.2.1"));
    let at = server.addr();
    let direct = Line::new(&tool, [&format!("@{at}"), "-t", "A", "example.test"]);
    let port = at.port().to_string();
    let kdig = Line::peer("kdig", ["@127.0.0.1", "-p", &port, "example.test", "A"]);
    let dig = Line::peer(
        "dig",
        ["-r", "@127.0.0.1", "-p", &port, "example.test", "A"],
    );
    Ok(vec![
        compare(
            "resolve: localhost, system",
            101,
            &system,
            &getent,
            Target::Open,
        )?,
        compare(
            "resolve: one direct lookup",
            101,
            &direct,
            &getent,
            Target::AtMost(1.3),
        )?,
        compare(
            "resolve: one direct lookup",
            51,
            &direct,
            &kdig,
            Target::Faster(1.8),
        )?,
        compare(
            "resolve: one direct lookup",
            51,
            &direct,
            &dig,
            Target::Open,
        )?,
    ])
}

fn httpget(shop: &Shop) -> Outcome<Vec<Row>> {
    let tool = shop.bins.tool("httpget");
    let plain = HttpServer::start(|_| Reply::text("a small text\n"));
    let secure = HttpServer::start_tls(|_| Reply::text("a small text\n"));
    let ca = secure.ca_file().display().to_string();
    let (http, https) = (plain.url("/"), secure.url("/"));
    let curl = |args: &[&str]| Line::peer("curl", ["-q", "-sS"].iter().chain(args).copied());
    let ours = |args: &[&str]| Line::new(&tool, args.iter().copied());
    Ok(vec![
        compare(
            "httpget: small GET over http",
            101,
            &ours(&[&http]),
            &curl(&[&http]),
            Target::Faster(1.0),
        )?,
        compare(
            "httpget: small GET over https, private CA",
            51,
            &ours(&["--cacert", &ca, &https]),
            &curl(&["--cacert", &ca, &https]),
            Target::Faster(2.0),
        )?,
    ])
}

fn tcpecho(shop: &Shop) -> Outcome<Vec<Row>> {
    let server = TcpPeer::echo();
    let at = server.addr().to_string();
    let input = shop.dir.path().join("message");
    write(&input, "hello")?;
    let ours = Line::new(shop.bins.tool("tcpecho-client"), [at.as_str(), "hello"]);
    let tcp = format!("TCP:{at}");
    let socat = Line::peer("socat", ["-t", "5", "-", &tcp]).stdin(&input);
    let what = "tcpecho-client: one message";
    Ok(vec![compare(
        what,
        101,
        &ours,
        &socat,
        Target::Faster(1.0),
    )?])
}

fn absent(what: &str, why: &str) -> Row {
    Row {
        what: what.to_owned(),
        ours: "-".to_owned(),
        theirs: why.to_owned(),
        ratio: None,
        target: Target::Open,
    }
}

fn write(path: &std::path::Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
