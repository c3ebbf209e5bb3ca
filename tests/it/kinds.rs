//! Conformance of sources: what a pass does with every kind, asked through the trait that passes use.
//!
//! A new kind gets a [`KindOfSource`](kind::KindOfSource) here and passes through the same cases.

mod broken;
mod contract;
mod directory;
mod kind;
mod lines;
mod passes;
mod stand;
mod wrapped;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use offsite::exit::ExitCode;
use offsite::format::codec::Codec;
use offsite::pass::job::{ArchiveOptions, Method};
use offsite::stop::Stop;
use serde_json::json;

use self::kind::KindOfSource;
use self::stand::Stand;

#[tokio::test(flavor = "multi_thread")]
async fn a_directory() {
    conform(&directory::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_file() {
    conform(&lines::Lines::AsFiles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_file_as_streams() {
    conform(&lines::Lines::AsStreams).await;
}

/// Whether it fails for good, and with what, the kind says.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_away_is_waited_for_if_it_says_so() {
    for (is_worth_another_pass, expected) in [(false, ExitCode::Denied), (true, ExitCode::Complete)]
    {
        let mut stand = Stand::new(&lines::Lines::AsFiles, &Method::Files);
        stand.fill(&["one"]);
        stand.retry_for = Duration::from_secs(1);
        stand.job.place = Arc::new(wrapped::Away {
            place: Arc::clone(&stand.job.place),
            times: AtomicUsize::new(1),
            is_worth_another_pass,
        });
        assert_eq!(stand.back_up().await.exit_code, expected);
    }
}

/// A pass that has to leave while a source hangs does not know what has become of it, and the next one looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_hangs_until_the_pass_has_to_leave_is_looked_for() {
    let mut stand = Stand::new(&lines::Lines::AsFiles, &Method::Files);
    stand.fill(&["one"]);
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    assert_eq!(stand.status()["settled"], true);
    let gate = Arc::new(wrapped::Gate::default());
    stand.job.place = Arc::new(wrapped::Hangs {
        place: Arc::clone(&stand.job.place),
        gate: Arc::clone(&gate),
    });
    let stop = Arc::new(Stop::default());
    let told = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.stop();
        stop.hurry();
        stop.leave();
    };
    let (report, ()) = tokio::join!(stand.pass(&stop), told);
    gate.open();
    assert_eq!(report.exit_code, ExitCode::Failed);
    let status = stand.status();
    assert_eq!(
        (&status["settled"], &status["last_outcome"]),
        (&json!(false), &json!("interrupted"))
    );
}

/// A suite that lets one of these pass is none.
#[test]
fn a_kind_that_breaks_the_contract_does_not_get_through() {
    for broken in &broken::ALL {
        let tried = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(conform_with(broken, &Method::Files));
        });
        assert!(tried.join().is_err(), "{broken:?} gets through");
    }
}

async fn conform(kind: &'static dyn KindOfSource) {
    for method in [Method::Files, archive()] {
        Box::pin(conform_with(kind, &method)).await;
    }
}

async fn conform_with(kind: &'static dyn KindOfSource, method: &Method) {
    contract::the_root_comes_first_and_everything_in_order(kind);
    contract::nothing_is_given_out_beside_what_is_asked_for(kind);
    contract::what_is_read_is_what_was_found(kind);
    contract::it_is_empty_if_nothing_is_in_it(kind);
    contract::it_is_known_by_its_place_until_that_leads_elsewhere(kind);
    passes::everything_comes_back(kind, method).await;
    passes::what_has_not_changed_is_not_sent_again(kind, method).await;
    passes::what_was_interrupted_is_continued(kind, method).await;
    passes::a_plan_says_what_a_pass_does(kind, method).await;
    passes::an_empty_source_fails(kind, method).await;
    passes::a_source_that_is_replaced_or_taken_away_during_a_pass_fails(kind, method).await;
    passes::what_breaks_off_is_not_kept(kind, method).await;
    passes::what_cannot_be_looked_at_is_kept_and_marked(kind, method).await;
    passes::nothing_is_complete_of_which_everything_has_gone(kind, method).await;
}

fn archive() -> Method {
    Method::Archive(ArchiveOptions {
        codec: Codec::Zstd,
        level: 3,
        template: offsite::archive::template::KeyTemplate::of_archives(),
        incremental: true,
        full_every: None,
    })
}

/// What changes while a source is opened is found by the next pass, whatever its times say.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_a_source_is_opened_is_not_missed() {
    let mut stand = Stand::new(&lines::Lines::AsFiles, &Method::Files);
    let place = Arc::clone(&stand.job.place);
    let file = stand.world.home.path().join("lines");
    stand.job.place = Arc::new(wrapped::WrittenWhileOpened(Arc::clone(&place), file));
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    stand.job.place = place;
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    let restored: Vec<_> = stand.restored().into_values().collect();
    assert_eq!(restored, [b"two".to_vec()]);
}
