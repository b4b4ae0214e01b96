//! From a configuration to a running server: open everything, announce it,
//! serve.
//!
//! The order is what others rely on: signals are caught before anything is
//! announced, everything is bound before anything listens, and the log, the
//! files and descriptors that say "ready" come before the first accept.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use common::app::Reporter;
use common::signal::{SIGINT, SIGTERM, SIGUSR1, Signals};
use common::{Error, Exit, Io, Result};

use crate::activation::{self, Inherited, Notify};
use crate::census::Census;
use crate::clock::Clock;
use crate::config::{Config, default_place};
use crate::conn::Shared;
use crate::event::{Event, Protocol};
use crate::listen::{self, Listener, Sockets};
use crate::log::{Lines, Log};
use crate::output::Format;
use crate::ready::{self, PortFile};
use crate::server::{Server, Setup};
use crate::sys::Handed;
use crate::udp::Port;

/// Runs the server to its end. `stdout` is where the log goes.
pub(crate) fn run(config: &Config, handed: Handed, stdout: OwnedFd, io: &mut Io) -> Result<Exit> {
    let clock = Clock::start();
    let signals = Signals::catch(&[SIGINT, SIGTERM, SIGUSR1]).map_err(|e| Error::local(&e))?;
    let inherited = activation::sort(handed.sockets)?;
    let Some((sockets, connections)) = sockets(config, inherited, io)? else {
        return Ok(Exit::Fault);
    };
    let port_file = config.port_file.as_deref().map(PortFile::prepare);
    let port_file = port_file.transpose()?;
    let log = match config.log {
        None => Log::silent(),
        Some(format) => {
            Log::start(File::from(stdout), format, config.verbose).map_err(|e| Error::local(&e))?
        }
    };
    let complaints = if config.inetd {
        // Standard error may be the connection itself.
        Lines::none()
    } else {
        let stderr = std::io::stderr().as_fd().try_clone_to_owned();
        let stderr = stderr.map_err(|e| Error::local(&e))?;
        Lines::start(File::from(stderr)).map_err(|e| Error::local(&e))?
    };
    let report = Reporter::new("tcpecho-server", Box::new(complaints.clone()));
    if let Some(seed) = config.made_up_seed
        && log.is_on()
    {
        report.line(format_args!("faults by --seed {seed}"));
    }
    announce(&sockets, &log, port_file)?;
    if let Some(fd) = handed.ready {
        ready::write_newline(fd)?;
    }
    let notify = Notify::new(io);
    if let Err(error) = notify.tell("READY=1") {
        report.line(error);
    }
    let shared = Arc::new(Shared {
        rules: config.rules.clone(),
        log,
        census: Census::new(config.max_per_ip),
        #[cfg(feature = "tls")]
        tls: config.tls.clone(),
    });
    let setup = Setup {
        sockets,
        connections,
        signals,
        shared,
        clock,
        report,
        complaints,
        notify,
    };
    Server::new(config, setup)?.serve()
}

/// Everything to be served: what was handed down, what was asked for, or the
/// default. `None` after errors that have been reported.
fn sockets(
    config: &Config,
    inherited: Vec<Inherited>,
    io: &mut Io,
) -> Result<Option<(Sockets, Vec<OwnedFd>)>> {
    let default = [default_place()];
    let places = match &config.places[..] {
        [] if inherited.is_empty() => &default[..],
        places => places,
    };
    let mut sockets = match listen::open(places, &config.listen) {
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
            Inherited::Listener(listener) => sockets.listeners.push(listener),
            Inherited::Port(port) => sockets.ports.push(port),
            Inherited::Connection(fd) => connections.push(fd),
        }
    }
    Ok(Some((sockets, connections)))
}

/// Says where it listens: in the log, which a script may wait for, and in the
/// port file.
fn announce(sockets: &Sockets, log: &Log, port_file: Option<PortFile<'_>>) -> Result<()> {
    for listener in &sockets.listeners {
        let address = listener.address();
        let protocol = address.protocol();
        log.event(&Event::Listening { address, protocol });
    }
    // In the text form they share the lines above, unless there are none.
    if sockets.listeners.is_empty() || log.format() == Format::Json {
        for address in sockets.ports.iter().filter_map(Port::address) {
            log.event(&Event::Listening {
                address: &address,
                protocol: Protocol::Udp,
            });
        }
    }
    log.settle();
    let port = sockets.listeners.iter().find_map(Listener::port);
    match (port_file, port) {
        (Some(file), Some(port)) => file.write(port),
        _ => Ok(()),
    }
}
