//! Targets on other file systems, and with other file systems in them.

use std::path::Path;
use std::process::Command;

use super::interrupted::{NFS, Refused, world};
use crate::support::calls::{killed_at, refuse};
use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{Output, SOURCE, World, finish, noise};

/// A script in mounts of its own, in which `$restore` restores everything into `out`. In the end what is
/// there is in `copy`.
fn script(world: &World, refused: Refused, script: &str) -> Command {
    let _ = std::fs::remove_dir_all(world.path("copy"));
    let _ = std::fs::remove_dir_all(world.path("out"));
    std::fs::create_dir(world.path("out")).unwrap();
    let script =
        format!("restore=\"$0 restore --source {SOURCE} --to out\"\n{script}\ncp -a out copy");
    let how = ["--mount", "--map-root-user", "sh", "-ec", &script];
    let mut command = world.command_by("unshare", &how, [""; 0]);
    refuse(&mut command, refused);
    command
}

fn run(mut command: Command) -> Output {
    finish(command.output().unwrap())
}

fn assert_copied(world: &World, mut expected: Tree) {
    let copy = world.path("copy");
    let mut found = tree::read(&copy);
    super::assert_only(&found, &copy);
    // A mount point keeps what it has; and a copy does not give pipes away.
    for tree in [&mut expected, &mut found] {
        tree.remove(Path::new(""));
    }
    assert_same(&expected, &found);
}

#[test]
fn overlays_and_memory_are_targets_like_any_others() {
    let world = world();
    for mount in [
        "mount -t tmpfs tmpfs out",
        "mount -t tmpfs tmpfs over; mkdir over/up over/work over/low
         mount -t overlay -o lowerdir=over/low,upperdir=over/up,workdir=over/work overlay out",
        // With things in the lower layer that have to be replaced.
        "mount -t tmpfs tmpfs over; mkdir -p over/up over/work over/low/one
         echo other > over/low/a; echo other > over/low/one/b; chmod 700 over/low
         mount -t overlay -o lowerdir=over/low,upperdir=over/up,workdir=over/work overlay out",
    ] {
        std::fs::create_dir_all(world.path("over")).unwrap();
        for refused in [&[][..], NFS] {
            let mut command = script(
                &world,
                refused,
                &format!("{mount}\n$restore --overwrite; $restore"),
            );
            command.stdin(std::process::Stdio::null());
            let output = run(command);
            assert_eq!(output.code, 0, "{mount}: {output:?}");
            assert_copied(&world, tree::read(&world.data()));
        }
    }
}

/// Nothing can be moved or linked from one to the other.
#[test]
fn a_target_may_have_file_systems_in_it() {
    let world = world();
    let mut expected = tree::read(&world.data());
    // Nor can this one be a name of a file in the other, which is said.
    for facts in expected.values_mut() {
        facts.linked_with = None;
    }
    let mounts = "mkdir -p out/one/two; mount -t tmpfs tmpfs out/one; mkdir out/one/two
                  mount -t tmpfs tmpfs out/one/two; echo other > out/one/two/c; echo other > out/one/b";
    let calls = (0..).step_by(4).take_while(|at| {
        let twice = format!(
            "{mounts}\n$restore --overwrite || test $? = 137 || exit 44; $restore --overwrite || test $? = 3"
        );
        let killed = killed_at(script(&world, NFS, &twice), *at);
        if let Some(output) = &killed {
            assert_eq!(output.code, 0, "killed at {at}: {output:?}");
            assert_copied(&world, expected.clone());
        }
        killed.is_some()
    });
    assert!(calls.count() > 20);
    let output = run(script(
        &world,
        &[],
        &format!("{mounts}\n$restore --overwrite || test $? = 3; $restore || test $? = 3"),
    ));
    assert_eq!(output.code, 0, "{output:?}");
    let said = "one/b: restored as a file of its own, not as a link to `linked`";
    assert_eq!(output.stderr.matches(said).count(), 2, "{output:?}");
    assert_copied(&world, expected);
}

#[test]
fn a_restore_onto_a_full_disk_continues_when_there_is_space() {
    let world = World::new();
    for index in 0..20 {
        world.write(&format!("sub/{index:02}"), noise(index, 50_000));
    }
    settle();
    world.back_up();
    for refused in [&[][..], NFS] {
        let output = run(script(
            &world,
            refused,
            "mount -t tmpfs -o size=500k tmpfs out; mkdir out/again
             restore=\"$restore/again\"
             $restore || echo $?; find out -type f -printf '%f %s\n'
             mount -o remount,size=10m out; $restore",
        ));
        assert_eq!(output.code, 0, "{output:?}");
        let mut lines = output
            .stdout
            .lines()
            .filter(|line| !line.starts_with(SOURCE));
        assert_eq!(lines.next(), Some("1"), "{output:?}");
        assert!(output.stderr.contains("No space left"), "{output:?}");
        let (files, others): (Vec<_>, Vec<_>) = lines.partition(|line| line.ends_with(" 50000"));
        assert!(!files.is_empty(), "{output:?}");
        let is_record = |line: &&str| line.starts_with("restore.json ");
        assert!(
            others.len() == 1 && others.iter().all(is_record),
            "{output:?}"
        );
        let copy = world.path("copy/again");
        let expected = tree::read(&world.data());
        assert_same(&expected, &tree::read(&copy));
        super::assert_only(&expected, &copy);
    }
}
