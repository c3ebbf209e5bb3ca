//! Removing from the target what the snapshot lacks.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::interrupted::world;
use super::{assert_only, restore};
use crate::sources::{in_own_mounts, without_privileges};
use crate::support::tree::{self, Tree, assert_same, set_mode, settle};
use crate::support::{BUCKET, Output, PREFIX, SOURCE, World};

/// A restored tree, with things in it that the snapshot lacks.
fn target_with_more(world: &World) -> Tree {
    let out = world.path("out");
    let _ = std::fs::remove_dir_all(&out);
    assert_eq!(restore(world, &[]).code, 0);
    let restored = tree::read(&out);
    let outside = world.path("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("stays"), "").unwrap();
    std::fs::create_dir_all(out.join("more/deep")).unwrap();
    for path in [
        "more/deep/x.pdf",
        "more/y",
        "one/two/z.pdf",
        "~last",
        "read-only/w",
    ] {
        std::fs::write(out.join(path), "more").unwrap();
    }
    symlink("../outside", out.join("more/link")).unwrap();
    symlink("../../outside", out.join("one/link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        out.join("one/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    set_mode(&out.join("more"), 0o500);
    restored
}

const MORE: [&str; 6] = [
    "more",
    "one/link",
    "one/pipe",
    "one/two/z.pdf",
    "read-only/w",
    "~last",
];

fn without_root(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    tree.remove(Path::new(""));
    tree
}

#[test]
fn what_the_snapshot_lacks_is_removed_and_nothing_else() {
    let world = world();
    let restored = target_with_more(&world);
    let output = restore(&world, &["--delete"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output
            .stdout
            .contains("deleted 10 entries that the snapshot lacks"),
        "{output:?}"
    );
    let found = tree::read(&world.path("out"));
    // A directory from which something is removed has the snapshot's time all the same.
    assert_same(&without_root(&restored), &without_root(&found));
    assert_only(&restored, &world.path("out"));
    assert!(world.path("outside/stays").exists());
}

#[test]
fn a_dry_run_names_what_would_be_removed() {
    let world = world();
    target_with_more(&world);
    let before = tree::read(&world.path("out"));
    let output = restore(&world, &["--delete", "--dry-run"]);
    assert_eq!(output.code, 0, "{output:?}");
    for path in MORE {
        assert!(
            output.stdout.contains(&format!("delete {path}\n")),
            "{path}: {output:?}"
        );
    }
    assert!(
        output.stdout.contains("delete 10 (20 B); nothing written"),
        "{output:?}"
    );
    let json = restore(&world, &["--delete", "--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["delete"], 10);
    assert_eq!(json[0]["deletions"], serde_json::json!(MORE));
    assert_same(&before, &tree::read(&world.path("out")));
}

#[test]
fn patterns_limit_what_is_removed_to_what_they_select() {
    let world = world();
    let mut expected = target_with_more(&world);
    expected = without_root(&expected);
    let output = restore(&world, &["--delete", "--path", "/one/two", "--path", "a"]);
    assert_eq!(output.code, 0, "{output:?}");
    let there = |path: &str| world.path("out").join(path).symlink_metadata().is_ok();
    assert!(!there("one/two/z.pdf") && there("one/link") && there("more/deep/x.pdf"));
    let output = restore(&world, &["--delete", "--path", "*.pdf", "--path", "a"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!there("more/deep/x.pdf") && there("more/deep") && there("~last"));
    let found = tree::read(&world.path("out"));
    assert!(expected.keys().all(|path| found.contains_key(path)));
}

#[test]
fn nothing_is_removed_where_something_was_not_restored() {
    let world = world();
    target_with_more(&world);
    std::fs::remove_file(world.path("out/one/two/c")).unwrap();
    let key = world.full_key(&world.key_like("files/", "one/two/c"));
    world.server.corrupt(BUCKET, &key, 0);
    let output = restore(&world, &["--delete"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(
        output.stderr.contains("nothing was deleted, because"),
        "{output:?}"
    );
    assert!(world.path("out/more/deep/x.pdf").exists());
}

#[test]
fn nothing_is_removed_from_a_directory_that_the_backup_could_not_list() {
    let world = World::new();
    for path in ["listed/a", "unlisted/b"] {
        world.write(path, path);
    }
    settle();
    world.back_up();
    set_mode(&world.data().join("unlisted"), 0);
    assert_eq!(without_privileges(&world).code, 3);
    assert_eq!(restore(&world, &[]).code, 0);
    for path in ["listed/more", "unlisted/more"] {
        set_mode(&world.path("out/unlisted"), 0o755);
        std::fs::write(world.path("out").join(path), "").unwrap();
    }
    let output = restore(&world, &["--delete"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!world.path("out/listed/more").exists());
    assert!(world.path("out/unlisted/more").exists());
}

#[test]
fn nothing_is_removed_from_another_file_system() {
    let world = world();
    let output = in_own_mounts(
        &world,
        &format!(
            "offsite restore --source {SOURCE} --to out; mkdir -p out/more/mnt out/one/mnt out/extra
             mount -t tmpfs tmpfs out/more/mnt; mount -t tmpfs tmpfs out/one/two
             mount --bind outside out/one/mnt; mkdir out/one/two/x; touch out/more/mnt/x
             offsite restore --source {SOURCE} --to out --delete || test $? = 3
             ls out/more/mnt out/one/two out/one/mnt; ls out",
        )
        .replace(
            "mount --bind",
            "mkdir outside; touch outside/stays; mount --bind",
        ),
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output
            .stderr
            .contains("more: is not removed: something is mounted there"),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .contains("one/two: is a mount point: nothing in it"),
        "{output:?}"
    );
    let listed: Vec<_> = output.stdout.lines().collect();
    assert!(listed.contains(&"stays") && listed.iter().filter(|line| **line == "x").count() == 2);
    assert!(!listed.contains(&"extra"), "{output:?}");
}

#[test]
fn old_trees_that_were_kept_are_not_removed() {
    let world = world();
    let output = in_own_mounts(
        &world,
        &format!(
            "mkdir out; mount -t tmpfs tmpfs out; mkdir out/old; touch out/old/x
             offsite restore --source {SOURCE} --to out --replace
             touch out/more; offsite restore --source {SOURCE} --to out --delete
             ls -A out; cat out/.before-*/old/x",
        ),
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        !output.stdout.lines().any(|line| line == "more"),
        "{output:?}"
    );
}

/// A world whose source has rules, with things in it that they leave out.
fn world_with_rules(rules: &str) -> World {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n  \
         - {{name: {SOURCE}, directory: {}, {rules}}}\n",
        world.data().display()
    ));
    for path in ["a", "cache/x", "docs/b", "docs/b.iso"] {
        world.write(path, path);
    }
    settle();
    world.back_up();
    world
}

fn in_place(world: &World, args: &[&str]) -> Output {
    let to = world.data();
    let fixed = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    world.offsite(fixed.iter().chain(args))
}

/// No snapshot has it: whoever removes it loses it.
#[test]
fn what_the_backup_leaves_out_is_not_removed() {
    for (rules, stays) in [
        ("exclude: [/cache, '*.iso']", &["cache/x", "docs/b.iso"][..]),
        ("include: [a, docs], exclude: ['*.iso']", &["cache/x"]),
    ] {
        let world = world_with_rules(rules);
        for path in ["new/c", "new/deep/d.iso", "new/deep/e", "docs/f", "cache/y"] {
            world.write(path, path);
        }
        let there = |path: &str| world.data().join(path).symlink_metadata().is_ok();
        let output = in_place(&world, &["--delete", "--dry-run"]);
        assert_eq!(output.code, 0, "{output:?}");
        let said = "the backup leaves out";
        assert!(output.stderr.contains(said), "{rules}: {output:?}");
        // Whether it is known by the configuration, or by the snapshot alone.
        world.configure(&format!(
            "backup: {{s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}}}\n"
        ));
        let output = in_place(&world, &["--delete"]);
        assert_eq!(output.code, 0, "{output:?}");
        for path in stays.iter().chain(&["cache/y", "new/deep/d.iso"]) {
            assert!(there(path), "{rules}: {path}: {output:?}");
        }
        assert!(!there("docs/f"), "{rules}: {output:?}");
        assert!(output.stderr.contains(said), "{rules}: {output:?}");
    }
}

/// What a rule leaves out that came after the snapshot is in none either.
#[test]
fn what_the_configuration_leaves_out_by_now_is_not_removed() {
    let world = world_with_rules("exclude: [/cache]");
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n  \
         - {{name: {SOURCE}, directory: {}, exclude: ['*.tmp']}}\n",
        world.data().display()
    ));
    for path in ["c", "d.tmp"] {
        world.write(path, path);
    }
    let output = in_place(&world, &["--delete"]);
    assert_eq!(output.code, 0, "{output:?}");
    let there = |path: &str| world.data().join(path).exists();
    assert!(
        !there("c") && there("d.tmp") && there("cache/x"),
        "{output:?}"
    );
}

/// What was mounted there may be in that directory now, and no snapshot has it.
#[test]
fn what_lies_in_a_directory_that_the_backup_did_not_enter_is_not_removed() {
    let world = world_with_rules("one_file_system: true");
    for path in ["empty", "docs/empty"] {
        std::fs::create_dir(world.data().join(path)).unwrap();
    }
    world.back_up();
    for path in ["empty/x", "docs/empty/y", "docs/z"] {
        world.write(path, path);
    }
    let output = in_place(&world, &["--delete"]);
    assert_eq!(output.code, 0, "{output:?}");
    let there = |path: &str| world.data().join(path).exists();
    assert!(there("empty/x") && there("docs/empty/y"), "{output:?}");
    assert!(!there("docs/z"), "{output:?}");
}

#[test]
fn sessions_that_no_pass_was_asked_for_are_not_removed() {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n  \
         - {{name: {SOURCE}, sessions: {}}}\n",
        world.data().display()
    ));
    for path in ["one/a", "two/b", "loose"] {
        world.write(path, path);
    }
    settle();
    let output = world.offsite(["run", "--session", "one"]);
    assert_eq!(output.code, 0, "{output:?}");
    world.write("one/more", "more");
    let output = in_place(&world, &["--delete"]);
    assert_eq!(output.code, 0, "{output:?}");
    let there = |path: &str| world.data().join(path).exists();
    assert!(there("two/b") && there("loose"), "{output:?}");
    assert!(!there("one/more"), "{output:?}");
    // Once all of them were, what comes later is removed as anywhere.
    world.back_up();
    world.write("three/c", "c");
    let output = in_place(&world, &["--delete"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        there("two/b") && there("loose") && !there("three"),
        "{output:?}"
    );
}

#[test]
fn a_dry_run_leaves_directories_closed_that_it_may_not_look_into() {
    let world = world();
    let out = world.path("out");
    assert_eq!(restore(&world, &[]).code, 0);
    std::fs::create_dir_all(out.join("more/closed")).unwrap();
    std::fs::write(out.join("more/closed/x"), "").unwrap();
    let mut owned = Command::new("chown");
    let owned = owned.args(["-R", "1000:1000"]).arg(&out).status();
    assert!(owned.unwrap().success());
    set_mode(&out.join("more/closed"), 0);
    set_mode(&out.join("one/two"), 0);
    let before = tree::read(&out);
    let to = out.to_str().unwrap();
    let flags = ["--overwrite", "--delete", "--dry-run"];
    let args = ["restore", "--to", to, "--source", SOURCE];
    let output = world.offsite_as(1000, args.iter().chain(&flags));
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(&before, &tree::read(&out));
    for path in [
        "more: is not removed: it may not",
        "one/two: may not be looked",
    ] {
        assert!(output.stderr.contains(path), "{output:?}");
    }
}

/// A directory that was mistyped.
#[test]
fn nothing_is_removed_from_a_directory_that_has_nothing_of_the_snapshot() {
    let world = world();
    let out = world.path("out");
    std::fs::create_dir_all(out.join("others/deep")).unwrap();
    std::fs::write(out.join("others/deep/x"), "").unwrap();
    let before = tree::read(&out);
    for flags in [
        &["--delete"][..],
        &["--delete", "--dry-run"],
        &["--delete", "--path", "a"],
    ] {
        let output = restore(&world, flags);
        if flags.contains(&"--path") {
            // Nothing is selected there.
            assert_eq!(output.code, 0, "{output:?}");
            continue;
        }
        assert_eq!(output.code, 2, "{output:?}");
        let said = "nothing of the snapshot is in";
        assert!(output.stderr.contains(said), "{output:?}");
        assert_same(&before, &tree::read(&out));
    }
    let output = world.offsite([
        "restore",
        "--to",
        "/",
        "--source",
        SOURCE,
        "--delete",
        "--dry-run",
    ]);
    assert_eq!(output.code, 2, "{output:?}");
}

/// A copy is as good as lost with the tree in which it lies.
#[test]
fn a_tree_in_which_a_copy_of_the_store_lies_is_left_alone() {
    let world = world();
    assert_eq!(restore(&world, &[]).code, 0);
    let copy = world.path("out/copy");
    std::fs::create_dir(&copy).unwrap();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         copies: [{{store: {}}}]\n  sources: [{{name: {SOURCE}, directory: {}}}]\n",
        copy.display(),
        world.data().display()
    ));
    assert_eq!(world.offsite(["run"]).code, 0);
    let before = tree::read(&copy);
    for flag in ["--delete", "--replace"] {
        let output = restore(&world, &[flag]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(
            output.stderr.contains("a copy of the store, `"),
            "{output:?}"
        );
        assert_same(&before, &tree::read(&copy));
    }
}

/// However the way to them is written.
#[test]
fn sources_that_lie_in_one_another_are_not_restored_together() {
    let world = world();
    std::fs::create_dir(world.data().join("inner")).unwrap();
    std::fs::write(world.data().join("inner/x"), "x").unwrap();
    symlink(world.data(), world.path("link")).unwrap();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n  \
         - {{name: {SOURCE}, directory: {}, exclude: [/inner]}}\n  \
         - {{name: inner, directory: {}}}\n",
        world.data().display(),
        world.path("link/inner").display()
    ));
    assert_eq!(world.offsite(["run"]).code, 0);
    let output = world.offsite(["restore", "--in-place", "--replace"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(world.data().join("inner/x").exists());
}
