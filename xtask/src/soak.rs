//! `cargo xtask soak [--seconds N]`: the echo pair under load and faults for
//! ten minutes, and whether that left anything behind.
//!
//! Two servers, one of them with TLS, delay, drop, spoil, shorten and reset
//! what they echo. Clients of every mode come and go in rounds, some reset
//! their connections, some never read. Between two rounds nobody is connected;
//! memory and descriptors of the servers then must be what they were after the
//! first rounds. One client runs from beginning to end and is held to the same.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use testkit::tls::{Authority, Leaf};

use crate::exec::{Background, Exec};
use crate::workspace::{self, Bins, Profile};
use crate::{Outcome, USAGE};

/// How long without `--seconds`.
const SECONDS: u64 = 600;

/// Rounds before the first look, at least, and the share of the time: until
/// caches and pools have their size and the allocator has met its worst crowd.
const WARM_UP: u32 = 3;
const WARM_UP_SHARE: u64 = 5;

/// Memory that may come and go with the allocator's mood. A leak of a few
/// bytes a connection is more than this after some hundred thousand of them.
const SLACK: u64 = 1 << 20;

/// What every client of a round may take.
const PATIENCE: Duration = Duration::from_secs(60);

const FAULTS: &str = "--delay 1ms:3ms --drop 0.0005 --corrupt 0.01 --truncate 0.0005 \
    --reset 0.005 --seed 7 --idle-timeout 2s";

/// The kinds of clients; `AT` is the server's address.
const CLIENTS: [&str; 7] = [
    "AT --bench --reconnect --connections 40 --size 1:16k --duration 4s",
    "AT --bench --connections 40 --size 1:16k --pipeline 4 --duration 4s",
    "AT --bench --connections 100 --rate 2000 --duration 4s",
    "AT -c 200 -i 10ms --timeout 1s",
    "AT -c 50 -i 10ms --reconnect --timeout 1s",
    "AT --file - --no-verify --timeout 4s",
    "AT --connect-only -c 100 -i 10ms",
];

/// And those of datagrams.
const DATAGRAMS: &str = "AT --udp -c 300 -i 10ms --size 1:1400 --timeout 1s";

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// Resident memory that belongs to no file.
    bytes: u64,
    descriptors: usize,
}

impl Look {
    fn at(pid: u32) -> Outcome<Self> {
        let file = format!("/proc/{pid}/status");
        let fail = |what: &dyn std::fmt::Display| format!("{file}: {what}");
        let status = std::fs::read_to_string(&file).map_err(|error| fail(&error))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kib| kib.parse::<u64>().ok())
            .ok_or_else(|| fail(&"no RssAnon"))?;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .map_err(|error| fail(&error))?
            .count();
        Ok(Self {
            bytes: kib * 1024,
            descriptors,
        })
    }

    /// Whether it has grown since `before`; `play` descriptors do not matter.
    fn has_grown(self, before: Self, play: usize) -> bool {
        self.bytes > before.bytes + SLACK || self.descriptors > before.descriptors + play
    }
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} KiB, {} descriptors",
            self.bytes / 1024,
            self.descriptors
        )
    }
}

/// A server and where it is.
struct Server {
    name: &'static str,
    running: Background,
    at: String,
    first: Option<Look>,
}

impl Server {
    fn start(
        name: &'static str,
        bins: &Bins,
        dir: &Path,
        more: impl IntoIterator<Item = String>,
    ) -> Outcome<Self> {
        let port_file = dir.join(format!("{name}.port"));
        let mut args: Vec<String> = FAULTS.split_whitespace().map(str::to_owned).collect();
        args.extend(more);
        args.extend(["--json", "--port-file"].map(str::to_owned));
        args.extend([port_file.display().to_string(), "127.0.0.1:0".to_owned()]);
        let log = dir.join(format!("{name}.log"));
        // Its events are read, and thrown away by `Background::discard`.
        let mut running = Background::start(bins.tool("tcpecho-server"), args, &log)?;
        running.until(|| port_file.exists())?;
        let port = std::fs::read_to_string(&port_file).map_err(|error| error.to_string())?;
        Ok(Self {
            name,
            running,
            at: format!("127.0.0.1:{}", port.trim()),
            first: None,
        })
    }

    /// Looks at it, once its connections are gone: those that were dropped
    /// end by the idle timeout.
    fn look(&mut self, settled: bool) -> Outcome<Look> {
        self.running.discard();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut look = Look::at(self.running.pid())?;
        while let Some(first) = self.first
            && look.descriptors > first.descriptors
            && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(50));
            look = Look::at(self.running.pid())?;
        }
        if settled && self.first.is_none() {
            // All idle timeouts have passed by then.
            thread::sleep(Duration::from_secs(4));
            look = Look::at(self.running.pid())?;
            self.first = Some(look);
        }
        Ok(look)
    }
}

/// Runs the soak.
pub(crate) fn run(args: &[String]) -> Outcome {
    let seconds = match args {
        [] => SECONDS,
        [option, number] if option == "--seconds" => number
            .parse()
            .map_err(|_| format!("--seconds takes a number\n{USAGE}"))?,
        _ => return Err(format!("soak takes --seconds N\n{USAGE}")),
    };
    if !cfg!(target_os = "linux") {
        return Err("soak looks into /proc, so it needs Linux".to_owned());
    }
    let bins = Bins::build(Profile::Release)?;
    let dir = workspace::scratch()?;
    let authority = Authority::new();
    let (cert, key) = authority.files(Leaf::Good);
    let tls = [
        "--cert".to_owned(),
        cert.display().to_string(),
        "--key".to_owned(),
        key.display().to_string(),
    ];
    let udp = ["--udp".to_owned()];
    let mut plain = Server::start("plain", &bins, dir.path(), udp)?;
    let mut secret = Server::start("tls", &bins, dir.path(), tls)?;
    let long = client_args(
        "AT --bench --reconnect --connections 10 --rate 200 --json",
        &plain.at,
    );
    let duration = ["--duration".to_owned(), format!("{}s", 2 * seconds + 600)];
    let log = dir.path().join("client.log");
    let long = Background::start(
        bins.tool("tcpecho-client"),
        long.into_iter().chain(duration),
        &log,
    )?;
    let mut client_first = None;
    let start = Instant::now();
    let mut round = 0;
    while start.elapsed() < Duration::from_secs(seconds) || round <= WARM_UP {
        one_round(&bins, &plain.at, &[])?;
        one_round(&bins, &secret.at, &["--tls", "--insecure"])?;
        round += 1;
        let warm = Duration::from_secs(seconds / WARM_UP_SHARE);
        let settled = round >= WARM_UP && start.elapsed() >= warm;
        let looks = [plain.look(settled)?, secret.look(settled)?];
        let client = Look::at(long.pid())?;
        if settled {
            client_first.get_or_insert(client);
        }
        println!(
            "{:>5.0} s  round {round}: plain {}; tls {}; client {client}",
            start.elapsed().as_secs_f64(),
            looks[0],
            looks[1],
        );
    }
    verdict(&mut plain, &mut secret, client_first, long.pid())
}

fn verdict(
    plain: &mut Server,
    secret: &mut Server,
    client_first: Option<Look>,
    client: u32,
) -> Outcome {
    let mut grown = Vec::new();
    // The client that runs all the time keeps some connections at one of them.
    for (server, play) in [(plain, 12), (secret, 0)] {
        let last = server.look(true)?;
        let first = server.first.unwrap_or(last);
        println!("{}: {first} at first, {last} at last", server.name);
        if last.has_grown(first, play) {
            grown.push(server.name);
        }
        let code = server.running.terminate()?;
        if code > 1 {
            return Err(format!(
                "the {} server ended with status {code}",
                server.name
            ));
        }
    }
    let last = Look::at(client)?;
    let first = client_first.unwrap_or(last);
    println!("client: {first} at first, {last} at last");
    if last.has_grown(first, 12) {
        grown.push("client");
    }
    if grown.is_empty() {
        println!("nothing has grown");
        Ok(())
    } else {
        Err(format!("grown: {}", grown.join(", ")))
    }
}

fn client_args(line: &str, at: &str) -> Vec<String> {
    line.split_whitespace()
        .map(|word| if word == "AT" { at } else { word }.to_owned())
        .collect()
}

/// Every kind of client at the same time.
fn one_round(bins: &Bins, at: &str, tls: &[&str]) -> Outcome {
    let datagrams = tls.is_empty().then_some(DATAGRAMS);
    thread::scope(|scope| {
        let clients: Vec<_> = CLIENTS
            .into_iter()
            .chain(datagrams)
            .map(|line| {
                scope.spawn(move || {
                    let mut args = client_args(line, at);
                    args.extend(tls.iter().map(|&option| option.to_owned()));
                    let done = Exec::new(bins.tool("tcpecho-client"), args)
                        .stdin(vec![b'x'; 8 << 20])
                        .timeout(PATIENCE)
                        .run()?;
                    // With such faults anything but a mistake of its own is
                    // an answer; 128 and more is a signal, so a crash.
                    match done.code {
                        0 | 1 | 3 => Ok(()),
                        _ => done.expect_code(0),
                    }
                })
            })
            .collect();
        scope.spawn(move || ill_will(at));
        clients
            .into_iter()
            .try_for_each(|client| client.join().unwrap_or_else(|_| Err("a panic".to_owned())))
    })
}

/// Peers that send and never read, and some that reset.
fn ill_will(at: &str) {
    let mut open = Vec::new();
    for n in 0..20 {
        let Ok(mut stream) = TcpStream::connect(at) else {
            continue;
        };
        // However far it gets: the server may cut it off at any point.
        let _ = stream.set_write_timeout(Some(Duration::from_millis(200)));
        let _ = stream.write_all(&vec![n; 1 << 20]);
        // Closed with bytes unread, which is a reset.
        open.push(stream);
    }
    drop(open);
}
