//! `--generate`: the man page, shell completions and the schema of the records,
//! from the definitions that the tool itself uses, so that they are always up to
//! date.

use std::io::{self, Write};

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, Command, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::{man, schema};

/// The values of `--generate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    /// The man page (section 1) in roff
    Man,
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
    /// Completions for elvish
    Elvish,
    /// Completions for PowerShell
    Powershell,
    /// The JSON Schema of the records
    Schema,
}

/// Writes the man page, the completion script or the schema to `writer`. `records` is
/// the table of the tool's JSON records ([`schema`]), `environment` that of its variables
/// and files ([`man`]).
pub fn write(
    kind: Generate,
    mut command: Command,
    records: &str,
    environment: &str,
    writer: &mut impl Write,
) -> io::Result<()> {
    command.build();
    let shell = match kind {
        Generate::Schema => return schema::write(command.get_name(), records, writer),
        Generate::Man => return man::write(&command, &[], environment, writer),
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
        Generate::Elvish => Shell::Elvish,
        Generate::Powershell => Shell::PowerShell,
    };
    let name = command.get_name().to_owned();
    let mut command = for_completion(&command);
    // clap_complete panics if a write fails, so it writes to memory first.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    writer.write_all(&script)
}

/// Returns the definition that completions are generated from.
///
/// It leaves out the operands of a tool with subcommands: the zsh script would take
/// the first word for an operand and the second one for the subcommand.
fn for_completion(command: &Command) -> Command {
    let has_subcommands = command.has_subcommands();
    let args = command
        .get_arguments()
        .filter(|arg| !(has_subcommands && arg.is_positional()))
        .map(|arg| {
            if arg.get_action().takes_values() {
                with_hidden_values(arg).value_hint(hint(arg))
            } else {
                arg.clone()
            }
        });
    // clap requires a static name. The leak is harmless, since the process ends once
    // the script has been printed.
    let name: &'static str = command.get_name().to_owned().leak();
    let mut definition = Command::new(name).version("0").args(args);
    if let Some(about) = command.get_about() {
        definition = definition.about(about.clone());
    }
    let shown = |command: &&Command| command.get_name() != "help";
    let subcommands = command.get_subcommands().filter(shown).map(for_completion);
    definition
        .subcommands(subcommands)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
}

/// Returns an argument with its hidden values shown: an option that accepts further
/// values hides those that shells offer from the help and the man page.
fn with_hidden_values(arg: &Arg) -> Arg {
    let values = arg.get_possible_values();
    if !values.iter().any(PossibleValue::is_hide_set) {
        return arg.clone();
    }
    let values = values.into_iter().map(|value| value.hide(false));
    arg.clone().value_parser(PossibleValuesParser::new(values))
}

/// Returns the kind of completion for a value, such as files or host names, which is
/// derived from the name of the value.
fn hint(arg: &Arg) -> ValueHint {
    let names = arg.get_value_names().unwrap_or_default();
    let name = names.first().map_or("", |name| name.as_str());
    let words = |word: &str| name.split(['|', ':', ' ']).any(|other| other == word);
    if ["FILE", "SET", "NETWORK", "CERT"].into_iter().any(words) {
        ValueHint::FilePath
    } else if words("DIR") {
        ValueHint::DirPath
    } else if ["TARGET", "HOST", "NAME", "SERVER"].into_iter().any(words) {
        ValueHint::Hostname
    } else if words("URL") {
        ValueHint::Url
    } else {
        ValueHint::Other
    }
}

/// Writes the man page of a subcommand. Completions and the schema cover the
/// tool with all its subcommands.
pub fn write_command_page(
    name: &str,
    mut command: Command,
    environment: &str,
    writer: &mut impl Write,
) -> io::Result<()> {
    command.build();
    match command.find_subcommand(name) {
        Some(subcommand) => man::write(subcommand, &[command.get_name()], environment, writer),
        None => man::write(&command, &[], environment, writer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_names_the_tool_and_its_options() {
        for what in Generate::value_variants() {
            let command = Command::new("sample")
                .about("A sample")
                .version("1.0")
                .arg(Arg::new("count").long("count").help("How many"))
                .subcommand(Command::new("part").about("A part of it"));
            let mut text = Vec::new();
            write(*what, command, "count: A part.\n", "", &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("sample"), "{what:?}");
            assert!(text.contains("count"), "{what:?}");
            assert!(text.contains("part") || text.contains("PART"), "{what:?}");
        }
    }

    #[test]
    fn a_subcommand_has_its_own_page() {
        let command = Command::new("sample")
            .about("A sample")
            .subcommand(Command::new("part").about("A part of it"))
            .subcommand(Command::new("secret").hide(true));
        let mut page = Vec::new();
        write(Generate::Man, command.clone(), "", "", &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("\\fBsample\\-part\\fR(1)"), "{page}");
        assert!(!page.contains("secret"), "{page}");
        let mut page = Vec::new();
        write_command_page("part", command, "", &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("sample\\-part \\- A part of it"), "{page}");
    }
}
