//! Options with the same meaning in every tool, for `#[command(flatten)]`.
//!
//! The clap struct of a tool sets `disable_help_flag` and `disable_version_flag`
//! and flattens [`Common`] last, so that help and version are the last options.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, Args, Command};

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

/// A parser that accepts any text, with the values that shells offer. For values that
/// the tool checks itself, with a better error. Hidden values are not listed in the
/// help, the man page and errors.
#[derive(Clone, Debug)]
pub struct SuggestedValues(pub fn() -> Vec<PossibleValue>);

impl TypedValueParser for SuggestedValues {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter()))
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
