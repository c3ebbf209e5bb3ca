//! Files with several names: those that the snapshot has, and those that are in the target.

use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::Path;

use offsite::format::entry::{Digest, Entry, Kind, LinkGroup};
use sha2::{Digest as _, Sha256};

use super::hostile::{PASS, entry, hostile, location};
use super::{inode, restore, text, world};
use crate::support::tree::{self, assert_same, set_mode, settle};
use crate::support::{BUCKET, SOURCE, World};

/// One of several names of inode 7, with its own object in the store.
fn linked(world: &World, path: &str, contents: &str) -> Entry {
    let key = format!("files/{SOURCE}/{PASS}/{path}");
    let bytes = contents.to_owned().into_bytes();
    world.server.replace(BUCKET, &world.full_key(&key), bytes);
    let mut entry = entry(path, Kind::File);
    entry.metadata.size = contents.len() as u64;
    entry.hardlink = Some(LinkGroup { dev: 1, ino: 7 });
    let content = entry.content.as_mut().unwrap();
    content.digest = Digest::Sha256(Sha256::digest(contents).into());
    content.location = location(path, contents.as_bytes());
    entry
}

#[test]
fn names_of_one_inode_are_linked_only_if_their_contents_are_the_same() {
    let world = world();
    // What carrying unreadable entries forward leaves behind: one number, two contents.
    hostile(
        &world,
        &[
            entry(".", Kind::Directory),
            linked(&world, "a", "old"),
            linked(&world, "b", "new"),
            linked(&world, "c", "old"),
            linked(&world, "d", "newer"),
            linked(&world, "e", "new"),
        ],
    );
    let output = restore(&world, &[]);
    assert_eq!(output.code, 0, "{output:?}");
    let texts = ["a", "b", "c", "d", "e"].map(|path| text(&world, path));
    assert_eq!(texts, ["old", "new", "old", "newer", "new"]);
    assert_eq!(inode(&world, "a"), inode(&world, "c"));
    assert_eq!(inode(&world, "b"), inode(&world, "e"));
    assert_ne!(inode(&world, "a"), inode(&world, "b"));
}

#[test]
fn no_name_is_linked_to_one_that_was_not_restored() {
    let world = world();
    let entries = ["a", "b", "c"].map(|path| linked(&world, path, "theirs"));
    hostile(
        &world,
        &[&[entry(".", Kind::Directory)][..], &entries].concat(),
    );
    let remove = |path: &str| {
        let key = world.full_key(&format!("files/{SOURCE}/{PASS}/{path}"));
        assert!(world.server.remove(BUCKET, &key));
    };
    let texts = || ["a", "b", "c"].map(|path| text(&world, path));
    std::fs::create_dir(world.path("out")).unwrap();
    for path in ["a", "b", "c"] {
        std::fs::write(world.path("out").join(path), format!("mine {path}")).unwrap();
    }
    remove("a");
    let output = restore(&world, &["--overwrite"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(texts(), ["mine a", "theirs", "theirs"]);
    // The others are still one file.
    assert_eq!(inode(&world, "b"), inode(&world, "c"));

    for path in ["b", "c"] {
        std::fs::remove_file(world.path("out").join(path)).unwrap();
        std::fs::write(world.path("out").join(path), format!("mine {path}")).unwrap();
        remove(path);
    }
    let output = restore(&world, &["--overwrite"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(texts(), ["mine a", "mine b", "mine c"]);
}

#[test]
fn many_files_with_several_names_need_few_descriptors() {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 4);
    for index in 0..150 {
        let (first, further) = (format!("a/{index:03}/f"), format!("b/{index:03}/f"));
        world.write(&first, format!("{index}"));
        std::fs::create_dir_all(world.data().join(&further).parent().unwrap()).unwrap();
        std::fs::hard_link(world.data().join(first), world.data().join(further)).unwrap();
    }
    settle();
    world.back_up();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    let limit = ["-c", "ulimit -n 160; exec \"$0\" \"$@\""];
    // Once more, where everything is there.
    for round in ["first", "second"] {
        let output = world.command_by("sh", &limit, args).output().unwrap();
        assert!(output.status.success(), "{round}: {output:?}");
        let (mut expected, mut found) = (tree::read(&world.data()), tree::read(&to));
        if round == "second" {
            expected.remove(Path::new(""));
            found.remove(Path::new(""));
        }
        assert_same(&expected, &found);
    }
}

/// A world with a file, one that has two names, two that are alike, and a symbolic link.
fn world_of_links() -> World {
    let world = World::new();
    world.write("alone", "alone");
    world.write("sub/one", "two names");
    world.write("twin-a", "twins");
    world.write("twin-b", "twins");
    let data = world.data();
    std::fs::hard_link(data.join("sub/one"), data.join("two")).unwrap();
    symlink("alone", data.join("link")).unwrap();
    // Only root may change owners, and so it matters which.
    for (index, path) in ["alone", "sub/one", "link", "twin-a"].iter().enumerate() {
        let owner = 1000 + u32::try_from(index).unwrap();
        lchown(data.join(path), Some(owner), Some(owner)).unwrap();
    }
    set_mode(&data.join("alone"), 0o640);
    set_mode(&data.join("twin-b"), 0o600);
    settle();
    world.back_up();
    assert_eq!(restore(&world, &[]).code, 0);
    world
}

/// Everything about a file that a restore could give it.
fn facts(path: &Path) -> (u32, u32, u32, i64, i64, i64) {
    let m = std::fs::symlink_metadata(path).unwrap();
    (
        m.mode(),
        m.uid(),
        m.gid(),
        m.mtime(),
        m.mtime_nsec(),
        m.ino().cast_signed(),
    )
}

/// Makes metadata differ from the snapshot's.
fn disturb(path: &Path) {
    lchown(path, Some(7), Some(8)).unwrap();
    if !path.is_symlink() {
        set_mode(path, 0o611);
    }
    tree::set_mtime(path, 5, 6);
}

fn assert_as_in_snapshot(world: &World) {
    let expected = tree::read(&world.data());
    assert_same(&expected, &tree::read(&world.path("out")));
    super::assert_only(&expected, &world.path("out"));
}

#[test]
fn a_file_that_is_linked_into_the_target_from_outside_is_not_changed() {
    let world = world_of_links();
    let (out, outside) = (world.path("out"), world.path("outside"));
    for args in [&[][..], &["--overwrite"]] {
        std::fs::create_dir(&outside).unwrap();
        for (path, name) in [("alone", "a"), ("sub/one", "b"), ("link", "c")] {
            disturb(&out.join(path));
            std::fs::hard_link(out.join(path), outside.join(name)).unwrap();
        }
        let of_outside = || ["a", "b", "c"].map(|name| facts(&outside.join(name)));
        let before = of_outside();
        let output = restore(&world, args);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(of_outside(), before);
        assert_as_in_snapshot(&world);
        std::fs::remove_dir_all(&outside).unwrap();
    }
    // Contents that differ are replaced, and those outside stay.
    std::fs::hard_link(out.join("alone"), &outside).unwrap();
    std::fs::write(&outside, "changed").unwrap();
    let before = facts(&outside);
    assert_eq!(restore(&world, &["--overwrite"]).code, 0);
    assert_eq!(facts(&outside), before);
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "changed");
    assert_as_in_snapshot(&world);
}

#[test]
fn links_that_the_snapshot_has_stay() {
    let world = world_of_links();
    let out = world.path("out");
    let inodes = || ["sub/one", "two"].map(|path| inode(&world, path));
    let before = inodes();
    for args in [
        &[][..],
        &["--path", "two"],
        &["--path", "sub"],
        &["--overwrite"],
    ] {
        disturb(&out.join("two"));
        let output = restore(&world, args);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(inodes(), before, "{args:?}");
        assert_as_in_snapshot(&world);
    }
    // One name of which something else has taken the place becomes a link again.
    std::fs::remove_file(out.join("two")).unwrap();
    std::fs::write(out.join("two"), "two names").unwrap();
    assert_eq!(restore(&world, &[]).code, 0);
    assert_as_in_snapshot(&world);
}

#[test]
fn files_that_the_snapshot_has_apart_do_not_stay_linked() {
    let world = world_of_links();
    let out = world.path("out");
    let data = world.data();
    // Like a tool that saves space does it.
    for (kept, linked) in [("twin-a", "twin-b"), ("twin-b", "twin-a")] {
        std::fs::remove_file(out.join(linked)).unwrap();
        std::fs::hard_link(out.join(kept), out.join(linked)).unwrap();
        let output = restore(&world, &[]);
        assert_eq!(output.code, 0, "{output:?}");
        assert_as_in_snapshot(&world);
    }
    // Also where nothing else differs.
    for tree in [&data, &out] {
        lchown(tree.join("twin-b"), Some(1003), Some(1003)).unwrap();
        for twin in ["twin-a", "twin-b"] {
            set_mode(&tree.join(twin), 0o644);
            tree::set_mtime(&tree.join(twin), 1_000_000_000, 0);
        }
    }
    settle();
    world.back_up();
    std::fs::remove_file(out.join("twin-b")).unwrap();
    std::fs::hard_link(out.join("twin-a"), out.join("twin-b")).unwrap();
    assert_eq!(restore(&world, &[]).code, 0);
    assert_as_in_snapshot(&world);
}

#[test]
fn a_file_of_which_nothing_changes_keeps_its_names_outside() {
    let world = world_of_links();
    let (out, outside) = (world.path("out"), world.path("outside"));
    std::fs::hard_link(out.join("alone"), &outside).unwrap();
    let before = facts(&outside);
    let output = restore(&world, &["--overwrite", "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(facts(&outside), before);
    assert_eq!(facts(&out.join("alone")), before);
}

#[test]
fn what_is_linked_from_outside_needs_no_download() {
    let world = world_of_links();
    let (out, outside) = (world.path("out"), world.path("outside"));
    std::fs::hard_link(out.join("alone"), &outside).unwrap();
    disturb(&outside);
    let requests = world.requests_of(|| {
        assert_eq!(restore(&world, &[]).code, 0);
    });
    let contents = requests.iter().filter(|request| {
        let key = request.key.as_deref().unwrap_or_default();
        key.contains("/files/")
    });
    assert_eq!(contents.count(), 0);
    assert_as_in_snapshot(&world);
}
