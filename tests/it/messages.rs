//! What people read: help, tables, errors. Each is kept as it is until somebody looks at the change.

use crate::support::tree::settle;
use crate::support::{BUCKET, Output, World};

/// Exit code, standard output and standard error together, without what differs each time.
fn shown(world: &World, output: &Output) -> String {
    let text = format!(
        "exit code: {}\n----- stdout -----\n{}----- stderr -----\n{}",
        output.code, output.stdout, output.stderr
    );
    let home = world.home.path().display().to_string();
    text.replace(&home, "[home]")
        .replace(&world.server.endpoint(), "[endpoint]")
}

/// Compares what a command prints with `snapshots/messages/<name>.snap`.
fn assert_shown<const N: usize>(world: &World, name: &str, args: [&str; N]) {
    let output = world.offsite(args);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots/messages");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_description(format!("offsite {}", args.join(" ")));
    settings.set_omit_expression(true);
    for (pattern, placeholder) in [
        (r"\d{8}T\d{6}Z-[0-9a-f]{4}", "[pass]"),
        (r"before-\d{8}T\d{6}Z", "before-[time]"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "[time]"),
        (r"\S+ \(process \d+\)", "[holder]"),
        (r"\d+\.\d s\b", "[seconds]"),
        // A manifest compresses a little differently each time.
        (r"requests, \d+ B;", "requests, [bytes];"),
    ] {
        settings.add_filter(pattern, placeholder);
    }
    settings.bind(|| insta::assert_snapshot!(name, shown(world, &output)));
}

fn world() -> World {
    let world = World::new();
    world.write("a.txt", "hello\n");
    world.write("dir/b", "b");
    settle();
    world
}

#[test]
fn an_empty_store() {
    let world = world();
    assert_shown(&world, "list-nothing", ["list"]);
    assert_shown(&world, "status-nothing", ["status"]);
    assert_shown(&world, "unlock-never", ["unlock"]);
}

#[test]
fn a_plan() {
    let world = world();
    assert_shown(&world, "plan-first", ["plan"]);
    world.back_up();
    crate::support::tree::set_mtime(&world.data().join("a.txt"), 1, 1);
    assert_shown(&world, "plan-touched", ["plan"]);
}

#[test]
fn a_store_with_a_snapshot() {
    let world = world();
    world.back_up();
    assert_shown(&world, "list", ["list"]);
    assert_shown(&world, "list-files", ["list", "latest", "--path", "*.txt"]);
    assert_shown(&world, "ls", ["ls", "latest"]);
    assert_shown(&world, "ls-nothing", ["ls", "latest", "no/such"]);
    assert_shown(&world, "find", ["find", "*.txt"]);
    assert_shown(&world, "find-nothing", ["find", "*.pdf"]);
    assert_shown(&world, "cat-directory", ["cat", "latest", "dir"]);
    assert_shown(&world, "diff", ["diff", "latest"]);
    assert_shown(&world, "status", ["status"]);
    assert_shown(&world, "unlock-released", ["unlock"]);
    assert_shown(&world, "verify", ["verify"]);
    let drill = ["drill", "--read", "100%", "--log-format", "text"];
    assert_shown(&world, "drill", drill);
    assert_shown(&world, "status-drilled", ["status"]);
    let into = ["drill", "--to", "data", "--log-format", "text"];
    assert_shown(&world, "drill-not-empty", into);
    assert_shown(&world, "drill-share", ["drill", "--read", "0"]);
    assert_shown(
        &world,
        "restore-dry-run",
        ["restore", "--to", "out", "--dry-run"],
    );
    assert_shown(&world, "restore", ["restore", "--to", "out"]);
    std::fs::write(world.path("out/data/a.txt"), "other").unwrap();
    assert_shown(&world, "restore-conflict", ["restore", "--to", "out"]);
}

#[test]
fn a_tree_that_is_replaced() {
    let world = world();
    world.back_up();
    assert_shown(&world, "restore-test", ["restore", "--test"]);
    let replace = ["restore", "--to", "out", "--source", "data", "--replace"];
    assert_shown(&world, "restore-replace-new", replace);
    std::fs::write(world.path("out/more"), "more").unwrap();
    let delete = [
        "restore",
        "--to",
        "out",
        "--source",
        "data",
        "--delete",
        "--dry-run",
    ];
    assert_shown(&world, "restore-delete-dry-run", delete);
    let delete = ["restore", "--to", "out", "--source", "data", "--delete"];
    assert_shown(&world, "restore-delete", delete);
    std::fs::write(world.path("out/more"), "more").unwrap();
    let dry_run = [
        "restore",
        "--to",
        "out",
        "--source",
        "data",
        "--replace",
        "--dry-run",
    ];
    assert_shown(&world, "restore-replace-dry-run", dry_run);
    assert_shown(&world, "restore-replace", replace);
    let would = ["restore", "--to", "out", "--discard-old", "--dry-run"];
    assert_shown(&world, "restore-discard-dry-run", would);
    let discard = ["restore", "--to", "out", "--discard-old"];
    assert_shown(&world, "restore-discard", discard);
    assert_shown(&world, "restore-discard-nothing", discard);
    let contradiction = ["restore", "--to", "out", "--replace", "--delete"];
    assert_shown(&world, "restore-contradiction", contradiction);
    assert_shown(&world, "restore-nowhere", ["restore", "--replace"]);
    assert_shown(
        &world,
        "restore-root",
        ["restore", "--to", "/", "--source", "data", "--replace"],
    );
    let key = world.full_key(&world.key_like("files/", "a.txt"));
    world.server.corrupt(BUCKET, &key, 0);
    assert_shown(&world, "restore-test-damaged", ["restore", "--test"]);
    assert_shown(&world, "restore-replace-damaged", replace);
}

#[test]
fn wrong_usage() {
    let world = world();
    assert_shown(&world, "unknown-command", ["frobnicate"]);
    assert_shown(&world, "options-before-command", ["--once", "list"]);
    assert_shown(
        &world,
        "wrong-time",
        ["restore", "--to", "out", "--at", "soon"],
    );
    assert_shown(&world, "wrong-share", ["verify", "--read", "200%"]);
    assert_shown(&world, "wrong-glob", ["list", "latest", "--path", "[z-a]"]);
    assert_shown(
        &world,
        "no-such-snapshot",
        ["restore", "--to", "out", "--snapshot", "2025"],
    );
}

#[test]
fn a_wrong_configuration() {
    let world = world();
    world.configure("backup:\n  s3: {bucket: My_Bucket, prefx: x}\n  sources: [{directory: /a}, {directory: /a/b}]\n");
    assert_shown(&world, "wrong-configuration", ["plan"]);
}

#[test]
fn text_instead_of_events() {
    let world = world();
    // One file, so that the lines have an order: which of two is sent first is nobody's promise.
    std::fs::remove_file(world.data().join("dir/b")).unwrap();
    assert_shown(&world, "run-text", ["run", "--log-format", "text"]);
    std::fs::remove_dir_all(world.data()).unwrap();
    assert_shown(&world, "run-text-failed", ["run", "--log-format", "text"]);
}

#[test]
fn names_that_would_break_the_line_or_move_the_cursor() {
    let world = world();
    world.write("two\nlines\u{1b}[2J", "x");
    std::os::unix::fs::symlink("over\rhere", world.data().join("link")).unwrap();
    settle();
    let text = ["run", "--log-format", "text", "--log-level", "debug"];
    let output = world.offsite(text);
    let sent = "sent two\\nlines\\u{1b}[2J";
    assert!(output.stderr.contains(sent), "{}", output.stderr);
    let listed = world.offsite(["list", "latest"]).stdout;
    assert_eq!(listed.lines().count(), 6, "{listed}");
    assert!(listed.contains("link -> over\\rhere\n"), "{listed}");
    assert!(listed.contains(" two\\nlines\\u{1b}[2J\n"), "{listed}");
}

#[test]
fn output_that_cannot_be_written() {
    let world = world();
    world.back_up();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = world
        .command(["list", "--json"])
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to standard output"), "{said}");
}

#[test]
fn a_status_that_is_gone_is_not_taken_for_an_empty_store() {
    let world = world();
    world.back_up();
    world.server.remove(BUCKET, &world.full_key("status.json"));
    let status = world.offsite(["status"]);
    assert_eq!(status.code, 10, "{status:?}");
    assert!(status.stderr.contains("no `status.json`"), "{status:?}");
    assert_eq!(world.offsite(["list", ""]).code, 10);
}
