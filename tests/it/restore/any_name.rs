//! No name in a source affects a restore: not those that restores use or have used for what they
//! have in the making, and not those that were left by a restore that was killed.

use sha2::{Digest, Sha256};

use super::{assert_only, command, restore};
use crate::support::calls::killed_at;
use crate::support::tree::{self, assert_same, settle};
use crate::support::{SOURCE, World};

/// A source with names like those of restores, for a file `x` and for all others.
fn world() -> World {
    let world = World::new();
    let digest = hex::encode(&Sha256::digest("x")[..8]);
    let staging = format!(".offsite-restore-{}", "0123456789abcdef".repeat(2));
    let record = r#"{"source":"data","snapshot":"20251227T020000Z-7f3a","host":"there","pid":1,"#;
    let record = format!(r#"{record}"started_at":"2025-12-27T02:00:00Z","target_is_new":true}}"#);
    for directory in ["", "sub/"] {
        let write = |name: &str, text: &str| world.write(&format!("{directory}{name}"), text);
        write("x", "x itself");
        write(&format!(".offsite-partial-{digest}"), "a neighbour of x");
        write(".offsite-restoring", "");
        write(&format!("{staging}.unfinished"), "no pipe");
        write(&format!("{staging}/restore.json"), &record);
        write(&format!("{staging}/1"), "one");
    }
    settle();
    world
}

#[test]
fn names_that_restores_use_are_restored_like_any_others() {
    let world = world();
    world.back_up();
    let expected = tree::read(&world.data());
    for overwrite in [&[][..], &["--overwrite"]] {
        let _ = std::fs::remove_dir_all(world.path("out"));
        // Once more, where all is there.
        for round in 0..2 {
            let output = restore(&world, overwrite);
            assert_eq!(output.code, 0, "round {round}: {output:?}");
            assert_same(&expected, &tree::read(&world.path("out")));
        }
    }
}

#[test]
fn names_that_restores_use_replace_others_and_are_replaced() {
    let world = world();
    world.back_up();
    let before = tree::read(&world.data());
    for (path, facts) in &before {
        if facts.kind == "file" {
            let file = world.data().join(path);
            std::fs::write(file, format!("another {}", path.display())).unwrap();
        }
    }
    settle();
    world.back_up();
    let [first, second] = &world.snapshots()[..] else {
        panic!("two snapshots")
    };
    let after = tree::read(&world.data());
    for (snapshot, expected) in [(first, &before), (second, &after), (first, &before)] {
        let output = restore(&world, &["--overwrite", "--snapshot", snapshot]);
        assert_eq!(output.code, 0, "{output:?}");
        assert_same(expected, &tree::read(&world.path("out")));
    }
}

/// The place where a restore has left something when it was killed is backed up in its turn.
#[test]
fn what_a_killed_restore_has_left_can_be_a_source() {
    let world = world();
    world.back_up();
    let (to, copy) = (world.path("out"), world.path("copy"));
    let mut tried = 0;
    for at in (2..).step_by(7) {
        let _ = std::fs::remove_dir_all(&to);
        if killed_at(command(&world, &[]), at).is_none() {
            break;
        }
        if std::fs::read_dir(&to).is_ok_and(|mut left| left.next().is_none()) || !to.exists() {
            // No source is empty.
            continue;
        }
        tried += 1;
        let left = World::new();
        let source = left.data();
        std::fs::remove_dir(&source).unwrap();
        std::fs::rename(&to, &source).unwrap();
        settle();
        left.back_up();
        let expected = tree::read(&source);
        let args = [
            "restore",
            "--source",
            SOURCE,
            "--to",
            copy.to_str().unwrap(),
        ];
        let killed = killed_at(left.command(args), at);
        assert!(killed.is_some());
        let output = left.offsite(args);
        assert_eq!(output.code, 0, "killed at {at}: {output:?}");
        assert_same(&expected, &tree::read(&copy));
        // And to where it was backed up from, where what is left over still lies.
        let in_place = [
            "restore",
            "--source",
            SOURCE,
            "--to",
            source.to_str().unwrap(),
        ];
        let output = left.offsite(in_place);
        assert_eq!(output.code, 0, "killed at {at}: {output:?}");
        assert_same(&expected, &tree::read(&source));
        assert_only(&expected, &source);
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(tried > 5, "{tried}");
}

#[test]
fn a_directory_that_only_looks_like_what_a_restore_left_stays() {
    let world = World::new();
    world.write("sub/x", "x");
    settle();
    world.back_up();
    let mut kept = Vec::new();
    for (digit, directory) in [("a", ""), ("b", "sub")] {
        for (index, kind) in ["nothing", "file", "link", "directory"].iter().enumerate() {
            let name = format!(".offsite-restore-{}{index}", digit.repeat(31));
            let staging = world.path("out").join(directory).join(&name);
            let mark = staging.with_file_name(format!("{name}.unfinished"));
            std::fs::create_dir_all(&staging).unwrap();
            for file in ["restore.json", "1"] {
                std::fs::write(staging.join(file), "{}").unwrap();
                kept.push(staging.join(file));
            }
            match *kind {
                "file" => std::fs::write(&mark, "").unwrap(),
                "link" => std::os::unix::fs::symlink("/dev/null", &mark).unwrap(),
                "directory" => std::fs::create_dir(&mark).unwrap(),
                _ => continue,
            }
            kept.push(mark);
        }
    }
    for args in [&[][..], &["--overwrite"], &["--path", "sub"]] {
        let output = restore(&world, args);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(world.path("out/sub/x").exists());
        for path in &kept {
            assert!(path.symlink_metadata().is_ok(), "{path:?}");
        }
    }
}
