//! A pass over a bucket that is killed at any of its requests is continued, and nothing is copied twice that was
//! recorded.

use local_s3::Operation;
use rustix::process::Signal;

use super::{Documents, count};
use crate::kill::{Moment, at_every_request, pass_with_signal};
use crate::support::{BUCKET, noise};

fn filled() -> Documents {
    let mut world = Documents::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 6);
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 1);
    world.set("LIMITS__CONCURRENCY", 2);
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    for number in 0..8 {
        world.put(&format!("{number}.jpg"), format!("contents {number}"));
    }
    world.put_with_all("large.pdf", noise(5, (10 << 20) + 1));
    world
}

fn killed_at(index: usize, moment: Moment, is_first: bool) -> bool {
    let world = filled();
    if !is_first {
        world.back_up();
        for number in 2..5 {
            world.put(&format!("{number}.jpg"), "changed");
        }
        world.put("new.jpg", "new");
        world.server.remove(super::BUCKET_SOURCE, "7.jpg");
        world.put_with_all("large.pdf", noise(6, (10 << 20) + 1));
    }
    let Some(output) = pass_with_signal(&world, index, moment, Signal::KILL) else {
        return false;
    };
    assert_ne!(output.code, 0, "{output:?}");
    world.expire_leases();
    for snapshot in world.snapshots() {
        let verified = world.offsite(["verify", "--snapshot", &snapshot]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
    world.back_up();
    assert_eq!(
        world.copies(),
        world.contents(),
        "killed {moment:?} request {index}"
    );
    let left = world.server.uploads(BUCKET);
    assert!(
        left.is_empty(),
        "killed {moment:?} request {index}: {left:?}"
    );
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&requests, Operation::CopyObject), 0);
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    true
}

#[test]
fn a_first_pass_killed_before_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::Before, true));
    assert!(requests > 25, "{requests} requests were tried");
}

#[test]
fn a_first_pass_killed_after_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::After, true));
    assert!(requests > 25, "{requests} requests were tried");
}

#[test]
fn a_later_pass_killed_before_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::Before, false));
    assert!(requests > 15, "{requests} requests were tried");
}

#[test]
fn a_later_pass_killed_after_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::After, false));
    assert!(requests > 15, "{requests} requests were tried");
}

/// A killed first pass has recorded copies; the next one makes no others of the same objects.
#[test]
fn what_a_killed_pass_has_copied_and_recorded_is_not_copied_again() {
    let mut world = Documents::new();
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 10);
    world.set("LIMITS__CONCURRENCY", 4);
    for number in 0..100 {
        world.put(&format!("{number:03}.jpg"), format!("{number}"));
    }
    let output = crate::kill::with_signal_when(
        &world,
        &["run"],
        |request| {
            let key = request.key.as_deref().unwrap_or_default();
            request.operation == Operation::CopyObject && key.ends_with("/080.jpg")
        },
        Moment::Before,
        Signal::KILL,
    );
    assert!(output.is_some());
    world.expire_leases();
    let requests = world.requests_of(|| {
        world.back_up();
    });
    let copied = count(&requests, Operation::CopyObject);
    assert!((20..=45).contains(&copied), "{copied}");
    assert_eq!(world.copies(), world.contents());
}
