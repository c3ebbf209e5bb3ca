//! Objects in an archive class or tier: a state, and nothing wrong with them.

use std::time::Duration;

use local_s3::{Fault, Operation};
use serde_json::json;

use crate::support::tree::settle;
use crate::support::{BUCKET, World, noise};
use crate::verify::report;

const READS: [&[&str]; 3] = [&[], &["--read"], &["--read", "5%"]];

/// A world whose contents are put into a storage class.
fn world(method: &str, class: &str) -> World {
    let mut world = World::new();
    world.set("S3__STORAGE_CLASS", class);
    world.set("DEFAULTS__METHOD", method);
    for index in 0..6 {
        world.write(&format!("{index}"), noise(index, 3000));
    }
    world.write("small", "x");
    // It has no object.
    world.write("empty", "");
    settle();
    world.back_up();
    world
}

fn contents(world: &World) -> Vec<String> {
    let keys = world.server.keys(BUCKET).into_iter();
    keys.filter(|key| key.contains("/files/") || key.contains("/archives/"))
        .collect()
}

/// Verify counts `archived` of `objects`, finds nothing wrong, and asks for no contents of them.
fn assert_cold(world: &World, objects: usize, archived: usize) {
    for args in READS {
        let requests = world.requests_of(|| {
            let (code, report) = report(world, args);
            assert_eq!(code, 0, "{args:?}: {report}");
            assert_eq!(report["objects"], objects, "{args:?}: {report}");
            assert_eq!(report["archived"], archived, "{args:?}: {report}");
            assert_eq!(report["findings"], json!([]), "{report}");
            let compared = &report["compared"];
            let by_checksum = compared["checksum"].as_u64().unwrap();
            assert!(by_checksum >= archived as u64, "{report}");
        });
        let cold = contents(world);
        let cold = cold.iter().filter(|key| {
            let object = world.server.object(BUCKET, key).unwrap();
            object.attributes.storage_class != "STANDARD"
        });
        let cold: Vec<_> = cold.collect();
        let is_read = requests.iter().any(|request| {
            let key = request.key.as_ref();
            request.operation == Operation::GetObject && key.is_some_and(|key| cold.contains(&key))
        });
        assert!(!is_read, "{args:?}");
        let text = world.offsite(["verify"].iter().chain(args));
        assert_eq!((text.code, text.stderr.as_str()), (0, ""), "{text:?}");
        let count = format!("{archived} archived");
        assert!(text.stdout.contains(&count), "{text:?}");
        assert!(text.stdout.contains("all match"), "{text:?}");
    }
}

#[test]
fn objects_in_archive_classes_are_counted_and_not_read() {
    for class in ["GLACIER", "DEEP_ARCHIVE"] {
        assert_cold(&world("files", class), 7, 7);
        assert_cold(&world("archive", class), 1, 1);
    }
}

#[test]
fn what_is_not_archived_is_read_as_ever() {
    let world = world("files", "STANDARD");
    for key in contents(&world).iter().take(2) {
        world.server.transition(BUCKET, key, "DEEP_ARCHIVE");
    }
    assert_cold(&world, 7, 2);
    let (_, read) = report(&world, &["--read"]);
    assert_eq!(read["read_objects"], 5);
    assert_eq!(
        read["compared"],
        json!({"contents": 5, "checksum": 2, "etag": 0, "size": 0})
    );
}

#[test]
fn the_archive_tiers_of_intelligent_tiering_count_once_an_object_is_in_them() {
    for (method, objects) in [("files", 7), ("archive", 1)] {
        let world = world(method, "INTELLIGENT_TIERING");
        let (code, before) = report(&world, &["--read"]);
        assert_eq!((code, &before["archived"]), (0, &json!(0)), "{before}");
        for (key, tier) in contents(&world)
            .iter()
            .zip(["ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"].iter().cycle())
        {
            world.server.sink_to_tier(BUCKET, key, tier);
        }
        assert_cold(&world, objects, objects);
    }
}

#[test]
fn a_thawed_object_is_read() {
    let world = world("files", "GLACIER");
    for key in contents(&world) {
        world.server.thaw(BUCKET, &key, Duration::from_secs(3600));
    }
    let (code, read) = report(&world, &["--read"]);
    assert_eq!((code, &read["archived"]), (0, &json!(0)), "{read}");
    assert_eq!(read["read_objects"], 7);
    // The copy is there for an hour.
    world.server.clock().advance(Duration::from_secs(2 * 3600));
    let (code, read) = report(&world, &["--read"]);
    assert_eq!((code, &read["archived"]), (0, &json!(7)), "{read}");
}

/// A store may refuse what its HEAD does not tell, and an object may sink between the two.
#[test]
fn a_read_that_is_refused_for_the_class_is_no_finding() {
    for (method, objects) in [("files", 7), ("archive", 1)] {
        let world = world(method, "STANDARD");
        let fault = Fault::on(Operation::GetObject).always();
        let fault = match method {
            "files" => fault.key_contains("files/"),
            _ => fault.key_contains("archives/"),
        };
        world.server.fault(fault.status(403, "InvalidObjectState"));
        let (code, read) = report(&world, &["--read"]);
        assert_eq!(code, 0, "{read}");
        assert_eq!(read["archived"], objects, "{read}");
        assert_eq!(read["compared"]["checksum"], objects, "{read}");
    }
}

#[test]
fn damage_that_shows_from_outside_is_found_in_cold_objects_too() {
    let world = world("files", "STANDARD");
    let keys = contents(&world);
    world.server.truncate(BUCKET, &keys[0], 10);
    world.server.replace(BUCKET, &keys[1], noise(77, 3000));
    for key in &keys {
        world.server.transition(BUCKET, key, "DEEP_ARCHIVE");
    }
    for args in READS {
        let (code, report) = report(&world, args);
        assert_eq!(code, 4, "{report}");
        assert_eq!(report["archived"], 7, "{report}");
        let kinds: Vec<_> = report["findings"].as_array().unwrap().iter().collect();
        assert_eq!(kinds.len(), 2, "{report}");
        assert_eq!(kinds[0]["kind"], "truncated", "{report}");
        assert_eq!(kinds[1]["kind"], "replaced", "{report}");
    }
}
