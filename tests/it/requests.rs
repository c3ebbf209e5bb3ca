//! How many requests things take: each costs money and time.

use local_s3::{LoggedRequest, Operation};
use offsite::format::snapshot::Record;

use crate::support::tree::settle;
use crate::support::{PREFIX, World, noise};

/// What a pass sends, in order, as `PutObject lock`.
fn shapes(requests: &[LoggedRequest]) -> Vec<String> {
    let shape = |request: &LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        let key = key.strip_prefix(PREFIX).unwrap_or(key);
        let folder = key.split('/').next().unwrap_or_default();
        format!("{} {folder}", request.operation.name())
            .trim_end()
            .to_owned()
    };
    requests.iter().map(shape).collect()
}

fn unchanged(world: &World) -> Vec<String> {
    shapes(&world.requests_of(|| {
        world.back_up();
    }))
}

#[test]
fn an_unchanged_pass_makes_eight_requests_and_one_for_each_segment() {
    let world = World::new();
    world.write("a", "a");
    settle();
    world.back_up();
    assert_eq!(
        unchanged(&world),
        [
            "GetObject lock",
            "PutObject lock",
            "GetObject status.json",
            "GetObject snapshots",
            "GetObject manifests",
            "PutObject snapshots",
            "PutObject passes",
            "PutObject status.json",
            "PutObject lock",
        ]
    );
}

/// The formula in the documentation: 6, two more for each source, and one for each segment, of
/// which a first pass writes one for each 131,072 entries.
#[test]
fn an_unchanged_tree_of_100_000_files_takes_nine_requests() {
    let world = World::new();
    // Names count, not bytes: 100 files with 1,000 names each.
    for directory in 0..100 {
        let first = format!("{directory:02}/000");
        world.write(&first, format!("contents of {directory}"));
        for name in 1..1000 {
            let name = world.data().join(format!("{directory:02}/{name:03}"));
            std::fs::hard_link(world.data().join(&first), name).unwrap();
        }
    }
    settle();
    let first = world.back_up();
    assert_eq!(first.event("snapshot_committed")["files"], 100_000);
    assert_eq!(first.event("snapshot_committed")["uploaded_files"], 100);

    let requests = unchanged(&world);
    assert_eq!(requests.len(), 8 + 1, "{requests:#?}");
    let writes: Vec<_> = requests
        .iter()
        .filter(|shape| shape.starts_with("Put"))
        .collect();
    let expected = [
        "PutObject lock",
        "PutObject snapshots",
        "PutObject passes",
        "PutObject status.json",
        "PutObject lock",
    ];
    assert_eq!(writes, expected);
}

#[test]
fn each_source_adds_two_requests_and_its_segments() {
    let world = World::new();
    world.write("one/a", "a");
    world.write("two/b", "b");
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/, include_dirs: [{0}/one, {0}/two]}}\n",
        world.data().display()
    ));
    settle();
    world.back_up();
    let requests = unchanged(&world);
    assert_eq!(requests.len(), 6 + 2 * (2 + 1), "{requests:#?}");
}

#[test]
fn a_changed_file_costs_its_put_and_its_segments() {
    let world = World::new();
    for index in 0..100 {
        world.write(&format!("{index:03}"), format!("{index}"));
    }
    settle();
    world.back_up();
    world.write("050", "changed");
    settle();
    let requests = unchanged(&world);
    assert_eq!(requests.len(), 9 + 2, "{requests:#?}");
    assert_eq!(
        requests
            .iter()
            .filter(|shape| *shape == "PutObject files")
            .count(),
        1
    );
    assert_eq!(
        requests
            .iter()
            .filter(|shape| *shape == "PutObject manifests")
            .count(),
        1
    );
}

#[test]
fn only_the_segments_that_changed_are_written() {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 50);
    for index in 0..500 {
        world.write(&format!("{index:03}"), format!("{index}"));
    }
    settle();
    let first = world.back_up();
    assert_eq!(first.event("snapshot_committed")["segments_written"], 11);
    world.write("123", "changed");
    settle();
    let second = world.back_up();
    let committed = second.event("snapshot_committed");
    assert_eq!(committed["segments_written"], 1, "{committed}");
    assert_eq!(committed["segments_reused"], 10, "{committed}");
}

/// Segments neither crumble nor swell, whatever is done to them.
#[test]
fn segments_stay_between_a_quarter_and_one_and_a_half_of_their_size() {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 40);
    for index in 0..200 {
        world.write(&format!("{index:04}"), "");
    }
    for round in 0..12 {
        match round % 4 {
            // One more at the end each time, as where folders are named by date.
            0 => world.write(&format!("9{round:03}"), ""),
            1 => (0..30).for_each(|n| world.write(&format!("0050-{round}-{n}"), "")),
            2 => (0..30).for_each(|n| {
                let path = world.data().join(format!("{:04}", n * 3 + round));
                let _ = std::fs::remove_file(path);
            }),
            _ => (0..90).for_each(|n| world.write(&format!("0100-{round}-{n}"), "")),
        }
        world.back_up();
        let key = format!("snapshots/data/{}.json", world.snapshots().pop().unwrap());
        let record = world
            .server
            .object("backups", &world.full_key(&key))
            .unwrap();
        let record = Record::parse(&record.bytes).unwrap();
        let Record::Live(record) = record else {
            panic!("{record:?}")
        };
        let sizes: Vec<_> = record.segments.iter().map(|s| s.totals.entries).collect();
        let (last, others) = sizes.split_last().unwrap();
        assert!(
            others.iter().all(|n| (10..=60).contains(n)),
            "round {round}: {sizes:?}"
        );
        assert!(*last <= 60, "round {round}: {sizes:?}");
        let total: u64 = sizes.iter().sum();
        let there = std::fs::read_dir(world.data()).unwrap().count() as u64 + 1;
        assert_eq!(total, there, "round {round}");
    }
}

#[test]
fn a_large_file_goes_in_parts_of_eight_mebibytes() {
    let world = World::new();
    world.write("large", noise(1, (16 << 20) + 1));
    settle();
    let mut requests = world.requests_of(|| {
        world.back_up();
    });
    requests.retain(|request| {
        request
            .key
            .as_deref()
            .is_some_and(|key| key.ends_with("/large"))
    });
    let count = |operation| requests.iter().filter(|r| r.operation == operation).count();
    assert_eq!(count(Operation::CreateMultipartUpload), 1);
    assert_eq!(count(Operation::UploadPart), 3);
    assert_eq!(count(Operation::CompleteMultipartUpload), 1);
}

#[test]
fn a_touch_costs_a_read_and_no_upload() {
    let world = World::new();
    world.write("touched", "same");
    world.write("chmodded", "same");
    world.write("replaced by a copy", "same");
    world.write("large", noise(1, 17 << 20));
    settle();
    world.back_up();
    let data = world.data();
    for name in ["touched", "large"] {
        crate::support::tree::set_mtime(&data.join(name), 1_700_000_000, 1);
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(data.join("chmodded"), mode).unwrap();
    std::fs::remove_file(data.join("replaced by a copy")).unwrap();
    world.write("replaced by a copy", "same");
    settle();
    let requests = world.requests_of(|| {
        let output = world.back_up();
        assert_eq!(output.event("snapshot_committed")["reread_files"], 4);
    });
    assert!(crate::support::uploads(&requests).is_empty());
    let restored = crate::support::tree::read(&world.restored_latest());
    crate::support::tree::assert_same(&crate::support::tree::read(&data), &restored);
}

#[test]
fn verify_by_checksums_asks_once_for_each_object_and_reads_none() {
    let world = World::new();
    for index in 0..20 {
        world.write(&format!("{index}"), format!("{index}"));
    }
    settle();
    world.back_up();
    let requests = world.requests_of(|| {
        assert_eq!(world.offsite(["verify", "--checksums"]).code, 0);
    });
    let count = |operation| requests.iter().filter(|r| r.operation == operation).count();
    assert_eq!(count(Operation::HeadObject), 20);
    let read = |r: &&LoggedRequest| r.operation == Operation::GetObject;
    let contents = |r: &LoggedRequest| r.key.as_deref().unwrap_or_default().contains("/files/");
    assert!(!requests.iter().filter(read).any(contents));
}
