//! Notes: they are in the archive, and objects of their own, which the manifest names.

use std::path::Path;

use local_s3::{Fault, Operation};
use rustix::process::Signal;

use super::{extracted, fill, names, run, states, world, world_with};
use crate::kill::{Moment, at_every_request, pass_with_signal};
use crate::support::tree::{assert_same, read, settle};
use crate::support::{BUCKET, SOURCE, World, noise};
use crate::verify::findings;

const SESSION: &str = "M31_2020-01-02";
const NOTE: &str = "sessions/2020/M31_2020-01-02_notes.md";

fn notes(world: &World) -> Vec<String> {
    let keys = world.keys().into_iter();
    keys.filter(|key| key.starts_with("sessions/")).collect()
}

#[test]
fn a_note_that_is_damaged_or_missing_is_found_and_mended() {
    let world = world();
    world.back_up();
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
    let path = format!("{SESSION}/notes.md");
    world.server.corrupt(BUCKET, &world.full_key(NOTE), 0);
    assert_eq!(findings(&world, &[]), (0, vec![]));
    let altered = format!("{path}: altered: SHA-256 mismatch of what was read");
    assert_eq!(findings(&world, &["--read"]), (4, vec![altered]));
    assert!(world.server.remove(BUCKET, &world.full_key(NOTE)));
    let (code, found) = findings(&world, &[]);
    assert_eq!((code, found.len()), (4, 1), "{found:?}");
    assert!(
        found[0].starts_with(&format!("{path}: missing")),
        "{found:?}"
    );
    run(&world, &["--session", SESSION, "--force"]);
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn a_note_is_restored_from_its_own_object_while_its_archive_is_out_of_reach() {
    let world = world();
    let output = world.back_up();
    let archive = &super::archived(&output)[SESSION];
    let in_archive = &extracted(&world, archive)[&Path::new(SESSION).join("notes.md")];
    assert_eq!(in_archive.size, "notes of M31_2020-01-02".len() as u64);
    let key = world.full_key(archive);
    world.server.transition(BUCKET, &key, "DEEP_ARCHIVE");
    let to = world.path("restored");
    let note = format!("{SESSION}/notes.md");
    let requests = world.requests_of(|| {
        let to = to.to_str().unwrap();
        let restore = ["restore", "--source", SOURCE, "--to", to, "--path", &note];
        let output = world.offsite(restore);
        assert_eq!(output.code, 0, "{output:?}");
    });
    let fetched = requests
        .iter()
        .filter(|request| request.operation == Operation::GetObject)
        .filter_map(|request| request.key.as_deref());
    let fetched: Vec<_> = fetched.collect();
    assert!(!fetched.contains(&&*key), "{fetched:?}");
    let text = std::fs::read_to_string(to.join(&note)).unwrap();
    assert_eq!(text, "notes of M31_2020-01-02");
}

#[test]
fn only_an_object_that_the_last_snapshot_has_is_a_note_again() {
    let world = world_with("");
    fill(&world, SESSION, 1);
    let mut expected = Vec::new();
    for text in ["as it was", "otherwise", "as it was"] {
        world.write(&format!("{SESSION}/notes.md"), text);
        settle();
        assert_eq!(names(&world.back_up()), [SESSION]);
        let pass = world.snapshots().pop().unwrap();
        expected.push(match expected.is_empty() {
            true => NOTE.to_owned(),
            false => NOTE.replace(".md", &format!("_{pass}.md")),
        });
    }
    world.write(&format!("{SESSION}/light/3.fits"), noise(7, 4000));
    settle();
    assert_eq!(names(&world.back_up()), [SESSION]);
    expected.sort();
    assert_eq!(notes(&world), expected);
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
    // It is what the entry says, and none of the others.
    let newest = expected.last().unwrap();
    for key in &expected {
        world.server.corrupt(BUCKET, &world.full_key(key), 0);
        let code = if key == newest { 4 } else { 0 };
        assert_eq!(findings(&world, &["--read"]).0, code, "{key}");
    }
}

#[test]
fn a_note_that_is_too_large_is_in_the_archive_alone() {
    let world = world_with("");
    world.write("M31_2020/notes.md", noise(1, 512 << 10));
    world.write("M31_2020/short.md", noise(2, (512 << 10) - 1));
    world.write("M31_2020/empty.md", "");
    settle();
    let output = world.back_up();
    let notice = output.event("notice");
    let message = notice["message"].as_str().unwrap();
    assert!(
        message.contains("`M31_2020/notes.md` is in its archive alone")
            && message.contains("too large"),
        "{notice}"
    );
    let expected = ["empty", "short"].map(|name| format!("sessions/2020/M31_2020_{name}.md"));
    assert_eq!(notes(&world), expected);
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
    assert_eq!(names(&world.back_up()), [""; 0]);
    assert_eq!(states(&world), ["archived"]);
}

/// The store has no room for a key as long as that, say; the archive has the note all the same.
#[test]
fn a_note_that_the_store_does_not_take_is_in_the_archive_alone() {
    for (status, code) in [(400, "KeyTooLongError"), (503, "SlowDown")] {
        let world = world_with("");
        world.write("M31_2020/light/1.fits", noise(1, 5000));
        world.write("M31_2020/notes.md", "a note");
        settle();
        let put = Fault::on(Operation::PutObject).key_contains("/sessions/");
        let refused = world.server.fault(put.always().status(status, code));
        let output = world.back_up();
        assert!(refused.fired() > 0);
        let notice = output.event("notice")["message"].to_string();
        assert!(
            notice.contains("`M31_2020/notes.md` is in its archive alone"),
            "{notice}"
        );
        assert!(
            notice.contains("sessions/2020/M31_2020_notes.md"),
            "{notice}"
        );
        assert_eq!(notes(&world), [""; 0]);
        assert_eq!(findings(&world, &["--read"]), (0, vec![]));
        assert_same(&read(&world.data()), &read(&world.restored_latest()));
        // The session is not archived again for that, but it can be asked for.
        assert_eq!(names(&world.back_up()), [""; 0]);
        world.server.clear_faults();
        run(&world, &["--force"]);
        assert_eq!(notes(&world), ["sessions/2020/M31_2020_notes.md"]);
    }
}

/// One pass over a session that has nothing but a note, killed at a request. Whether there was one.
fn killed_at(index: usize, moment: Moment) -> bool {
    let world = world_with("");
    world.write("M31_2020/notes.md", "a note");
    settle();
    let Some(output) = pass_with_signal(&world, index, moment, Signal::KILL) else {
        return false;
    };
    assert_eq!(output.code, -9, "{output:?}");
    let mut again = world.offsite(["run"]);
    if again.code == 11 {
        world.expire_leases();
        again = world.back_up();
    }
    assert_eq!(again.code, 0, "{again:?}");
    let archives = world.keys().into_iter();
    let archive = archives.filter(|key| key.starts_with("raw/")).max();
    let archive = extracted(&world, &archive.expect("there is no archive"));
    assert!(archive.contains_key(Path::new("M31_2020/notes.md")));
    assert_eq!(states(&world), ["archived"]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
    true
}

#[test]
fn a_killed_pass_leaves_no_note_without_an_archive() {
    for moment in [Moment::Before, Moment::After] {
        let requests = at_every_request(|index| killed_at(index, moment));
        assert!(requests > 10, "{requests} requests were tried");
    }
}
