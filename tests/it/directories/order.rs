//! What is referred to is on the disk before: shown by the order in which things are named and synced, where no
//! power failure can be had.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{store, world};
use crate::support::World;
use crate::support::acts::{self, Act, inode};
use crate::support::calls::{Answer, without_syncing_all};
use crate::support::tree::{self, settle};

const FILES: [&str; 3] = ["a", "sub/b", "sub/sub/c"];

/// What a successful run has done to a store.
struct Done {
    store: PathBuf,
    acts: Vec<Act>,
}

impl Done {
    fn by(command: &mut Command, store: PathBuf) -> Self {
        let (output, acts) = acts::of(command);
        assert_eq!(output.code, 0, "{output:?}");
        Self { store, acts }
    }

    /// When something was first done.
    #[track_caller]
    fn first(&self, is: impl Fn(&Act) -> bool) -> usize {
        let first = self.acts.iter().position(is);
        first.unwrap_or_else(|| panic!("{self}"))
    }

    /// When the first record was named that refers to contents.
    fn first_record(&self) -> usize {
        self.first(|act| {
            matches!(act, Act::Name(_, path) if path.starts_with(self.store.join("manifests")))
        })
    }

    /// What was done within some time.
    #[track_caller]
    fn assert_done(&self, act: &Act, when: Range<usize>) {
        let done = &self.acts[when.clone()];
        assert!(done.contains(act), "{act:?} not in {when:?}: {self}");
    }

    /// The directory of a file and those above it were synced after they had got a name, and before `end`.
    #[track_caller]
    fn assert_names_synced(&self, path: &Path, named: usize, end: usize) {
        let mut since = named;
        for directory in path.ancestors().skip(1) {
            self.assert_done(&Act::Sync(inode(directory)), since..end);
            if directory == self.store {
                return;
            }
            let made = Act::MakeDirectory(directory.to_owned());
            let made = self.acts[..end].iter().rposition(|act| *act == made);
            // What was there already may not have been synced.
            since = made.unwrap_or(0);
        }
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut acts = self.acts.iter().enumerate();
        acts.try_for_each(|(at, act)| writeln!(f, "{at}: {act:?}"))
    }
}

/// Each file before it has its name, each directory after, and those above where they are new; each once.
#[test]
fn where_syncing_all_tells_nothing_everything_is_synced_before_it_is_referred_to() {
    let world = world();
    for path in FILES {
        world.write(path, path);
    }
    settle();
    let mut command = world.command(["run"]);
    without_syncing_all(&mut command);
    let done = Done::by(&mut command, store(&world));
    let files = done.store.join("files");
    let record = done.first_record();
    let mut named = 0;
    for (at, act) in done.acts.iter().enumerate() {
        let Act::Name(file, path) = act else { continue };
        if !path.starts_with(&files) {
            continue;
        }
        named += 1;
        // A file that is gone may have had the same number.
        let written = done.acts[..at]
            .iter()
            .rposition(|act| *act == Act::Write(*file));
        done.assert_done(&Act::Sync(*file), written.unwrap()..at);
        for made in path.ancestors().skip(1) {
            if made.starts_with(&files) {
                done.assert_done(&Act::MakeDirectory(made.to_owned()), 0..at);
            }
        }
        done.assert_names_synced(path, at, record);
    }
    assert_eq!(named, FILES.len(), "{done}");
    let made = tree::read(&files).into_iter();
    for (path, _) in made.filter(|(_, facts)| facts.kind == "directory") {
        let directory = files.join(path);
        let sync = Act::Sync(inode(&directory));
        let path = Act::MakeDirectory(directory);
        // A file that is gone may have had the same number.
        let made = done.acts.iter().rposition(|act| *act == path).unwrap();
        let times = done.acts[made..].iter().filter(|act| **act == sync).count();
        assert_eq!(times, 1, "{path:?}: {done}");
    }
}

/// A copy that was killed right before it committed is continued. What it has brought may be in memory only, or look
/// there as if it was on the disk. Returns what was done, and the contents that were found.
fn continued(prepare: fn(&mut Command)) -> (World, Done, Vec<PathBuf>) {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 1);
    for path in FILES {
        world.write(path, path);
    }
    settle();
    world.back_up();
    let copy = world.path("copy");
    std::fs::create_dir(&copy).unwrap();
    let to = copy.to_str().unwrap();
    let args = ["copy", "--to", to];
    let records = copy.join("snapshots");
    let mut command = world.command(args);
    prepare(&mut command);
    acts::decided(&mut command, |act| match act {
        Act::Name(_, path) if path.starts_with(&records) => Answer::Kill,
        _ => Answer::Proceed,
    });
    let unlock = world.offsite(["unlock", "--force", "--store", to]);
    assert_eq!(unlock.code, 0, "{unlock:?}");
    let found = |below: &str| {
        let below = copy.join(below);
        let files = tree::read(&below).into_iter();
        let files = files.filter(|(_, facts)| facts.kind == "file");
        files.map(|(path, _)| below.join(path)).collect::<Vec<_>>()
    };
    let (contents, segments) = (found("files"), found("manifests"));
    assert_eq!((contents.len(), segments.len()), (FILES.len(), 1));
    let mut command = world.command(args);
    prepare(&mut command);
    let done = Done::by(&mut command, copy);
    for path in contents.iter().chain(&segments) {
        let file = inode(path);
        let dropped = done.first(|act| *act == Act::Drop(file));
        let read = done.first(|act| *act == Act::Read(file));
        assert!(dropped < read, "{path:?}: {done}");
    }
    (world, done, contents)
}

#[test]
fn what_a_killed_copy_has_brought_is_read_from_the_disk_and_synced_before_it_is_referred_to() {
    let (_world, done, found) = continued(|_| {});
    let record = done.first_record();
    for path in found {
        let dropped = done.first(|act| *act == Act::Drop(inode(&path)));
        done.assert_done(&Act::SyncAll, dropped..record);
    }
}

#[test]
fn where_syncing_all_tells_nothing_what_a_killed_copy_has_brought_is_synced_one_by_one() {
    let (_world, done, found) = continued(without_syncing_all);
    let record = done.first_record();
    for path in found {
        let dropped = done.first(|act| *act == Act::Drop(inode(&path)));
        done.assert_done(&Act::Sync(inode(&path)), 0..dropped);
        done.assert_names_synced(&path, 0, record);
    }
}
