//! Where a drill restores, and what it leaves there: nothing.

use std::path::Path;

use super::{completed, drill, marks, temporary, with_temporary, world_of};
use crate::support::calls::{Answer, watched};
use crate::support::{Output, World, noise};

fn failed(output: &Output) -> String {
    let failed = output.event("drill_failed");
    format!(
        "{}\n{}",
        failed["error"].as_str().unwrap(),
        failed["hint"].as_str().unwrap_or("")
    )
}

fn names(path: &Path) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

#[test]
fn a_directory_with_something_in_it_is_refused_and_left_alone() {
    let world = world_of(4);
    std::fs::create_dir(world.path("own")).unwrap();
    std::fs::write(world.path("own/mine"), "mine").unwrap();
    let output = drill(&world, &["--to", "own"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        failed(&output).contains("`own` is not empty: it has `mine`"),
        "{output:?}"
    );
    assert_eq!(names(&world.path("own")), 1);
    assert!(marks(&world).is_empty());
    std::fs::remove_file(world.path("own/mine")).unwrap();
    assert_eq!(drill(&world, &["--to", "own"]).code, 0);
    assert_eq!(names(&world.path("own")), 0);
    assert_eq!(drill(&world, &["--to", "absent/below"]).code, 0);
    assert!(!world.path("absent/below").exists());
    // It is the directory and nothing on the way that is the drill's.
    std::fs::write(world.path("file"), "").unwrap();
    let output = drill(&world, &["--to", "file"]);
    assert_eq!(output.code, 1, "{output:?}");
}

#[test]
fn a_directory_for_temporary_files_that_is_not_there_is_told() {
    let mut world = world_of(4);
    world.env("TMPDIR", world.path("nowhere").display());
    let output = drill(&world, &[]);
    assert_eq!(output.code, 1, "{output:?}");
    let said = failed(&output);
    assert!(
        said.contains("nowhere") && said.contains("TMPDIR"),
        "{said}"
    );
}

/// A world whose sample is larger than what the temporary directory has room for.
fn mounted(world: &World, megabytes: u32) -> bool {
    let options = format!("size={megabytes}m");
    let target = temporary(world);
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
        .arg(&target)
        .status();
    mount.is_ok_and(|status| status.success())
}

#[test]
fn a_sample_that_does_not_fit_is_told_before_anything_is_restored() {
    let world = with_temporary(World::new());
    world.write("large", noise(1, 6 << 20));
    world.back_up();
    assert!(mounted(&world, 4), "this test mounts a tmpfs, as root");
    let requests = world.requests_of(|| {
        let output = drill(&world, &["--read", "100%"]);
        let _ = std::process::Command::new("umount")
            .arg(temporary(&world))
            .status();
        assert_eq!(output.code, 1, "{output:?}");
        let said = failed(&output);
        let needed = (6 << 20) + 2 * 4096;
        assert!(
            said.contains(&format!("the sample needs {needed} bytes")),
            "{said}"
        );
        assert!(
            said.contains("has 4194304 bytes free") && said.contains("--to"),
            "{said}"
        );
    });
    let is_content = |key: &String| key.contains("/files/");
    assert!(
        !requests
            .iter()
            .filter_map(|r| r.key.as_ref())
            .any(is_content)
    );
    assert!(marks(&world).is_empty());
}

#[test]
fn what_a_killed_drill_has_left_is_removed_by_the_next() {
    let world = world_of(4);
    let args = ["drill", "--json", "--read", "100%"];
    let killed = watched(&mut world.command(args), |call| {
        match call.number == libc::SYS_syncfs {
            true => Answer::Kill,
            false => Answer::Proceed,
        }
    });
    assert_eq!(killed.code, -9, "{killed:?}");
    assert_eq!(names(&temporary(&world)), 1);
    assert!(marks(&world).is_empty());
    // What merely looks like it stays.
    let other = temporary(&world).join("offsite-drill-of-mine");
    std::fs::create_dir(&other).unwrap();
    let output = world.offsite(args);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(names(&temporary(&world)), 1);
    std::fs::remove_dir(&other).unwrap();
    // Also in a directory of the drill's own.
    let to = ["drill", "--json", "--read", "100%", "--to", "own"];
    let killed = watched(&mut world.command(to), |call| {
        match call.number == libc::SYS_syncfs {
            true => Answer::Kill,
            false => Answer::Proceed,
        }
    });
    assert_eq!(killed.code, -9, "{killed:?}");
    assert_eq!(names(&world.path("own")), 1);
    let output = drill(&world, &["--read", "100%", "--to", "own"]);
    assert_eq!(completed(&output)["outcome"], "passed");
    assert_eq!(names(&world.path("own")), 0);
}
