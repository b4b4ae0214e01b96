//! Runs echo servers, one after the other, on a processor of their own, with a
//! load generator on another one. Measures rates, latencies and the processor
//! time per message.
//!
//! The floor, a minimal server, and the load generator are `floor/*.rs`.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use support::TaskResult;
use support::exec::{Background, Exec, which};
use support::ports::free_port;
use support::workspace::Bins;

use crate::Context;
use crate::measure::{Turns, in_turn};
use crate::pin::Pin;
use crate::rows::compile;

/// The number of pairs of runs, of which the median is taken.
const ROUNDS: usize = 9;

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
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
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "tcpecho-server",
            Self::OursLogging => "with its log",
            Self::Floor => "floor",
            Self::Socat => "socat",
            Self::Ncat => "ncat",
            Self::Xinetd => "xinetd",
        }
    }

    /// Returns the command line for the report.
    pub(crate) fn command_line(self) -> &'static str {
        match self {
            Self::Ours => "tcpecho-server -q 127.0.0.1:PORT",
            Self::OursLogging => "tcpecho-server 127.0.0.1:PORT",
            Self::Floor => "floor",
            Self::Socat => "socat TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr,fork,backlog=4096 PIPE",
            Self::Ncat => "ncat -l -k -m 2000 127.0.0.1 PORT -e /bin/cat",
            Self::Xinetd => "xinetd -dontfork -f xinetd.conf",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Ours | Self::OursLogging | Self::Floor => None,
            other => Some(other.name()),
        }
    }

    /// Returns whether the server can be started on this system.
    pub(crate) fn is_installed(self) -> bool {
        self.program().is_none_or(|name| which(name).is_some())
    }
}

/// The measurements of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measurement {
    /// The number of messages, connections or bytes.
    pub(crate) items: f64,
    pub(crate) seconds: f64,
    /// The 99th percentile of the latency in seconds.
    pub(crate) p99: f64,
    /// The processor time of the server in seconds.
    pub(crate) cpu_seconds: f64,
}

impl Measurement {
    /// Returns the items per second.
    pub(crate) fn rate(&self) -> f64 {
        self.items / self.seconds
    }

    /// Returns the processor time per item in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu_seconds / self.items
    }
}

/// The programs and the assignment of processors.
pub(crate) struct Runner<'a> {
    context: &'a Context,
    floor: PathBuf,
    load: PathBuf,
    pin: Pin,
}

impl<'a> Runner<'a> {
    /// Compiles the floor and the load generator.
    pub(crate) fn new(context: &'a Context) -> TaskResult<Self> {
        Ok(Self {
            floor: compile(context.dir.path(), "server")?,
            load: compile(context.dir.path(), "load")?,
            pin: Pin::find(),
            context,
        })
    }

    /// Runs our server and another one alternately.
    pub(crate) fn compare(&self, load: &[&str], theirs: Server) -> TaskResult<Turns<Measurement>> {
        let ours = |bins: &Bins| self.measure(load, Server::Ours, bins);
        let theirs = || self.measure(load, theirs, &self.context.bins);
        in_turn(self.context, ROUNDS, ours, Some(&theirs))
    }

    /// Runs one server under a load.
    pub(crate) fn measure(
        &self,
        load: &[&str],
        server: Server,
        bins: &Bins,
    ) -> TaskResult<Measurement> {
        let (running, addr) = self.start(server, bins)?;
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
            p99: number(3) / 1e6,
            cpu_seconds: cpu,
        })
    }

    /// Measures the memory that our server needs for each of `count` idle
    /// connections, in bytes, and the processor time that it needs per second, in
    /// seconds.
    pub(crate) fn idle(&self, count: usize, bins: &Bins) -> TaskResult<(f64, f64)> {
        let (running, addr) = self.start(Server::Ours, bins)?;
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
    pub(crate) fn start(&self, server: Server, bins: &Bins) -> TaskResult<(Background, String)> {
        let dir = self.context.dir.path();
        let port = free_port()?;
        let addr = format!("127.0.0.1:{port}");
        let (program, args) = match server {
            Server::Floor => (self.floor.clone(), Vec::new()),
            Server::Ours => (
                bins.tool("tcpecho-server"),
                vec!["-q".to_owned(), addr.clone()],
            ),
            Server::OursLogging => (bins.tool("tcpecho-server"), vec![addr.clone()]),
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

    /// Returns our tools and, if they are measured, those of the other build.
    pub(crate) fn builds(&self) -> impl Iterator<Item = &Bins> {
        self.context.builds()
    }

    /// Returns whether each side has a processor of its own.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pin.is_pinned()
    }
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
