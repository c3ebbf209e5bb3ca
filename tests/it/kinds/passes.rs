//! What passes, plans and restores make of every kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use local_s3::{HookAction, Operation, RequestInfo};
use offsite::exit::ExitCode;
use offsite::pass::back_up::SourceReport;
use offsite::pass::job::Method;
use offsite::stop::Stop;

use super::kind::{KindOfSource, Trouble};
use super::stand::{Stand, contents, is_of_contents};
use super::wrapped::EverythingGone;
use crate::support::BUCKET;

pub(super) async fn everything_comes_back(kind: &'static dyn KindOfSource, method: &Method) {
    let stand = Stand::new(kind, method);
    let first = stand.fill(&["one", "", "three"]);
    let report = stand.back_up().await;
    assert_eq!(report.exit_code, ExitCode::Complete);
    let SourceReport {
        snapshot, changes, ..
    } = &report.committed[0];
    assert_eq!(snapshot.kind, stand.job.place.kind());
    assert_eq!(snapshot.place, stand.job.place.text());
    assert_eq!(changes.changed_while_reading, 0);
    assert_eq!(stand.restored(), first);
    let second = stand.fill(&["one", "two"]);
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    assert_eq!(stand.restored(), second);
    for args in [&["verify"][..], &["verify", "--read"]] {
        let output = stand.world.offsite(args);
        assert_eq!(output.code, 0, "{output:?}");
    }
    let earlier = stand.world.restored(&stand.world.snapshots()[0]);
    assert_eq!(contents(&earlier), first);
}

pub(super) async fn what_has_not_changed_is_not_sent_again(
    kind: &'static dyn KindOfSource,
    method: &Method,
) {
    let stand = Stand::new(kind, method);
    stand.fill(&["one", "two", "three"]);
    stand.back_up().await;
    stand.world.server.clear_requests();
    let report = stand.back_up().await;
    assert_eq!(report.exit_code, ExitCode::Complete);
    let changes = report.committed[0].changes;
    // The root and three items, none of which had to be read.
    assert_eq!((changes.unchanged, changes.reread_files), (4, 0));
    assert_eq!(stand.contents_sent(), 0);
    // To another length, and to the same.
    for item in ["2", "3"] {
        let changed = stand.fill(&["one", item, "three"]);
        let report = stand.back_up().await;
        assert_eq!(report.committed[0].changes.uploaded_files, 1);
        assert_eq!(stand.restored(), changed);
    }
}

pub(super) async fn what_was_interrupted_is_continued(
    kind: &'static dyn KindOfSource,
    method: &Method,
) {
    if matches!(method, Method::Archive(_)) {
        // An archive counts once it is complete.
        return;
    }
    let stand = Stand::new(kind, method);
    let items: Vec<String> = (0..40).map(|n| format!("contents {n}")).collect();
    let expected = stand.fill(&items.iter().map(String::as_str).collect::<Vec<_>>());
    let stop = Arc::new(Stop::default());
    let stopping = Arc::clone(&stop);
    stand.world.server.on_request(move |request| {
        if is_checkpoint(request) {
            stopping.stop();
        }
        HookAction::Proceed
    });
    let report = stand.pass(&stop).await;
    assert!(report.committed.is_empty(), "{report:?}");
    stand.world.server.clear_hook();
    let sent = stand.contents_sent();
    assert!((1..=40).contains(&sent), "{sent}");
    let report = stand.back_up().await;
    assert_eq!(report.exit_code, ExitCode::Complete);
    let again = report.committed[0].changes.uploaded_files;
    assert!(
        again < 40,
        "nothing of the first pass is used: {sent} {again}"
    );
    assert_eq!(stand.restored(), expected);
}

pub(super) async fn a_plan_says_what_a_pass_does(kind: &'static dyn KindOfSource, method: &Method) {
    let stand = Stand::new(kind, method);
    stand.fill(&["one", "two", "three"]);
    stand.back_up().await;
    stand.fill(&["one", "zwei", "three"]);
    let context = stand.looking_only().await;
    let plan = offsite::plan::plan(&context, &stand.job).await.unwrap();
    let report = stand.back_up().await;
    let changes = report.committed[0].changes;
    assert_eq!(
        (plan.new, plan.changed, plan.removed, plan.unchanged),
        (
            changes.new,
            changes.changed,
            changes.removed,
            changes.unchanged
        )
    );
    assert_eq!(plan.send_files, changes.uploaded_files);
}

pub(super) async fn an_empty_source_fails(kind: &'static dyn KindOfSource, method: &Method) {
    let stand = Stand::new(kind, method);
    stand.fill(&["one"]);
    stand.back_up().await;
    stand.fill(&[]);
    let report = stand.back_up().await;
    assert_eq!(report.exit_code, ExitCode::Failed);
    assert_eq!(stand.world.snapshots().len(), 1);
}

pub(super) async fn a_source_that_is_replaced_or_taken_away_during_a_pass_fails(
    kind: &'static dyn KindOfSource,
    method: &Method,
) {
    for change in [KindOfSource::replace, KindOfSource::take_away] {
        let stand = Stand::new(kind, method);
        let first = stand.fill(&["one"]);
        assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
        stand.fill(&["one", "two"]);
        let home = stand.world.home.path().to_owned();
        let is_done = AtomicBool::new(false);
        stand.world.server.on_request(move |request| {
            if is_of_contents(request.operation, request.key.as_deref())
                && !is_done.swap(true, Ordering::SeqCst)
            {
                change(kind, &home);
            }
            HookAction::Proceed
        });
        let report = stand.back_up().await;
        assert_eq!(report.exit_code, ExitCode::Failed, "{report:?}");
        assert_eq!(stand.world.snapshots().len(), 1);
        stand.world.server.clear_hook();
        assert_eq!(stand.restored(), first);
    }
}

pub(super) async fn what_breaks_off_is_not_kept(kind: &'static dyn KindOfSource, method: &Method) {
    let stand = Stand::new(kind, method);
    let first = stand.fill(&["one", "two", "three"]);
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    if !stand.fill_with(&["one", "zwei", "three"], (1, Trouble::BreaksOff)) {
        return;
    }
    stand.world.server.clear_requests();
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Incomplete);
    assert!(stand.world.server.uploads(BUCKET).is_empty());
    // The last version stays.
    assert_eq!(stand.restored(), first);
}

pub(super) async fn what_cannot_be_looked_at_is_kept_and_marked(
    kind: &'static dyn KindOfSource,
    method: &Method,
) {
    let stand = Stand::new(kind, method);
    let items = ["one", "two", "three"];
    let first = stand.fill(&items);
    let names: Vec<_> = first.keys().cloned().collect();
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    // The first one is not taken for its directory.
    for (number, name) in names.iter().enumerate() {
        if !stand.fill_with(&items, (number, Trouble::Unlooked)) {
            return;
        }
        let report = stand.back_up().await;
        assert_eq!(report.exit_code, ExitCode::Incomplete);
        assert_eq!(report.committed[0].changes.failed, 1);
        assert_eq!(stand.marked(), [name.as_str()]);
        assert_eq!(stand.restored(), first);
        stand.fill(&items);
        assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
        assert!(stand.marked().is_empty());
    }
    // Of what is new, the name is kept.
    for (number, name) in names.iter().enumerate() {
        let stand = Stand::new(kind, method);
        stand.fill_with(&items, (number, Trouble::Unlooked));
        for _ in 0..2 {
            let report = stand.back_up().await;
            assert_eq!(report.exit_code, ExitCode::Incomplete);
            assert_eq!(report.committed[0].changes.failed, 1);
            assert_eq!(stand.marked(), [name.as_str()]);
        }
        stand.fill(&items);
        assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
        assert_eq!(stand.restored(), first);
    }
}

pub(super) async fn nothing_is_complete_of_which_everything_has_gone(
    kind: &'static dyn KindOfSource,
    method: &Method,
) {
    let mut stand = Stand::new(kind, method);
    stand.fill(&["one", "two", "three"]);
    stand.job.place = Arc::new(EverythingGone(Arc::clone(&stand.job.place)));
    for allow_empty in [false, true] {
        stand.job.allow_empty = allow_empty;
        let report = stand.back_up().await;
        assert_eq!(report.exit_code, ExitCode::Incomplete, "{report:?}");
        assert!(!report.committed[0].snapshot.complete);
        assert_eq!(report.committed[0].changes.vanished, 3);
    }
}

fn is_checkpoint(request: &RequestInfo) -> bool {
    let key = request.key.as_deref().unwrap_or_default();
    request.operation == Operation::PutObject && key.contains("/manifests/")
}
