//! Rules beside restic's: 1,000 random histories, judged by both, under random policies.
//!
//! They keep the same. Where they would not, these histories have no case: while any rule has counts left, restic keeps
//! the oldest snapshot of all, even if it is not the newest of its hour; here only the coarsest rule does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use offsite::format::pass_id::PassId;
use offsite::format::retention::Policy;
use offsite::retention::rules::{self, Candidate};
use serde_json::Value;

use crate::support::long;

const SNAPSHOTS: usize = 120;
const HISTORIES: usize = 1000;

fn restic(repository: &Path, args: &[String]) -> Vec<u8> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/restic");
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .env("RESTIC_REPOSITORY", repository)
        .env("RESTIC_PASSWORD", "x")
        .env("TZ", "UTC")
        .env("HOME", repository)
        .output()
        .expect("`make test-long` builds restic");
    assert!(output.status.success(), "{args:?}: {output:?}");
    output.stdout
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Times over some years that are over, many of them close together.
fn times(random: &mut fastrand::Rng) -> BTreeSet<Timestamp> {
    let begin: Timestamp = "2020-11-20T00:00:00Z".parse().unwrap();
    let mut times = BTreeSet::new();
    let mut last = begin;
    while times.len() < SNAPSHOTS {
        let (from, span) = match random.u8(..4) {
            0 => (begin, 4 * 365 * 86_400),
            1 => (last, 3600),
            2 => (last, 86_400),
            _ => (begin, 400 * 86_400),
        };
        last = from + SignedDuration::from_secs(random.i64(1..span));
        times.insert(last);
    }
    times
}

fn policy(random: &mut fastrand::Rng) -> Policy {
    let mut some = |most: u64| match random.bool() {
        true => 0,
        false => random.u64(1..=most),
    };
    let policy = Policy {
        keep_last: some(5),
        keep_within_seconds: some(40) * 86_400,
        hourly: some(30),
        daily: some(20),
        weekly: some(12),
        monthly: some(12),
        yearly: some(3),
        ..Policy::none()
    };
    match policy.is_empty() {
        true => Policy {
            keep_last: 1,
            ..policy
        },
        false => policy,
    }
}

fn flags(policy: &Policy) -> Vec<String> {
    let counts = [
        ("last", policy.keep_last),
        ("hourly", policy.hourly),
        ("daily", policy.daily),
        ("weekly", policy.weekly),
        ("monthly", policy.monthly),
        ("yearly", policy.yearly),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let mut flags: Vec<_> = counts
        .map(|(name, count)| format!("--keep-{name}={count}"))
        .collect();
    if policy.keep_within_seconds > 0 {
        flags.push(format!(
            "--keep-within={}d",
            policy.keep_within_seconds / 86_400
        ));
    }
    flags
}

#[test]
fn the_rules_keep_what_restic_keeps() {
    if !long() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "contents").unwrap();
    restic(&repository, &words("init"));
    let mut random = fastrand::Rng::with_seed(7);
    let times = times(&mut random);
    let mut histories = vec![Vec::new(); HISTORIES];
    for at in &times {
        let mut args = words("backup --quiet --no-scan --host host");
        args.push(format!("--time={}", at.strftime("%Y-%m-%d %H:%M:%S")));
        let share = random.u8(..60);
        for (number, history) in histories.iter_mut().enumerate() {
            if random.u8(..100) < share {
                history.push(*at);
                args.push(format!("--tag=h{number}"));
            }
        }
        args.push(file.display().to_string());
        restic(&repository, &args);
    }
    let policies: Vec<_> = histories.iter().map(|_| policy(&mut random)).collect();
    let tried: Vec<_> = histories.iter().zip(&policies).enumerate().collect();
    let next = Mutex::new(tried.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((number, (history, policy))) = next.lock().unwrap().next() else {
                        return;
                    };
                    if !history.is_empty() {
                        compare(&repository, *number, history, policy);
                    }
                }
            });
        }
    });
}

fn compare(repository: &Path, number: usize, history: &[Timestamp], policy: &Policy) {
    let mut args = words("forget --dry-run --json --no-lock --group-by=");
    args.push(format!("--tag=h{number}"));
    args.extend(flags(policy));
    let output = restic(repository, &args);
    let groups: Value = serde_json::from_slice(&output).unwrap();
    let kept = groups[0]["keep"].as_array().unwrap().iter();
    let theirs: BTreeSet<Timestamp> = kept
        .map(|one| one["time"].as_str().unwrap().parse().unwrap())
        .collect();
    let candidate = |at: &Timestamp| Candidate {
        pass: PassId::new(*at, None, 0),
        at: *at,
        is_complete: true,
    };
    let candidates: Vec<_> = history.iter().map(candidate).collect();
    let verdicts = rules::apply(policy, &TimeZone::UTC, &candidates);
    let kept = verdicts
        .iter()
        .filter(|verdict| !verdict.kept_by.is_empty());
    let ours: BTreeSet<_> = kept.map(|verdict| verdict.candidate.at).collect();
    assert_eq!(ours, theirs, "{policy}");
}
