//! The options that limit connections and the run.

use std::time::Duration;

use clap::Args;
use common::{duration, size};

/// Options that limit the use of resources.
#[derive(Args, Debug)]
pub(crate) struct LimitArgs {
    /// Serve at most N connections at the same time [default: as the file
    /// descriptor limit allows]
    ///
    /// Further clients wait in the backlog.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) max_connections: Option<u32>,

    /// Serve at most N connections from one IP address at the same time
    ///
    /// Further connections are closed immediately.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) max_per_ip: Option<u32>,

    /// Close connections with no traffic for this long; 0 for no limit
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration::parse
    )]
    pub(crate) idle_timeout: Duration,

    /// End each connection after BYTES bytes, without a reset
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = nonzero_size
    )]
    pub(crate) max_bytes: Option<u64>,

    /// Read at most BYTES bytes per second from each connection
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = nonzero_size
    )]
    pub(crate) rate: Option<u64>,

    /// Let at most N connections wait to be accepted
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=65_535)
    )]
    pub(crate) backlog: u32,

    /// Serve connections with N threads [default: one per CPU, at most 4; 1 on two
    /// CPUs or fewer]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub(crate) workers: Option<u16>,
}

/// Options that end the run.
#[derive(Args, Debug)]
pub(crate) struct ShutdownArgs {
    /// Exit after one connection; datagrams do not count
    #[arg(long, conflicts_with = "count")]
    pub(crate) once: bool,

    /// Exit after N connections; datagrams do not count
    #[arg(
        short,
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) count: Option<u64>,

    /// Shut down after DURATION, as on SIGTERM
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = duration::parse_nonzero
    )]
    pub(crate) run_time: Option<Duration>,

    /// Wait at most DURATION for open connections at shutdown
    ///
    /// In the last fifth of this time, the server stops reading from clients that do not read
    /// their replies, so that they receive everything that was echoed.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration::parse
    )]
    pub(crate) drain: Duration,
}

fn nonzero_size(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        0 => Err("must be at least 1".to_owned()),
        bytes => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::nonzero_size;

    #[test]
    fn a_limit_of_zero_bytes_is_invalid() {
        assert_eq!(nonzero_size("1k"), Ok(1024));
        assert!(nonzero_size("0").is_err());
    }
}
