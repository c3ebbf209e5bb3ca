//! A restore into a bucket that is killed at any of its requests is continued by the same command.

use rustix::process::Signal;

use super::{BUCKET_SOURCE, Documents};
use crate::kill::{Moment, at_every_request, with_signal};
use crate::support::noise;

const RESTORE: [&str; 5] = [
    "restore",
    "--source",
    "documents",
    "--in-place",
    "--overwrite",
];

fn killed_at(index: usize, moment: Moment) -> bool {
    let mut world = Documents::new();
    world.set("LIMITS__CONCURRENCY", 2);
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    for number in 0..6 {
        world.put(&format!("{number}.jpg"), format!("contents {number}"));
    }
    world.put_with_all("large.pdf", noise(5, (10 << 20) + 1));
    world.back_up();
    let before = world.contents();
    for key in ["1.jpg", "2.jpg", "large.pdf"] {
        world.server.remove(BUCKET_SOURCE, key);
    }
    world.put("3.jpg", "ruined");
    world.put("unknown", "unknown");
    let Some(output) = with_signal(&world, &RESTORE, index, moment, Signal::KILL) else {
        return false;
    };
    assert_ne!(output.code, 0, "{output:?}");
    // What is there is whole.
    for (key, contents) in world.contents() {
        let is_known =
            before.get(&key) == Some(&contents) || contents == b"ruined" || contents == b"unknown";
        assert!(is_known, "{key}, killed {moment:?} request {index}");
    }
    let output = world.offsite(RESTORE);
    assert_eq!(
        output.code, 0,
        "killed {moment:?} request {index}: {output:?}"
    );
    let mut after = world.contents();
    assert_eq!(after.remove("unknown").as_deref(), Some(&b"unknown"[..]));
    assert!(after == before, "killed {moment:?} request {index}");
    true
}

#[test]
fn killed_before_any_of_its_requests_it_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::Before));
    assert!(requests > 15, "{requests} requests were tried");
}

#[test]
fn killed_after_any_of_its_requests_it_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::After));
    assert!(requests > 15, "{requests} requests were tried");
}
