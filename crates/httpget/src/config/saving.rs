//! The files that bodies are saved to, and what proves that they are right.

use std::path::{Path, PathBuf};

use common::Result;

use super::errors::invalid_value;
use crate::cli::SavingArgs;

/// The destination of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output, or the JSON record.
    Stdout,
    /// A file with this name.
    File(PathBuf),
    /// A file with the name in the URL or from the server.
    RemoteName,
}

/// The offset at which a download starts (`-C`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Start at the beginning.
    Beginning,
    /// Continue an earlier download.
    Resume,
    /// Start at this byte.
    Offset(u64),
}

impl Start {
    /// Parses the value of `-C`.
    pub(super) fn new(args: &SavingArgs) -> Result<Self> {
        Ok(match args.continue_at.as_deref() {
            None => Self::Beginning,
            Some("-") => Self::Resume,
            Some(text) => Self::Offset(text.parse().map_err(|_| {
                let message = "must be '-' or a number of bytes";
                invalid_value("--continue-at", text, message)
            })?),
        })
    }
}

/// What to do with a file that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExistingFile {
    /// Replace it, unless the server chose the name.
    Replace,
    /// Keep it, and use the next free name (`--no-clobber`).
    Number,
    /// Keep it, and do not fetch the URL (`--skip-existing`).
    Skip,
}

/// How bodies are saved.
#[derive(Clone, Debug)]
pub(crate) struct SavingConfig {
    /// The destinations of the first URLs (`-o`).
    destinations: Vec<Destination>,
    /// The destination of the other URLs.
    other_destinations: Destination,
    /// Whether the server may choose the file name (`-J`).
    pub(crate) remote_header_name: bool,
    /// The directory of all files (`--output-dir`).
    pub(crate) directory: Option<PathBuf>,
    /// Whether missing directories are created.
    pub(crate) create_dirs: bool,
    pub(crate) existing: ExistingFile,
    /// Whether the partial file of a failed transfer is removed.
    pub(crate) remove_on_error: bool,
    /// Whether files get the time of Last-Modified (`-R`).
    pub(crate) remote_time: bool,
    pub(crate) start: Start,
    /// The number of connections for one file (`--segments`).
    pub(crate) segments: u16,
    /// The expected SHA-256 digests in lower-case hexadecimal, by URL.
    pub(crate) sha256: Vec<String>,
}

impl SavingConfig {
    /// Resolves the options of saving.
    pub(super) fn new(args: &SavingArgs, start: Start) -> Result<Self> {
        let destination = |path: &PathBuf| match path {
            path if path == Path::new("-") => Destination::Stdout,
            path => Destination::File(path.clone()),
        };
        let digests = args.sha256.iter().map(|text| parse_digest(text));
        Ok(Self {
            destinations: args.output.iter().map(destination).collect(),
            other_destinations: if args.remote_name {
                Destination::RemoteName
            } else {
                Destination::Stdout
            },
            remote_header_name: args.remote_header_name,
            directory: args.output_dir.clone(),
            create_dirs: args.create_dirs,
            existing: if args.no_clobber {
                ExistingFile::Number
            } else if args.skip_existing {
                ExistingFile::Skip
            } else {
                ExistingFile::Replace
            },
            remove_on_error: args.remove_on_error,
            remote_time: args.remote_time,
            start,
            segments: args.segments,
            sha256: digests.collect::<Result<_>>()?,
        })
    }

    /// Returns the destination of the URL with this index.
    pub(crate) fn destination(&self, index: usize) -> &Destination {
        self.destinations
            .get(index)
            .unwrap_or(&self.other_destinations)
    }

    /// Returns the number of `-o` options.
    pub(crate) fn named_files(&self) -> usize {
        self.destinations.len()
    }
}

fn parse_digest(text: &str) -> Result<String> {
    let digest = text.trim().to_ascii_lowercase();
    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        let message = "must have 64 hexadecimal digits";
        return Err(invalid_value("--sha256", text, message));
    }
    Ok(digest)
}
