//! What a restore has made and somebody has changed before it is read back: the drill sees it, whatever the restore says.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{completed, mismatches, temporary, with_temporary};
use crate::drill::assert_nothing_is_left;
use crate::support::calls::{Answer, watched};
use crate::support::tree::{set_mode, set_mtime, set_xattr, settle};
use crate::support::{Output, SOURCE, World};

fn world() -> World {
    let mut world = with_temporary(World::new());
    world.set("DEFAULTS__XATTRS", true);
    world.write("dir/a", "contents");
    world.write("b", "contents of b");
    let data = world.data();
    std::fs::hard_link(data.join("b"), data.join("linked")).unwrap();
    symlink("dir/a", data.join("link")).unwrap();
    set_xattr(&data.join("dir/a"), "user.one", b"1");
    settle();
    world.back_up();
    world
}

/// The only scratch directory's tree.
fn scratch(world: &World) -> PathBuf {
    let mut names = std::fs::read_dir(temporary(world)).unwrap();
    names.next().unwrap().unwrap().path().join(SOURCE)
}

/// A drill of everything, during which something happens once everything is restored.
fn drill_while(world: &World, tamper: impl Fn(&Path)) -> Output {
    let args = ["drill", "--json", "--read", "100%"];
    let mut done = 0;
    let output = watched(&mut world.command(args), |call| {
        if call.number == libc::SYS_fsync {
            tamper(&scratch(world));
            done += 1;
        }
        Answer::Proceed
    });
    assert_eq!(done, 1, "{output:?}");
    assert_nothing_is_left(world);
    output
}

fn differs(tamper: impl Fn(&Path), expected: &[&str]) {
    let world = world();
    let output = drill_while(&world, tamper);
    assert_eq!(output.code, 4, "{output:?}");
    let found = mismatches(&completed(&output));
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }
}

#[test]
fn what_nobody_touches_is_what_it_was() {
    let output = drill_while(&world(), |_| {});
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn other_contents_of_the_same_size_and_time_are_seen() {
    let tamper = |root: &Path| {
        let file = root.join("dir/a");
        let time = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(&file, "CONTENTS").unwrap();
        let open = std::fs::File::open(&file).unwrap();
        open.set_modified(time).unwrap();
    };
    differs(tamper, &["dir/a: what was restored is not"]);
}

#[test]
fn other_metadata_is_seen() {
    let mode = |root: &Path| set_mode(&root.join("dir/a"), 0o640);
    differs(mode, &["dir/a: expected mode 0644, got mode 0640"]);
    let time = |root: &Path| set_mtime(&root.join("dir"), 1, 0);
    differs(time, &["dir: expected time 2"]);
    let owner = |root: &Path| std::os::unix::fs::lchown(root.join("link"), Some(7), None).unwrap();
    differs(owner, &["link: expected owner 0:0, got owner 7:0"]);
    let attribute = |root: &Path| set_xattr(&root.join("dir/a"), "user.one", b"2");
    differs(attribute, &["dir/a: has other extended attributes"]);
}

#[test]
fn a_link_that_leads_elsewhere_is_seen() {
    let tamper = |root: &Path| {
        std::fs::remove_file(root.join("link")).unwrap();
        symlink("dir/b", root.join("link")).unwrap();
    };
    differs(tamper, &["link: "]);
}

#[test]
fn names_that_are_no_names_of_one_file_any_more_are_seen() {
    let tamper = |root: &Path| {
        let time = std::fs::metadata(root.join("b"))
            .unwrap()
            .modified()
            .unwrap();
        std::fs::remove_file(root.join("linked")).unwrap();
        std::fs::copy(root.join("b"), root.join("linked")).unwrap();
        let open = std::fs::File::open(root.join("linked")).unwrap();
        open.set_modified(time).unwrap();
    };
    differs(tamper, &["linked: is a file of its own"]);
}

#[test]
fn counts_that_differ_are_seen() {
    let less = |root: &Path| std::fs::remove_file(root.join("link")).unwrap();
    differs(
        less,
        &[
            "link: does not exist after the restore",
            ".: counts differ: 5 entries picked, 5 restored, 4 of 5 found again, 4 names",
        ],
    );
    let more = |root: &Path| std::fs::write(root.join("more"), "").unwrap();
    differs(
        more,
        &[".: counts differ: 5 entries picked, 5 restored, 5 of 5 found again, 6 names"],
    );
}
