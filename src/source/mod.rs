//! What there is to back up: the [`Source`] that a pass goes through, whatever kind it is of, and the kinds.
//!
//! A kind of source is a [`Place`], which is made from the configuration, and the [`Source`] that opening it
//! gives, in a folder of its own. Nothing else knows of which kind a source is.

pub mod bucket;
pub mod directory;
pub mod filter;
mod remote;
pub(crate) mod session;
pub mod stat;
pub(crate) mod unusable;

use std::collections::HashSet;
use std::fmt::Debug;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::format::entry::{Entry, Kind};
use crate::format::name::{Name, Order};
use crate::format::object::ObjectMetadata;
use crate::format::rules::Rules;

use self::bucket::BucketPlace;
pub use self::remote::{Remote, Seen, is_like};
use self::stat::Stat;
pub use self::unusable::{Cause, IfEmpty, Unusable};

/// Names and values of extended attributes, in order of name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Where a source is, before it is opened.
pub trait Place: Debug + Send + Sync {
    /// What kind of thing it is, as commit records have it: `directory`, `bucket`.
    fn kind(&self) -> &'static str;

    /// The place as names and records have it. Of something in the file system its absolute path, or
    /// `--source PLACE` and absolute paths in `ls` do not find it.
    fn text(&self) -> String;

    /// The place as it was written, for messages.
    fn written_as(&self) -> String {
        self.text()
    }

    /// What to tell people where it has nothing in it, which a pass takes for a mistake unless
    /// `allow_empty` says otherwise.
    fn if_empty(&self) -> IfEmpty {
        IfEmpty {
            looks_like: "another one than was meant",
            remedy: "check where it is",
            check: "where it is",
        }
    }

    /// The same place with nothing left out, where its configuration leaves something out by name.
    fn with_everything(&self) -> Option<Arc<dyn Place>> {
        None
    }

    /// What its configuration leaves out, for commit records.
    fn rules(&self) -> Rules {
        Rules::default()
    }

    /// The bucket that it is, if it is one, for who puts something back.
    fn bucket(&self) -> Option<&BucketPlace> {
        None
    }

    /// The same place, of which a pass looks at these categories alone; `None` where it has none of them.
    fn with_categories(&self, _: &[String]) -> Option<Arc<dyn Place>> {
        None
    }

    /// Opens it. A pass does so once, on a thread that may block. What changes from now on counts as not yet seen.
    ///
    /// # Errors
    /// It does not exist, or cannot be opened ([`Cause::Unreadable`]).
    fn open(&self) -> Result<Arc<dyn Source>, Unusable>;
}

/// A source, open. It is used by several threads at once, which may block.
pub trait Source: Send + Sync {
    /// What tells it from another one that takes turns with it at the same place, where anything does.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Whether extended attributes are recorded.
    fn records_xattrs(&self) -> bool {
        false
    }

    /// Of what kind the names in it are, and with it the order of its items.
    fn order(&self) -> Order {
        Order::Path
    }

    /// Whether what was recorded so is looked for. What is not stays in the snapshot as it is, although it does not
    /// come up.
    fn looks_for(&self, _: &Entry) -> bool {
        true
    }

    /// The categories that a pass was asked for, where that is not everything.
    fn categories(&self) -> Option<Vec<String>> {
        None
    }

    /// Requests that going through it takes, of so many items.
    fn requests(&self, _items: u64) -> u64 {
        0
    }

    /// What people should know of how it was gone through, once it was.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// What exists, in its order. A tree begins with its root, and has a directory before what is in it. It never
    /// ends early: what cannot be looked at is an item that says so. A pass over sessions asks twice, for a survey first; what was
    /// given out may be opened while it goes on.
    ///
    /// # Errors
    /// The root cannot be looked at, or no thread be started.
    fn items(&self, scope: &Scope) -> Result<Items, Unusable>;

    /// Opens something that was found, to read it.
    ///
    /// # Errors
    /// It is gone, or cannot be read. Mind the difference: see [`Refused`].
    fn open(&self, found: &Found) -> Result<Opened, Refused>;

    /// Whether something has changed since it was opened, or looked at last: what it looks like now, if so.
    /// Asked right after a file was read to its end; what has changed is read once more, and after a few times
    /// given up as unreadable. `None` where contents cannot change while they are open.
    ///
    /// # Errors
    /// It is gone, or cannot be looked at: see [`Refused`].
    fn recheck(&self, opened: &Opened) -> Result<Option<Stat>, Refused>;

    /// Makes sure that the place still leads to what was opened: asked once, right before the commit, and where
    /// nothing was found. What was read is of one source in any case; whether it is the one that was meant, nobody
    /// can tell any more. Where nothing can take its place, it is enough that it can still be reached.
    ///
    /// # Errors
    /// Another one has taken its place ([`Cause::Replaced`]), or nothing has ([`Cause::Unreadable`]).
    fn confirm(&self) -> Result<(), Unusable>;

    /// Whether there is nothing in it, whatever the configuration leaves out.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn is_empty(&self) -> io::Result<bool>;
}

/// What a source has, in order.
pub type Items = Box<dyn Iterator<Item = Item> + Send>;

/// What of a source is looked at, and how.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Names of directories in the root: only these and what is below them are given out, besides the root
    /// itself. What is no directory is left out, even if it has such a name. Everything, if not set.
    pub only: Option<Arc<HashSet<Vec<u8>>>>,
    /// Threads that may work ahead.
    pub threads: usize,
    /// Requests that may be under way at once, of a source that is gone through by requests.
    pub requests: usize,
    /// Names that divide what the last snapshot had into about equal parts, for sources that can be gone through in
    /// parts. Hints: what exists may be divided otherwise by now.
    pub cuts: Vec<Name>,
}

/// What a source comes across.
#[derive(Debug)]
pub enum Item {
    /// Something exists; of a directory, what is in it follows.
    Found(Found),
    /// Something was listed, and gone when it was looked at. As with [`Refused::Gone`], it leaves the snapshot.
    Vanished(Name),
    /// Something exists and cannot be looked at, for this reason: nothing is known of it or of what is below.
    /// It is counted and told, and the pass is incomplete. The last version stays, of it and of everything
    /// below it, marked as unreadable; what the last snapshot does not have is recorded by its name alone,
    /// marked likewise.
    ///
    /// With the path of a directory that was given out, it means that this directory cannot be listed. Right
    /// after it, nothing of what is in it is known, and the directory itself is marked; later, what comes of
    /// it after the item given out last is not known.
    ///
    /// Not for an object, of which a listing has told enough: see [`Found::refused`].
    Unreadable(Name, String),
    /// It cannot be gone through any further, so that nothing is known of what else exists. The pass commits
    /// nothing of this source.
    Broken(Unusable),
}

/// Something that exists, and what it looks like.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is: relative to the root, or in the bucket.
    pub name: Name,
    /// What it looks like.
    pub stat: Stat,
    /// An object: what the bucket says of it besides.
    pub object: Option<Box<ObjectMetadata>>,
    /// A directory that is not entered, and why.
    pub not_entered: Option<NotEntered>,
    /// Something that was listed and could not be looked at any closer, and why: opening it is refused for the same
    /// reason.
    pub refused: Option<String>,
}

impl Found {
    /// Something in a tree.
    #[must_use]
    pub fn at(name: impl Into<Name>, stat: Stat) -> Self {
        Self {
            name: name.into(),
            stat,
            object: None,
            not_entered: None,
            refused: None,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.stat.metadata.kind == Kind::Directory
    }
}

/// Why a directory is not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotEntered {
    /// Another file system is mounted on it.
    OtherFileSystem,
    /// It is the same directory as one above it, by a bind mount.
    Loop,
}

/// Something that was opened.
#[derive(Debug)]
pub struct Opened {
    /// What it looked like then. It may be of another kind than what was found.
    pub stat: Stat,
    /// Extended attributes, where they are recorded.
    pub xattrs: Xattrs,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// Its contents.
    pub body: Body,
}

/// Contents.
#[derive(Debug)]
pub enum Body {
    /// It has none.
    None,
    /// A file, which is read at offsets, by more than one attempt if it changes meanwhile.
    File(OwnedFd),
    /// Contents that come as they are made. Their length is known when they end, whatever `Stat` says.
    Stream(Box<dyn Produce>),
    /// Contents of an object, which the store of the backups takes itself where it can.
    Remote(Box<Remote>),
}

/// Makes contents as they are read.
pub trait Produce: Read + Debug + Send {
    /// Says whether that was all, once the stream has ended: its end alone is not success.
    ///
    /// # Errors
    /// Something is missing. What was read is not kept. [`Refused::Gone`] only if the item does not exist any
    /// more: it leaves the snapshot. Whatever broke off is [`Refused::Unreadable`].
    fn finish(self: Box<Self>) -> Result<(), Refused>;

    /// Ends it early: nobody wants the rest.
    fn abort(self: Box<Self>);
}

/// Why something was not read. Which of the two it is decides what the snapshot keeps.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It does not exist any more, or is something else by now. **It leaves the snapshot**, whatever the last
    /// one had of it, with a warning, and the pass still counts as complete, as long as not too much goes.
    /// Never for what exists and could not be read, nor where nobody knows.
    #[error("it is gone, or something else is there")]
    Gone,
    /// It exists, or may exist, and could not be read, or not to its end. The snapshot keeps what the last one
    /// had of it, marked with this error, and the pass is incomplete. If in doubt, it is this.
    #[error(transparent)]
    Unreadable(io::Error),
}
