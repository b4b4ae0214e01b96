//! Options with the same meaning in every tool, for `#[command(flatten)]`.
//!
//! The clap struct of a tool sets `disable_help_flag` and `disable_version_flag`
//! and flattens [`Common`] last, so that help and version are the last options.

use clap::{ArgAction, Args};

use crate::address::Family;
use crate::color::ColorChoice;
use crate::generate::Generate;

/// The options for help, version, JSON, colour and `--generate`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "General options")]
pub struct Common {
    /// Print JSON Lines, one object per line
    #[arg(short, long, global = true)]
    pub json: bool,

    /// Use colour: auto, always or never
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        global = true,
        hide_short_help = true
    )]
    pub color: ColorChoice,

    /// Print the man page, shell completions or the JSON Schema, and exit
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        exclusive = true,
        global = true,
        hide_short_help = true
    )]
    pub generate: Option<Generate>,

    /// Print help; -h prints a short form of --help
    #[arg(short, long, action = ArgAction::Help, global = true)]
    help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The options `-4` and `-6`, which exclude each other.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct FamilyArgs {
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long, conflicts_with = "ipv4")]
    pub ipv6: bool,
}

impl FamilyArgs {
    /// Returns the selected family.
    pub fn family(self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, false) => Family::V4,
            (false, true) => Family::V6,
            _ => Family::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flag_selects_one_family() {
        for (ipv4, ipv6, family) in [
            (false, false, Family::Any),
            (true, false, Family::V4),
            (false, true, Family::V6),
        ] {
            assert_eq!(FamilyArgs { ipv4, ipv6 }.family(), family);
        }
    }
}
