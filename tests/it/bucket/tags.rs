//! Tags that are looked at: `tags: check`.

use std::time::Duration;

use local_s3::{Fault, LoggedRequest, Operation};

use super::{Documents, count};
use crate::support::BUCKET;

const CHECK: &str = ", tags: check";

/// How many requests for tags there were: of the bucket's objects, and of copies.
fn asked(requests: &[LoggedRequest]) -> (usize, usize) {
    let tags = |request: &&LoggedRequest| request.operation == Operation::GetObjectTagging;
    let of_copies = |request: &&LoggedRequest| request.bucket.as_deref() == Some(BUCKET);
    let all = requests.iter().filter(tags).count();
    let copies = requests.iter().filter(tags).filter(of_copies).count();
    (all - copies, copies)
}

/// What a pass asks for, and how many copies it has made.
fn back_up(world: &Documents) -> ((usize, usize), usize) {
    let requests = world.requests_of(|| {
        world.back_up();
    });
    (asked(&requests), count(&requests, Operation::CopyObject))
}

/// The tags of the copy of an object.
fn tags_of(world: &Documents, key: &str) -> Vec<(String, String)> {
    let copy = world.full_key(&world.copy_of(key));
    let copy = world.server.object(BUCKET, &copy).unwrap();
    copy.attributes.tags.into_iter().collect()
}

#[test]
fn other_tags_are_a_change_where_they_are_checked() {
    let world = Documents::new();
    world.configure_bucket(CHECK);
    for key in ["a.jpg", "b.jpg"] {
        world.put_with_all(key, "contents");
    }
    world.put("c.jpg", "without tags");
    assert_eq!(back_up(&world), ((3, 0), 3));
    assert_eq!(back_up(&world), ((3, 0), 0));
    let copy_of_b = world.copy_of("b.jpg");

    world.tag("a.jpg", &[("team", "mobile")]);
    assert_eq!(back_up(&world), ((3, 0), 1));
    let expected = [("team".to_owned(), "mobile".to_owned())];
    assert_eq!(tags_of(&world, "a.jpg"), expected);
    assert_eq!(world.copy_of("b.jpg"), copy_of_b);
    world.tag("c.jpg", &[("first", "one")]);
    world.tag("b.jpg", &[]);
    assert_eq!(back_up(&world), ((3, 0), 2));
    assert_eq!(tags_of(&world, "b.jpg"), []);
    assert_eq!(tags_of(&world, "c.jpg").len(), 1);
    assert_eq!(world.copies(), world.contents());

    // As docs/FORMAT.md has it.
    let recorded = &world.entries()["a.jpg"]["object"]["tags_sha256"];
    let digest = {
        use sha2::{Digest as _, Sha256};
        hex::encode(Sha256::digest(br#"{"team":"mobile"}"#))
    };
    assert_eq!(recorded, &digest);

    // And none where they are not.
    world.configure_bucket("");
    world.tag("a.jpg", &[("team", "web")]);
    assert_eq!(back_up(&world), ((0, 0), 0));
}

#[test]
fn copies_that_were_made_before_tags_were_checked_are_asked_for_theirs_once() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put_with_all(key, "contents");
    }
    world.put("d.jpg", "without tags");
    world.back_up();
    let before = world.copy_of("a.jpg");
    world.tag("b.jpg", &[("team", "mobile")]);
    world.configure_bucket(CHECK);
    assert_eq!(back_up(&world), ((4, 4), 1));
    assert_eq!(tags_of(&world, "b.jpg").len(), 1);
    assert_eq!(world.copy_of("a.jpg"), before);
    for entry in world.entries().values() {
        assert!(entry["object"]["tags_sha256"].is_string(), "{entry}");
    }
    assert_eq!(back_up(&world), ((4, 0), 0));
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn a_copy_without_the_tags_is_made_again_and_one_that_has_none_to_have_is_not() {
    let world = Documents::new();
    world.configure_bucket(", tags: ignore");
    world.put_with_all("a.jpg", "contents");
    world.put("b.jpg", "without tags");
    world.back_up();
    world.configure_bucket(CHECK);
    assert_eq!(back_up(&world), ((2, 2), 1));
    assert_eq!(tags_of(&world, "a.jpg").len(), 2);
}

#[test]
fn a_copy_that_does_not_tell_its_tags_is_made_again() {
    let world = Documents::new();
    world.put_with_all("a.jpg", "contents");
    world.back_up();
    world.configure_bucket(CHECK);
    let refused = Fault::on(Operation::GetObjectTagging).key_contains("copies/");
    world
        .server
        .fault(refused.always().status(403, "AccessDenied"));
    assert_eq!(back_up(&world), ((1, 1), 1));
    assert_eq!(back_up(&world), ((1, 0), 0));
    assert_eq!(tags_of(&world, "a.jpg").len(), 2);
}

#[test]
fn an_object_whose_tags_are_refused_keeps_its_last_copy() {
    let world = Documents::new();
    world.configure_bucket(CHECK);
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put_with_all(key, "contents");
    }
    world.back_up();
    let copy = world.copy_of("b.jpg");
    world.put_with_all("b.jpg", "changed");
    world.put_with_all("c.jpg", "changed");
    world.put_with_all("bb.jpg", "new");
    let refused = Fault::on(Operation::GetObjectTagging).key_contains("b.jpg");
    world
        .server
        .fault(refused.always().status(403, "AccessDenied"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    let told = output.events_named("file_unreadable");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0]["error"].as_str().unwrap().contains("its tags"),
        "{told:#?}"
    );
    let entries = world.entries();
    assert_eq!(world.copy_of("b.jpg"), copy);
    assert!(entries["b.jpg"]["unreadable"].is_object());
    assert!(entries["bb.jpg"]["unreadable"].is_object());
    world.server.clear_faults();
    world.back_up();
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn an_object_that_is_gone_before_its_tags_are_asked_for_leaves_the_snapshot() {
    let world = Documents::new();
    world.configure_bucket(CHECK);
    for number in 0..40 {
        world.put(&format!("{number}.jpg"), "contents");
    }
    world.back_up();
    let gone = Fault::on(Operation::GetObjectTagging).key_contains("17.jpg");
    world.server.fault(gone.always().status(404, "NoSuchKey"));
    let output = world.back_up();
    assert_eq!(output.events_named("file_vanished").len(), 1, "{output:?}");
    assert_eq!(world.entries().len(), 39);
}

#[test]
fn many_objects_are_asked_for_their_tags_at_once_and_come_in_order() {
    let mut world = Documents::new();
    world.configure_bucket(CHECK);
    world.set("LIMITS__CONCURRENCY", 16);
    world.put_odd_keys();
    for number in 0..1200 {
        world.put(&format!("{number:04}.jpg"), format!("{number}"));
    }
    let objects = world.contents().len();
    assert_eq!(back_up(&world), ((objects, 0), objects));
    assert_eq!(world.copies(), world.contents());

    // What has too much to do is asked again. The same time for each makes them come one by one, if they do.
    let busy = Fault::on(Operation::GetObjectTagging);
    let busy = busy.skip(100).times(8).status(503, "SlowDown");
    world.server.fault(busy);
    let slow = Fault::on(Operation::GetObjectTagging).always();
    world.server.fault(slow.delay(Duration::from_millis(20)));
    let before = std::time::Instant::now();
    let (_, copied) = back_up(&world);
    assert_eq!(copied, 0);
    let one_by_one = Duration::from_millis(20) * u32::try_from(objects).unwrap();
    assert!(before.elapsed() < one_by_one, "{:?}", before.elapsed());
}

#[test]
fn tags_that_nobody_can_have_now_end_the_source() {
    let world = Documents::new();
    world.configure_bucket(CHECK);
    world.put("a.jpg", "contents");
    world.back_up();
    world.put("a.jpg", "changed");
    let wrong = Fault::on(Operation::GetObjectTagging).always();
    world.server.fault(wrong.status(400, "ExpiredToken"));
    let output = world.offsite(["run"]);
    assert_ne!(output.code, 0, "{output:?}");
    assert_ne!(output.code, 3, "{output:?}");
    let failed = output.event("source_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("cannot read the tags of `a.jpg`"), "{error}");
    assert_eq!(world.snapshots().len(), 1);
}

#[test]
fn a_plan_counts_the_requests_for_tags() {
    let world = Documents::new();
    for number in 0..50 {
        world.put_with_all(&format!("{number:02}.jpg"), "contents");
    }
    world.back_up();
    world.configure_bucket(CHECK);
    world.tag("07.jpg", &[]);
    // With the copies asked, and then without.
    for (changed, beside) in [(50, 11), (0, 11)] {
        let output = world.offsite(["plan", "--json"]);
        assert_eq!(output.code, 0, "{output:?}");
        let plans: Vec<serde_json::Value> = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(plans[0]["changed"], changed, "{plans:#?}");
        assert_eq!(plans[0]["send_bytes"], 0, "{plans:#?}");
        assert_eq!(plans[0]["categories"]["images"]["send_bytes"], 0);
        let planned = plans[0]["requests"].as_u64().unwrap();
        let requests = world.requests_of(|| {
            world.back_up();
        });
        let made = requests.len() as u64;
        // One copy is made that the plan cannot know of.
        assert!(
            (planned..planned + beside + 1).contains(&made),
            "{planned} {made}"
        );
    }
}

#[test]
fn what_was_read_is_known_with_its_tags() {
    let world = Documents::new();
    std::fs::create_dir(world.path("store")).unwrap();
    let configure = |settings: &str| {
        world.configure(&format!(
            "backup:\n  store: {}\n  \
             sources: [{{name: documents, bucket: {{name: documents{settings}}}}}]\n",
            world.path("store").display()
        ));
    };
    configure("");
    world.put_with_all("a.jpg", "contents");
    world.put_with_all("b.jpg", "contents");
    let reads = |world: &Documents| {
        let requests = world.requests_of(|| {
            world.back_up();
        });
        let (tags, _) = asked(&requests);
        (tags, count(&requests, Operation::GetObject))
    };
    world.back_up();
    configure(CHECK);
    assert_eq!(reads(&world), (2, 0));
    world.tag("a.jpg", &[("team", "mobile")]);
    assert_eq!(reads(&world), (2 + 1, 1));
    let tags = &world.entries()["a.jpg"]["object"]["headers"]["tags"];
    assert_eq!(tags, &serde_json::json!({"team": "mobile"}));
    // Another category is none of its tags.
    configure(", tags: check, categories: {scans: [jpg]}");
    assert_eq!(reads(&world), (2, 0));
    let entry = &world.entries()["b.jpg"];
    assert_eq!(entry["object"]["category"], "scans");
    assert_eq!(entry["object"]["headers"]["tags"]["team"], "web", "{entry}");
}
