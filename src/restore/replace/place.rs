//! Where the tree is that is to be replaced, and whether it can be exchanged as a whole.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;

use super::{kept, mounts};
use crate::format::path::EntryPath;
use crate::restore::target;
use crate::source::stat::Stat;

/// As many links on the way as the kernel follows.
const MOST_LINKS: usize = 40;

/// Why a tree cannot be exchanged as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// It is where a file system begins.
    #[error("`{0}` is a mount point, which cannot be renamed")]
    MountPoint(String),
    /// File systems begin below it.
    #[error("`{0}` is mounted below it, and would go with the old tree")]
    MountBelow(String),
    /// Nothing can be moved there from beside it.
    #[error("`{0}` is on another file system than the directory it is in")]
    OtherFileSystem(String),
    /// Nothing can be made beside it.
    #[error("`{directory}` is not writable: {error}")]
    ParentNotWritable {
        /// The directory that it is in.
        directory: String,
        /// What the system says.
        error: String,
    },
    /// The old tree could not be called after it.
    #[error("the name of `{0}` is too long for an old tree of that name beside it")]
    LongName(String),
    /// Only its owner may rename it.
    #[error("`{0}` has the sticky bit, so only the owner of what is in it may rename that")]
    Sticky(String),
}

/// Why a tree cannot be replaced at all.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Nothing is beside it, and everything is below it.
    #[error("the root directory cannot be replaced")]
    Root,
    /// A link that leads nowhere.
    #[error("`{0}` is a symbolic link that leads nowhere")]
    Dangling(String),
    /// The system refuses.
    #[error("cannot look at `{path}`: {error}")]
    Refused {
        /// What exactly.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
}

/// A directory that is to be replaced, or is to be.
pub(super) struct Place {
    /// Without symbolic links, wherever the way to it has some.
    pub(super) path: PathBuf,
    pub(super) name: OsString,
    /// What is there, if anything.
    pub(super) existing: Option<OwnedFd>,
    pub(super) hindrance: Option<Hindrance>,
    /// Mount points below it, relative to it.
    pub(super) mounts: Vec<EntryPath>,
}

impl Place {
    /// Looks at the place a path leads to.
    pub(super) fn find(path: &Path) -> Result<Self, PlaceError> {
        let refused = |path: &Path, error: std::io::Error| PlaceError::Refused {
            path: path.display().to_string(),
            error,
        };
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self::free(path, 0);
            }
            Err(error) => return Err(refused(path, error)),
        };
        let Some(name) = real.file_name().map(OsStr::to_owned) else {
            return Err(PlaceError::Root);
        };
        let fd = target::open(&real).map_err(|error| refused(&real, error.into()))?;
        let mut mounts = mounts::at_or_below(&real);
        let is_mount = mounts.first() == Some(&real);
        mounts.retain(|mount| *mount != real);
        let hindrance = match (is_mount, mounts.first()) {
            (true, _) => Some(Hindrance::MountPoint(real.display().to_string())),
            (_, Some(mount)) => Some(Hindrance::MountBelow(mount.display().to_string())),
            _ => hindrance(&real, &fd).map_err(|error| refused(&real, error.into()))?,
        };
        let below = mounts.iter().filter_map(|mount| {
            let relative = mount.strip_prefix(&real).ok()?;
            EntryPath::parse(relative.as_os_str().as_bytes()).ok()
        });
        Ok(Self {
            mounts: below.collect(),
            path: real,
            name,
            existing: Some(fd),
            hindrance,
        })
    }

    /// A place where there is nothing yet, or nothing at the moment: a link to it leads there all the same.
    fn free(path: &Path, links: usize) -> Result<Self, PlaceError> {
        let shown = path.display().to_string();
        if let Ok(to) = std::fs::read_link(path) {
            let above = path.parent().unwrap_or(Path::new("/"));
            return match links < MOST_LINKS {
                true => Self::free(&above.join(to), links + 1),
                false => Err(PlaceError::Dangling(shown)),
            };
        }
        let refused = |error| PlaceError::Refused {
            path: shown.clone(),
            error,
        };
        let absolute = std::path::absolute(path).map_err(refused)?;
        let Some(name) = absolute.file_name().map(OsStr::to_owned) else {
            return Err(refused(Errno::NOENT.into()));
        };
        let above = absolute.parent().unwrap_or(Path::new("/"));
        let above = std::fs::canonicalize(above).unwrap_or_else(|_| above.to_owned());
        Ok(Self {
            path: above.join(&name),
            name,
            existing: None,
            hindrance: None,
            mounts: Vec::new(),
        })
    }

    /// The directory that it is in.
    pub(super) fn parent(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The directory in which names are put in place: that one, or the tree itself.
    pub(super) fn holder_path(&self, whole: bool) -> PathBuf {
        match whole {
            true => self.parent().to_owned(),
            false => self.path.clone(),
        }
    }

    /// The same, open.
    pub(super) fn open_holder(&self, whole: bool) -> std::io::Result<OwnedFd> {
        match (&self.existing, whole) {
            (Some(existing), false) => existing.try_clone(),
            _ => Ok(target::open(self.parent())?),
        }
    }
}

fn hindrance(path: &Path, existing: &OwnedFd) -> rustix::io::Result<Option<Hindrance>> {
    let above = path.parent().unwrap_or(Path::new("/"));
    let shown = above.display().to_string();
    let name = path.file_name().unwrap_or_default();
    if name.len() > kept::LONGEST_NAME {
        return Ok(Some(Hindrance::LongName(path.display().to_string())));
    }
    let parent = match target::open(above) {
        Ok(parent) => parent,
        Err(error) => return Ok(Some(not_writable(shown, error))),
    };
    if let Err(error) = target::check_writable(&parent) {
        return Ok(Some(not_writable(shown, error)));
    }
    let (stat, above) = (Stat::of(existing)?, Stat::of(&parent)?);
    let user = rustix::process::geteuid();
    let is_sticky = Mode::from_raw_mode(above.metadata.mode).contains(Mode::SVTX);
    let is_owner = [stat.metadata.uid, above.metadata.uid].contains(&user.as_raw());
    Ok(match () {
        () if stat.dev != above.dev => Some(Hindrance::OtherFileSystem(path.display().to_string())),
        () if is_sticky && !is_owner && !user.is_root() => Some(Hindrance::Sticky(shown)),
        () => None,
    })
}

fn not_writable(directory: String, error: Errno) -> Hindrance {
    Hindrance::ParentNotWritable {
        directory,
        error: std::io::Error::from(error).to_string(),
    }
}
