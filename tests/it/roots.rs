//! Roots that are replaced, emptied or lost under a pass: no snapshot is a mixture of two directories,
//! and none that lacks most of what there was looks complete.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use local_s3::{HookAction, Operation};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;

use crate::sources::in_own_mounts;
use crate::support::tree::{self, assert_same, settle};
use crate::support::{Output, SOURCE, World};

/// How a root gives way to another one.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Both directories swap their names.
    Exchange,
    /// The root is a symbolic link, which leads elsewhere from now on.
    Link,
    /// The root is renamed and made again.
    Rename,
}

/// A world with a second directory that can take the root's place, `offside`.
fn world_of_two(way: Way, settings: &str) -> World {
    let world = World::new();
    let kind = match settings.contains("notes") {
        true => "sessions",
        false => "directory",
    };
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  \
         - name: {SOURCE}\n    {kind}: {}\n{settings}",
        world.data().display()
    ));
    fs::create_dir(offside(&world)).unwrap();
    if matches!(way, Way::Link) {
        fs::rename(world.data(), world.path("onside")).unwrap();
        symlink("onside", world.data()).unwrap();
    }
    world
}

fn offside(world: &World) -> PathBuf {
    world.path("offside")
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

/// What makes the other directory the root.
fn replacement(world: &World, way: Way) -> impl Fn() + Send + Sync + 'static {
    let (root, other) = (world.data(), offside(world));
    let (link, aside) = (world.path("link"), world.path("aside"));
    move || match way {
        Way::Exchange => exchange(&root, &other),
        Way::Link => {
            symlink("offside", &link).unwrap();
            fs::rename(&link, &root).unwrap();
        }
        Way::Rename => {
            fs::rename(&root, &aside).unwrap();
            fs::rename(&other, &root).unwrap();
        }
    }
}

/// Runs a pass, and does something each time that the next request of these, in order, has come and is
/// not handled yet.
fn pass_with(
    world: &World,
    at: Vec<(Operation, &'static str)>,
    meanwhile: impl Fn() + Send + Sync + 'static,
) -> Output {
    let next = AtomicUsize::new(0);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        let waited_for = at.get(next.load(Ordering::SeqCst));
        if waited_for
            .is_some_and(|(operation, part)| request.operation == *operation && key.contains(part))
        {
            next.fetch_add(1, Ordering::SeqCst);
            meanwhile();
        }
        HookAction::Proceed
    });
    let output = world.offsite(["run"]);
    world.server.clear_hook();
    output
}

#[track_caller]
fn assert_replaced(output: &Output) {
    assert_eq!(output.code, 1, "{output:?}");
    let failed = output.event("source_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("was replaced"), "{failed}");
    assert!(failed["hint"].is_string(), "{failed}");
}

#[test]
fn a_root_that_is_replaced_during_a_pass_fails_its_source() {
    for way in [Way::Exchange, Way::Link, Way::Rename] {
        for settings in [
            "    method: files\n",
            "    method: archive\n",
            "    notes: []\n",
        ] {
            let world = world_of_two(way, settings);
            for name in ["s_2020/a", "s_2020/b", "s_2021/c"] {
                world.write(name, name);
                let other = offside(&world).join(name);
                fs::create_dir_all(other.parent().unwrap()).unwrap();
                fs::write(other, "another").unwrap();
            }
            settle();
            let at = vec![(Operation::PutObject, "2020")];
            let at = match settings.contains("method: archive") {
                true => vec![(Operation::HeadObject, "archives/")],
                false => at,
            };
            let output = pass_with(&world, at, replacement(&world, way));
            assert_replaced(&output);
            assert!(world.snapshots().is_empty(), "{way:?} {settings}");
            // The next pass has the other one, whole.
            world.back_up();
            assert_same(
                &tree::read(&world.data()),
                &tree::read(&world.restored_latest()),
            );
        }
    }
}

#[test]
fn a_root_that_has_vanished_before_the_commit_fails_its_source() {
    let world = World::new();
    world.write("a", "a");
    world.write("b", "b");
    let (root, aside) = (world.data(), world.path("aside"));
    let at = vec![(Operation::PutObject, "/files/")];
    let output = pass_with(&world, at, move || fs::rename(&root, &aside).unwrap());
    assert_eq!(output.code, 1, "{output:?}");
    let error = output.event("source_failed")["error"].to_string();
    assert!(error.contains("No such file"), "{error}");
    assert!(world.snapshots().is_empty());
}

/// In mounts of their own, `change` is run while the first contents are on their way.
fn pass_while_mounts_change(world: &World, setup: &str, change: &str) -> Output {
    let (go, done) = (world.path("go"), world.path("done"));
    for pipe in [&go, &done] {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(CWD, pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    let is_first = AtomicBool::new(true);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if key.contains("/files/") && is_first.swap(false, Ordering::SeqCst) {
            fs::write(&go, "go").unwrap();
            fs::read(&done).unwrap();
        }
        HookAction::Proceed
    });
    let output = in_own_mounts(
        world,
        &format!(
            "{setup}
             offsite run > events & pass=$!
             cat go > gone
             {change}
             echo done > done
             code=0; wait $pass || code=$?
             cat events
             exit $code"
        ),
    );
    world.server.clear_hook();
    output
}

#[test]
fn a_volume_that_gives_way_to_another_during_a_pass_fails_its_source() {
    for change in [
        // Another one is mounted in its place, over it, or the same once more, which need not have
        // the same mounts in it.
        "mount --move data aside; mount --bind offside data",
        "mount --bind offside data",
        "umount --lazy data; mount --bind onside data",
        "umount --lazy data",
    ] {
        let world = World::new();
        for directory in ["onside", "offside", "aside"] {
            fs::create_dir(world.path(directory)).unwrap();
        }
        for name in ["a", "b", "c"] {
            fs::write(world.path("onside").join(name), name).unwrap();
        }
        fs::write(world.path("offside").join("z"), "z").unwrap();
        world.write("not-mounted", "what lies below the mount");
        let output = pass_while_mounts_change(&world, "mount --bind onside data", change);
        assert_replaced(&output);
        assert!(world.snapshots().is_empty(), "{change}");
    }
}

#[test]
fn a_root_that_is_replaced_and_put_back_shows_nothing_of_the_other() {
    let world = world_of_two(Way::Exchange, "    notes: [\"*.md\"]\n");
    for session in ["s_2020", "s_2021"] {
        world.write(&format!("{session}/a"), format!("a of {session}"));
        world.write(&format!("{session}/n.md"), format!("notes of {session}"));
        let other = offside(&world).join(session);
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("a"), "another").unwrap();
        fs::write(other.join("n.md"), "another").unwrap();
    }
    settle();
    // Away at the first note, back when all are there.
    let capture = vec![
        (Operation::HeadObject, "sessions/2020"),
        (Operation::PutObject, "raw/2021"),
    ];
    let output = pass_with(&world, capture, replacement(&world, Way::Exchange));
    assert_eq!(output.code, 0, "{output:?}");
    for session in ["s_2020", "s_2021"] {
        let year = &session[2..];
        let key = world.full_key(&format!("sessions/{year}/{session}_n.md"));
        let note = world.server.object("backups", &key).unwrap().bytes;
        assert_eq!(&note[..], format!("notes of {session}").as_bytes());
    }
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );

    // Away during the survey, back while contents are sent.
    world.write("s_2020/a", "a that has changed");
    settle();
    let capture = vec![
        (Operation::GetObject, ".ndjson.zst"),
        (Operation::HeadObject, "raw/2020"),
    ];
    let output = pass_with(&world, capture, replacement(&world, Way::Exchange));
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

/// Passes while two directories change places without end; what they have committed.
fn committed_while_flipping(world: &World, passes: usize) -> Vec<Value> {
    let is_over = Arc::new(AtomicBool::new(false));
    let (root, other, ends) = (world.data(), offside(world), Arc::clone(&is_over));
    let flips = std::thread::spawn(move || {
        while !ends.load(Ordering::SeqCst) {
            exchange(&root, &other);
        }
    });
    let outputs: Vec<_> = (0..passes).map(|_| world.offsite(["run"])).collect();
    is_over.store(true, Ordering::SeqCst);
    flips.join().unwrap();
    let (committed, failed): (Vec<_>, _) = outputs.into_iter().partition(|output| output.code == 0);
    failed.iter().for_each(assert_replaced);
    committed
        .iter()
        .map(|output| output.event("snapshot_committed"))
        .collect()
}

#[test]
fn no_snapshot_is_of_two_directories_however_often_they_change_places() {
    const FILES: usize = 40;
    let world = world_of_two(Way::Exchange, "    method: files\n");
    for index in 0..FILES {
        world.write(&format!("{index:02}"), "one");
    }
    fs::write(offside(&world).join("zz"), "other").unwrap();
    settle();
    for committed in committed_while_flipping(&world, 24) {
        let files = committed["files"].as_u64().unwrap();
        assert!(files == FILES as u64 || files == 1, "{committed}");
        assert_eq!(committed["vanished"], 0, "{committed}");
    }

    // The survey of sessions, their capture and their notes are of one directory too.
    let world = world_of_two(Way::Exchange, "    notes: [\"*.md\"]\n");
    for name in ["a", "b.md"] {
        world.write(&format!("s_2020/{name}"), "one");
        fs::create_dir_all(offside(&world).join("s_2021")).unwrap();
        fs::write(offside(&world).join("s_2021").join(name), "other").unwrap();
    }
    settle();
    for committed in committed_while_flipping(&world, 12) {
        // Whichever it is of, it has all of its session, and keeps the other.
        let files = committed["files"].as_u64().unwrap();
        assert!(files == 2 || files == 4, "{committed}");
        assert_eq!(committed["vanished"], 0, "{committed}");
    }
}

/// Runs a first pass over files that are sent one after the other, some of which are removed when the
/// first one is on its way.
fn pass_that_loses(total: usize, lost: usize) -> (World, Output) {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 1);
    world.set("LIMITS__READ_THREADS", 1);
    for index in 0..total {
        world.write(&format!("{index:03}"), format!("{index}"));
    }
    settle();
    let root = world.data();
    let output = pass_with(&world, vec![(Operation::PutObject, "/files/")], move || {
        for index in total - lost..total {
            fs::remove_file(root.join(format!("{index:03}"))).unwrap();
        }
    });
    assert_eq!(output.event("snapshot_committed")["vanished"], lost);
    (world, output)
}

#[test]
fn a_pass_that_loses_more_than_a_tenth_of_its_entries_is_incomplete() {
    let (world, output) = pass_that_loses(60, 30);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.event("snapshot_committed")["complete"], false);
    let notice = output.event("notice")["message"].to_string();
    assert!(notice.contains("30 of 61"), "{notice}");
    let listed = world.offsite(["list"]).stdout;
    assert!(listed.contains("incomplete"), "{listed}");
    // What is left is all there is.
    let next = world.back_up();
    assert_eq!(next.event("snapshot_committed")["complete"], true);
}

#[test]
fn a_few_entries_that_vanish_do_not_matter() {
    for (total, lost) in [(15, 10), (140, 13)] {
        let (_, output) = pass_that_loses(total, lost);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(output.event("snapshot_committed")["complete"], true);
    }
}

#[test]
fn a_session_that_is_lost_between_survey_and_archive_makes_the_pass_incomplete() {
    let world = world_of_two(Way::Exchange, "    notes: []\n");
    for index in 0..40 {
        world.write(&format!("s_2020/{index}"), "a");
    }
    world.write("s_2021/a", "a");
    settle();
    world.back_up();
    world.write("s_2020/more", "more");
    settle();
    let session = world.data().join("s_2020");
    // The survey reads the last manifest, and then the pass does, before it reads any file.
    let manifest = (Operation::GetObject, ".ndjson.zst");
    let reads = AtomicUsize::new(0);
    let output = pass_with(&world, vec![manifest; 2], move || {
        if reads.fetch_add(1, Ordering::SeqCst) == 1 {
            for index in 0..40 {
                fs::remove_file(session.join(format!("{index}"))).unwrap();
            }
        }
    });
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.event("snapshot_committed")["complete"], false);
}

#[test]
fn a_source_that_is_empty_fails_on_its_first_pass_too() {
    for (kind, settings) in [
        ("directory", "    method: files\n"),
        ("directory", "    method: archive\n"),
        ("sessions", ""),
    ] {
        let mut world = World::new();
        world.configure(&format!(
            "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  \
             - name: {SOURCE}\n    {kind}: {}\n{settings}",
            world.data().display()
        ));
        let output = world.offsite(["run"]);
        assert_eq!(output.code, 1, "{kind} {settings}: {output:?}");
        let failed = output.event("source_failed");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("is empty"), "{failed}");
        let hint = failed["hint"].as_str().unwrap();
        assert!(hint.contains("allow_empty: true"), "{failed}");
        assert!(world.snapshots().is_empty());
        assert_eq!(world.offsite(["plan"]).code, 1);

        world.set("DEFAULTS__ALLOW_EMPTY", true);
        world.back_up();
        assert_eq!(tree::read(&world.restored_latest()).len(), 1);
        assert_eq!(world.offsite(["plan"]).code, 0);
        // It is no volume that was mounted before.
        world.unset("OFFSITE_DEFAULTS__ALLOW_EMPTY");
        assert_eq!(world.offsite(["run"]).code, 1);
    }
}

#[test]
fn a_source_of_which_everything_is_left_out_is_empty() {
    for (kind, settings) in [
        ("directory", "    exclude: [lost+found]\n"),
        ("directory", "    include: [\"*.jpg\"]\n"),
        ("sessions", ""),
        ("sessions", "    exclude: [\"lost*\"]\n"),
    ] {
        let mut world = World::new();
        world.configure(&format!(
            "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  \
             - name: {SOURCE}\n    {kind}: {}\n{settings}",
            world.data().display()
        ));
        match settings.contains("lost") {
            true => fs::create_dir(world.data().join("lost+found")).unwrap(),
            false => world.write("a.txt", "neither a session nor a picture"),
        }
        let output = world.offsite(["run"]);
        assert_eq!(output.code, 1, "{kind} {settings}: {output:?}");
        let error = output.event("source_failed")["error"].to_string();
        assert!(!error.contains("is empty"), "{error}");
        assert!(world.snapshots().is_empty());
        world.set("DEFAULTS__ALLOW_EMPTY", true);
        world.back_up();
    }
}
