//! tcpecho-server with socat and ncat as clients, and tcpecho-client with the
//! same two as servers.

use std::time::Duration;

use super::{Bench, accepts, free_port};
use crate::Outcome;
use crate::exec::{Background, Exec};

/// Enough to fill every buffer between the two several times.
const LARGE: usize = 4 << 20;

/// Bytes of every value, without a short period.
fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n / 7) ^ (n >> 8)) as u8).collect()
}

/// socat sends, half-closes, and must get every byte back.
pub(super) fn server_socat(bench: &Bench) -> Outcome<String> {
    with_server(bench, socat)
}

/// The same by ncat.
pub(super) fn server_ncat(bench: &Bench) -> Outcome<String> {
    with_server(bench, |addr| {
        let (host, port) = addr.rsplit_once(':').unwrap_or((addr, ""));
        Exec::new("ncat", [host, port])
    })
}

fn socat(addr: &str) -> Exec {
    Exec::new("socat", ["-t", "20", "-", &format!("TCP:{addr}")])
}

fn with_server(bench: &Bench, client: impl Fn(&str) -> Exec) -> Outcome<String> {
    let log = bench.dir().join("tcpecho-server.log");
    let program = bench.bins.tool("tcpecho-server");
    let mut server = Background::start(program, ["127.0.0.1:0"], &log)?;
    let line = server.line()?;
    let addr = line
        .split(['\t', ' '])
        .nth(1)
        .ok_or_else(|| format!("no address in {line:?}"))?;
    let done = exchange(addr, client)?;
    let code = server.terminate()?;
    if code != 0 {
        return Err(format!("tcpecho-server ended with status {code}"));
    }
    Ok(done)
}

/// Messages of several sizes there and back.
fn exchange(addr: &str, client: impl Fn(&str) -> Exec) -> Outcome<String> {
    for size in [1, 1000, LARGE] {
        let sent = payload(size);
        let done = client(addr)
            .stdin(sent.clone())
            .timeout(Duration::from_secs(30))
            .run()?;
        done.expect_code(0)?;
        if done.stdout != sent {
            return Err(format!(
                "{} of {size} bytes came back, or others",
                done.stdout.len()
            ));
        }
    }
    Ok(format!("{} bytes there and back", 1001 + LARGE))
}

/// xinetd accepts and starts `--inetd` for each connection.
pub(super) fn server_xinetd(bench: &Bench) -> Outcome<String> {
    let port = free_port()?;
    let program = bench.bins.tool("tcpecho-server");
    let user = Exec::new("id", ["-un"]).text()?;
    let config = bench.dir().join("xinetd.conf");
    let text = format!(
        "defaults\n{{\n\tlog_type = FILE /dev/null\n}}\nservice echo\n{{\n\ttype = UNLISTED\n\t\
         socket_type = stream\n\tprotocol = tcp\n\twait = no\n\tuser = {}\n\tport = {port}\n\t\
         bind = 127.0.0.1\n\tserver = {}\n\tserver_args = --inetd\n}}\n",
        user.trim(),
        program.display()
    );
    std::fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
    let pid = bench.dir().join("xinetd.pid").display().to_string();
    let config = config.display().to_string();
    let args = ["-dontfork", "-f", &config, "-pidfile", &pid].map(str::to_owned);
    let log = bench.dir().join("xinetd.log");
    let mut server = Background::start("/usr/sbin/xinetd", args, &log)?;
    server.until(|| accepts(port))?;
    exchange(&format!("127.0.0.1:{port}"), socat)
}

/// systemd's own tool listens, and starts the server at the first connection.
pub(super) fn server_systemd(bench: &Bench) -> Outcome<String> {
    let port = free_port()?;
    let addr = format!("127.0.0.1:{port}");
    let program = bench.bins.tool("tcpecho-server").display().to_string();
    let log = bench.dir().join("activate.log");
    let args = ["-l", &addr, &program, "-q"].map(str::to_owned);
    let mut server = Background::start("systemd-socket-activate", args, &log)?;
    server.until(|| accepts(port))?;
    let done = exchange(&addr, socat)?;
    match server.terminate()? {
        0 => Ok(done),
        code => Err(format!("tcpecho-server ended with status {code}")),
    }
}

/// socat answers with what it gets.
pub(super) fn client_socat(bench: &Bench) -> Outcome<String> {
    with_peer(bench, LARGE, &[], |port| {
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
        ("socat", vec![listen, "EXEC:/bin/cat".to_owned()])
    })
}

/// ncat answers with what it gets. It writes to `cat` without reading from it,
/// so more than a pipe holds makes the two wait for each other; and it drops
/// what is on its way when the client half-closes, so the bytes go as a
/// message, which is verified.
pub(super) fn client_ncat(bench: &Bench) -> Outcome<String> {
    with_peer(bench, 48 * 1024, &["--file", "-"], |port| {
        let args = ["-l", "-k", "127.0.0.1", &port.to_string(), "-e", "/bin/cat"];
        ("ncat", args.map(str::to_owned).to_vec())
    })
}

fn with_peer(
    bench: &Bench,
    size: usize,
    options: &[&str],
    peer: impl Fn(u16) -> (&'static str, Vec<String>),
) -> Outcome<String> {
    let port = free_port()?;
    let (program, args) = peer(port);
    let mut server = Background::start(program, args, &bench.dir().join("peer.log"))?;
    server.until(|| accepts(port))?;
    let addr = format!("127.0.0.1:{port}");
    // The message mode: verified by the client itself.
    let message = "a message, and nothing but the message";
    let printed = bench.tool("tcpecho-client", [&addr, message]).text()?;
    if printed != message {
        return Err(format!("printed {printed:?} instead of the message"));
    }
    bench
        .tool("tcpecho-client", [&addr, "one", "--expect", "two"])
        .run()?
        .expect_code(1)?;
    // Stdin: everything through, and with the filter mode a half-close.
    let sent = payload(size);
    let done = bench
        .tool("tcpecho-client", [addr.as_str()].iter().chain(options))
        .stdin(sent.clone())
        .timeout(Duration::from_secs(30))
        .run()?;
    done.expect_code(0)?;
    if done.stdout != sent {
        return Err(format!(
            "{} of {size} bytes came back, or others",
            done.stdout.len()
        ));
    }
    Ok(format!("{size} bytes there and back, and a message"))
}
