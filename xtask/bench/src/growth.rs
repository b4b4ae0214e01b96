//! How the cost of each tool grows with the size of its task, as plots with the
//! curve of a peer.
//!
//! The programs take turns at each size. A curve ends before the sizes that its
//! program cannot do or for which, as the last two sizes suggest, it would take too
//! long.

use std::fs;

use support::nginx;
use support::ports::free_port;
use support::{TaskResult, exec::which};
use testkit::privilege;
use testkit::tls::Authority;

use crate::command::{CommandLine, Peer};
use crate::context::Context;
use crate::measure::repeated;
use crate::plot::{Plot, Series};
use crate::row::{Samples, Unit};
use crate::rows::write;
use crate::tcpecho::{Measurement, Runner, Server};
use crate::tcpecho_client::Loads;
use crate::{httpget, ping, resolve, subnetcalc};

/// The number of runs for each size.
const RUNS: usize = 3;

/// A first run that takes longer than this, in seconds, is the only one of its size.
const LONG: f64 = 2.0;

/// A curve ends before the size for which this time in seconds is to be expected.
const LONGEST: f64 = 10.0;

/// Measures the plots of a tool.
pub(crate) fn plots(context: &Context, tool: &str) -> TaskResult<Vec<Plot>> {
    match tool {
        "subnetcalc" => Ok(vec![addresses(context)?, networks(context)?]),
        "ping" if privilege::can_ping() => Ok(vec![targets(context)?]),
        "resolve" if which("nsd").is_some() => Ok(vec![names(context)?]),
        "httpget" if which("nginx").is_some() => transfers(context),
        "tcpecho-server" => Ok(vec![clients(context)?]),
        "tcpecho-client" if cfg!(target_os = "linux") => Ok(vec![connections(context)?]),
        _ => Ok(Vec::new()),
    }
}

/// A program that can do its task at several sizes.
struct Subject<'a> {
    name: String,
    /// Measures one run; `None` if it cannot do this size.
    run: Box<dyn Fn(u64) -> TaskResult<Option<f64>> + 'a>,
}

impl<'a> Subject<'a> {
    fn new(name: &str, run: impl Fn(u64) -> TaskResult<Option<f64>> + 'a) -> Self {
        Self {
            name: name.to_owned(),
            run: Box::new(run),
        }
    }

    /// Creates a subject from the command line of each size.
    fn lines(name: &str, line: impl Fn(u64) -> TaskResult<Option<CommandLine>> + 'a) -> Self {
        Self::new(name, move |size| match line(size)? {
            Some(line) => Ok(Some(line.run_once()?.time.as_secs_f64())),
            None => Ok(None),
        })
    }

    /// Creates a subject from a peer for each size.
    fn peers(name: &str, peer: impl Fn(u64) -> TaskResult<Peer> + 'a) -> Self {
        Self::lines(name, move |size| Ok(peer(size)?.line().cloned()))
    }
}

/// Measures all subjects for growing sizes.
fn grow(sizes: &[u64], subjects: &[Subject<'_>]) -> TaskResult<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for subject in subjects {
        series.push(Series {
            name: subject.name.clone(),
            points: Vec::new(),
        });
    }
    let mut has_ended = vec![false; subjects.len()];
    for &size in sizes {
        let mut values = vec![Vec::new(); subjects.len()];
        // The first run of a size fills the caches and does not count.
        for (index, subject) in subjects.iter().enumerate() {
            if !has_ended[index] && expected_next(&series[index]) < LONG {
                repeated(|| (subject.run)(size))?;
            }
        }
        for _ in 0..RUNS {
            for (index, subject) in subjects.iter().enumerate() {
                if has_ended[index] || values[index].first().is_some_and(|first| *first > LONG) {
                    continue;
                }
                match repeated(|| (subject.run)(size))? {
                    Some(value) => values[index].push(value),
                    None => has_ended[index] = true,
                }
            }
        }
        for (index, values) in values.into_iter().enumerate() {
            if !values.is_empty() {
                series[index]
                    .points
                    .push((size, Samples::from_iter(values)));
                has_ended[index] |= expected_next(&series[index]) > LONGEST;
            }
        }
    }
    // Without the programs that are not installed.
    series.retain(|series| !series.points.is_empty());
    Ok(series)
}

/// Returns the median of the next size if the last two sizes grow like it.
fn expected_next(series: &Series) -> f64 {
    match &series.points[..] {
        [.., (_, before), (_, last)] => last.median() * last.median() / before.median(),
        [(_, only)] => only.median(),
        [] => 0.0,
    }
}

/// Makes a plot of the time of a complete process.
fn times(name: &str, title: &str, x: &'static str, series: Vec<Series>) -> Plot {
    Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        x,
        y: "time of a run",
        unit: Unit::Seconds,
        series,
    }
}

fn addresses(context: &Context) -> TaskResult<Plot> {
    let network = |size: u64| format!("10.0.0.0/{}", 32 - size.ilog2());
    let tool = context.bins.tool("subnetcalc");
    let input = |size: u64| {
        let file = context.dir.path().join(format!("network-{size}"));
        write(&file, &format!("{}\n", network(size)))?;
        Ok::<_, String>(file)
    };
    let series = grow(
        &[1 << 8, 1 << 12, 1 << 16, 1 << 20, 1 << 24],
        &[
            Subject::lines("subnetcalc hosts", |size| {
                let args = ["hosts", "--all", &network(size)];
                Ok(Some(CommandLine::new(&tool, args)))
            }),
            Subject::peers("iprange -1", |size| {
                Ok(Peer::system("iprange", ["-1"]).stdin(&input(size)?))
            }),
            Subject::peers("prips", |size| Ok(Peer::system("prips", [network(size)]))),
        ],
    )?;
    let title = "subnetcalc: time to list the addresses of a network";
    Ok(times("subnetcalc-addresses", title, "addresses", series))
}

fn networks(context: &Context) -> TaskResult<Plot> {
    let tool = context.bins.tool("subnetcalc");
    let sizes = [100, 1000, 10_000, 100_000, 1_000_000];
    let file = |size: u64| context.dir.path().join(format!("networks-{size}"));
    for size in sizes {
        write(&file(size), &subnetcalc::scattered(7, size as usize, 18))?;
    }
    let series = grow(
        &sizes,
        &[
            Subject::lines("subnetcalc aggregate", |size| {
                let line = CommandLine::new(&tool, ["aggregate", "-"]);
                Ok(Some(line.stdin(&file(size))))
            }),
            Subject::peers("iprange --optimize", |size| {
                Ok(Peer::system("iprange", ["--optimize"]).stdin(&file(size)))
            }),
            Subject::peers("aggregate", |size| {
                Ok(Peer::system("aggregate", ["-q", "-t"]).stdin(&file(size)))
            }),
        ],
    )?;
    let title = "subnetcalc: time to aggregate random networks";
    Ok(times("subnetcalc-networks", title, "networks", series))
}

fn targets(context: &Context) -> TaskResult<Plot> {
    let network = |size: u64| format!("127.0.0.0/{}", 32 - size.ilog2());
    let series = grow(
        &[1 << 4, 1 << 8, 1 << 12, 1 << 16, 1 << 20],
        &[
            Subject::lines("ping --alive", |size| {
                Ok(Some(ping::sweep(&context.bins, &network(size)).0))
            }),
            Subject::lines("fping", |size| {
                // It accepts at most 65,536 targets.
                let peer = (size <= 1 << 16).then(|| ping::sweep(&context.bins, &network(size)).1);
                Ok(peer.and_then(|peer| peer.line().cloned()))
            }),
        ],
    )?;
    let title = "ping: time to probe every host of a network on loopback";
    Ok(times("ping-targets", title, "targets", series))
}

fn names(context: &Context) -> TaskResult<Plot> {
    let dir = context.dir.path().join("growth");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let files = resolve::Files::make(&dir)?;
    let port = free_port()?;
    let _server = files.serve(port)?;
    let all = fs::read_to_string(&files.names).map_err(|error| error.to_string())?;
    let sizes = [10, 100, 1000, 10_000, 100_000];
    let list = |size: u64| dir.join(format!("names-{size}"));
    for size in sizes {
        let lines: String = all.split_inclusive('\n').take(size as usize).collect();
        write(&list(size), &lines)?;
    }
    let series = grow(
        &sizes,
        &[
            Subject::lines("resolve", |size| {
                Ok(Some(resolve::a_records(&context.bins, port, &list(size))))
            }),
            Subject::peers("dig -f", |size| Ok(resolve::dig_file(port, &list(size)))),
        ],
    )?;
    let title = "resolve: time to look up the addresses of a list of names";
    Ok(times("resolve-names", title, "names", series))
}

/// Measures the size of one file, and the number of small ones.
fn transfers(context: &Context) -> TaskResult<Vec<Plot>> {
    let dir = context.dir.path().join("growth");
    let www = dir.join("www");
    let fail = |error: std::io::Error| format!("{}: {error}", www.display());
    fs::create_dir_all(&www).map_err(fail)?;
    let sizes = [1 << 10, 1 << 15, 1 << 20, 1 << 25, 1 << 30];
    for size in sizes {
        let file = fs::File::create(www.join(size.to_string())).map_err(fail)?;
        file.set_len(size).map_err(fail)?;
    }
    httpget::create_small_files(&www)?;
    let authority = Authority::new();
    let (_server, port, _) = nginx::serve(&dir, &authority)?;
    let base = format!("http://127.0.0.1:{port}");
    let tool = context.bins.tool("httpget");
    let args = |options: &str, size: u64| {
        [options, "-o", "/dev/null", &format!("{base}/{size}")].map(str::to_owned)
    };
    let bytes = grow(
        &sizes,
        &[
            Subject::lines("httpget", |size| {
                Ok(Some(CommandLine::new(&tool, args("-s", size))))
            }),
            Subject::peers("curl", |size| Ok(Peer::system("curl", args("-qsS", size)))),
        ],
    )?;
    let files = |size: u64| httpget::small_files(&dir, &base, &tool, size as usize);
    let urls = grow(
        &[1, 10, 100, 1000],
        &[
            Subject::lines("httpget -Z", |size| Ok(Some(files(size)?.0))),
            Subject::peers("curl -Z", |size| Ok(files(size)?.1)),
        ],
    )?;
    let title = "httpget: time to download a file";
    let bytes = times("httpget-bytes", title, "bytes", bytes);
    let title = "httpget: time to download small files, 8 in parallel";
    Ok(vec![bytes, times("httpget-urls", title, "URLs", urls)])
}

const CONNECTIONS: [u64; 4] = [1, 10, 100, 1000];

fn per_message(name: &str, title: &str, series: Vec<Series>) -> Plot {
    Plot {
        y: "time per message",
        ..times(name, title, "connections", series)
    }
}

/// Measures servers under the same load.
fn clients(context: &Context) -> TaskResult<Plot> {
    let runner = Runner::new(context)?;
    let of = |server: Server, size: u64| -> TaskResult<Option<f64>> {
        // Servers with a process per connection are slow to start a thousand.
        let is_possible = matches!(server, Server::Ours | Server::Floor) || size <= 100;
        if !is_possible || !server.is_installed() {
            return Ok(None);
        }
        let load = ["rr", &size.to_string(), "300", "64", "1"];
        let measured = runner.measure(&load, server, &context.bins)?;
        Ok(Some(1.0 / Measurement::rate(&measured)))
    };
    let series = grow(
        &CONNECTIONS,
        &[
            Subject::new("tcpecho-server", |size| of(Server::Ours, size)),
            Subject::new("minimal server", |size| of(Server::Floor, size)),
            Subject::new("socat", |size| of(Server::Socat, size)),
            Subject::new("ncat", |size| of(Server::Ncat, size)),
        ],
    )?;
    let title = "tcpecho-server: time per message of 64 bytes";
    Ok(per_message("tcpecho-server-connections", title, series))
}

/// Measures the load of our client and of a minimal generator on our server.
fn connections(context: &Context) -> TaskResult<Plot> {
    let loads = Loads::start(context)?;
    let series = grow(
        &CONNECTIONS,
        &[
            Subject::new("tcpecho-client", |size| {
                let args = ["--connections", &size.to_string()];
                let rate = loads.ours(&context.bins, &args, "messages_per_second")?;
                Ok(Some(1.0 / rate))
            }),
            Subject::new("minimal generator", |size| {
                Ok(Some(1.0 / loads.theirs(&[&size.to_string(), "1"])?))
            }),
        ],
    )?;
    let title = "tcpecho-client: time per message of 64 bytes";
    Ok(per_message("tcpecho-client-connections", title, series))
}

#[cfg(test)]
mod tests {
    use super::{RUNS, Samples, Subject, grow};

    #[test]
    fn a_curve_ends_when_a_program_is_too_slow_or_unable() {
        let subjects = [
            Subject::new("fast", |size| Ok(Some(size as f64 / 1e6))),
            Subject::new("slow", |size| Ok(Some(size as f64 / 50.0))),
            Subject::new("small", |size| Ok((size < 10).then_some(1.0))),
            Subject::new("missing", |_| Ok(None)),
        ];
        let series = grow(&[1, 10, 100, 1000], &subjects).unwrap();
        let sizes = |index: usize| -> Vec<u64> {
            let points = series[index].points.iter();
            points.map(|(size, _)| *size).collect()
        };
        assert_eq!(series.len(), 3);
        assert_eq!(sizes(0), [1, 10, 100, 1000]);
        assert_eq!(sizes(1), [1, 10, 100]);
        assert_eq!(sizes(2), [1]);
        assert_eq!(series[0].points[0].1, Samples::from_iter([1e-6; RUNS]));
        // After 0.2 s and 2 s, 20 s are to be expected.
        let slow = series[1].points.iter().map(|(_, samples)| samples.median());
        assert_eq!(slow.collect::<Vec<_>>(), [0.02, 0.2, 2.0]);
    }
}
