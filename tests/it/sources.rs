//! Sources as they are in life: unmounted, unreadable, changing under the reader, with mounts and
//! loops in them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use local_s3::{Fault, HookAction, Operation};

use crate::support::tree::{self, assert_same, settle};
use crate::support::{Output, SOURCE, World, finish, noise, uploads};

/// Runs a shell script in which `offsite` is the program, in mounts of its own.
pub(crate) fn in_own_mounts(world: &World, script: &str) -> Output {
    let mut unshare = Command::new("unshare");
    let script = format!(
        "offsite() {{ {} \"$@\"; }}\n{script}",
        env!("CARGO_BIN_EXE_offsite")
    );
    unshare.args(["--mount", "--map-root-user", "sh", "-ec", &script]);
    let command = world.command([""; 0]);
    unshare.env_clear().current_dir(world.home.path());
    unshare.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    finish(unshare.output().unwrap())
}

/// Runs a pass that may not read what its user may not, even as root.
pub(crate) fn without_privileges(world: &World) -> Output {
    world.offsite_without(&["dac_override", "dac_read_search"], ["run"])
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_source_that_is_missing_or_no_directory_fails() {
    let world = World::new();
    fs::remove_dir(world.data()).unwrap();
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let failed = output.event("source_failed");
    assert!(
        failed["error"].as_str().unwrap().contains("No such file"),
        "{failed}"
    );
    assert!(
        failed["hint"]
            .as_str()
            .unwrap()
            .contains("mount the volume"),
        "{failed}"
    );
    fs::write(world.data(), "a file").unwrap();
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(world.snapshots().is_empty());
}

#[test]
fn a_directory_that_was_mistyped_is_forgotten_in_the_end() {
    let world = World::new();
    world.write("a", "a");
    assert_eq!(world.offsite(["run", "--dirs", "/dtaa"]).code, 1);
    let sources = || -> Vec<String> {
        let status = world.offsite(["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        status["sources"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    world.back_up();
    assert_eq!(sources(), ["data", "dtaa"]);
    let day = std::time::Duration::from_secs(24 * 3600);
    world.server.clock().advance(8 * day);
    assert_eq!(world.offsite(["run", "--dirs", "/dtab"]).code, 1);
    assert_eq!(sources(), ["data", "dtab"]);
}

#[test]
fn a_source_that_has_become_empty_fails_until_somebody_says_it_may() {
    let mut world = World::new();
    world.write("a", "a");
    world.back_up();
    fs::remove_file(world.data().join("a")).unwrap();
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let error = output.event("source_failed");
    assert!(
        error["error"].as_str().unwrap().contains("is empty"),
        "{error}"
    );
    assert_eq!(world.snapshots().len(), 1);
    assert_eq!(world.offsite(["plan"]).code, 1);
    world.set("DEFAULTS__ALLOW_EMPTY", true);
    world.back_up();
    assert_eq!(tree::read(&world.restored_latest()).len(), 1);
}

#[test]
fn one_source_that_fails_does_not_keep_the_others_from_their_backup() {
    let world = World::new();
    world.write("good/a", "a");
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n\
         \x20   - {{name: bad, directory: {0}/missing}}\n    - {{name: data, directory: {0}/good}}\n",
        world.data().display()
    ));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(output.event("source_failed")["source"], "bad");
    assert_eq!(output.event("snapshot_committed")["source"], "data");
    let status = world.offsite(["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["sources"]["bad"]["last_outcome"], "failed");
    assert_eq!(status["sources"]["data"]["last_outcome"], "complete");
    assert_eq!(status["outcome"], "failed");
    // The one that works goes on from its snapshot.
    settle();
    let output = world.offsite(["run"]);
    assert_eq!(output.event("snapshot_committed")["unchanged"], 2);
}

#[test]
fn entries_that_cannot_be_read_need_not_fail_the_process() {
    let mut world = World::new();
    world.write("file", "first");
    world.write("locked", "never readable");
    set_mode(&world.data().join("locked"), 0);
    settle();
    world.set("INCOMPLETE", "succeed");
    let output = without_privileges(&world);
    assert_eq!(output.code, 0, "{output:?}");
    // Whoever reads events or records learns of it all the same.
    assert_eq!(output.event("backup_completed")["exit_code"], 3);
    assert_eq!(output.event("file_unreadable")["path"], "locked");
    let status = world.offsite(["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["exit_code"], 3);
    assert_eq!(status["outcome"], "incomplete");

    // What the store does not take is something else.
    world.write("file", "second");
    settle();
    let refused = Fault::on(Operation::PutObject).key_contains("/files/");
    let refused = refused.always().status(400, "InvalidRequest");
    world.server.fault(refused);
    let output = without_privileges(&world);
    assert_eq!(output.code, 3, "{output:?}");
    world.server.clear_faults();
    let last = output.event("backup_completed");
    assert_eq!((&last["failed"], &last["unsent"]), (&2.into(), &1.into()));

    world.set("INCOMPLETE", "fail");
    let output = without_privileges(&world);
    assert_eq!(output.code, 3, "{output:?}");
    world.set("INCOMPLETE", "ignore");
    let output = world.offsite(["run"]);
    assert!(output.stderr.contains("one of fail, succeed"), "{output:?}");
    assert_eq!(output.code, 2, "{output:?}");
}

#[test]
fn what_cannot_be_read_keeps_its_last_version() {
    let world = World::new();
    for path in ["file", "dir/one", "dir/deep/two", "other"] {
        world.write(path, format!("first {path}"));
    }
    settle();
    world.back_up();
    let before = tree::read(&world.data());
    world.write("file", "second file");
    world.write("other", "second other");
    world.write("new", "never readable");
    set_mode(&world.data().join("file"), 0);
    set_mode(&world.data().join("new"), 0);
    set_mode(&world.data().join("dir"), 0);
    settle();

    for round in 0..2 {
        let output = without_privileges(&world);
        assert_eq!(output.code, 3, "round {round}: {output:?}");
        let named = output.events_named("file_unreadable");
        let mut paths: Vec<_> = named
            .iter()
            .map(|event| event["path"].as_str().unwrap())
            .collect();
        paths.sort_unstable();
        assert_eq!(paths, ["dir", "file", "new"]);
        assert_eq!(output.event("snapshot_committed")["complete"], false);
        assert_eq!(output.event("backup_completed")["exit_code"], 3);

        let listed = world.offsite(["list", "latest", "--json"]);
        let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
        let first_pass = world.snapshots()[1].clone();
        for path in ["file", "new", "dir/one", "dir/deep/two"] {
            let entry = listed.iter().find(|entry| entry["path"] == path).unwrap();
            assert_eq!(
                entry["unreadable"]["since"].as_str(),
                Some(&*first_pass),
                "{entry}"
            );
        }

        let target = world.path("out");
        let _ = fs::remove_dir_all(&target);
        let to = target.to_str().unwrap();
        let restored = world.offsite(["restore", "--to", to, "--source", SOURCE]);
        assert_eq!(restored.code, 3, "{restored:?}");
        assert!(
            restored
                .stderr
                .contains("new: its contents were never captured"),
            "{restored:?}"
        );
        let found = tree::read(&target);
        for path in ["file", "dir/one", "dir/deep/two"] {
            let path = Path::new(path);
            assert_eq!(found[path], before[path], "{path:?}");
        }
        let other = fs::read_to_string(target.join("other")).unwrap();
        assert_eq!(other, "second other");
    }

    // Readable again, it is captured, and the snapshot is complete.
    set_mode(&world.data().join("file"), 0o644);
    set_mode(&world.data().join("new"), 0o644);
    set_mode(&world.data().join("dir"), 0o755);
    settle();
    world.back_up();
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

/// Runs a pass that reads and sends one file after the other, and does something while the first
/// request of a kind waits.
fn pass_meanwhile(
    world: &mut World,
    operation: Operation,
    times: usize,
    meanwhile: impl Fn(usize) + Send + Sync + 'static,
) -> Output {
    world.set("LIMITS__CONCURRENCY", 1);
    world.set("LIMITS__READ_THREADS", 1);
    let count = AtomicUsize::new(0);
    world.server.on_request(move |request| {
        let is_content = request
            .key
            .as_deref()
            .unwrap_or_default()
            .contains("/files/");
        if request.operation == operation && is_content {
            let n = count.fetch_add(1, Ordering::SeqCst);
            if n < times {
                meanwhile(n);
            }
        }
        HookAction::Proceed
    });
    let output = world.offsite(["run"]);
    world.server.clear_hook();
    output
}

#[test]
fn a_file_that_vanishes_is_told_and_does_not_matter() {
    let mut world = World::new();
    for name in ["a", "b", "c", "y", "z"] {
        world.write(name, name);
    }
    let gone = world.data().join("z");
    let output = pass_meanwhile(&mut world, Operation::PutObject, 1, move |_| {
        fs::remove_file(&gone).unwrap();
    });
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.event("file_vanished")["path"], "z");
    assert_eq!(output.event("snapshot_committed")["vanished"], 1);
    let names = |root: &Path| tree::read(root).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&world.data()), names(&world.restored_latest()));
}

fn append(path: &Path) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"more").unwrap();
}

#[test]
fn a_file_that_changes_once_while_it_is_read_is_read_again() {
    let mut world = World::new();
    world.write("large", noise(1, 20 << 20));
    settle();
    let path = world.data().join("large");
    let output = pass_meanwhile(&mut world, Operation::UploadPart, 1, move |_| append(&path));
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.events_named("file_changed_while_reading").is_empty());
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
    assert!(world.server.uploads("backups").is_empty());
}

#[test]
fn a_file_that_keeps_changing_is_kept_as_read_and_told() {
    let mut world = World::new();
    world.write("log", noise(1, 20 << 20));
    settle();
    let path = world.data().join("log");
    // Each attempt sends three parts; something is appended during both.
    let output = pass_meanwhile(&mut world, Operation::UploadPart, 6, move |_| append(&path));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.event("file_changed_while_reading")["path"], "log");
    let kept = fs::read(world.restored_latest().join("log")).unwrap();
    let now = fs::read(world.data().join("log")).unwrap();
    assert!(
        now.starts_with(&kept) && kept.len() >= 20 << 20,
        "{} bytes",
        kept.len()
    );
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    // Whatever its metadata say, it is captured again by the next pass.
    settle();
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(uploads(&requests), ["log"]);
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

#[test]
fn a_file_that_shrinks_to_nothing_while_it_is_read_is_kept_empty() {
    let mut world = World::new();
    world.write("large", noise(1, 20 << 20));
    settle();
    let path = world.data().join("large");
    let output = pass_meanwhile(&mut world, Operation::CreateMultipartUpload, 1, move |_| {
        fs::write(&path, "").unwrap();
    });
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
    assert!(world.server.uploads("backups").is_empty());
}

#[test]
fn other_file_systems_are_crossed_or_left_out_by_choice() {
    let world = World::new();
    world.write("here", "here");
    fs::create_dir(world.data().join("mounted")).unwrap();
    for (setting, expected) in [("false", true), ("true", false)] {
        let output = in_own_mounts(
            &world,
            &format!(
                "mount -t tmpfs tmpfs data/mounted; echo there > data/mounted/there
                 export OFFSITE_DEFAULTS__ONE_FILE_SYSTEM={setting}
                 offsite run > events; offsite list latest --path '*'"
            ),
        );
        assert_eq!(output.code, 0, "{output:?}");
        let events = fs::read_to_string(world.path("events")).unwrap();
        let skipped = r#""event":"directory_skipped","source":"data","path":"mounted","reason":"other_file_system""#;
        assert_eq!(!events.contains(skipped), expected, "{events}");
        assert_eq!(
            output.stdout.contains("mounted/there"),
            expected,
            "{output:?}"
        );
        assert!(output.stdout.contains(" mounted/\n"), "{output:?}");
    }
}

#[test]
fn a_loop_made_by_mounts_is_walked_once() {
    let world = World::new();
    world.write("sub/file", "file");
    fs::create_dir(world.data().join("sub/loop")).unwrap();
    let output = in_own_mounts(
        &world,
        "mount --bind data data/sub/loop
         offsite run; offsite list latest --path '*'",
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("\"files\":1"), "{output:?}");
    assert!(output.stdout.contains(" sub/loop/\n"), "{output:?}");
    assert!(!output.stdout.contains("sub/loop/sub"), "{output:?}");
    let skipped = r#""path":"sub/loop","reason":"loop""#;
    assert!(output.stdout.contains(skipped), "{output:?}");
}

#[test]
fn patterns_decide_what_is_in_a_snapshot() {
    let world = World::new();
    for path in [
        "a.txt",
        "a.tmp",
        "cache/x",
        "docs/b.txt",
        "docs/b.bin",
        "docs/cache/y",
    ] {
        world.write(path, path);
    }
    let configure = |source: &str| {
        world.configure(&format!(
            "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  defaults: {{exclude: ['*.tmp']}}\n  \
             sources: [{{name: data, directory: {}, {source}}}]\n",
            world.data().display()
        ));
        world.back_up();
        let tree = tree::read(&world.restored_latest());
        let files = tree.iter().filter(|(_, facts)| facts.kind == "file");
        files
            .map(|(path, _)| path.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        configure("exclude: [/cache/]"),
        ["a.txt", "docs/b.bin", "docs/b.txt", "docs/cache/y"]
    );
    assert_eq!(configure("include: ['*.txt']"), ["a.txt", "docs/b.txt"]);
    assert_eq!(
        configure("include: [docs], exclude: [cache]"),
        ["docs/b.bin", "docs/b.txt"]
    );
}

/// Writes two files of one length within one tick of the kernel's clock. Each try takes new files and
/// has nothing between its two writes: Linux 6.13 and later moves its clock on whenever a file changes
/// whose time was looked at, anybody's, and ext4 flushes a file that was cut short and written again.
pub(crate) fn write_twins(world: &World, twins: [&str; 2]) {
    let paths = twins.map(|twin| world.data().join(twin));
    for round in 0..1000 {
        let files = paths.each_ref().map(|path| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create_new(path).unwrap()
        });
        let contents = ["one", "other"].map(|name| format!("{name:5} {round:03}"));
        for (mut file, contents) in files.iter().zip(&contents) {
            file.write_all(contents.as_bytes()).unwrap();
        }
        let [one, other] = files.each_ref().map(|file| {
            let found = file.metadata().unwrap();
            (
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            )
        });
        if one == other {
            return;
        }
        for path in &paths {
            fs::remove_file(path).unwrap();
        }
    }
    panic!("the clock ticks too fast");
}

/// Swaps two directories. Nothing in them shows a trace of it.
pub(crate) fn swap(world: &World, one: &str, other: &str) {
    let path = |name: &str| world.data().join(name);
    fs::rename(path(one), world.path("between")).unwrap();
    fs::rename(path(other), path(one)).unwrap();
    fs::rename(world.path("between"), path(other)).unwrap();
    settle();
}

#[test]
fn a_directory_that_takes_the_place_of_another_comes_with_its_own_files() {
    for method in ["files", "archive"] {
        let mut world = World::new();
        world.set("DEFAULTS__METHOD", method);
        world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
        write_twins(&world, ["one/in/file", "other/in/file"]);
        settle();
        world.back_up();
        swap(&world, "one", "other");
        world.back_up();
        let expected = tree::read(&world.data());
        assert_same(&expected, &tree::read(&world.restored_latest()));
        // And they are not read again and again.
        let changes = world.back_up().event("snapshot_committed");
        assert_eq!(changes["changed"], 0, "{changes}");
    }
}

#[test]
fn a_directory_may_be_called_by_a_dot() {
    let mut world = World::new();
    // There is no file in the other directories.
    world.set("S3__BUCKET", "backups");
    world.set("S3__PREFIX", "team/");
    world.write("a", "a");
    let output = world
        .command(["run", "--dirs", "."])
        .current_dir(world.data())
        .output();
    let output = finish(output.unwrap());
    assert_eq!(output.code, 0, "{output:?}");
    let started = output.event("source_started");
    let directory = fs::canonicalize(world.data())
        .unwrap()
        .display()
        .to_string();
    assert_eq!(started["place"], directory);
    let name = started["source"].as_str().unwrap();
    assert_eq!(name, directory.trim_start_matches('/').replace('/', "-"));
    // From elsewhere it is another one, with another name.
    world.write("other/data/b", "b");
    let there = world.data().join("other");
    let dirs = ["run", "--dirs", "data"];
    let there = finish(world.command(dirs).current_dir(there).output().unwrap());
    let started = there.event("source_started");
    assert_eq!(started["source"], format!("{name}-other-data"));
    assert!(there.events_named("notice").is_empty(), "{there:?}");
}

#[test]
fn checksums_find_what_metadata_hide() {
    let mut world = World::new();
    world.write("a", "first");
    tree::set_mtime(&world.data().join("a"), 1_000_000_000, 1);
    settle();
    world.back_up();
    // The file system gives the change away by its ctime; a disk that rots does not. Where nothing
    // at all shows, only reading helps, and it costs no upload where nothing has changed.
    settle();
    world.set("DEFAULTS__DETECT", "checksum");
    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["reread_files"], 1);
    assert_eq!(output.event("snapshot_committed")["uploaded_files"], 0);
}

/// The kernel looks at the clock when a page of a mapping is first written to, and again once it has
/// been written back: in between, contents change and nothing else does.
#[test]
fn a_write_through_a_mapping_shows_in_the_contents_alone_and_checksums_find_it() {
    let mut world = World::new();
    let path = world.data().join("mapped");
    let mut file = fs::OpenOptions::new();
    let file = file.read(true).write(true).create_new(true).open(&path);
    let file = file.unwrap();
    file.set_len(4096).unwrap();
    #[expect(unsafe_code, reason = "nobody cuts the file off while it is mapped")]
    let mut mapped = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
    let looks = || {
        let found = fs::metadata(&path).unwrap();
        (found.len(), found.mtime_nsec(), found.ctime_nsec())
    };
    let mut rounds = 0..10;
    loop {
        assert!(rounds.next().is_some(), "pages are written back too fast");
        mapped[..5].copy_from_slice(b"first");
        settle();
        world.back_up();
        let before = looks();
        mapped[..5].copy_from_slice(b"other");
        settle();
        // Unless the kernel has just written the page back.
        if looks() == before {
            break;
        }
    }
    let unseen = world.back_up().event("snapshot_committed");
    assert_eq!(unseen["uploaded_files"], 0);
    world.set("DEFAULTS__DETECT", "checksum");
    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["uploaded_files"], 1);
    let restored = fs::read(world.restored_latest().join("mapped")).unwrap();
    assert_eq!(&restored[..5], b"other");
}

#[test]
fn attributes_are_recorded_from_when_they_are_asked_for() {
    let mut world = World::new();
    world.write("a", "a");
    let path = world.data().join("a");
    rustix::fs::setxattr(&path, "user.x", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    settle();
    world.back_up();
    assert!(
        tree::read(&world.restored_latest())[Path::new("a")]
            .xattrs
            .is_empty()
    );
    world.set("DEFAULTS__XATTRS", true);
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert!(
        uploads(&requests).is_empty(),
        "recording attributes sends no contents"
    );
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

#[test]
fn everything_is_captured_afresh_when_asked_for() {
    let world = World::new();
    world.write("a", "a");
    world.write("b", "b");
    settle();
    world.back_up();
    let requests = world.requests_of(|| {
        let output = world.offsite(["run", "--no-incremental"]);
        assert_eq!(output.code, 0, "{output:?}");
    });
    assert_eq!(uploads(&requests), ["a", "b"]);
}

#[test]
fn classes_tags_and_encryption_go_with_contents_and_not_with_manifests() {
    let world = World::new();
    world.write("small", "small");
    world.write("large", noise(1, 17 << 20));
    world.configure(&format!(
        "backup:\n  s3:\n    bucket: backups\n    prefix: team/\n    storage_class: STANDARD_IA\n    \
         tags: {{team: web, note: 'a=b & c/d'}}\n    encryption: aws:kms\n    kms_key_id: my-key\n  \
         sources: [{{name: data, directory: {}, tags: {{tier: gold}}}}]\n",
        world.data().display()
    ));
    world.back_up();
    for name in ["small", "large"] {
        let key = world.key_like("files/", &format!("/{name}"));
        let object = world
            .server
            .object("backups", &world.full_key(&key))
            .unwrap();
        let attributes = object.attributes;
        assert_eq!(attributes.storage_class, "STANDARD_IA", "{name}");
        let tags: Vec<_> = attributes.tags.into_iter().collect();
        assert_eq!(tags, [("tier".to_owned(), "gold".to_owned())], "{name}");
        assert!(
            format!("{:?}", attributes.encryption).contains("my-key"),
            "{name}"
        );
    }
    for key in world
        .keys()
        .into_iter()
        .filter(|key| !key.starts_with("files/"))
    {
        let object = world
            .server
            .object("backups", &world.full_key(&key))
            .unwrap();
        assert_eq!(object.attributes.storage_class, "STANDARD", "{key}");
        assert!(object.attributes.tags.is_empty(), "{key}");
        assert!(
            format!("{:?}", object.attributes.encryption).contains("my-key"),
            "{key}"
        );
    }
}

#[test]
fn a_bandwidth_limit_is_kept_to() {
    let mut world = World::new();
    world.write("a", noise(1, 600_000));
    world.write("b", noise(2, 600_000));
    world.set("LIMITS__BANDWIDTH", "1MB/s");
    let started = std::time::Instant::now();
    world.back_up();
    // 1.2 MB at 1 MB a second, less what may go at once.
    assert!(
        started.elapsed().as_millis() >= 1000,
        "{:?}",
        started.elapsed()
    );
    world.set("LIMITS__BANDWIDTH", 0);
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

#[test]
fn a_bandwidth_limit_holds_for_small_files_together() {
    let mut world = World::new();
    for index in 0..40 {
        world.write(&format!("{index}"), noise(index, 50_000));
    }
    world.set("LIMITS__BANDWIDTH", "1MB/s");
    let started = std::time::Instant::now();
    world.back_up();
    // 2 MB at 1 MB a second, less the first one's, which may go at once.
    let took = started.elapsed().as_millis();
    assert!(took >= 1900, "{took}");
}

/// Longer than any one call takes a path to be.
#[test]
fn a_tree_may_be_deeper_than_paths_are_long() {
    let mut world = World::new();
    let mut directory = File::open(world.data()).unwrap();
    let name = "directory-with-a-name-of-forty-characters";
    for _ in 0..120 {
        rustix::fs::mkdirat(&directory, name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        let open = rustix::fs::openat(&directory, name, flags, rustix::fs::Mode::empty());
        directory = open.unwrap().into();
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE;
    let file = rustix::fs::openat(&directory, "file", flags, rustix::fs::Mode::RUSR).unwrap();
    rustix::io::write(file, b"at the bottom").unwrap();
    rustix::fs::symlinkat("file", &directory, "link").unwrap();
    settle();

    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["files"], 1);
    assert_eq!(output.event("snapshot_committed")["symlinks"], 1);
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    let listed = world.offsite(["list", "latest", "--path", "file"]);
    assert!(listed.stdout.contains("-characters/file"), "{listed:?}");

    world.set("DEFAULTS__XATTRS", true);
    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["symlinks"], 1);
}
