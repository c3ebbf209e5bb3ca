//! One store, one owner: two backups that were given one place do not mix.

mod adopt;

use std::collections::BTreeMap;

use local_s3::Operation;
use rustix::process::Signal;
use serde_json::Value;

use crate::kill::{Moment, pass_with_signal};
use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, World, finish};
use crate::takeover::lock;

/// A store that was backed up into by `owner`.
fn world_of(owner: &str) -> World {
    let mut world = World::new();
    for index in 0..8 {
        world.write(&format!("{index}"), format!("{index}"));
    }
    settle();
    world.set("STORE_OWNER", owner);
    world.back_up();
    world
}

/// What is left in the source looks like another backup's: one file, and none of the eight.
fn become_another(world: &mut World, owner: &str) {
    for index in 0..8 {
        std::fs::remove_file(world.data().join(index.to_string())).unwrap();
    }
    world.write("other", "other");
    settle();
    world.set("STORE_OWNER", owner);
}

/// Every object with its version and bytes.
fn contents(world: &World) -> BTreeMap<String, (String, Vec<u8>)> {
    let object = |key: String| {
        let object = world.server.object(BUCKET, &key).unwrap();
        (key, (object.etag, object.bytes.to_vec()))
    };
    world.server.keys(BUCKET).into_iter().map(object).collect()
}

/// Runs a pass that must be refused before it writes anything.
fn refused<const N: usize>(world: &World, args: [&str; N]) -> Output {
    let before = contents(world);
    world.server.clear_requests();
    let output = world.offsite(args);
    let requests = world.server.requests();
    assert_eq!(output.code, 2, "{output:?}");
    let reads = |operation| matches!(operation, Operation::GetObject | Operation::HeadObject);
    assert!(
        requests.iter().all(|request| reads(request.operation)),
        "{requests:?}"
    );
    assert_eq!(contents(world), before);
    output
}

fn owner(world: &World) -> Value {
    lock(world)["store_owner"].clone()
}

#[test]
fn a_second_release_with_the_same_prefix_is_refused_and_takes_no_parent() {
    let mut world = world_of("shop/offsite");
    let before = world.snapshots();
    become_another(&mut world, "blog/offsite");
    let output = refused(&world, ["run"]);
    let failed = output.event("backup_failed");
    assert_eq!(failed["exit_code"], 2);
    let error = failed["error"].as_str().unwrap();
    for named in ["shop/offsite", "blog/offsite", "s3://backups/team"] {
        assert!(error.contains(named), "{error}");
    }
    let hint = failed["hint"].as_str().unwrap();
    assert!(hint.contains("prefix") && hint.contains("offsite adopt"));
    assert!(output.events_named("source_started").is_empty());
    assert!(output.events_named("pass_retried").is_empty());
    // There is nothing to wait for.
    refused(&world, ["run", "--wait-for-lock", "1m"]);
    assert_eq!(world.snapshots(), before);

    world.set("STORE_OWNER", "shop/offsite");
    world.back_up();
    assert_eq!(owner(&world), "shop/offsite");
}

#[test]
fn a_pass_that_has_forgotten_its_owner_is_refused() {
    let mut world = world_of("shop/offsite");
    world.unset("OFFSITE_STORE_OWNER");
    let failed = refused(&world, ["run"]).event("backup_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("`shop/offsite`"), "{error}");
    assert!(error.contains("is not set"), "{error}");
    let hint = failed["hint"].as_str().unwrap();
    for way in ["set `backup.store_owner`", "prefix", "offsite adopt"] {
        assert!(hint.contains(way), "{hint}");
    }
}

#[test]
fn whoever_reads_is_asked_for_no_owner() {
    let mut world = world_of("shop/offsite");
    let expected = tree::read(&world.data());
    become_another(&mut world, "blog/offsite");
    for forgotten in [false, true] {
        if forgotten {
            world.unset("OFFSITE_STORE_OWNER");
        }
        for command in ["list", "status", "verify", "unlock", "plan", "config"] {
            assert_eq!(world.offsite([command]).code, 0, "{command}");
        }
        assert_same(&expected, &tree::read(&world.restored_latest()));
    }
}

#[test]
fn a_store_without_an_owner_gets_one_with_the_next_pass_that_has_one() {
    let mut world = World::new();
    world.write("a", "a");
    settle();
    world.back_up();
    assert_eq!(owner(&world), Value::Null);
    world.back_up();

    world.set("STORE_OWNER", "shop/offsite");
    let output = world.back_up();
    let recorded = output.event("store_owner_recorded");
    assert_eq!(recorded["store_owner"], "shop/offsite");
    assert_eq!(recorded["store"], "s3://backups/team/");
    assert_eq!(recorded["was_in_use"], true);
    assert_eq!(recorded["level"], "WARN");
    assert_eq!(owner(&world), "shop/offsite");
    let output = world.back_up();
    assert!(output.events_named("store_owner_recorded").is_empty());
    assert_eq!(world.snapshots().len(), 4);

    // The lock is not all that says that a store is in use.
    world.server.remove(BUCKET, &world.full_key("lock"));
    let output = world.back_up();
    assert_eq!(output.event("store_owner_recorded")["was_in_use"], true);
}

#[test]
fn a_new_store_is_of_whoever_comes_first() {
    let world = world_of("Team Blau, Nürnberg");
    assert_eq!(owner(&world), "Team Blau, Nürnberg");
    let key = world.key_like("snapshots/data/", ".json");
    let record = world.server.object(BUCKET, &world.full_key(&key)).unwrap();
    let record: Value = serde_json::from_slice(&record.bytes).unwrap();
    assert_eq!(record["owner"], "Team Blau, Nürnberg");

    for _ in 0..4 {
        let world = World::new();
        world.write("a", "a");
        settle();
        let owners = ["shop/offsite", "blog/offsite"];
        let children = owners.map(|owner| {
            let mut command = world.command(["run"]);
            command.env("OFFSITE_STORE_OWNER", owner);
            command.stdout(std::process::Stdio::piped());
            command.spawn().unwrap()
        });
        let outputs = children.map(|child| finish(child.wait_with_output().unwrap()));
        let mut codes = outputs.each_ref().map(|output| output.code);
        let winner = owners[codes.iter().position(|code| *code == 0).unwrap()];
        codes.sort_unstable();
        assert_eq!(codes, [0, 2], "{outputs:?}");
        assert_eq!(owner(&world), winner);
        assert_eq!(world.snapshots().len(), 1);
    }
}

#[test]
fn an_owner_survives_kills_takeovers_and_force() {
    let mut world = world_of("shop/offsite");
    for forced in [false, true] {
        world.write("more", format!("{forced}"));
        settle();
        // The lock is taken by the second request.
        let killed = pass_with_signal(&world, 4, Moment::Before, Signal::KILL).unwrap();
        assert_eq!(killed.code, -9);
        let left = lock(&world);
        assert_eq!(
            (&left["state"], &left["store_owner"]),
            (&"held".into(), &"shop/offsite".into())
        );
        world.set("STORE_OWNER", "blog/offsite");
        refused(&world, ["run"]);
        match forced {
            true => assert_eq!(world.offsite(["unlock", "--force"]).code, 0),
            false => world.expire_leases(),
        }
        assert_eq!(owner(&world), "shop/offsite");
        // Not even a probe is written for somebody who is refused anyway.
        refused(&world, ["run"]);
        world.set("STORE_OWNER", "shop/offsite");
        let output = world.back_up();
        assert!(output.events_named("store_owner_recorded").is_empty());
        assert_eq!(owner(&world), "shop/offsite");
    }
}

#[test]
fn copies_go_to_no_store_of_another_owner() {
    let mut world = world_of("shop/offsite");
    let copy = ["copy", "--to", "s3://backups/copies"];
    let output = world.offsite(copy);
    assert_eq!(output.code, 0, "{output:?}");
    let there = world.server.object(BUCKET, "copies/lock").unwrap();
    let there: Value = serde_json::from_slice(&there.bytes).unwrap();
    assert_eq!(there["store_owner"], "shop/offsite");
    // Which passes may not back up into either.
    world.set("STORE", "s3://backups/copies");
    world.set("S3__PREFIX", "copies");
    world.back_up();
    world.set("STORE_OWNER", "blog/offsite");
    refused(&world, ["run"]);

    world.set("STORE", "s3://backups/blog");
    world.set("S3__PREFIX", "blog");
    world.back_up();
    let before = contents(&world);
    let output = world.offsite(copy);
    assert_eq!(output.code, 2, "{output:?}");
    let said = output.stdout + &output.stderr;
    for named in ["shop/offsite", "blog/offsite", "s3://backups/copies"] {
        assert!(said.contains(named), "{said}");
    }
    assert_eq!(contents(&world), before);
}

#[test]
fn an_owner_is_a_short_text() {
    let mut world = World::new();
    for wrong in ["two\nlines".to_owned(), "x".repeat(201), " ".to_owned()] {
        world.set("STORE_OWNER", &wrong);
        let output = world.offsite(["config"]);
        assert_eq!(output.code, 2, "{wrong:?}: {output:?}");
        assert!(output.stderr.contains("OFFSITE_STORE_OWNER"), "{output:?}");
        assert!(output.stderr.contains("1 to 200 characters"), "{output:?}");
    }
    world.unset("OFFSITE_STORE_OWNER");
    world.configure("backup: {store: s3://backups/team, store_owner: ''}\n");
    assert_eq!(world.offsite(["config"]).code, 2);
    // A number is a name as well.
    world.configure("backup: {store: s3://backups/team, store_owner: 2025}\n");
    let output = world.offsite(["config"]);
    assert!(output.stdout.contains("backup.store_owner"), "{output:?}");
}
