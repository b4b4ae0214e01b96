//! The options of the command, and what all measurements need: the binaries and a
//! working directory.

use std::path::PathBuf;

use support::TaskResult;
use support::workspace::{self, Bins, Profile, TOOLS};

use crate::USAGE;

/// The parsed command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether to write `docs/benchmarks.md`.
    pub(crate) report: bool,
    base: Option<PathBuf>,
    bins: Option<PathBuf>,
    /// The tool, or the common start of the names of the echo pair.
    tool: Option<String>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> TaskResult<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut dir = || {
                let dir = args.next().map(PathBuf::from);
                dir.ok_or_else(|| format!("{arg} needs a directory\n{USAGE}"))
            };
            match arg.as_str() {
                "--report" => options.report = true,
                "--base" => options.base = Some(dir()?),
                "--bins" => options.bins = Some(dir()?),
                tool if options.tool.is_none() && (tool == "tcpecho" || TOOLS.contains(&tool)) => {
                    options.tool = Some(tool.to_owned());
                }
                other => {
                    return Err(format!(
                        "unexpected argument `{other}`; the tools are {}\n{USAGE}",
                        TOOLS.join(", ")
                    ));
                }
            }
        }
        Ok(options)
    }

    pub(crate) fn selects(&self, tool: &str) -> bool {
        let selected = self.tool.as_deref();
        selected.is_none_or(|name| tool.starts_with(name))
    }
}

/// The binaries and the working directory of the measurements.
pub(crate) struct Context {
    pub(crate) bins: Bins,
    /// The tools of another build, which are measured, too.
    pub(crate) base: Option<Bins>,
    pub(crate) dir: tempfile::TempDir,
}

impl Context {
    /// Builds the tools, or finds them in the given directories.
    pub(crate) fn new(options: &Options) -> TaskResult<Self> {
        let base = options.base.as_ref().map(complete).transpose()?;
        Ok(Self {
            bins: match &options.bins {
                Some(dir) => complete(dir)?,
                None => Bins::build(Profile::Release)?,
            },
            base,
            dir: workspace::scratch()?,
        })
    }

    /// Returns our tools and, if they are measured, those of the other build.
    pub(crate) fn builds(&self) -> impl Iterator<Item = &Bins> {
        std::iter::once(&self.bins).chain(&self.base)
    }

    /// Removes the directories and ports of this run from a command line.
    pub(crate) fn without_dirs(&self, text: &str) -> String {
        let own = [self.bins.dir(), self.dir.path()];
        let text = own.iter().fold(text.to_owned(), |text, dir| {
            text.replace(&format!("{}/", dir.display()), "")
        });
        let words = text.split(' ').scan(false, |is_port, word| {
            let shown = if *is_port {
                "PORT".to_owned()
            } else {
                without_port(without_system_dir(word))
            };
            *is_port = word == "-p";
            Some(shown)
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Removes a directory of system programs or of temporary files from a word.
fn without_system_dir(word: &str) -> &str {
    let temporary = format!("{}/", std::env::temp_dir().display());
    let system = ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/", &temporary];
    match word.rsplit_once('/') {
        Some((_, name)) if system.iter().any(|dir| word.starts_with(dir)) => name,
        _ => word,
    }
}

/// Replaces the number of a port of loopback, which was free by chance.
fn without_port(word: &str) -> String {
    for host in ["127.0.0.1:", "localhost:"] {
        if let Some((before, rest)) = word.split_once(host) {
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            return format!("{before}{host}PORT{after}");
        }
    }
    word.to_owned()
}

/// Returns the tools of a directory, which must have all six.
fn complete(dir: &PathBuf) -> TaskResult<Bins> {
    let dir = std::path::absolute(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let bins = Bins::in_dir(dir);
    match TOOLS.into_iter().find(|tool| !bins.tool(tool).is_file()) {
        None => Ok(bins),
        Some(missing) => Err(format!(
            "{} is missing; build all six tools",
            bins.tool(missing).display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use support::workspace::Bins;

    use super::{Context, Options};

    fn parse(line: &str) -> Result<Options, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn options_and_a_tool_are_accepted_in_any_order() {
        let options = parse("--report ping --base old").unwrap();
        assert_eq!(options, parse("--base old ping --report").unwrap());
        assert!(options.report && options.selects("ping") && !options.selects("resolve"));
        assert_eq!(options.base, Some(PathBuf::from("old")));
        assert!(parse("").unwrap().selects("ping"));
        assert!(parse("tcpecho").unwrap().selects("tcpecho-client"));
        for wrong in ["--base", "ping resolve", "curl", "--fast"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_incomplete_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let options = parse(&format!("--bins {}", dir.path().display())).unwrap();
        let error = Context::new(&options).err().unwrap();
        assert!(
            error.ends_with("httpget is missing; build all six tools"),
            "{error}"
        );
    }

    #[test]
    fn directories_and_ports_are_removed_from_command_lines() {
        let context = Context {
            bins: Bins::in_dir(PathBuf::from("/some/release")),
            base: None,
            dir: tempfile::tempdir().unwrap(),
        };
        let (dir, temporary) = (context.dir.path().display(), std::env::temp_dir());
        let temporary = temporary.join("x/ca.pem");
        for (text, expected) in [
            (format!("/some/release/ping -q < {dir}/in"), "ping -q < in"),
            (format!("/usr/bin/fping @{dir}/list"), "fping @list"),
            ("/opt/bin/x 10.0.0.0/8".to_owned(), "/opt/bin/x 10.0.0.0/8"),
            (
                format!("curl --cacert {}", temporary.display()),
                "curl --cacert ca.pem",
            ),
            (
                "dig -p 3456 x @127.0.0.1:53".to_owned(),
                "dig -p PORT x @127.0.0.1:PORT",
            ),
            (
                "curl http://localhost:3456/1g".to_owned(),
                "curl http://localhost:PORT/1g",
            ),
        ] {
            assert_eq!(context.without_dirs(&text), expected);
        }
    }
}
