//! Options for saving, resuming and retrying.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use common::{duration, size};

/// Options for saving.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Saving")]
pub(crate) struct SavingArgs {
    /// Save to FILE; the Nth -o applies to the Nth URL
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Vec<PathBuf>,

    /// Save under the file name in the URL
    #[arg(short = 'O', long, alias = "remote-name-all")]
    pub(crate) remote_name: bool,

    /// With -O, save under the file name that the server sends
    #[arg(short = 'J', long)]
    pub(crate) remote_header_name: bool,

    /// Save files in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,

    /// Create missing directories
    #[arg(long)]
    pub(crate) create_dirs: bool,

    /// If FILE exists, save as FILE.1, FILE.2 and so on
    #[arg(long)]
    pub(crate) no_clobber: bool,

    /// If FILE exists, do not fetch the URL
    #[arg(long, conflicts_with = "no_clobber")]
    pub(crate) skip_existing: bool,

    /// Remove FILE.part if the transfer fails
    #[arg(long)]
    pub(crate) remove_on_error: bool,

    /// Set the time of the file to the Last-Modified of the response
    #[arg(short = 'R', long)]
    pub(crate) remote_time: bool,

    /// Resume an earlier download (`-`), or start at byte OFFSET
    #[arg(short = 'C', long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub(crate) continue_at: Option<String>,

    /// Download each file over up to N connections, if the server supports ranges
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) segments: u16,

    /// Fail unless the body has this SHA-256; the Nth --sha256 applies to the Nth URL
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Vec<String>,

    /// Maximum size of the body, both as received and as decoded
    #[arg(long, value_name = "SIZE", value_parser = any_case)]
    pub(crate) max_filesize: Option<u64>,

    /// Maximum speed in bytes per second
    #[arg(long, value_name = "SIZE", value_parser = any_case)]
    pub(crate) limit_rate: Option<u64>,

    /// Retry up to N times after failures that may be temporary
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retry: u32,

    /// Wait this long between attempts [default: 1s, doubled each time]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) retry_delay: Option<Duration>,

    /// Start no retry later than this after the first attempt
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) retry_max_time: Option<Duration>,

    /// Also retry when the connection is refused
    #[arg(long)]
    pub(crate) retry_connrefused: bool,

    /// Retry after any network failure and any status of 400 or more
    #[arg(long)]
    pub(crate) retry_all_errors: bool,
}

/// Parses a size with a suffix in upper or lower case, as curl accepts it.
pub(super) fn any_case(text: &str) -> Result<u64, String> {
    size::parse(&text.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::any_case;

    #[test]
    fn suffixes_may_be_in_either_case() {
        for (text, size) in [
            ("5m", 5 << 20),
            ("5M", 5 << 20),
            ("1g", 1 << 30),
            ("2k", 2048),
        ] {
            assert_eq!(any_case(text), Ok(size), "{text}");
        }
        assert!(any_case("5x").is_err());
    }
}
