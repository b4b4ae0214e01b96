//! Starts a server from its configuration: opens the sockets, announces them,
//! and serves.
//!
//! Other programs rely on the order: signals are caught before anything is
//! announced, all sockets are bound before any of them listens, and the log,
//! files and descriptors that announce the server come before the first accept.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use common::app::Reporter;
use common::{Error, Exit, Io, Result};
use net::signal::{SIGINT, SIGTERM, SIGUSR1, Signals};

use crate::activation::{self, InheritedSocket, Notify};
use crate::address::Protocol;
use crate::announce::{self, PortFile};
use crate::clock::Clock;
use crate::config::{Config, default_addr};
use crate::counters::Counters;
use crate::event::Event;
use crate::limits;
use crate::listen::{self, Listener, Sockets};
use crate::log::{Log, StderrQueue};
use crate::output::Format;
use crate::server::{Server, Setup};
use crate::shared::Shared;
use crate::sys::InheritedFds;
use crate::udp::UdpSocket;

/// Runs the server to its end. The log is written to `stdout`.
pub(crate) fn run(
    config: &Config,
    inherited: InheritedFds,
    stdout: OwnedFd,
    io: &mut Io,
) -> Result<Exit> {
    let clock = Clock::start();
    limits::preallocate(config.max_connections);
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1]).map_err(|e| Error::local(&e))?;
    let inherited_sockets = activation::classify(inherited.sockets)?;
    let Some((sockets, connections)) = open_sockets(config, inherited_sockets, io)? else {
        return Ok(Exit::LocalError);
    };
    let port_file = config.port_file.as_deref().map(PortFile::prepare);
    let port_file = port_file.transpose()?;
    let log = match config.log {
        None => Log::silent(),
        Some(format) => {
            Log::start(File::from(stdout), format, config.verbose).map_err(|e| Error::local(&e))?
        }
    };
    let stderr = if config.inetd {
        // Standard error may be the connection itself.
        StderrQueue::disabled()
    } else {
        let stderr = std::io::stderr().as_fd().try_clone_to_owned();
        let stderr = stderr.map_err(|e| Error::local(&e))?;
        StderrQueue::start(File::from(stderr)).map_err(|e| Error::local(&e))?
    };
    let report = Reporter::new("tcpecho-server", Box::new(stderr.clone()));
    if let Some(seed) = config.generated_seed
        && log.is_enabled()
    {
        report.line(format_args!(
            "faults use a random seed; use --seed {seed} to reproduce them"
        ));
    }
    announce(&sockets, &log, port_file)?;
    if let Some(fd) = inherited.ready_fd {
        announce::write_newline(fd)?;
    }
    let mut notify = Notify::new(io);
    if let Err(error) = notify.send("READY=1") {
        report.line(error);
    }
    let shared = Arc::new(Shared {
        rules: config.rules.clone(),
        log,
        counters: Counters::new(config.max_per_ip),
        tls: config.tls.clone(),
    });
    let setup = Setup {
        sockets,
        connections,
        signals,
        shared,
        clock,
        report,
        stderr,
        notify,
    };
    Server::new(config, setup)?.serve()
}

/// Opens the sockets of the operands or the default, and adds the inherited
/// ones. Returns `None` after errors that have been reported.
fn open_sockets(
    config: &Config,
    inherited: Vec<InheritedSocket>,
    io: &mut Io,
) -> Result<Option<(Sockets, Vec<OwnedFd>)>> {
    let default = [default_addr()];
    let addrs = match &config.addrs[..] {
        [] if inherited.is_empty() => &default[..],
        addrs => addrs,
    };
    let mut sockets = match listen::open(addrs, &config.listen) {
        Ok(sockets) => sockets,
        Err(errors) => {
            for error in &errors {
                io.fail(error)?;
            }
            return Ok(None);
        }
    };
    let mut connections = Vec::new();
    for socket in inherited {
        match socket {
            InheritedSocket::Listener(listener) => sockets.listeners.push(listener),
            InheritedSocket::Udp(socket) => sockets.udp.push(socket),
            InheritedSocket::Connection(fd) => connections.push(fd),
        }
    }
    Ok(Some((sockets, connections)))
}

/// Writes the addresses to the log and the port to the port file. The log is
/// flushed, because scripts wait for its first lines.
fn announce(sockets: &Sockets, log: &Log, port_file: Option<PortFile<'_>>) -> Result<()> {
    for listener in &sockets.listeners {
        let address = listener.address();
        let protocol = address.protocol();
        log.event(&Event::Listening { address, protocol });
    }
    // The text form has no protocol, so a UDP socket would repeat the line of
    // the listener at the same address.
    if sockets.listeners.is_empty() || log.format() == Format::Json {
        for address in sockets.udp.iter().filter_map(UdpSocket::address) {
            log.event(&Event::Listening {
                address: &address,
                protocol: Protocol::Udp,
            });
        }
    }
    log.flush();
    let port = sockets.listeners.iter().find_map(Listener::port);
    match (port_file, port) {
        (Some(file), Some(port)) => file.write(port),
        _ => Ok(()),
    }
}
