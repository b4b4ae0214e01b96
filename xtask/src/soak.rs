//! `cargo xtask soak [--seconds N]`: runs the echo pair under load and faults for
//! ten minutes and checks for leaks.
//!
//! Two servers, one of them with TLS, delay, drop, corrupt, truncate and reset
//! their echoes. In each round clients of every mode connect; some reset their
//! connections, some never read. One client runs for the complete time. After each
//! round, once the idle timeouts have expired, it samples each process. No sample after
//! the warm-up may exceed the first ones by more than a tolerance. After the last client, a server must have the same number of
//! descriptors as before the first one.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use support::TaskResult;
use support::exec::{Background, Exec};
use support::workspace::{self, Bins, Profile};
use testkit::tls::{Authority, Leaf};

use crate::USAGE;

/// The default of `--seconds`.
const DEFAULT_SECONDS: u64 = 600;

/// The minimum number of rounds of the warm-up, in which caches and pools grow.
const WARM_UP_ROUNDS: usize = 3;
/// The warm-up takes at least the total time divided by this.
const WARM_UP_DIVISOR: u64 = 5;

/// The number of samples of the baseline, and the minimum number of later ones.
const BASELINE_SAMPLES: usize = 3;

/// The tolerated growth in bytes, since allocators vary. A leak of a
/// few bytes per connection exceeds it after a hundred thousand connections.
const TOLERANCE: u64 = 256 << 10;

/// The idle time of a server before a sample: its idle timeout and the time until
/// it returns memory to the system.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// The timeout of every client of a round.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

const FAULTS: &str = "--delay 1ms:3ms --drop 0.0005 --corrupt 0.01 --truncate 0.0005 \
    --reset 0.005 --seed 7 --idle-timeout 2s";

/// The arguments of the clients; `ADDR` is the address of the server.
const CLIENTS: [&str; 7] = [
    "ADDR --bench --reconnect --connections 40 --size 1:16k --duration 4s",
    "ADDR --bench --connections 40 --size 1:16k --pipeline 4 --duration 4s",
    "ADDR --bench --connections 100 --rate 2000 --duration 4s",
    "ADDR -c 200 -i 10ms --timeout 1s",
    "ADDR -c 50 -i 10ms --reconnect --timeout 1s",
    "ADDR --file - --no-verify --timeout 4s",
    "ADDR --connect-only -c 100 -i 10ms",
];

/// The arguments of a client that sends datagrams.
const DATAGRAMS: &str = "ADDR --udp -c 300 -i 10ms --size 1:1400 --timeout 1s";

/// The memory and descriptors of a process at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    /// Anonymous resident memory in bytes.
    bytes: u64,
    descriptors: usize,
}

impl Sample {
    fn take(pid: u32) -> TaskResult<Self> {
        let file = format!("/proc/{pid}/status");
        let fail = |reason: &dyn std::fmt::Display| format!("{file}: {reason}");
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

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} KiB, {} descriptors",
            self.bytes / 1024,
            self.descriptors
        )
    }
}

/// The samples of one process, each with its time.
#[derive(Debug)]
struct Samples {
    name: &'static str,
    pid: u32,
    all: Vec<(Duration, Sample)>,
    /// The number of samples in the warm-up.
    warm_up: usize,
}

impl Samples {
    fn new(name: &'static str, pid: u32) -> Self {
        Self {
            name,
            pid,
            all: Vec::new(),
            warm_up: 0,
        }
    }

    /// Takes a sample. Samples before `warm_up_time` and of the first rounds belong to the
    /// warm-up.
    fn take(&mut self, start: Instant, warm_up_time: Duration) -> TaskResult<Sample> {
        let sample = Sample::take(self.pid)?;
        let elapsed = start.elapsed();
        self.all.push((elapsed, sample));
        if elapsed < warm_up_time || self.all.len() <= WARM_UP_ROUNDS {
            self.warm_up = self.all.len();
        }
        Ok(sample)
    }

    /// Whether there are enough samples after the warm-up.
    fn has_enough_samples(&self) -> bool {
        self.all.len() >= self.warm_up + 2 * BASELINE_SAMPLES
    }

    /// Returns the maxima of the baseline and of the later samples in bytes.
    fn memory_maxima(&self) -> TaskResult<(u64, u64)> {
        let (baseline, later) = self.all[self.warm_up..]
            .split_at_checked(BASELINE_SAMPLES)
            .ok_or_else(|| format!("{}: too few samples", self.name))?;
        let max =
            |samples: &[(Duration, Sample)]| samples.iter().map(|(_, sample)| sample.bytes).max();
        max(baseline)
            .zip(max(later))
            .ok_or_else(|| format!("{}: too few samples", self.name))
    }

    /// Prints a sample of each minute. Returns whether the memory stayed within the
    /// tolerance.
    fn report(&self) -> TaskResult<bool> {
        let mut minute = 0;
        let last = self.all.len().saturating_sub(1);
        for (at, (time, sample)) in self.all.iter().enumerate() {
            if at == last || time.as_secs() / 60 >= minute {
                minute = time.as_secs() / 60 + 1;
                println!("{:>6}: {:>4} s  {sample}", self.name, time.as_secs());
            }
        }
        let (baseline, later) = self.memory_maxima()?;
        println!(
            "{:>6}: baseline {} KiB, later maximum {} KiB, tolerance {} KiB",
            self.name,
            baseline / 1024,
            later / 1024,
            TOLERANCE / 1024
        );
        Ok(later <= baseline + TOLERANCE)
    }
}

/// A running server with its address.
struct Server {
    running: Background,
    addr: String,
    /// The sample before the first client.
    initial: Sample,
    samples: Samples,
}

impl Server {
    fn start(
        name: &'static str,
        bins: &Bins,
        dir: &Path,
        extra_args: impl IntoIterator<Item = String>,
    ) -> TaskResult<Self> {
        let port_file = dir.join(format!("{name}.port"));
        let mut args: Vec<String> = FAULTS.split_whitespace().map(str::to_owned).collect();
        args.extend(extra_args);
        args.extend(["--json", "--port-file"].map(str::to_owned));
        args.extend([port_file.display().to_string(), "127.0.0.1:0".to_owned()]);
        let log = dir.join(format!("{name}.log"));
        // `Background::discard` discards its events.
        let mut running = Background::start(bins.tool("tcpecho-server"), args, &log)?;
        running.until(|| port_file.exists())?;
        let port = std::fs::read_to_string(&port_file).map_err(|error| error.to_string())?;
        let pid = running.pid();
        Ok(Self {
            running,
            addr: format!("127.0.0.1:{}", port.trim()),
            initial: Sample::take(pid)?,
            samples: Samples::new(name, pid),
        })
    }

    /// Ends the server after its last client and returns the problems found.
    fn finish(mut self) -> TaskResult<Vec<String>> {
        let name = self.samples.name;
        let mut problems = Vec::new();
        if !self.samples.report()? {
            problems.push(format!("the memory of the {name} server has grown"));
        }
        let (before, after) = (
            self.initial.descriptors,
            Sample::take(self.samples.pid)?.descriptors,
        );
        println!("{name:>6}: {before} descriptors before the first client, {after} after the last");
        if after != before {
            problems.push(format!(
                "{name} has {after} descriptors instead of {before}"
            ));
        }
        self.running.discard();
        let code = self.running.terminate()?;
        // The last line of its log is the summary.
        while let Ok(line) = self.running.line() {
            if line.contains("\"summary\"") {
                println!("{name:>6}: {line}");
                break;
            }
        }
        if code != 0 {
            problems.push(format!("{name} ended with status {code}"));
        }
        Ok(problems)
    }
}

/// Runs the rounds and reports the results.
pub(crate) fn run(args: &[String]) -> TaskResult {
    let seconds = match args {
        [] => DEFAULT_SECONDS,
        [option, number] if option == "--seconds" => number
            .parse()
            .map_err(|_| format!("--seconds needs a number\n{USAGE}"))?,
        _ => return Err(format!("soak accepts only --seconds N\n{USAGE}")),
    };
    if !cfg!(target_os = "linux") {
        return Err("soak requires Linux, because it reads /proc".to_owned());
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
    let mut plain_server = Server::start("plain", &bins, dir.path(), udp)?;
    let mut tls_server = Server::start("tls", &bins, dir.path(), tls)?;
    let line = "ADDR --bench --reconnect --connections 10 --rate 200 --json";
    let duration = ["--duration".to_owned(), format!("{}s", 2 * seconds + 600)];
    let args = client_args(line, &plain_server.addr)
        .into_iter()
        .chain(duration);
    let log = dir.path().join("client.log");
    let mut long_client = Background::start(bins.tool("tcpecho-client"), args, &log)?;
    let mut client = Samples::new("client", long_client.pid());
    let start = Instant::now();
    let warm_up_time = Duration::from_secs(seconds / WARM_UP_DIVISOR);
    while start.elapsed() < Duration::from_secs(seconds) || !client.has_enough_samples() {
        one_round(&bins, &plain_server.addr, &[])?;
        one_round(&bins, &tls_server.addr, &["--tls", "--insecure"])?;
        // The plain server has been idle during the second round.
        thread::sleep(IDLE_TIME);
        let plain_sample = plain_server.samples.take(start, warm_up_time)?;
        let tls_sample = tls_server.samples.take(start, warm_up_time)?;
        let client_sample = client.take(start, warm_up_time)?;
        for running in [&plain_server.running, &tls_server.running, &long_client] {
            running.discard();
        }
        println!(
            "{:>5.0} s  round {}: plain {plain_sample}; tls {tls_sample}; client {client_sample}",
            start.elapsed().as_secs_f64(),
            client.all.len(),
        );
    }
    let mut problems = Vec::new();
    if !client.report()? {
        problems.push("the memory of the client has grown".to_owned());
    }
    // The faults cause status 1; a higher status is an error.
    let code = long_client.terminate()?;
    if code > 1 {
        problems.push(format!("client ended with status {code}"));
    }
    thread::sleep(IDLE_TIME);
    problems.extend(plain_server.finish()?);
    problems.extend(tls_server.finish()?);
    if problems.is_empty() {
        println!("no leak found");
        Ok(())
    } else {
        Err(problems.join("; "))
    }
}

fn client_args(line: &str, addr: &str) -> Vec<String> {
    line.split_whitespace()
        .map(|word| if word == "ADDR" { addr } else { word }.to_owned())
        .collect()
}

/// Runs all clients in parallel.
fn one_round(bins: &Bins, addr: &str, tls: &[&str]) -> TaskResult {
    let datagrams = tls.is_empty().then_some(DATAGRAMS);
    thread::scope(|scope| {
        let clients: Vec<_> = CLIENTS
            .into_iter()
            .chain(datagrams)
            .map(|line| {
                scope.spawn(move || {
                    let mut args = client_args(line, addr);
                    args.extend(tls.iter().map(|&option| option.to_owned()));
                    let done = Exec::new(bins.tool("tcpecho-client"), args)
                        .stdin(vec![b'x'; 8 << 20])
                        .timeout(CLIENT_TIMEOUT)
                        .run()?;
                    // With the faults 0, 1 and 3 are expected; 2 is a local
                    // error, and 128 or more a signal, which is a crash.
                    match done.code {
                        0 | 1 | 3 => Ok(()),
                        _ => done.expect_code(0),
                    }
                })
            })
            .collect();
        scope.spawn(move || misbehaving_peers(addr));
        clients.into_iter().try_for_each(|client| {
            client
                .join()
                .unwrap_or_else(|_| Err("a client thread panicked".to_owned()))
        })
    })
}

/// Connects peers that send, never read, and then reset the connection.
fn misbehaving_peers(addr: &str) {
    let mut open = Vec::new();
    for n in 0..20 {
        let Ok(mut stream) = TcpStream::connect(addr) else {
            continue;
        };
        // The server may end the connection at any point.
        let _ = stream.set_write_timeout(Some(Duration::from_millis(200)));
        let _ = stream.write_all(&vec![n; 1 << 20]);
        // Closing with unread bytes resets the connection.
        open.push(stream);
    }
    drop(open);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(kib: &[u64]) -> Samples {
        let sample = |(n, kib): (usize, &u64)| {
            let sample = Sample {
                bytes: kib * 1024,
                descriptors: 9,
            };
            (Duration::from_secs(n as u64), sample)
        };
        Samples {
            all: kib.iter().enumerate().map(sample).collect(),
            warm_up: 2,
            ..Samples::new("test", 0)
        }
    }

    #[test]
    fn the_baseline_follows_the_warm_up() {
        let rising = samples(&[100, 9000, 900, 1000, 800, 1100, 1000, 1256]);
        assert!(rising.has_enough_samples());
        assert_eq!(rising.memory_maxima(), Ok((1000 * 1024, 1256 * 1024)));
        assert_eq!(rising.report(), Ok(true));
        // One larger sample is enough, even if later ones are smaller.
        let higher = samples(&[100, 900, 900, 1000, 800, 1257, 1000, 1000]);
        assert_eq!(higher.report(), Ok(false));
    }

    #[test]
    fn too_few_samples_are_an_error() {
        let short = samples(&[1, 1, 1, 1, 1]);
        assert!(!short.has_enough_samples());
        assert!(short.report().is_err());
    }
}
