//! `cat`.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use local_s3::HookAction;

use super::{segments_read, two_sources, world};
use crate::support::tree::settle;
use crate::support::{BUCKET, World, noise};

/// What is printed, and how it ended.
fn cat(world: &World, args: &[&str]) -> (i32, Vec<u8>, String) {
    let output = world.command([&["cat"], args].concat()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or(-1), output.stdout, said)
}

/// The key of the contents of a file.
fn content(world: &World, name: &str) -> String {
    world.full_key(&world.key_like("files/", &format!("/{name}")))
}

#[test]
fn a_file_is_printed_as_it_was() {
    let (world, snapshots) = world();
    for (snapshot, contents) in snapshots.iter().zip([&b"a"[..], b"aa", b"aaa"]) {
        world.server.clear_requests();
        let printed = cat(&world, &[snapshot, "docs/a.txt"]);
        assert_eq!(printed, (0, contents.to_vec(), String::new()));
        assert_eq!(segments_read(&world), 1);
        // Two listings, the record, the segment, the contents.
        assert_eq!(world.server.requests().len(), 5);
    }
    let absolute = world.data().join("docs/a.txt").display().to_string();
    assert_eq!(cat(&world, &["latest", &absolute]).1, b"aaa");
}

#[test]
fn contents_of_any_kind_come_out_whole_of_objects_and_archives() {
    let files = [
        ("empty", Vec::new()),
        ("small", b"\x1b[2J\0\xff".to_vec()),
        ("middling", noise(1, 3 << 20)),
        ("large", noise(2, 40 << 20)),
        ("zeros", vec![0; 9 << 20]),
    ];
    for args in [&["run"][..], &["run", "--archive"]] {
        let mut world = World::new();
        world.set("DEFAULTS__ARCHIVE__COMPRESSION", "zstd");
        for (name, contents) in &files {
            world.write(name, contents);
        }
        settle();
        assert_eq!(world.offsite(args).code, 0);
        for (name, contents) in &files {
            let (code, printed, said) = cat(&world, &["latest", name]);
            assert_eq!((code, &*said), (0, ""), "{args:?} {name}");
            assert!(
                printed == *contents,
                "{args:?} {name}: {} bytes",
                printed.len()
            );
        }
    }
}

#[test]
fn what_is_no_file_is_not_printed() {
    let world = two_sources();
    std::os::unix::fs::symlink("same", world.data().join("one/link")).unwrap();
    std::fs::create_dir(world.data().join("one/dir")).unwrap();
    settle();
    world.back_up();
    for (args, code, said) in [
        (
            &["latest", "same"][..],
            2,
            "is in several sources: one, two",
        ),
        (&["latest", "dir"], 2, "`dir` is a directory"),
        (
            &["latest", "link"],
            2,
            "`link` is a symbolic link to `same`",
        ),
        (&["latest", "none"], 10, "there is no `none` in snapshot"),
        (
            &["latest", "same/x"],
            10,
            "there is no `same/x` in snapshot",
        ),
        (&["2001", "same"], 10, "there is no snapshot `2001`"),
    ] {
        let output = cat(&world, args);
        assert_eq!(
            (output.0, &*output.1),
            (code, &b""[..]),
            "{args:?} {output:?}"
        );
        assert!(output.2.contains(said), "{args:?}: {}", output.2);
    }
    let two = ["latest", "same", "--source", "two"];
    assert_eq!(cat(&world, &two).1, b"same of two");
}

#[test]
fn damaged_contents_are_no_success() {
    for (name, length) in [("small", 1 << 10), ("large", 9 << 20), ("larger", 40 << 20)] {
        let world = World::new();
        let contents = noise(3, length);
        world.write(name, &contents);
        settle();
        world.back_up();
        let key = content(&world, name);
        world.server.corrupt(BUCKET, &key, length - 1);
        let (code, printed, said) = cat(&world, &["latest", name]);
        assert_eq!(code, 4, "{name}: {said}");
        assert!(said.contains("SHA-256 of the manifest"), "{said}");
        match name {
            // What is held until it was checked.
            "small" => assert!(printed.is_empty()),
            _ => assert!(
                said.contains("that were printed are not the file"),
                "{said}"
            ),
        }
        world.server.truncate(BUCKET, &key, length / 2);
        let (code, _, said) = cat(&world, &["latest", name]);
        assert!(matches!(code, 1 | 4), "{name}: {code} {said}");
        world.server.remove(BUCKET, &key);
        let (code, printed, said) = cat(&world, &["latest", name]);
        assert_eq!((code, printed.len()), (4, 0), "{name}: {said}");
    }
}

#[test]
fn what_arrives_damaged_once_is_fetched_again() {
    let world = World::new();
    world.write("small", "contents");
    settle();
    world.back_up();
    let key = content(&world, "small");
    world.server.corrupt(BUCKET, &key, 0);
    let reads = AtomicU32::new(0);
    let (intact, server) = (key.clone(), Arc::new(world));
    let world = Arc::downgrade(&server);
    server.server.on_request(move |request| {
        let is_it = request.key.as_deref() == Some(&*intact);
        // The second time it is as it was.
        if is_it && reads.fetch_add(1, Ordering::Relaxed) == 1 {
            let world = world.upgrade().unwrap();
            world.server.replace(BUCKET, &intact, "contents");
        }
        HookAction::Proceed
    });
    let printed = cat(&server, &["latest", "small"]);
    server.server.clear_hook();
    assert_eq!(printed, (0, b"contents".to_vec(), String::new()));
}

/// Whatever the size of the file, and the program is larger than in a release build.
#[test]
fn a_large_file_takes_no_more_memory_than_the_limit_and_64_mib() {
    let contents = vec![b'0'; 160 << 20];
    for args in [&["run"][..], &["run", "--archive"]] {
        let mut world = World::new();
        world.set("LIMITS__MEMORY", "16MiB");
        world.set("DEFAULTS__ARCHIVE__COMPRESSION", "zstd");
        world.write("large", &contents);
        settle();
        assert_eq!(world.offsite(args).code, 0);
        let print = ["cat", "latest", "large"];
        let (output, peak_mib) = world.offsite_measured(Duration::from_secs(120), print);
        assert_eq!((output.code, &*output.stderr), (0, ""), "{args:?}");
        assert!(output.stdout.as_bytes() == contents, "{args:?}");
        assert!(
            peak_mib > 0 && peak_mib < 16 + 80,
            "{args:?}: {peak_mib} MiB"
        );
    }
}

/// A pseudo-terminal of `script` (util-linux), which shows what a terminal gets.
#[test]
fn a_terminal_gets_nothing_that_could_control_it() {
    let world = World::new();
    let contents = b"tab\there\nclear \x1b[2J bell \x07 c1 \x9b rtl \xe2\x80\xae \xc3\xbc\n";
    world.write("file", contents);
    settle();
    world.back_up();
    let typed = format!("{} cat latest file", env!("CARGO_BIN_EXE_offsite"));
    let command = world.command(["cat"]);
    let environment = command.get_envs();
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &typed, "/dev/null"])
        .env_clear()
        .envs(environment.filter_map(|(name, value)| Some((name, value?))))
        .env("SHELL", "/bin/sh")
        .current_dir(world.home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let expected = "tab\there\r\nclear \\u{1b}[2J bell \\u{7} c1 \\x9b rtl \\u{202e} \u{fc}\r\n";
    assert_eq!(shown, expected);
    assert_eq!(cat(&world, &["latest", "file"]).1, contents);
}
