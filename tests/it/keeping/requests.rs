//! What a prune asks for.

use local_s3::Operation;
use serde_json::Value;

use super::{condemned, record, record_key, world_of};
use crate::support::{BUCKET, World};

/// So many snapshots more, one a day from then on, each the child of the one before it.
fn multiply(world: &World, count: u32) {
    let first = world.snapshots().pop().unwrap();
    let record = record(world, &first);
    let begin: jiff::Timestamp = "2020-01-01T02:00:00Z".parse().unwrap();
    for day in 0..count {
        let at = begin + jiff::SignedDuration::from_hours(24) * i32::try_from(day).unwrap();
        let id = format!("{}-0000", at.strftime("%Y%m%dT%H%M%SZ"));
        let mut copy = record.clone();
        copy["pass"] = id.clone().into();
        copy["committed_at"] = at.to_string().into();
        copy["parent"] = Value::Null;
        let key = world.full_key(&record_key(&id));
        let bytes = serde_json::to_vec(&copy).unwrap();
        world.server.replace(BUCKET, &key, bytes);
    }
}

#[test]
fn a_prune_of_1_000_snapshots_reads_each_once_and_changes_what_goes() {
    let world = world_of(&["2026-01-01T02:00:00Z"]);
    // There is one already.
    multiply(&world, 999);
    let mut code = 0;
    let requests = world.requests_of(|| {
        code = world.offsite(["prune", "--expect-removed", "998"]).code;
    });
    assert_eq!(code, 0);
    assert_eq!(condemned(&world).len(), 998);
    let count = |operation| {
        requests
            .iter()
            .filter(|one| one.operation == operation)
            .count()
    };
    // Each is read for the plan, and those that go once more, to be replaced as they are.
    let (reads, puts, lists) = (
        count(Operation::GetObject),
        count(Operation::PutObject),
        count(Operation::ListObjectsV2),
    );
    assert!((1998..2010).contains(&reads), "{reads} reads");
    assert!((999..1005).contains(&puts), "{puts} puts");
    assert!(lists <= 5, "{lists} lists");
    assert_eq!(requests.len(), reads + puts + lists);
}
