//! Drills that are stopped or killed: nothing false is recorded, and what can be removed is.

use rustix::process::Signal;

use super::{assert_nothing_is_left, drill, last_drill, marks, world_of};
use crate::kill::{Moment, at_every_request, with_signal, with_signal_when};

const ARGS: [&str; 4] = ["drill", "--json", "--read", "100%"];

#[test]
fn told_to_stop_in_the_middle_it_removes_what_it_has_restored() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut world = world_of(24);
        world.set("LIMITS__CONCURRENCY", 1);
        let is_content = |request: &local_s3::RequestInfo| {
            let key = request.key.as_deref();
            key.is_some_and(|key| key.contains("/files/") && key.contains("/2/"))
        };
        let output = with_signal_when(&world, &ARGS, is_content, Moment::Before, signal).unwrap();
        let expected = if signal == Signal::TERM { 143 } else { 130 };
        assert_eq!(output.code, expected, "{output:?}");
        let failed = output.event("drill_failed");
        assert_eq!(failed["exit_code"], expected);
        assert_eq!(failed["error"], "interrupted");
        assert_nothing_is_left(&world);
        assert!(marks(&world).is_empty());
    }
}

#[test]
fn killed_at_any_request_it_leaves_no_false_record() {
    let killed = |moment| {
        at_every_request(|at| {
            let world = world_of(6);
            let key = world.full_key(&world.key_like("files/", "/1/01"));
            world.server.corrupt(crate::support::BUCKET, &key, 0);
            let Some(output) = with_signal(&world, &ARGS, at, moment, Signal::KILL) else {
                return false;
            };
            assert_eq!(output.code, -9, "{output:?}");
            let marks = marks(&world);
            assert!(marks.len() <= 1, "{marks:?}");
            for (_, mark) in &marks {
                assert_eq!(mark["outcome"], "damaged", "killed at {at}: {mark}");
                assert_eq!(mark["files"], 5);
            }
            // The next one removes what it has left, and is recorded.
            assert_eq!(drill(&world, &["--read", "100%"]).code, 4);
            assert_eq!(last_drill(&world)["files"], 5);
            true
        })
    };
    let tried = killed(Moment::Before);
    assert!(tried >= 12, "{tried}");
    assert!(killed(Moment::After) >= 12);
}
