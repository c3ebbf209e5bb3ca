//! Conformance of stores: what every implementation does, asked through the trait that the program uses.
//!
//! Each server is one test, which goes through all cases, each in a place of its own, and names those
//! that failed. What a server cannot do is skipped by name, with the reason.

mod parts;
mod servers;

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use local_s3::LocalS3;
use offsite::store::Store;

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
    parts: streams_of_any_length_arrive, known_lengths_arrive, little_memory_is_enough,
        what_is_aborted_leaves_nothing, what_cannot_be_sent_is_said, whoever_waits_is_let_go,
        nothing_takes_the_place_of_something;
];

#[tokio::test(flavor = "multi_thread")]
async fn local_s3() {
    conform("local-s3", &[], servers::local_s3).await;
}

/// Goes through all cases but those that the server `lacks`, each with its reason.
async fn conform<F: Future<Output = Stand>>(
    server: &str,
    lacks: &[(&str, &str)],
    stand: impl Fn(&'static str) -> F,
) {
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
