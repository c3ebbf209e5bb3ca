//! Somebody else at work in the target at the same time: another restore, or anybody.

use std::process::Child;
use std::sync::mpsc;
use std::time::Duration;

use local_s3::{Fault, HookAction, Operation};
use rustix::io::Errno;

use super::interrupted::{NFS, NO_LINKS, NOTHING, Refused};
use super::{command, restore};
use crate::support::calls::{Answer, NAMING, killed_at, refuse, watched};
use crate::support::tree::{self, assert_same, settle};
use crate::support::{SOURCE, World, finish};

const WAYS: [Refused; 3] = [NOTHING, NFS, NO_LINKS];

fn world() -> World {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 1);
    for path in ["a", "b", "sub/c"] {
        world.write(path, path);
    }
    std::os::unix::fs::symlink("a", world.data().join("link")).unwrap();
    settle();
    world.back_up();
    world
}

/// A restore that has begun and waits for its first contents.
fn waiting(world: &World, args: &[&str]) -> Child {
    let (arrived, has_arrived) = mpsc::channel();
    let fault = Fault::on(Operation::GetObject).key_contains("files/");
    world.server.fault(fault.always().hang());
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if key.contains("/files/") {
            let _ = arrived.send(());
        }
        HookAction::Proceed
    });
    let child = command(world, args).spawn().unwrap();
    has_arrived.recv().unwrap();
    world.server.clear_hook();
    child
}

/// The target, once a restore that waits has made what it can make without what it waits for.
fn at_rest(world: &World) -> tree::Tree {
    let mut last = tree::read(&world.path("out"));
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = tree::read(&world.path("out"));
        if now == last {
            return now;
        }
        last = now;
    }
}

#[test]
fn two_restores_do_not_write_into_one_target() {
    let world = world();
    let snapshot = world.snapshots().remove(0);
    // One that has yet to give the target its metadata says who it is; any keeps others out.
    let whole = format!("(snapshot {snapshot} of {SOURCE}, process ");
    for (args, who) in [(&[][..], &*whole), (&["--path", "a"], "")] {
        let _ = std::fs::remove_dir_all(world.path("out"));
        let mut first = waiting(&world, args);
        let before = at_rest(&world);
        for other in [&[][..], &["--overwrite"], &["--path", "b"]] {
            let second = restore(&world, other);
            assert_eq!(second.code, 1, "{second:?}");
            let said = format!(
                "another restore is writing there{}",
                if who.is_empty() { "\n" } else { " " }
            );
            assert!(second.stderr.contains(&said), "{second:?}");
            assert!(second.stderr.contains(who), "{second:?}");
            assert_same(&before, &tree::read(&world.path("out")));
        }
        // What a process has locked is free when it is dead.
        first.kill().unwrap();
        first.wait().unwrap();
        world.server.clear_faults();
        let output = restore(&world, &[]);
        assert_eq!(output.code, 0, "{output:?}");
        let expected = tree::read(&world.data());
        let mut found = tree::read(&world.path("out"));
        if !who.is_empty() {
            assert_same(&expected, &found);
        }
        found.retain(|path, _| !path.as_os_str().is_empty());
        super::assert_only(&found, &world.path("out"));
    }
}

#[test]
fn nothing_else_is_written_into_a_tree_that_is_being_replaced() {
    let world = world();
    std::fs::create_dir(world.path("out")).unwrap();
    std::fs::write(world.path("out/theirs"), "theirs").unwrap();
    let before = tree::read(&world.path("out"));
    let mut first = waiting(&world, &["--replace"]);
    for other in [&["--replace"][..], &["--overwrite"], &[]] {
        let second = restore(&world, other);
        assert_eq!(second.code, 1, "{second:?}");
        let said = "another restore is writing there";
        assert!(second.stderr.contains(said), "{second:?}");
    }
    let discard = world.offsite(["restore", "--to", "out", "--discard-old"]);
    assert_eq!(discard.code, 1, "{discard:?}");
    assert_same(&before, &tree::read(&world.path("out")));
    first.kill().unwrap();
    first.wait().unwrap();
    world.server.clear_faults();
    let output = restore(&world, &["--replace"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(&tree::read(&world.data()), &tree::read(&world.path("out")));
}

/// Restores everything, and does something when the contents of `a` are asked for.
fn meanwhile(
    world: &World,
    refused: Refused,
    work: impl Fn() + Send + Sync + 'static,
) -> crate::support::Output {
    let _ = std::fs::remove_dir_all(world.path("out"));
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if key.ends_with("/a") {
            work();
        }
        HookAction::Proceed
    });
    let mut command = command(world, &["--overwrite"]);
    refuse(&mut command, refused);
    let output = finish(command.output().unwrap());
    world.server.clear_hook();
    output
}

#[test]
fn what_comes_meanwhile_is_not_written_over() {
    let world = world();
    let out = world.path("out");
    let write = {
        let out = out.clone();
        move |text: &'static str| {
            let out = out.clone();
            move || {
                std::fs::create_dir_all(out.join("sub")).unwrap();
                for path in ["a", "sub/c", "link"] {
                    let _ = std::fs::remove_file(out.join(path));
                    std::fs::write(out.join(path), text).unwrap();
                }
            }
        }
    };
    for refused in WAYS {
        let output = meanwhile(&world, refused, write("theirs"));
        assert_eq!(output.code, 3, "{output:?}");
        for path in ["a", "sub/c"] {
            assert_eq!(std::fs::read_to_string(out.join(path)).unwrap(), "theirs");
            let said = format!("{path}: something else has come there");
            assert!(output.stderr.contains(&said), "{output:?}");
        }
        assert_eq!(std::fs::read_to_string(out.join("b")).unwrap(), "b");
    }
}

#[test]
fn what_comes_meanwhile_and_is_the_same_is_kept() {
    let world = world();
    for refused in WAYS {
        let (data, out) = (world.data(), world.path("out"));
        let output = meanwhile(&world, refused, move || {
            std::fs::create_dir_all(out.join("sub")).unwrap();
            for path in ["a", "sub/c"] {
                std::fs::copy(data.join(path), out.join(path)).unwrap();
            }
            let _ = std::os::unix::fs::symlink("a", out.join("link"));
        });
        assert_eq!(output.code, 0, "{output:?}");
        let (expected, found) = (tree::read(&world.data()), tree::read(&world.path("out")));
        assert_same(&expected, &found);
    }
}

/// Where `README` is there, such a file system has `Readme` as well, but does not list it.
#[test]
fn a_name_that_a_file_system_takes_for_another_is_named_and_not_counted_as_there() {
    let world = world();
    for (number, lost) in NAMING.into_iter().zip(["a", "sub", "link"]) {
        let _ = std::fs::remove_dir_all(world.path("out"));
        let mut refused = false;
        let mut command = command(&world, &[]);
        let mut seen = 0;
        let output = watched(&mut command, |call| {
            // The first directory is the one for staging.
            seen += usize::from(call.number == number);
            let is_staging = number == NAMING[1] && seen == 1;
            match call.number == number && !is_staging && !std::mem::replace(&mut refused, true) {
                true => Answer::Refuse(Errno::EXIST),
                false => Answer::Proceed,
            }
        });
        assert_eq!(output.code, 3, "{output:?}");
        let said = format!("{lost}: the target takes its name for that of another");
        assert!(output.stderr.contains(&said), "{output:?}");
        assert!(refused);
    }
}

#[test]
fn what_another_user_has_left_is_named() {
    let world = world();
    let to = world.path("out");
    assert!(killed_at(command(&world, &[]), 12).is_some());
    std::os::unix::fs::chown(&to, Some(1000), Some(1000)).unwrap();
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    let output = world.offsite_as(1000, args);
    assert_eq!(output.code, 3, "{output:?}");
    let named = "what a restore has staged there cannot be removed: Permission denied";
    assert!(output.stderr.contains(named), "{output:?}");
    assert_eq!(restore(&world, &[]).code, 0);
    super::assert_only(&tree::read(&world.data()), &to);
}
