//! Copies of a store: made, continued, and taking its place.

mod by_store;
mod cut_off;
mod histories;
mod killed;

use std::path::PathBuf;

use local_s3::LocalS3;
use rustix::process::Signal;
use serde_json::Value;

use crate::kill::{Moment, with_signal_when};
use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{BUCKET, Output, PREFIX, SOURCE, World, finish, noise};

/// What a copy has.
const OTHER: &str = "s3://backups/other/";

/// A store with a few snapshots, and the source as each pass has found it.
fn world(method: &str) -> (World, Vec<Tree>) {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 4);
    world.set("DEFAULTS__METHOD", method);
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    for path in ["a", "b", "sub/a b+&?", "sub/\u{e4}%41", "sub/sub/c"] {
        world.write(path, path);
    }
    world.write("large", noise(1, 17 << 20));
    world.write("empty", "");
    std::fs::hard_link(world.data().join("a"), world.data().join("linked")).unwrap();
    let mut trees = vec![pass(&world)];
    world.write("b", "changed");
    world.write("new", "new");
    trees.push(pass(&world));
    std::fs::remove_file(world.data().join("sub/sub/c")).unwrap();
    trees.push(pass(&world));
    (world, trees)
}

fn pass(world: &World) -> Tree {
    settle();
    world.back_up();
    tree::read(&world.data())
}

fn directory(world: &World) -> PathBuf {
    let directory = world.path("copy");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn copy(world: &World, to: &str) -> Output {
    world.offsite(["copy", "--to", to])
}

/// The ids of the snapshots in another store.
fn snapshots(world: &World, store: &str) -> Vec<String> {
    let list = world.offsite(["list", "--json", "--store", store]);
    if list.code == 10 {
        return Vec::new();
    }
    let list: Vec<Value> = serde_json::from_str(&list.stdout).unwrap();
    let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
    list.iter().map(id).collect()
}

/// Everything that the first store has is in the other one, whole.
fn assert_copied(world: &World, store: &str, ids: &[String], trees: &[Tree]) {
    assert_eq!(snapshots(world, store), ids);
    assert_eq!(ids.len(), trees.len());
    for (id, expected) in ids.iter().zip(trees) {
        let out = world.path(&format!("out-{id}"));
        let _ = std::fs::remove_dir_all(&out);
        let to = out.to_str().unwrap();
        let source = ["--store", store, "--source", SOURCE];
        let args = ["restore", "--to", to, "--snapshot", id];
        let restored = world.offsite([&args[..], &source].concat());
        assert_eq!(restored.code, 0, "{restored:?}");
        assert_same(expected, &tree::read(&out));
    }
    for depth in [&[][..], &["--read"]]
        .into_iter()
        .filter(|_| !ids.is_empty())
    {
        let verified = world.offsite([&["verify", "--store", store][..], depth].concat());
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

fn round_trip(world: &World, mut trees: Vec<Tree>, store: &str) {
    let copied = copy(world, store);
    assert_eq!(copied.code, 0, "{copied:?}");
    let done = copied.event("copy_completed");
    assert_eq!(done["snapshots"], trees.len() as u64, "{done}");
    assert_copied(world, store, &world.snapshots(), &trees);
    // Only what is new goes there the next time.
    world.write("b", "changed again");
    trees.push(pass(world));
    let copied = copy(world, store);
    assert_eq!(copied.code, 0, "{copied:?}");
    let done = copied.event("copy_completed");
    assert_eq!(
        (&done["snapshots"], &done["objects"]),
        (&1.into(), &1.into())
    );
    assert_copied(world, store, &world.snapshots(), &trees);
    let copied = copy(world, store);
    let done = copied.event("copy_completed");
    assert_eq!(
        (&done["snapshots"], &done["objects"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn a_bucket_is_copied_to_a_directory() {
    for method in ["files", "archive"] {
        let (world, trees) = world(method);
        let to = directory(&world);
        round_trip(&world, trees, to.to_str().unwrap());
    }
}

#[test]
fn a_bucket_is_copied_to_another_place_in_a_bucket() {
    let (world, trees) = world("files");
    round_trip(&world, trees, OTHER);
}

/// What a pass sends in one request has the same checksum in the copy.
#[test]
fn a_copy_in_a_bucket_is_verified_as_its_original_is() {
    let world = World::new();
    for mib in [1, 7, 9, 15, 16, 17] {
        world.write(&format!("{mib}"), noise(1, mib << 20));
    }
    pass(&world);
    assert_eq!(copy(&world, OTHER).code, 0);
    for store in [None, Some(["--store", OTHER])] {
        let place = store.iter().flatten().copied();
        let verified = world.offsite(["verify", "--json"].into_iter().chain(place));
        let report: Value = serde_json::from_str(&verified.stdout).unwrap();
        assert_eq!(report[0]["compared"]["checksum"], 6, "{report}");
    }
}

#[test]
fn a_copy_takes_the_place_of_the_first_store() {
    let (world, mut trees) = world("files");
    let to = directory(&world);
    assert_eq!(copy(&world, to.to_str().unwrap()).code, 0);
    let ids = world.snapshots();
    for key in world.server.keys(BUCKET) {
        world.server.remove(BUCKET, &key);
    }
    assert_eq!(world.snapshots(), Vec::<String>::new());
    // As the page says.
    with_copy(&world, to.to_str().unwrap(), true);
    by_page(&world, "the first store is gone");
    let refused = world.offsite(["run", "--store", to.to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("take it off `backup.copies`"),
        "{refused:?}"
    );
    world.configure(&format!(
        "backup:\n  store: {}\n  sources: [{{name: {SOURCE}, directory: {}}}]\n",
        to.display(),
        world.data().display()
    ));
    assert_eq!(world.snapshots(), ids);
    world.write("b", "changed after the first store was gone");
    settle();
    let said = by_page(&world, "the copy is the store");
    let committed = said.event("snapshot_committed");
    assert_eq!(committed["uploaded_files"], 1, "{committed}");
    trees.push(tree::read(&world.data()));
    let ids = world.snapshots();
    assert_eq!(ids.len(), 4);
    assert_copied(&world, to.to_str().unwrap(), &ids, &trees);
    // And is copied in turn.
    by_page(&world, "a new first store");
    assert_copied(&world, "s3://backups/team/", &ids, &trees);
}

/// Runs what the page has below a mark.
fn by_page(world: &World, mark: &str) -> Output {
    let page = include_str!("../../docs/OPERATIONS.md");
    let (_, below) = page.split_once(&format!("<!-- {mark}: run by")).unwrap();
    let (_, script) = below.split_once("```bash\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let script = format!("offsite() {{ \"$0\" \"$@\"; }}\n{script}");
    let mut command = world.command_by("bash", &["-euc", &script], [""; 0]);
    command
        .env("COPY", world.path("copy"))
        .env("NEW", "s3://backups/team/");
    let output = finish(command.output().unwrap());
    assert_eq!(output.code, 0, "{mark}: {output:?}");
    let lines = output.stdout.lines().filter(|line| line.starts_with('{'));
    Output {
        stdout: lines.collect::<Vec<_>>().join("\n"),
        ..output
    }
}

/// A configuration with a further store.
fn with_copy(world: &World, to: &str, required: bool) {
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         copies: [{{store: {to}, required: {required}}}]\n  \
         sources: [{{name: {SOURCE}, directory: {}}}]\n",
        world.data().display()
    ));
}

#[test]
fn each_pass_is_copied_to_what_is_configured() {
    let world = World::new();
    let to = directory(&world);
    let store = to.to_str().unwrap();
    with_copy(&world, store, true);
    let mut trees = Vec::new();
    for text in ["one", "two"] {
        world.write("a", text);
        settle();
        let run = world.offsite(["run"]);
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(run.event("copy_completed")["snapshots"], 1);
        let last = run.events().pop().unwrap();
        assert_eq!(last["event"], "backup_completed", "{last}");
        trees.push(tree::read(&world.data()));
    }
    assert_copied(&world, store, &world.snapshots(), &trees);
}

#[test]
fn a_copy_that_fails_is_told_and_counts_if_it_is_required() {
    let world = World::new();
    world.write("a", "a");
    let to = directory(&world);
    let store = to.to_str().unwrap();
    // Nothing is mounted there.
    std::fs::remove_dir(&to).unwrap();
    for (required, code) in [(false, 0), (true, 3)] {
        with_copy(&world, store, required);
        let run = world.offsite(["run"]);
        assert_eq!(run.code, code, "{run:?}");
        let failed = run.event("copy_failed");
        assert_eq!(failed["required"], required, "{failed}");
        let last = run.events().pop().unwrap();
        assert_eq!(
            (&last["event"], &last["exit_code"]),
            (&"backup_completed".into(), &code.into())
        );
        assert_eq!(last["failed_copies"][0], store, "{last}");
        let status = world.offsite(["status", "--json"]);
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(status["exit_code"], code, "{status}");
        assert_eq!(status["copies"][0]["required"], required, "{status}");
        let text = world.offsite(["status"]).stdout;
        assert!(text.contains("NOT COPIED"), "{text}");
    }
    assert_eq!(world.snapshots().len(), 2);
    // What is behind catches up.
    std::fs::create_dir(&to).unwrap();
    let run = world.offsite(["run"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.event("copy_completed")["snapshots"], 3);
    let text = world.offsite(["status"]).stdout;
    assert!(
        text.contains(&format!("copy {store}: up to date")),
        "{text}"
    );
}

/// Copies are part of what a signal interrupts.
#[test]
fn a_pass_that_is_interrupted_while_it_copies_says_so() {
    let world = World::new();
    world.write("a", "a");
    for required in [false, true] {
        with_copy(&world, OTHER, required);
        world.write("a", format!("{required}"));
        settle();
        let output = with_signal_when(
            &world,
            &["run"],
            |request| (request.key.as_deref()).is_some_and(|key| key.starts_with("other/files/")),
            Moment::Before,
            Signal::TERM,
        );
        let output = output.unwrap();
        assert_eq!(output.code, 143, "{output:?}");
        let failed = output.event("backup_failed");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("what was backed up is committed"), "{error}");
        world.server.clear_hook();
    }
    assert_eq!(world.snapshots().len(), 2);
    let run = world.offsite(["run"]);
    assert_eq!(run.event("copy_completed")["snapshots"], 3, "{run:?}");
}

/// One store under two names is no store and a copy.
#[test]
fn a_store_is_no_copy_of_itself_whatever_it_is_called() {
    let mut world = World::new();
    let store = directory(&world);
    std::os::unix::fs::symlink(&store, world.path("link")).unwrap();
    world.set("STORE", store.display());
    world.write("a", "a");
    let link = world.path("link");
    let link = link.to_str().unwrap();
    with_copy(&world, link, true);
    settle();
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    let failed = output.event("copy_failed");
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("under another name"),
        "{failed}"
    );
    assert_eq!(copy(&world, link).code, 2);
    // It is as good as before.
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    assert_eq!(
        world
            .offsite(["run"])
            .events_named("snapshot_committed")
            .len(),
        1
    );
}

/// Hints are about the copy, and not about the store that it is of.
#[test]
fn what_is_wrong_with_a_copy_is_told_of_the_copy() {
    let world = World::new();
    world.write("a", "a");
    pass(&world);
    assert_eq!(copy(&world, OTHER).code, 0);
    world.server.replace(BUCKET, "other/lock", held_lock());
    for (store, hint) in [
        (
            "s3://missing-bucket/there/",
            "the copy, `s3://missing-bucket/there/`",
        ),
        (OTHER, "offsite unlock --store s3://backups/other/"),
    ] {
        with_copy(&world, store, false);
        let failed = world.back_up().event("copy_failed");
        assert!(failed["hint"].as_str().unwrap().contains(hint), "{failed}");
    }
    // However it is spelled, it is no copy of itself.
    let place = directory(&world);
    for to in ["./copy", "copy/../copy/", "./copy/within"].map(|to| format!("./{to}")) {
        let refused = world.offsite(["copy", "--store", place.to_str().unwrap(), "--to", &to]);
        assert_eq!(refused.code, 2, "{refused:?}");
    }
}

#[test]
fn what_has_a_history_of_its_own_is_not_copied_to() {
    let (mut world, _) = world("files");
    let to = directory(&world);
    let to = to.to_str().unwrap();
    assert_eq!(copy(&world, to).code, 0);
    world.set("STORE", to);
    world.write("b", "there");
    pass(&world);
    world.unset("OFFSITE_STORE");
    world.write("b", "here");
    pass(&world);
    let there = snapshots(&world, to);
    let refused = copy(&world, to);
    assert_eq!(refused.code, 2, "{refused:?}");
    let failed = refused.event("copy_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("history of its own"), "{error}");
    assert!(error.contains(there.last().unwrap()), "{error}");
    assert_eq!(snapshots(&world, to), there);
}

#[test]
fn a_copy_by_hand_is_written_with_a_profile() {
    let mut world = World::new();
    world.write("a", "a");
    pass(&world);
    let other = LocalS3::builder().bucket("elsewhere").start().unwrap();
    let keys = other.credentials();
    let profiles = format!(
        "[profile elsewhere]\nregion = eu-west-1\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        keys.access_key, keys.secret_key
    );
    std::fs::write(world.path("profiles"), profiles).unwrap();
    world.env("AWS_CONFIG_FILE", world.path("profiles").display());
    let copy = |profile| {
        let endpoint = other.endpoint();
        let to = ["copy", "--to", "s3://elsewhere/there/"];
        let by = ["--to-endpoint-url", &endpoint, "--to-profile", profile];
        world.offsite(to.into_iter().chain(by))
    };
    let missing = copy("missing");
    assert_eq!(missing.code, 12, "{missing:?}");
    assert!(other.requests().is_empty());
    assert_eq!(copy("elsewhere").code, 0);
    for request in other.requests() {
        let asker = request.header("authorization").unwrap();
        assert!(asker.contains("/eu-west-1/s3/"), "{asker}");
    }
}

#[test]
fn one_snapshot_is_copied_alone() {
    let (world, trees) = world("files");
    let ids = world.snapshots();
    let to = directory(&world);
    let to = to.to_str().unwrap();
    let copied = world.offsite(["copy", "--to", to, "--snapshot", &ids[1]]);
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_copied(&world, to, &ids[1..2], &trees[1..2]);
    // What came before it never follows.
    assert_eq!(copy(&world, to).code, 0);
    assert_copied(&world, to, &ids[1..], &trees[1..]);
    let late = world.offsite(["copy", "--to", to, "--snapshot", &ids[0]]);
    assert_eq!(late.code, 2, "{late:?}");
    let error = late.event("copy_failed")["error"].clone();
    assert!(
        error.as_str().unwrap().contains("only go forward"),
        "{error}"
    );
    let unknown = ["copy", "--to", to, "--snapshot", "29990101T000000Z-0000"];
    assert_eq!(world.offsite(unknown).code, 10);
}

#[test]
fn what_is_damaged_is_not_copied() {
    let (world, _) = world("files");
    let to = directory(&world);
    let key = world.full_key(&world.key_like("files/", "/new"));
    world.server.corrupt(BUCKET, &key, 1);
    let copied = copy(&world, to.to_str().unwrap());
    assert_eq!(copied.code, 4, "{copied:?}");
    let failed = copied.event("copy_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("/new"), "{error}");
    // What does not need it is there.
    let ids = world.snapshots();
    assert_eq!(snapshots(&world, to.to_str().unwrap()), ids[..1]);
}

#[test]
fn who_holds_the_other_lock_is_named() {
    let (world, _) = world("files");
    let to = directory(&world);
    std::fs::write(to.join("lock"), held_lock()).unwrap();
    let copied = copy(&world, to.to_str().unwrap());
    assert_eq!(copied.code, 11, "{copied:?}");
    let failed = copied.event("copy_failed");
    assert!(
        failed["error"].as_str().unwrap().contains("somewhere"),
        "{failed}"
    );
}

fn held_lock() -> String {
    serde_json::json!({
        "format": 1, "state": "held", "generation": 7, "pass": "20260101T000000Z-0000",
        "holder": {"host": "somewhere", "pid": 1}, "acquired_at": "2026-01-01T00:00:00Z",
        "ttl_seconds": 3600, "renewals": 0, "conditions_checked": true,
    })
    .to_string()
}

/// A key without a pass in it is taken in the other store, by what a pass of its own has left before it was killed,
/// and as long as what is to be copied.
#[test]
fn what_lies_under_a_key_is_not_taken_for_what_should() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__KEY", "mine/{source}.{ext}");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    world.write("a", noise(1, 10_000));
    pass(&world);
    let key = world.key_like("mine/", ".tar");
    let object = world.server.object(BUCKET, &world.full_key(&key)).unwrap();
    let mut other = object.bytes.to_vec();
    *other.last_mut().unwrap() ^= 1;
    world
        .server
        .replace(BUCKET, &format!("other/{key}"), other.clone());
    let to = directory(&world);
    std::fs::create_dir(to.join("mine")).unwrap();
    std::fs::write(to.join(&key), other).unwrap();
    for store in [OTHER, to.to_str().unwrap()] {
        let copied = copy(&world, store);
        assert_eq!(copied.code, 4, "{store}: {copied:?}");
        let failed = copied.event("copy_failed");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("is another one in the store"), "{error}");
        assert_eq!(snapshots(&world, store), Vec::<String>::new());
    }
    // The same may lie there.
    std::fs::write(to.join(&key), &object.bytes).unwrap();
    let copied = copy(&world, to.to_str().unwrap());
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(copied.event("snapshot_copied")["there"], 1);
}
