//! What people are told of a store in a directory: nothing that holds for buckets alone.

use super::{store, world};
use crate::support::tree::settle;
use crate::support::{Output, SOURCE, World};

/// What was said, which is to name the remedy.
fn assert_said(output: &Output, code: i32, remedy: &str) {
    assert_eq!(output.code, code, "{output:?}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains(remedy), "{said}");
    for word in ["s3://", "s3api", "Bucket", "endpoint", "AWS"] {
        assert!(!said.contains(word), "`{word}`: {said}");
    }
}

fn with_a_snapshot() -> World {
    let world = world();
    world.write("a", "a");
    world.write("b", "b");
    settle();
    world.back_up();
    world
}

#[test]
fn an_empty_store_says_how_to_name_another() {
    let world = world();
    for command in ["list latest", "status", "restore --to x", "verify"] {
        let output = world.offsite(command.split(' '));
        assert_said(&output, 10, "check --store");
    }
}

#[test]
fn records_that_cannot_be_read_are_to_be_looked_at_as_files() {
    let world = with_a_snapshot();
    let record = world.snapshots().remove(0);
    let record = store(&world).join(format!("snapshots/{SOURCE}/{record}.json"));
    std::fs::write(&record, "not JSON").unwrap();
    for args in [&["list"][..], &["verify"], &["restore", "--to", "x"]] {
        assert_said(&world.offsite(args), 4, "in a directory with `cat`");
    }
    assert_said(&world.offsite(["run"]), 4, "in a directory with `cat`");

    let world = world_with_lock("not JSON".to_owned());
    for args in [&["unlock"][..], &["run"]] {
        assert_said(&world.offsite(args), 1, "in a directory with `cat`");
    }
    let world = world_with_lock("x".repeat(2 << 20));
    assert_said(&world.offsite(["unlock"]), 1, "");
}

/// A store in which something else has written the lock.
fn world_with_lock(contents: String) -> World {
    let world = world();
    world.write("a", "a");
    std::fs::write(store(&world).join("lock"), contents).unwrap();
    world
}

#[test]
fn damage_is_to_be_mended_from_a_copy() {
    let world = with_a_snapshot();
    let files = super::files(&world);
    let file = files.iter().find(|file| file.ends_with("/a")).unwrap();
    std::fs::write(store(&world).join(file), "longer").unwrap();
    let verify = world.offsite(["verify"]);
    assert_eq!(verify.code, 4, "{verify:?}");
    assert!(
        verify.stderr.contains("from a copy of the store"),
        "{verify:?}"
    );
}

/// A disk costs nothing a month.
#[test]
fn a_plan_of_sessions_has_no_prices() {
    let world = world();
    world.write("M31_2024/1.fits", "light");
    let plan = |store: &str| {
        world.configure(&format!(
            "backup: {{sources: [{{name: {SOURCE}, sessions: {}}}], s3: {{prefix: ''}}}}",
            world.data().display()
        ));
        let plan = world.offsite(["plan", "--store", store]);
        assert_eq!(plan.code, 0, "{plan:?}");
        plan.stdout
    };
    assert!(plan("s3://backups").contains("USD"));
    let here = plan(store(&world).to_str().unwrap());
    assert!(here.contains("2024"), "{here}");
    assert!(!here.contains("USD") && !here.contains("prices"), "{here}");
}
