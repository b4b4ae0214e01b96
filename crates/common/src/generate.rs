//! `--generate`: the man page and shell completions, from the same clap
//! definition that parses the command line, so that they cannot drift.

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_complete::Shell;

use crate::{man, schema};

/// What `--generate` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    /// The man page, section 1, in roff.
    Man,
    /// Completions for bash.
    Bash,
    /// Completions for zsh.
    Zsh,
    /// Completions for fish.
    Fish,
    /// Completions for elvish.
    Elvish,
    /// Completions for PowerShell.
    Powershell,
    /// The JSON Schema of the records.
    Schema,
}

/// Writes the file to `writer`. `records` is the table of the tool's records
/// ([`schema`]).
pub fn write(
    what: Generate,
    mut command: Command,
    records: &str,
    writer: &mut impl Write,
) -> io::Result<()> {
    command.build();
    let shell = match what {
        Generate::Schema => return schema::write(command.get_name(), records, writer),
        Generate::Man => return man::write(&command, &[], writer),
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
        Generate::Elvish => Shell::Elvish,
        Generate::Powershell => Shell::PowerShell,
    };
    let name = command.get_name().to_owned();
    // clap_complete panics on a failing writer, so it gets one that cannot.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    writer.write_all(&script)
}

/// Writes the man page of a subcommand. Completions and the schema cover the
/// tool with all its subcommands.
pub fn page_of(name: &str, mut command: Command, writer: &mut impl Write) -> io::Result<()> {
    command.build();
    match command.find_subcommand(name) {
        Some(subcommand) => man::write(subcommand, &[command.get_name()], writer),
        None => man::write(&command, &[], writer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn every_kind_names_the_tool_and_its_options() {
        for what in Generate::value_variants() {
            let command = Command::new("sample")
                .about("A sample")
                .version("1.0")
                .arg(Arg::new("count").long("count").help("How many"))
                .subcommand(Command::new("part").about("A part of it"));
            let mut text = Vec::new();
            write(*what, command, "count: A part.\n", &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("sample"), "{what:?}");
            assert!(text.contains("count"), "{what:?}");
            assert!(text.contains("part") || text.contains("PART"), "{what:?}");
        }
    }

    #[test]
    fn a_subcommand_has_a_page_of_its_own() {
        let command = Command::new("sample")
            .about("A sample")
            .subcommand(Command::new("part").about("A part of it"))
            .subcommand(Command::new("secret").hide(true));
        let mut page = Vec::new();
        write(Generate::Man, command.clone(), "", &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("\\fBsample\\-part\\fR(1)"), "{page}");
        assert!(!page.contains("secret"), "{page}");
        let mut page = Vec::new();
        page_of("part", command, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("sample\\-part \\- A part of it"), "{page}");
    }
}
