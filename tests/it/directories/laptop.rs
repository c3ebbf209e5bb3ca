//! A laptop with a disk, and nothing of AWS.

use std::process::Command;

use crate::support::calls::{SOCKET, forbid};
use crate::support::tree::{self, assert_same, settle};
use crate::support::{Output, World, finish};

/// A machine without settings: neither a file nor variables. Whoever looks for profiles of AWS waits for ever.
fn laptop() -> World {
    let world = World::new();
    std::fs::remove_file(world.path("backup_config.yaml")).unwrap();
    std::fs::create_dir(world.path(".aws")).unwrap();
    for name in ["config", "credentials"] {
        let made = Command::new("mkfifo")
            .arg(world.path(".aws").join(name))
            .status();
        assert!(made.unwrap().success());
    }
    std::fs::create_dir(world.path("backups")).unwrap();
    world.write("letters/1.txt", "dear");
    world.write("large", crate::support::noise(1, 17 << 20));
    settle();
    world
}

/// Runs the program where nobody can be asked for anything, for so many seconds.
fn offsite_for(world: &World, seconds: &str, args: &[&str]) -> Output {
    let mut command = world.command_by("timeout", &[seconds], args);
    command.env_clear().env("HOME", world.home.path());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    forbid(&mut command, &[SOCKET]);
    finish(command.output().unwrap())
}

/// The README, as it is written there.
#[test]
fn the_commands_of_the_readme_are_enough() {
    let world = laptop();
    std::fs::remove_dir(world.path("backups")).unwrap();
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, after) = readme.split_once("<!-- onto a disk: ").unwrap();
    let (_, block) = after.split_once("```bash\n").unwrap();
    let commands = block.split_once("```").unwrap().0;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_offsite"));
    let output = Command::new("bash")
        .args(["-euc", commands])
        .env_clear()
        .env("HOME", world.home.path())
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", program.parent().unwrap().display()),
        )
        .current_dir(world.home.path())
        .output();
    let output = finish(output.unwrap());
    assert_eq!(output.code, 0, "{output:?}");
    let restored = std::fs::read_dir(world.path("restored")).unwrap().next();
    let restored = tree::read(&restored.unwrap().unwrap().path());
    assert_same(&tree::read(&world.data()), &restored);
}

#[test]
fn a_backup_into_a_directory_needs_no_settings_and_asks_nobody() {
    let world = laptop();
    for args in [
        "plan --store ./backups --dirs ./data",
        "run --store ./backups --dirs ./data",
        "run --store ./backups --dirs ./data --archive",
        "list --store ./backups",
        "list latest --store ./backups",
        "status --store ./backups --history",
        "verify --store ./backups --read",
        "unlock --store ./backups",
        "restore --store ./backups --to ./restored",
    ] {
        let args: Vec<_> = args.split(' ').collect();
        let output = offsite_for(&world, "60", &args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
    }
    let restored = std::fs::read_dir(world.path("restored")).unwrap().next();
    let restored = tree::read(&restored.unwrap().unwrap().path());
    assert_same(&tree::read(&world.data()), &restored);
}

/// That nothing was looked for or asked would show.
#[test]
fn a_store_in_s3_looks_for_profiles_and_asks() {
    let world = laptop();
    let list = ["list", "--store", "s3://backups", "--region", "us-east-1"];
    assert_eq!(offsite_for(&world, "3", &list).code, 124);
    std::fs::remove_dir_all(world.path(".aws")).unwrap();
    let asked = offsite_for(&world, "60", &list);
    assert_eq!(asked.code, -libc::SIGSYS, "{asked:?}");
}
