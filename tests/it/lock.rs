//! One pass at a time, whatever happens to the others.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use local_s3::{HookAction, LocalS3, Operation};
use serde_json::Value;

use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, World, finish, noise};

fn world() -> World {
    let world = World::new();
    for index in 0..5 {
        world.write(&format!("{index}"), format!("{index}"));
    }
    settle();
    world
}

fn lock(world: &World) -> Value {
    let object = world
        .server
        .object(BUCKET, &world.full_key("lock"))
        .unwrap();
    serde_json::from_slice(&object.bytes).unwrap()
}

/// Makes the first request that `matches` wait until the returned sender is told to go on, and
/// says when it has come.
fn hold(
    world: &World,
    matches: impl Fn(&local_s3::RequestInfo) -> bool + Send + Sync + 'static,
) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, has_arrived) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let count = AtomicUsize::new(0);
    world.server.on_request(move |request| {
        if matches(request) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            arrived.send(()).unwrap();
            let _ = may_go_on
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(60));
        }
        HookAction::Proceed
    });
    (has_arrived, go_on)
}

fn is_content(request: &local_s3::RequestInfo) -> bool {
    let key = request.key.as_deref().unwrap_or_default();
    request.operation == Operation::PutObject && key.contains("/files/")
}

#[test]
fn of_processes_that_race_one_gets_the_lock() {
    for _ in 0..5 {
        let world = world();
        let children: Vec<_> = (0..4).map(|_| world.spawn(["run"])).collect();
        let outputs: Vec<_> = children
            .into_iter()
            .map(|c| finish(c.wait_with_output().unwrap()))
            .collect();
        let won: Vec<_> = outputs.iter().filter(|output| output.code == 0).collect();
        // A loser may also come when the winner is done, and win the next generation.
        assert!(!won.is_empty(), "{outputs:?}");
        assert!(
            outputs.iter().all(|output| [0, 11].contains(&output.code)),
            "{outputs:?}"
        );
        let mut generations: Vec<_> = won
            .iter()
            .map(|o| o.event("lock_acquired")["generation"].as_u64().unwrap())
            .collect();
        generations.sort_unstable();
        assert_eq!(generations, (1..=won.len() as u64).collect::<Vec<_>>());
        assert_eq!(world.snapshots().len(), won.len());
        assert_same(
            &tree::read(&world.data()),
            &tree::read(&world.restored_latest()),
        );
    }
}

#[test]
fn a_lock_that_is_held_is_told_with_its_holder() {
    let world = world();
    let (arrived, go_on) = hold(&world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();

    let second = world.offsite(["run"]);
    assert_eq!(second.code, 11, "{second:?}");
    let held = second.event("lock_held");
    let pid = first.id().to_string();
    assert!(held["holder"].as_str().unwrap().contains(&pid), "{held}");
    assert!(
        held["until"].as_str().unwrap() > held["since"].as_str().unwrap(),
        "{held}"
    );
    assert_eq!(second.event("backup_failed")["exit_code"], 11);

    let shown = world.offsite(["unlock"]);
    assert_eq!(shown.code, 11);
    assert!(shown.stdout.contains(&pid), "{shown:?}");
    let json = world.offsite(["unlock", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["holder"]["pid"].to_string(), pid);
    let status = world.offsite(["status"]);
    assert_eq!(status.code, 10, "{status:?}");
    assert!(status.stdout.contains("no pass has ended yet"));
    assert!(status.stdout.contains("running now: pass"), "{status:?}");
    assert!(status.stdout.contains(&pid), "{status:?}");

    go_on.send(()).unwrap();
    let first = finish(first.wait_with_output().unwrap());
    assert_eq!(first.code, 0, "{first:?}");
    let shown = world.offsite(["unlock"]);
    assert_eq!(
        (shown.code, lock(&world)["state"].as_str()),
        (0, Some("released"))
    );
}

#[test]
fn a_pass_can_wait_for_the_lock() {
    let world = world();
    let (arrived, go_on) = hold(&world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    let second = world.spawn(["run", "--wait-for-lock", "1m"]);
    std::thread::sleep(Duration::from_millis(500));
    go_on.send(()).unwrap();
    let first = finish(first.wait_with_output().unwrap());
    let second = finish(second.wait_with_output().unwrap());
    assert_eq!((first.code, second.code), (0, 0), "{second:?}");
    assert_eq!(second.event("lock_held")["waiting_seconds"], 60);
    assert_eq!(second.event("lock_acquired")["generation"], 2);
}

#[test]
fn a_wait_ends_in_time() {
    let world = world();
    let (arrived, go_on) = hold(&world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    let started = Instant::now();
    let second = world.offsite(["run", "--wait-for-lock", "2s"]);
    assert_eq!(second.code, 11, "{second:?}");
    assert!(started.elapsed() >= Duration::from_secs(2));
    go_on.send(()).unwrap();
    assert_eq!(finish(first.wait_with_output().unwrap()).code, 0);
}

#[test]
fn a_lease_that_has_expired_is_taken_over_by_the_stores_clock() {
    let world = world();
    let (arrived, _never) = hold(&world, is_content);
    let mut first = world.spawn(["run"]);
    arrived.recv().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    world.server.clear_hook();

    world.server.clock().advance(Duration::from_secs(118));
    assert_eq!(world.offsite(["run"]).code, 11, "two seconds too early");
    world.server.clock().advance(Duration::from_secs(5));
    let status = world.offsite(["status"]);
    assert_eq!(status.code, 10, "{status:?}");
    assert!(status.stdout.contains("cut off: pass"), "{status:?}");
    let second = world.offsite(["run"]);
    assert_eq!(second.code, 0, "{second:?}");
    let acquired = second.event("lock_acquired");
    assert_eq!(acquired["generation"], 2);
    assert!(
        acquired["taken_from"].as_str().unwrap().contains("process"),
        "{acquired}"
    );
    let status = world.offsite(["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(!status.stdout.contains("cut off"), "{status:?}");
}

/// A container's credentials agent whose clock is `ahead` of the store's; returns its address.
fn credentials_agent(world: &World, ahead: jiff::SignedDuration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/credentials", listener.local_addr().unwrap());
    let credentials = world.server.credentials();
    let body = serde_json::json!({
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret_key,
        "Token": "token",
        "Expiration": "2099-01-01T00:00:00Z",
    })
    .to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = BufReader::new(&connection).lines();
            while head.next().unwrap().unwrap() != "" {}
            let date = (jiff::Timestamp::now() + ahead).strftime("%a, %d %b %Y %H:%M:%S GMT");
            let length = body.len();
            write!(
                connection,
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    address
}

#[test]
fn only_the_store_tells_the_stores_time() {
    let mut world = world();
    let (arrived, go_on) = hold(&world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();

    let agent = credentials_agent(&world, jiff::SignedDuration::from_mins(10));
    world.env("AWS_ACCESS_KEY_ID", "");
    world.env("AWS_SECRET_ACCESS_KEY", "");
    world.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent);
    let second = world.offsite(["run"]);
    assert_eq!(second.code, 11, "{second:?}");
    go_on.send(()).unwrap();
    assert_eq!(finish(first.wait_with_output().unwrap()).code, 0);

    // Nor do others' requests count as requests to the store.
    world.server.clear_hook();
    let mut told = 0;
    let sent = world.requests_of(|| {
        told = world.back_up().event("backup_completed")["requests"]
            .as_u64()
            .unwrap();
    });
    assert_eq!(told, sent.len() as u64);
}

#[test]
fn a_pass_renews_its_lease() {
    let mut world = world();
    world.set("LOCK__TTL_SECONDS", 3);
    let (arrived, go_on) = hold(&world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    // Longer than the lease lasts; the store's clock is the real one.
    std::thread::sleep(Duration::from_secs(6));
    assert!(
        lock(&world)["renewals"].as_u64().unwrap() >= 3,
        "{}",
        lock(&world)
    );
    assert_eq!(world.offsite(["run"]).code, 11);
    go_on.send(()).unwrap();
    assert_eq!(finish(first.wait_with_output().unwrap()).code, 0);
}

#[test]
fn a_renewal_does_not_wait_for_bandwidth() {
    let mut world = World::new();
    for index in 0..8 {
        world.write(&format!("{index}"), noise(index, 60_000));
    }
    world.set("LOCK__TTL_SECONDS", 3);
    world.set("LIMITS__BANDWIDTH", "100kB/s");
    world.back_up();
}

#[test]
fn a_release_that_meets_a_renewal_is_a_release() {
    let mut world = world();
    world.back_up();
    world.set("LOCK__TTL_SECONDS", 3);
    let (renewed, was_renewed) = mpsc::channel();
    let was_renewed = std::sync::Mutex::new(was_renewed);
    let ending = std::sync::atomic::AtomicBool::new(false);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation != Operation::PutObject {
            return HookAction::Proceed;
        }
        if key.contains("/passes/") {
            ending.store(true, Ordering::SeqCst);
            let renewed = was_renewed.lock().unwrap();
            renewed.recv_timeout(Duration::from_secs(10)).unwrap();
        } else if key.ends_with("/lock") && ending.swap(false, Ordering::SeqCst) {
            // The renewal has happened, and its answer is long in coming.
            let renewed = renewed.clone();
            return HookAction::handle_then_drop(move || {
                renewed.send(()).unwrap();
                std::thread::sleep(Duration::from_secs(1));
            });
        }
        HookAction::Proceed
    });
    let output = world.back_up();
    assert!(output.events_named("notice").is_empty(), "{output:?}");
    assert_eq!(lock(&world)["state"], "released");
    assert!(lock(&world)["renewals"].as_u64() >= Some(1));
}

#[test]
fn a_pass_whose_lock_is_taken_away_commits_nothing() {
    let mut world = world();
    world.set("LOCK__TTL_SECONDS", 3);
    let (arrived, go_on) = hold(&world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    let taken = world.offsite(["unlock", "--force"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let second = world.offsite(["run"]);
    assert_eq!(second.code, 0, "{second:?}");
    // Long enough that the holder asks before it commits, not so long that it would renew.
    std::thread::sleep(Duration::from_millis(300));
    go_on.send(()).unwrap();
    let first = finish(first.wait_with_output().unwrap());
    assert_eq!(first.code, 11, "{first:?}");
    assert!(
        first.events_named("snapshot_committed").is_empty(),
        "{first:?}"
    );
    assert_eq!(first.event("lock_lost")["level"], "ERROR");
    // The loser leaves the winner's lock alone, and says for itself what became of it.
    let lost = first.event("backup_failed")["pass"].clone();
    let history = world.offsite(["status", "--history", "--json"]);
    let status: Value = serde_json::from_str(&history.stdout).unwrap();
    let passes = status["history"].as_array().unwrap();
    let record = passes.iter().find(|record| record["pass"] == lost).unwrap();
    assert_eq!(
        (&record["outcome"], &record["exit_code"]),
        (&"failed".into(), &11.into())
    );
    assert_ne!(status["pass"], lost);
    assert_eq!(world.snapshots().len(), 1);
    // Taking it away counts.
    assert_eq!(lock(&world)["generation"], 3);
    assert_eq!(lock(&world)["outcome"], "committed");
}

#[test]
fn a_pass_whose_lock_was_taken_away_leaves_the_status_to_the_later_one() {
    let world = world();
    let (arrived, go_on) = hold(&world, |request| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::PutObject && key.contains("/passes/")
    });
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    assert_eq!(world.offsite(["unlock", "--force"]).code, 0);
    let second = world.offsite(["run"]);
    assert_eq!(second.code, 0, "{second:?}");
    // It has committed, and sees only now what has happened since.
    go_on.send(()).unwrap();
    let first = finish(first.wait_with_output().unwrap());
    assert_eq!(first.code, 0, "{first:?}");
    let notices = first.events_named("notice");
    assert!(
        notices
            .iter()
            .any(|n| n["message"].as_str().unwrap().contains("status.json")),
        "{notices:?}"
    );
    let status: Value = serde_json::from_str(&world.offsite(["status", "--json"]).stdout).unwrap();
    assert_eq!(status["pass"], second.event("backup_completed")["pass"]);
    assert_eq!(
        world.back_up().event("source_started")["parent"],
        status["pass"]
    );
}

#[test]
fn a_pass_that_cannot_renew_stops_before_its_lease_looks_stale() {
    let mut world = world();
    world.set("LOCK__TTL_SECONDS", 3);
    let allowed = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&allowed);
    let (arrived, has_arrived) = mpsc::channel();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation == Operation::PutObject && key.ends_with("/lock") {
            let may = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if may.is_err() {
                return HookAction::DropBefore;
            }
        }
        if is_content(request) {
            let _ = arrived.send(());
            std::thread::sleep(Duration::from_millis(2500));
        }
        HookAction::Proceed
    });
    // The check of a new store's conditions takes two more puts, which must be refused and are.
    allowed.store(3, Ordering::SeqCst);
    let first = world.spawn(["run"]);
    has_arrived.recv().unwrap();
    let first = finish(first.wait_with_output().unwrap());
    assert_eq!(first.code, 1, "{first:?}");
    assert!(
        first.event("lock_lost")["error"]
            .as_str()
            .unwrap()
            .contains("renewed in time")
    );
    assert!(world.snapshots().is_empty());
    world.server.clear_hook();
    world.expire_leases();
    world.back_up();
}

#[test]
fn a_store_that_ignores_conditions_is_refused_however_often_it_is_tried() {
    for server in [
        LocalS3::builder().ignores_if_none_match(),
        LocalS3::builder().ignores_if_match(),
        LocalS3::builder()
            .ignores_if_match()
            .ignores_if_none_match(),
    ] {
        let world = World::with_server(server.bucket(BUCKET).start().unwrap());
        world.write("a", "a");
        for _ in 0..3 {
            let output = world.offsite(["run"]);
            assert_eq!(output.code, 2, "{output:?}");
            let error = output.event("backup_failed")["error"].to_string();
            assert!(
                error.contains("ignores conditional writes (`If-"),
                "{error}"
            );
            assert_eq!(world.keys(), ["lock"]);
        }
        assert!(world.snapshots().is_empty());
    }
}

#[test]
fn a_store_is_checked_once() {
    let world = world();
    let puts = |requests: &[local_s3::LoggedRequest]| {
        let is_lock = |key: &str| key.ends_with("/lock");
        let is_put = |r: &&local_s3::LoggedRequest| {
            r.operation == Operation::PutObject && r.key.as_deref().is_some_and(is_lock)
        };
        requests.iter().filter(is_put).count()
    };
    let back_up = || drop(world.back_up());
    assert_eq!(puts(&world.requests_of(back_up)), 4);
    assert_eq!(puts(&world.requests_of(back_up)), 2);
    assert_eq!(lock(&world)["server"]["checksum_of_parts"], "crc64nvme");
}

#[test]
fn a_lock_that_is_something_else_is_not_overwritten() {
    let world = world();
    let theirs: &[u8] = b"my precious notes";
    world
        .server
        .replace(BUCKET, &world.full_key("lock"), theirs);
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let failed = output.event("backup_failed");
    assert!(
        failed["error"].as_str().unwrap().contains("not a lease"),
        "{failed}"
    );
    let object = world
        .server
        .object(BUCKET, &world.full_key("lock"))
        .unwrap();
    assert_eq!(&object.bytes[..], theirs);
}

#[test]
fn ids_of_passes_in_one_second_sort_in_their_order() {
    let world = world();
    let mut ids = Vec::new();
    for index in 0..4 {
        world.write("changing", format!("{index}"));
        let output = world.back_up();
        ids.push(
            output.event("backup_completed")["pass"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(world.snapshots(), ids);
    let last = std::fs::read_to_string(world.restored(&ids[3]).join("changing")).unwrap();
    assert_eq!(last, "3");
}
