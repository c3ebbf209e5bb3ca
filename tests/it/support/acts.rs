//! What the program does with files, in the order in which it begins to.

use std::ffi::OsStr;
use std::fs::{File, metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Output;
use super::calls::{Answer, CHANGES, Call, READS, Waiting, watched_among};

/// A file or directory, whatever it is called: its device and its number there.
pub(crate) type Inode = (u64, u64);

/// Something that is done with a file or directory. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    SyncAll,
    Sync(Inode),
    /// Gives a file this name.
    Name(Inode, PathBuf),
    /// Tries to; it may be there.
    MakeDirectory(PathBuf),
    /// Drops what is in memory of it.
    Drop(Inode),
    Read(Inode),
    Write(Inode),
}

/// Runs a command and tells what it is about to do each time.
pub(crate) fn decided(command: &mut Command, mut decide: impl FnMut(Act) -> Answer) -> Output {
    let calls: Vec<Call> = CHANGES.into_iter().chain(READS).collect();
    watched_among(command, &calls, |call| match act(call) {
        Some(act) => decide(act),
        None => Answer::Proceed,
    })
}

/// Runs a command and returns what it has done.
pub(crate) fn of(command: &mut Command) -> (Output, Vec<Act>) {
    let mut acts = Vec::new();
    let output = decided(command, |act| {
        acts.push(act);
        Answer::Proceed
    });
    (output, acts)
}

/// What a file or directory is.
#[track_caller]
pub(crate) fn inode(path: &Path) -> Inode {
    inode_of(path).unwrap_or_else(|| panic!("{path:?}"))
}

fn inode_of(path: &Path) -> Option<Inode> {
    let found = metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// What a call does; `None` if it is none of these, or the program does not live any more.
fn act(call: &Waiting) -> Option<Act> {
    let [first, second, third, fourth, fifth, _] = call.arguments;
    let file = || inode_of(&opened(call, first));
    Some(match call.number {
        libc::SYS_syncfs => Act::SyncAll,
        libc::SYS_fsync => Act::Sync(file()?),
        libc::SYS_fadvise64 => Act::Drop(file()?),
        libc::SYS_pread64 => Act::Read(file()?),
        libc::SYS_pwrite64 => Act::Write(file()?),
        libc::SYS_mkdirat => Act::MakeDirectory(path(call, first, second)?),
        libc::SYS_linkat => {
            let name = text(call, second)?;
            let by_descriptor = fifth & u64::from(libc::AT_EMPTY_PATH.cast_unsigned()) != 0;
            let file = match name.strip_prefix("/proc/self/fd") {
                Ok(number) => Path::new(&format!("/proc/{}/fd", call.process)).join(number),
                Err(_) if by_descriptor => opened(call, first),
                Err(_) => path(call, first, second)?,
            };
            Act::Name(inode_of(&file)?, path(call, third, fourth)?)
        }
        _ => return None,
    })
}

/// Where something that the program has opened is to be found.
fn opened(call: &Waiting, descriptor: u64) -> PathBuf {
    format!("/proc/{}/fd/{descriptor}", call.process).into()
}

/// A path in a directory that the program has opened.
fn path(call: &Waiting, directory: u64, name: u64) -> Option<PathBuf> {
    let directory = std::fs::read_link(opened(call, directory)).ok()?;
    Some(directory.join(text(call, name)?))
}

/// A path in the program's memory.
fn text(call: &Waiting, mut address: u64) -> Option<PathBuf> {
    const PAGE: u64 = 4096;
    let memory = File::open(format!("/proc/{}/mem", call.process)).ok()?;
    let mut text = Vec::new();
    loop {
        let mut bytes = vec![0; (PAGE - address % PAGE).try_into().ok()?];
        memory.read_exact_at(&mut bytes, address).ok()?;
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            text.extend(&bytes[..end]);
            return Some(OsStr::from_bytes(&text).into());
        }
        address += bytes.len() as u64;
        text.extend(bytes);
    }
}
