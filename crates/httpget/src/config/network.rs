//! Connections, TLS, and the limits on time and speed.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use common::Result;

use super::errors::{invalid_value, usage};
use crate::cli::{Cli, NetworkArgs, SavingArgs};
use crate::net::{DialOptions, StallPolicy, TlsOptions};
use crate::policy::limits::Limits;
use crate::policy::retry::RetryPolicy;
use crate::policy::route::Routes;

/// Returns the options of connections.
pub(super) fn dial_options(cli: &Cli, user_agent: Option<String>) -> Result<DialOptions> {
    if let Some(name) = &cli.network.interface {
        check_interface(name)?;
    }
    Ok(DialOptions {
        family: cli.family.family(),
        timeout: cli.network.connect_timeout,
        interface: cli.network.interface.clone(),
        unix_socket: cli.network.unix_socket.clone(),
        routes: Routes {
            resolve: cli.network.resolve.clone(),
            connect_to: cli.network.connect_to.clone(),
        },
        user_agent,
    })
}

/// Refuses an interface or an address that this machine does not have.
fn check_interface(name: &str) -> Result<()> {
    let invalid = |message| invalid_value("--interface", name, message);
    if let Ok(address) = name.parse::<IpAddr>() {
        return match UdpSocket::bind((address, 0)) {
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => {
                Err(invalid("not an address of this machine"))
            }
            // The connection reports any other error.
            _ => Ok(()),
        };
    }
    match common::zone::index(name) {
        Err(_) => Err(invalid("no such network interface")),
        Ok(_) => Ok(()),
    }
}

/// Returns the options of TLS.
pub(super) fn tls_options(cli: &Cli) -> Result<TlsOptions> {
    let tls13_only = cli.tls.tls13;
    let tls12_only = cli.tls.tls_max.as_deref() == Some("1.2");
    if tls13_only && tls12_only {
        return Err(usage("--tls-max", "1.2 cannot be used with --tlsv1.3"));
    }
    Ok(TlsOptions {
        ca_files: cli.tls.cacert.clone(),
        ca_dir: cli.tls.capath.clone(),
        insecure: cli.tls.insecure,
        certificate: cli.tls.cert.clone(),
        key: cli.tls.key.clone(),
        no_tls12: tls13_only,
        no_tls13: tls12_only,
        pins: cli
            .tls
            .pinnedpubkey
            .clone()
            .map(|pins| pins.0)
            .unwrap_or_default(),
    })
}

/// Returns the options of retries.
pub(super) fn retry_policy(args: &SavingArgs) -> RetryPolicy {
    RetryPolicy {
        max_retries: args.retry,
        delay: args.retry_delay,
        max_time: args.retry_max_time,
        retry_refused: args.retry_connrefused,
        retry_all: args.retry_all_errors,
    }
}

/// Returns the limits on the size and the speed of a body.
pub(super) fn limits(cli: &Cli) -> Limits {
    Limits {
        max_bytes: cli.saving.max_filesize,
        max_rate: cli.saving.limit_rate.filter(|&rate| rate > 0),
        min_speed: min_speed(&cli.network),
    }
}

/// Combines `-Y` and `-y`: without `-y` the time is 30 s, without `-Y` the speed
/// is one byte per second.
fn min_speed(args: &NetworkArgs) -> Option<(u64, Duration)> {
    match (args.speed_limit, args.speed_time) {
        (None, None) | (Some(0), _) => None,
        (limit, time) => Some((limit.unwrap_or(1), time.unwrap_or(Duration::from_secs(30)))),
    }
}

/// Returns how long a server may be silent: no longer than a transfer may be too
/// slow.
pub(super) fn stall_policy(stall: Duration, min_speed: Option<(u64, Duration)>) -> StallPolicy {
    match min_speed {
        Some((speed, time)) if time < stall => StallPolicy {
            timeout: time,
            min_speed: Some(speed),
        },
        _ => StallPolicy {
            timeout: stall,
            min_speed: None,
        },
    }
}
