//! Runs echo servers, one after the other, on a processor of their own, with a
//! load generator on another one. Measures rates, latencies and the processor
//! time per message.
//!
//! The floor, a minimal server, and the load generator are `bench/floor/*.rs`,
//! which this module compiles.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;

use support::TaskResult;
use support::exec::{Background, Exec, which};
use support::workspace::root;

use super::super::Context;
use super::super::pin::Pin;

/// The number of pairs of runs, of which the median is taken.
const ROUNDS: usize = 9;

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// Our server without its log (`tcpecho-server -q`).
    Ours,
    /// Our server with its log, which goes to a pipe that is read.
    OursLogging,
    /// A server that does nothing but echo, as the lower bound of the costs.
    Floor,
    Socat,
    Ncat,
    Xinetd,
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "tcpecho-server",
            Self::OursLogging => "with its log",
            Self::Floor => "floor",
            Self::Socat => "socat",
            Self::Ncat => "ncat",
            Self::Xinetd => "xinetd",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Ours | Self::OursLogging | Self::Floor => None,
            other => Some(other.name()),
        }
    }

    /// Returns whether the server can be started on this system.
    pub(super) fn is_installed(self) -> bool {
        self.program().is_none_or(|name| which(name).is_some())
    }
}

/// The measurements of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measurement {
    /// The number of messages, connections or bytes.
    pub(super) items: f64,
    pub(super) seconds: f64,
    pub(super) p99_us: f64,
    /// The processor time of the server.
    pub(super) cpu_seconds: f64,
}

impl Measurement {
    pub(super) fn rate(self) -> f64 {
        self.items / self.seconds
    }

    pub(super) fn cpu_us(self) -> f64 {
        self.cpu_seconds * 1e6 / self.items
    }
}

/// A figure of both servers, each a median, and the median of the ratios of all
/// pairs. The ratio is valid even if the machine becomes busy in between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) ours: f64,
    pub(super) theirs: f64,
    pub(super) ratio: f64,
}

/// The figures of two servers under the same load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared {
    pub(super) rate: Figure,
    pub(super) cpu_us: Figure,
    pub(super) p99_us: Figure,
}

impl Compared {
    fn from_pairs(pairs: &[(Measurement, Measurement)]) -> Self {
        let figure = |value: fn(Measurement) -> f64| Figure {
            ours: median(pairs.iter().map(|(ours, _)| value(*ours))),
            theirs: median(pairs.iter().map(|(_, theirs)| value(*theirs))),
            ratio: median(
                pairs
                    .iter()
                    .map(|(ours, theirs)| value(*ours) / value(*theirs)),
            ),
        };
        Self {
            rate: figure(Measurement::rate),
            cpu_us: figure(Measurement::cpu_us),
            p99_us: figure(|score| score.p99_us),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The programs and the assignment of processors.
pub(super) struct Runner<'a> {
    context: &'a Context,
    floor: PathBuf,
    load: PathBuf,
    pin: Pin,
}

impl<'a> Runner<'a> {
    /// Compiles the floor and the load generator.
    pub(super) fn new(context: &'a Context) -> TaskResult<Self> {
        Ok(Self {
            floor: compile(context, "server")?,
            load: compile(context, "load")?,
            pin: Pin::find(),
            context,
        })
    }

    /// Runs our server and another one alternately, so that other load on the
    /// machine affects both.
    pub(super) fn compare(&self, load: &[&str], theirs: Server) -> TaskResult<Compared> {
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            pairs.push((
                self.measure(load, Server::Ours)?,
                self.measure(load, theirs)?,
            ));
        }
        Ok(Compared::from_pairs(&pairs))
    }

    /// Runs one server under a load.
    pub(super) fn measure(&self, load: &[&str], server: Server) -> TaskResult<Measurement> {
        let (running, addr) = self.start(server)?;
        let before = cpu_seconds(running.pid())?;
        let output = self.generator(load, &addr).text()?;
        let cpu = cpu_seconds(running.pid())? - before;
        let numbers: Vec<f64> = output
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let number = |i: usize| numbers.get(i).copied().unwrap_or_default();
        if number(0) <= 0.0 {
            return Err(format!("{}: no byte was echoed: {output:?}", server.name()));
        }
        Ok(Measurement {
            items: number(0),
            seconds: number(1),
            p99_us: number(3),
            cpu_seconds: cpu,
        })
    }

    /// Measures the memory that our server needs for each of `count` idle
    /// connections, in bytes, and the processor time that it needs per second, in
    /// seconds.
    pub(super) fn idle(&self, count: usize) -> TaskResult<(f64, f64)> {
        let (running, addr) = self.start(Server::Ours)?;
        let before = anonymous_bytes(running.pid())?;
        let count_text = count.to_string();
        let args = ["idle", &addr, &count_text].map(str::to_owned);
        let log = self.context.dir.path().join("idle.log");
        let generator = Background::start(&self.load, args, &log)?;
        if generator.line()? != "ready" {
            return Err("the load generator is not ready".to_owned());
        }
        let after = anonymous_bytes(running.pid())?;
        let cpu = cpu_seconds(running.pid())?;
        std::thread::sleep(std::time::Duration::from_secs(1));
        let cpu = cpu_seconds(running.pid())? - cpu;
        Ok((after.saturating_sub(before) as f64 / count as f64, cpu))
    }

    /// Starts a server, which runs until the returned value is dropped, and
    /// returns its address.
    pub(super) fn start(&self, server: Server) -> TaskResult<(Background, String)> {
        let dir = self.context.dir.path();
        let port = free_port()?;
        let addr = format!("127.0.0.1:{port}");
        let (program, args) = match server {
            Server::Floor => (self.floor.clone(), Vec::new()),
            Server::Ours => (
                self.context.bins.tool("tcpecho-server"),
                vec!["-q".to_owned(), addr.clone()],
            ),
            Server::OursLogging => (self.context.bins.tool("tcpecho-server"), vec![addr.clone()]),
            Server::Socat => {
                let listen =
                    format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=4096");
                ("socat".into(), vec![listen, "PIPE".to_owned()])
            }
            Server::Ncat => {
                let args = ["-l", "-k", "-m", "2000", "127.0.0.1"];
                let mut args: Vec<String> = args.map(str::to_owned).to_vec();
                args.extend([port.to_string(), "-e".to_owned(), "/bin/cat".to_owned()]);
                ("ncat".into(), args)
            }
            Server::Xinetd => {
                let config = dir.join("xinetd.conf");
                let text = format!(
                    "defaults\n{{\n\tinstances = UNLIMITED\n\tcps = 100000 1\n\tlog_type = FILE \
                     /dev/null\n}}\nservice echo\n{{\n\ttype = INTERNAL UNLISTED\n\tid = \
                     echo-stream\n\tname = echo\n\tsocket_type = stream\n\tprotocol = tcp\n\twait \
                     = no\n\tuser = root\n\tport = {port}\n\tbind = 127.0.0.1\n}}\n"
                );
                fs::write(&config, text)
                    .map_err(|error| format!("{}: {error}", config.display()))?;
                let pid = dir.join("xinetd.pid").display().to_string();
                let config = config.display().to_string();
                let args = ["-dontfork", "-f", &config, "-pidfile", &pid];
                ("xinetd".into(), args.map(str::to_owned).to_vec())
            }
        };
        let (program, args) = self.pin.command(0, &program, args);
        let log = dir.join(format!("{}.log", server.name()));
        let mut running = Background::start(program, args, &log)?;
        if server == Server::Floor {
            // The floor chooses a port and prints it.
            let addr = running.line()?.replace("listening\t", "");
            return Ok((running, addr));
        }
        running.until(|| TcpStream::connect(&addr).is_ok())?;
        Ok((running, addr))
    }

    fn generator(&self, load: &[&str], addr: &str) -> Exec {
        let mut args: Vec<String> = load.iter().map(|&arg| arg.to_owned()).collect();
        args.insert(1, addr.to_owned());
        let (program, args) = self.pin.command(1, &self.load, args);
        Exec::new(program, args)
    }

    /// Returns whether each side has a processor of its own.
    pub(super) fn is_pinned(&self) -> bool {
        self.pin.is_pinned()
    }
}

/// Compiles one of `bench/floor/*.rs` with rustc.
fn compile(context: &Context, name: &str) -> TaskResult<PathBuf> {
    let source = root().join(format!("xtask/bench/src/floor/{name}.rs"));
    let binary = context.dir.path().join(format!("floor-{name}"));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let (source, goal) = (source.display().to_string(), binary.display().to_string());
    let args = [
        "--edition=2024",
        "-O",
        "-C",
        "strip=symbols",
        &source,
        "-o",
        &goal,
    ];
    Exec::new(rustc, args).text()?;
    Ok(binary)
}

fn free_port() -> TaskResult<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|addr| addr.port())
        .map_err(|error| format!("no free port: {error}"))
}

/// Returns the processor time of all threads of a process, in seconds.
fn cpu_seconds(pid: u32) -> TaskResult<f64> {
    let dir = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&dir).map_err(|error| format!("{dir}: {error}"))?;
    let mut nanoseconds = 0.0;
    for task in tasks.filter_map(Result::ok) {
        let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let first = stat.split_whitespace().next();
        nanoseconds += first
            .and_then(|n| n.parse::<f64>().ok())
            .unwrap_or_default();
    }
    Ok(nanoseconds / 1e9)
}

/// Returns the anonymous resident memory of a process.
fn anonymous_bytes(pid: u32) -> TaskResult<u64> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| format!("{file}: RssAnon is missing"))
}

#[cfg(test)]
mod tests {
    use super::{Compared, Measurement};

    #[test]
    fn the_ratio_is_the_median_of_all_pairs() {
        let score = |items: f64, cpu: f64| Measurement {
            items,
            seconds: 1.0,
            p99_us: 1e6 / items,
            cpu_seconds: cpu * items / 1e6,
        };
        // The machine becomes half as fast, and so do both servers.
        let compared = Compared::from_pairs(&[
            (score(100.0, 5.0), score(200.0, 5.0)),
            (score(50.0, 10.0), score(100.0, 10.0)),
            (score(60.0, 12.0), score(100.0, 10.0)),
        ]);
        assert!((compared.rate.ratio - 0.5).abs() < 1e-9);
        assert!((compared.cpu_us.ratio - 1.0).abs() < 1e-9);
        assert!((compared.rate.ours - 60.0).abs() < 1e-9);
        assert!((compared.p99_us.theirs - 1e4).abs() < 1e-6);
    }
}
