//! Trees that cannot be exchanged as a whole: mount points, trees with mount points in them, and those in
//! directories that are not to be written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::assert_only;
use super::interrupted::{NFS, NOTHING, Refused, world};
use super::replace::old_tree;
use rustix::io::Errno;

use crate::kill::at_every_request as at_every_call;
use crate::support::calls::{Answer, killed_at, refuse, watched};
use crate::support::tree::{self, Tree, assert_same};
use crate::support::{Output, SOURCE, World, finish};

/// A script in mounts of its own, in which `$replace` replaces `out` and `fill` puts the old tree there.
fn script(world: &World, refused: Refused, script: &str) -> Command {
    for name in ["out", "first", "second"] {
        let _ = std::fs::remove_dir_all(world.path(name));
    }
    std::fs::create_dir(world.path("out")).unwrap();
    let script = format!(
        "replace=\"$0 restore --source {SOURCE} --to out --replace\"\nfill() {{ cp -a old/. out/; chmod 705 out; touch -r old out; }}\n{script}"
    );
    let how = ["--mount", "--map-root-user", "sh", "-ec", &script];
    let mut command = world.command_by("unshare", &how, [""; 0]);
    refuse(&mut command, refused);
    command
}

fn run(mut command: Command) -> Output {
    finish(command.output().unwrap())
}

/// What this program keeps in a tree that was replaced entry by entry.
fn is_own(name: &Path) -> bool {
    let name = name.to_str().unwrap_or_default();
    name.starts_with(".before-") || name.starts_with(".offsite-replace-")
}

/// A tree without that, and without its own directory's time, which changes with every entry.
fn without_own(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    tree.retain(|path, _| {
        !path
            .components()
            .next()
            .is_some_and(|first| is_own(first.as_ref()))
    });
    tree
}

fn kept_in(root: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(root).unwrap();
    let names = names.map(|entry| entry.unwrap().path());
    names
        .filter(|path| {
            path.is_dir()
                && path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with(".before-")
        })
        .collect()
}

/// The tree is the new one with its own metadata, the old one is kept, and nothing else is there.
fn assert_replaced(root: &Path, old: &Tree, new: &Tree, is_killed: bool) {
    let found = tree::read(root);
    assert_same(new, &without_own(&found));
    let kept = kept_in(root);
    let read = |kept: &PathBuf| {
        let mut tree = tree::read(kept);
        if is_killed {
            // The time of the tree's own directory is lost where the kill comes before it was written down.
            let own = old[Path::new("")].clone();
            tree.insert(PathBuf::new(), own);
        }
        tree
    };
    let mut kept: Vec<_> = kept.iter().map(read).collect();
    if let (1, Some(kept)) = (kept.len(), kept.last()) {
        assert_same(old, kept);
    }
    kept.retain(|kept| kept == old);
    assert!(!kept.is_empty());
    let unfinished = found
        .keys()
        .any(|path| path.to_str().unwrap_or_default().starts_with(".offsite"));
    assert!(!unfinished, "{:?}", found.keys());
    assert_only(&found, root);
}

fn subtree(tree: &Tree, name: &Path) -> Tree {
    let below = tree.iter().filter(|(path, _)| path.starts_with(name));
    below
        .map(|(path, facts)| (path.clone(), facts.clone()))
        .collect()
}

/// What each entry of the tree is.
fn state(root: &Path, old: &Tree, new: &Tree, is_exchanged: bool) -> &'static str {
    let found = without_own(&tree::read(root));
    let mut names: BTreeSet<&Path> = BTreeSet::new();
    let top = |tree: &Tree| -> BTreeSet<PathBuf> {
        tree.keys()
            .filter(|path| path.components().count() == 1)
            .cloned()
            .collect()
    };
    let all: BTreeSet<_> = [top(&found), top(old), top(new)].concat_sets();
    names.extend(all.iter().map(PathBuf::as_path));
    let (mut olds, mut news) = (0, 0);
    for name in names {
        // A link's fellows may be elsewhere at the moment.
        let [found, old, new] = [&found, old, new].map(|tree| {
            let mut tree = subtree(tree, name);
            tree.values_mut().for_each(|facts| facts.linked_with = None);
            tree
        });
        match () {
            () if found == old && found == new => {}
            () if found == old => olds += 1,
            () if found == new => news += 1,
            // Between two renames.
            () if found.is_empty() && !is_exchanged => news += 1,
            () => panic!("{name:?} is neither: {found:?}"),
        }
    }
    match (olds, news) {
        (_, 0) => "old",
        (0, _) => "new",
        (_, _) => "both",
    }
}

trait ConcatSets {
    fn concat_sets(self) -> BTreeSet<PathBuf>;
}

impl<const N: usize> ConcatSets for [BTreeSet<PathBuf>; N] {
    fn concat_sets(self) -> BTreeSet<PathBuf> {
        self.into_iter().flatten().collect()
    }
}

const MOUNTED: &str = "mount -t tmpfs tmpfs out; fill";

#[test]
fn a_mount_point_is_replaced_entry_by_entry() {
    let world = world();
    let old = old_tree(&world.path("old"));
    let new = tree::read(&world.data());
    for refused in [NOTHING, NFS] {
        let output = run(script(
            &world,
            refused,
            &format!(
                "{MOUNTED}; $replace --dry-run; $replace; cp -a out first
                      $0 restore --to out --discard-old; cp -a out second"
            ),
        ));
        assert_eq!(output.code, 0, "{output:?}");
        let said = "is a mount point, which cannot be renamed";
        assert!(
            output.stdout.contains(said) && output.stderr.contains(said),
            "{output:?}"
        );
        assert_replaced(&world.path("first"), &old, &new, false);
        assert_same(&new, &tree::read(&world.path("second")));
    }
}

/// Kills a replacement of a mount point before each of its calls, and each time lets another one finish.
fn killed_at_every_call(refused: Refused) -> (usize, BTreeSet<&'static str>) {
    let worlds = [world(), world()];
    for world in &worlds {
        old_tree(&world.path("old"));
    }
    let free = Mutex::new(worlds.iter().collect::<Vec<_>>());
    let seen = Mutex::new(BTreeSet::new());
    let calls = at_every_call(|at| {
        let world = free.lock().unwrap().pop().unwrap();
        let (old, new) = (tree::read(&world.path("old")), tree::read(&world.data()));
        let twice = format!(
            "{MOUNTED}; $replace && exit 55 || test $? = 137 || exit 44
             cp -a out first; $replace; cp -a out second"
        );
        let killed = killed_at(script(world, refused, &twice), at);
        if let Some(output) = &killed {
            assert_eq!(output.code, 0, "killed at {at}: {output:?}");
            let state = state(&world.path("first"), &old, &new, refused.is_empty());
            seen.lock().unwrap().insert(state);
            assert_replaced(&world.path("second"), &old, &new, true);
        }
        free.lock().unwrap().push(world);
        killed.is_some()
    });
    (calls, seen.into_inner().unwrap())
}

#[test]
fn a_replacement_of_a_mount_point_killed_before_any_of_its_calls_is_finished() {
    let (calls, seen) = killed_at_every_call(NOTHING);
    assert!(calls > 100, "{calls} calls were tried");
    assert_eq!(seen, BTreeSet::from(["old", "both", "new"]));
}

#[test]
fn a_replacement_on_a_file_server_killed_before_any_of_its_calls_is_finished() {
    let (calls, seen) = killed_at_every_call(NFS);
    assert!(calls > 100, "{calls} calls were tried");
    assert_eq!(seen, BTreeSet::from(["old", "both", "new"]));
}

/// Replaces a mount point where a step is refused, and kills that before a call after it, if it makes so many; then
/// lets another one finish.
fn refused_and_killed_at(world: &World, refused: Refused, at: usize) -> Output {
    let twice = format!(
        "{MOUNTED}; $replace || code=$?; test $code = 1 || test $code = 137 || exit 44
         cp -a out first; $replace || exit 43; cp -a out second; exit $code"
    );
    let is_exchanged = refused.is_empty();
    // One is a trial, and records are renamed too.
    let refused_move = if is_exchanged { 4 } else { 8 };
    let (mut moves, mut after) = (0, 0);
    let output = watched(&mut script(world, refused, &twice), |call| {
        let is_move = match is_exchanged {
            true => call.exchanges(),
            false => call.number == libc::SYS_renameat,
        };
        moves += usize::from(is_move);
        after += usize::from(after > 0);
        match () {
            () if is_move && moves == refused_move => {
                after = 1;
                Answer::Refuse(Errno::BUSY)
            }
            () if after == at => Answer::Kill,
            () => Answer::Proceed,
        }
    });
    assert!(after > 0, "{output:?}");
    output
}

#[test]
fn a_replacement_of_which_a_step_is_refused_is_taken_back() {
    let world = world();
    let old = old_tree(&world.path("old"));
    let new = tree::read(&world.data());
    let mut calls = 0;
    for refused in [NOTHING, NFS] {
        let first = || state(&world.path("first"), &old, &new, refused.is_empty());
        let output = refused_and_killed_at(&world, refused, usize::MAX);
        assert_eq!(output.code, 1, "{output:?}");
        let said = "the old tree is in place, as it was";
        assert!(output.stderr.contains(said), "{output:?}");
        assert_eq!(first(), "old");
        assert_replaced(&world.path("second"), &old, &new, true);
        for at in 2.. {
            let output = refused_and_killed_at(&world, refused, at);
            if output.code == 43 {
                // The first one had ended before.
                break;
            }
            assert_eq!(output.code, 137, "killed at {at}: {output:?}");
            assert_ne!(first(), "new");
            assert_replaced(&world.path("second"), &old, &new, true);
            calls += 1;
        }
    }
    assert!(calls > 20, "{calls} calls were tried");
}

/// What the snapshot does not have is not in the way, and what is mounted there stays.
#[test]
fn what_is_mounted_below_a_tree_stays_where_it_is() {
    let world = world();
    let old = old_tree(&world.path("old"));
    let new = tree::read(&world.data());
    for refused in [NOTHING, NFS] {
        let output = run(script(
            &world,
            refused,
            "fill; mkdir out/one/mnt; mount -t tmpfs tmpfs out/one/mnt; echo stays > out/one/mnt/x
             mount -t tmpfs tmpfs out/theirs/deep; echo stays > out/theirs/deep/y
             $replace; cat out/one/mnt/x out/theirs/deep/y; umount out/one/mnt out/theirs/deep
             rm -r out/one/mnt out/theirs; cp -a out first",
        ));
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stdout.ends_with("stays\nstays\n"), "{output:?}");
        assert!(output.stderr.contains("is mounted below it"), "{output:?}");
        let found = tree::read(&world.path("first"));
        let (mut expected, mut found) = (new.clone(), without_own(&found));
        // Removing the mount points has changed their times.
        for tree in [&mut expected, &mut found] {
            tree.remove(Path::new(""));
            tree.remove(Path::new("one"));
        }
        assert_same(&expected, &found);
        let kept = kept_in(&world.path("first"));
        let mut kept = tree::read(&kept[0]);
        let mut old = old.clone();
        for tree in [&mut old, &mut kept] {
            for path in ["", "one", "theirs"] {
                tree.remove(Path::new(path));
            }
            tree.retain(|path, _| !path.starts_with("theirs/deep"));
        }
        assert_same(&old, &kept);
    }
}

#[test]
fn a_mount_point_in_which_the_snapshot_has_things_is_refused() {
    let world = world();
    let old = old_tree(&world.path("old"));
    let output = run(script(
        &world,
        NOTHING,
        "fill; mount -t tmpfs tmpfs out/one/two; for more in --dry-run ''; do
         if $replace $more; then exit 44; else test $? = 2; fi; done; umount out/one/two; cp -a out first",
    ));
    assert_eq!(output.code, 0, "{output:?}");
    let said = "out/one/two` is a mount point, and the snapshot has entries below it";
    assert_eq!(output.stderr.matches(said).count(), 2, "{output:?}");
    assert_same(&old, &tree::read(&world.path("first")));
}

#[test]
fn a_tree_in_a_directory_that_is_not_writable_is_replaced_entry_by_entry() {
    let world = world();
    std::fs::create_dir(world.path("closed")).unwrap();
    let out = world.path("closed/out");
    old_tree(&out);
    let owned = Command::new("chown")
        .args(["-R", "1000:1000"])
        .arg(&out)
        .status();
    assert!(owned.unwrap().success());
    let old = tree::read(&out);
    let to = out.to_str().unwrap();
    let args = ["restore", "--to", to, "--source", SOURCE, "--replace"];
    let output = world.offsite_as(1000, args);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output
            .stderr
            .contains("closed` is not writable: Permission denied"),
        "{output:?}"
    );
    let mut new = tree::read(&world.data());
    for facts in new.values_mut() {
        (facts.uid, facts.gid) = (1000, 1000);
        facts.mode &= 0o1777;
    }
    assert_replaced(&out, &old, &new, false);
}

/// Also where one of them was kept, and is in the way of nothing.
#[test]
fn old_trees_in_a_tree_that_is_replaced_again_stay_apart() {
    let world = world();
    let old = old_tree(&world.path("old"));
    let new = tree::read(&world.data());
    let output = run(script(
        &world,
        NOTHING,
        "mount -t tmpfs tmpfs out; mkdir out/lost+found; fill; $replace; $replace; cp -a out first",
    ));
    assert_eq!(output.code, 0, "{output:?}");
    let first = world.path("first");
    assert!(first.join("lost+found").is_dir());
    let mut kept: Vec<_> = kept_in(&first)
        .iter()
        .map(|path| tree::read(path))
        .collect();
    assert_eq!(kept.len(), 2);
    kept.retain(|kept| *kept != new);
    assert_same(&old, &kept[0]);
}

/// A disk that is full when a step is refused keeps nothing from being taken back.
#[test]
fn what_is_refused_on_a_full_disk_is_taken_back() {
    let world = world();
    let old = old_tree(&world.path("old"));
    let new = tree::read(&world.data());
    let script_text = format!(
        "{MOUNTED}; if $replace; then exit 44; fi; cp -a out first; $replace; cp -a out second"
    );
    let (mut exchanges, mut is_full, mut refused) = (0, false, 0);
    let output = watched(&mut script(&world, NOTHING, &script_text), |call| {
        exchanges += usize::from(call.exchanges());
        if call.exchanges() && exchanges == 4 {
            is_full = true;
            return Answer::Refuse(Errno::BUSY);
        }
        if is_full && call.number == libc::SYS_openat {
            refused += 1;
            // Two records: that it goes back, and that it has.
            is_full = refused < 2;
            return Answer::Refuse(Errno::NOSPC);
        }
        Answer::Proceed
    });
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(refused, 2, "{output:?}");
    assert!(
        output
            .stderr
            .contains("the old tree is in place, as it was"),
        "{output:?}"
    );
    assert_eq!(state(&world.path("first"), &old, &new, true), "old");
    assert_replaced(&world.path("second"), &old, &new, true);
}
