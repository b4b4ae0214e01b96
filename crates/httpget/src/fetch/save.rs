//! Files that are either whole or not there.
//!
//! A body is written to a part file ([`super::part`]) and renamed when it is
//! complete and verified. The record beside it keeps the validator by which a
//! later run may go on. A target that is not a regular file (a device, a pipe)
//! is written directly.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{Error, Kind, Result};
use rustix::fs::FallocateFlags;

use super::names::{beside, free_names, is_taken, local, rename_free, rename_new, target};
use super::naming::Taken;
use super::part::{self, Part};
use crate::http::date::Seconds;
use crate::policy::resume::{self, Had, Validator};

/// From this length on room on the disk is reserved.
const WORTH_RESERVING: u64 = 256 * 1024;

/// Where a body is being saved.
#[derive(Debug)]
pub(crate) struct Saver {
    /// The final name, if it stays free.
    path: PathBuf,
    /// The first name that would do.
    first: PathBuf,
    output: Output,
    /// What of a file that is there.
    taken: Taken,
    /// The id of the URL, for the record.
    url: String,
    /// What is there, by which validator it can be continued.
    had: Had,
    /// The permissions of the file that will be replaced.
    mode: Option<Permissions>,
    /// Whether the part file may be longer than what is written.
    longer: bool,
}

/// The file that is written.
#[derive(Debug)]
enum Output {
    /// The target itself, which is not a regular file.
    Direct(File),
    Part(Part),
}

impl Saver {
    /// Opens the part file of `path`, with what is in it; `taken` says what to
    /// do with a name that is taken, `url` is the id of the URL.
    pub(super) fn open(path: &Path, taken: Taken, create_dirs: bool, url: &str) -> Result<Self> {
        if taken == Taken::Next {
            // A process that writes beside a name will take it.
            for name in free_names(path) {
                if let Some(mut saver) = Self::open_as(&name, taken, create_dirs, url)? {
                    path.clone_into(&mut saver.first);
                    return Ok(saver);
                }
            }
        } else if let Some(saver) = Self::open_as(path, taken, create_dirs, url)? {
            return Ok(saver);
        }
        let error = Error::new(Kind::System, "is being written by another process");
        Err(error.about(beside(path, ".part").display().to_string()))
    }

    /// The same under this name; `None` if another process writes it.
    fn open_as(path: &Path, taken: Taken, create_dirs: bool, url: &str) -> Result<Option<Self>> {
        // Only a symlink that the user named is followed.
        let (path, meta) = match taken {
            Taken::Replace => target(path)?,
            Taken::Refuse | Taken::Next => (path.to_owned(), None),
        };
        if taken == Taken::Refuse && is_taken(&path) {
            return Err(Error::new(
                Kind::System,
                "exists already, and a name the server chose overwrites nothing",
            )
            .about(path.display().to_string())
            .hint("-o names the file"));
        }
        if let Some(parent) = path.parent()
            && create_dirs
        {
            std::fs::create_dir_all(parent).map_err(|e| local(&e, parent))?;
        }
        let mode = meta.as_ref().map(part::permissions);
        let output = if meta.as_ref().is_some_and(|meta| !meta.is_file()) {
            let file = OpenOptions::new().write(true).open(&path);
            Output::Direct(file.map_err(|e| local(&e, &path))?)
        } else {
            match Part::open(&path, mode.as_ref())? {
                Some(part) => Output::Part(part),
                None => return Ok(None),
            }
        };
        Ok(Some(Self {
            first: path.clone(),
            path,
            output,
            taken,
            url: url.to_owned(),
            had: Had::default(),
            mode,
            longer: true,
        }))
    }

    fn file(&self) -> &File {
        match &self.output {
            Output::Direct(file) => file,
            Output::Part(part) => &part.file,
        }
    }

    /// The part file; `None` if the target is written directly.
    fn part(&self) -> Option<&Part> {
        match &self.output {
            Output::Direct(_) => None,
            Output::Part(part) => Some(part),
        }
    }

    /// What an earlier run left: the part file with its validator, or, where
    /// there is none, the final file without one.
    pub(crate) fn earlier(&mut self) -> Result<Option<Had>> {
        let Some(part) = self.part() else {
            return Ok(None);
        };
        let length = self.length()?;
        let state = part.state()?;
        let had = state
            .as_deref()
            .and_then(|state| resume::from_state(state, &self.url, length));
        if had.is_some() {
            return Ok(had);
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() && meta.len() > 0 => Ok(Some(Had {
                bytes: meta.len(),
                ..Had::default()
            })),
            _ => Ok(None),
        }
    }

    /// What this run has written so far.
    pub(crate) fn had(&self) -> &Had {
        &self.had
    }

    /// Whether what is written can be gone on with at all.
    pub(crate) fn is_seekable(&self) -> bool {
        self.part().is_some()
    }

    /// The length of the file that is written.
    fn length(&self) -> Result<u64> {
        let meta = self.file().metadata().map_err(|e| self.error(&e))?;
        Ok(meta.len())
    }

    /// Starts from nothing. `expected` reserves room on the disk; `coding` is
    /// the Content-Encoding of what will be written.
    pub(crate) fn start(
        &mut self,
        validator: Option<Validator>,
        expected: Option<u64>,
        coding: String,
    ) -> Result<()> {
        self.had = Had {
            bytes: 0,
            validator,
            total: expected,
            coding: Some(coding),
        };
        if self.part().is_none() {
            return Ok(());
        }
        if self.length()? > 0 {
            self.restart()?;
        }
        self.keep_state()?;
        self.longer = false;
        if let Some(length) = expected.filter(|&length| length >= WORTH_RESERVING) {
            self.reserve(0, length)?;
            self.longer = true;
        }
        Ok(())
    }

    /// Empties the file that is written.
    fn restart(&self) -> Result<()> {
        let mut file = self.file();
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)).map(drop))
            .map_err(|e| self.error(&e))
    }

    /// Room on the disk, so that a full one is known at the start. Where the
    /// file system cannot do that, it will be known later.
    fn reserve(&self, from: u64, length: u64) -> Result<()> {
        match rustix::fs::fallocate(self.file(), FallocateFlags::KEEP_SIZE, from, length) {
            Err(e @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => {
                Err(self.error(&e.into()))
            }
            _ => Ok(()),
        }
    }

    /// Goes on behind what an earlier run, or an earlier try, left. Each
    /// piece of what is there is shown to `see`, for the digest.
    pub(crate) fn resume(&mut self, had: &Had, mut see: impl FnMut(&[u8])) -> Result<()> {
        if had.validator.is_none() && self.had.bytes == 0 {
            // The final file is what is there: the part begins as its copy,
            // of which a record that is left says nothing.
            if let Some(part) = self.part() {
                let nothing = Had::default();
                part.write_state(&resume::to_state(&nothing, &self.url, None))?;
            }
            let mut whole = File::open(&self.path).map_err(|e| local(&e, &self.path))?;
            self.restart()?;
            let copied = io::copy(&mut (&mut whole).take(had.bytes), &mut self.file())
                .map_err(|e| self.error(&e))?;
            if copied != had.bytes {
                return Err(Error::new(Kind::System, "became shorter meanwhile")
                    .about(self.path.display().to_string()));
            }
        } else if self.length()? < had.bytes {
            return Err(Error::new(Kind::System, "became shorter meanwhile")
                .about(beside(&self.path, ".part").display().to_string()));
        }
        self.file().set_len(had.bytes).map_err(|e| self.error(&e))?;
        self.read_back(&mut see)?;
        self.had = had.clone();
        self.keep_state()?;
        if let Some(total) = had.total {
            self.reserve(had.bytes, total.saturating_sub(had.bytes))?;
        }
        Ok(())
    }

    /// Shows what is there, for the digest, and goes to its end.
    pub(crate) fn read_back(&mut self, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut file = self.file();
        file.seek(SeekFrom::Start(0)).map_err(|e| self.error(&e))?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => see(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error(&e)),
            }
        }
    }

    /// Begins to write with gaps, of which the state file knows: whatever
    /// happens, a later run goes on where the first gap is.
    pub(crate) fn begin_gaps(&mut self) -> Result<()> {
        self.keep_gaps(self.had.bytes)
    }

    /// Writes somewhere.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file()
            .write_all_at(bytes, at)
            .map_err(|e| self.error(&e))
    }

    /// Up to here there is no gap: notes it for a later run.
    pub(crate) fn keep_gaps(&self, without_gap: u64) -> Result<()> {
        self.write_state(Some(without_gap))
    }

    /// Done with gaps: this much is there, the rest is of no use.
    pub(crate) fn end_gaps(&mut self, without_gap: u64) -> Result<()> {
        let cut = self.file().set_len(without_gap);
        cut.map_err(|e| self.error(&e))?;
        self.had.bytes = without_gap;
        if without_gap < self.had.total.unwrap_or(0) {
            self.keep_gaps(without_gap)?;
        }
        Ok(())
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file().write_all(bytes).map_err(|e| self.error(&e))?;
        self.had.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes the record, with as many bytes as the part file has.
    fn keep_state(&self) -> Result<()> {
        self.write_state(None)
    }

    fn write_state(&self, bytes: Option<u64>) -> Result<()> {
        match self.part() {
            Some(part) => part.write_state(&resume::to_state(&self.had, &self.url, bytes)),
            None => Ok(()),
        }
    }

    /// The body is complete and right: it takes its name.
    pub(crate) fn finish(mut self, modified: Option<Seconds>) -> Result<PathBuf> {
        let part = match &self.output {
            Output::Direct(file) => {
                let mut file = file;
                file.flush().map_err(|e| self.error(&e))?;
                return Ok(self.path);
            }
            Output::Part(part) => part,
        };
        if self.longer {
            // Room that was reserved and not used goes back.
            let cut = part.file.set_len(self.had.bytes);
            cut.map_err(|e| self.error(&e))?;
        }
        if let Some(mode) = self.mode.take() {
            let now = part.file.metadata().map_err(|e| self.error(&e))?;
            if now.permissions() != mode {
                let set = part.file.set_permissions(mode);
                set.map_err(|e| self.error(&e))?;
            }
        }
        if let Some(at) = modified {
            set_modified(&part.file, at).map_err(|e| self.error(&e))?;
        }
        let path = self.path.clone();
        let outcome = match self.taken {
            Taken::Replace => std::fs::rename(&part.name, &path).map(|()| path),
            Taken::Refuse => rename_new(&part.name, &path).map(|()| path),
            Taken::Next => rename_free(&part.name, &self.first),
        };
        let path = outcome.map_err(|e| local(&e, &self.path))?;
        part.forget_state();
        Ok(path)
    }

    /// What is there is left for a later run, or removed.
    pub(crate) fn abandon(self, remove: bool) -> Result<()> {
        let Some(part) = self.part() else {
            return Ok(());
        };
        if remove || self.had.bytes == 0 {
            part.forget_state();
            return part.remove();
        }
        // Reserved room must not look like content.
        let cut = part.file.set_len(self.had.bytes);
        cut.map_err(|e| self.error(&e))?;
        self.keep_state()
    }

    /// The part file is of no use, but an earlier run's is left as it was.
    pub(crate) fn leave(self) -> Result<()> {
        if self.length()? == 0
            && let Some(part) = self.part()
        {
            part.forget_state();
            part.remove()?;
        }
        Ok(())
    }

    fn error(&self, error: &io::Error) -> Error {
        local(error, &self.path)
    }
}

/// Dates a file as a server says.
pub(super) fn set_modified(file: &File, at: Seconds) -> io::Result<()> {
    let since = Duration::from_secs(at.max(0).unsigned_abs());
    file.set_modified(SystemTime::UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::super::names::free_name;
    use super::*;

    #[test]
    fn whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut saver = Saver::open(&path, Taken::Replace, false, "id").unwrap();
        saver
            .start(Some(Validator::Tag("\"1\"".into())), Some(6), String::new())
            .unwrap();
        saver.write(b"abc").unwrap();
        assert!(!path.exists());
        saver.abandon(false).unwrap();
        assert_eq!(std::fs::read(beside(&path, ".part")).unwrap(), b"abc");

        let mut saver = Saver::open(&path, Taken::Replace, false, "id").unwrap();
        let had = saver.earlier().unwrap().unwrap();
        assert_eq!((had.bytes, had.total), (3, Some(6)));
        let mut seen = Vec::new();
        saver
            .resume(&had, |piece| seen.extend_from_slice(piece))
            .unwrap();
        assert_eq!(seen, b"abc");
        saver.write(b"def").unwrap();
        saver.finish(Some(784_111_777)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let modified = path.metadata().unwrap().modified().unwrap();
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 784_111_777);
    }

    #[test]
    fn the_final_file_is_gone_on_with_as_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "abc").unwrap();
        let mut saver = Saver::open(&path, Taken::Replace, false, "id").unwrap();
        let had = saver.earlier().unwrap().unwrap();
        assert_eq!((had.bytes, &had.validator), (3, &None));
        saver.resume(&had, |_| ()).unwrap();
        saver.write(b"d").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        saver.finish(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
    }

    fn open(path: &Path) -> Result<Saver> {
        Saver::open(path, Taken::Replace, false, "id")
    }

    #[test]
    fn a_record_is_a_file_and_of_its_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (part, state) = (beside(&path, ".part"), beside(&path, ".part.state"));
        std::fs::write(&path, "abc").unwrap();
        std::fs::write(&part, "abcdef").unwrap();
        let refused = |message: &str| {
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        };
        // A pipe is not waited for.
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &state, mode).unwrap();
        refused("f.part.state: is not a regular file");
        std::fs::remove_file(&state).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "url-sha256: id\netag: \"1\"\n").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &state).unwrap();
        refused("f.part.state: is a symlink");
        std::fs::remove_file(&state).unwrap();
        std::fs::hard_link(&elsewhere, &state).unwrap();
        refused("f.part.state: has several hard links");
        std::fs::remove_file(&elsewhere).unwrap();
        let had = || open(&path).unwrap().earlier().unwrap().unwrap().bytes;
        assert_eq!(had(), 6);
        // Of another URL it says nothing.
        std::fs::write(&state, "url-sha256: other\netag: \"1\"\n").unwrap();
        assert_eq!(had(), 3);
        // One that does not fit is not left beside the copy, which it might.
        std::fs::write(&state, "url-sha256: id\netag: \"1\"\nbytes: 9\n").unwrap();
        let mut saver = open(&path).unwrap();
        let three = saver.earlier().unwrap().unwrap();
        saver.resume(&three, |_| ()).unwrap();
        saver.abandon(false).unwrap();
        assert_eq!(std::fs::read_to_string(&state).unwrap(), "url-sha256: id\n");
        assert_eq!(std::fs::read(&part).unwrap(), b"abc");
    }

    #[test]
    fn a_part_without_a_record_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let names = [".part", ".part.1", ".part.2"].map(|name| beside(&path, name));
        std::fs::write(&names[0], "precious").unwrap();
        std::fs::write(&names[1], "").unwrap();
        std::fs::write(beside(&names[1], ".state"), "x".repeat(1 << 17)).unwrap();
        let mut saver = open(&path).unwrap();
        assert_eq!(saver.part().unwrap().name, names[2]);
        saver
            .start(Some(Validator::Tag("\"1\"".into())), None, String::new())
            .unwrap();
        saver.write(b"abc").unwrap();
        saver.abandon(false).unwrap();
        // A later run finds it again.
        let mut saver = open(&path).unwrap();
        let had = saver.earlier().unwrap().unwrap();
        saver.resume(&had, |_| ()).unwrap();
        saver.write(b"def").unwrap();
        saver.finish(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        assert_eq!(std::fs::read(&names[0]).unwrap(), b"precious");
        assert!(names[1].exists() && !names[2].exists());
        assert!(!beside(&names[2], ".state").exists());
    }

    #[test]
    fn permissions_from_the_first_byte_on() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mode_of = |suffix: &str| {
            let meta = beside(&path, suffix).metadata().unwrap();
            meta.permissions().mode() & 0o7777
        };
        for (mode, kept) in [(0o600, 0o600), (0o6755, 0o755), (0o1666, 0o666)] {
            std::fs::write(&path, "old").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let mut saver = open(&path).unwrap();
            assert_eq!(mode_of(".part"), kept);
            saver.start(None, None, String::new()).unwrap();
            assert_eq!(mode_of(".part.state"), kept);
            saver.write(b"new").unwrap();
            saver.abandon(false).unwrap();
            assert_eq!((mode_of(".part"), mode_of(".part.state")), (kept, kept));
            // Those of an earlier part file are mended.
            let part = beside(&path, ".part");
            std::fs::set_permissions(&part, PermissionsExt::from_mode(0o4777)).unwrap();
            let mut saver = open(&path).unwrap();
            assert_eq!(mode_of(".part"), kept);
            saver.start(None, None, String::new()).unwrap();
            saver.finish(None).unwrap();
            assert_eq!(mode_of(""), kept);
        }
    }

    #[test]
    fn one_writer_at_a_time_and_no_overwriting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut first = open(&path).unwrap();
        first.start(None, None, String::new()).unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        drop(first);
        // Another part file than the one that was opened is not this one's.
        let part = beside(&path, ".part");
        std::fs::remove_file(&part).unwrap();
        for dangling in ["/etc/passwd", "/nowhere/at/all"] {
            std::os::unix::fs::symlink(dangling, &part).unwrap();
            let error = open(&path).unwrap_err();
            assert!(error.to_string().contains("is a symlink"), "{error}");
            std::fs::remove_file(&part).unwrap();
        }
        std::fs::create_dir(&part).unwrap();
        assert!(open(&path).is_err());
        std::fs::remove_dir(&part).unwrap();
        let linked = dir.path().join("linked");
        std::fs::write(&linked, "x").unwrap();
        std::fs::hard_link(&linked, &part).unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.to_string().contains("hard links"), "{error}");
        assert_eq!(std::fs::read(&linked).unwrap(), b"x");
        std::fs::remove_file(&part).unwrap();
        std::fs::write(&path, "x").unwrap();
        assert!(Saver::open(&path, Taken::Refuse, false, "id").is_err());
        assert_eq!(free_name(&path), beside(&path, ".1"));
        assert_eq!(free_name(&dir.path().join("g")), dir.path().join("g"));
    }

    #[test]
    fn names_of_a_server_follow_no_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("f"), dir.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let error = Saver::open(&path, Taken::Refuse, false, "id").unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        let mut saver = Saver::open(&path, Taken::Next, false, "id").unwrap();
        saver.start(None, None, String::new()).unwrap();
        assert_eq!(saver.finish(None).unwrap(), beside(&path, ".1"));
        // One that the user named is followed.
        let mut saver = open(&path).unwrap();
        saver.start(None, None, String::new()).unwrap();
        saver.finish(None).unwrap();
        assert!(elsewhere.exists() && path.is_symlink());
    }

    #[test]
    fn a_free_name_is_taken_when_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let begin = |bytes: &[u8]| {
            let mut saver = Saver::open(&path, Taken::Next, false, "id").unwrap();
            saver.start(None, None, String::new()).unwrap();
            saver.write(bytes).unwrap();
            saver
        };
        let (one, two) = (begin(b"1"), begin(b"2"));
        std::fs::write(&path, "0").unwrap();
        assert_eq!(two.finish(None).unwrap(), beside(&path, ".1"));
        assert_eq!(one.finish(None).unwrap(), beside(&path, ".2"));
        for (suffix, body) in [("", "0"), (".1", "2"), (".2", "1")] {
            let name = beside(&path, suffix);
            assert_eq!(std::fs::read_to_string(name).unwrap(), body);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
