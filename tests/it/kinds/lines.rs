//! The lines of a file, each an item, as files or as streams: kinds of source made of nothing but what
//! ARCHITECTURE.md says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use offsite::format::entry::{Kind, Metadata};
use offsite::format::path::EntryPath;
use offsite::source::stat::Stat;
use offsite::source::{
    Body, Cause, Found, Item, Items, Opened, Place, Produce, Refused, Scope, Source, Unusable,
    Xattrs,
};
use rustix::fs::{MemfdFlags, memfd_create};

use super::kind::{KindOfSource, Trouble};

/// How a line comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    AsFiles,
    AsStreams,
}

/// A line that cannot be read to its end.
const BROKEN: &str = "broken";

/// A line that cannot be looked at.
const HIDDEN: &str = "hidden";

impl KindOfSource for Lines {
    fn place(&self, home: &Path) -> Arc<dyn Place> {
        Arc::new(LinesPlace(home.join("lines"), *self))
    }

    fn fill(&self, home: &Path, items: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let text: String = items.iter().map(|item| format!("{item}\n")).collect();
        fs::write(home.join("lines"), text).unwrap();
        let named = items.iter().enumerate();
        let named = named.map(|(n, item)| (name(n), item.as_bytes().to_vec()));
        named.collect()
    }

    fn replace(&self, home: &Path) {
        // While the other one exists, this one cannot have its number.
        fs::write(home.join("other lines"), "other\n").unwrap();
        fs::rename(home.join("other lines"), home.join("lines")).unwrap();
    }

    fn take_away(&self, home: &Path) {
        fs::remove_file(home.join("lines")).unwrap();
    }

    fn troubles(&self) -> &'static [Trouble] {
        &[Trouble::BreaksOff, Trouble::Unlooked]
    }

    fn fill_with(&self, home: &Path, items: &[&str], (number, trouble): (usize, Trouble)) {
        let mut items = items.to_vec();
        items[number] = match trouble {
            Trouble::BreaksOff => BROKEN,
            Trouble::Unlooked => HIDDEN,
        };
        self.fill(home, &items);
    }
}

fn name(number: usize) -> String {
    format!("line {number:06}")
}

#[derive(Debug)]
struct LinesPlace(PathBuf, Lines);

impl Place for LinesPlace {
    fn kind(&self) -> &'static str {
        "lines"
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        let about = fs::metadata(&self.0).map_err(|error| unreadable(&error))?;
        let text = fs::read(&self.0).map_err(|error| unreadable(&error))?;
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec());
        Ok(Arc::new(OpenLines {
            place: self.0.clone(),
            kind: self.1,
            lines: lines.collect(),
            about,
        }))
    }
}

struct OpenLines {
    place: PathBuf,
    kind: Lines,
    about: fs::Metadata,
    lines: Vec<Vec<u8>>,
}

impl OpenLines {
    fn found(&self, path: EntryPath, kind: Kind, size: usize) -> Item {
        let changed_ns = self.about.mtime() * 1_000_000_000 + self.about.mtime_nsec();
        let stat = Stat::made(Metadata {
            kind,
            size: size as u64,
            mtime_ns: changed_ns,
            ctime_ns: changed_ns,
            mode: 0o755,
            uid: self.about.uid(),
            gid: self.about.gid(),
        });
        Item::Found(Found::at(path, stat))
    }
}

impl Source for OpenLines {
    fn items(&self, scope: &Scope) -> Result<Items, Unusable> {
        let root = self.found(EntryPath::ROOT, Kind::Directory, 0);
        // No line is a directory.
        let lines = match scope.only {
            None => &self.lines[..],
            Some(_) => &[],
        };
        let lines = lines.iter().enumerate();
        let lines = lines.map(|(number, line)| {
            let path = EntryPath::ROOT.join(name(number).as_bytes()).unwrap();
            match line == HIDDEN.as_bytes() {
                true => Item::Unreadable(path.into(), "it is hidden".to_owned()),
                false => self.found(path, Kind::File, line.len()),
            }
        });
        let items: Vec<Item> = [root].into_iter().chain(lines).collect();
        Ok(Box::new(items.into_iter()))
    }

    fn open(&self, found: &Found) -> Result<Opened, Refused> {
        let name = String::from_utf8_lossy(found.name.as_bytes()).into_owned();
        let number = name.strip_prefix("line ").and_then(|n| n.parse().ok());
        let line = number.and_then(|n: usize| self.lines.get(n));
        let line = line.ok_or(Refused::Gone)?;
        let body = match self.kind {
            Lines::AsFiles if line == BROKEN.as_bytes() => return Err(broken()),
            Lines::AsFiles => Body::File(in_memory(line).map_err(Refused::Unreadable)?),
            Lines::AsStreams => Body::Stream(Box::new(Stream(io::Cursor::new(line.clone())))),
        };
        Ok(Opened {
            stat: found.stat,
            xattrs: Xattrs::new(),
            target: None,
            body,
        })
    }

    /// The lines are in memory.
    fn recheck(&self, _: &Opened) -> Result<Option<Stat>, Refused> {
        Ok(None)
    }

    fn confirm(&self) -> Result<(), Unusable> {
        let now = fs::metadata(&self.place).map_err(|error| unreadable(&error))?;
        match (now.dev(), now.ino()) == (self.about.dev(), self.about.ino()) {
            true => Ok(()),
            false => {
                let message = "other lines are there now".to_owned();
                Err(Unusable::new(
                    Cause::Replaced,
                    message,
                    "run the pass again",
                ))
            }
        }
    }

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.lines.is_empty())
    }
}

fn unreadable(error: &io::Error) -> Unusable {
    let message = format!("no lines can be read: {error}");
    Unusable::new(Cause::Unreadable, message, "write some")
}

fn in_memory(line: &[u8]) -> io::Result<OwnedFd> {
    let mut file = fs::File::from(memfd_create(c"line", MemfdFlags::CLOEXEC)?);
    file.write_all(line)?;
    Ok(file.into())
}

fn broken() -> Refused {
    Refused::Unreadable(io::Error::other("it broke off"))
}

/// A line, byte by byte.
#[derive(Debug)]
struct Stream(io::Cursor<Vec<u8>>);

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(1);
        self.0.read(&mut into[..most])
    }
}

impl Produce for Stream {
    fn finish(self: Box<Self>) -> Result<(), Refused> {
        match self.0.get_ref() == BROKEN.as_bytes() {
            true => Err(broken()),
            false => Ok(()),
        }
    }

    fn abort(self: Box<Self>) {}
}
