//! Many who want the same store at once.

use std::process::Stdio;

use super::{NFS, NOTHING, Refused, command_where, world};
use crate::support::finish;
use crate::support::tree::settle;

/// Twelve passes begin at once: each that gets the lock is followed by another one, all others are told that it
/// is held, and every commit has the one before it as its parent.
fn race(refused: Refused) {
    let world = world();
    world.write("a", "a");
    settle();
    let mut committed = 0;
    for _ in 0..5 {
        let passes: Vec<_> = (0..12)
            .map(|_| {
                let mut command = command_where(&world, refused, &["run"]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let before = committed;
        for pass in passes {
            let output = finish(pass.wait_with_output().unwrap());
            match output.code {
                0 => committed += 1,
                11 => {}
                _ => panic!("{output:?}"),
            }
        }
        assert!(committed > before);
    }
    let list = world.offsite(["list", "--json"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(list.len(), committed);
    let mut generations = Vec::new();
    let records = super::files(&world);
    for key in records.iter().filter(|key| key.starts_with("snapshots/")) {
        let record = std::fs::read(super::store(&world).join(key)).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        generations.push((
            record["generation"].as_u64().unwrap(),
            record["pass"].as_str().unwrap().to_owned(),
            record["parent"].as_str().map(str::to_owned),
        ));
    }
    generations.sort();
    for pair in generations.windows(2) {
        assert!(pair[0].0 < pair[1].0, "{pair:?}");
        assert_eq!(pair[1].2.as_ref(), Some(&pair[0].1), "{pair:?}");
    }
}

#[test]
fn of_twelve_passes_at_once_one_has_the_lock() {
    race(NOTHING);
}

#[test]
fn of_twelve_passes_at_once_on_a_file_server_one_has_the_lock() {
    race(NFS);
}
