//! Restoring into buckets.

use std::path::Path;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::{How, note, print, say};
use crate::cli::RestoreArgs;
use crate::config::Share;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::name::Order;
use crate::format::snapshot::Snapshot;
use crate::restore::RestoreReport;
use crate::restore::into_bucket::{BucketError, BucketPlan, IntoBucket, apply, plan};
use crate::stop::Stop;
use crate::store::open::open;
use crate::store::url::StoreUrl;
use crate::store::{Encryption, Store, StoreError, StoreErrorKind, StoreOptions, Tags};
use crate::text;

/// One snapshot of a bucket, and what becomes of it.
pub(super) struct BucketWork {
    pub(super) snapshot: Snapshot,
    what: IntoBucket,
    pub(super) plan: Arc<BucketPlan>,
    pub(super) report: Option<RestoreReport>,
}

/// What was done, or would be, with one snapshot.
#[derive(Serialize)]
pub(super) struct BucketDone<'a> {
    source: &'a str,
    snapshot: &'a str,
    target: String,
    plan: &'a BucketPlan,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a RestoreReport>,
}

/// Where objects go, and how they get there.
struct Target {
    url: StoreUrl,
    options: StoreOptions,
    tags: Tags,
    is_origin: bool,
}

/// Whether a target is written as that of a bucket.
pub(super) fn is_url(to: &Path) -> bool {
    to.as_os_str().as_encoded_bytes().starts_with(b"s3://")
}

/// Whether a snapshot goes into a bucket.
pub(super) fn goes_to_bucket(args: &RestoreArgs, snapshot: &Snapshot) -> Result<bool, Failure> {
    let is_url = args.to.as_deref().is_some_and(is_url);
    let is_bucket = snapshot.order == Order::Key;
    if is_url && !is_bucket {
        let source = &snapshot.source;
        let message = format!("{source} is no bucket, and cannot be restored into one");
        let hint = format!(
            "name a directory: `offsite restore --source {source} --to DIR`; or one of the sources that are buckets"
        );
        return Err(Failure::new(ExitCode::Usage, message).hint(hint));
    }
    let goes_there = is_bucket && !args.test && (is_url || args.in_place);
    if goes_there && !cfg!(feature = "buckets") {
        let message = "this build restores into directories alone";
        let hint = "use the program as it is released, or build it with the feature `buckets`";
        return Err(Failure::new(ExitCode::Usage, message).hint(hint));
    }
    Ok(goes_there)
}

impl How<'_> {
    /// Looks at the buckets, and plans.
    pub(super) async fn plan_buckets(
        &self,
        store: &Arc<dyn Store>,
        snapshots: Vec<Snapshot>,
        args: &RestoreArgs,
    ) -> Result<Vec<BucketWork>, Failure> {
        let mut work = Vec::new();
        for snapshot in snapshots {
            check_flags(args, &snapshot)?;
            let what = self.what(args, &snapshot).await?;
            let (of, by) = (snapshot.clone(), what.clone());
            let plan = in_thread(store, move |store| plan(store, &of, &by)).await;
            work.push(BucketWork {
                plan: Arc::new(plan.map_err(|error| refused(&error))?),
                snapshot,
                what,
                report: None,
            });
        }
        Ok(work)
    }

    async fn what(&self, args: &RestoreArgs, snapshot: &Snapshot) -> Result<IntoBucket, Failure> {
        let target = self.target(args, snapshot)?;
        let limits = &self.job.pass.limits;
        let prefix_bytes = match &target.url {
            StoreUrl::S3(url) => url.prefix().len(),
            StoreUrl::Directory(_) => 0,
        };
        Ok(IntoBucket {
            stores: self.stores(&target)?,
            target: open(&target.url, &target.options).await,
            prefix_bytes,
            is_origin: target.is_origin,
            portion: self.portion.clone(),
            overwrite: args.overwrite,
            unconditional: args.unconditional,
            tags: target.tags,
            concurrency: limits.concurrency,
            memory_bytes: limits.memory_bytes,
            whole_bytes: limits.copy_whole_bytes,
            stop: Stop::within(&self.stop),
        })
    }

    /// Where the objects of a snapshot go. A bucket that is configured as a source is reached as the source is.
    fn target(&self, args: &RestoreArgs, snapshot: &Snapshot) -> Result<Target, Failure> {
        let usage = |message: String| Failure::new(ExitCode::Usage, message);
        let text = match &args.to {
            Some(to) => to.to_string_lossy().into_owned(),
            None => snapshot.place.clone(),
        };
        let mut url: StoreUrl = text
            .parse()
            .map_err(|problem: crate::store::url::BadStore| {
                usage(format!("`{text}` {problem}")).hint(problem.hint())
            })?;
        if super::targets::is_by_source(args) {
            let StoreUrl::S3(to) = &url else {
                return Err(usage(format!("`{text}` is no bucket")));
            };
            let prefix = format!("{}{}/", to.prefix(), snapshot.source);
            url = StoreUrl::s3(to.bucket(), &prefix)
                .map_err(|problem| usage(format!("`{text}` {problem}")).hint(problem.hint()))?;
        }
        let sources = self.job.pass.sources.iter();
        let configured = sources.filter_map(|source| source.place.bucket());
        let configured = configured.filter(|place| is_same_bucket(&place.url, &url));
        let own = (self.job.pass.sources.iter()).find(|source| source.name == snapshot.source);
        let own = own.and_then(|source| source.place.bucket());
        let options = configured.clone().next().map(|place| &place.options);
        let options = options.unwrap_or(&self.job.store_options).clone();
        let options = options.but(
            args.to_profile.as_deref(),
            args.to_region.as_deref(),
            args.to_endpoint_url.as_deref(),
        );
        Ok(Target {
            is_origin: url.to_string() == snapshot.place && args.to_endpoint_url.is_none(),
            url,
            options: StoreOptions {
                encryption: Encryption::default(),
                ..options
            },
            tags: own.map_or_else(Tags::default, |place| place.tags),
        })
    }

    /// The keys in a target that are those of stores.
    fn stores(&self, target: &Target) -> Result<Vec<String>, Failure> {
        let first = ("the store", &self.job.store, &self.job.store_options);
        let copies = self.job.pass.copies.iter();
        let copies = copies.map(|copy| ("a copy of the store", &copy.store, &copy.options));
        let mut stores = Vec::new();
        for (what, store, options) in std::iter::once(first).chain(copies) {
            match Share::of((&target.url, &target.options), (store, options)) {
                Share::Nothing => {}
                Share::Below(prefix) => stores.push(prefix),
                Share::All => {
                    let message = format!(
                        "`{}` lies in {what}, `{store}`, whose keys are its own",
                        target.url
                    );
                    let hint = "restore into another bucket or prefix";
                    return Err(Failure::new(ExitCode::Usage, message).hint(hint));
                }
            }
        }
        Ok(stores)
    }
}

fn is_same_bucket(one: &StoreUrl, other: &StoreUrl) -> bool {
    match (one, other) {
        (StoreUrl::S3(one), StoreUrl::S3(other)) => one.bucket() == other.bucket(),
        _ => false,
    }
}

/// Refuses what is only for trees.
fn check_flags(args: &RestoreArgs, snapshot: &Snapshot) -> Result<(), Failure> {
    let flags = [("--replace", args.replace), ("--delete", args.delete)];
    let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) else {
        return Ok(());
    };
    let source = &snapshot.source;
    let message = format!("{source} is a bucket, from which {flag} would take objects away");
    let hint = "leave it out: what differs is replaced with --overwrite, and what the snapshot does not have stays";
    Err(Failure::new(ExitCode::Usage, message).hint(hint))
}

/// Why a bucket cannot be looked at or written.
fn refused(error: &StoreError) -> Failure {
    let hint = match &error.kind {
        StoreErrorKind::AccessDenied(_) => Some(
            "a restore into a bucket needs s3:ListBucket, s3:GetObject, s3:PutObject and more on it: docs/BUCKETS.md has the policy",
        ),
        StoreErrorKind::WrongRegion(_) => Some(
            "name the region of the bucket with --to-region, or as `bucket.region` of the source",
        ),
        StoreErrorKind::NoSuchBucket => {
            Some("check its name and the account; create it with `aws s3 mb s3://BUCKET`")
        }
        other => other.hint(),
    };
    let failure = Failure::new(error.kind.exit_code(), text::one_line(&error.to_string()));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What stands in the way in buckets, before anything is written.
pub(super) fn conflicts(work: &[BucketWork]) -> Option<Failure> {
    let count: u64 = work.iter().map(|one| one.plan.conflict_count).sum();
    if count == 0 {
        return None;
    }
    let verb = if count == 1 { "differs" } else { "differ" };
    let things = text::count(count, "object");
    let mut message =
        format!("{things} in the bucket {verb} from the snapshot; nothing was written:");
    for one in work {
        for key in &one.plan.conflicts {
            let there = format!("{}{key}", one.what.target.location());
            message.push_str(&format!("\n  {}", text::one_line(&there)));
        }
    }
    let hint =
        "replace them with --overwrite, or restore under another prefix: --to s3://BUCKET/PREFIX";
    Some(Failure::new(ExitCode::Failed, message).hint(hint))
}

/// Puts the objects of one snapshot back.
pub(super) async fn restore_one(
    store: &Arc<dyn Store>,
    one: &mut BucketWork,
) -> Result<(), Failure> {
    let bar = say::progress(
        &one.snapshot,
        one.plan.create_bytes + one.plan.replace_bytes,
    );
    let shown = bar.clone();
    let (of, what, plan) = (
        one.snapshot.clone(),
        one.what.clone(),
        Arc::clone(&one.plan),
    );
    let report = in_thread(store, move |store| {
        let progress = move |bytes| shown.inc(bytes);
        apply(store, &of, &what, &plan, progress)
    });
    let report = report.await;
    bar.finish_and_clear();
    match report {
        Ok(report) => {
            one.report = Some(report);
            Ok(())
        }
        Err(BucketError::Store(error)) => Err(refused(&error)),
        Err(error) => {
            let hint = "with --unconditional each key is looked up just before it is written: see to it that nobody else writes to the bucket meanwhile";
            Err(Failure::new(ExitCode::Usage, text::one_line(&error.to_string())).hint(hint))
        }
    }
}

/// Runs what blocks.
async fn in_thread<T: Send + 'static>(
    store: &Arc<dyn Store>,
    part: impl FnOnce(&Arc<dyn Store>) -> T + Send + 'static,
) -> T {
    let store = Arc::clone(store);
    match tokio::task::spawn_blocking(move || part(&store)).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl BucketWork {
    pub(super) fn done(&self) -> BucketDone<'_> {
        BucketDone {
            source: self.snapshot.source.as_str(),
            snapshot: self.snapshot.pass.as_str(),
            target: self.what.target.location(),
            plan: &self.plan,
            report: self.report.as_ref(),
        }
    }
}

impl BucketDone<'_> {
    /// Says what would be done.
    pub(super) fn preview(&self) {
        let Self {
            source,
            snapshot,
            target,
            plan,
            ..
        } = self;
        for damaged in &plan.damaged {
            note(&format!("error: {damaged}; that would not be restored"));
        }
        say::name(&plan.lacking, plan.lacking_count);
        say::name(&plan.impossible, plan.impossible_count);
        print(&text::one_line(&format!(
            "{source} {snapshot} into {target}: create {} ({}), keep {}, replace {} ({}) with {}; nothing written",
            HumanCount(plan.create),
            HumanBytes(plan.create_bytes),
            HumanCount(plan.keep),
            HumanCount(plan.replace),
            HumanBytes(plan.replace_bytes),
            text::count(plan.requests, "request"),
        )));
        print("\n");
    }

    /// Says what was done.
    pub(super) fn summary(&self) {
        let Some(report) = self.report else {
            return;
        };
        say::name(&report.failures, report.failure_count);
        if report.earlier_state > 0 {
            note(&format!(
                "warning: {} in an earlier state: the snapshot's pass could not copy them",
                text::count(report.earlier_state, "object")
            ));
        }
        let Self {
            source,
            snapshot,
            target,
            ..
        } = self;
        let how = match (&report.ended_early, report.failure_count) {
            (Some(reason), _) => format!("ENDED EARLY ({reason})"),
            (None, 0) => "restored".to_owned(),
            (None, n) => format!("restored EXCEPT FOR {}", HumanCount(n)),
        };
        print(&text::one_line(&format!(
            "{source} {snapshot} {how} into {target}: {}, {}; {} there already",
            text::count(report.restored, "object"),
            HumanBytes(report.restored_bytes),
            HumanCount(report.kept),
        )));
        print("\n");
    }
}
