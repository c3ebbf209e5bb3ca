//! Directories with everything in them that a file system allows, and comparing them.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, mknodat, utimensat,
};
use sha2::{Digest, Sha256};

use super::{noise, os};

/// Everything about an entry that a restore must bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: &'static str,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime_ns: i128,
    pub(crate) size: u64,
    pub(crate) sha256: Option<String>,
    pub(crate) target: Option<PathBuf>,
    /// The first path in order that is the same file.
    pub(crate) linked_with: Option<PathBuf>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A directory, by path.
pub(crate) type Tree = BTreeMap<PathBuf, Facts>;

/// Reads a directory. Sockets, pipes and devices are left out: they are not restored.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes = BTreeMap::new();
    visit(root, Path::new(""), &mut tree, &mut inodes);
    tree
}

fn visit(root: &Path, path: &Path, tree: &mut Tree, inodes: &mut BTreeMap<(u64, u64), PathBuf>) {
    let full = root.join(path);
    let metadata = std::fs::symlink_metadata(&full).unwrap();
    let kind = metadata.file_type();
    let (name, sha256, target) = if kind.is_dir() {
        ("directory", None, None)
    } else if kind.is_symlink() {
        ("symlink", None, Some(std::fs::read_link(&full).unwrap()))
    } else if kind.is_file() {
        let digest = Sha256::digest(std::fs::read(&full).unwrap());
        ("file", Some(hex::encode(digest)), None)
    } else {
        return;
    };
    let linked_with = (kind.is_file() && metadata.nlink() > 1)
        .then(|| {
            let first = inodes.entry((metadata.dev(), metadata.ino()));
            first.or_insert_with(|| path.to_owned()).clone()
        })
        .filter(|first| first != path);
    let facts = Facts {
        kind: name,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        size: if kind.is_file() { metadata.len() } else { 0 },
        sha256,
        target,
        linked_with,
        xattrs: xattrs(&full),
    };
    tree.insert(path.to_owned(), facts);
    if kind.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(&full)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            visit(root, &path.join(name), tree, inodes);
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 4096];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else {
        return BTreeMap::new();
    };
    let names = names[..length].split(|b| *b == 0).filter(|n| !n.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

/// Fails with what differs, by path.
#[track_caller]
pub(crate) fn assert_same(expected: &Tree, found: &Tree) {
    let mut differences = String::new();
    for path in expected
        .keys()
        .chain(found.keys().filter(|path| !expected.contains_key(*path)))
    {
        let (expected, found) = (expected.get(path), found.get(path));
        if expected != found {
            differences += &format!("{path:?}:\n  expected {expected:?}\n  found    {found:?}\n");
        }
    }
    assert!(differences.is_empty(), "trees differ:\n{differences}");
}

/// Sets a time of modification that a careless restore would lose: nanoseconds, and not now.
pub(crate) fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Makes a directory with one of everything: awkward names, modes and times, links of both kinds,
/// holes, a large file, empty things, extended attributes, things that are not backed up.
pub(crate) fn make_one_of_everything(root: &Path) {
    let write = |path: &str, bytes: &[u8]| std::fs::write(root.join(path), bytes).unwrap();
    for directory in [
        "a",
        "a-b",
        "a/deep/er/still",
        "empty",
        "secret",
        "sticky",
        "links",
    ] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    write("a/plain.txt", b"plain\n");
    write("a/empty", b"");
    write("a/deep/er/still/x", b"deep\n");
    write("a-b/sorts between a and a.b", b"1");
    write("a.b", b"2");
    write("script", b"#!/bin/sh\n");
    write("secret/key", b"private\n");
    write(
        "with space & <xml> \"quotes\" 100% +plus.txt",
        b"escape me\n",
    );
    write("Grüße-日本語-🎉", "unicode\n".as_bytes());
    write("new\nline", b"control\n");
    write("-rf", b"looks like a flag\n");
    write(".hidden", b"hidden\n");
    std::fs::write(root.join(os(b"latin-\xe9.txt")), b"not UTF-8\n").unwrap();
    std::fs::write(root.join(os(&[b'n'; 255])), b"longest name\n").unwrap();
    let deep = format!("{}/end", ["directory-with-a-long-name"; 40].join("/"));
    std::fs::create_dir_all(root.join(&deep)).unwrap();
    write(&format!("{deep}/file"), b"too long for a key\n");

    write("large.bin", &noise(1, 20 << 20));
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 1 << 20).unwrap();

    write("links/first", b"one inode\n");
    std::fs::hard_link(root.join("links/first"), root.join("links/second")).unwrap();
    std::fs::hard_link(root.join("links/first"), root.join("a/third")).unwrap();
    symlink("../a/plain.txt", root.join("links/to-file")).unwrap();
    symlink("/etc", root.join("links/absolute")).unwrap();
    symlink("nowhere/at/all", root.join("links/dangling")).unwrap();
    symlink(os(b"to-latin-\xe9"), root.join("links/odd-target")).unwrap();
    symlink("..", root.join("links/up")).unwrap();

    let pipe = |path: &str, kind| {
        mknodat(CWD, root.join(path), kind, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    pipe("pipe", FileType::Fifo);
    std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();

    set_mode(&root.join("script"), 0o4755);
    set_mode(&root.join("sticky"), 0o1777);
    set_mode(&root.join("secret/key"), 0o400);
    if rustix::process::geteuid().is_root() {
        let owner = |path: &str, uid, gid| {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(CWD, root.join(path), uid, gid, flags).unwrap();
        };
        owner("a/plain.txt", 1234, 5678);
        owner("links/to-file", 4321, 8765);
        owner("secret", 1234, 1234);
    }
    set_xattr(&root.join("a/plain.txt"), "user.comment", b"hello \xff");
    set_xattr(&root.join("empty"), "user.on-a-directory", b"");
    set_mtime(&root.join("a/plain.txt"), 1_000_000_000, 123_456_789);
    set_mtime(&root.join("script"), -86_400, 999_999_999);
    set_mtime(&root.join("a.b"), 4_102_444_800, 0);
    set_mtime(&root.join("links/to-file"), 1_111_111_111, 1);
    set_mode(&root.join("secret"), 0o500);
    set_mtime(&root.join("secret"), 1_200_000_000, 5);
    set_mtime(&root.join("a"), 1_300_000_000, 6);
}

/// Waits until nothing that was just written is too fresh to be trusted by a scan.
pub(crate) fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(25));
}
