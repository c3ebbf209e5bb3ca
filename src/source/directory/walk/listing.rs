//! Listing a directory and looking at what is in it, a chunk at a time.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, RawDir};
use rustix::io::{self, Errno};

use super::node::{Node, Visit, WalkOptions, unreadable};
use crate::format::entry::Kind;
use crate::format::path::EntryPath;
use crate::source::directory::root::Root;
use crate::source::stat::Stat;
use crate::source::{Found, Item, NotEntered};

/// Names looked at in one go: enough to make the bookkeeping negligible, few enough to spread over
/// threads.
const CHUNK_NAMES: usize = 256;

/// Size of the buffer for `getdents`; large directories on network file systems profit.
const BUFFER_BYTES: usize = 64 << 10;

/// The sorted names of a directory.
#[derive(Debug)]
pub(super) struct Listing {
    node: Arc<Node>,
    fd: OwnedFd,
    bytes: Vec<u8>,
    names: Vec<ListedName>,
}

#[derive(Debug, Clone, Copy)]
struct ListedName {
    offset: u32,
    length: u8,
    hint: FileType,
}

/// What of a listing has not been looked at yet.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    listing: Arc<Listing>,
    from: usize,
}

/// Items of one directory in order, and the rest of it.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) items: Vec<Visit>,
    pub(super) rest: Option<Rest>,
}

/// Why a directory was not listed.
pub(super) enum Unlisted {
    /// It has more names than the caller wants.
    TooMany,
    Failed(Errno),
}

impl From<Errno> for Unlisted {
    fn from(error: Errno) -> Self {
        Self::Failed(error)
    }
}

impl Rest {
    /// The path of the next name, which says where in the walk the rest belongs.
    pub(super) fn position(&self) -> EntryPath {
        self.listing.path(self.from)
    }

    /// The directory that it is the rest of.
    pub(super) fn directory(&self) -> &EntryPath {
        &self.listing.node.path
    }

    /// Looks at the next chunk.
    ///
    /// # Errors
    /// Nothing in the directory can be looked at: it may be read and not searched.
    pub(super) fn stat(self, options: &WalkOptions, root_dev: u64) -> Listed {
        let Self { listing, from } = self;
        let to = (from + CHUNK_NAMES).min(listing.names.len());
        let mut items = Vec::with_capacity(to - from);
        for at in from..to {
            items.extend(listing.look_at(at, options, root_dev)?);
        }
        let rest = (to < listing.names.len()).then_some(Rest { listing, from: to });
        Ok(Chunk { items, rest })
    }
}

impl Listing {
    /// Reads and sorts the names of a directory.
    pub(super) fn read(root: &Root, node: Arc<Node>, most: usize) -> Result<Rest, Unlisted> {
        let fd = root.open_directory(&node.path)?;
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let (mut bytes, mut names) = (Vec::new(), Vec::new());
        let mut entries = RawDir::new(&fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == most {
                return Err(Unlisted::TooMany);
            }
            names.push(ListedName {
                offset: u32::try_from(bytes.len()).map_err(|_| Errno::NOMEM)?,
                length: u8::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?,
                hint: entry.file_type(),
            });
            bytes.extend_from_slice(name);
        }
        names.sort_unstable_by(|a, b| a.of(&bytes).cmp(b.of(&bytes)));
        // A directory that changes while it is read may list a name twice.
        names.dedup_by(|a, b| a.of(&bytes) == b.of(&bytes));
        let listing = Arc::new(Self {
            node,
            fd,
            bytes,
            names,
        });
        Ok(Rest { listing, from: 0 })
    }

    fn path(&self, at: usize) -> EntryPath {
        match self.names.get(at) {
            Some(name) => {
                let path = self.node.path.join(name.of(&self.bytes));
                path.expect("the kernel gives out names, and dots were left out")
            }
            None => self.node.path.clone(),
        }
    }

    fn look_at(
        &self,
        at: usize,
        options: &WalkOptions,
        root_dev: u64,
    ) -> io::Result<Option<Visit>> {
        let name = self.names[at];
        let path = self.path(at);
        let filter = &options.filter;
        let is_known = name.hint != FileType::Unknown;
        let is_directory = name.hint == FileType::Directory;
        if is_known && !filter.is_empty() && filter.leaves_out(&path, is_directory) {
            return Ok(None);
        }
        let stat = match Stat::at(&self.fd, name.of(&self.bytes)) {
            Ok(stat) => stat,
            // Whatever it is.
            Err(_)
                if [true, false]
                    .iter()
                    .all(|kind| filter.leaves_out(&path, *kind)) =>
            {
                return Ok(None);
            }
            Err(Errno::ACCESS) if self.is_closed() => return Err(Errno::ACCESS),
            Err(error) => {
                let item = match error {
                    Errno::NOENT => Item::Vanished(path.into()),
                    error => unreadable(path, error),
                };
                return Ok(Some(Visit { item, child: None }));
            }
        };
        let is_directory = stat.metadata.kind == Kind::Directory;
        if !is_known && filter.leaves_out(&path, is_directory) {
            return Ok(None);
        }
        let not_entered = if !is_directory {
            None
        } else if options.one_file_system && stat.dev != root_dev {
            Some(NotEntered::OtherFileSystem)
        } else if self.node.is_or_lies_below(stat.dev, stat.ino) {
            Some(NotEntered::Loop)
        } else {
            None
        };
        let child = (is_directory && not_entered.is_none()).then(|| {
            Arc::new(Node {
                path: path.clone(),
                dev: stat.dev,
                ino: stat.ino,
                parent: Some(Arc::clone(&self.node)),
            })
        });
        let found = Found {
            not_entered,
            ..Found::at(path, stat)
        };
        Ok(Some(Visit {
            item: Item::Found(found),
            child,
        }))
    }

    /// Whether nothing in the directory can be looked at, so that it is the directory that says no.
    fn is_closed(&self) -> bool {
        Stat::at(&self.fd, b".") == Err(Errno::ACCESS)
    }
}

impl ListedName {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let from = self.offset as usize;
        &bytes[from..from + usize::from(self.length)]
    }
}

/// What the pool wants to know of a finished chunk.
impl Chunk {
    pub(super) fn directories(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.items.iter().filter_map(|step| step.child.as_ref())
    }

    /// How much it counts against the budget: its items, and a share for the names behind it.
    pub(super) fn weight(&self) -> usize {
        let waiting = |rest: &Rest| (rest.listing.names.len() - rest.from) / 8;
        16 + self.items.len() + self.rest.as_ref().map_or(0, waiting)
    }
}

pub(super) type Listed = io::Result<Chunk>;
