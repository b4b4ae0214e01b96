//! The man page of a tool or of one of its commands, in roff.
//!
//! The page is written from the same clap definition that parses the command
//! line. The text after the options in `--help` supplies the other sections: a
//! line that begins at the margin and is in capitals, or that ends with a colon
//! and is followed by an indented line, is a heading, as in `EXIT STATUS` or
//! `Examples:`. Indented text keeps its line breaks; other text is filled.
//!
//! `clap_mangen` writes no EXIT STATUS or EXAMPLES, fills tables, and leaves out
//! options that are hidden from the short help.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::{Arg, ArgAction, Command};

mod text;

use text::{Section, body, escape, lower_first, paragraphs, sections, sentence, statuses, wrapped};

/// The date in the footer, since the pages must not depend on the build.
const DATE: &str = "2026-11-30";

/// The tools of the suite, for SEE ALSO.
const TOOLS: [&str; 6] = [
    "httpget",
    "ping",
    "resolve",
    "subnetcalc",
    "tcpecho-client",
    "tcpecho-server",
];

/// Sections in this order follow OPTIONS and the tool's other sections.
const LAST_SECTIONS: [&str; 5] = ["EXIT STATUS", "ENVIRONMENT", "FILES", "SIGNALS", "EXAMPLES"];

/// Writes the page of `command`. `path` contains the names of the commands above
/// it, from the tool down. `environment` has a line `env NAME: effect` for each variable
/// and `file PATH: use` for each file, which become ENVIRONMENT and FILES.
pub(crate) fn write(
    command: &Command,
    path: &[&str],
    environment: &str,
    writer: &mut impl Write,
) -> io::Result<()> {
    let name = [path, &[command.get_name()]].concat().join("-");
    let tool = path.first().copied().unwrap_or(command.get_name());
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    writeln!(
        writer,
        ".TH {} 1 {DATE} \"{tool} {version}\" \"User Commands\"",
        escape(&name.to_uppercase())
    )?;
    // Disables justification, which would spread the words of narrow columns apart.
    writeln!(writer, ".ad l\n.nh")?;
    writeln!(writer, ".SH NAME")?;
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let line = format!("{} \\- {}", escape(&name), escape(&about));
    writeln!(writer, "{}", wrapped(&line))?;
    synopsis(command, &[path, &[command.get_name()]].concat(), writer)?;

    writeln!(writer, ".SH DESCRIPTION")?;
    let description = command.get_long_about().map(ToString::to_string);
    paragraphs(&description.unwrap_or_else(|| about.clone() + "."), writer)?;
    let after = command.get_after_long_help().or(command.get_after_help());
    let (introduction, sections) = sections(&after.map(ToString::to_string).unwrap_or_default());
    if introduction.iter().any(|line| !line.is_empty()) {
        writeln!(writer, ".PP")?;
        body(&introduction, writer)?;
    }
    commands(command, &name, writer)?;
    operands(command, writer)?;
    options(command, path, writer)?;

    let is_last = |section: &&Section| LAST_SECTIONS.contains(&section.heading.as_str());
    for section in sections.iter().filter(|section| !is_last(section)) {
        writeln!(writer, ".SH \"{}\"", escape(&section.heading))?;
        body(&section.lines, writer)?;
    }
    for heading in LAST_SECTIONS {
        let own = sections.iter().find(|section| section.heading == heading);
        let mut entries = entries(environment, heading).peekable();
        if own.is_some() || entries.peek().is_some() {
            writeln!(writer, ".SH \"{heading}\"")?;
        }
        match own {
            Some(section) if heading == "EXIT STATUS" => statuses(&section.lines, writer)?,
            Some(section) => body(&section.lines, writer)?,
            None => {}
        }
        for (name, text) in entries {
            writeln!(
                writer,
                ".TP\n\\fB{}\\fR\n{}",
                escape(name),
                wrapped(&escape(text))
            )?;
        }
    }
    see_also(command, &name, path, writer)
}

/// Returns the names and texts of a section from the lines about the environment.
fn entries<'a>(environment: &'a str, heading: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let start = match heading {
        "ENVIRONMENT" => "env ",
        "FILES" => "file ",
        _ => "\n",
    };
    let lines = environment.lines();
    lines.filter_map(move |line| line.strip_prefix(start)?.split_once(": "))
}

/// Writes the usage lines, the program name in bold.
fn synopsis(command: &Command, path: &[&str], writer: &mut impl Write) -> io::Result<()> {
    writeln!(writer, ".SH SYNOPSIS")?;
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:");
    let name = path.join(" ");
    let lines = usage.lines().map(str::trim).filter(|line| !line.is_empty());
    for (at, line) in lines.enumerate() {
        if at > 0 {
            writeln!(writer, ".br")?;
        }
        match line.strip_prefix(&name) {
            Some(rest) => {
                let rest = escape(rest).replace('<', "\\fI").replace('>', "\\fR");
                writeln!(writer, "\\fB{}\\fR{rest}", escape(&name))?;
            }
            None => writeln!(writer, "{}", escape(line))?,
        }
    }
    Ok(())
}

/// Writes the list of commands, each with the name of its own page.
fn commands(command: &Command, name: &str, writer: &mut impl Write) -> io::Result<()> {
    let mut commands = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .peekable();
    if commands.peek().is_some() {
        writeln!(writer, ".SH COMMANDS")?;
    }
    for command in commands {
        let about = command.get_about().map(ToString::to_string);
        let page = escape(&format!("{name}-{}", command.get_name()));
        writeln!(
            writer,
            ".TP\n\\fB{page}\\fR(1)\n{}",
            wrapped(&sentence(&about.unwrap_or_default()))
        )?;
    }
    Ok(())
}

/// Writes the operands, if there are any.
fn operands(command: &Command, writer: &mut impl Write) -> io::Result<()> {
    let shown = command.get_positionals().filter(|arg| !arg.is_hide_set());
    for (index, operand) in shown.enumerate() {
        if index == 0 {
            writeln!(writer, ".SH OPERANDS")?;
        }
        writeln!(writer, ".TP\n{}", value_names(operand))?;
        help(operand, writer)?;
    }
    Ok(())
}

/// Writes the options by their help headings. The page of a subcommand refers to
/// the options that it shares with the tool.
fn options(command: &Command, path: &[&str], writer: &mut impl Write) -> io::Result<()> {
    let options: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
        .filter(|arg| path.is_empty() || !arg.is_global_set())
        .collect();
    writeln!(writer, ".SH OPTIONS")?;
    if let Some(tool) = path.first() {
        writeln!(
            writer,
            "The general and input options of\n.BR {} (1)\napply, too.",
            escape(tool)
        )?;
    }
    let mut headings: Vec<Option<&str>> = Vec::new();
    for option in &options {
        if !headings.contains(&option.get_help_heading()) {
            headings.push(option.get_help_heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            writeln!(writer, ".SS \"{}\"", escape(heading))?;
        }
        let in_section = |option: &&&Arg| option.get_help_heading() == heading;
        for option in options.iter().filter(in_section) {
            writeln!(writer, ".TP\n{}", signature(option))?;
            help(option, writer)?;
        }
    }
    Ok(())
}

/// Returns the names of the values of an argument, in italics.
fn value_names(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("\\fI{}\\fR", escape(name)))
        .collect();
    names.join(" ")
}

/// Returns the names of an option with its value: `-c, --count N`.
fn signature(option: &Arg) -> String {
    let bold = |name: String| format!("\\fB{}\\fR", escape(&name));
    let short = option.get_short().map(|short| bold(format!("-{short}")));
    let long = option.get_long().map(|long| bold(format!("--{long}")));
    let aliases = option.get_visible_aliases().unwrap_or_default();
    let aliases = aliases.into_iter().map(|alias| bold(format!("--{alias}")));
    let names: Vec<String> = short.into_iter().chain(long).chain(aliases).collect();
    let names = names.join(", ");
    if !option.get_action().takes_values() {
        return names;
    }
    let values = value_names(option);
    let range = option.get_num_args();
    if range.is_some_and(|range| range.min_values() == 0) {
        format!("{names}[={values}]")
    } else {
        format!("{names} {values}")
    }
}

/// Writes the help of an argument, its values and its default.
fn help(arg: &Arg, writer: &mut impl Write) -> io::Result<()> {
    let text = arg.get_long_help().or(arg.get_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    let mut text = sentence(&text);
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| {
            let name = format!("\\fB{}\\fR", escape(value.get_name()));
            match value.get_help().map(ToString::to_string) {
                Some(help) if !help.eq_ignore_ascii_case(value.get_name()) => {
                    format!("{name} ({})", escape(&lower_first(&help)))
                }
                _ => name,
            }
        })
        .collect();
    let takes_values = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if takes_values && !values.is_empty() {
        let _ = write!(text, " One of {}.", values.join(", "));
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| escape(&value.to_string_lossy()))
        .collect();
    if takes_values && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        let _ = write!(text, " The default is {}.", defaults.join(" "));
    }
    writeln!(writer, "{}", wrapped(&text))
}

fn see_also(
    command: &Command,
    name: &str,
    path: &[&str],
    writer: &mut impl Write,
) -> io::Result<()> {
    let own = path.first().copied().unwrap_or(command.get_name());
    let mut pages: Vec<&str> = TOOLS.into_iter().filter(|tool| *tool != own).collect();
    if name != own {
        pages.insert(0, own);
    }
    writeln!(writer, ".SH \"SEE ALSO\"")?;
    for (at, page) in pages.iter().enumerate() {
        let comma = if at + 1 < pages.len() { " ," } else { "" };
        writeln!(writer, ".BR {} (1){comma}", escape(page))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(command: &Command, path: &[&str]) -> String {
        let mut text = Vec::new();
        let environment = "# Comment.\nenv HOME: Has ~/.file.\nfile ~/.file: Words.\n";
        write(command, path, environment, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn sample() -> Command {
        let mut command = Command::new("sample")
            .about("Do a thing")
            .version("1.0")
            .arg(
                Arg::new("count")
                    .short('c')
                    .long("count")
                    .value_name("N")
                    .default_value("3")
                    .help("Send N probes"),
            )
            .arg(Arg::new("TARGET").help("Hosts"))
            .after_long_help(
                "Text about it.\n\nExamples:\n  sample -c 3   # .dots\n\nEXIT STATUS\n  0  done\n",
            );
        command.build();
        command
    }

    #[test]
    fn sections_come_from_the_help() {
        let text = page(&sample(), &[]);
        let headings: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .collect();
        let expected = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPERANDS",
            "OPTIONS",
            "\"EXIT STATUS\"",
            "\"ENVIRONMENT\"",
            "\"FILES\"",
            "\"EXAMPLES\"",
            "\"SEE ALSO\"",
        ];
        assert_eq!(headings, expected);
        let tables = ".SH \"ENVIRONMENT\"\n.TP\n\\fBHOME\\fR\nHas ~/.file.\n\
                      .SH \"FILES\"\n.TP\n\\fB~/.file\\fR\nWords.\n.SH";
        assert!(text.contains(tables), "{text}");
        assert!(
            text.contains(".EX\n  sample \\-c 3   # .dots\n.EE\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "\\fB\\-c\\fR, \\fB\\-\\-count\\fR \\fIN\\fR\nSend N probes. The default is 3.\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_command_has_a_page_of_its_own() {
        let text = page(&sample(), &["tool"]);
        assert!(text.starts_with(".TH TOOL\\-SAMPLE 1 "), "{text}");
        assert!(text.contains("\n.BR tool (1) ,\n"), "{text}");
    }

    #[test]
    fn text_of_the_help_is_on_the_page() {
        let command = Command::new("sample").about("Do a thing").after_long_help(
            "Text about it.\n\nNOTES\nA note.\n\nEXIT STATUS\n  0  done\n  1  not\n     yet\n",
        );
        let text = page(&command, &[]);
        assert!(
            text.contains(".SH DESCRIPTION\nDo a thing.\n.PP\nText about it.\n.SH OPTIONS\n"),
            "{text}"
        );
        assert!(text.contains(".SH \"NOTES\"\nA note.\n"), "{text}");
        assert!(
            text.contains(".SH \"EXIT STATUS\"\n.TP\n0\ndone\n.TP\n1\nnot yet\n"),
            "{text}"
        );
    }

    #[test]
    fn defaults_are_shown_unless_hidden_or_missing() {
        let option = |name: &'static str| Arg::new(name).long(name).help("Help");
        let command = Command::new("sample")
            .arg(option("shown").default_value("5"))
            .arg(option("hidden").default_value("5").hide_default_value(true))
            .arg(option("missing"))
            .arg(option("flag").action(ArgAction::SetTrue));
        let text = page(&command, &[]);
        assert_eq!(
            text.matches("\nHelp. The default is 5.\n").count(),
            1,
            "{text}"
        );
        assert_eq!(text.matches("\nHelp.\n").count(), 3, "{text}");
    }
}
