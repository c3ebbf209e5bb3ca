//! The power fails: what was not synced is lost.
//!
//! The store is on a file system in a file. What that file holds at some moment is what a disk would hold: what
//! the kernel has in memory only is not in it. So a copy of it, mounted, is the store after a power failure, its
//! journal replayed as any.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{assert_restored, world};
use crate::support::calls::{Answer, watched};
use crate::support::tree::{self, Tree, settle};
use crate::support::{World, long, noise};

/// A file system in a file, mounted.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// `None` where this machine does not let us mount.
    fn mount(image: PathBuf, at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        // Nothing is written but what is asked for.
        let options = "loop,commit=3600,noatime";
        let mounted = run("mount", &["-o", options, image.to_str()?, at.to_str()?]);
        mounted.then_some(Self { image, at })
    }

    fn make(image: PathBuf, at: PathBuf) -> Option<Self> {
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(96 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str()?]).then_some(())?;
        Self::mount(image, at)
    }

    /// What would be left of it now.
    fn after_power_failure(&self, copy: &Path) {
        let copied = run(
            "cp",
            &[
                "--sparse=always",
                self.image.to_str().unwrap(),
                copy.to_str().unwrap(),
            ],
        );
        assert!(copied);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[self.at.to_str().unwrap()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn what_was_committed_survives_a_power_failure() {
    let mut world = world();
    let Some(disk) = Disk::make(world.path("disk"), world.path("mounted")) else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: this machine does not let us mount"
        );
        return;
    };
    let store = disk.at.join("store");
    std::fs::create_dir(&store).unwrap();
    world.set("STORE", store.display());
    world.set("MANIFEST__SEGMENT_ENTRIES", 4);
    for path in ["a", "b", "sub/c", "sub/d"] {
        world.write(path, noise(7, 20_000));
    }
    settle();
    world.back_up();
    let first = tree::read(&world.data());
    world.write("a", noise(8, 30_000));
    world.write("large", noise(9, 17 << 20));
    world.write("sub/sub/e", noise(10, 5_000));
    settle();
    let trees = [first, tree::read(&world.data())];
    let stride = if long() { 1 } else { 9 };
    let (mut calls, mut failures) = (0, Vec::new());
    let output = watched(&mut world.command(["run"]), |_| {
        if calls % stride == 0 {
            let copy = world.path(&format!("failure-{calls}"));
            disk.after_power_failure(&copy);
            failures.push(copy);
        }
        calls += 1;
        Answer::Proceed
    });
    assert_eq!(output.code, 0, "{output:?}");
    let copy = world.path("failure-at-the-end");
    disk.after_power_failure(&copy);
    drop(disk);
    for failure in failures {
        assert_survived(&mut world, failure, &trees, 1);
    }
    assert_survived(&mut world, copy, &trees, 2);
    assert!(calls > 60, "{calls} calls");
}

/// After a failure there are at least so many snapshots, all whole, and passes go on.
fn assert_survived(world: &mut World, image: PathBuf, trees: &[Tree], at_least: usize) {
    let disk = Disk::mount(image, world.path("survived")).unwrap();
    world.set("STORE", disk.at.join("store").display());
    let there = world.snapshots().len();
    let name = disk.image.display();
    assert!(there >= at_least, "{name}: {there} snapshots");
    assert_restored(world, &trees[..there]);
    let unlock = world.offsite(["unlock", "--force"]);
    assert_eq!(unlock.code, 0, "{name}: {unlock:?}");
    world.back_up();
    let (code, found) = crate::verify::findings(world, &["--read"]);
    assert_eq!((code, found.len()), (0, 0), "{name}: {found:?}");
    let snapshots = world.snapshots();
    let latest = tree::read(&world.restored(snapshots.last().unwrap()));
    tree::assert_same(trees.last().unwrap(), &latest);
    let image = disk.image.clone();
    drop(disk);
    std::fs::remove_file(image).unwrap();
}
