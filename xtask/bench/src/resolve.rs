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
use testkit::dns::{DnsServer, Zone};
use testkit::netns::{self, Lab};

use super::measure::{CommandLine, compare, memory};
use super::rows::{not_measured, write};
use super::{Context, Goal, Row};

const NAMES: usize = 100_000;

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
        rows.push(not_measured("resolve: 100,000 names", "nsd not installed"));
        return Ok(rows);
    }
    let files = Files::make(context.dir.path())?;
    let port = free_port()?;
    let _server = files.serve(port)?;
    rows.extend(long_lists(context, &files, port)?);
    rows.push(lossy(context, &files)?);
    rows.push(by_the_system(context)?);
    Ok(rows)
}

fn one_lookup(context: &Context) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("resolve");
    let getent = CommandLine::peer("getent", ["ahosts", "localhost"]);
    let system = CommandLine::new(&tool, ["localhost"]);
    let server = DnsServer::start(Zone::new().a("example.test", "192.0.2.1"));
    let at = server.addr();
    let direct = CommandLine::new(&tool, [&format!("@{at}"), "-t", "A", "example.test"]);
    let port = at.port().to_string();
    let args = ["@127.0.0.1", "-p", &port, "example.test", "A"];
    let kdig = CommandLine::peer("kdig", args);
    let dig = CommandLine::peer("dig", ["-r"].iter().chain(&args).copied());
    let label = "resolve: one direct lookup";
    Ok(vec![
        compare(
            "resolve: localhost, system",
            101,
            &system,
            &getent,
            Goal::Open,
        )?,
        compare(label, 101, &direct, &getent, Goal::AtMost(1.3))?,
        compare(label, 51, &direct, &kdig, Goal::Faster(1.8))?,
        compare(label, 51, &direct, &dig, Goal::Open)?,
        memory(label, &direct, 8_000_000)?,
    ])
}

/// The zone and the lists of names.
struct Files {
    dir: PathBuf,
    names: PathBuf,
    million: PathBuf,
    short: PathBuf,
    queries: PathBuf,
}

impl Files {
    fn make(dir: &Path) -> TaskResult<Self> {
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
            .take(20_000)
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

    fn serve(&self, port: u16) -> TaskResult<Background> {
        nameservers::nsd(&self.dir, port, &[("bench.test", "bench.zone")])
    }
}

fn long_lists(context: &Context, files: &Files, port: u16) -> TaskResult<Vec<Row>> {
    let tool = context.bins.tool("resolve");
    let server = format!("@127.0.0.1:{port}");
    let port = port.to_string();
    let line = |list: &Path| CommandLine::new(&tool, [server.as_str(), "-t", "A", "-"]).stdin(list);
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
    let mut rows = vec![ceiling(files, &port, &line(&files.names))?];
    let dig = CommandLine::peer(
        "dig",
        ["-r", "@127.0.0.1", "-p", &port, "+short", "-f"]
            .map(std::ffi::OsString::from)
            .into_iter()
            .chain([files.short.clone().into_os_string()]),
    );
    rows.push(compare(
        "resolve: 20,000 A names beside dig -f",
        5,
        &line(&files.short),
        &dig,
        Goal::Faster(10.0),
    )?);
    rows.push(memory(
        "resolve: 100,000 A names",
        &line(&files.names),
        16_000_000,
    )?);
    rows.push(linear(&line(&files.names), &line(&files.million))?);
    rows.push(memory(
        "resolve: 1,000,000 A names",
        &line(&files.million),
        64_000_000,
    )?);
    Ok(rows)
}

/// Compares the rate of queries with the best one of dnsperf.
fn ceiling(files: &Files, port: &str, ours: &CommandLine) -> TaskResult<Row> {
    let label = "resolve: 100,000 A names, queries a second";
    let mut times: Vec<Duration> = Vec::new();
    let mut best: f64 = 0.0;
    let list = files.queries.display().to_string();
    for settings in SETTINGS {
        times.push(ours.run_once()?.time);
        if which("dnsperf").is_none() {
            continue;
        }
        let args = ["-s", "127.0.0.1", "-p", port, "-d", &list, "-l", "2"];
        let text = Exec::new("dnsperf", args.iter().chain(settings)).text()?;
        let rate = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("Queries per second:"))
            .and_then(|rate| rate.trim().parse::<f64>().ok());
        best = best.max(rate.ok_or("dnsperf printed no rate")?);
    }
    times.sort();
    let rate = NAMES as f64 / times[times.len() / 2].as_secs_f64();
    Ok(Row {
        label: label.to_owned(),
        ours: format!("{rate:.0}"),
        theirs: if best > 0.0 {
            format!("dnsperf {best:.0}")
        } else {
            "dnsperf not installed".to_owned()
        },
        ratio: (best > 0.0).then_some(rate / best),
        goal: Goal::Faster(1.0),
    })
}

/// Compares a million names with ten times a hundred thousand.
fn linear(short: &CommandLine, long: &CommandLine) -> TaskResult<Row> {
    let short = short.run_once()?.time.as_secs_f64() * 10.0;
    let long = long.run_once()?.time.as_secs_f64();
    Ok(Row {
        label: "resolve: 1,000,000 A names".to_owned(),
        ours: format!("{long:.2} s"),
        theirs: format!("10 x 100,000 {short:.2} s"),
        ratio: Some(long / short),
        goal: Goal::AtMost(1.3),
    })
}

/// Drops 2 % of the packets in each direction, in a namespace of its own.
fn lossy(context: &Context, files: &Files) -> TaskResult<Row> {
    let label = "resolve: 100,000 A names, 2 % lost each way";
    if let Err(why) = netns::available() {
        return Ok(not_measured(label, &why));
    }
    if which("nft").is_none() {
        return Ok(not_measured(label, "nft not installed"));
    }
    let tool = context.bins.tool("resolve").display().to_string();
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
         for run in 1 2 3; do
             before=$(date +%s%N)
             {tool} @127.0.0.1:{port} -t A - < {names} > out || exit
             after=$(date +%s%N)
             echo $((after - before)) $(grep -c '\tA\t10\\.' out)
         done
         kill $nsd; wait"
    );
    let out = Lab::new().timeout(Duration::from_secs(120)).script(&script);
    let mut times = Vec::new();
    for line in out.code(0).lines() {
        let (time, found) = line.split_once(' ').ok_or("expected a time and a count")?;
        if found != NAMES.to_string() {
            return Err(format!("{found} of {NAMES} names were answered under loss"));
        }
        times.push(time.parse::<u64>().map_err(|error| error.to_string())?);
    }
    times.sort_unstable();
    let seconds = times.get(times.len() / 2).copied().unwrap_or_default() as f64 / 1e9;
    Ok(Row {
        label: label.to_owned(),
        ours: format!("{seconds:.2} s"),
        theirs: "limit 2 s".to_owned(),
        ratio: Some(seconds / 2.0),
        goal: Goal::AtMost(1.0),
    })
}

/// Resolves 20,000 names by getaddrinfo, compared with a minimal thread pool.
fn by_the_system(context: &Context) -> TaskResult<Row> {
    let label = "resolve: 20,000 names by the system";
    if let Err(why) = netns::available() {
        return Ok(not_measured(label, &why));
    }
    let dir = context.dir.path();
    let pool = thread_pool(dir)?;
    let tool = context.bins.tool("resolve").display().to_string();
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
             c=$(date +%s%N)
             echo $((b - a)) $((c - b)) $(grep -c '\tA\t10\\.' ours)
         done
         kill $nsd; wait"
    );
    let out = Lab::new().timeout(Duration::from_secs(120)).script(&script);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for line in out.code(0).lines() {
        let numbers: Vec<u64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
        let [a, b, 20_000] = numbers[..] else {
            return Err(format!("not all names were answered: {line}"));
        };
        ours.push(a);
        theirs.push(b);
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    let middle =
        |times: &[u64]| times.get(times.len() / 2).copied().unwrap_or_default() as f64 / 1e9;
    Ok(Row {
        label: label.to_owned(),
        ours: format!("{:.2} s", middle(&ours)),
        theirs: format!("thread pool {:.2} s", middle(&theirs)),
        ratio: Some(middle(&ours) / middle(&theirs)),
        goal: Goal::AtMost(1.2),
    })
}

/// Builds a program in which eight threads call getaddrinfo for IPv4, which is the
/// question of `resolve -4`.
fn thread_pool(dir: &Path) -> TaskResult<PathBuf> {
    const SOURCE: &str = r#"
        use std::ffi::{CString, c_char, c_int};
        use std::io::{BufRead, Write};
        use std::sync::Mutex;
        #[repr(C)]
        struct Info {
            flags: c_int, family: c_int, kind: c_int, protocol: c_int, length: u32,
            address: *const u8, name: *const c_char, next: *mut Info,
        }
        unsafe extern "C" {
            fn getaddrinfo(host: *const c_char, service: *const c_char,
                hints: *const Info, found: *mut *mut Info) -> c_int;
            fn freeaddrinfo(found: *mut Info);
        }
        fn address(name: &str) -> std::net::Ipv4Addr {
            let name = CString::new(name).unwrap();
            unsafe {
                let mut hints: Info = std::mem::zeroed();
                (hints.family, hints.kind) = (2, 1);
                let mut found = std::ptr::null_mut();
                assert_eq!(getaddrinfo(name.as_ptr(), std::ptr::null(), &hints, &mut found), 0);
                let bytes = *((*found).address.add(4) as *const [u8; 4]);
                freeaddrinfo(found);
                bytes.into()
            }
        }
        fn main() {
            let lines = Mutex::new(std::io::BufReader::new(std::io::stdin()).lines());
            let out = Mutex::new(std::io::BufWriter::new(std::io::stdout()));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| loop {
                        let next = lines.lock().unwrap().next();
                        let Some(Ok(name)) = next else { return };
                        let address = address(&name);
                        writeln!(out.lock().unwrap(), "{name}\tA\t{address}").unwrap();
                    });
                }
            });
        }"#;
    let binary = dir.join("thread-pool");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let text = binary.display().to_string();
    let args = [
        "-O",
        "--edition",
        "2024",
        "--crate-name",
        "pool",
        "-",
        "-o",
        &text,
    ];
    Exec::new(rustc, args).stdin(SOURCE).text()?;
    Ok(binary)
}
