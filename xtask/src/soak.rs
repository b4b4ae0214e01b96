//! `cargo xtask soak [--seconds N]`: the echo pair under load and faults for
//! ten minutes, and whether that left anything behind.
//!
//! Two servers, one of them with TLS, delay, drop, spoil, shorten and reset
//! what they echo. Clients of every mode come and go in rounds, some reset
//! their connections, some never read. One client runs from beginning to end.
//! After each round the server is left alone until its timeouts have passed,
//! then looked at: after a warm-up no look may find more memory than the first
//! ones did. When the last client has gone, a server has the descriptors that
//! it had before the first one came.

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

/// Rounds before the looks count, at least, and the share of the time: until
/// caches and pools have their size.
const WARM_UP: usize = 3;
const WARM_UP_SHARE: u64 = 5;

/// How many looks tell what is usual, and how many must follow, at least.
const USUAL: usize = 3;

/// Memory that may come and go with the allocator's mood. A leak of a few
/// bytes a connection is more than this after a hundred thousand of them.
const SLACK: u64 = 256 << 10;

/// How long a server is left alone before a look: the idle timeout, and then
/// as long as it takes to give memory back.
const QUIET: Duration = Duration::from_secs(4);

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

/// The looks at one process, each with its time.
#[derive(Debug)]
struct Looks {
    name: &'static str,
    pid: u32,
    all: Vec<(Duration, Look)>,
    /// How many of them were in the warm-up.
    warm_up: usize,
}

impl Looks {
    fn new(name: &'static str, pid: u32) -> Self {
        Self {
            name,
            pid,
            all: Vec::new(),
            warm_up: 0,
        }
    }

    /// Looks now; what is seen before `warm` and in the first rounds does not
    /// count.
    fn look(&mut self, start: Instant, warm: Duration) -> Outcome<Look> {
        let look = Look::at(self.pid)?;
        let elapsed = start.elapsed();
        self.all.push((elapsed, look));
        if elapsed < warm || self.all.len() <= WARM_UP {
            self.warm_up = self.all.len();
        }
        Ok(look)
    }

    /// Whether enough of them count.
    fn suffice(&self) -> bool {
        self.all.len() >= self.warm_up + 2 * USUAL
    }

    /// What is usual, and the most that was seen later.
    fn memory(&self) -> Outcome<(u64, u64)> {
        let (usual, later) = self.all[self.warm_up..]
            .split_at_checked(USUAL)
            .ok_or_else(|| format!("{}: too few looks", self.name))?;
        let most = |looks: &[(Duration, Look)]| looks.iter().map(|(_, look)| look.bytes).max();
        most(usual)
            .zip(most(later))
            .ok_or_else(|| format!("{}: too few looks", self.name))
    }

    /// A line for each minute; whether memory stayed where it was.
    fn tell(&self) -> Outcome<bool> {
        let mut minute = 0;
        let last = self.all.len().saturating_sub(1);
        for (at, (time, look)) in self.all.iter().enumerate() {
            if at == last || time.as_secs() / 60 >= minute {
                minute = time.as_secs() / 60 + 1;
                println!("{:>6}: {:>4} s  {look}", self.name, time.as_secs());
            }
        }
        let (usual, later) = self.memory()?;
        println!(
            "{:>6}: {} KiB usual, {} KiB at most later, {} more allowed",
            self.name,
            usual / 1024,
            later / 1024,
            SLACK / 1024
        );
        Ok(later <= usual + SLACK)
    }
}

/// A server and where it is.
struct Server {
    running: Background,
    at: String,
    /// Before the first client.
    fresh: Look,
    looks: Looks,
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
        let pid = running.pid();
        Ok(Self {
            running,
            at: format!("127.0.0.1:{}", port.trim()),
            fresh: Look::at(pid)?,
            looks: Looks::new(name, pid),
        })
    }

    /// Ends it once its clients have gone; what is wrong.
    fn end(mut self) -> Outcome<Vec<String>> {
        let name = self.looks.name;
        let mut wrong = Vec::new();
        if !self.looks.tell()? {
            wrong.push(format!("{name} has grown"));
        }
        let (before, after) = (
            self.fresh.descriptors,
            Look::at(self.looks.pid)?.descriptors,
        );
        println!("{name:>6}: {before} descriptors before the first client, {after} after the last");
        if after != before {
            wrong.push(format!(
                "{name} has {after} descriptors instead of {before}"
            ));
        }
        self.running.discard();
        let code = self.running.terminate()?;
        // The summary, the last line of its log.
        while let Ok(line) = self.running.line() {
            if line.contains("\"summary\"") {
                println!("{name:>6}: {line}");
                break;
            }
        }
        if code != 0 {
            wrong.push(format!("{name} ended with status {code}"));
        }
        Ok(wrong)
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
    let line = "AT --bench --reconnect --connections 10 --rate 200 --json";
    let duration = ["--duration".to_owned(), format!("{}s", 2 * seconds + 600)];
    let args = client_args(line, &plain.at).into_iter().chain(duration);
    let log = dir.path().join("client.log");
    let mut long = Background::start(bins.tool("tcpecho-client"), args, &log)?;
    let mut client = Looks::new("client", long.pid());
    let start = Instant::now();
    let warm = Duration::from_secs(seconds / WARM_UP_SHARE);
    while start.elapsed() < Duration::from_secs(seconds) || !client.suffice() {
        one_round(&bins, &plain.at, &[])?;
        one_round(&bins, &secret.at, &["--tls", "--insecure"])?;
        // The plain one has been left alone for a round.
        thread::sleep(QUIET);
        let plain_look = plain.looks.look(start, warm)?;
        let secret_look = secret.looks.look(start, warm)?;
        let client_look = client.look(start, warm)?;
        for running in [&plain.running, &secret.running, &long] {
            running.discard();
        }
        println!(
            "{:>5.0} s  round {}: plain {plain_look}; tls {secret_look}; client {client_look}",
            start.elapsed().as_secs_f64(),
            client.all.len(),
        );
    }
    let mut wrong = Vec::new();
    if !client.tell()? {
        wrong.push("client has grown".to_owned());
    }
    // With such faults it cannot end with 0, and must not with more than 1.
    let code = long.terminate()?;
    if code > 1 {
        wrong.push(format!("client ended with status {code}"));
    }
    thread::sleep(QUIET);
    wrong.extend(plain.end()?);
    wrong.extend(secret.end()?);
    if wrong.is_empty() {
        println!("nothing has grown");
        Ok(())
    } else {
        Err(wrong.join("; "))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(kib: &[u64]) -> Looks {
        let look = |(n, kib): (usize, &u64)| {
            let look = Look {
                bytes: kib * 1024,
                descriptors: 9,
            };
            (Duration::from_secs(n as u64), look)
        };
        Looks {
            all: kib.iter().enumerate().map(look).collect(),
            warm_up: 2,
            ..Looks::new("test", 0)
        }
    }

    #[test]
    fn what_is_usual_is_seen_after_the_warm_up() {
        let rising = looks(&[100, 9000, 900, 1000, 800, 1100, 1000, 1256]);
        assert!(rising.suffice());
        assert_eq!(rising.memory(), Ok((1000 * 1024, 1256 * 1024)));
        assert_eq!(rising.tell(), Ok(true));
        // Once is enough, also if it is less again at the end.
        let higher = looks(&[100, 900, 900, 1000, 800, 1257, 1000, 1000]);
        assert_eq!(higher.tell(), Ok(false));
    }

    #[test]
    fn too_few_looks_are_no_proof() {
        let short = looks(&[1, 1, 1, 1, 1]);
        assert!(!short.suffice());
        assert!(short.tell().is_err());
    }
}
