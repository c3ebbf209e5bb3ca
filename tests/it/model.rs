//! Random histories of a directory, passes and kills, against a model: whatever was committed
//! restores to what the directory held when its pass began.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use local_s3::HookAction;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::tree::{self, Tree, assert_same};
use crate::support::{World, finish};

/// Something that happens to the directory, or a pass over it.
#[derive(Debug, Clone)]
enum Step {
    Write(Spot, u8, usize),
    Append(Spot, usize),
    Truncate(Spot),
    /// Other bytes, the same length, and the old time of modification.
    Forge(Spot, u8),
    Touch(Spot),
    Chmod(Spot, u32),
    Rename(Spot, Spot),
    Delete(Spot),
    MakeDirectory(Spot),
    Symlink(Spot, u8),
    HardLink(Spot, Spot),
    Pass,
    /// A pass that is killed at a request.
    Kill(usize),
    /// A pass that captures everything afresh.
    Afresh,
}

/// One of a few places, so that steps meet.
#[derive(Debug, Clone)]
struct Spot(PathBuf);

fn spot() -> impl Strategy<Value = Spot> {
    let name = prop::sample::select(vec!["a", "a-b", "a.b", "b", "c"]);
    prop::collection::vec(name, 1..=3).prop_map(|names| Spot(names.iter().collect()))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (spot(), any::<u8>(), 0..5000_usize).prop_map(|(s, b, n)| Step::Write(s, b, n)),
        2 => (spot(), 1..100_usize).prop_map(|(s, n)| Step::Append(s, n)),
        1 => spot().prop_map(Step::Truncate),
        2 => (spot(), any::<u8>()).prop_map(|(s, b)| Step::Forge(s, b)),
        1 => spot().prop_map(Step::Touch),
        1 => (spot(), 0..0o1000_u32).prop_map(|(s, m)| Step::Chmod(s, m)),
        2 => (spot(), spot()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => spot().prop_map(Step::Delete),
        2 => spot().prop_map(Step::MakeDirectory),
        1 => (spot(), any::<u8>()).prop_map(|(s, b)| Step::Symlink(s, b)),
        2 => (spot(), spot()).prop_map(|(a, b)| Step::HardLink(a, b)),
        5 => Just(Step::Pass),
        2 => (0..30_usize).prop_map(Step::Kill),
        1 => Just(Step::Afresh),
    ]
}

/// Makes room for something else at `path`.
fn clear(root: &Path, path: &Path) -> PathBuf {
    let full = root.join(path);
    // A file where a directory is wanted gives way.
    for ancestor in path
        .ancestors()
        .skip(1)
        .filter(|a| !a.as_os_str().is_empty())
    {
        let ancestor = root.join(ancestor);
        if ancestor.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
            fs::remove_file(&ancestor).unwrap();
        }
    }
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    remove(&full);
    full
}

fn remove(full: &Path) {
    match full.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(full).unwrap(),
        Ok(_) => fs::remove_file(full).unwrap(),
        Err(_) => {}
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_file())
}

fn happen(root: &Path, step: &Step) {
    let full = |spot: &Spot| root.join(&spot.0);
    match step {
        Step::Write(spot, byte, length) => {
            let contents = vec![*byte; *length];
            if is_file(&full(spot)) {
                fs::write(full(spot), contents).unwrap();
            } else {
                fs::write(clear(root, &spot.0), contents).unwrap();
            }
        }
        Step::Append(spot, length) if is_file(&full(spot)) => {
            let mut file = fs::OpenOptions::new()
                .append(true)
                .open(full(spot))
                .unwrap();
            file.write_all(&vec![b'+'; *length]).unwrap();
        }
        Step::Truncate(spot) if is_file(&full(spot)) => {
            let file = fs::OpenOptions::new().write(true).open(full(spot)).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
        Step::Forge(spot, byte) if is_file(&full(spot)) => {
            let mut file = fs::OpenOptions::new().write(true).open(full(spot)).unwrap();
            let before = file.metadata().unwrap();
            file.rewind().unwrap();
            file.write_all(&vec![*byte; usize::try_from(before.len()).unwrap()])
                .unwrap();
            file.set_modified(before.modified().unwrap()).unwrap();
        }
        Step::Touch(spot) if full(spot).symlink_metadata().is_ok() => {
            tree::set_mtime(&full(spot), 1_500_000_000, 7);
        }
        Step::Chmod(spot, mode) if is_file(&full(spot)) => {
            fs::set_permissions(full(spot), fs::Permissions::from_mode(*mode)).unwrap();
        }
        Step::Rename(from, to) if full(from).symlink_metadata().is_ok() => {
            let inside = to.0.starts_with(&from.0) || from.0.starts_with(&to.0);
            if !inside {
                let to = clear(root, &to.0);
                // What gave way may have been above the source.
                let _ = fs::rename(full(from), to);
            }
        }
        Step::Delete(spot) => remove(&full(spot)),
        Step::MakeDirectory(spot) if !full(spot).is_dir() => {
            fs::create_dir(clear(root, &spot.0)).unwrap();
        }
        Step::Symlink(spot, byte) => {
            symlink(format!("target-{byte}"), clear(root, &spot.0)).unwrap();
        }
        Step::HardLink(from, to) if is_file(&full(from)) && !to.0.starts_with(&from.0) => {
            let to = clear(root, &to.0);
            let _ = fs::hard_link(full(from), to);
        }
        _ => {}
    }
}

/// Runs a pass and kills it at a request, if it makes so many. Whether it was killed.
fn killed(world: &World, index: usize) -> bool {
    let pid = Arc::new(AtomicI32::new(0));
    let hit = Arc::new(AtomicBool::new(false));
    let (target, was_hit) = (Arc::clone(&pid), Arc::clone(&hit));
    let gate = Arc::new(Mutex::new(()));
    let closed = Arc::clone(&gate);
    let starting = gate.lock().unwrap();
    world.server.clear_requests();
    world.server.on_request(move |request| {
        drop(closed.lock().unwrap());
        if request.index < index || was_hit.swap(true, Ordering::SeqCst) {
            return HookAction::Proceed;
        }
        let target = Pid::from_raw(target.load(Ordering::SeqCst)).unwrap();
        let kill = move || kill_process(target, Signal::KILL).unwrap();
        if request.index % 2 == 0 {
            kill();
            return HookAction::DropBefore;
        }
        HookAction::handle_then_drop(kill)
    });
    let child = world.spawn(["run"]);
    pid.store(i32::try_from(child.id()).unwrap(), Ordering::SeqCst);
    drop(starting);
    let output = finish(child.wait_with_output().unwrap());
    world.server.clear_hook();
    assert!([0, -9].contains(&output.code), "{output:?}");
    output.code == -9
}

fn history(steps: &[Step]) {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 6);
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 2);
    world.set("LIMITS__CONCURRENCY", 4);
    world.set("DEFAULTS__ALLOW_EMPTY", true);
    let mut model: BTreeMap<String, Tree> = BTreeMap::new();
    let mut committed = |world: &World, now: Tree| {
        for id in world.snapshots() {
            model.entry(id).or_insert_with(|| now.clone());
        }
        model.len()
    };
    for step in steps {
        match step {
            Step::Pass | Step::Afresh => {
                let now = tree::read(&world.data());
                let args = match step {
                    Step::Pass => &["run"][..],
                    _ => &["run", "--no-incremental"],
                };
                let output = world.offsite(args);
                assert_eq!(output.code, 0, "{output:?}");
                committed(&world, now);
            }
            Step::Kill(index) => {
                let now = tree::read(&world.data());
                let was_killed = killed(&world, *index);
                committed(&world, now);
                if was_killed {
                    world.expire_leases();
                }
            }
            step => happen(&world.data(), step),
        }
    }
    let ids = world.snapshots();
    assert_eq!(ids.len(), model.len());
    for (id, tree) in &model {
        assert_same(tree, &tree::read(&world.restored(id)));
    }
    if !ids.is_empty() {
        let output = world.offsite(["verify", "--read"]);
        assert_eq!(output.code, 0, "{output:?}");
    }
}

#[test]
fn every_snapshot_ever_committed_restores_to_what_was_there() {
    let config = Config {
        cases: 40,
        max_shrink_iters: 60,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    };
    let steps = prop::collection::vec(step(), 5..40);
    let result = TestRunner::new(config).run(&steps, |steps| {
        history(&steps);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
