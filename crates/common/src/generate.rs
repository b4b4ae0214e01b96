//! `--generate`: the man page and shell completions, from the clap definition
//! that also parses the command line, so that they are always up to date.

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

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
}

/// Writes the man page or the completions to `writer`.
pub fn write(kind: Generate, mut command: Command, writer: &mut impl Write) -> io::Result<()> {
    command.build();
    let shell = match kind {
        Generate::Man => return man(&command, writer),
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
        Generate::Elvish => Shell::Elvish,
        Generate::Powershell => Shell::PowerShell,
    };
    let name = command.get_name().to_owned();
    // clap_complete panics if a write fails, so it gets a writer that cannot.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    writer.write_all(&script)
}

/// Writes one man page for the tool and all of its subcommands.
fn man(command: &Command, writer: &mut impl Write) -> io::Result<()> {
    let page = Man::new(command.clone()).section("1");
    page.render_title(writer)?;
    page.render_name_section(writer)?;
    page.render_synopsis_section(writer)?;
    page.render_description_section(writer)?;
    page.render_options_section(writer)?;
    for subcommand in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        if subcommand.get_name() == "help" {
            continue;
        }
        let heading = format!("{} {}", command.get_name(), subcommand.get_name());
        writeln!(writer, ".SH \"{}\"", heading.to_uppercase())?;
        let page = Man::new(subcommand.clone());
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        // In the section of a subcommand they are subsections.
        for line in String::from_utf8_lossy(&section).lines() {
            match line.strip_prefix(".SH ") {
                Some(title) => writeln!(writer, ".SS {title}")?,
                None => writeln!(writer, "{line}")?,
            }
        }
    }
    page.render_extra_section(writer)?;
    page.render_version_section(writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn every_kind_contains_the_tool_and_its_options() {
        for kind in Generate::value_variants() {
            let command = Command::new("sample")
                .about("A sample")
                .version("1.0")
                .arg(Arg::new("count").long("count").help("How many"))
                .subcommand(Command::new("part").about("A part of it"));
            let mut text = Vec::new();
            write(*kind, command, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("sample"), "{kind:?}");
            assert!(text.contains("count"), "{kind:?}");
            assert!(text.contains("part") || text.contains("PART"), "{kind:?}");
        }
    }

    #[test]
    fn a_man_page_has_a_section_for_each_subcommand() {
        let command = Command::new("sample")
            .about("A sample")
            .version("1.0")
            .after_help("EXAMPLES")
            .arg(Arg::new("count").long("count").help("How many"))
            .subcommand(
                Command::new("part")
                    .about("A part of it")
                    .arg(Arg::new("size").long("size").help("How large")),
            )
            .subcommand(Command::new("secret").hide(true));
        let mut page = Vec::new();
        write(Generate::Man, command, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let headings: Vec<&str> = page.lines().filter(|l| l.starts_with(".S")).collect();
        assert_eq!(
            headings,
            [
                ".SH NAME",
                ".SH SYNOPSIS",
                ".SH DESCRIPTION",
                ".SH OPTIONS",
                ".SH \"SAMPLE PART\"",
                ".SS SYNOPSIS",
                ".SS DESCRIPTION",
                ".SS OPTIONS",
                ".SH EXTRA",
                ".SH VERSION",
            ]
        );
    }
}
