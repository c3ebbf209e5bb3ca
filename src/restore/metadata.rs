//! Giving a restored file, link or directory the metadata of its entry.

use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, lsetxattr, utimensat,
};
use rustix::io;

use crate::format::entry::{Entry, Kind};
use crate::source::directory::root::path_in;
use crate::source::directory::xattr;
use crate::source::stat::Stat;

/// What the system refused to give. No step keeps the next one from being tried: a file server
/// without attributes still has modes.
#[derive(Debug, Default, thiserror::Error)]
#[error("without all of its metadata: {}", .0.join(", "))]
pub(super) struct NotGiven(Vec<String>);

impl NotGiven {
    /// Whether a step was done.
    fn done(&mut self, step: impl Display, result: io::Result<()>) -> bool {
        if let Err(error) = result {
            let error = std::io::Error::from(error);
            self.0.push(format!("{step}: {error}"));
            return false;
        }
        true
    }

    fn or_nothing(self) -> Result<(), Self> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(self),
        }
    }
}

/// For something that is open. The owner goes first, because changing it clears setuid and setgid;
/// the times go last, because everything else may change them. What is as it should be is not given: on
/// a file server each call is a round trip.
pub(super) fn of_open(file: &OwnedFd, entry: &Entry, owners: bool) -> Result<(), NotGiven> {
    let mut refused = NotGiven::default();
    let mut mode = Mode::from_raw_mode(entry.metadata.mode);
    let mut stat = Stat::of(file).ok();
    if owners && !belongs_to_its_owner(stat.as_ref(), entry) {
        let (uid, gid) = owner(entry);
        refused.done("owner", fchown(file, uid, gid));
        stat = Stat::of(file).ok();
    }
    if mode.intersects(Mode::SUID | Mode::SGID) && !belongs_to_its_owner(stat.as_ref(), entry) {
        // Nothing is run as somebody it did not belong to.
        mode -= Mode::SUID | Mode::SGID;
    }
    for (name, value) in &entry.xattrs {
        let set = fsetxattr(file, &name[..], value, XattrFlags::empty());
        refused.done(attribute(name), set);
    }
    // An attribute may be a list of who may do what, which changes the mode.
    let has_mode = entry.xattrs.is_empty()
        && stat.is_some_and(|stat| stat.metadata.mode == mode.as_raw_mode());
    if !has_mode {
        refused.done("mode", fchmod(file, mode));
    }
    refused.done("times", give_time(file, entry.metadata.mtime_ns));
    refused.or_nothing()
}

/// Gives something that is open a time of modification, and of access.
pub(super) fn give_time(file: &OwnedFd, mtime_ns: i64) -> io::Result<()> {
    futimens(file, &times(mtime_ns))
}

/// Whether something is as it would be if it were given the metadata of an entry, attributes aside.
pub(super) fn is_given(stat: &Stat, entry: &Entry, owners: bool) -> bool {
    let (there, wanted) = (&stat.metadata, &entry.metadata);
    let is_own = (there.uid, there.gid) == (wanted.uid, wanted.gid);
    let privileges = Mode::SUID | Mode::SGID;
    let mode = match is_own {
        true => wanted.mode,
        false => wanted.mode & !privileges.as_raw_mode(),
    };
    (is_own || !owners)
        && there.mtime_ns == wanted.mtime_ns
        && (there.mode == mode || wanted.kind == Kind::Symlink)
}

/// Whether a directory is as it would be but for its time and for what its owner may do with it.
pub(super) fn is_almost_given(directory: &OwnedFd, entry: &Entry, owners: bool) -> bool {
    let Ok(mut stat) = Stat::of(directory) else {
        return false;
    };
    let mut entry = entry.clone();
    let of_owner = Mode::RWXU.as_raw_mode();
    stat.metadata.mode |= of_owner;
    entry.metadata.mode |= of_owner;
    stat.metadata.mtime_ns = entry.metadata.mtime_ns;
    is_given(&stat, &entry, owners)
        && (entry.xattrs.is_empty() || has_attributes(directory, &entry))
}

/// Whether something that is open has the attributes of an entry.
pub(super) fn has_attributes(file: impl AsFd, entry: &Entry) -> bool {
    let there = xattr::of_open(file);
    there.is_ok_and(|there| entry.xattrs.iter().all(|wanted| there.contains(wanted)))
}

/// For a symbolic link, which cannot be opened and has no mode of its own.
pub(super) fn of_link(
    directory: &OwnedFd,
    name: &[u8],
    entry: &Entry,
    owners: bool,
) -> Result<(), NotGiven> {
    let mut refused = NotGiven::default();
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if owners {
        let (uid, gid) = owner(entry);
        refused.done("owner", chownat(directory, name, uid, gid, flags));
    }
    if !entry.xattrs.is_empty() {
        let path = path_in(directory.as_fd(), name);
        for (name, value) in &entry.xattrs {
            let set = lsetxattr(&path, &name[..], value, XattrFlags::empty());
            refused.done(attribute(name), set);
        }
    }
    let times = times(entry.metadata.mtime_ns);
    refused.done("times", utimensat(directory, name, &times, flags));
    refused.or_nothing()
}

fn attribute(name: &[u8]) -> String {
    format!("attribute `{}`", String::from_utf8_lossy(name))
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    let Entry { metadata, .. } = entry;
    (
        Some(Uid::from_raw(metadata.uid)),
        Some(Gid::from_raw(metadata.gid)),
    )
}

/// Whether the owner is the entry's, whoever has given it that.
fn belongs_to_its_owner(stat: Option<&Stat>, entry: &Entry) -> bool {
    let Entry { metadata, .. } = entry;
    stat.is_some_and(|stat| (stat.metadata.uid, stat.metadata.gid) == (metadata.uid, metadata.gid))
}

/// The access time is not recorded; it becomes that of the modification.
fn times(mtime_ns: i64) -> Timestamps {
    let mtime = Timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: mtime,
        last_modification: mtime,
    }
}
