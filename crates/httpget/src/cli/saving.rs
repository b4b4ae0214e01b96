//! Where the body goes, and how it gets there.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use common::{duration, size};

/// Options of saving.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Saving")]
pub(crate) struct SavingArgs {
    /// Save to this file; the first one is for the first URL, and so on
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Vec<PathBuf>,

    /// Save under the name in the URL
    #[arg(short = 'O', long, alias = "remote-name-all")]
    pub(crate) remote_name: bool,

    /// With -O: save under the name the server gives, if it gives one
    #[arg(short = 'J', long)]
    pub(crate) remote_header_name: bool,

    /// The folder for saved files
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,

    /// Make missing folders
    #[arg(long)]
    pub(crate) create_dirs: bool,

    /// Where a file exists, take a free name (FILE.1) instead
    #[arg(long)]
    pub(crate) no_clobber: bool,

    /// Where a file exists, do not ask for it
    #[arg(long, conflicts_with = "no_clobber")]
    pub(crate) skip_existing: bool,

    /// Remove FILE.part when it could not be completed
    #[arg(long)]
    pub(crate) remove_on_error: bool,

    /// Give the file the time the server says
    #[arg(short = 'R', long)]
    pub(crate) remote_time: bool,

    /// Go on where an earlier download stopped (`-`), or at this byte
    #[arg(short = 'C', long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub(crate) continue_at: Option<String>,

    /// Fetch one file in pieces over N connections at once, where the server
    /// can do that
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) segments: u16,

    /// The SHA-256 the body must have; the first one is for the first URL, and
    /// so on
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Vec<String>,

    /// The most bytes a body may have, as sent and as decoded
    #[arg(long, value_name = "SIZE", value_parser = any_case)]
    pub(crate) max_filesize: Option<u64>,

    /// Read no faster than this many bytes a second
    #[arg(long, value_name = "SIZE", value_parser = any_case)]
    pub(crate) limit_rate: Option<u64>,

    /// Try so many times more when a failure may pass
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retry: u32,

    /// The pause between tries, instead of one second, doubled each time
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) retry_delay: Option<Duration>,

    /// No further try after this time
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) retry_max_time: Option<Duration>,

    /// A refused connection may pass, too
    #[arg(long)]
    pub(crate) retry_connrefused: bool,

    /// Every failure of the network may pass, and every status of 400 or more
    #[arg(long)]
    pub(crate) retry_all_errors: bool,
}

/// A size; its suffix in either case, as curl has it.
pub(super) fn any_case(text: &str) -> Result<u64, String> {
    size::parse(&text.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::any_case;

    #[test]
    fn suffixes_in_either_case() {
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
