//! Damage between the store and verify: not to be reported as damage in the store.

use std::sync::mpsc;

use local_s3::{Fault, HookAction, Operation};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::tree::settle;
use crate::support::{BUCKET, World, finish, noise};
use crate::verify::{findings, report};

/// A world with an archive: small files that share a range, a large one, and tar headers between.
fn archive(codec: &str) -> World {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 1);
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", codec);
    world.write("a", noise(1, 700));
    world.write("b", noise(2, 700_000));
    world.write("c/d", noise(3, 900));
    std::fs::create_dir(world.data().join("empty")).unwrap();
    settle();
    world.back_up();
    world
}

/// Reads of contents that verify makes.
fn reads(world: &World) -> usize {
    let requests = world.requests_of(|| assert_eq!(findings(world, &["--read"]), (0, vec![])));
    let is_read = |r: &&local_s3::LoggedRequest| {
        let key = r.key.as_deref().unwrap_or_default();
        r.operation == Operation::GetObject && key.contains("/archives/")
    };
    requests.iter().filter(is_read).count()
}

/// Byte 4 is within the header of a gzip member, where no file notices.
#[test]
fn an_archive_damaged_on_the_way_is_read_once_more() {
    for codec in ["gzip", "zstd", "none"] {
        let world = archive(codec);
        let reads = reads(&world);
        assert!(reads > 2, "{reads}");
        for index in 0..reads {
            for offset in [0, 4] {
                let fault = Fault::on(Operation::GetObject).key_contains("/archives/");
                let fault = fault.skip(index).corrupt_download_at(offset);
                let fault = world.server.fault(fault);
                let found = findings(&world, &["--read"]);
                assert_eq!(fault.fired(), 1);
                assert_eq!(found, (0, vec![]), "{codec}, read {index}, byte {offset}");
                world.server.clear_faults();
            }
        }
    }
}

/// An answer that is too short and says so is damage on the way where HEAD says otherwise.
#[test]
fn an_answer_cut_short_on_the_way_is_read_once_more() {
    for codec in ["zstd", "none"] {
        let world = archive(codec);
        for index in 0..reads(&world) {
            let fault = Fault::on(Operation::GetObject).key_contains("/archives/");
            let fault = world.server.fault(fault.skip(index).shorten_download(5));
            let found = findings(&world, &["--read"]);
            assert_eq!(fault.fired(), 1);
            assert_eq!(found, (0, vec![]), "{codec}, read {index}");
            world.server.clear_faults();
        }
    }
    let world = files();
    let fault = Fault::on(Operation::GetObject).key_contains("/files/");
    world.server.fault(fault.shorten_download(5));
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
}

fn files() -> World {
    let world = World::new();
    world.write("a", noise(1, 3000));
    settle();
    world.back_up();
    world
}

/// `times` reads of `key`, each damaged at another place.
fn damage_differently(world: &World, key: &str, times: u64) {
    for offset in 0..times {
        let fault = Fault::on(Operation::GetObject).key_contains(key);
        world.server.fault(fault.corrupt_download_at(offset));
    }
}

#[test]
fn what_arrives_different_each_time_is_not_called_damage_in_the_store() {
    // Three reads may go wrong as long as they go wrong differently.
    for (world, key) in [(files(), "/files/"), (archive("none"), "/archives/")] {
        damage_differently(&world, key, 3);
        assert_eq!(findings(&world, &["--read"]), (0, vec![]), "{key}");
    }
    for (world, key) in [
        (files(), "/files/"),
        (archive("none"), "/archives/"),
        (archive("gzip"), "/archives/"),
    ] {
        damage_differently(&world, key, 200);
        let (code, report) = report(&world, &["--read"]);
        assert_eq!(code, 4, "{report}");
        for finding in report["findings"].as_array().unwrap() {
            assert_eq!(finding["kind"], "unsteady", "{report}");
        }
        let output = world.offsite(["verify", "--read"]);
        assert!(output.stderr.contains("differs each time"), "{output:?}");
        assert!(output.stderr.contains("on the way"), "{output:?}");
        for claim in ["altered", "--no-incremental"] {
            assert!(!output.stderr.contains(claim), "{output:?}");
        }
    }
}

/// Reads that show nothing do not hide what the store itself tells.
#[test]
fn damage_that_the_store_tells_is_not_hidden_by_damage_on_the_way() {
    for (world, prefix, kind) in [
        (files(), "files/", "replaced"),
        (archive("none"), "archives/", "altered"),
    ] {
        let key = world.full_key(&world.key_like(prefix, ""));
        let length = world.server.object(BUCKET, &key).unwrap().bytes.len();
        world.server.replace(BUCKET, &key, noise(9, length));
        damage_differently(&world, &key, 200);
        let (code, report) = report(&world, &["--read"]);
        assert_eq!(code, 4, "{report}");
        let findings = report["findings"].as_array().unwrap();
        assert!(findings.iter().any(|f| f["kind"] == kind), "{report}");
    }
}

#[test]
fn a_segment_damaged_differently_on_the_way_is_read_again() {
    let world = files();
    damage_differently(&world, "/manifests/", 3);
    assert_eq!(findings(&world, &[]), (0, vec![]));
    damage_differently(&world, "/manifests/", 10);
    let output = world.offsite(["verify"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("differs each time"), "{output:?}");
    assert!(
        output.stderr.contains("hint: look for a proxy"),
        "{output:?}"
    );
    // Nothing is known to be wrong with the segment, so a pass does not capture again what it lists.
    world.server.clear_faults();
    damage_differently(&world, "/manifests/", 10);
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(
        output.events_named("segment_damaged").len(),
        0,
        "{output:?}"
    );
    world.server.clear_faults();
    world.back_up();
}

#[test]
fn damage_in_the_store_is_told_from_damage_on_the_way() {
    for codec in ["gzip", "zstd", "none"] {
        let world = archive(codec);
        let key = world.full_key(&world.key_like("archives/", ""));
        let length = world.server.object(BUCKET, &key).unwrap().bytes.len();
        for offset in [0, length / 2, length - 1] {
            world.server.corrupt(BUCKET, &key, offset);
            let (code, report) = report(&world, &["--read"]);
            assert_eq!(code, 4, "{codec}, {offset}: {report}");
            for finding in report["findings"].as_array().unwrap() {
                assert_eq!(finding["kind"], "altered", "{codec}, {offset}: {report}");
            }
            world.server.corrupt(BUCKET, &key, offset);
        }
    }
}

#[test]
fn a_signal_ends_the_reading_of_a_large_archive() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    for index in 0..7000 {
        world.write(&format!("{index}"), "");
    }
    settle();
    world.back_up();
    let key = world.full_key(&world.key_like("archives/", ""));
    let length = world.server.object(BUCKET, &key).unwrap().bytes.len();
    assert!(length > 9 << 20, "{length} bytes are one read");
    let (first, reached) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation == Operation::GetObject && key.contains("/archives/") {
            let _ = first.send(());
            let _ = wait.lock().unwrap().recv();
        }
        HookAction::Proceed
    });
    world.server.clear_requests();
    let child = world.spawn(["verify", "--read"]);
    reached.recv().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // Until the signal has been taken note of.
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(go_on);
    let output = finish(child.wait_with_output().unwrap());
    assert_eq!(output.code, 130, "{output:?}");
    assert!(output.stdout.contains("ENDED EARLY"), "{output:?}");
    let requests = world.server.requests();
    let reads = requests.iter().filter(|r| {
        let key = r.key.as_deref().unwrap_or_default();
        r.operation == Operation::GetObject && key.contains("/archives/")
    });
    assert_eq!(reads.count(), 1);
}
