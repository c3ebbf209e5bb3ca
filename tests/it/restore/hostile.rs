//! Manifests made by somebody who means harm.

use offsite::format::FORMAT;
use offsite::format::entry::{Content, Digest, Entry, Kind, Metadata};
use offsite::format::keys::SourceName;
use offsite::format::location::{Checksum, Location, Stored};
use offsite::format::name::Order;
use offsite::format::path::EntryPath;
use offsite::format::requires::Requires;
use offsite::format::rules::Rules;
use offsite::format::segment::{Header, SegmentRef, SegmentWriter};
use offsite::format::snapshot::Snapshot;
use offsite::format::totals::Totals;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{restore, restored, world};
use crate::support::{BUCKET, SOURCE, World};

/// A snapshot made by somebody who means harm.
pub(super) fn hostile(world: &World, entries: &[Entry]) {
    let pass = "20300101T000000Z-0000".parse().unwrap();
    let header = Header {
        format: FORMAT,
        requires: Requires::default(),
        source: source(),
        pass,
        generation: 1,
        order: Order::Path,
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

fn store(world: &World, pass: offsite::format::pass_id::PassId, segment: Vec<u8>, entries: u64) {
    let key = format!("manifests/{SOURCE}/{pass}/000-00000.ndjson.zst");
    let totals = Totals {
        entries,
        ..Totals::default()
    };
    let snapshot = Snapshot {
        format: FORMAT,
        requires: Requires::default(),
        source: source(),
        pass,
        generation: 1,
        sequence: 0,
        owner: None,
        kind: "directory".to_owned(),
        place: "/".to_owned(),
        origins: Vec::new(),
        selection: None,
        rules: Rules::default(),
        created_at: pass.started_at(),
        committed_at: pass.started_at(),
        parent: None,
        parent_sha256: None,
        copied: None,
        continued: Vec::new(),
        complete: true,
        xattrs: false,
        totals,
        uploaded_bytes: 0,
        loss: None,
        full: None,
        objects: None,
        order: Order::Path,
        segments: vec![SegmentRef {
            key: key.clone(),
            sha256: hex::encode(Sha256::digest(&segment)),
            size: segment.len() as u64,
            lines_bytes: zstd::decode_all(&*segment).unwrap().len() as u64,
            totals,
            first: ".".to_owned(),
            last: "z".to_owned(),
            ..SegmentRef::default()
        }],
        offsite: "0".to_owned(),
        sha256: String::new(),
    };
    world.server.replace(BUCKET, &world.full_key(&key), segment);
    let key = format!("snapshots/{SOURCE}/{pass}.json");
    world
        .server
        .replace(BUCKET, &world.full_key(&key), snapshot.to_bytes());
    let key = format!("files/{SOURCE}/{pass}/payload");
    world.server.replace(BUCKET, &world.full_key(&key), "evil");
}

/// An object that is as long as these contents.
pub(super) fn location(path: &str, contents: &[u8]) -> Location {
    Location::Object(Box::new(Stored {
        key: format!("files/{SOURCE}/{PASS}/{path}").into(),
        size: contents.len() as u64,
        checksum: Checksum::Sha256(Sha256::digest(contents).into()),
        etag: None,
    }))
}

fn source() -> SourceName {
    SourceName::parse(SOURCE).unwrap()
}

pub(super) fn entry(path: &str, kind: Kind) -> Entry {
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
                digest: Digest::Sha256(Sha256::digest(b"evil").into()),
                pass: "20300101T000000Z-0000".parse().unwrap(),
                captured_as: None,
                location: location("payload", b"evil"),
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
            "format": 1, "source": SOURCE, "pass": "20300101T000000Z-0000", "generation": 1,
            "order": "path", "scan_started_ns": 0}});
        lines.extend(header.to_string().into_bytes());
        lines.push(b'\n');
        entry(".", Kind::Directory).write_line(&source(), &mut lines);
        let mut line = Vec::new();
        entry("REPLACED", Kind::File).write_line(&source(), &mut line);
        let line = String::from_utf8(line).unwrap().replace("REPLACED", path);
        lines.extend(line.into_bytes());
        lines.extend(b"{\"end\":{\"entries\":2,\"first\":\".\",\"last\":\"z\"}}\n");
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
            let why = match other {
                "../escaped" => "is not a source name",
                _ => "says that it is snapshot",
            };
            assert!(said.contains(why), "{said}");
            assert!(said.contains(other), "{said}");
        }
        assert!(!world.path("out").exists());
    }
}

/// The pass of [`hostile`].
pub(super) const PASS: &str = "20300101T000000Z-0000";
