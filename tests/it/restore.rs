//! Getting things back: which, where to, and what stands in the way.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use offsite::manifest::FORMAT;
use offsite::manifest::entry::{Content, Entry, Kind, LinkGroup, Metadata};
use offsite::manifest::path::EntryPath;
use offsite::manifest::segment::{Header, SegmentWriter};
use offsite::manifest::snapshot::Snapshot;
use offsite::manifest::totals::Totals;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::sources::set_mode;
use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, PREFIX, SOURCE, World, noise};

fn world() -> World {
    let world = World::new();
    world.write("docs/a.pdf", "a");
    world.write("docs/deep/b.pdf", "b");
    world.write("docs/c.txt", "c");
    world.write("images/d.jpg", "d");
    symlink("docs/a.pdf", world.data().join("link")).unwrap();
    settle();
    world.back_up();
    world
}

fn restore(world: &World, args: &[&str]) -> Output {
    let to = world.path("out");
    let to = to.to_str().unwrap();
    world.offsite(
        ["restore", "--to", to, "--source", SOURCE]
            .iter()
            .chain(args),
    )
}

fn restored(world: &World) -> Vec<String> {
    let tree = tree::read(&world.path("out"));
    let names = tree.keys().map(|path| path.to_str().unwrap().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn a_pattern_that_matches_nothing_is_no_success() {
    let world = World::new();
    world.write("docs/a.pdf", "a");
    settle();
    world.back_up();
    let to = world.path("restored");
    for extra in [&["--dry-run"][..], &[]] {
        let arguments = [
            "restore",
            "--to",
            to.to_str().unwrap(),
            "--path",
            "docs/b.pdf",
        ];
        let output = world.offsite([&arguments[..], extra].concat());
        assert_eq!(output.code, 10, "{output:?}");
        assert!(
            output
                .stderr
                .contains("nothing in the snapshots of data matches")
        );
        assert!(!to.exists());
    }
    let arguments = [
        "restore",
        "--to",
        to.to_str().unwrap(),
        "--path",
        "docs/*.pdf",
    ];
    assert_eq!(world.offsite(arguments).code, 0);
}

#[test]
fn some_files_come_with_the_directories_above_them() {
    let world = world();
    assert_eq!(restore(&world, &["--path", "*.pdf"]).code, 0);
    assert_eq!(
        restored(&world),
        ["docs", "docs/a.pdf", "docs/deep", "docs/deep/b.pdf"]
    );
    std::fs::remove_dir_all(world.path("out")).unwrap();
    assert_eq!(
        restore(&world, &["--path", "docs/deep", "--path", "link"]).code,
        0
    );
    assert_eq!(
        restored(&world),
        ["docs", "docs/deep", "docs/deep/b.pdf", "link"]
    );
}

#[test]
fn without_a_source_each_goes_into_its_own_directory() {
    let world = world();
    let output = world.offsite(["restore", "--to", "all"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.path("all/data")),
    );
}

#[test]
fn a_time_picks_the_state_of_that_time() {
    let world = world();
    world
        .server
        .clock()
        .advance(std::time::Duration::from_secs(7200));
    world.write("docs/a.pdf", "later");
    settle();
    world.back_up();
    let now = jiff::Timestamp::now();
    let at = |minutes: i64| (now + jiff::SignedDuration::from_mins(minutes)).to_string();
    let text = |minutes: i64| {
        let _ = std::fs::remove_dir_all(world.path("out"));
        let output = restore(&world, &["--at", &at(minutes)]);
        match output.code {
            0 => std::fs::read_to_string(world.path("out/docs/a.pdf")).unwrap(),
            code => format!("exit {code}"),
        }
    };
    assert_eq!(text(130), "later");
    assert_eq!(text(60), "a");
    assert_eq!(text(-60), "exit 10");
    assert_eq!(restore(&world, &["--at", "soon"]).code, 2);
}

#[test]
fn what_differs_is_an_error_before_anything_is_written() {
    let world = world();
    std::fs::create_dir_all(world.path("out/docs")).unwrap();
    std::fs::write(world.path("out/docs/c.txt"), "mine").unwrap();
    std::fs::write(world.path("out/stranger"), "stays").unwrap();
    let refused = restore(&world, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("out/docs/c.txt"), "{refused:?}");
    assert!(refused.stderr.contains("--overwrite"), "{refused:?}");
    assert_eq!(restored(&world), ["docs", "docs/c.txt", "stranger"]);

    let replaced = restore(&world, &["--overwrite"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(
        std::fs::read_to_string(world.path("out/docs/c.txt")).unwrap(),
        "c"
    );
    assert_eq!(
        std::fs::read_to_string(world.path("out/stranger")).unwrap(),
        "stays"
    );
}

#[test]
fn what_is_the_same_is_left_alone_and_gets_its_metadata() {
    let world = world();
    assert_eq!(restore(&world, &[]).code, 0);
    let file = world.path("out/docs/c.txt");
    let inode = || std::fs::metadata(&file).unwrap().ino();
    let before = inode();
    tree::set_mtime(&file, 1, 0);
    std::fs::remove_file(world.path("out/images/d.jpg")).unwrap();
    let again = restore(&world, &["--json"]);
    assert_eq!(again.code, 0, "{again:?}");
    let json: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(json[0]["report"]["restored"], 1);
    assert_eq!(json[0]["report"]["kept"], 4);
    assert_eq!(inode(), before);
    // The target was there, so its own times stay; all else is as in the snapshot.
    let (mut expected, mut found) = (tree::read(&world.data()), tree::read(&world.path("out")));
    expected.remove(Path::new(""));
    found.remove(Path::new(""));
    assert_same(&expected, &found);
}

#[test]
fn an_empty_target_that_cannot_be_written_is_a_failure_that_says_so() {
    let world = world();
    std::fs::create_dir(world.path("out")).unwrap();
    set_mode(&world.path("out"), 0o555);
    let args = ["restore", "--to", "out", "--source", SOURCE];
    let output = world.offsite_without(&["dac_override"], args);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("cannot restore into `out`"),
        "{output:?}"
    );
    assert!(output.stderr.contains("may not write there"), "{output:?}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = world();
    let output = restore(&world, &["--dry-run"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("create 9"), "{output:?}");
    assert!(!world.path("out").exists());
    let json = restore(&world, &["--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["plan"]["create"], 9);
}

#[test]
fn a_directory_is_never_replaced_by_a_file_nor_entered_through_a_link() {
    let world = world();
    std::fs::create_dir_all(world.path("out/docs/c.txt/full")).unwrap();
    let refused = restore(&world, &["--overwrite"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(world.path("out/docs/c.txt/full").is_dir());

    std::fs::remove_dir_all(world.path("out")).unwrap();
    std::fs::create_dir_all(world.path("out")).unwrap();
    std::fs::create_dir_all(world.path("elsewhere")).unwrap();
    symlink("../elsewhere", world.path("out/docs")).unwrap();
    assert_eq!(restore(&world, &[]).code, 1);
    assert_eq!(restore(&world, &["--overwrite"]).code, 0);
    assert!(world.path("out/docs").symlink_metadata().unwrap().is_dir());
    assert_eq!(
        std::fs::read_dir(world.path("elsewhere")).unwrap().count(),
        0
    );
}

#[test]
fn a_restore_that_was_killed_continues() {
    let world = World::new();
    for index in 0..30 {
        world.write(&format!("{index:02}"), noise(index, 10_000));
    }
    world.write("large", noise(99, 20 << 20));
    settle();
    // The directory itself comes back as it was, too.
    std::fs::set_permissions(world.data(), std::fs::Permissions::from_mode(0o751)).unwrap();
    world.back_up();
    for stop_after in [3, 10, 20] {
        let _ = std::fs::remove_dir_all(world.path("out"));
        let fault = local_s3::Fault::on(local_s3::Operation::GetObject).key_contains("files/");
        world.server.fault(fault.skip(stop_after).always().hang());
        let to = world.path("out");
        let to = to.to_str().unwrap();
        let mut child = world.spawn(["restore", "--to", to, "--source", SOURCE]);
        std::thread::sleep(std::time::Duration::from_millis(700));
        child.kill().unwrap();
        child.wait().unwrap();
        world.server.clear_faults();
        let there = tree::read(&world.path("out"));
        // Under its own name, each file is whole or not there.
        let expected = tree::read(&world.data());
        for (path, facts) in there.iter().filter(|(_, facts)| facts.kind == "file") {
            let name = path.to_str().unwrap();
            let is_partial = name.starts_with(".offsite-partial-") || name == ".offsite-restoring";
            assert!(
                is_partial || expected[path].sha256 == facts.sha256,
                "{path:?}"
            );
        }
        let output = restore(&world, &[]);
        assert_eq!(output.code, 0, "{output:?}");
        assert_same(&expected, &tree::read(&world.path("out")));
    }
}

/// A snapshot made by somebody who means harm.
fn hostile(world: &World, entries: &[Entry]) {
    let pass = "20300101T000000Z-0000".parse().unwrap();
    let header = Header {
        format: FORMAT,
        source: SOURCE.to_owned(),
        pass,
        scan_started_ns: 0,
        xattrs: false,
    };
    let mut writer = SegmentWriter::new(&header);
    entries.iter().for_each(|entry| writer.push(entry));
    store(
        world,
        pass,
        writer.finish().bytes.to_vec(),
        entries.len() as u64,
    );
}

fn store(world: &World, pass: offsite::manifest::pass_id::PassId, segment: Vec<u8>, entries: u64) {
    let key = format!("manifests/{SOURCE}/{pass}/00000.ndjson.zst");
    let totals = Totals {
        entries,
        ..Totals::default()
    };
    let snapshot = Snapshot {
        format: FORMAT,
        source: SOURCE.to_owned(),
        pass,
        directory: "/".to_owned(),
        origins: Vec::new(),
        selection: None,
        created_at: pass.started_at(),
        committed_at: pass.started_at(),
        parent: None,
        complete: true,
        xattrs: false,
        totals,
        full: None,
        archives: Vec::new(),
        segments: vec![offsite::manifest::segment::SegmentRef {
            key: key.clone(),
            sha256: hex::encode(Sha256::digest(&segment)),
            size: segment.len() as u64,
            lines_bytes: zstd::decode_all(&*segment).unwrap().len() as u64,
            totals,
            first: ".".to_owned(),
            last: "z".to_owned(),
            archives: Default::default(),
        }],
        offsite: "0".to_owned(),
    };
    world.server.replace(BUCKET, &world.full_key(&key), segment);
    let key = format!("snapshots/{SOURCE}/{pass}.json");
    world
        .server
        .replace(BUCKET, &world.full_key(&key), snapshot.to_bytes());
    let key = format!("files/{SOURCE}/{pass}/payload");
    world.server.replace(BUCKET, &world.full_key(&key), "evil");
}

fn entry(path: &str, kind: Kind) -> Entry {
    let metadata = Metadata {
        kind,
        size: if kind == Kind::File { 4 } else { 0 },
        mtime_ns: 0,
        ctime_ns: 0,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let mut entry = Entry::new(EntryPath::parse(path).unwrap(), metadata);
    match kind {
        Kind::File => {
            entry.content = Some(Content {
                sha256: Sha256::digest(b"evil").into(),
                pass: "20300101T000000Z-0000".parse().unwrap(),
                key: Some("files/data/20300101T000000Z-0000/payload".into()),
                crc64nvme: None,
                archive: None,
            });
        }
        Kind::Symlink => entry.target = Some(b"../outside".to_vec()),
        _ => {}
    }
    entry
}

fn assert_nothing_outside(world: &World) {
    let outside = world.path("outside");
    assert_eq!(
        std::fs::read_dir(&outside).unwrap().count(),
        0,
        "something got out"
    );
}

#[test]
fn a_hostile_manifest_gets_nothing_out_of_the_target() {
    let world = world();
    std::fs::create_dir(world.path("outside")).unwrap();
    // Through a symbolic link that the manifest brings itself.
    hostile(
        &world,
        &[
            entry(".", Kind::Directory),
            entry("good", Kind::File),
            entry("link", Kind::Symlink),
            entry("link/file", Kind::File),
            entry("link/sub", Kind::Directory),
            entry("link/sub/file", Kind::File),
            entry("nowhere/file", Kind::File),
        ],
    );
    let output = restore(&world, &[]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_nothing_outside(&world);
    assert_eq!(
        restored(&world),
        ["good", "link", "nowhere", "nowhere/file"]
    );
    for named in ["link/file", "link/sub", "link/sub/file", "nowhere: "] {
        assert!(output.stderr.contains(named), "{output:?}");
    }
    // Once more, where the link is there already.
    let output = restore(&world, &["--overwrite"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_nothing_outside(&world);
    assert_eq!(
        restored(&world),
        ["good", "link", "nowhere", "nowhere/file"]
    );
}

#[test]
fn a_path_that_leads_out_is_refused_by_name() {
    let world = world();
    std::fs::create_dir(world.path("outside")).unwrap();
    for path in [
        "../outside/file",
        "/outside/file",
        "a/../../outside/file",
        "a//b",
        ".",
    ] {
        let mut lines = Vec::new();
        let header = serde_json::json!({"segment": {
            "format": 1, "source": SOURCE, "pass": "20300101T000000Z-0000", "scan_started_ns": 0}});
        lines.extend(header.to_string().into_bytes());
        lines.push(b'\n');
        entry(".", Kind::Directory).write_line(&mut lines);
        let mut line = Vec::new();
        entry("REPLACED", Kind::File).write_line(&mut line);
        let line = String::from_utf8(line).unwrap().replace("REPLACED", path);
        lines.extend(line.into_bytes());
        let segment = zstd::encode_all(&lines[..], 1).unwrap();
        store(&world, "20300101T000000Z-0000".parse().unwrap(), segment, 2);
        let _ = std::fs::remove_dir_all(world.path("out"));
        let output = restore(&world, &[]);
        assert_eq!(output.code, 3, "{path}: {output:?}");
        assert_nothing_outside(&world);
        assert!(restored(&world).is_empty(), "{path}");
        let verified = world.offsite(["verify"]);
        assert_eq!(verified.code, 4, "{verified:?}");
    }
}

#[test]
fn a_commit_record_that_names_another_source_or_pass_is_refused() {
    for (field, other) in [
        ("source", "../escaped"),
        ("source", "other"),
        ("pass", "20300101T000000Z-0000"),
    ] {
        let world = world();
        let key = world.full_key(&world.key_like("snapshots/", ".json"));
        let object = world.server.object(BUCKET, &key).unwrap();
        let mut record: Value = serde_json::from_slice(&object.bytes).unwrap();
        record[field] = other.into();
        world.server.replace(BUCKET, &key, record.to_string());
        for command in [
            &["restore", "--to", "out/deep"][..],
            &["list"],
            &["verify"],
            &["run"],
        ] {
            let output = world.offsite(command);
            assert_eq!(output.code, 4, "{command:?}: {output:?}");
            let said = output.stderr + &output.stdout;
            assert!(said.contains("says that it is snapshot"), "{said}");
            assert!(said.contains(other), "{said}");
        }
        assert!(!world.path("out").exists());
    }
}

#[test]
fn latest_is_an_id_wherever_one_is_taken() {
    let world = world();
    world.write("docs/a.pdf", "later");
    settle();
    world.back_up();
    for command in [
        &["list", "latest"][..],
        &["verify", "--snapshot", "latest"],
        &["restore", "--to", "all", "--snapshot", "latest"],
        &[
            "restore",
            "--to",
            "out",
            "--source",
            SOURCE,
            "--snapshot",
            "latest",
        ],
    ] {
        let output = world.offsite(command);
        assert_eq!(output.code, 0, "{command:?}: {output:?}");
    }
    assert_eq!(text(&world, "docs/a.pdf"), "later");
}

#[test]
fn a_snapshot_or_source_that_is_not_there_exits_with_ten() {
    let world = world();
    for args in [&["--snapshot", "2020"][..], &["--at", "2020-01-01"]] {
        assert_eq!(restore(&world, args).code, 10);
    }
    let output = world.offsite(["restore", "--to", "out", "--source", "nobody"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(output.stderr.contains("there are: data"), "{output:?}");
}

#[test]
fn a_source_is_found_by_the_directory_it_was_made_of() {
    let world = world();
    let directory = world.data();
    let directory = directory.to_str().unwrap();
    let ids = |output: Output| {
        assert_eq!(output.code, 0, "{output:?}");
        let listed: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
        listed.len()
    };
    let list = |source: &str| world.offsite(["list", "--json", "--source", source]);
    assert_eq!(ids(list(directory)), world.snapshots().len());
    assert_eq!(list("/elsewhere").code, 10);

    // Under another name from now on: which one is meant cannot be known.
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         sources: [{{name: renamed, directory: {directory}}}]\n"
    ));
    assert_eq!(world.offsite(["run", "--source", directory]).code, 0);
    let output = list(&format!("{directory}/"));
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stderr.contains("was backed up as data, renamed"),
        "{output:?}"
    );
    assert_eq!(ids(list("renamed")), 1);
}

#[test]
fn a_source_of_which_nothing_is_wanted_gets_no_directory() {
    let world = world();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         sources: [{{name: other, directory: {}}}]\n",
        world.data().join("docs").display()
    ));
    world.back_up();
    let output = world.offsite(["restore", "--to", "all", "--path", "docs/a.pdf"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(world.path("all/data/docs/a.pdf").exists());
    assert!(!world.path("all/other").exists());
}

/// The pass of [`hostile`].
const PASS: &str = "20300101T000000Z-0000";

/// One of several names of inode 7, with its own object in the store.
fn linked(world: &World, path: &str, contents: &str) -> Entry {
    let key = format!("files/{SOURCE}/{PASS}/{path}");
    let bytes = contents.to_owned().into_bytes();
    world.server.replace(BUCKET, &world.full_key(&key), bytes);
    let mut entry = entry(path, Kind::File);
    entry.metadata.size = contents.len() as u64;
    entry.hardlink = Some(LinkGroup { dev: 1, ino: 7 });
    let content = entry.content.as_mut().unwrap();
    content.sha256 = Sha256::digest(contents).into();
    content.key = None;
    entry
}

fn inode(world: &World, path: &str) -> u64 {
    std::fs::metadata(world.path("out").join(path))
        .unwrap()
        .ino()
}

fn text(world: &World, path: &str) -> String {
    std::fs::read_to_string(world.path("out").join(path)).unwrap()
}

#[test]
fn names_of_one_inode_are_linked_only_if_their_contents_are_the_same() {
    let world = world();
    // What carrying unreadable entries forward leaves behind: one number, two contents.
    hostile(
        &world,
        &[
            entry(".", Kind::Directory),
            linked(&world, "a", "old"),
            linked(&world, "b", "new"),
            linked(&world, "c", "old"),
            linked(&world, "d", "newer"),
            linked(&world, "e", "new"),
        ],
    );
    let output = restore(&world, &[]);
    assert_eq!(output.code, 0, "{output:?}");
    let texts = ["a", "b", "c", "d", "e"].map(|path| text(&world, path));
    assert_eq!(texts, ["old", "new", "old", "newer", "new"]);
    assert_eq!(inode(&world, "a"), inode(&world, "c"));
    assert_eq!(inode(&world, "b"), inode(&world, "e"));
    assert_ne!(inode(&world, "a"), inode(&world, "b"));
}

#[test]
fn no_name_is_linked_to_one_that_was_not_restored() {
    let world = world();
    let entries = ["a", "b", "c"].map(|path| linked(&world, path, "theirs"));
    hostile(
        &world,
        &[&[entry(".", Kind::Directory)][..], &entries].concat(),
    );
    let remove = |path: &str| {
        let key = world.full_key(&format!("files/{SOURCE}/{PASS}/{path}"));
        assert!(world.server.remove(BUCKET, &key));
    };
    let texts = || ["a", "b", "c"].map(|path| text(&world, path));
    std::fs::create_dir(world.path("out")).unwrap();
    for path in ["a", "b", "c"] {
        std::fs::write(world.path("out").join(path), format!("mine {path}")).unwrap();
    }
    remove("a");
    let output = restore(&world, &["--overwrite"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(texts(), ["mine a", "theirs", "theirs"]);
    // The others are still one file.
    assert_eq!(inode(&world, "b"), inode(&world, "c"));

    for path in ["b", "c"] {
        std::fs::remove_file(world.path("out").join(path)).unwrap();
        std::fs::write(world.path("out").join(path), format!("mine {path}")).unwrap();
        remove(path);
    }
    let output = restore(&world, &["--overwrite"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(texts(), ["mine a", "mine b", "mine c"]);
}

#[test]
fn a_refused_step_does_not_cost_the_rest_of_the_metadata() {
    let world = world();
    let odd = |path: &str, kind, mode| {
        let mut entry = entry(path, kind);
        entry.metadata.mode = mode;
        entry.metadata.mtime_ns = 1_234_567_890_123_456_789;
        entry.metadata.uid = 1234;
        // No kernel has attributes outside a few namespaces.
        entry.xattrs = vec![
            (b"offsite.one".to_vec(), b"1".to_vec()),
            (b"user.two".to_vec(), b"2".to_vec()),
        ];
        entry
    };
    hostile(
        &world,
        &[
            entry(".", Kind::Directory),
            odd("dir", Kind::Directory, 0o1751),
            odd("file", Kind::File, 0o4751),
        ],
    );
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    for owner in [1234, 0] {
        let _ = std::fs::remove_dir_all(&to);
        let output = match owner {
            0 => world.offsite_without(&["chown"], args),
            _ => world.offsite(args),
        };
        assert_eq!(output.code, 3, "{output:?}");
        let tree = tree::read(&to);
        for (path, mode) in [("dir", 0o1751), ("file", 0o4751)] {
            let facts = &tree[Path::new(path)];
            // Whoever does not get a file back does not get to be who runs it either.
            let mode = if owner == 0 { mode & 0o1777 } else { mode };
            assert_eq!(facts.mode, mode, "{path}");
            assert_eq!(facts.mtime_ns, 1_234_567_890_123_456_789, "{path}");
            assert_eq!(facts.uid, owner, "{path}");
            assert_eq!(facts.xattrs[&b"user.two"[..]], b"2", "{path}");
            let said = output.stderr.lines().find(|line| line.contains(path));
            let said = said.unwrap_or_else(|| panic!("{path} in {output:?}"));
            assert!(said.contains("attribute `offsite.one`"), "{said}");
            assert_eq!(said.contains("owner: "), owner == 0, "{said}");
        }
    }
}

/// A tree whose manifest has four segments, the second of them with `05` to `12`.
fn world_in_segments() -> (World, Vec<String>) {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 8);
    for index in 0..29 {
        world.write(&format!("deep/er/{index:02}"), format!("theirs {index}"));
    }
    settle();
    world.back_up();
    let mut segments = world.keys();
    segments.retain(|key| key.starts_with("manifests/"));
    assert_eq!(segments.len(), 4);
    (world, segments)
}

#[test]
fn a_segment_that_fails_between_plan_and_restore_moves_nothing() {
    for reads_before in [0, 1] {
        let (world, segments) = world_in_segments();
        let there = |name: &str| world.path("out/deep/er").join(name);
        std::fs::create_dir_all(there("")).unwrap();
        for index in 14..29 {
            std::fs::write(there(&format!("{index}")), "mine").unwrap();
        }
        let fault = local_s3::Fault::on(local_s3::Operation::GetObject).key_contains(&segments[1]);
        let fault = fault.skip(reads_before).times(1).status(404, "NoSuchKey");
        world.server.fault(fault);
        let output = restore(&world, &["--overwrite"]);
        assert_eq!(output.code, 3, "{output:?}");
        for index in 0..29 {
            let found = std::fs::read_to_string(there(&format!("{index:02}"))).ok();
            let lost = (5..13).contains(&index);
            assert_eq!(found, (!lost).then(|| format!("theirs {index}")), "{index}");
        }
        // What was not planned is named, not left out in silence.
        let named = output.stderr.matches("restore again").count();
        assert_eq!(named, if reads_before == 0 { 8 } else { 0 }, "{output:?}");
    }
}

#[test]
fn a_damaged_segment_costs_only_what_it_lists() {
    let (world, segments) = world_in_segments();
    // With it go the entries of the directories that everything is in.
    world.server.remove(BUCKET, &world.full_key(&segments[0]));
    let dry = restore(&world, &["--dry-run"]);
    assert_eq!(dry.code, 4, "{dry:?}");
    assert!(
        dry.stderr
            .contains("it lists 8 entries, `.` to `deep/er/04`"),
        "{dry:?}"
    );
    assert_eq!(restore(&world, &["--dry-run", "--json"]).code, 4);
    assert!(!world.path("out").exists());

    let expected = tree::read(&world.data());
    let assert_rest = || {
        let found = tree::read(&world.path("out"));
        for index in 5..29 {
            let path = format!("deep/er/{index:02}");
            assert_eq!(found[Path::new(&path)], expected[Path::new(&path)]);
        }
        for directory in ["deep", "deep/er"] {
            assert_eq!(found[Path::new(directory)].mode, 0o700);
        }
        found.len()
    };
    let output = restore(&world, &[]);
    assert_eq!(output.code, 3, "{output:?}");
    for named in [&segments[0], "deep: made without", "deep/er: made without"] {
        assert!(output.stderr.contains(named), "{named} in {output:?}");
    }
    assert_eq!(assert_rest(), 3 + 24);
    assert_eq!(tree::read(&world.path("out"))[Path::new("")].mode, 0o700);

    // Once more, over what is there, beside something that looks like it one level up.
    std::fs::write(world.path("out/07"), "stays").unwrap();
    let again = restore(&world, &["--json"]);
    assert_eq!(again.code, 3, "{again:?}");
    let json: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(json[0]["report"]["kept"], 24);
    assert_eq!(json[0]["report"]["failure_count"], 3);
    assert_eq!(assert_rest(), 3 + 24 + 1);
    assert_eq!(text(&world, "07"), "stays");
    let some = restore(&world, &["--path", "28", "--json"]);
    assert_eq!(some.code, 3, "{some:?}");
    let json: Value = serde_json::from_str(&some.stdout).unwrap();
    assert_eq!(json[0]["report"]["kept"], 1);
}

#[test]
fn many_files_with_several_names_need_few_descriptors() {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 4);
    for index in 0..150 {
        let (first, further) = (format!("a/{index:03}/f"), format!("b/{index:03}/f"));
        world.write(&first, format!("{index}"));
        std::fs::create_dir_all(world.data().join(&further).parent().unwrap()).unwrap();
        std::fs::hard_link(world.data().join(first), world.data().join(further)).unwrap();
    }
    settle();
    world.back_up();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    let limit = ["-c", "ulimit -n 160; exec \"$0\" \"$@\""];
    // Once more, where everything is there.
    for round in ["first", "second"] {
        let output = world.command_by("sh", &limit, args).output().unwrap();
        assert!(output.status.success(), "{round}: {output:?}");
        let (mut expected, mut found) = (tree::read(&world.data()), tree::read(&to));
        if round == "second" {
            expected.remove(Path::new(""));
            found.remove(Path::new(""));
        }
        assert_same(&expected, &found);
    }
}

#[test]
fn what_belongs_to_somebody_else_does_not_become_setuid_to_who_restores_it() {
    let world = World::new();
    for (name, owner, mode) in [
        ("root's", 0, 0o4755),
        ("root's group", 0, 0o2755),
        ("own", 1000, 0o6755),
    ] {
        world.write(name, name);
        let path = world.data().join(name);
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
        set_mode(&path, mode);
    }
    settle();
    world.back_up();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    // Once more, where everything is there.
    for _ in 0..2 {
        let output = world.offsite_as(1000, args);
        assert_eq!(output.code, 0, "{output:?}");
        let tree = tree::read(&to);
        for (name, mode) in [("root's", 0o755), ("root's group", 0o755), ("own", 0o6755)] {
            let facts = &tree[Path::new(name)];
            assert_eq!((facts.uid, facts.mode), (1000, mode), "{name}");
        }
    }
}

/// A tree of directories that not even their owner may write into.
fn read_only_world() -> World {
    let mut world = World::new();
    // Files come in order.
    world.set("LIMITS__CONCURRENCY", 1);
    for name in ["ro/sub/a", "ro/sub/b", "ro/u", "ro/v", "ro/w"] {
        world.write(name, name);
    }
    symlink("u", world.data().join("ro/x")).unwrap();
    settle();
    set_mode(&world.data().join("ro/sub"), 0o555);
    set_mode(&world.data().join("ro"), 0o555);
    world.back_up();
    world
}

/// The same but for the owner, and for the target itself, which was there before.
fn assert_same_for_another_owner(world: &World) {
    let of_others = |root: &Path| {
        let mut tree = tree::read(root);
        tree.remove(Path::new(""));
        for facts in tree.values_mut() {
            (facts.uid, facts.gid) = (1000, 1000);
        }
        tree
    };
    assert_same(&of_others(&world.data()), &of_others(&world.path("out")));
}

#[test]
fn a_restore_that_ended_early_leaves_its_directories_open_to_the_next() {
    let world = read_only_world();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    let fault = local_s3::Fault::on(local_s3::Operation::GetObject).key_contains("files/");
    world
        .server
        .fault(fault.skip(3).status(403, "AccessDenied"));
    let ended = world.offsite_as(1000, args);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(tree::read(&to)[Path::new("ro")].mode, 0o700);
    let output = world.offsite_as(1000, args);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same_for_another_owner(&world);
}

#[test]
fn what_is_missing_in_a_read_only_directory_is_restored_into_it() {
    let world = read_only_world();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    let fault = local_s3::Fault::on(local_s3::Operation::GetObject).key_contains("ro/v");
    world.server.fault(fault.status(404, "NoSuchKey"));
    let incomplete = world.offsite_as(1000, args);
    assert_eq!(incomplete.code, 3, "{incomplete:?}");
    assert_eq!(tree::read(&to)[Path::new("ro")].mode, 0o555);
    let output = world.offsite_as(1000, args);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same_for_another_owner(&world);

    std::fs::remove_dir_all(to.join("ro/sub")).unwrap();
    std::fs::remove_file(to.join("ro/x")).unwrap();
    // The third time there is nothing left to do.
    for _ in 0..2 {
        let output = world.offsite_as(1000, args);
        assert_eq!(output.code, 0, "{output:?}");
        assert_same_for_another_owner(&world);
    }
}
