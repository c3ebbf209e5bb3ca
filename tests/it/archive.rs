//! Archives: ordinary tar files to everybody, and for offsite a place where each file can be had
//! alone.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use local_s3::{HookAction, Operation, RequestInfo};
use rustix::process::Signal;

use crate::kill::{Moment, at_every_request, killed_when, pass_with_signal};
use crate::support::tree::{self, Tree, assert_same, make_one_of_everything, read, settle};
use crate::support::{BUCKET, Output, SOURCE, World, aws_cli, is_object_record, noise};

const CODECS: [&str; 3] = ["gzip", "zstd", "none"];

/// A world whose source is archived.
fn world(codec: &str) -> World {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", codec);
    world
}

fn incremental() -> World {
    let mut world = world("zstd");
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    world
}

/// The key of the one archive of the store.
fn archive(world: &World) -> String {
    world.full_key(&world.key_like("archives/", ""))
}

/// Extracts an archive as its owner would.
fn extract(world: &World, key: &str, program: &str, options: &[&str]) -> std::path::PathBuf {
    let file = world.path(&format!("archive.{}", key.rsplit('.').next().unwrap()));
    let object = world.server.object(BUCKET, key).unwrap();
    std::fs::write(&file, &object.bytes).unwrap();
    let target = world.path(&format!("extracted-by-{program}"));
    std::fs::create_dir(&target).unwrap();
    let output = Command::new(program)
        .args(options)
        .args(["--numeric-owner", "-xpf"])
        .arg(&file)
        .arg("-C")
        .arg(&target)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    target
}

/// What bsdtar makes of a tree: it leaves the directory alone that it extracts into, and takes the
/// fraction of a time before 1970 for one after.
fn as_bsdtar(expected: &Tree, found: &Tree) -> Tree {
    let mut expected = expected.clone();
    for (path, facts) in &mut expected {
        let has_odd_time = facts.mtime_ns < 0 && facts.mtime_ns % 1_000_000_000 != 0;
        if path == Path::new("") || has_odd_time {
            facts.mtime_ns = found[path].mtime_ns;
        }
    }
    expected
}

#[test]
fn gnu_tar_and_bsdtar_extract_everything() {
    for codec in CODECS {
        let mut world = world(codec);
        world.set("DEFAULTS__XATTRS", true);
        make_one_of_everything(&world.data());
        let long = "long-name-".repeat(20);
        world.write(&format!("{long}/{long}"), "far down");
        std::os::unix::fs::symlink(&long, world.data().join("to-long")).unwrap();
        world.write("old", "from before the epoch");
        tree::set_mtime(&world.data().join("old"), -86_400, 5);
        world.write("in-pieces", noise(3, 11 << 20));
        std::fs::hard_link(world.data().join("in-pieces"), world.data().join("zz")).unwrap();
        settle();
        world.back_up();
        let expected = read(&world.data());

        let key = archive(&world);
        let gnu = ["--xattrs", "--xattrs-include=*", "--warning=no-timestamp"];
        assert_same(&expected, &read(&extract(&world, &key, "tar", &gnu)));
        let by_bsdtar = read(&extract(&world, &key, "bsdtar", &[]));
        assert_same(&as_bsdtar(&expected, &by_bsdtar), &by_bsdtar);
        assert_same(&expected, &read(&world.restored_latest()));
        for args in [&["verify"][..], &["verify", "--read"]] {
            let verified = world.offsite(args);
            assert_eq!(verified.code, 0, "{verified:?}");
        }
    }
}

#[test]
fn the_key_is_the_templates_and_the_event_tells_it() {
    let mut world = world("gzip");
    world.write("a", "contents");
    settle();
    let output = world.back_up();
    let event = output.event("backup_archive_uploaded");
    let key = event["key"].as_str().unwrap();
    let year = &key["archives/data/".len()..][..4];
    assert!(
        key.starts_with(&format!("archives/{SOURCE}/{year}/{SOURCE}_{year}")),
        "{key}"
    );
    assert!(key.ends_with(".tar.gz"), "{key}");
    assert_eq!(event["members"], 2);
    assert_eq!(event["bytes"], 8);
    assert_eq!(
        world
            .keys()
            .iter()
            .filter(|k| k.starts_with("files/"))
            .count(),
        0
    );

    // A key that is taken is never written over.
    world.set("DEFAULTS__ARCHIVE__KEY", "mine/{source}.{ext}");
    let first = world.back_up().event("backup_archive_uploaded")["key"].clone();
    assert_eq!(first, "mine/data.tar.gz");
    let second = world.back_up().event("backup_archive_uploaded")["key"].clone();
    assert!(
        second.as_str().unwrap().starts_with("mine/data_2"),
        "{second}"
    );
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn one_file_costs_the_bytes_around_it_and_no_more() {
    for codec in CODECS {
        let world = world(codec);
        for index in 0..400 {
            world.write(&format!("small/{index:03}"), noise(index, 20_000));
        }
        for index in 0..14 {
            world.write(&format!("large/{index:02}"), noise(1000 + index, 10 << 20));
        }
        settle();
        world.back_up();
        let total = world
            .server
            .object(BUCKET, &archive(&world))
            .unwrap()
            .bytes
            .len() as u64;
        let target = world.path("one");
        let requests = world.requests_of(|| {
            let restored = world.offsite([
                "restore",
                "--to",
                target.to_str().unwrap(),
                "--source",
                SOURCE,
                "--path",
                "small/123",
            ]);
            assert_eq!(restored.code, 0, "{restored:?}");
        });
        assert_eq!(
            std::fs::read(target.join("small/123")).unwrap(),
            noise(123, 20_000)
        );
        let read: u64 = requests
            .iter()
            .filter(|request| {
                request
                    .request
                    .key
                    .as_deref()
                    .is_some_and(|key| key.contains("archives/"))
            })
            .map(|request| request.sent)
            .sum();
        assert!(read * 100 < total, "{codec}: {read} of {total} bytes");
    }
}

#[test]
fn a_chain_of_archives_restores_each_of_its_snapshots() {
    let world = incremental();
    for index in 0..20 {
        world.write(&format!("{index:02}"), format!("first {index}"));
    }
    let mut trees = Vec::new();
    for pass in 0..200_u64 {
        world.write(&format!("{:02}", pass % 20), format!("pass {pass}"));
        if pass % 7 == 3 {
            world.write(&format!("new/{pass}"), noise(pass, 5000));
        }
        if pass % 11 == 5 {
            let _ = std::fs::remove_dir_all(world.data().join("new"));
        }
        settle();
        world.back_up();
        trees.push(read(&world.data()));
    }
    let archives = world
        .keys()
        .iter()
        .filter(|key| key.starts_with("archives/"))
        .count();
    assert_eq!(archives, 200);
    let snapshots = world.snapshots();
    assert_eq!(snapshots.len(), 200);
    for (snapshot, tree) in snapshots.iter().zip(&trees) {
        let restored = world.restored(snapshot);
        assert_same(tree, &read(&restored));
        std::fs::remove_dir_all(restored).unwrap();
    }
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn a_full_archive_is_made_when_it_is_due_or_asked_for() {
    let mut world = incremental();
    world.set("DEFAULTS__ARCHIVE__FULL_EVERY", "7d");
    for index in 0..5 {
        world.write(&format!("{index}"), "contents");
    }
    settle();
    let members = |output: Output| output.event("backup_archive_uploaded")["members"].clone();
    assert_eq!(members(world.back_up()), 6);
    world.write("0", "changed");
    settle();
    assert_eq!(members(world.back_up()), 1);
    // Nothing has changed: there is nothing to archive.
    let unchanged = world.back_up();
    assert_eq!(unchanged.events_named("backup_archive_uploaded").len(), 0);
    let full = world.offsite(["run", "--full"]);
    assert_eq!(full.code, 0, "{full:?}");
    assert_eq!(members(full), 6);
    let day = Duration::from_secs(24 * 3600);
    world.server.clock().advance(6 * day);
    world.write("1", "changed");
    settle();
    assert_eq!(members(world.back_up()), 1);
    world.server.clock().advance(day);
    assert_eq!(members(world.back_up()), 6);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn a_source_may_change_its_method() {
    let mut world = World::new();
    world.write("a", "first");
    world.write("b", "stays");
    settle();
    world.back_up();
    let first = read(&world.data());
    world.set("DEFAULTS__METHOD", "archive");
    world.write("a", "second");
    settle();
    world.back_up();
    let second = read(&world.data());
    world.set("DEFAULTS__METHOD", "files");
    world.write("a", "third");
    settle();
    world.back_up();
    let third = read(&world.data());
    for (snapshot, tree) in world.snapshots().iter().zip([first, second, third]) {
        assert_same(&tree, &read(&world.restored(snapshot)));
    }
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn a_damaged_byte_anywhere_is_found() {
    for codec in CODECS {
        let world = world(codec);
        world.write("dir/a", "some text, ".repeat(40));
        world.write("dir/b", noise(1, 700));
        std::fs::create_dir(world.data().join("empty")).unwrap();
        settle();
        world.back_up();
        let key = archive(&world);
        let length = world.server.object(BUCKET, &key).unwrap().bytes.len();
        for offset in (0..length).step_by(1 + length / 60).chain([length - 1]) {
            world.server.corrupt(BUCKET, &key, offset);
            let verified = world.offsite(["verify", "--read"]);
            assert_eq!(
                verified.code, 4,
                "{codec}, byte {offset} of {length}: {verified:?}"
            );
            world.server.corrupt(BUCKET, &key, offset);
        }
        assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    }
}

#[test]
fn damage_is_found_where_no_file_has_a_byte() {
    for codec in CODECS {
        let world = world(codec);
        world.write("empty", "");
        settle();
        world.back_up();
        let key = archive(&world);
        let whole = world.server.object(BUCKET, &key).unwrap().bytes;
        let verified = || world.offsite(["verify", "--read"]).code;
        assert_eq!(verified(), 0);
        world.server.corrupt(BUCKET, &key, whole.len() / 2);
        assert_eq!(verified(), 4, "{codec}: one byte is another");
        world
            .server
            .replace(BUCKET, &key, [&whole[..], b"more"].concat());
        assert_eq!(verified(), 4, "{codec}: more than there was");
        world.server.truncate(BUCKET, &key, whole.len() / 2);
        assert_eq!(verified(), 4, "{codec}: less than there was");
        world.server.remove(BUCKET, &key);
        assert_eq!(verified(), 4, "{codec}: nothing");
    }
}

#[test]
fn what_a_damaged_archive_still_has_is_restored() {
    for codec in CODECS {
        let world = world(codec);
        for index in 0..8 {
            world.write(&format!("{index}"), noise(index, 600_000));
        }
        settle();
        world.back_up();
        let key = archive(&world);
        let length = world.server.object(BUCKET, &key).unwrap().bytes.len();
        world.server.truncate(BUCKET, &key, length * 9 / 16);
        let verified = world.offsite(["verify"]);
        assert_eq!(verified.code, 4, "{verified:?}");
        assert!(verified.stderr.contains("truncated"), "{verified:?}");
        let names = |output: &Output| -> Vec<u64> {
            let named = |i: &u64| output.stderr.contains(&format!("error: {i}: "));
            (0..8).filter(named).collect()
        };
        assert_eq!(names(&verified), [4, 5, 6, 7], "{verified:?}");

        let target = world.path("rest");
        let restored = world.offsite([
            "restore",
            "--to",
            target.to_str().unwrap(),
            "--source",
            SOURCE,
        ]);
        assert_eq!(restored.code, 3, "{restored:?}");
        for index in 0..8 {
            let found = std::fs::read(target.join(index.to_string())).ok();
            let expected = (index < 4).then(|| noise(index, 600_000));
            assert!(found == expected, "{codec}: file {index}");
        }
        assert_eq!(names(&restored), [4, 5, 6, 7], "{restored:?}");
    }
}

/// One pass that is killed, and what must hold afterwards. Whether there was a request to kill at.
fn killed_at(index: usize, moment: Moment) -> bool {
    let mut world = incremental();
    world.set("MANIFEST__SEGMENT_ENTRIES", 6);
    let fill = |path: &str, seed| world.write(path, noise(seed, 300_000));
    for index in 0..10 {
        fill(&format!("{index}"), index);
    }
    settle();
    world.back_up();
    let before = read(&world.data());
    fill("1", 100);
    world.write("in-parts", noise(101, 18 << 20));
    settle();
    let now = read(&world.data());
    let Some(output) = pass_with_signal(&world, index, moment, Signal::KILL) else {
        return false;
    };
    assert_eq!(output.code, -9, "{output:?}");
    let committed = world.snapshots();
    assert_same(&before, &read(&world.restored(&committed[0])));
    if let Some(last) = committed.get(1) {
        assert_same(&now, &read(&world.restored(last)));
    }
    if world.offsite(["run"]).code == 11 {
        world.expire_leases();
    }
    world.back_up();
    assert_same(&now, &read(&world.restored_latest()));
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let open = world.server.uploads(BUCKET);
    assert!(open.is_empty(), "uploads left open: {open:?}");
    true
}

#[test]
fn a_pass_killed_before_any_of_its_requests_shows_nothing_half_done() {
    let requests = at_every_request(|index| killed_at(index, Moment::Before));
    assert!(requests > 15, "{requests} requests were tried");
}

#[test]
fn a_pass_killed_after_any_of_its_requests_shows_nothing_half_done() {
    let requests = at_every_request(|index| killed_at(index, Moment::After));
    assert!(requests > 15, "{requests} requests were tried");
}

#[test]
fn many_files_are_removed_while_a_group_is_open() {
    let world = incremental();
    for index in 0..12_000 {
        world.write(&format!("gone/{index}"), "");
    }
    settle();
    world.back_up();
    std::fs::remove_dir_all(world.data().join("gone")).unwrap();
    world.write("a", "the first of a group");
    settle();
    world.back_up();
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn an_empty_source_writes_no_archive() {
    let world = world("gzip");
    world.write("a", "contents");
    settle();
    world.back_up();
    std::fs::remove_file(world.data().join("a")).unwrap();
    assert_eq!(world.offsite(["run"]).code, 1);
    let archives = world
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("archives/"));
    assert_eq!(archives.count(), 1);
}

#[test]
fn an_upload_beside_a_taken_key_is_not_left_open() {
    for key in ["backups/latest.{ext}", "{source}.{ext}"] {
        let mut world = world("none");
        world.set("DEFAULTS__ARCHIVE__KEY", key);
        world.write("large", noise(1, 20 << 20));
        settle();
        world.back_up();
        let (arrived, has_arrived) = std::sync::mpsc::channel();
        world.server.on_request(move |request| {
            if request.operation == Operation::UploadPart {
                let _ = arrived.send(());
                std::thread::sleep(Duration::from_secs(1));
            }
            HookAction::Proceed
        });
        let mut child = world.spawn(["run"]);
        has_arrived.recv_timeout(Duration::from_secs(60)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        world.server.clear_hook();
        assert_eq!(world.server.uploads(BUCKET).len(), 1, "{key}");
        world.expire_leases();
        world.back_up();
        assert_eq!(world.server.uploads(BUCKET).len(), 0, "{key}");
        assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    }
}

#[test]
fn an_archive_that_something_else_put_there_is_found_without_download() {
    let world = world("none");
    world.write("a", noise(1, 5000));
    settle();
    world.back_up();
    let key = archive(&world);
    let put_again = |bytes: &[u8]| {
        let file = world.path("archive");
        std::fs::write(&file, bytes).unwrap();
        let credentials = world.server.credentials();
        let output = Command::new(aws_cli())
            .args(["s3api", "put-object", "--bucket", BUCKET, "--key", &key])
            .args(["--checksum-algorithm", "CRC32", "--body"])
            .arg(&file)
            .env("AWS_ENDPOINT_URL", world.server.endpoint())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_key)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let original = world.server.object(BUCKET, &key).unwrap().bytes.to_vec();
    put_again(&original);
    let output = world.offsite(["verify"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(
        output.stderr.contains("put again by something else"),
        "{output:?}"
    );
    assert_eq!(
        world.offsite(["verify", "--read"]).code,
        0,
        "it is the same"
    );
    let mut altered = original;
    let at = altered.len() / 2;
    altered[at] ^= 1;
    put_again(&altered);
    assert_eq!(world.offsite(["verify"]).code, 4);
    assert_eq!(world.offsite(["verify", "--read"]).code, 4);
}

/// Whether a request is for a checkpoint or a finished segment of the manifest.
fn is_manifest(request: &RequestInfo) -> bool {
    let key = request.key.as_deref().unwrap_or_default();
    request.operation == Operation::PutObject && key.ends_with(".ndjson.zst")
}

#[test]
fn what_was_recorded_of_an_archive_that_never_was_is_not_looked_for_in_another() {
    let mut world = incremental();
    world.set("DEFAULTS__ARCHIVE__KEY", "of/{source}/{year}-{month}.{ext}");
    world.write("old", "old");
    settle();
    world.back_up();
    world
        .server
        .clock()
        .advance(Duration::from_secs(40 * 24 * 3600));
    world.write("a-first", noise(1, 600_000));
    world.write("m", noise(2, 600_000));
    settle();

    // Recorded, file by file, and killed before the archive is there.
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 1);
    let recorded = AtomicUsize::new(0);
    killed_when(&world, move |request| {
        if is_manifest(request) {
            recorded.fetch_add(1, Ordering::SeqCst);
        }
        let key = request.key.as_deref().unwrap_or_default();
        let is_archive = request.operation == Operation::PutObject && key.contains("/of/");
        while is_archive && recorded.load(Ordering::SeqCst) < 3 {
            std::thread::sleep(Duration::from_millis(10));
        }
        if is_archive {
            // The last of them arrives.
            std::thread::sleep(Duration::from_millis(300));
        }
        is_archive
    });
    world.unset("OFFSITE_MANIFEST__CHECKPOINT_ENTRIES");

    // Another archive takes the key, and its pass is killed before its manifest is there.
    world.write("a-first", noise(3, 900_000));
    settle();
    let recorded = AtomicBool::new(false);
    killed_when(&world, move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        recorded.fetch_or(is_object_record(key), Ordering::SeqCst);
        while is_manifest(request) && !recorded.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if is_manifest(request) {
            std::thread::sleep(Duration::from_millis(300));
        }
        is_manifest(request)
    });
    assert!(world.keys().iter().any(|key| is_object_record(key)));

    world.back_up();
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}
