//! A tree put in place of the one that exists, as a whole.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use local_s3::{Fault, Operation};
use rustix::io::Errno;
use serde_json::Value;

use super::interrupted::{NFS, NOTHING, Refused, world};
use super::{assert_only, command, restore};
use crate::kill::at_every_request as at_every_call;
use crate::support::calls::{Answer, killed_at, refuse, watched};
use crate::support::tree::{self, Tree, assert_same, set_mode, settle};
use crate::support::{BUCKET, Output, PREFIX, SOURCE, World, finish};

/// A tree that has things of its own, and some of the same names.
pub(super) fn old_tree(root: &Path) -> Tree {
    let _ = std::fs::remove_dir_all(root);
    for directory in ["one/two", "theirs/deep", "closed"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    for path in ["a", "one/b", "theirs/deep/x", "nothing"] {
        std::fs::write(root.join(path), format!("old {path}")).unwrap();
    }
    symlink("/nowhere", root.join("symlink")).unwrap();
    set_mode(&root.join("closed"), 0o500);
    set_mode(root, 0o705);
    tree::set_mtime(root, 1_500_000_000, 8);
    tree::read(root)
}

/// What is beside the target and belongs to it: old trees, records and what is unfinished.
pub(super) fn beside(world: &World) -> BTreeSet<String> {
    let names = std::fs::read_dir(world.home.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("out.") || name.starts_with(".offsite"))
        .collect()
}

/// The only old tree beside the target.
pub(super) fn kept(world: &World) -> PathBuf {
    let all = beside(world);
    let trees: Vec<_> = all.iter().filter(|name| !name.ends_with(".json")).collect();
    assert_eq!(trees.len(), 1, "{all:?}");
    assert!(all.contains(&format!("{}.json", trees[0])), "{all:?}");
    world.path(trees[0])
}

fn clear(world: &World) {
    for name in beside(world) {
        let path = world.path(&name);
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
    }
}

#[test]
fn a_place_where_there_is_nothing_gets_the_whole_tree_at_once() {
    let world = world();
    let output = restore(&world, &["--replace"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(&tree::read(&world.data()), &tree::read(&world.path("out")));
    assert!(beside(&world).is_empty(), "{:?}", beside(&world));
}

#[test]
fn a_link_to_the_tree_stays_and_leads_to_the_new_one() {
    let world = world();
    let old = old_tree(&world.path("out"));
    symlink("out", world.path("link")).unwrap();
    let output = world.offsite(["restore", "--to", "link", "--source", SOURCE, "--replace"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(world.path("link").is_symlink());
    assert_same(&tree::read(&world.data()), &tree::read(&world.path("out")));
    assert_same(&old, &tree::read(&kept(&world)));
}

#[test]
fn a_restore_that_misses_something_leaves_the_old_tree_in_place() {
    let world = world();
    let out = world.path("out");
    let old = old_tree(&out);
    let fault = Fault::on(Operation::GetObject).key_contains("one/two/c");
    world
        .server
        .fault(fault.always().status(403, "AccessDenied"));
    let output = restore(&world, &["--replace"]);
    assert_ne!(output.code, 0, "{output:?}");
    assert!(
        output.stderr.contains("the tree was not replaced"),
        "{output:?}"
    );
    assert_same(&old, &tree::read(&out));
    world.server.clear_faults();
    let output = restore(&world, &["--replace"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(&tree::read(&world.data()), &tree::read(&out));
    assert_same(&old, &tree::read(&kept(&world)));
    assert_eq!(beside(&world).len(), 2, "{:?}", beside(&world));
}

#[test]
fn contents_that_are_damaged_in_the_store_leave_the_old_tree_in_place() {
    let world = world();
    let old = old_tree(&world.path("out"));
    let key = world.key_like("files/", "one/two/c");
    world.server.corrupt(BUCKET, &world.full_key(&key), 0);
    let output = restore(&world, &["--replace"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(
        output.stderr.contains("the tree was not replaced"),
        "{output:?}"
    );
    assert_same(&old, &tree::read(&world.path("out")));
    // What was restored of the new tree goes with the old ones.
    let discarded = world.offsite(["restore", "--to", "out", "--discard-old"]);
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert!(
        discarded.stdout.contains("never put in place"),
        "{discarded:?}"
    );
    assert!(beside(&world).is_empty(), "{:?}", beside(&world));
}

#[test]
fn a_dry_run_says_how_and_writes_nothing() {
    let world = world();
    let old = old_tree(&world.path("out"));
    let output = restore(&world, &["--replace", "--dry-run"]);
    assert_eq!(output.code, 0, "{output:?}");
    let said = "then exchange the two trees and keep the old one beside it; nothing written";
    assert!(output.stdout.contains(said), "{output:?}");
    let json = restore(&world, &["--replace", "--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["replace"]["exists"], true, "{json}");
    assert_eq!(json[0]["replace"]["entry_by_entry_because"], Value::Null);
    assert_same(&old, &tree::read(&world.path("out")));
    assert!(beside(&world).is_empty());
}

fn command_where(world: &World, refused: Refused) -> Command {
    let mut command = command(world, &["--replace"]);
    refuse(&mut command, refused);
    command
}

fn run(mut command: Command) -> Output {
    finish(command.output().unwrap())
}

/// What is at the target after a kill.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Old,
    New,
    Nothing,
}

fn found(world: &World, old: &Tree, new: &Tree, at: usize) -> Found {
    let out = world.path("out");
    if !out.exists() {
        return Found::Nothing;
    }
    let there = tree::read(&out);
    if there == *old {
        assert_only(old, &out);
        return Found::Old;
    }
    assert_same(new, &there);
    assert_only(new, &out);
    let kept = beside(world).into_iter().map(|name| world.path(&name));
    // Its name may still be that of what is unfinished.
    let kept = kept.flat_map(|path| [path.join("new/out"), path.join("old/out"), path]);
    let is_kept = kept
        .filter(|path| path.is_dir())
        .any(|path| tree::read(&path) == *old);
    assert!(is_kept, "killed at {at}: the old tree is gone");
    Found::New
}

/// Kills a replacement before each of its calls, and each time lets another one finish.
fn killed_at_every_call(refused: Refused) -> (usize, BTreeSet<Found>) {
    let worlds = [world(), world()];
    let free = std::sync::Mutex::new(worlds.iter().collect::<Vec<_>>());
    let seen = std::sync::Mutex::new(BTreeSet::new());
    let calls = at_every_call(|at| {
        let world = free.lock().unwrap().pop().unwrap();
        clear(world);
        let new = tree::read(&world.data());
        let old = old_tree(&world.path("out"));
        let killed = killed_at(command_where(world, refused), at).is_some();
        let found = found(world, &old, &new, at);
        if killed {
            seen.lock().unwrap().insert(found);
        }
        let is_new = tree::read(&world.data()) == new;
        assert!(is_new);
        let output = run(command_where(world, refused));
        assert_eq!(output.code, 0, "killed at {at}: {output:?}");
        assert_same(&new, &tree::read(&world.path("out")));
        assert_only(&new, &world.path("out"));
        let all = beside(world);
        let trees = all.iter().filter(|name| !name.ends_with(".json"));
        let trees: Vec<_> = trees.map(|name| tree::read(&world.path(name))).collect();
        assert!(trees.contains(&old), "killed at {at}: {all:?}");
        assert!(
            !all.iter().any(|name| name.starts_with(".offsite")),
            "killed at {at}: {all:?}"
        );
        free.lock().unwrap().push(world);
        killed
    });
    (calls, seen.into_inner().unwrap())
}

#[test]
fn a_replacement_killed_before_any_of_its_calls_leaves_the_old_tree_or_the_new_one() {
    let (calls, found) = killed_at_every_call(NOTHING);
    assert!(calls > 90, "{calls} calls were tried");
    assert_eq!(found, BTreeSet::from([Found::Old, Found::New]));
}

/// Between two renames there is nothing at the target, and the journal says what is to be there.
#[test]
fn a_replacement_without_exchange_killed_before_any_of_its_calls_is_finished() {
    let (calls, found) = killed_at_every_call(NFS);
    assert!(calls > 100, "{calls} calls were tried");
    assert_eq!(
        found,
        BTreeSet::from([Found::Old, Found::New, Found::Nothing])
    );
}

#[test]
fn another_snapshot_replaces_what_a_killed_restore_has_left() {
    let world = world();
    let first = world.snapshots().remove(0);
    std::fs::write(world.data().join("later"), "later").unwrap();
    settle();
    world.back_up();
    for at in [20, 60, 90] {
        clear(&world);
        old_tree(&world.path("out"));
        assert!(killed_at(command(&world, &["--replace", "--snapshot", &first]), at).is_some());
        let output = restore(&world, &["--replace"]);
        assert_eq!(output.code, 0, "killed at {at}: {output:?}");
        let new = tree::read(&world.data());
        assert_same(&new, &tree::read(&world.path("out")));
        assert_only(&new, &world.path("out"));
        let left = beside(&world);
        assert!(
            !left.iter().any(|name| name.starts_with(".offsite")),
            "{left:?}"
        );
    }
}

/// Directories that forbid their owner to write cannot be moved before they are opened up.
#[test]
fn a_user_replaces_a_tree_that_is_closed_even_to_its_owner() {
    let world = world();
    let out = world.path("out");
    old_tree(&out);
    set_mode(&out, 0o500);
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
    let mut new = tree::read(&world.data());
    for facts in new.values_mut() {
        (facts.uid, facts.gid) = (1000, 1000);
        facts.mode &= 0o1777;
    }
    assert_same(&new, &tree::read(&out));
    assert_same(&old, &tree::read(&kept(&world)));
}

#[test]
fn a_tree_is_replaced_where_it_came_from() {
    let world = world();
    let new = tree::read(&world.data());
    let old = old_tree(&world.data());
    let output = world.offsite(["restore", "--in-place", "--replace"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(&new, &tree::read(&world.data()));
    let names = std::fs::read_dir(world.home.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let before = names
        .into_iter()
        .find(|name| name.starts_with("data.before-") && !name.ends_with(".json"));
    assert_same(&old, &tree::read(&world.path(&before.unwrap())));
    let discarded = world.offsite(["restore", "--in-place", "--discard-old"]);
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert!(discarded.stdout.contains("removed "), "{discarded:?}");
    // Over what is there, as into any other directory.
    std::fs::write(world.data().join("a"), "other").unwrap();
    let refused = world.offsite(["restore", "--in-place"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let output = world.offsite(["restore", "--in-place", "--overwrite"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(&new, &tree::read(&world.data()));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let world = world();
    let old = old_tree(&world.path("out"));
    for flags in [
        &["--replace", "--overwrite"][..],
        &["--replace", "--delete"],
        &["--replace", "--path", "a"],
        &["--replace", "--session", "a"],
        &["--replace", "--test"],
        &["--delete", "--test"],
        &["--overwrite", "--test"],
        &["--dry-run", "--test"],
        &["--discard-old", "--replace"],
        &["--discard-old", "--delete"],
        &["--discard-old", "--at", "now"],
        &["--in-place"],
    ] {
        let output = restore(&world, flags);
        assert_eq!(output.code, 2, "{flags:?}: {output:?}");
        assert_same(&old, &tree::read(&world.path("out")));
    }
    assert_eq!(world.offsite(["restore"]).code, 2);
}

#[test]
fn a_system_that_refuses_the_exchange_leaves_the_old_tree_in_place() {
    let world = world();
    let old = old_tree(&world.path("out"));
    let mut exchanges = 0;
    let mut command = command(&world, &["--replace"]);
    let output = watched(&mut command, |call| {
        // The first one is a trial.
        exchanges += usize::from(call.exchanges());
        match call.exchanges() && exchanges == 2 {
            true => Answer::Refuse(Errno::BUSY),
            false => Answer::Proceed,
        }
    });
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output
            .stderr
            .contains("the old tree is in place, as it was"),
        "{output:?}"
    );
    assert_same(&old, &tree::read(&world.path("out")));
    assert_eq!(restore(&world, &["--replace"]).code, 0);
    assert_same(&tree::read(&world.data()), &tree::read(&world.path("out")));
    assert_same(&old, &tree::read(&kept(&world)));
}

#[test]
fn a_tree_in_which_the_store_lies_is_not_replaced() {
    let world = world();
    let store = world.path("out/store");
    std::fs::create_dir_all(&store).unwrap();
    let url = store.to_str().unwrap();
    assert_eq!(world.offsite(["run", "--store", url]).code, 0);
    for flag in ["--replace", "--delete"] {
        let output = restore(&world, &["--store", url, flag]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains("the store, `"), "{output:?}");
        assert_eq!(world.offsite(["list", "--store", url]).code, 0);
    }
}

/// What a machine that goes down at any time has on its disk then.
#[test]
fn the_new_tree_and_the_journal_are_synced_before_anything_is_exchanged() {
    let world = world();
    old_tree(&world.path("out"));
    let (mut synced, mut exchanges) = (Vec::new(), 0);
    let output = watched(&mut command(&world, &["--replace"]), |call| {
        if call.number == libc::SYS_fsync {
            let link = format!("/proc/{}/fd/{}", call.process, call.arguments[0]);
            let path = std::fs::read_link(link).unwrap();
            synced.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        } else if call.number == libc::SYS_syncfs {
            synced.push("all".to_owned());
        }
        exchanges += usize::from(call.exchanges());
        if call.exchanges() && exchanges == 2 {
            // The workspace is synced after each of its files.
            let position = |name: &str| synced.iter().rposition(|synced| synced == name);
            let all = position("all").unwrap();
            let steps = position("steps.ndjson.new").unwrap();
            let record = position("replace.json.new").unwrap();
            assert!(all < steps && steps < record && record < synced.len() - 1);
            assert!(synced[record + 1].starts_with(".offsite-replace-"));
            synced.clear();
        }
        Answer::Proceed
    });
    assert_eq!((output.code, exchanges), (0, 2), "{output:?}");
    // And the exchange before the journal goes.
    let home = world.home.path().file_name().unwrap().to_str().unwrap();
    assert!(synced.iter().any(|synced| synced == home), "{synced:?}");
}

/// People who find a restore killed may clear up and begin again, or go on with another tree.
#[test]
fn a_killed_replacement_is_finished_wherever_the_old_tree_has_gone() {
    let world = world();
    let new = tree::read(&world.data());
    let mut tried = 0;
    for refused in [NOTHING, NFS] {
        for at in (90..).step_by(3) {
            let is_other = at % 2 == 0;
            clear(&world);
            old_tree(&world.path("out"));
            if killed_at(command_where(&world, refused), at).is_none() {
                break;
            }
            tried += 1;
            // Before the other one goes, whose inode number it would get.
            std::fs::create_dir(world.path("made")).unwrap();
            std::fs::write(world.path("made/other"), "other").unwrap();
            let _ = std::fs::remove_dir_all(world.path("out"));
            match is_other {
                true => std::fs::rename(world.path("made"), world.path("out")).unwrap(),
                false => std::fs::remove_dir_all(world.path("made")).unwrap(),
            }
            let output = run(command_where(&world, refused));
            assert_eq!(output.code, 0, "killed at {at}: {output:?}");
            let found = tree::read(&world.path("out"));
            assert!(found == new, "killed at {at}: {output:?}");
            let kept = beside(&world);
            let has_other = |name: &String| world.path(name).join("other").exists();
            assert!(!is_other || kept.iter().any(has_other), "{at}: {kept:?}");
            let discarded = world.offsite(["restore", "--to", "out", "--discard-old"]);
            assert_eq!(discarded.code, 0, "killed at {at}: {discarded:?}");
            assert!(beside(&world).is_empty(), "{at}: {:?}", beside(&world));
        }
    }
    assert!(tried > 8, "{tried}");
}

/// The message says which tree is in place.
#[test]
fn a_full_disk_after_the_exchange_is_said_to_come_after_it() {
    let world = world();
    let old = old_tree(&world.path("out"));
    let mut exchanges = 0;
    let output = watched(&mut command(&world, &["--replace"]), |call| {
        exchanges += usize::from(call.exchanges());
        match call.number == libc::SYS_openat && exchanges == 2 {
            true => Answer::Refuse(Errno::NOSPC),
            false => Answer::Proceed,
        }
    });
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("the new tree is in place"),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("run the same command again"),
        "{output:?}"
    );
    assert_same(&tree::read(&world.data()), &tree::read(&world.path("out")));
    assert_eq!(restore(&world, &["--replace"]).code, 0);
    assert_same(&old, &tree::read(&kept(&world)));
}

#[test]
fn a_tree_with_a_long_name_is_replaced_entry_by_entry_and_its_old_one_discarded() {
    let world = world();
    for length in [255, 240, 219, 218] {
        let out = world.path(&"n".repeat(length));
        let old = old_tree(&out);
        let to = out.to_str().unwrap();
        let args = ["restore", "--to", to, "--source", SOURCE];
        let output = world.offsite(args.iter().chain(&["--replace"]));
        assert_eq!(output.code, 0, "{length}: {output:?}");
        let is_by_entry = output.stderr.contains("exchanged one by one");
        assert_eq!(is_by_entry, length > 218, "{length}: {output:?}");
        let kept = output.stdout.lines().find_map(|line| {
            let line = line.split_once("the old tree is ")?.1;
            line.split_once(", until")
        });
        assert_same(&old, &tree::read(Path::new(kept.unwrap().0)));
        let discarded = world.offsite(["restore", "--to", to, "--discard-old"]);
        assert_eq!(discarded.code, 0, "{discarded:?}");
        assert_same(&tree::read(&world.data()), &tree::read(&out));
        assert_only(&tree::read(&world.data()), &out);
    }
}

#[test]
fn what_the_backup_leaves_out_is_said_to_be_in_the_old_tree_alone() {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n  \
         - {{name: {SOURCE}, directory: {}, exclude: ['*.iso']}}\n",
        world.data().display()
    ));
    world.write("a", "a");
    settle();
    world.back_up();
    old_tree(&world.path("out"));
    for flags in [&["--replace", "--dry-run"][..], &["--replace"]] {
        let output = restore(&world, flags);
        assert_eq!(output.code, 0, "{output:?}");
        let said = "what the backup leaves out (`*.iso`)";
        assert!(output.stderr.contains(said), "{output:?}");
    }
}

/// Between two renames the place is free, and whatever starts then may make a directory of its own there.
#[test]
fn what_comes_to_a_place_that_is_free_for_a_moment_is_kept() {
    let world = world();
    let new = tree::read(&world.data());
    let mut old = old_tree(&world.path("out"));
    let mut at = 90;
    while world.path("out").exists() {
        clear(&world);
        old = old_tree(&world.path("out"));
        assert!(killed_at(command_where(&world, NFS), at).is_some());
        at += 1;
    }
    std::fs::create_dir(world.path("out")).unwrap();
    std::fs::write(world.path("out/other"), "other").unwrap();
    let output = run(command_where(&world, NFS));
    // It is told that there is more than the old tree.
    assert_eq!(output.code, 3, "{output:?}");
    assert!(
        output.stderr.contains("something else had come there"),
        "{output:?}"
    );
    assert_same(&new, &tree::read(&world.path("out")));
    let kept: Vec<_> = beside(&world).iter().map(|name| world.path(name)).collect();
    assert!(
        kept.iter().any(|path| path.join("other").exists()),
        "{kept:?}"
    );
    let is_old = |path: &PathBuf| path.is_dir() && tree::read(path) == old;
    assert!(kept.iter().any(is_old), "{kept:?}");
    let discarded = world.offsite(["restore", "--to", "out", "--discard-old"]);
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert!(beside(&world).is_empty(), "{:?}", beside(&world));
}
