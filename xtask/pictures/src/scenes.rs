//! The scenes: command lines that run in a terminal, and the servers for them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::TaskResult;
use tempfile::TempDir;
use testkit::Tool;
use testkit::dns::{DnsServer, Zone};
use testkit::http::{Gate, HttpServer, Reply};
use testkit::peer::TcpPeer;
use testkit::pty::{Pty, SIZE};

type Play = fn(&mut Terminal) -> TaskResult;

/// The name of each picture, its title, and the function that runs its commands.
pub(crate) const SCENES: &[(&str, &str, Play)] = &[
    (
        "subnetcalc",
        "subnetcalc: the facts about a network",
        subnetcalc,
    ),
    ("httpget-json", "httpget: JSON on a terminal", httpget_json),
    ("httpget-progress", "httpget: a download", httpget_progress),
    (
        "ping-graph",
        "ping --graph: round-trip times of a list",
        ping_graph,
    ),
    ("ping-list", "ping: a list, summarized", ping_list),
    ("resolve", "resolve: records of a DNS server", resolve),
    ("echo-log", "tcpecho-server: the event log", echo_log),
    (
        "echo-load",
        "tcpecho-client --bench: rates and latencies",
        echo_load,
    ),
    ("pipeline", "tools in a pipeline", pipeline),
];

/// The prompt before each command line.
const PROMPT: &str = "\x1b[32m$\x1b[0m ";

/// The lines of the terminal that is drawn; blank ones at the end are left out.
const LINES: u16 = 40;

/// A terminal emulator, and the directory with the tools.
pub(crate) struct Terminal {
    parser: vt100::Parser,
    tools: PathBuf,
    dir: TempDir,
    /// Replacements in command lines and output: the ports of the servers differ in
    /// every run.
    names: Vec<(String, String)>,
}

impl Terminal {
    /// Returns an empty terminal with the tools of a directory in its `PATH`.
    pub(crate) fn new(tools: &Path) -> TaskResult<Self> {
        let tools = tools
            .canonicalize()
            .map_err(|error| format!("{}: {error}", tools.display()))?;
        Ok(Self {
            parser: vt100::Parser::new(LINES, SIZE.0, 0),
            tools,
            dir: tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?,
            names: Vec::new(),
        })
    }

    /// Returns the screen with everything shown so far.
    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// Shows `name` wherever `actual` occurs.
    fn rename(&mut self, actual: &impl ToString, name: &str) {
        self.names.push((actual.to_string(), name.to_owned()));
    }

    /// Returns a shell that runs a command line with the tools in its `PATH`.
    fn shell(&self, line: &str) -> Tool {
        let path = format!("{}:/usr/bin:/bin", self.tools.display());
        Tool::new("/bin/sh")
            .args(["-c", line])
            .cwd(self.dir.path())
            .env("PATH", path)
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .timeout(Duration::from_secs(60))
    }

    /// Shows a command line after the prompt.
    fn type_line(&mut self, line: &str) {
        let shown = self.renamed(line).replace('\n', "\r\n> ");
        self.parser
            .process(format!("{PROMPT}\x1b[1m{shown}\x1b[0m\r\n").as_bytes());
    }

    /// Runs a command line on a terminal and shows it with its output. Fails if the
    /// exit status is not 0.
    fn run(&mut self, line: &str) -> TaskResult {
        self.type_line(line);
        let pty = Pty::new();
        let end = || -> File { pty.end() };
        let tool = self
            .shell(line)
            .stdin_from(end())
            .stdout_to(end())
            .stderr_to(end());
        let outcome = tool.spawn().finish()?;
        let output = pty.finish();
        self.show(&output);
        if outcome.code == Some(0) {
            return Ok(());
        }
        Err(format!(
            "`{line}` failed: {:?}\n{}",
            outcome.code,
            String::from_utf8_lossy(&output)
        ))
    }

    /// Shows output with renamed servers.
    fn show(&mut self, output: &[u8]) {
        let text = self.renamed(&String::from_utf8_lossy(output));
        self.parser.process(text.as_bytes());
    }

    fn renamed(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (actual, name)| {
                text.replace(actual, name)
            })
    }
}

fn subnetcalc(terminal: &mut Terminal) -> TaskResult {
    terminal.run("subnetcalc 192.168.1.0/24")?;
    terminal.run("subnetcalc aggregate 10.0.0.0/25 10.0.0.128/25 10.0.1.0/24")
}

const HOST: &str = r#"{"name":"db-3","addresses":["192.0.2.17","2001:db8::17"],"rack":{"row":4,"unit":17},"load":0.42,"tags":["postgres","primary"],"maintenance":null,"healthy":true}"#;

fn httpget_json(terminal: &mut Terminal) -> TaskResult {
    let server = HttpServer::start(|_| Reply::json(HOST));
    terminal.rename(&server.addr(), "127.0.0.1:8080");
    terminal.run(&format!("httpget {}", server.url("/hosts/db-3")))?;
    terminal.run(&format!(
        "httpget --pointer /addresses/1 {}",
        server.url("/hosts/db-3")
    ))
}

/// Downloads a part of a file, and keeps the bar as it is then.
fn httpget_progress(terminal: &mut Terminal) -> TaskResult {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 40;
    const SENT: usize = 26;
    let gate = Gate::new();
    let server = HttpServer::start({
        let gate = gate.clone();
        move |_| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                PIECE * PIECES
            );
            let mut reply = Reply::raw(head);
            for _ in 0..SENT {
                reply = reply.then(vec![0; PIECE]).pause(Duration::from_millis(70));
            }
            reply
                .wait(&gate)
                .then(vec![0; PIECE * (PIECES - SENT)])
                .close()
        }
    });
    terminal.rename(&server.addr(), "127.0.0.1:8080");
    let line = format!("httpget -O {}", server.url("/images/disk.img"));
    terminal.type_line(&line);
    let pty = Pty::new();
    let tool = terminal.shell(&line).stderr_to(pty.end()).spawn();
    // The bar is drawn at most ten times per second.
    pty.wait_for("█████████");
    let mut shown = pty.so_far();
    let last_frame = shown.iter().rposition(|byte| *byte == b'\r').unwrap_or(0);
    shown.truncate(last_frame);
    gate.open();
    let _ = tool.finish()?;
    drop(pty.finish());
    terminal.show(&shown);
    Ok(())
}

/// Keeps the last drawing of the graph, which the results replace.
fn ping_graph(terminal: &mut Terminal) -> TaskResult {
    let line = "ping --graph -c 36 -i 0.02 127.0.0.1 127.0.0.2 127.0.0.3";
    terminal.type_line(line);
    let pty = Pty::new();
    let tool = terminal.shell(line).stdout_to(pty.end()).spawn();
    let _ = tool.finish()?;
    let output = String::from_utf8_lossy(&pty.finish()).into_owned();
    let (drawings, _results) = output
        .split_once(" : xmt")
        .ok_or_else(|| format!("no result in {output:?}"))?;
    let end = drawings.rfind("\r\x1b[").unwrap_or(0);
    terminal.show(&drawings.as_bytes()[..end]);
    Ok(())
}

fn ping_list(terminal: &mut Terminal) -> TaskResult {
    terminal.run("ping -c 3 -i 0.05 127.0.0.1")?;
    terminal.run("subnetcalc hosts 127.0.0.0/29 | ping -")
}

/// Returns a server with the names of a small network.
fn dns_server() -> DnsServer {
    let zone = Zone::new()
        .ttl(300)
        .a("web.example.net", "127.0.0.1")
        .aaaa("web.example.net", "2001:db8::80")
        .mx("example.net", 10, "mail.example.net")
        .ptr("1.0.0.127.in-addr.arpa", "web.example.net")
        .ptr("2.0.0.127.in-addr.arpa", "db-1.example.net")
        .ptr("3.0.0.127.in-addr.arpa", "db-2.example.net");
    DnsServer::start(zone)
}

fn resolve(terminal: &mut Terminal) -> TaskResult {
    let server = dns_server();
    terminal.rename(&server.addr(), "127.0.0.1");
    let at = format!("@{}", server.addr());
    terminal.run(&format!("resolve {at} web.example.net"))?;
    terminal.run(&format!("resolve {at} --long -t MX example.net"))?;
    terminal.run(&format!("resolve {at} --long -x 127.0.0.2"))?;
    terminal.run(&format!(
        "resolve {at} missing.example.net || echo status $?"
    ))
}

fn echo_log(terminal: &mut Terminal) -> TaskResult {
    let pty = Pty::new();
    terminal.type_line("tcpecho-server 127.0.0.1:7000 &");
    let tool = terminal
        .shell("exec tcpecho-server --count 2 127.0.0.1:0")
        .stdout_to(pty.end())
        .stderr_to(pty.end());
    let server = tool.spawn();
    pty.wait_for("\n");
    let first = String::from_utf8_lossy(&pty.so_far()).into_owned();
    let port = first
        .trim_end()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    terminal.rename(&format!("127.0.0.1:{port}"), "127.0.0.1:7000");
    terminal.show(first.as_bytes());
    for line in [
        format!("tcpecho-client 127.0.0.1:{port} 'Hello, Server!' && echo"),
        format!("tcpecho-client -c 3 -i 10ms 127.0.0.1:{port}"),
    ] {
        terminal.run(&line)?;
    }
    let _ = server.finish()?;
    let log = String::from_utf8_lossy(&pty.finish()).into_owned();
    terminal.show(&log.as_bytes()[first.len()..]);
    Ok(())
}

/// Runs a short load test.
fn echo_load(terminal: &mut Terminal) -> TaskResult {
    let server = TcpPeer::echo();
    terminal.rename(&server.addr(), "127.0.0.1:7000");
    terminal.run(&format!(
        "tcpecho-client --bench --connections 8 --duration 1s {}",
        server.addr()
    ))
}

fn pipeline(terminal: &mut Terminal) -> TaskResult {
    let server = dns_server();
    terminal.rename(&server.addr(), "127.0.0.1");
    terminal.run(&format!(
        "subnetcalc hosts 127.0.0.0/30 | ping --alive - | subnetcalc sort - |
resolve @{} --ordered --long -",
        server.addr()
    ))
}
