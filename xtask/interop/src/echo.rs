//! tcpecho-server with socat and ncat as clients, and started by xinetd and
//! systemd; tcpecho-client with socat and ncat as servers.

use std::time::Duration;

use support::TaskResult;
use support::exec::{Background, Exec};
use support::ports::{accepts, free_port};

use super::Context;

/// A number of bytes that fills every buffer in between several times.
const LARGE: usize = 4 << 20;

/// Returns bytes of all values, without a short period.
fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n / 7) ^ (n >> 8)) as u8).collect()
}

/// socat sends, half-closes, and must receive every byte.
pub(super) fn server_socat(context: &Context) -> TaskResult<String> {
    with_server(context, socat)
}

/// ncat sends, half-closes, and must receive every byte.
pub(super) fn server_ncat(context: &Context) -> TaskResult<String> {
    with_server(context, |addr| {
        let (host, port) = addr.rsplit_once(':').unwrap_or((addr, ""));
        Exec::new("ncat", [host, port])
    })
}

fn socat(addr: &str) -> Exec {
    Exec::new("socat", ["-t", "20", "-", &format!("TCP:{addr}")])
}

fn with_server(context: &Context, client: impl Fn(&str) -> Exec) -> TaskResult<String> {
    let log = context.dir().join("tcpecho-server.log");
    let program = context.bins.tool("tcpecho-server");
    let mut server = Background::start(program, ["127.0.0.1:0"], &log)?;
    let line = server.line()?;
    let addr = line
        .split(['\t', ' '])
        .nth(1)
        .ok_or_else(|| format!("no address in {line:?}"))?;
    let summary = exchange(addr, client)?;
    let code = server.terminate()?;
    if code != 0 {
        return Err(format!("tcpecho-server ended with status {code}"));
    }
    Ok(summary)
}

/// Sends payloads of several sizes and compares their echoes.
fn exchange(addr: &str, client: impl Fn(&str) -> Exec) -> TaskResult<String> {
    for size in [1, 1000, LARGE] {
        let sent = payload(size);
        let done = client(addr)
            .stdin(sent.clone())
            .timeout(Duration::from_secs(30))
            .run()?;
        done.expect_code(0)?;
        if done.stdout != sent {
            return Err(format!(
                "the echo of {size} bytes has {} bytes, or other contents",
                done.stdout.len()
            ));
        }
    }
    Ok(format!("{} bytes echoed", 1001 + LARGE))
}

/// xinetd accepts connections and starts `--inetd` for each of them.
pub(super) fn server_xinetd(context: &Context) -> TaskResult<String> {
    let port = free_port()?;
    let program = context.bins.tool("tcpecho-server");
    let user = Exec::new("id", ["-un"]).text()?;
    let config = context.dir().join("xinetd.conf");
    let text = format!(
        "defaults\n{{\n\tlog_type = FILE /dev/null\n}}\nservice echo\n{{\n\ttype = UNLISTED\n\t\
         socket_type = stream\n\tprotocol = tcp\n\twait = no\n\tuser = {}\n\tport = {port}\n\t\
         bind = 127.0.0.1\n\tserver = {}\n\tserver_args = --inetd\n}}\n",
        user.trim(),
        program.display()
    );
    std::fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
    let pid = context.dir().join("xinetd.pid").display().to_string();
    let config = config.display().to_string();
    let args = ["-dontfork", "-f", &config, "-pidfile", &pid].map(str::to_owned);
    let log = context.dir().join("xinetd.log");
    let mut server = Background::start("/usr/sbin/xinetd", args, &log)?;
    server.until(|| accepts(port))?;
    exchange(&format!("127.0.0.1:{port}"), socat)
}

/// systemd-socket-activate listens and starts the server when the first client
/// connects.
pub(super) fn server_systemd(context: &Context) -> TaskResult<String> {
    let port = free_port()?;
    let addr = format!("127.0.0.1:{port}");
    let program = context.bins.tool("tcpecho-server").display().to_string();
    let log = context.dir().join("activate.log");
    let args = ["-l", &addr, &program, "-q"].map(str::to_owned);
    let mut server = Background::start("systemd-socket-activate", args, &log)?;
    server.until(|| accepts(port))?;
    let summary = exchange(&addr, socat)?;
    match server.terminate()? {
        0 => Ok(summary),
        code => Err(format!("tcpecho-server ended with status {code}")),
    }
}

/// tcpecho-client exchanges messages with socat as an echo server.
pub(super) fn client_socat(context: &Context) -> TaskResult<String> {
    with_peer(context, LARGE, &[], |port| {
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
        ("socat", vec![listen, "EXEC:/bin/cat".to_owned()])
    })
}

/// tcpecho-client exchanges messages with ncat as an echo server. ncat writes to
/// `cat` without reading from it, so more bytes than a pipe holds would block
/// both. When the client half-closes, ncat drops the bytes in flight, so they are
/// sent as a message.
pub(super) fn client_ncat(context: &Context) -> TaskResult<String> {
    with_peer(context, 48 * 1024, &["--file", "-"], |port| {
        let args = ["-l", "-k", "127.0.0.1", &port.to_string(), "-e", "/bin/cat"];
        ("ncat", args.map(str::to_owned).to_vec())
    })
}

fn with_peer(
    context: &Context,
    size: usize,
    options: &[&str],
    peer: impl Fn(u16) -> (&'static str, Vec<String>),
) -> TaskResult<String> {
    let port = free_port()?;
    let (program, args) = peer(port);
    let mut server = Background::start(program, args, &context.dir().join("peer.log"))?;
    server.until(|| accepts(port))?;
    let addr = format!("127.0.0.1:{port}");
    // With a message, the client compares the echo.
    let message = "a message with several words";
    let printed = context.tool("tcpecho-client", [&addr, message]).text()?;
    if printed != message {
        return Err(format!("printed {printed:?} instead of the message"));
    }
    context
        .tool("tcpecho-client", [&addr, "one", "--expect", "two"])
        .run()?
        .expect_code(1)?;
    // Without a message, it sends standard input and half-closes.
    let sent = payload(size);
    let done = context
        .tool("tcpecho-client", [addr.as_str()].iter().chain(options))
        .stdin(sent.clone())
        .timeout(Duration::from_secs(30))
        .run()?;
    done.expect_code(0)?;
    if done.stdout != sent {
        return Err(format!(
            "the echo of {size} bytes has {} bytes, or other contents",
            done.stdout.len()
        ));
    }
    Ok(format!("{size} bytes and a message echoed"))
}
