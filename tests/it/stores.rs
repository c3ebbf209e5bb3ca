//! Conformance of stores: what every implementation does, asked through the trait that the program uses.
//!
//! Each server is one test, which goes through all cases, each in a place of its own, and names those
//! that failed. What a server cannot do is skipped by name, with the reason.

mod conditions;
mod copies;
pub(crate) mod foreign;
mod listings;
mod parts;
mod reads;
mod round_trip;
mod servers;

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use local_s3::LocalS3;
use offsite::store::Store;

use self::foreign::Foreign;

/// A store with nothing in it.
struct Stand {
    store: Arc<dyn Store>,
    /// Its server, where that can be made to fail.
    server: Option<LocalS3>,
}

type Case = (
    &'static str,
    fn(Stand) -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        &[$($((
            concat!(stringify!($module), "::", stringify!($case)),
            |stand| Box::pin($module::$case(stand)),
        ),)+)+]
    };
}

const CASES: &[Case] = cases![
    conditions: what_is_absent_is_put_once, the_same_bytes_may_be_put_again, contents_are_put_once,
        only_the_version_that_was_seen_is_replaced, what_is_not_there_is_not_replaced,
        of_many_who_put_at_once_one_has, an_answer_that_is_lost_is_found_out;
    reads: a_range_is_what_it_says, no_more_is_read_than_is_expected, what_is_not_there_is_not_found,
        nothing_is_known_of_what_is_not_there,
        an_empty_object_is_an_object, a_checksum_is_kept, what_arrives_damaged_is_not_taken,
        time_is_the_stores;
    listings: objects_are_listed_with_what_is_known_of_them, keys_come_in_order_of_their_bytes,
        folders_stand_for_what_is_in_them, long_listings_come_in_pages, awkward_keys_are_keys,
        long_keys_are_keys, an_object_may_have_others_below_it;
    parts: streams_of_any_length_arrive, known_lengths_arrive, checksums_are_kept,
        little_memory_is_enough, no_upload_is_left_open, what_is_aborted_leaves_nothing,
        what_cannot_be_sent_is_said, whoever_waits_is_let_go, nothing_takes_the_place_of_something,
        only_the_version_that_was_seen_is_replaced;
    copies: a_part_is_copied_with_its_checksum, only_the_version_that_was_named_is_copied,
        what_is_not_there_is_not_copied;
];

#[tokio::test(flavor = "multi_thread")]
async fn local_s3() {
    conform("local-s3", &[], servers::local_s3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn directory() {
    let folder = tempfile::tempdir().unwrap();
    let at = async |case| servers::directory(folder.path(), case).await;
    let no_copies = "what is copied to a disk is read";
    let no_checksum = "a disk keeps no checksums";
    let unnamed = "what is not finished has no name there, and is gone with its process";
    let lacks = [
        ("reads::a_checksum_is_kept", no_checksum),
        ("parts::checksums_are_kept", no_checksum),
        (
            "reads::what_arrives_damaged_is_not_taken",
            "nothing travels",
        ),
        ("parts::what_is_aborted_leaves_nothing", unnamed),
    ];
    let lacks = [&lacks[..], &CASES_OF_COPIES.map(|case| (case, no_copies))].concat();
    conform("directory", &[&CASES_OF_FAILURE[..], &lacks].concat(), at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moto() {
    let server = Foreign::moto();
    let at = async |case| servers::foreign(case, &server).await;
    let lacks = [
        (
            "reads::what_arrives_damaged_is_not_taken",
            "does not look at checksums of what arrives",
        ),
        (
            "parts::checksums_are_kept",
            "keeps no checksum of an object that was sent in parts",
        ),
        (
            "parts::no_upload_is_left_open",
            "its list of open uploads does not say which prefix it is of",
        ),
        (
            "parts::what_is_aborted_leaves_nothing",
            "its list of open uploads does not say which prefix it is of",
        ),
        (
            "parts::only_the_version_that_was_seen_is_replaced",
            "ignores If-Match where parts become an object",
        ),
    ];
    let no_copies = "keeps no checksum by which a copy is proven";
    let lacks = [&lacks[..], &CASES_OF_COPIES.map(|case| (case, no_copies))].concat();
    conform("moto", &[&CASES_OF_FAILURE[..], &lacks].concat(), at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw() {
    let Some(server) = Foreign::versitygw() else {
        return;
    };
    let at = async |case| servers::foreign(case, &server).await;
    let as_files = "keeps objects as files: names have 255 bytes, and no file has others below it";
    let lacks = [
        ("listings::long_keys_are_keys", as_files),
        ("listings::an_object_may_have_others_below_it", as_files),
        (
            "copies::a_part_is_copied_with_its_checksum",
            "says of a part that it has copied the checksum of the whole original",
        ),
    ];
    conform("versitygw", &[&CASES_OF_FAILURE[..], &lacks].concat(), at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3mock() {
    let Some(server) = Foreign::s3mock() else {
        return;
    };
    let at = async |case| servers::foreign(case, &server).await;
    let drops = "drops the SHA-256 of a put if its header x-amz-sdk-checksum-algorithm says so too";
    let loses = "an upload that is aborted takes the object along that lies under its key";
    let lacks = [
        (
            "conditions::of_many_who_put_at_once_one_has",
            "tells several that they were the only one",
        ),
        ("reads::a_checksum_is_kept", drops),
        ("reads::what_arrives_damaged_is_not_taken", drops),
        ("parts::checksums_are_kept", drops),
        (
            "listings::awkward_keys_are_keys",
            "refuses a backslash in a key",
        ),
        ("parts::no_upload_is_left_open", loses),
        ("parts::nothing_takes_the_place_of_something", loses),
        ("parts::only_the_version_that_was_seen_is_replaced", loses),
        (
            "copies::a_part_is_copied_with_its_checksum",
            "tells no checksum of a part that it has copied",
        ),
    ];
    conform("S3Mock", &[&CASES_OF_FAILURE[..], &lacks].concat(), at).await;
}

/// What a store may be able to do.
const CASES_OF_COPIES: [&str; 3] = [
    "copies::a_part_is_copied_with_its_checksum",
    "copies::only_the_version_that_was_named_is_copied",
    "copies::what_is_not_there_is_not_copied",
];

/// What no server of others can be asked for.
const FAILING: &str = "nobody can make it fail";
const CASES_OF_FAILURE: [(&str, &str); 2] = [
    ("conditions::an_answer_that_is_lost_is_found_out", FAILING),
    ("parts::what_cannot_be_sent_is_said", FAILING),
];

/// Goes through all cases but those that the server `lacks`, each with its reason.
async fn conform(server: &str, lacks: &[(&str, &str)], stand: impl AsyncFn(&'static str) -> Stand) {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        if let Some((_, reason)) = lacks.iter().find(|(lacking, _)| lacking == name) {
            // Not by a macro whose output the test harness keeps.
            let _ = writeln!(std::io::stderr(), "{server}: skipped {name}: {reason}");
            continue;
        }
        let case = tokio::spawn(case(stand(name).await));
        if case.await.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{server} fails {failed:?}");
}
