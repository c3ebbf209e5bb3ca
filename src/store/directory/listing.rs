//! What is in the store, in order of the bytes of keys.
//!
//! That is the order of a walk in which a directory's name ends in `/`. Keys that are no paths are merged in;
//! there are few of them.

use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::keys::{self, HASHED, NAME, VERSIONS};
use super::making::read_at;
use super::root::{Root, stat};
use super::trouble::{Result, Trouble};
use super::versions::{Version, current};

/// The longest key, by far.
const KEY_BYTES: usize = 4096;

/// What to list; see [`Listing`](crate::store::Listing).
pub(super) struct Scope {
    pub(super) prefix: String,
    pub(super) start_after: Option<String>,
    pub(super) folders: bool,
}

/// A listing under way.
pub(super) struct Walk {
    scope: Scope,
    /// Directories that are being listed, the deepest last: what is left in each, backwards.
    open: Vec<Vec<Name>>,
    /// Keys that are no paths, backwards.
    hashed: Vec<String>,
}

/// Something in a directory: the whole key, with `/` at the end if others lie below it.
type Name = String;

/// What comes next.
pub(super) enum Listed {
    Object(String, Box<Version>),
    Folder(String),
}

impl Walk {
    pub(super) fn begin(root: &Root, scope: Scope) -> Result<Self> {
        let above = scope
            .prefix
            .rfind('/')
            .map_or("", |at| &scope.prefix[..=at]);
        let mut walk = Self {
            open: Vec::new(),
            hashed: hashed(root)?,
            scope: Scope {
                prefix: scope.prefix.clone(),
                ..scope
            },
        };
        let above = above.to_owned();
        walk.hashed.retain(|key| is_in(&walk.scope, key));
        walk.hashed.sort_unstable_by(|a, b| b.cmp(a));
        let can_be =
            above.is_empty() || keys::path_of(above.trim_end_matches('/'), false).is_some();
        if can_be {
            let names = walk.names(root, &above)?;
            walk.open.push(names);
        }
        Ok(walk)
    }

    /// The next object or folder.
    pub(super) fn next(&mut self, root: &Root) -> Result<Option<Listed>> {
        loop {
            while self.open.last().is_some_and(Vec::is_empty) {
                self.open.pop();
            }
            let name = self.open.last().and_then(|names| names.last());
            if let Some(key) = self.hashed.last()
                && name.is_none_or(|name| key < name)
            {
                let key = self.hashed.pop().unwrap_or_default();
                if let Some(folder) = self.folder(&key) {
                    let is_same = |other: &String| other.starts_with(&folder);
                    while self.hashed.last().is_some_and(is_same) {
                        self.hashed.pop();
                    }
                    // The same folder may have a path as well, and comes next then.
                    if name.is_none_or(|name| *name != folder) {
                        return Ok(Some(Listed::Folder(folder)));
                    }
                    continue;
                }
                match current(root, &keys::hashed(&key)) {
                    Ok(version) => return Ok(Some(Listed::Object(key, Box::new(version)))),
                    Err(Trouble::System(Errno::NOENT)) => continue,
                    Err(error) => return Err(error),
                }
            }
            let Some(name) = self.open.last_mut().and_then(Vec::pop) else {
                return Ok(None);
            };
            if !name.ends_with('/') {
                match current(root, Path::new(&name)) {
                    Ok(version) => return Ok(Some(Listed::Object(name, Box::new(version)))),
                    Err(Trouble::System(Errno::NOENT)) => continue,
                    Err(error) => return Err(error),
                }
            }
            if self.scope.folders && name.starts_with(&self.scope.prefix) {
                if has_objects(root, &name)? {
                    return Ok(Some(Listed::Folder(name)));
                }
                continue;
            }
            let names = self.names(root, &name)?;
            self.open.push(names);
        }
    }

    /// What a key is folded into.
    fn folder(&self, key: &str) -> Option<String> {
        let rest = key.strip_prefix(&self.scope.prefix)?;
        let end = rest.find('/').filter(|_| self.scope.folders)?;
        Some(key[..=self.scope.prefix.len() + end].to_owned())
    }

    /// What is in a directory and in the scope, backwards.
    fn names(&self, root: &Root, directory: &str) -> Result<Vec<Name>> {
        let mut names = names(root, directory)?;
        names.retain(|name| match name.ends_with('/') {
            true => {
                let prefix = &self.scope.prefix;
                let is_on_the_way = name.starts_with(prefix) || prefix.starts_with(&**name);
                let is_over = |after: &String| name <= after && !after.starts_with(&**name);
                is_on_the_way && !self.scope.start_after.as_ref().is_some_and(is_over)
            }
            false => is_in(&self.scope, name),
        });
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }
}

/// Whether a listing has a key.
fn is_in(scope: &Scope, key: &str) -> bool {
    let is_after = scope
        .start_after
        .as_ref()
        .is_none_or(|after| key > &**after);
    is_after && key.starts_with(&scope.prefix)
}

/// What is in a directory, with its whole key. Nothing, where there is none.
fn names(root: &Root, directory: &str) -> Result<Vec<Name>> {
    let opened = match root.enter(Path::new(directory)) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => {
            return Ok(Vec::new());
        }
        opened => opened?,
    };
    let mut names = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        // Keys are text; what is not was put there by somebody else.
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        let is_own = directory.is_empty() && name.starts_with('%');
        if matches!(name, "." | "..") || is_own || name.ends_with(VERSIONS) {
            continue;
        }
        let key = format!("{directory}{name}");
        let kind = match entry.file_type() {
            FileType::Unknown => kind_of(root, Path::new(&key))?,
            kind => kind,
        };
        match kind {
            FileType::Directory => names.push(format!("{key}/")),
            FileType::RegularFile | FileType::Symlink => names.push(key),
            _ => {}
        }
    }
    Ok(names)
}

fn kind_of(root: &Root, path: &Path) -> Result<FileType> {
    match root.look(path) {
        Ok(file) => Ok(FileType::from_raw_mode(stat(&file)?.stx_mode.into())),
        Err(Errno::LOOP) => Ok(FileType::Symlink),
        Err(Errno::NOENT | Errno::NXIO) => Ok(FileType::Unknown),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is an object anywhere in a directory: one that has none is no folder.
fn has_objects(root: &Root, directory: &str) -> Result<bool> {
    let names = names(root, directory)?;
    if names.iter().any(|name| !name.ends_with('/')) {
        return Ok(true);
    }
    for name in names {
        if has_objects(root, &name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All keys that are no paths.
fn hashed(root: &Root) -> Result<Vec<String>> {
    let opened = match root.enter(Path::new(HASHED)) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut keys = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or_default();
        if !name.ends_with(NAME) {
            continue;
        }
        let path: PathBuf = [HASHED, name].iter().collect();
        let mut key = vec![0; KEY_BYTES];
        let length = read_at(&root.look(&path)?, &mut key, 0)?;
        key.truncate(length);
        if let Ok(key) = String::from_utf8(key) {
            keys.push(key);
        }
    }
    Ok(keys)
}
