//! `--generate`: the man page and shell completions, from the same clap
//! definition that parses the command line, so that they cannot drift.

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

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
}

/// Writes the file to `writer`.
pub fn write(what: Generate, mut command: Command, writer: &mut impl Write) -> io::Result<()> {
    command.build();
    let shell = match what {
        Generate::Man => return man(&command, writer),
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

/// Writes one page for the tool and its subcommands: a reader of a small tool
/// wants one `man`, not thirty. The options that all subcommands share are in the
/// part about the tool only.
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
        let page = Man::new(subcommand.clone().mut_args(|arg| {
            let shared = arg.is_global_set();
            arg.hide(shared)
        }));
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        notes(&page, &mut section)?;
        // As parts of one section they are subsections.
        for line in String::from_utf8_lossy(&section).lines() {
            match line.strip_prefix(".SH ") {
                Some(title) => writeln!(writer, ".SS {title}")?,
                None => writeln!(writer, "{line}")?,
            }
        }
    }
    notes(&page, writer)?;
    page.render_version_section(writer)
}

/// Writes the text that follows the options in the long help. A line of capitals
/// in it is the heading of a section.
fn notes(page: &Man, writer: &mut impl Write) -> io::Result<()> {
    let mut section = Vec::new();
    page.render_extra_section(&mut section)?;
    let section = String::from_utf8_lossy(&section);
    let mut heading = Some("NOTES");
    for line in section
        .lines()
        .skip_while(|line| *line != ".SH EXTRA")
        .skip(1)
    {
        if line.starts_with(|c: char| c.is_ascii_uppercase())
            && line.chars().all(|c| c.is_ascii_uppercase() || c == ' ')
        {
            heading = Some(line);
        } else if !line.is_empty() {
            if let Some(heading) = heading.take() {
                writeln!(writer, ".SH \"{heading}\"")?;
            }
            writeln!(writer, "{line}")?;
        }
    }
    Ok(())
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
            write(*what, command, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("sample"), "{what:?}");
            assert!(text.contains("count"), "{what:?}");
            assert!(text.contains("part") || text.contains("PART"), "{what:?}");
        }
    }
    #[test]
    fn the_page_has_shared_options_once_and_the_text_after_the_options() {
        let part = Command::new("part")
            .arg(Arg::new("all").long("all").help("Everything"))
            .after_long_help("More of it.\n\nEXAMPLES\n  sample part");
        let shared = Arg::new("count").long("count").help("How many");
        let command = Command::new("sample")
            .version("1.0")
            .arg(shared.global(true))
            .subcommand(part)
            .after_long_help("EXIT STATUS\n  0  done");
        let mut page = Vec::new();
        write(Generate::Man, command, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert_eq!(page.matches("How many").count(), 1, "{page}");
        for text in [
            "Everything\n",
            ".SS \"NOTES\"\nMore of it.\n.SS \"EXAMPLES\"\n  sample part\n",
            ".SH \"EXIT STATUS\"\n  0  done\n",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
    }
}
