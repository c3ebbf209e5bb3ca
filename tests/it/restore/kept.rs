//! Old trees that were kept, and discarding them.

use std::collections::BTreeSet;
use std::process::Command;

use super::interrupted::world;
use super::replace::{beside, kept, old_tree};
use super::{assert_only, command, restore};
use crate::support::calls::killed_at;
use crate::support::tree::{self, assert_same};

#[test]
fn the_old_tree_is_kept_until_it_is_discarded() {
    let world = world();
    let out = world.path("out");
    let old = old_tree(&out);
    let output = restore(&world, &["--replace"]);
    assert_eq!(output.code, 0, "{output:?}");
    let new = tree::read(&world.data());
    assert_same(&new, &tree::read(&out));
    assert_only(&new, &out);
    let before = kept(&world);
    let name = before.file_name().unwrap().to_str().unwrap().to_owned();
    let time = name.strip_prefix("out.before-").unwrap();
    assert!(time.len() == 16 && time.ends_with('Z'), "{time}");
    assert_same(&old, &tree::read(&before));
    assert!(
        output
            .stdout
            .contains(&format!("the old tree is {}", before.display())),
        "{output:?}"
    );

    let discard = ["restore", "--to", "out", "--discard-old"];
    let would = world.offsite([&discard[..], &["--dry-run"]].concat());
    assert_eq!(would.code, 0, "{would:?}");
    assert!(
        would
            .stdout
            .contains(&format!("would remove {}", before.display())),
        "{would:?}"
    );
    assert!(before.exists());
    let discarded = world.offsite(discard);
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert!(beside(&world).is_empty(), "{:?}", beside(&world));
    assert_same(&new, &tree::read(&out));
    let again = world.offsite(discard);
    assert_eq!(
        (again.code, &*again.stdout),
        (0, "there is no old tree\n"),
        "{again:?}"
    );
}

#[test]
fn each_source_is_replaced_on_its_own_and_all_old_trees_are_discarded_together() {
    let world = world();
    let old = old_tree(&world.path("all/data"));
    std::fs::write(world.path("all/stranger"), "stays").unwrap();
    let output = world.offsite(["restore", "--to", "all", "--replace"]);
    assert_eq!(output.code, 0, "{output:?}");
    let names = || -> BTreeSet<String> {
        let names = std::fs::read_dir(world.path("all")).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(names().len(), 4, "{:?}", names());
    let before = names()
        .into_iter()
        .find(|name| name.starts_with("data.before-"))
        .unwrap();
    assert_same(&old, &tree::read(&world.path("all").join(before)));
    let discarded = world.offsite(["restore", "--to", "all", "--discard-old"]);
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert_eq!(names(), ["data", "stranger"].map(str::to_owned).into());
}

/// Whatever is called like an old tree, or has a record that is not its own, is somebody's data.
#[test]
fn what_only_looks_like_an_old_tree_is_not_discarded() {
    let world = world();
    old_tree(&world.path("out"));
    assert_eq!(restore(&world, &["--replace"]).code, 0);
    let before = kept(&world);
    // A copy, as a backup of both brings it back.
    let copy = Command::new("cp")
        .arg("-a")
        .args([&before, &world.path("out.before-20200101T000000Z")])
        .status();
    assert!(copy.unwrap().success());
    let record = format!("{}.json", before.display());
    std::fs::copy(record, world.path("out.before-20200101T000000Z.json")).unwrap();
    std::fs::create_dir(world.path("out.before-20210101T000000Z")).unwrap();
    let discarded = world.offsite(["restore", "--to", "out", "--discard-old"]);
    assert_eq!(discarded.code, 0, "{discarded:?}");
    assert!(!before.exists());
    assert!(world.path("out.before-20200101T000000Z/a").exists());
    assert!(world.path("out.before-20210101T000000Z").exists());
}

/// It may be the only one that has the old tree.
#[test]
fn what_was_killed_while_it_put_a_tree_in_place_is_not_discarded() {
    let world = world();
    let new = tree::read(&world.data());
    let mut refused = 0;
    for at in 90.. {
        let old = old_tree(&world.path("out"));
        if killed_at(command(&world, &["--replace"]), at).is_none() {
            break;
        }
        let is_exchanged = tree::read(&world.path("out")) == new;
        let discarded = world.offsite(["restore", "--to", "out", "--discard-old"]);
        if discarded.code == 1 {
            let said = "was killed while it put a tree in place";
            assert!(discarded.stderr.contains(said), "{discarded:?}");
            refused += usize::from(is_exchanged);
            assert_eq!(restore(&world, &["--replace"]).code, 0);
            assert_same(&old, &tree::read(&kept(&world)));
            let discarded = world.offsite(["restore", "--to", "out", "--discard-old"]);
            assert_eq!(discarded.code, 0, "{discarded:?}");
        }
        assert!(beside(&world).is_empty(), "{:?}", beside(&world));
    }
    assert!(refused > 2, "{refused}");
}
