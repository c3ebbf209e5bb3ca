//! A directory as a source: an ordered, parallel walk, what it leaves out, and reading files that may
//! change under the reader.
//!
//! The root is opened once, and everything else is reached from that descriptor. Symbolic links are never
//! followed, not even in the middle of a path: whoever can write into the source cannot make a backup read
//! outside of it.

pub(crate) mod clean;
pub(crate) mod root;
pub(crate) mod walk;
pub(crate) mod xattr;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use self::root::Root;
use self::walk::{Walk, WalkOptions};
use super::filter::Filter;
use super::stat::Stat;
use super::{
    Body, Cause, Found, IfEmpty, Items, Opened, Place, Refused, Scope, Source, Unusable, Xattrs,
};
use crate::format::entry::Kind;
use crate::format::rules::Rules;

/// A directory to back up.
#[derive(Debug, Clone)]
pub struct DirectoryPlace {
    /// Where it is: absolute and clean, as names and records have it.
    pub directory: PathBuf,
    /// The same as it was written, which is what is opened: `..` after a symbolic link leads elsewhere
    /// than the clean path.
    pub written_as: PathBuf,
    /// What of it is left out.
    pub filter: Filter,
    /// Whether to leave out other file systems mounted in it.
    pub one_file_system: bool,
    /// Whether to record extended attributes.
    pub xattrs: bool,
}

impl Place for DirectoryPlace {
    fn kind(&self) -> &'static str {
        "directory"
    }

    fn text(&self) -> String {
        self.directory.display().to_string()
    }

    fn written_as(&self) -> String {
        self.written_as.display().to_string()
    }

    fn if_empty(&self) -> IfEmpty {
        IfEmpty {
            looks_like: "a volume that is not mounted",
            remedy: "mount the volume",
            check: "which volume is mounted",
        }
    }

    fn with_everything(&self) -> Option<Arc<dyn Place>> {
        let everything = Self {
            filter: Filter::default(),
            ..self.clone()
        };
        (!self.filter.is_empty()).then(|| Arc::new(everything) as Arc<dyn Place>)
    }

    fn rules(&self) -> Rules {
        Rules {
            one_file_system: self.one_file_system,
            ..self.filter.rules().clone()
        }
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        let root = Root::open(&self.written_as);
        Ok(Arc::new(Directory {
            root: Arc::new(root.map_err(|error| self.unreadable(error))?),
            place: self.clone(),
        }))
    }
}

impl DirectoryPlace {
    fn unreadable(&self, error: Errno) -> Unusable {
        let at = self.written_as.display();
        let message = format!("cannot open `{at}`: {}", io::Error::from(error));
        let hint = "mount the volume, or take the directory out of `sources` or `include_dirs`";
        Unusable::new(Cause::Unreadable, message, hint)
    }

    fn replaced(&self) -> Unusable {
        let at = self.written_as.display();
        let message = format!(
            "`{at}` was replaced while the pass ran: the path leads to another directory or mount now"
        );
        let hint = "nothing was committed; run the pass again when the directory, its volume or the link to it stays as it is, or back up a snapshot of the file system";
        Unusable::new(Cause::Replaced, message, hint)
    }
}

/// A directory, open.
struct Directory {
    place: DirectoryPlace,
    root: Arc<Root>,
}

impl Directory {
    fn xattrs(&self, read: impl FnOnce() -> Result<Xattrs, Errno>) -> Result<Xattrs, Errno> {
        match self.place.xattrs {
            true => read(),
            false => Ok(Xattrs::new()),
        }
    }
}

impl Source for Directory {
    fn identity(&self) -> Option<String> {
        self.root.file_system()
    }

    fn records_xattrs(&self) -> bool {
        self.place.xattrs
    }

    fn items(&self, scope: &Scope) -> Result<Items, Unusable> {
        let filter = self.place.filter.clone();
        let options = WalkOptions {
            filter: match &scope.only {
                Some(only) => filter.only(Arc::clone(only)),
                None => filter,
            },
            one_file_system: self.place.one_file_system,
            threads: scope.threads,
        };
        let root = Stat::of(&*self.root).map_err(|error| self.place.unreadable(error))?;
        let walk = Walk::start(Arc::clone(&self.root), root, options);
        Ok(Box::new(walk.map_err(|error| Unusable::thread(&error))?))
    }

    fn open(&self, found: &Found) -> Result<Opened, Refused> {
        let (root, path) = (&self.root, found.name.as_path());
        Ok(match found.stat.metadata.kind {
            Kind::Symlink => Opened {
                stat: found.stat,
                target: Some(match root.read_link(path) {
                    // Something else has taken its place.
                    Err(Errno::INVAL) => return Err(Refused::Gone),
                    target => target.map_err(refused)?,
                }),
                xattrs: self.xattrs(|| root.link_xattrs(path)).map_err(refused)?,
                body: Body::None,
            },
            Kind::Directory => {
                let directory = root.open_directory(path).map_err(refused)?;
                let xattrs = self.xattrs(|| xattr::of_open(&directory));
                Opened {
                    stat: found.stat,
                    target: None,
                    xattrs: xattrs.map_err(unreadable)?,
                    body: Body::None,
                }
            }
            _ => {
                let file = root.open_file(path).map_err(refused)?;
                let xattrs = self.xattrs(|| xattr::of_open(&file));
                Opened {
                    stat: Stat::of(&file).map_err(unreadable)?,
                    target: None,
                    xattrs: xattrs.map_err(unreadable)?,
                    body: Body::File(file),
                }
            }
        })
    }

    fn recheck(&self, opened: &Opened) -> Result<Option<Stat>, Refused> {
        let Body::File(file) = &opened.body else {
            return Ok(None);
        };
        let stat = Stat::of(file).map_err(unreadable)?;
        let (now, then) = (stat.metadata, opened.stat.metadata);
        let is_same =
            (now.size, now.mtime_ns, now.ctime_ns) == (then.size, then.mtime_ns, then.ctime_ns);
        Ok((!is_same).then_some(stat))
    }

    fn confirm(&self) -> Result<(), Unusable> {
        match self.root.is_still_at(&self.place.written_as) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.place.replaced()),
            Err(error) => Err(self.place.unreadable(error)),
        }
    }

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.root.is_empty()?)
    }
}

/// What it means that something below the root could not be opened.
fn refused(error: Errno) -> Refused {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO => Refused::Gone,
        other => unreadable(other),
    }
}

/// What it means that something that is open could not be looked at.
fn unreadable(error: Errno) -> Refused {
    Refused::Unreadable(error.into())
}
