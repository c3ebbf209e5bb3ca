//! Sessions: each directory is archived once, as a whole, into an object of its own.

mod notes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use local_s3::{Fault, HookAction, Operation};
use rustix::process::Signal;
use serde_json::Value;

use crate::kill::{Moment, at_every_request, pass_with_signal};
use crate::sources::{set_mode, swap, without_privileges, write_twins};
use crate::support::tree::{self, assert_same, read, settle};
use crate::support::{BUCKET, Output, SOURCE, World, is_object_record, noise};

/// A world whose source has sessions, with settings of its own.
fn world_with(settings: &str) -> World {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  \
         - name: {SOURCE}\n    sessions: {}\n{settings}",
        world.data().display()
    ));
    world
}

/// A world with three sessions.
fn world() -> World {
    let world = world_with("");
    fill(&world, "M31_2020-01-02", 1);
    fill(&world, "M31_2021-03-04", 2);
    fill(&world, "NGC_7000_20210506", 3);
    settle();
    world
}

fn fill(world: &World, session: &str, seed: u64) {
    world.write(&format!("{session}/light/1.fits"), noise(seed, 700_000));
    world.write(&format!("{session}/light/2.fits"), noise(seed + 100, 3000));
    world.write(
        &format!("{session}/notes.md"),
        format!("notes of {session}"),
    );
}

/// The sessions that a pass has archived, with their keys.
fn archived(output: &Output) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let events = output.events_named("backup_archive_uploaded");
    let events = events.iter();
    events
        .map(|event| (text(&event["session"]), text(&event["key"])))
        .collect()
}

fn names(output: &Output) -> Vec<String> {
    archived(output).into_keys().collect()
}

fn run(world: &World, args: &[&str]) -> Output {
    let output = world.offsite([&["run"], args].concat());
    assert_eq!(output.code, 0, "{output:?}");
    output
}

/// What `sessions --json` says, by session.
fn listed(world: &World, args: &[&str]) -> BTreeMap<String, Value> {
    let output = world.offsite([&["sessions", "--json"], args].concat());
    assert_eq!(output.code, 0, "{output:?}");
    let rows: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    let name = |row: &Value| row["session"].as_str().unwrap().to_owned();
    rows.into_iter().map(|row| (name(&row), row)).collect()
}

fn states(world: &World) -> Vec<String> {
    let rows = listed(world, &[]);
    let state = |row: &Value| row["state"].as_str().unwrap().to_owned();
    rows.values().map(state).collect()
}

fn extracted(world: &World, key: &str) -> tree::Tree {
    let target = world.path("extracted");
    let _ = std::fs::remove_dir_all(&target);
    std::fs::create_dir(&target).unwrap();
    let file = world.path("archive.tar");
    let object = world.server.object(BUCKET, &world.full_key(key)).unwrap();
    std::fs::write(&file, &object.bytes).unwrap();
    let tar = std::process::Command::new("tar")
        .args(["--numeric-owner", "-xpf"])
        .arg(&file)
        .arg("-C")
        .arg(&target)
        .output()
        .unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let list = std::process::Command::new("tar")
        .arg("-tf")
        .arg(&file)
        .output();
    let list = String::from_utf8(list.unwrap().stdout).unwrap();
    assert!(
        !list.starts_with("./"),
        "the root is no part of a session: {list}"
    );
    let mut tree = read(&target);
    tree.remove(Path::new(""));
    tree
}

fn tree_of(world: &World, session: &str) -> tree::Tree {
    let mut tree = read(&world.data());
    tree.retain(|path, _| path.starts_with(session));
    tree
}

#[test]
fn each_session_becomes_a_plain_tar_of_its_year() {
    let world = world();
    assert_eq!(states(&world), ["new", "new", "new"]);
    let output = world.back_up();
    let archived = archived(&output);
    let expected = [
        ("M31_2020-01-02", "raw/2020/M31_2020-01-02.tar"),
        ("M31_2021-03-04", "raw/2021/M31_2021-03-04.tar"),
        ("NGC_7000_20210506", "raw/2021/NGC_7000_20210506.tar"),
    ];
    let expected = expected.map(|(name, key)| (name.to_owned(), key.to_owned()));
    assert_eq!(archived, BTreeMap::from(expected));
    for (session, key) in &archived {
        assert_same(&tree_of(&world, session), &extracted(&world, key));
    }
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
    let rows = listed(&world, &[]);
    let row = &rows["M31_2020-01-02"];
    assert_eq!(row["state"], "archived");
    assert_eq!(row["key"], "raw/2020/M31_2020-01-02.tar");
    assert_eq!(row["files"], 3);
    assert_eq!(row["year"], "2020");
    assert!(row["archived_at"].is_string());
    for args in [&["verify"][..], &["verify", "--read"]] {
        let verified = world.offsite(args);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

#[test]
fn what_is_archived_and_unchanged_costs_no_upload() {
    let world = world();
    world.back_up();
    let before = world.keys();
    let requests = world.requests_of(|| {
        let output = world.back_up();
        assert_eq!(names(&output), [""; 0]);
        assert_eq!(output.event("snapshot_committed")["files"], 9);
    });
    // The segment is read by the survey and by the merge.
    assert!(requests.len() <= 10, "{requests:#?}");
    let data = |keys: &[String]| {
        let data = |key: &&String| key.starts_with("raw/") || key.starts_with("sessions/");
        keys.iter().filter(data).cloned().collect::<Vec<_>>()
    };
    assert_eq!(data(&world.keys()), data(&before));
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn a_changed_session_is_archived_whole_beside_the_old_one() {
    let world = world();
    world.back_up();
    let first = read(&world.data());
    world.write("M31_2021-03-04/light/3.fits", "one more");
    std::fs::remove_file(world.data().join("M31_2021-03-04/light/2.fits")).unwrap();
    settle();
    assert_eq!(states(&world), ["archived", "changed", "archived"]);
    let archived = archived(&world.back_up());
    let (session, key) = archived.first_key_value().unwrap();
    assert_eq!((archived.len(), session.as_str()), (1, "M31_2021-03-04"));
    let pass = world.snapshots().pop().unwrap();
    assert_eq!(*key, format!("raw/2021/M31_2021-03-04_{pass}.tar"));
    assert_same(&tree_of(&world, session), &extracted(&world, key));
    let snapshots = world.snapshots();
    assert_same(&first, &read(&world.restored(&snapshots[0])));
    assert_same(&read(&world.data()), &read(&world.restored(&snapshots[1])));
    assert_eq!(listed(&world, &[])[session]["key"], key.as_str());
}

#[test]
fn a_file_edited_in_place_changes_its_session_and_a_touch_does_not() {
    let world = world();
    world.back_up();
    let touched = world.data().join("M31_2020-01-02/light/1.fits");
    tree::set_mtime(&touched, 1_600_000_000, 7);
    world.write("M31_2021-03-04/light/1.fits", noise(99, 700_000));
    settle();
    assert_eq!(states(&world), ["touched", "touched", "archived"]);
    let output = world.back_up();
    assert_eq!(names(&output), ["M31_2021-03-04"]);
    let key = &archived(&output)["M31_2021-03-04"];
    let whole = tree_of(&world, "M31_2021-03-04");
    assert_same(&whole, &extracted(&world, key));
    assert_eq!(states(&world), ["archived", "archived", "archived"]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn directories_with_other_times_are_recorded_and_not_archived() {
    let world = world();
    world.back_up();
    for directory in ["M31_2020-01-02/light", "NGC_7000_20210506"] {
        tree::set_mtime(&world.data().join(directory), 1_600_000_000, 7);
    }
    let touched = world.data().join("M31_2020-01-02/light/1.fits");
    tree::set_mtime(&touched, 1_600_000_000, 7);
    settle();
    let before = world.keys();
    assert_eq!(names(&world.back_up()), [""; 0]);
    let is_new = |key: &&String| !before.contains(*key) && key.starts_with("raw/");
    assert_eq!(world.keys().iter().find(is_new), None);
    assert_eq!(states(&world), ["archived"; 3]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn a_session_that_is_gone_stays_in_every_snapshot() {
    let world = world();
    let all = read(&world.data());
    world.back_up();
    std::fs::remove_dir_all(world.data().join("M31_2021-03-04")).unwrap();
    fill(&world, "X_2022", 9);
    settle();
    assert_eq!(states(&world), ["archived", "gone", "archived", "new"]);
    assert_eq!(names(&world.back_up()), ["X_2022"]);
    world.back_up();
    let restored = read(&world.restored_latest());
    for (path, facts) in all.iter().filter(|(path, _)| **path != Path::new("")) {
        assert_eq!(restored.get(path), Some(facts), "{path:?}");
    }
    assert!(restored.contains_key(Path::new("X_2022/notes.md")));
    let target = world.path("one");
    let to = target.to_str().unwrap();
    let one = [
        "restore",
        "--to",
        to,
        "--source",
        SOURCE,
        "--session",
        "M31_2021-03-04",
    ];
    let output = world.offsite(one);
    assert_eq!(output.code, 0, "{output:?}");
    let names: BTreeSet<_> = std::fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, BTreeSet::from(["M31_2021-03-04".into()]));
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn a_root_without_sessions_is_a_volume_that_is_not_mounted() {
    let world = world();
    world.back_up();
    for session in ["M31_2020-01-02", "M31_2021-03-04", "NGC_7000_20210506"] {
        std::fs::remove_dir_all(world.data().join(session)).unwrap();
    }
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("not mounted"), "{output:?}");
    assert_eq!(world.snapshots().len(), 1);
}

#[test]
fn flags_say_which_sessions_are_archived() {
    let world = world();
    assert_eq!(names(&run(&world, &["--limit", "1"])), ["M31_2020-01-02"]);
    assert_eq!(states(&world), ["archived", "new", "new"]);
    let rows = listed(&world, &["--not-backed-up"]);
    assert_eq!(rows.len(), 2);
    assert_eq!(names(&run(&world, &["--year", "2020"])), [""; 0]);
    let ngc = &["--year", "2021", "--session", "NGC*"];
    assert_eq!(names(&run(&world, ngc)), ["NGC_7000_20210506"]);
    world.write("M31_2020-01-02/more.fits", "more");
    settle();
    let new = run(&world, &["--not-backed-up"]);
    assert_eq!(names(&new), ["M31_2021-03-04"]);
    assert_eq!(states(&world), ["changed", "archived", "archived"]);
    let other = run(&world, &["--session", "NGC_7000_20210506"]);
    assert_eq!(names(&other), [""; 0]);
    assert_eq!(states(&world), ["changed", "archived", "archived"]);
    let forced = &["--session", "NGC_7000_20210506", "--force"];
    assert_eq!(names(&run(&world, forced)), ["NGC_7000_20210506"]);
    assert_eq!(names(&world.back_up()), ["M31_2020-01-02"]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));

    let unknown = world.offsite(["run", "--session", "NGC_7000_20210507"]);
    assert_eq!(unknown.code, 10, "{unknown:?}");
    let failed = unknown.event("backup_failed");
    let hint = failed["hint"].as_str().unwrap();
    assert!(hint.contains("NGC_7000_20210506"), "{hint}");
    let listed = world.offsite(["sessions", "--session", "nothing-like-it"]);
    assert_eq!(listed.code, 10, "{listed:?}");
    assert!(listed.stderr.contains("hint: "), "{listed:?}");
}

#[test]
fn the_year_is_the_patterns_or_the_newest_files() {
    let world = world_with("    year_pattern: \"*_{year}????\"\n");
    world.write("NGC1999_20240102/a", "a");
    world.write("no-year/a", "a");
    world.write("no-year/b", "b");
    tree::set_mtime(&world.data().join("no-year/a"), 1_500_000_000, 0);
    tree::set_mtime(&world.data().join("no-year/b"), 1_600_000_000, 0);
    settle();
    let archived = archived(&world.back_up());
    let keys: Vec<_> = archived.into_values().collect();
    assert_eq!(
        keys,
        ["raw/2024/NGC1999_20240102.tar", "raw/2020/no-year.tar"]
    );
}

#[test]
fn files_in_the_root_are_no_session() {
    let world = world();
    world.write("loose.fits", "loose");
    world.write("another", "loose");
    settle();
    let output = world.back_up();
    let notice = output.event("notice");
    assert!(
        notice["message"]
            .as_str()
            .unwrap()
            .contains("2 files outside"),
        "{notice}"
    );
    let restored = read(&world.restored_latest());
    assert!(!restored.contains_key(Path::new("loose.fits")));
    assert_eq!(names(&world.back_up()), [""; 0]);
}

#[test]
fn odd_names_and_links_between_sessions_come_back() {
    let world = world_with("");
    world.write("100% \u{1}\u{7}_2020/a", "a");
    world.write("b_2020/x", noise(1, 600_000));
    let data = world.data();
    std::fs::create_dir(data.join("c_2020")).unwrap();
    std::fs::hard_link(data.join("b_2020/x"), data.join("c_2020/x")).unwrap();
    std::fs::hard_link(data.join("b_2020/x"), data.join("b_2020/y")).unwrap();
    std::os::unix::fs::symlink("../b_2020/x", data.join("c_2020/link")).unwrap();
    std::fs::create_dir(data.join("empty_2020")).unwrap();
    settle();
    let archived = archived(&world.back_up());
    assert_eq!(archived.len(), 4, "{archived:?}");
    let keys: Vec<_> = archived.values().cloned().collect();
    assert_eq!(keys[0], "raw/2020/100%25 %01%07_2020.tar");
    assert_eq!(
        extracted(&world, &keys[2])[Path::new("c_2020/x")].size,
        600_000
    );
    assert_same(&read(&data), &read(&world.restored_latest()));
    assert_eq!(names(&world.back_up()), [""; 0]);
}

/// One pass that is killed, and what must hold afterwards. Whether there was a request to kill at.
fn killed_at(index: usize, moment: Moment, is_first: bool) -> bool {
    let world = world();
    if !is_first {
        world.back_up();
        for session in ["M31_2020-01-02", "M31_2021-03-04"] {
            world.write(&format!("{session}/more"), "more");
            let gone = world.data().join(session).join("light/2.fits");
            std::fs::remove_file(gone).unwrap();
        }
        settle();
    }
    let now = read(&world.data());
    let Some(output) = pass_with_signal(&world, index, moment, Signal::KILL) else {
        return false;
    };
    assert_eq!(output.code, -9, "{output:?}");
    let committed = world.snapshots();
    let is_committed = committed.len() > usize::from(!is_first);
    // Those whose archives are recorded as complete.
    let complete: BTreeSet<String> = world
        .keys()
        .iter()
        .filter(|key| is_object_record(key) && !committed.iter().any(|id| key.contains(id)))
        .map(|key| {
            let record = world.server.object(BUCKET, &world.full_key(key)).unwrap();
            let record: Value = serde_json::from_slice(&record.bytes).unwrap();
            record["key"].as_str().unwrap().to_owned()
        })
        .collect();
    let is_note = |key: &String| key.starts_with("sessions/");
    let left: Vec<_> = world.keys().into_iter().filter(is_note).collect();
    if !is_committed {
        let states = states(&world);
        let done = states
            .iter()
            .filter(|state| *state == "uncommitted")
            .count();
        assert_eq!(done, complete.len(), "{states:?}, {complete:?}");
    }
    let mut again = world.offsite(["run"]);
    if again.code == 11 {
        world.expire_leases();
        again = world.back_up();
    }
    assert_eq!(again.code, 0, "{again:?}");
    let pass = world.snapshots().pop().unwrap();
    for key in archived(&again).values() {
        let first = key.replace(&format!("_{pass}"), "");
        assert!(!complete.contains(&first), "{first} is sent again");
        assert!(
            !complete
                .iter()
                .any(|key| key.starts_with(first.trim_end_matches(".tar")))
        );
    }
    assert_same(&now, &read(&world.restored_latest()));
    assert_eq!(states(&world), ["archived"; 3]);
    // A note that the killed pass has put without recording it keeps its key, and is put beside it.
    let (first, beside): (Vec<_>, Vec<_>) = world
        .keys()
        .into_iter()
        .filter(is_note)
        .partition(|key| !key.contains(&pass));
    assert_eq!(first.len(), 3, "{first:?}");
    assert!(is_first || beside.is_empty(), "{beside:?}");
    for key in beside {
        let first = key.replace(&format!("_{pass}"), "");
        assert!(left.contains(&first), "{key} beside nothing");
        let session = first.split('/').next_back().unwrap();
        let session = session.trim_end_matches("_notes.md");
        let is_complete = complete.iter().any(|key| key.contains(session));
        assert!(!is_complete, "{key} is sent again");
    }
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let open = world.server.uploads(BUCKET);
    assert!(open.is_empty(), "uploads left open: {open:?}");
    true
}

#[test]
fn a_first_pass_that_is_killed_loses_only_the_session_it_was_at() {
    for moment in [Moment::Before, Moment::After] {
        let requests = at_every_request(|index| killed_at(index, moment, true));
        assert!(requests > 20, "{requests} requests were tried");
    }
}

#[test]
fn a_later_pass_that_is_killed_loses_only_the_session_it_was_at() {
    for moment in [Moment::Before, Moment::After] {
        let requests = at_every_request(|index| killed_at(index, moment, false));
        assert!(requests > 16, "{requests} requests were tried");
    }
}

#[test]
fn notes_become_objects_of_their_own_and_are_never_written_over() {
    let world = world_with("    storage_class: GLACIER_IR\n    tags: {archive: normal}\n");
    fill(&world, "M31_2020", 1);
    world.write("M31_2020/light/deeper.md", "no note: it lies deeper");
    world.write("M31_2020/seeing.md", "another");
    settle();
    world.back_up();
    let notes = || -> Vec<String> {
        let is_note = |key: &String| key.starts_with("sessions/");
        world.keys().into_iter().filter(is_note).collect()
    };
    let first = "sessions/2020/M31_2020_notes.md";
    assert_eq!(notes(), [first, "sessions/2020/M31_2020_seeing.md"]);
    let stored = |key: &str| world.server.object(BUCKET, &world.full_key(key)).unwrap();
    assert_eq!(&stored(first).bytes[..], b"notes of M31_2020");
    assert_eq!(stored(first).attributes.storage_class, "STANDARD");
    assert!(stored(first).attributes.tags.is_empty());
    let archive = stored("raw/2020/M31_2020.tar");
    assert_eq!(archive.attributes.storage_class, "GLACIER_IR");

    world.write("M31_2020/notes.md", "more notes");
    settle();
    world.back_up();
    let pass = world.snapshots().pop().unwrap();
    let second = format!("sessions/2020/M31_2020_notes_{pass}.md");
    let seeing = "sessions/2020/M31_2020_seeing.md";
    assert_eq!(notes(), [first, second.as_str(), seeing]);
    assert_eq!(&stored(first).bytes[..], b"notes of M31_2020");
    assert_eq!(&stored(&second).bytes[..], b"more notes");
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn notes_may_be_called_otherwise_and_go_elsewhere_or_nowhere() {
    let world = world_with(
        "    notes: [\"log.txt\"]\n    notes_key: \"notes/{session}/{name}\"\n    archive: {key: \"{source}/{session}.{ext}\", compression: zstd}\n",
    );
    fill(&world, "M31_2020", 1);
    world.write("M31_2020/log.txt", "log");
    settle();
    world.back_up();
    let keys = world.keys();
    assert!(
        keys.contains(&"notes/M31_2020/log.txt".to_owned()),
        "{keys:#?}"
    );
    assert!(
        keys.contains(&"data/M31_2020.tar.zst".to_owned()),
        "{keys:#?}"
    );
    assert!(!keys.iter().any(|key| key.starts_with("sessions/")));
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn tags_are_the_sources_and_those_of_every_rule_that_matches() {
    let world = world_with(
        "    tags: {team: stars, archive: normal}\n    tag_rules:\n    \
         - {pattern: \"M*\", tags: {archive: delayed, backup: deep-archive}}\n    \
         - {pattern: \"M31*\", tags: {archive: fast}}\n",
    );
    for session in ["M31_2020", "M33_2020", "NGC_2020"] {
        fill(&world, session, 1);
    }
    // One that goes in parts has its tags too.
    world.write("M31_2020/large", noise(5, 18 << 20));
    settle();
    world.back_up();
    let tags = |session: &str| {
        let key = world.full_key(&format!("raw/2020/{session}.tar"));
        let object = world.server.object(BUCKET, &key).unwrap();
        let tags = object.attributes.tags.iter();
        tags.map(|(key, value)| format!("{key}={value}"))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        tags("M31_2020"),
        "archive=fast backup=deep-archive team=stars"
    );
    assert_eq!(
        tags("M33_2020"),
        "archive=delayed backup=deep-archive team=stars"
    );
    assert_eq!(tags("NGC_2020"), "archive=normal team=stars");
}

#[test]
fn a_plan_has_sizes_by_year_time_requests_and_cost() {
    let world = world();
    run(&world, &["--session", "M31_2021*"]);
    let keys = world.keys();
    let plan = |args: &[&str]| -> Value {
        let output = world.offsite([&["plan", "--json"], args].concat());
        assert_eq!(output.code, 0, "{output:?}");
        serde_json::from_str::<Vec<Value>>(&output.stdout)
            .unwrap()
            .remove(0)
    };
    let planned = plan(&["--rate", "1MB"]);
    let sessions = &planned["sessions"];
    let size = 700_000 + 3000 + "notes of M31_2020-01-02".len() as u64;
    let size_ngc = 700_000 + 3000 + "notes of NGC_7000_20210506".len() as u64;
    assert_eq!(sessions["years"]["2020"]["archive_bytes"], size);
    assert_eq!(sessions["years"]["2021"]["sessions"], 2);
    assert_eq!(sessions["years"]["2021"]["archive_sessions"], 1);
    assert_eq!(sessions["total"]["bytes"], 2 * size + size_ngc);
    assert_eq!(planned["send_bytes"], size + size_ngc);
    assert_eq!(planned["send_files"], 6);
    // 1.4 MB, in whole seconds and not too few.
    assert_eq!(sessions["duration_seconds"], 2);
    let standard = &sessions["costs"]["STANDARD"];
    let usd = standard["archive_usd_per_month"].as_f64().unwrap();
    let expected = (size + size_ngc) as f64 / f64::from(1 << 30) * 0.023;
    assert!((usd - expected).abs() < 1e-12, "{usd} is not {expected}");
    assert_eq!(plan(&[])["sessions"]["duration_seconds"], Value::Null);
    let one = plan(&["--session", "NGC*", "--force"]);
    assert_eq!(
        one["sessions"]["archive"],
        serde_json::json!(["NGC_7000_20210506"])
    );
    // The session, a directory in it, and three files; the other that is new is not asked for.
    assert_eq!(one["new"], 5);
    let text = world.offsite(["plan", "--rate", "1MB"]).stdout;
    for expected in [
        "2020",
        "DEEP_ARCHIVE",
        "about 2.0 s at 976.56 KiB/s",
        "November 2025",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    assert_eq!(world.keys(), keys);

    // What was promised is what it takes.
    let requests = world.requests_of(|| {
        assert_eq!(
            world
                .back_up()
                .events_named("backup_archive_uploaded")
                .len(),
            2
        );
    });
    let pass_itself = 6;
    let promised = planned["requests"].as_u64().unwrap() + pass_itself;
    assert_eq!(requests.len() as u64, promised, "{requests:#?}");
}

#[test]
fn a_plan_without_a_rate_takes_that_of_the_last_passes() {
    let mut world = world();
    world.write("M31_2020-01-02/light/long.fits", noise(9, 20 << 20));
    settle();
    // Fast enough for a test, and slow enough to be measured.
    world.set("LIMITS__BANDWIDTH", "8MiB");
    run(&world, &["--session", "M31_2020*"]);
    let output = world.offsite(["plan", "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let planned: Value = serde_json::from_str(&output.stdout).unwrap();
    let sessions = &planned[0]["sessions"];
    let bytes = sessions["total"]["archive_bytes"].as_f64().unwrap();
    let rate = sessions["rate_bytes_per_second"].as_f64().unwrap();
    assert!((1e6..=9e6).contains(&rate), "{rate}");
    let expected = (bytes / rate).round();
    let seconds = sessions["duration_seconds"].as_f64().unwrap();
    assert!(
        (seconds - expected).abs() <= 1.0,
        "{seconds} is not {expected}"
    );
}

#[test]
fn extended_attributes_of_sessions_come_back_and_a_change_of_them_is_seen() {
    let world = world_with("    xattrs: true\n");
    fill(&world, "M31_2020-01-02", 1);
    let file = world.data().join("M31_2020-01-02/light/1.fits");
    tree::set_xattr(&file, "user.exposure", b"300 s");
    settle();
    world.back_up();
    let first = read(&world.data());
    assert_same(&first, &read(&world.restored_latest()));
    tree::set_xattr(&file, "user.exposure", b"600 s");
    settle();
    world.back_up();
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
    assert_same(&first, &read(&world.restored(&world.snapshots()[0])));
}

#[test]
fn a_table_shows_every_session() {
    let world = world();
    run(&world, &["--year", "2020"]);
    let table = world.offsite(["sessions"]).stdout;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("SOURCE  SESSION"), "{table}");
    assert!(lines[1].contains("archived"), "{table}");
    assert!(lines[1].ends_with("raw/2020/M31_2020-01-02.tar"), "{table}");
    assert!(lines[2].ends_with("new"), "{table}");
    let without = World::new();
    let output = without.offsite(["sessions"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert_eq!(without.offsite(["run", "--session", "x"]).code, 2);
}

#[test]
fn what_is_wrong_with_sessions_is_told() {
    for (settings, complaint) in [
        ("    directory: /data\n", "is given besides `directory`"),
        ("    method: files\n", "must be archive"),
        (
            "    archive: {key: \"raw/{year}.tar\"}\n",
            "has no `{session}`",
        ),
        ("    notes_key: \"{name}\"\n", "has no `{session}`"),
        ("    notes: [\"[z-a]\"]\n", "has a bad pattern"),
        (
            "    year_pattern: \"????\"\n",
            "must be a pattern with one `{year}`",
        ),
        ("    tag_rules: [{tags: {a: b}}]\n", "is needed"),
        (
            "    tag_rules: [{pattern: \"a\", tags: {a: b}, x: y}]\n",
            "is not a setting",
        ),
    ] {
        let world = world_with(settings);
        let output = world.offsite(["config"]);
        assert_eq!(output.code, 2, "{settings}: {output:?}");
        assert!(output.stderr.contains(complaint), "{settings}: {output:?}");
    }
    let world = World::new();
    world.configure(
        "backup:\n  s3: {bucket: backups}\n  sources: [{directory: /data, notes: [a]}]\n",
    );
    let output = world.offsite(["config"]);
    assert!(
        output.stderr.contains("has settings of sessions"),
        "{output:?}"
    );
}

#[test]
fn what_cannot_be_read_is_told_and_archives_nothing_again() {
    let world = world();
    world.back_up();
    let all = read(&world.data());
    let (file, session) = ("M31_2020-01-02/light/1.fits", "NGC_7000_20210506");
    set_mode(&world.data().join(file), 0);
    set_mode(&world.data().join(session), 0);
    settle();
    for round in 0..2 {
        let output = without_privileges(&world);
        assert_eq!(output.code, 3, "round {round}: {output:?}");
        assert_eq!(names(&output), [""; 0], "round {round}");
        let paths: BTreeSet<_> = output
            .events_named("file_unreadable")
            .iter()
            .map(|event| event["path"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(paths, BTreeSet::from([file.to_owned(), session.to_owned()]));
    }
    set_mode(&world.data().join(file), 0o644);
    set_mode(&world.data().join(session), 0o755);
    settle();
    let output = world.back_up();
    assert_eq!(names(&output), [""; 0]);
    assert_eq!(output.event("snapshot_committed")["unreadable"], 0);
    assert_same(&all, &read(&world.restored_latest()));
    assert_eq!(states(&world), ["archived"; 3]);
}

/// What makes a later pass trust an archive must not come before what it would trust.
#[test]
fn an_archive_is_complete_once_its_entries_are_recorded() {
    let world = world();
    let (checkpoints, records) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let early = Arc::new(AtomicBool::new(false));
    let (seen, is_early) = (Arc::clone(&records), Arc::clone(&early));
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation != Operation::PutObject || !key.contains("/manifests/") {
            return HookAction::Proceed;
        }
        if is_object_record(key) {
            let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
            is_early.fetch_or(
                number > checkpoints.load(Ordering::SeqCst),
                Ordering::SeqCst,
            );
        } else {
            // Held up, so that a record that does not wait for it overtakes it.
            std::thread::sleep(std::time::Duration::from_millis(300));
            checkpoints.fetch_add(1, Ordering::SeqCst);
        }
        HookAction::Proceed
    });
    world.back_up();
    world.server.clear_hook();
    assert_eq!(records.load(Ordering::SeqCst), 3);
    assert!(!early.load(Ordering::SeqCst));
}

#[test]
fn what_can_be_read_again_makes_its_session_whole_again() {
    let world = world();
    let (file, other) = ("M31_2020-01-02/light/1.fits", "M31_2020-01-02/light/2.fits");
    world.back_up();
    set_mode(&world.data().join(file), 0);
    world.write(other, "changed");
    settle();
    let partial = without_privileges(&world);
    assert_eq!(partial.code, 3, "{partial:?}");
    assert_eq!(names(&partial), ["M31_2020-01-02"]);
    // Not again and again while it cannot be read.
    let same = without_privileges(&world);
    assert_eq!((same.code, names(&same)), (3, vec![]), "{same:?}");

    set_mode(&world.data().join(file), 0o644);
    settle();
    let whole = world.back_up();
    assert_eq!(names(&whole), ["M31_2020-01-02"]);
    let key = &archived(&whole)["M31_2020-01-02"];
    assert_same(&tree_of(&world, "M31_2020-01-02"), &extracted(&world, key));
    assert_eq!(names(&world.back_up()), [""; 0]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn a_session_that_has_become_empty_stays_as_it_was_archived() {
    let mut world = world();
    world.back_up();
    let all = read(&world.data());
    let session = world.data().join("NGC_7000_20210506");
    std::fs::rename(&session, world.path("elsewhere")).unwrap();
    std::fs::create_dir(&session).unwrap();
    settle();
    let output = world.back_up();
    assert_eq!(names(&output), [""; 0]);
    let notice = output.event("notice");
    assert!(
        notice["message"]
            .as_str()
            .unwrap()
            .contains("is empty and was not"),
        "{notice}"
    );
    assert_eq!(listed(&world, &[])["NGC_7000_20210506"]["state"], "emptied");
    let restored = read(&world.restored_latest());
    let below = |tree: &tree::Tree| -> tree::Tree {
        let mut tree = tree.clone();
        tree.retain(|path, _| path.starts_with("NGC_7000_20210506"));
        tree
    };
    assert_same(&below(&all), &below(&restored));

    world.set("DEFAULTS__ALLOW_EMPTY", true);
    let output = world.back_up();
    assert_eq!(names(&output), ["NGC_7000_20210506"]);
    assert_eq!(output.events_named("notice").len(), 0);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn what_is_asked_for_by_session_and_by_path_is_both() {
    let world = world();
    world.back_up();
    let restore = |args: &[&str]| {
        let to = ["restore", "--to", "out", "--source", SOURCE, "--overwrite"];
        world.offsite([&to[..], args].concat())
    };
    let session = ["--session", "NGC_7000_20210506"];
    let output = restore(&[&session[..], &["--path", "*.md"]].concat());
    assert_eq!(output.code, 0, "{output:?}");
    let restored = read(&world.path("out"));
    let files: Vec<_> = restored
        .keys()
        .filter(|path| world.path("out").join(path).is_file())
        .map(|path| path.display().to_string())
        .collect();
    assert!(!files.is_empty());
    for file in &files {
        assert!(
            file.starts_with("NGC_7000_20210506/") && file.ends_with(".md"),
            "{file}"
        );
    }
    let output = restore(&["--session", "nobody"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(
        output.stderr.contains("`offsite sessions` lists"),
        "{output:?}"
    );
}

#[test]
fn a_year_without_sessions_is_an_error() {
    let world = world();
    let output = world.offsite(["run", "--year", "1999"]);
    assert_eq!(output.code, 10, "{output:?}");
    let failed = output.event("source_failed");
    assert!(
        failed["hint"].as_str().unwrap().contains("2020"),
        "{failed}"
    );
    assert!(world.snapshots().is_empty());
}

#[test]
fn an_archive_that_no_snapshot_will_have_is_named() {
    let world = world();
    let (arrived, has_arrived) = std::sync::mpsc::channel();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation.name().contains("Put") && key.contains("raw/2021") {
            let _ = arrived.send(());
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        HookAction::Proceed
    });
    let mut child = world.spawn(["run"]);
    has_arrived
        .recv_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    // What is known to be in the store is recorded meanwhile.
    std::thread::sleep(std::time::Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    world.server.clear_hook();
    world.expire_leases();
    let session = world.data().join("M31_2020-01-02");
    std::fs::rename(&session, world.path("elsewhere")).unwrap();
    let output = world.back_up();
    let notice = output.event("notice");
    let message = notice["message"].as_str().unwrap();
    assert!(
        message.contains("`raw/2020/M31_2020-01-02.tar`") && message.contains("no snapshot"),
        "{message}"
    );
    assert_eq!(names(&output).len(), 2);
    assert_eq!(world.back_up().events_named("notice").len(), 0);
}

#[test]
fn a_damaged_segment_costs_no_session() {
    let world = world();
    world.back_up();
    let all = read(&world.data());
    std::fs::remove_dir_all(world.data().join("M31_2020-01-02")).unwrap();
    settle();
    // On the way, the first time it is fetched by the pass itself: it is fetched again.
    let segment = Fault::on(Operation::GetObject).key_contains(".ndjson.zst");
    let fault = world.server.fault(segment.skip(1).corrupt_download());
    world.back_up();
    assert_eq!(fault.fired(), 1);
    assert_eq!(states(&world), ["gone", "archived", "archived"]);

    // For good: there is no snapshot without the sessions that it lists.
    let last = world.snapshots().pop().unwrap();
    let folder = format!("manifests/{SOURCE}/{last}/000-00000.");
    let key = world.full_key(&world.segment_key(&folder));
    let sound = world.server.object(BUCKET, &key).unwrap().bytes;
    world.server.corrupt(BUCKET, &key, 30);
    world.write("NGC_7000_20210506/new", "new");
    for args in [&[][..], &["--session", "NGC_7000_20210506"]] {
        let failed = world.offsite([&["run"], args].concat());
        assert_eq!(failed.code, 4, "{failed:?}");
        let error = failed.event("backup_failed")["error"].to_string();
        assert!(error.contains("manifests/"), "{error}");
        assert_eq!(world.snapshots().pop().unwrap(), last);
    }
    for command in ["sessions", "plan"] {
        assert_eq!(world.offsite([command]).code, 4);
    }

    // What is on the disk can be archived anew, and what was damaged may be put back.
    let forced = run(&world, &["--force"]);
    assert_eq!(names(&forced), ["M31_2021-03-04", "NGC_7000_20210506"]);
    world.server.replace(BUCKET, &key, sound);
    let mut restored = read(&world.restored(&last));
    // The directory that a session was taken out of.
    restored.insert("".into(), all[Path::new("")].clone());
    assert_same(&all, &restored);
}

#[test]
fn what_was_never_read_is_missing_in_every_snapshot_that_has_its_session() {
    let world = world();
    let never = world.data().join("M31_2020-01-02/light/1.fits");
    set_mode(&never, 0);
    settle();
    assert_eq!(without_privileges(&world).code, 3);
    // Another session has everything, and the snapshot has not.
    world.write("NGC_7000_20210506/new", "new");
    settle();
    let capabilities = ["dac_override", "dac_read_search"];
    let other = ["run", "--session", "NGC_7000_20210506"];
    let other = world.offsite_without(&capabilities, other);
    assert_eq!(other.code, 3, "{other:?}");
    assert_eq!(other.event("snapshot_committed")["complete"], false);
    // Nobody can mend a session that is gone, so no pass fails for it.
    std::fs::remove_dir_all(world.data().join("M31_2020-01-02")).unwrap();
    let gone = without_privileges(&world);
    assert_eq!(gone.code, 0, "{gone:?}");
    let committed = gone.event("snapshot_committed");
    assert_eq!(committed["complete"], false);
    assert_eq!(committed["unreadable"], 1);
    assert!(world.offsite(["list"]).stdout.contains("incomplete"));
    assert_eq!(listed(&world, &[])["M31_2020-01-02"]["unreadable"], 1);
}

#[test]
fn a_directory_that_was_never_listed_is_missing_in_every_snapshot_that_has_its_session() {
    for mode in [0, 0o400] {
        let world = world();
        world.write("M31_2020-01-02/private/in-it", "never seen");
        set_mode(&world.data().join("M31_2020-01-02/private"), mode);
        settle();
        for args in [&["run"][..], &["run", "--session", "NGC_7000_20210506"]] {
            let output = world.offsite_without(&["dac_override", "dac_read_search"], args);
            assert_eq!(output.code, 3, "{output:?}");
            assert_eq!(output.event("snapshot_committed")["complete"], false);
        }
        let listed = world
            .offsite(["list", "latest", "--path", "**/private"])
            .stdout;
        assert!(listed.contains("[unreadable since"), "{listed}");
        set_mode(&world.data().join("M31_2020-01-02/private"), 0o755);
        settle();
        let whole = world.back_up();
        assert_eq!(names(&whole), ["M31_2020-01-02"]);
        assert_eq!(whole.event("snapshot_committed")["complete"], true);
        assert_same(&read(&world.data()), &read(&world.restored_latest()));
    }
}

#[test]
fn a_file_that_has_changed_and_cannot_be_read_archives_nothing_again() {
    let world = world();
    world.back_up();
    let file = world.data().join("M31_2020-01-02/light/2.fits");
    std::fs::write(&file, "of another size").unwrap();
    set_mode(&file, 0);
    settle();
    let first = without_privileges(&world);
    assert_eq!((first.code, names(&first).len()), (3, 1), "{first:?}");
    for _ in 0..2 {
        let again = without_privileges(&world);
        assert_eq!((again.code, names(&again).len()), (3, 0), "{again:?}");
    }
    set_mode(&file, 0o644);
    settle();
    assert_eq!(names(&world.back_up()), ["M31_2020-01-02"]);
    assert_eq!(names(&world.back_up()), [""; 0]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn what_could_have_changed_unseen_is_still_looked_at_after_other_sessions_were_archived() {
    let world = world();
    let file = world.data().join("M31_2020-01-02/notes.md");
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    tree::set_mtime(&file, i64::try_from(now).unwrap() + 3600, 5);
    world.back_up();
    assert_eq!(states(&world), ["touched", "archived", "archived"]);
    world.write("NGC_7000_20210506/new", "new");
    settle();
    let other = ["--session", "NGC_7000_20210506"];
    run(&world, &other);
    assert_eq!(states(&world), ["touched", "archived", "archived"]);
    // It is marked once.
    world.write("NGC_7000_20210506/new", "newer");
    settle();
    run(&world, &other);
    assert_eq!(states(&world), ["touched", "archived", "archived"]);
}

#[test]
fn the_directory_of_the_sessions_is_in_no_archive() {
    let world = world_with("    xattrs: true\n");
    tree::set_xattr(&world.data(), "user.owner", b"observatory");
    for session in ["M31_2020-01-02", "NGC_7000_20210506"] {
        fill(&world, session, 1);
        settle();
        let output = world.back_up();
        assert_eq!(names(&output), [session]);
        let key = world.full_key(&archived(&output)[session]);
        let archive = world.server.object(BUCKET, &key).unwrap().bytes;
        let mut archive = tar::Archive::new(&archive[..]);
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap();
            assert!(path.starts_with(session), "{}", path.display());
        }
    }
    std::fs::remove_dir_all(world.data().join("M31_2020-01-02")).unwrap();
    settle();
    assert_eq!(names(&world.back_up()), [""; 0]);
    let root = world.restored_latest();
    assert_eq!(
        read(&root)[Path::new("")].xattrs,
        read(&world.data())[Path::new("")].xattrs
    );
}

#[test]
fn a_session_that_takes_the_place_of_another_is_archived_again() {
    let world = world();
    let (one, other) = ("NGC_1_20210101", "NGC_2_20210101");
    let notes = [one, other].map(|session| format!("{session}/in/notes"));
    write_twins(&world, notes.each_ref().map(String::as_str));
    settle();
    world.back_up();
    swap(&world, one, other);
    assert_eq!(names(&world.back_up()), [one, other]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
    // One that was only put aside and back meanwhile has nothing new.
    std::fs::rename(world.data().join(one), world.path("aside")).unwrap();
    std::fs::create_dir(world.data().join(one)).unwrap();
    std::fs::rename(world.path("aside/in"), world.data().join(one).join("in")).unwrap();
    settle();
    assert_eq!(names(&world.back_up()), [""; 0]);
    assert_eq!(states(&world), ["archived"; 5]);
}

/// Contents of the objects below a folder, sorted.
fn contents_below(world: &World, folder: &str) -> Vec<String> {
    let keys = world.keys().into_iter();
    let keys = keys.filter(|key| key.starts_with(folder));
    let read = |key: String| {
        let object = world.server.object(BUCKET, &world.full_key(&key)).unwrap();
        String::from_utf8(object.bytes.to_vec()).unwrap()
    };
    let mut contents: Vec<_> = keys.map(read).collect();
    contents.sort();
    contents
}

#[test]
fn notes_that_want_one_key_each_get_their_own() {
    let world = world_with("");
    // All three are `sessions/2020/2020_a_b_c.md`.
    let notes = [
        ("2020", "a_b_c.md"),
        ("2020_a", "b_c.md"),
        ("2020_a_b", "c.md"),
    ];
    let mut expected = Vec::new();
    for round in ["first", "second"] {
        for (session, note) in notes {
            let text = format!("{round} note of {session}");
            world.write(&format!("{session}/{note}"), &text);
            expected.push(text);
        }
        settle();
        world.back_up();
        expected.sort();
        assert_eq!(contents_below(&world, "sessions/"), expected);
        assert_same(&read(&world.data()), &read(&world.restored_latest()));
    }
    let pass = world.snapshots().pop().unwrap();
    let keys = world.keys();
    for number in ["", "-2", "-3"] {
        let key = format!("sessions/2020/2020_a_b_c_{pass}{number}.md");
        assert!(keys.contains(&key), "{key} in {keys:#?}");
    }
}

#[test]
fn archives_of_several_sources_that_want_one_key_each_get_their_own() {
    for (kind, archive) in [
        ("sessions", ""),
        (
            "directory",
            ", method: archive, archive: {key: 'all/latest.{ext}'}",
        ),
    ] {
        let world = World::new();
        let mut sources = String::new();
        for source in ["one", "two", "three"] {
            let directory = world.path(source);
            std::fs::create_dir_all(directory.join("M31_2020")).unwrap();
            std::fs::write(directory.join("M31_2020/file"), source).unwrap();
            sources += &format!(
                "    - {{name: {source}, {kind}: {}{archive}}}\n",
                directory.display()
            );
        }
        world.configure(&format!(
            "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n{sources}"
        ));
        settle();
        let output = world.back_up();
        let events = output.events_named("backup_archive_uploaded");
        let keys: BTreeSet<_> = events
            .iter()
            .map(|event| event["key"].to_string())
            .collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
        for source in ["one", "two", "three"] {
            let to = world.path(&format!("restored-{source}"));
            let restore = ["restore", "--source", source, "--to", to.to_str().unwrap()];
            assert_eq!(world.offsite(restore).code, 0);
            assert_same(&read(&world.path(source)), &read(&to));
        }
        assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    }
}
