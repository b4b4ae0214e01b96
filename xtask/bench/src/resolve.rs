//! Benchmarks of resolve: single lookups compared with getent, kdig and dig; long
//! lists from nsd with a zone of 100,000 names, compared with dnsperf and dig; and
//! the system path compared with a minimal thread pool.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::TaskResult;
use support::exec::{Background, Exec, which};
use support::nameservers;
use support::ports::free_port;
use support::workspace::Bins;
use testkit::dns::{DnsServer, Zone};
use testkit::netns::{self, Lab};

use super::Context;
use super::command::{CommandLine, Peer};
use super::measure::{compare, in_turn, memory, repeated};
use super::row::{Goal, Other, Row, Samples, Unit};
use super::rows::{compile, write};

const NAMES: usize = 100_000;

/// The number of names for slower comparisons.
const SHORT: usize = 20_000;

/// The settings of dnsperf; the best result counts as the limit of the server.
const SETTINGS: [&[&str]; 3] = [
    &["-q", "100"],
    &["-q", "100", "-c", "4"],
    &["-q", "500", "-c", "8", "-T", "2"],
];

/// Runs all benchmarks of resolve.
pub(super) fn rows(context: &Context) -> TaskResult<Vec<Row>> {
    let mut rows = one_lookup(context)?;
    if which("nsd").is_none() {
        rows.push(Row::not_measured(
            "resolve: 100,000 names",
            "nsd is not installed",
        ));
        return Ok(rows);
    }
    let files = Files::make(context.dir.path())?;
    let port = free_port()?;
    let _server = files.serve(port)?;
    rows.extend(long_lists(context, &files, port)?);
    rows.push(repeated(|| lossy(context, &files))?);
    rows.push(repeated(|| by_the_system(context))?);
    Ok(rows)
}

fn one_lookup(context: &Context) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("resolve");
    let getent = Peer::system("getent", ["ahosts", "localhost"]);
    let system = CommandLine::new(&tool, ["localhost"]);
    let server = DnsServer::start(Zone::new().a("example.test", "192.0.2.1"));
    let at = server.addr();
    let direct = CommandLine::new(&tool, [&format!("@{at}"), "-t", "A", "example.test"]);
    let port = at.port().to_string();
    let args = ["@127.0.0.1", "-p", &port, "example.test", "A"];
    let kdig = Peer::system("kdig", args);
    let dig = Peer::system("dig", ["-r"].iter().chain(&args).copied());
    let label = "resolve: one direct lookup";
    let localhost = "resolve: localhost, system";
    Ok(vec![
        compare(context, localhost, 101, (&system, &getent), Goal::Open)?,
        compare(context, label, 101, (&direct, &getent), Goal::AtMost(1.3))?,
        compare(context, label, 51, (&direct, &kdig), Goal::Faster(1.8))?,
        compare(context, label, 51, (&direct, &dig), Goal::Open)?,
        memory(context, label, &direct, 8_000_000)?,
    ])
}

/// The zone and the lists of names.
pub(super) struct Files {
    pub(super) dir: PathBuf,
    pub(super) names: PathBuf,
    million: PathBuf,
    short: PathBuf,
    queries: PathBuf,
}

impl Files {
    pub(super) fn make(dir: &Path) -> TaskResult<Self> {
        let mut zone = "$TTL 300\n@ SOA ns.bench.test. admin.bench.test. 1 7200 900 86400 60\n\
                        @ NS ns.bench.test.\nns A 127.0.0.1\n"
            .to_owned();
        let (mut names, mut queries) = (String::new(), String::new());
        for n in 0..NAMES {
            // Writing to a String cannot fail.
            let _ = writeln!(zone, "h{n} A 10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
            let _ = writeln!(names, "h{n}.bench.test");
            let _ = writeln!(queries, "h{n}.bench.test A");
        }
        let short: String = names
            .lines()
            .take(SHORT)
            .map(|n| format!("{n}\n"))
            .collect();
        let path = |name: &str| dir.join(name);
        let files = Self {
            dir: dir.to_owned(),
            names: path("names"),
            million: path("million"),
            short: path("short"),
            queries: path("queries"),
        };
        write(&path("bench.zone"), &zone)?;
        write(&files.names, &names)?;
        write(&files.million, &names.repeat(10))?;
        write(&files.short, &short)?;
        write(&files.queries, &queries)?;
        Ok(files)
    }

    pub(super) fn serve(&self, port: u16) -> TaskResult<Background> {
        nameservers::nsd(&self.dir, port, &[("bench.test", "bench.zone")])
    }
}

fn long_lists(context: &Context, files: &Files, port: u16) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("resolve");
    let server = format!("@127.0.0.1:{port}");
    // The measurements are only valid if every name is answered.
    let names = std::fs::read(&files.names).map_err(|error| error.to_string())?;
    let done = Exec::new(&tool, [server.as_str(), "-t", "A", "-"])
        .stdin(names)
        .run()?;
    done.expect_code(0)?;
    let found = done
        .out()
        .lines()
        .filter(|l| l.contains("\tA\t10."))
        .count();
    if found != NAMES {
        return Err(format!("{found} of {NAMES} names were answered"));
    }
    let line = |list: &Path| a_records(&context.bins, port, list);
    let (names, million) = (line(&files.names), line(&files.million));
    Ok(vec![
        ceiling(context, files, port)?,
        compare(
            context,
            "resolve: 20,000 A names beside dig -f",
            5,
            (&line(&files.short), &dig_file(port, &files.short)),
            Goal::Faster(10.0),
        )?,
        memory(context, "resolve: 100,000 A names", &names, 16_000_000)?,
        linear(context, files, port)?,
        memory(context, "resolve: 1,000,000 A names", &million, 64_000_000)?,
    ])
}

/// Returns the command line that looks up the addresses of a list of names.
pub(super) fn a_records(bins: &Bins, port: u16, list: &Path) -> CommandLine {
    let server = format!("@127.0.0.1:{port}");
    CommandLine::new(bins.tool("resolve"), [server.as_str(), "-t", "A", "-"]).stdin(list)
}

/// Returns the command line of dig for the same list.
pub(super) fn dig_file(port: u16, list: &Path) -> Peer {
    let (port, list) = (port.to_string(), list.display().to_string());
    let args = ["-r", "@127.0.0.1", "-p", &port, "+short", "-f", &list];
    Peer::system("dig", args)
}

/// Compares the rate of queries with the best one of dnsperf.
fn ceiling(context: &Context, files: &Files, port: u16) -> TaskResult<Row> {
    let rate = |bins: &Bins| {
        let cost = a_records(bins, port, &files.names).run_once()?;
        Ok::<_, String>(NAMES as f64 / cost.time.as_secs_f64())
    };
    let (port_text, list) = (port.to_string(), files.queries.display().to_string());
    let args = ["-s", "127.0.0.1", "-p", &port_text, "-d", &list, "-l", "1"];
    let dnsperf = || {
        let mut best: f64 = 0.0;
        for settings in SETTINGS {
            let text = Exec::new("dnsperf", args.iter().chain(settings)).text()?;
            let rate = text
                .lines()
                .find_map(|line| line.trim().strip_prefix("Queries per second:"))
                .and_then(|rate| rate.trim().parse::<f64>().ok());
            best = best.max(rate.ok_or("dnsperf printed no rate")?);
        }
        Ok::<_, String>(best)
    };
    let dnsperf: &dyn Fn() -> TaskResult<f64> = &dnsperf;
    let peer = which("dnsperf").map(|_| dnsperf);
    let turns = in_turn(context, 3, rate, peer)?;
    let other = match turns.peer(|rate| *rate) {
        Some(samples) => Other::Peer {
            name: "dnsperf".to_owned(),
            samples,
        },
        None => Other::Missing("dnsperf is not installed".to_owned()),
    };
    let ours = a_records(&context.bins, port, &files.names);
    let theirs = format!("dnsperf {}", args.join(" "));
    Ok(turns
        .row(
            "resolve: 100,000 A names, queries per second",
            Unit::PerSecond,
            |rate| *rate,
        )
        .against(other, Goal::Faster(1.0))
        .command(ours.text(context))
        .command(context.without_dirs(&theirs)))
}

/// Compares a million names with ten times a hundred thousand.
fn linear(context: &Context, files: &Files, port: u16) -> TaskResult<Row> {
    let seconds = |bins: &Bins, list: &Path| {
        let cost = a_records(bins, port, list).run_once()?;
        Ok::<_, String>(cost.time.as_secs_f64())
    };
    let long = |bins: &Bins| seconds(bins, &files.million);
    let short = || Ok(seconds(&context.bins, &files.names)? * 10.0);
    let turns = in_turn(context, 1, long, Some(&short))?;
    let other = Other::Reference {
        name: "10 times 100,000 names".to_owned(),
        samples: turns.peer(|seconds| *seconds).unwrap_or_default(),
    };
    let line = a_records(&context.bins, port, &files.million);
    Ok(turns
        .row("resolve: 1,000,000 A names", Unit::Seconds, |seconds| {
            *seconds
        })
        .against(other, Goal::AtMost(1.3))
        .command(line.text(context)))
}

/// Drops 2 % of the packets in each direction, in a namespace of its own.
fn lossy(context: &Context, files: &Files) -> TaskResult<Row> {
    let label = "resolve: 100,000 A names, 2 % lost each way";
    if let Err(why) = netns::available() {
        return Ok(Row::not_measured(label, &why));
    }
    if which("nft").is_none() {
        return Ok(Row::not_measured(label, "nft is not installed"));
    }
    let tools: Vec<String> = context
        .builds()
        .map(|bins| bins.tool("resolve").display().to_string())
        .collect();
    let (tool, each) = (&tools[0], tools.join(" "));
    let (config, names) = (files.dir.join("nsd.conf"), files.names.display());
    let text = std::fs::read_to_string(&config).map_err(|error| error.to_string())?;
    let port = text
        .split('@')
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .ok_or("no port in nsd.conf")?
        .to_owned();
    let config = config.display();
    let script = format!(
        "nsd -d -c {config} 2>/dev/null & nsd=$!
         until {tool} @127.0.0.1:{port} -q -t SOA --timeout 100ms bench.test >/dev/null 2>&1
         do sleep 0.05; done
         nft add table t
         nft add chain t c '{{ type filter hook input priority 0; }}'
         nft add rule t c udp dport {port} numgen random mod 100 '<' 2 drop
         nft add rule t c udp sport {port} numgen random mod 100 '<' 2 drop
         for run in 1 2 3; do for tool in {each}; do
             before=$(date +%s%N)
             $tool @127.0.0.1:{port} -t A - < {names} > out || exit
             after=$(date +%s%N)
             echo $((after - before)) $(grep -c '\tA\t10\\.' out)
         done; done
         kill $nsd; wait"
    );
    let out = Lab::new().timeout(Duration::from_secs(120)).script(&script);
    let mut times = Vec::new();
    for line in out.code(0).lines() {
        let (time, found) = line.split_once(' ').ok_or("expected a time and a count")?;
        if found != NAMES.to_string() {
            return Err(format!("{found} of {NAMES} names were answered under loss"));
        }
        let time = time.parse::<f64>().map_err(|error| error.to_string())?;
        times.push(time / 1e9);
    }
    // The builds took turns.
    let of_build = |build: usize| -> Samples {
        let skipped = times.iter().skip(build);
        skipped.step_by(tools.len()).copied().collect()
    };
    let base = context.base.as_ref().map(|_| of_build(1));
    Ok(Row::new(label, Unit::Seconds, of_build(0))
        .base(base)
        .against(Other::Limit(2.0), Goal::AtMost(1.0))
        .command(format!("resolve @127.0.0.1:{port} -t A - < names")))
}

/// Resolves 20,000 names by getaddrinfo, compared with a minimal thread pool.
fn by_the_system(context: &Context) -> TaskResult<Row> {
    let label = "resolve: 20,000 names by the system";
    if let Err(why) = netns::available() {
        return Ok(Row::not_measured(label, &why));
    }
    let dir = context.dir.path();
    let pool = compile(dir, "threads")?;
    let tool = context.bins.tool("resolve").display().to_string();
    let base = context.base.as_ref();
    let base = base.map_or_else(
        || "true".to_owned(),
        |bins| bins.tool("resolve").display().to_string(),
    );
    let (at, pool) = (dir.display(), pool.display());
    // nsd uses port 53, and the namespace has system files of its own.
    let script = format!(
        "sed 's/^  ip-address.*/  ip-address: 127.0.0.1@53/; s/^  port.*/  port: 53/' \
             {at}/nsd.conf > nsd53.conf
         sed -i 's,^  pidfile.*,  pidfile: \"{at}/nsd53.pid\",' nsd53.conf
         nsd -d -c nsd53.conf 2>/dev/null & nsd=$!
         echo nameserver 127.0.0.1 > resolv.conf; mount --bind resolv.conf /etc/resolv.conf
         echo 'hosts: files dns' > nsswitch.conf
         mount --bind nsswitch.conf /etc/nsswitch.conf
         until {tool} -q -t SOA --timeout 100ms bench.test >/dev/null 2>&1
         do sleep 0.05; done
         for run in 1 2 3; do
             a=$(date +%s%N); {tool} -4 - < {at}/short > ours || exit
             b=$(date +%s%N); {pool} < {at}/short > theirs || exit
             c=$(date +%s%N); {base} -4 - < {at}/short > base || exit
             d=$(date +%s%N)
             echo $((b - a)) $((c - b)) $((d - c)) $(grep -c '\tA\t10\\.' ours)
         done
         kill $nsd; wait"
    );
    let out = Lab::new().timeout(Duration::from_secs(120)).script(&script);
    let mut times = [const { Vec::new() }; 3];
    for line in out.code(0).lines() {
        let numbers: Vec<f64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
        let [ours, pool, base, found] = numbers[..] else {
            return Err(format!("expected four numbers: {line}"));
        };
        if found as usize != SHORT {
            return Err(format!("{found} of {SHORT} names were answered"));
        }
        for (times, nanoseconds) in times.iter_mut().zip([ours, pool, base]) {
            times.push(nanoseconds / 1e9);
        }
    }
    let [ours, pool, base] = times.map(Samples::from_iter);
    let name = "thread pool".to_owned();
    let pool = Other::Reference {
        name,
        samples: pool,
    };
    Ok(Row::new(label, Unit::Seconds, ours)
        .base(context.base.as_ref().map(|_| base))
        .against(pool, Goal::AtMost(1.2))
        .command("resolve -4 - < short"))
}
