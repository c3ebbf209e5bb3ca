//! Files with several names, while somebody changes them under the pass.

use std::sync::atomic::{AtomicBool, Ordering};

use local_s3::HookAction;

use crate::support::tree::{assert_same, read, settle};
use crate::support::{Output, World};

/// A pass during which `meddle` is called after the walk and before the last files are read: one
/// file is sent at a time, and it happens while the first one is.
fn pass_with(world: &mut World, meddle: impl Fn() + Send + Sync + 'static) -> Output {
    world.set("LIMITS__CONCURRENCY", 1);
    world.set("LIMITS__READ_THREADS", 1);
    for index in 0..10 {
        world.write(&format!("a/{index}"), format!("first {index}"));
    }
    settle();
    let done = AtomicBool::new(false);
    world.server.on_request(move |request| {
        let is_content = request
            .key
            .as_deref()
            .is_some_and(|key| key.contains("/a/"));
        if request.method == "PUT" && is_content && !done.swap(true, Ordering::SeqCst) {
            // The walk of so small a tree is long over.
            std::thread::sleep(std::time::Duration::from_millis(200));
            meddle();
        }
        HookAction::Proceed
    });
    let output = world.back_up();
    world.server.clear_hook();
    output
}

fn linked() -> World {
    let world = World::new();
    world.write("x/1", "version one");
    std::fs::create_dir(world.data().join("y")).unwrap();
    std::fs::hard_link(world.data().join("x/1"), world.data().join("y/2")).unwrap();
    world
}

fn assert_restores_what_is_there(world: &World) {
    // Directories are recorded as the walk has found them.
    let [there, restored] = [world.data(), world.restored_latest()].map(|root| {
        let mut tree = read(&root);
        let directories = tree.values_mut().filter(|facts| facts.kind == "directory");
        directories.for_each(|facts| facts.mtime_ns = 0);
        tree
    });
    assert_same(&there, &restored);
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn a_name_that_has_become_another_file_shares_nothing() {
    let mut world = linked();
    let data = world.data();
    pass_with(&mut world, move || {
        std::fs::write(data.join("temporary"), "version two").unwrap();
        std::fs::rename(data.join("temporary"), data.join("x/1")).unwrap();
    });
    assert_restores_what_is_there(&world);
}

#[test]
fn a_file_that_changes_between_its_names_is_recorded_as_it_is() {
    let mut world = linked();
    let data = world.data();
    pass_with(&mut world, move || {
        std::fs::write(data.join("x/1"), "version two, which is longer").unwrap();
    });
    assert_restores_what_is_there(&world);
}

#[test]
fn a_first_name_that_vanishes_leaves_the_others() {
    let mut world = linked();
    let data = world.data();
    pass_with(&mut world, move || {
        std::fs::remove_file(data.join("x/1")).unwrap();
    });
    let restored = world.restored_latest();
    assert_eq!(std::fs::read(restored.join("y/2")).unwrap(), b"version one");
}

#[test]
fn in_an_archive_a_name_that_has_become_another_file_shares_nothing() {
    // Nothing of an archive is sent before it is whole, so the change has to come by itself.
    let mut world = linked();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("LIMITS__READ_THREADS", 1);
    for index in 0..2000 {
        world.write(&format!("a/{index}"), "many, to be read first");
    }
    settle();
    let data = world.data();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let meddler = std::thread::spawn(move || {
        let mut version = 0_u64;
        while !stopped.load(Ordering::SeqCst) {
            version += 1;
            std::fs::write(data.join("temporary"), format!("version {version:07}")).unwrap();
            std::fs::rename(data.join("temporary"), data.join("x/1")).unwrap();
            let _ = std::fs::remove_file(data.join("y/2"));
            let _ = std::fs::hard_link(data.join("x/1"), data.join("y/2"));
        }
    });
    for _ in 0..5 {
        let output = world.offsite(["run"]);
        assert_eq!(output.code, 0, "{output:?}");
        let verified = world.offsite(["verify", "--read"]);
        assert_eq!(verified.code, 0, "{verified:?}");
        world.restored_latest();
    }
    stop.store(true, Ordering::SeqCst);
    meddler.join().unwrap();
    world.back_up();
    assert_restores_what_is_there(&world);
}

#[test]
fn many_names_of_one_file_are_one_file() {
    for method in ["files", "archive"] {
        let mut world = World::new();
        world.set("DEFAULTS__METHOD", method);
        world.write("0000", "one file");
        for index in 1..3000 {
            let name = world.data().join(format!("{index:04}"));
            std::fs::hard_link(world.data().join("0000"), name).unwrap();
        }
        settle();
        let output = world.back_up();
        assert_eq!(output.event("backup_completed")["uploaded_files"], 1);
        assert_restores_what_is_there(&world);
    }
}
