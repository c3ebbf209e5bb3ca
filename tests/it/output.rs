//! What is written, to whoever reads it: a reader that goes away, one that stops reading, a disk that is
//! full, and names that would take over a terminal. None of that changes what was done, or what the
//! process exits with.

use std::fs::File;
use std::io::{Read, pipe};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use local_s3::{Fault, HookAction, Operation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::tree::settle;
use crate::support::{BUCKET, Output, World, finish};

/// More than a pipe and a terminal take before somebody reads: 64 KiB by default on Linux.
const MORE_THAN_A_PIPE: usize = 80 * 1024;

/// A store with a snapshot of a few files, of which one is damaged: `verify` ends with 4.
fn damaged() -> World {
    let world = World::new();
    for index in 0..3 {
        world.write(&format!("{index}"), format!("contents of {index}"));
    }
    settle();
    world.back_up();
    world
        .server
        .remove(BUCKET, &world.full_key(&world.key_like("files/", "/1")));
    world
}

/// The writing end of a pipe that nobody reads from any more.
fn nobody() -> Stdio {
    pipe().unwrap().1.into()
}

fn full_disk() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// What a command exits with when its output goes there.
fn code(world: &World, args: &[&str], stdout: Stdio, stderr: Stdio) -> i32 {
    let mut command = world.command(args);
    finish(command.stdout(stdout).stderr(stderr).output().unwrap()).code
}

/// How a process has ended within a time, if it has.
fn ended_within(child: &mut Child, most: Duration) -> Option<i32> {
    let ended = || child.try_wait().unwrap();
    let status = eventually(most, ended)?;
    Some(status.code().unwrap_or(-1))
}

/// The same; if it has not, it is ended here.
fn ends_within(child: &mut Child, most: Duration) -> Option<i32> {
    let code = ended_within(child, most);
    let _ = child.kill();
    child.wait().unwrap();
    code
}

fn eventually<T>(most: Duration, mut what: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let found = what();
        if found.is_some() || started.elapsed() > most {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
}

fn events(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[test]
fn a_reader_that_goes_away_ends_the_printing_and_not_the_result() {
    let mut world = damaged();
    for (args, expected) in [
        (&["verify"][..], 4),
        (&["verify", "--json"], 4),
        (&["drill", "--read", "100%"], 4),
        (&["restore", "--to", "out"], 3),
        (&["restore", "--to", "out2", "--json"], 3),
        (&["list"], 0),
        (&["list", "latest", "--json"], 0),
        (&["ls", "latest"], 0),
        (&["find", "*", "--json"], 0),
        (&["cat", "latest", "0"], 0),
        (&["diff", "latest"], 0),
        (&["diff", "latest", "latest", "--json"], 0),
        (&["status", "--history", "--json"], 0),
        (&["config"], 0),
        (&["unlock"], 0),
        (&["init", "-"], 0),
        (&["plan"], 0),
        (&["run"], 0),
        (&["--help"], 0),
        (&["restore", "--help"], 0),
        (&["--version"], 0),
        (&["frobnicate"], 2),
    ] {
        let ended = code(&world, args, nobody(), Stdio::null());
        assert_eq!(ended, expected, "{args:?}, nobody reads its output");
    }
    world.set("MANIFEST_FILE", "missing");
    let missing = ["--dirs", "/there/is/none"];
    for (command, expected) in [("plan", 1), ("run", 1)] {
        let args = [&[command], &missing[..]].concat();
        let ended = code(&world, &args, nobody(), nobody());
        assert_eq!(ended, expected, "{args:?}, nobody reads anything");
    }
    let ended = code(&world, &["verify"], nobody(), nobody());
    assert_eq!(ended, 4, "nobody reads anything");
    let ended = code(
        &world,
        &["run", "--log-format", "text"],
        Stdio::null(),
        nobody(),
    );
    assert_eq!(ended, 0, "nobody reads the text");
}

#[test]
fn a_full_disk_is_a_failure_that_hides_no_worse_one() {
    let world = damaged();
    for (args, expected) in [
        (&["verify"][..], 4),
        (&["verify", "--json"], 4),
        (&["restore", "--to", "out"], 3),
        (&["list"], 1),
        (&["list", "latest"], 1),
        (&["find", "*"], 1),
        (&["cat", "latest", "0"], 1),
        (&["diff", "latest"], 1),
        (&["status"], 1),
        (&["config"], 1),
        (&["unlock"], 1),
        (&["init", "-"], 1),
        (&["plan"], 1),
        (&["--help"], 1),
        (&["--version"], 1),
        // The backup is there, whatever becomes of its log.
        (&["run"], 0),
    ] {
        let ended = code(&world, args, full_disk(), Stdio::null());
        assert_eq!(ended, expected, "{args:?}");
    }
    assert_eq!(code(&world, &["frobnicate"], Stdio::null(), full_disk()), 2);
    assert_eq!(code(&world, &["verify"], full_disk(), full_disk()), 4);
}

#[test]
fn what_is_said_first_comes_first_whichever_stream_it_goes_to() {
    let world = damaged();
    for _ in 0..10 {
        let (mut reader, writer) = pipe().unwrap();
        let mut command = world.command(["verify"]);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        // It has the last writers.
        drop(command);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("error: "), "{text}");
        assert!(lines.last().unwrap().starts_with("data "), "{text}");
    }
}

/// Names so long that events about a few hundred files fill every pipe.
fn with_long_names(files: usize) -> World {
    let mut world = World::new();
    let name = "n".repeat(200);
    for index in 0..files {
        world.write(&format!("{name}-{index:04}"), "contents");
    }
    settle();
    // Into one object: it is the events that are tried.
    world.set("ARCHIVE", true);
    world
}

#[test]
fn a_reader_that_stops_reading_does_not_stop_a_pass() {
    let mut world = with_long_names(400);
    world.set("LOG__LEVEL", "debug");
    let mut child = world.spawn(["run"]);
    let ended = ends_within(&mut child, Duration::from_secs(30));
    assert_eq!(ended, Some(0), "a pass whose events nobody reads");
    world.unset("OFFSITE_LOG__LEVEL");
    assert_eq!(world.snapshots().len(), 1);
    let lock = world
        .server
        .object(BUCKET, &world.full_key("lock"))
        .unwrap();
    assert!(String::from_utf8_lossy(&lock.bytes).contains("released"));
}

#[test]
fn a_terminal_that_has_stopped_does_not_stop_a_pass() {
    let mut world = with_long_names(400);
    world.set("LOG__LEVEL", "debug");
    world.env("TERM", "xterm");
    let (mut ours, theirs) = terminal();
    for format in ["text", "json"] {
        let mut command = world.command(["run", "--no-incremental", "--log-format", format]);
        let (stdout, stderr) = (theirs.try_clone().unwrap(), theirs.try_clone().unwrap());
        let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        let ended = ends_within(&mut child, Duration::from_secs(30));
        assert_eq!(
            ended,
            Some(0),
            "{format}: a pass on a terminal that has stopped"
        );
    }
    drop(theirs);
    let mut shown = [0; 4096];
    let length = ours.read(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown[..length]);
    assert!(shown.contains("offsite"), "{shown}");
}

/// Both ends of a terminal.
pub(crate) fn terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    (ours.into(), theirs)
}

/// Reads what a process has written, now.
fn read_all(child: &mut Child) -> String {
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_nobody_read_in_time_is_counted_in_the_last_event() {
    let mut world = with_long_names(300);
    world.back_up();
    // Much more than the queue holds: 4 MiB.
    world.set("LOG__LEVEL", "debug");
    let files = 10_000;
    for index in 0..files {
        let name = "m".repeat(240);
        world.write(&format!("{name}-{index:05}"), "");
    }
    settle();
    let (done, is_done) = std::sync::mpsc::channel();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation == Operation::PutObject && key.contains("passes/") {
            let _ = done.send(());
        }
        HookAction::Proceed
    });
    let mut child = world.spawn(["run"]);
    is_done.recv_timeout(Duration::from_secs(120)).unwrap();
    let text = read_all(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let events = events(&text);
    let last = events.last().unwrap();
    assert_eq!(last["event"], "backup_completed");
    let archived = events.iter().filter(|e| e["event"] == "file_archived");
    let dropped = last["events_dropped"].as_u64().unwrap();
    assert!(dropped > 0, "{last}");
    assert_eq!(archived.count() as u64 + dropped, files + 300, "{last}");
    // What says more than that a file was archived has found room.
    for name in ["backup_started", "snapshot_committed"] {
        assert!(events.iter().any(|event| event["event"] == name), "{name}");
    }
    world.unset("OFFSITE_LOG__LEVEL");
    assert_eq!(
        world.back_up().event("backup_completed")["events_dropped"],
        0
    );
}

#[test]
fn a_signal_is_heard_while_nobody_reads_a_report() {
    let world = World::new();
    let name = "n".repeat(200);
    let files = MORE_THAN_A_PIPE / 200;
    for index in 0..files {
        world.write(&format!("{name}-{index:04}"), format!("{index}"));
    }
    settle();
    world.back_up();
    let damaged = world.server.keys(BUCKET);
    for key in damaged.iter().filter(|key| key.contains("/files/")) {
        world.server.remove(BUCKET, key);
    }
    for (signals, most) in [(1, 10), (2, 2)] {
        let mut child = world.spawn(["verify", "--json"]);
        // It looks at each object, and then has more to say than anybody reads.
        assert_eq!(ended_within(&mut child, Duration::from_secs(3)), None);
        terminate(&child);
        if signals == 2 {
            thread::sleep(Duration::from_millis(200));
            terminate(&child);
        }
        let ended = ends_within(&mut child, Duration::from_secs(most));
        // It was done, or was told to end: never that all is well.
        assert!(
            matches!(ended, Some(4 | 143)),
            "{signals} signals: {ended:?}"
        );
    }
}

#[test]
fn a_signal_stops_a_pass_whose_events_nobody_reads_and_a_second_one_ends_it() {
    for signals in [1, 2] {
        let mut world = with_long_names(300);
        // An event about each file, told by whoever sends it.
        world.unset("OFFSITE_ARCHIVE");
        world.server.on_request(move |request| {
            let key = request.key.as_deref().unwrap_or_default();
            let is_segment = key.contains("/manifests/") && key.ends_with(".zst");
            if request.operation == Operation::PutObject && is_segment {
                thread::sleep(Duration::from_secs(60));
            }
            HookAction::Proceed
        });
        let mut child = world.spawn(["run"]);
        // Until nothing goes on any more: the store does not take the manifest.
        let mut sent = 0;
        eventually(Duration::from_secs(20), || {
            thread::sleep(Duration::from_millis(500));
            let before = std::mem::replace(&mut sent, world.server.requests().len());
            (sent == before && sent > 20).then_some(())
        });
        terminate(&child);
        let most = match signals {
            1 => 30,
            _ => {
                thread::sleep(Duration::from_millis(200));
                terminate(&child);
                2
            }
        };
        let ended = ends_within(&mut child, Duration::from_secs(most));
        assert_eq!(ended, Some(143), "{signals} signals");
    }
}

#[test]
fn the_last_event_is_written_at_every_level() {
    let mut world = World::new();
    world.write("a", "a");
    settle();
    for level in ["error", "warn", "WARNING"] {
        world.env("LOG_LEVEL", level);
        let output = world.offsite(["run"]);
        let names: Vec<_> = output.events().iter().map(|e| e["event"].clone()).collect();
        assert_eq!(names, ["backup_completed"], "{level}");
        let text = world.offsite(["run", "--log-format", "text"]).stderr;
        assert!(text.starts_with("backup complete"), "{level}: {text}");
        assert_eq!(text.lines().count(), 1, "{level}: {text}");
    }
    world.env("LOG_LEVEL", "error");
    std::fs::remove_dir_all(world.data()).unwrap();
    let output = world.offsite(["run"]);
    assert_eq!(output.event("backup_failed")["exit_code"], 1);
}

#[test]
fn events_about_single_files_can_be_left_out() {
    let mut world = World::new();
    for index in 0..150 {
        world.write(&format!("{index:03}"), "contents");
    }
    std::os::unix::net::UnixListener::bind(world.data().join("socket")).unwrap();
    settle();
    world.env("LOG_LEVEL", "debug");
    world.set("LOG__FILES", "sampled");
    let output = world.offsite(["run"]);
    let written: Vec<_> = output
        .events()
        .into_iter()
        .filter(|e| e["event"] == "file_uploaded" || e["event"] == "file_skipped")
        .collect();
    // One more for each second that has passed, which may be some on a machine that is busy.
    assert!((100..=140).contains(&written.len()), "{}", written.len());
    let left_out = written
        .iter()
        .filter_map(|event| event["events_left_out"].as_u64());
    assert!(left_out.sum::<u64>() + written.len() as u64 <= 151);

    world.set("LOG__FILES", "none");
    world.set("INCREMENTAL", false);
    let output = world.offsite(["run"]);
    let of_files = |name: &str| name.starts_with("file_");
    let events = output.events();
    assert!(
        !events
            .iter()
            .any(|e| of_files(e["event"].as_str().unwrap())),
        "{output:?}"
    );
    assert_eq!(output.event("backup_completed")["uploaded_files"], 150);
    assert_eq!(output.event("backup_completed")["events_dropped"], 0);

    // What is wrong with one is not about what there is to do with each.
    let key = Fault::on(Operation::PutObject).key_contains("/007");
    world
        .server
        .fault(key.always().status(400, "InvalidRequest"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.events_named("file_upload_failed").len(), 1);
    assert_eq!(output.events_named("file_uploaded").len(), 0);

    world.set("LOG__FILES", "some");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 2);
    assert!(
        output.stderr.contains("one of all, sampled, none"),
        "{output:?}"
    );
}

/// Names that reach for the terminal: an escape, its C1 form, bidirectional overrides and isolates,
/// what is not seen, and lines that are none.
const NAMES: [&str; 9] = [
    "esc\u{1b}[2J",
    "csi\u{9b}31m",
    "del\u{7f}",
    "rtl\u{202e}fdp.exe",
    "isolate\u{2066}x\u{2069}",
    "zero\u{200b}width\u{feff}",
    "line\u{2028}break",
    "tag\u{e0041}",
    "back\u{8}space\nand more",
];

fn is_harmless(text: &str) -> bool {
    let is_harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
    };
    !text.chars().any(is_harmful)
}

#[test]
fn no_name_reaches_a_terminal_as_it_is() {
    let mut world = World::new();
    for name in NAMES {
        world.write(name, name);
        std::os::unix::fs::symlink(name, world.data().join(format!("to {name}"))).unwrap();
    }
    settle();
    let mut outputs: Vec<(String, Output)> = Vec::new();
    let mut note = |world: &World, args: &[&str]| {
        let output = world.offsite(args);
        outputs.push((args.join(" "), output));
    };
    note(&world, &["run", "--log-level", "debug"]);
    note(
        &world,
        &[
            "run",
            "--no-incremental",
            "--log-level",
            "debug",
            "--log-format",
            "text",
        ],
    );
    note(&world, &["list", "latest"]);
    note(&world, &["list", "latest", "--json"]);
    note(&world, &["list", "no\u{202e}such"]);
    note(&world, &["ls", "latest", "no\u{202e}such"]);
    note(&world, &["diff", "latest"]);
    note(&world, &["diff", "latest", "no\u{202e}such"]);
    note(&world, &["find", "*"]);
    note(&world, &["find", "*", "--json"]);
    note(&world, &["find", "no\u{202e}such"]);
    note(&world, &["cat", "latest", "no\u{202e}such"]);
    note(&world, &["frob\u{1b}[31mnicate"]);
    note(&world, &["--dirs", "/no/\u{9b}where\u{202e}", "run"]);
    note(&world, &["plan", "--dirs", "/no/\u{9b}where\u{202e}"]);
    note(&world, &["config", "--dirs", "/no/\u{9b}where\u{202e}"]);
    note(
        &world,
        &["config", "--json", "--dirs", "/no/\u{9b}where\u{202e}"],
    );
    for key in world.server.keys(BUCKET) {
        if key.contains("/files/") {
            world.server.remove(BUCKET, &key);
        }
    }
    note(&world, &["verify"]);
    note(&world, &["verify", "--json"]);
    note(&world, &["restore", "--to", "out"]);
    note(&world, &["restore", "--to", "out2", "--json"]);
    world.env("RUST_LOG", "debug");
    note(&world, &["verify"]);
    for (args, output) in &outputs {
        assert!(is_harmless(&output.stdout), "{args}: {:?}", output.stdout);
        assert!(is_harmless(&output.stderr), "{args}: {:?}", output.stderr);
    }
}

#[test]
fn json_has_every_name_as_it_is_in_escapes() {
    let world = World::new();
    for name in NAMES {
        world.write(name, name);
    }
    settle();
    let paths = |values: &[Value]| -> Vec<String> {
        let paths = values.iter().filter_map(|value| value["path"].as_str());
        let mut paths: Vec<_> = paths
            .filter(|path| *path != ".")
            .map(str::to_owned)
            .collect();
        paths.sort();
        paths
    };
    let mut names: Vec<String> = NAMES.map(str::to_owned).to_vec();
    names.sort();
    let output = world.back_up();
    assert_eq!(paths(&output.events_named("file_uploaded")), names);
    assert!(
        output.stdout.contains("rtl\\u202efdp.exe"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("tag\\udb40\\udc41"),
        "{}",
        output.stdout
    );
    let listed = world.offsite(["list", "latest", "--json"]).stdout;
    let entries: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(paths(&entries), names);
    assert!(listed.contains("csi\\u009b31m"), "{listed}");
}
