//! The resolved configuration: option values are parsed, environment variables
//! and files are read, and options that exclude each other are refused.
//!
//! Only this module and `secrets` see the arguments as clap parsed them. A field
//! of [`Config`] is the one place of its value.

mod conflicts;
mod cookies;
mod errors;
mod files;
mod network;
mod output;
mod proxies;
mod request;
mod saving;

use std::time::Duration;

use common::{Io, Result};

use crate::cli::Cli;
use crate::net::{DialOptions, StallPolicy, TlsOptions};
use crate::output::write_out::WriteOut;
use crate::policy::limits::Limits;
use crate::policy::proxy::Proxies;
use crate::policy::retry::RetryPolicy;

pub(crate) use cookies::CookieConfig;
pub(crate) use output::{ErrorStatus, FileOrStdout, ManyConfig, OutputConfig};
pub(crate) use request::{Credentials, RedirectConfig, RequestConfig};
pub(crate) use saving::{Destination, ExistingFile, SavingConfig, Start};

/// The configuration of all transfers.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The URLs and lists of URLs as typed.
    pub(crate) urls: Vec<String>,
    pub(crate) request: RequestConfig,
    pub(crate) credentials: Credentials,
    pub(crate) cookies: CookieConfig,
    pub(crate) redirects: RedirectConfig,
    pub(crate) saving: SavingConfig,
    pub(crate) output: OutputConfig,
    pub(crate) many: ManyConfig,
    pub(crate) proxies: Proxies,
    pub(crate) dial: DialOptions,
    pub(crate) tls: TlsOptions,
    pub(crate) retry: RetryPolicy,
    pub(crate) limits: Limits,
    pub(crate) stall: StallPolicy,
    /// The time limit of an attempt.
    pub(crate) max_time: Option<Duration>,
    /// Warnings about options that have no effect or are easily confused.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Resolves the command line and checks it for conflicts.
    pub(crate) fn new(cli: &Cli, io: &Io) -> Result<Self> {
        let start = Start::new(&cli.saving)?;
        conflicts::check(cli, io, start)?;
        let request = RequestConfig::new(&cli.request)?;
        let cookies = CookieConfig::new(&cli.request)?;
        let output = OutputConfig::new(cli, io)?;
        let limits = network::limits(cli);
        Ok(Self {
            urls: cli.urls.clone(),
            credentials: Credentials::new(&cli.request, io)?,
            cookies,
            redirects: RedirectConfig::new(&cli.request),
            saving: SavingConfig::new(&cli.saving, start)?,
            many: ManyConfig::new(&cli.many),
            proxies: proxies::resolve(cli, io)?,
            dial: network::dial_options(cli, request.user_agent.clone())?,
            tls: network::tls_options(cli)?,
            retry: network::retry_policy(&cli.saving),
            limits,
            stall: network::stall_policy(cli.network.stall_timeout, limits.min_speed),
            max_time: cli.network.max_time.filter(|time| !time.is_zero()),
            warnings: warnings(cli, io, &output),
            request,
            output,
        })
    }
}

/// Returns the warnings about options that have no effect or are easily confused.
fn warnings(cli: &Cli, io: &Io, output: &OutputConfig) -> Vec<String> {
    let mut warnings: Vec<String> = conflicts::options_without_effect(cli).collect();
    let reads_terminal = io.terminal.stdin && cli.urls.iter().any(|url| url == "-");
    if reads_terminal && cli.saving.remote_name {
        let message = "- reads URLs from standard input; use -o - to print the body";
        warnings.push(message.to_owned());
    }
    for name in output.write_out.iter().flat_map(WriteOut::unknown) {
        let name = common::text::escape(name.as_bytes());
        warnings.push(format!("--write-out: unknown variable '{name}'"));
    }
    warnings
}
