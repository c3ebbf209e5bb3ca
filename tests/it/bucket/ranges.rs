//! Listing a bucket in ranges: the same as in one, whatever the ranges are by now.

use std::time::Duration;

use aws_credential_types::Credentials;
use local_s3::{Answer, Fault, LocalS3, LoggedRequest, Operation, RequestInfo};
use offsite::format::name::{Name, Order};
use offsite::source::bucket::{BucketPlace, Categories, Changes};
use offsite::source::filter::Filter;
use offsite::source::{Item, Items, Place as _, Scope};
use offsite::store::url::StoreUrl;
use offsite::store::{StoreOptions, Tags};
use rustix::process::Signal;

use super::place::copy_key;
use super::recorded::recorded;
use super::{BUCKET_SOURCE, ODD_KEYS, count};
use crate::kill::{Moment, pass_with_signal};
use crate::support::BUCKET;

/// The bucket on this server.
pub(super) fn place(server: &LocalS3) -> BucketPlace {
    let keys = server.credentials();
    let (access, secret) = (&keys.access_key, &keys.secret_key);
    BucketPlace {
        url: StoreUrl::s3(BUCKET_SOURCE, "").unwrap(),
        options: StoreOptions {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(server.endpoint()),
            credentials: Some(Credentials::new(access, secret, None, None, "test")),
            request_timeout: Duration::from_secs(30),
            concurrency: 16,
            ..StoreOptions::default()
        },
        categories: Categories::default(),
        only: None,
        asked: None,
        tags: Tags::Keep,
        changes: Changes::Listed,
        filter: Filter::default(),
        stores: Vec::new(),
    }
}

/// Gives `look` what is in a bucket.
pub(super) fn items<T: Send>(
    place: &BucketPlace,
    scope: &Scope,
    look: impl FnOnce(Items) -> T + Send,
) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    std::thread::scope(|threads| {
        let looking = threads.spawn(|| {
            let _entered = runtime.enter();
            look(place.open().unwrap().items(scope).unwrap())
        });
        looking.join().unwrap()
    })
}

/// The keys in a bucket, and what was wrong in the end.
fn listed(place: &BucketPlace, scope: &Scope) -> (Vec<String>, Option<String>) {
    items(place, scope, |all| {
        let (mut keys, mut wrong) = (Vec::new(), None);
        for item in all {
            assert_eq!(wrong, None, "nothing comes after it");
            match item {
                Item::Found(found) => keys.push(found.name.to_string()),
                Item::Broken(unusable) => wrong = Some(unusable.to_string()),
                other => panic!("{other:?}"),
            }
        }
        (keys, wrong)
    })
}

fn scope(threads: usize, cuts: impl IntoIterator<Item = impl Into<String>>) -> Scope {
    let cuts = cuts.into_iter().map(Into::<String>::into);
    let name = |cut: String| Name::parse(Order::Key, cut.into_bytes()).unwrap();
    Scope {
        threads,
        cuts: cuts.map(name).collect(),
        ..Scope::default()
    }
}

fn generated(count: u64) -> LocalS3 {
    let builder = LocalS3::builder().generated_bucket(BUCKET_SOURCE, count);
    builder.start().unwrap()
}

fn key(index: u64) -> String {
    let extension = ["jpg", "pdf", "txt"][(index % 3) as usize];
    format!("{:06}/{index:010}.{extension}", index / 1000)
}

fn pages(requests: &[LoggedRequest]) -> usize {
    let is_page = |request: &&LoggedRequest| {
        request.operation == Operation::ListObjectsV2
            && request.bucket.as_deref() == Some(BUCKET_SOURCE)
    };
    requests.iter().filter(is_page).count()
}

#[test]
fn ranges_list_what_one_listing_lists_wherever_they_are_cut() {
    let server = LocalS3::builder().bucket(BUCKET_SOURCE).start().unwrap();
    let mut keys = Vec::new();
    for folder in ["a", "docs", "docs/backups", "docs/x y+z%", "z"] {
        for odd in ODD_KEYS {
            for number in 0..15 {
                keys.push(format!("{folder}/{odd}{number}"));
            }
        }
    }
    keys.sort();
    for key in &keys {
        server.replace(BUCKET_SOURCE, key, "x");
    }
    for (prefix, stores) in [
        ("", &[] as &[&str]),
        ("", &["docs/backups/", "a/a"]),
        ("docs/", &["backups/"]),
    ] {
        let mut place = place(&server);
        place.url = StoreUrl::s3(BUCKET_SOURCE, prefix).unwrap();
        place.stores = stores.iter().map(|&store| store.to_owned()).collect();
        let own = keys.iter().filter_map(|key| key.strip_prefix(prefix));
        let own: Vec<_> = own.map(str::to_owned).collect();
        let is_left = |key: &&String| !stores.iter().any(|store| key.starts_with(store));
        let expected: Vec<_> = own.iter().filter(is_left).cloned().collect();
        assert_eq!(listed(&place, &Scope::default()).0, expected);
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..8 {
            let mut cuts: Vec<_> = (0..random.usize(6..40))
                .map(|_| {
                    let mut cut = own[random.usize(..own.len())].clone();
                    // Keys that exist, and others that did once.
                    cut.push_str(["", "", "-gone", "\u{10ffff}"][random.usize(..4)]);
                    cut
                })
                .collect();
            cuts.sort();
            cuts.dedup();
            let scope = scope(random.usize(2..20), &cuts);
            let (keys, wrong) = listed(&place, &scope);
            assert_eq!(wrong, None);
            // Thousands of keys help nobody.
            assert!(
                keys == expected,
                "round {round} of `{prefix}` without {stores:?}: {cuts:#?}"
            );
        }
    }
}

#[test]
fn ranges_may_have_grown_and_may_be_empty_by_now() {
    let server = generated(30_000);
    for index in 20_000..24_000 {
        server.remove(BUCKET_SOURCE, &key(index));
    }
    // All before, one that is far larger than the others, some that are empty, all beyond.
    let cuts = [0, 1, 15_000, 15_001, 20_500, 21_000, 22_000, 23_000, 29_999];
    let cuts = cuts.map(key).into_iter().chain(["z".to_owned()]);
    let (keys, wrong) = listed(&place(&server), &scope(16, cuts));
    assert_eq!(wrong, None);
    let expected = (0..20_000).chain(24_000..30_000).map(key);
    assert_eq!(keys, expected.collect::<Vec<_>>());
}

#[test]
fn ranges_ahead_wait_until_it_is_their_turn() {
    let server = generated(500_000);
    // Each is much larger than it was.
    let cuts = (1..20).map(|number| key(number * 25_000));
    items(&place(&server), &scope(16, cuts), |mut all| {
        assert!(all.next().is_some());
        let mut before = 0;
        while server.request_count() != before {
            before = server.request_count();
            std::thread::sleep(Duration::from_millis(1500));
        }
        // Seven that wait and one that does not fit, of each; and the one that was taken.
        assert_eq!(before, 8 * 8 + 1);
    });
}

#[test]
fn nothing_is_listed_any_more_once_nobody_goes_on() {
    let server = generated(100_000);
    let delay = Duration::from_millis(200);
    server.fault(Fault::on(Operation::ListObjectsV2).delay(delay).always());
    let cuts = (1..10).map(|number| key(number * 10_000));
    items(&place(&server), &scope(4, cuts), |mut all| {
        assert!(all.next().is_some());
        drop(all);
        let then = server.request_count();
        std::thread::sleep(delay * 5);
        assert_eq!(server.request_count(), then);
    });
}

/// How a server misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    /// It does not care where it is told to begin.
    Begins,
    /// It refuses to list what lies after this key.
    After(&'static str),
    /// It lists this key as the first of its page.
    Repeats(&'static str),
}

/// A server that lists these keys in pages of ten.
fn lists(keys: Vec<String>, fails: Fails) -> LocalS3 {
    let server = LocalS3::builder().bucket(BUCKET_SOURCE).start().unwrap();
    let page = move |request: &RequestInfo| {
        let after = request.query_value("start-after").unwrap_or_default();
        let after = match fails {
            Fails::Begins => "",
            _ => &*after,
        };
        let token = request.query_value("continuation-token");
        let begin = match token {
            Some(token) => token.parse().unwrap(),
            None => keys.partition_point(|key| &**key <= after),
        };
        let end = keys.len().min(begin + 10);
        let mut page = keys[begin..end].to_vec();
        match fails {
            Fails::After(key) if page.iter().any(|listed| &**listed > key) => {
                return Answer::new(403).body(
                    "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>",
                );
            }
            Fails::Repeats(key) if page.iter().any(|listed| listed == key) => {
                page.insert(0, key.to_owned());
                page.dedup();
            }
            _ => (),
        }
        let contents: String = page
            .iter()
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><Size>1</Size><ETag>\"0cc175b9c0f1b6a831c399e269772661\"</ETag>\
                     <LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
                )
            })
            .collect();
        let is_truncated = end < keys.len();
        let next = match is_truncated {
            true => format!("<NextContinuationToken>{end}</NextContinuationToken>"),
            false => String::new(),
        };
        Answer::new(200).header("content-type", "application/xml").body(format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Name>{BUCKET_SOURCE}</Name><Prefix></Prefix>\
             <KeyCount>{}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>{next}{contents}</ListBucketResult>",
            page.len()
        ))
    };
    server.fault(Fault::on(Operation::ListObjectsV2).answer_by(page).always());
    server
}

fn numbered() -> Vec<String> {
    (0..200).map(|number| format!("{number:03}.jpg")).collect()
}

const CUTS: [&str; 7] = [
    "024.jpg", "049.jpg", "074.jpg", "099.jpg", "124.jpg", "149.jpg", "174.jpg",
];

#[test]
fn a_server_that_does_not_begin_where_it_is_told_to_is_listed_in_one_range() {
    let server = lists(numbered(), Fails::Begins);
    let (keys, wrong) = listed(&place(&server), &scope(4, CUTS));
    assert_eq!(wrong, None);
    assert_eq!(keys, numbered());
    // The first range, those that were begun beside it and the one after it, and then one of twenty pages.
    assert!(server.request_count() <= 3 + 4 + 20);
}

#[test]
fn an_error_in_a_range_ahead_comes_when_it_is_its_turn() {
    for (refused, listed_before) in [("119.jpg", 120), ("139.jpg", 135), ("", 0)] {
        let server = lists(numbered(), Fails::After(refused));
        let (keys, wrong) = listed(&place(&server), &scope(8, CUTS));
        assert!(wrong.unwrap().contains("cannot list"), "{refused}");
        // Pages of ten begin after each cut.
        assert_eq!(keys, numbered()[..listed_before], "{refused}");
    }
}

#[test]
fn keys_out_of_order_are_refused_in_ranges_too() {
    let server = lists(numbered(), Fails::Repeats("107.jpg"));
    let (keys, wrong) = listed(&place(&server), &scope(8, CUTS));
    assert!(wrong.is_some());
    assert_eq!(keys, numbered()[..100]);
}

#[test]
fn a_pass_lists_a_large_bucket_in_ranges_and_needs_no_further_page() {
    let world = recorded(60_000);
    let begins = |requests: &[LoggedRequest]| {
        let begun = requests.iter().filter(|request| {
            request.bucket.as_deref() == Some(BUCKET_SOURCE)
                && request.query_value("start-after").is_some()
                && request.query_value("continuation-token").is_none()
        });
        begun.count()
    };
    let unchanged = world.requests_of(|| {
        let committed = world.back_up().event("snapshot_committed");
        assert_eq!(committed["files"], 60_000, "{committed}");
    });
    assert_eq!(count(&unchanged, Operation::CopyObject), 0);
    assert_eq!((pages(&unchanged), begins(&unchanged)), (60, 7));

    // At a cut, before one, after one; a range that has grown, and one in which nothing is left.
    let changed = [7_998, 7_999, 8_000, 15_999, 31_999].map(key);
    let new: Vec<_> = (0..30).map(|n| format!("{}-{n}", key(20_000))).collect();
    for key in changed.iter().chain(&new) {
        world.put(key, "changed");
    }
    for index in 40_000..48_000 {
        world.server.remove(BUCKET_SOURCE, &key(index));
    }
    let killed = pass_with_signal(&world, 40, Moment::Before, Signal::KILL);
    assert_ne!(killed.unwrap().code, 0);
    world.expire_leases();
    let output = world.back_up();
    let committed = output.event("snapshot_committed");
    assert_eq!(committed["files"], 60_000 + 30 - 8_000, "{committed}");
    let entries = world.entries();
    for key in changed.iter().chain(&new) {
        let copy = world.full_key(&copy_key(key, &entries[key]));
        assert_eq!(
            &world.server.object(BUCKET, &copy).unwrap().bytes[..],
            b"changed"
        );
    }
    assert!(!entries.contains_key(&key(40_000)) && !entries.contains_key(&key(47_999)));
    let unchanged = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&unchanged, Operation::CopyObject), 0);
    assert!(pages(&unchanged) <= 53 + 8, "{}", pages(&unchanged));
}
