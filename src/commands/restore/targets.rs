//! Where each snapshot goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Work;
use crate::cli::RestoreArgs;
use crate::config::Job;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::name::Order;
use crate::format::snapshot::Snapshot;
use crate::restore::Deletions;
use crate::store::url::StoreUrl;
use crate::text;

/// The directory that a snapshot goes to; none for a test that names none.
pub(super) fn target(args: &RestoreArgs, snapshot: &Snapshot) -> Result<Option<PathBuf>, Failure> {
    if snapshot.order == Order::Key {
        check_objects(args, snapshot)?;
    }
    if args.in_place {
        return origin(snapshot).map(Some);
    }
    Ok(args.to.as_ref().map(|to| match is_by_source(args) {
        true => to.join(snapshot.source.as_str()),
        false => to.clone(),
    }))
}

/// Refuses what is not for objects: they are restored as files, into a directory.
fn check_objects(args: &RestoreArgs, snapshot: &Snapshot) -> Result<(), Failure> {
    let flags = [("--replace", args.replace), ("--delete", args.delete)];
    let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) else {
        return Ok(());
    };
    let source = &snapshot.source;
    let message = format!("{source} is a bucket, whose objects cannot be restored with {flag}");
    let hint = format!(
        "restore them as files: `offsite restore --source {source} --to DIR`, which leaves alone what is there"
    );
    Err(Failure::new(ExitCode::Usage, message).hint(hint))
}

/// Whether each source goes into a directory of its name.
pub(super) fn is_by_source(args: &RestoreArgs) -> bool {
    args.to.is_some() && args.select.source.is_none()
}

fn origin(snapshot: &Snapshot) -> Result<PathBuf, Failure> {
    let origin = snapshot.origins.first();
    let path = origin.map(|origin| Path::new(&origin.place));
    match path.filter(|path| path.is_absolute()) {
        Some(path) => Ok(path.to_owned()),
        None => {
            let source = &snapshot.source;
            let message =
                format!("the snapshot of {source} does not say which directory it was made of");
            let hint = format!("name one: `offsite restore --source {source} --to DIR`");
            Err(Failure::new(ExitCode::Usage, message).hint(hint))
        }
    }
}

/// Refuses to replace a tree in which the store lies or a copy of it, or to remove what the snapshot lacks from it: that
/// is the store.
pub(super) fn check_stores<'a>(
    args: &RestoreArgs,
    job: &Job,
    targets: &(impl Iterator<Item = &'a Path> + Clone),
) -> Result<(), Failure> {
    if !args.replace && !args.delete {
        return Ok(());
    }
    check_store("the store", &job.store, targets.clone())?;
    for copy in &job.pass.copies {
        check_store("a copy of the store", &copy.store, targets.clone())?;
    }
    Ok(())
}

fn check_store<'a>(
    what: &str,
    store: &StoreUrl,
    mut targets: impl Iterator<Item = &'a Path>,
) -> Result<(), Failure> {
    let StoreUrl::Directory(store) = store else {
        return Ok(());
    };
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let Some(store) = real(store) else {
        return Ok(());
    };
    let lies_in = |target: &&Path| real(target).is_some_and(|target| store.starts_with(target));
    let Some(target) = targets.find(lies_in) else {
        return Ok(());
    };
    let message = format!(
        "{what}, `{}`, lies in `{}`, and would be lost with what is there",
        store.display(),
        target.display()
    );
    let hint = "restore into another directory, or move the store out of this one";
    Err(Failure::new(ExitCode::Usage, message).hint(hint))
}

/// Refuses to remove from the root directory what a snapshot lacks that is of another one: that is the system.
pub(super) fn check_root(target: &Path, snapshot: &Snapshot) -> Result<(), Failure> {
    let root = Path::new("/");
    let is_root = std::fs::canonicalize(target).is_ok_and(|target| target == root);
    if !is_root || Path::new(&snapshot.place) == root {
        return Ok(());
    }
    let message = format!(
        "--delete would remove everything from `/` that the snapshot of {} lacks",
        snapshot.source
    );
    let hint = format!("it was made of `{}`", snapshot.place);
    Err(Failure::new(ExitCode::Usage, message).hint(hint))
}

/// Refuses to remove anything from a directory that has nothing of the snapshot: it is another one than was meant.
pub(super) fn check_known(work: &[Work]) -> Result<(), Failure> {
    /// The directory itself.
    const ITSELF: u64 = 1;
    let is_strange = |one: &&Work| {
        let there = one.plan.keep + one.plan.replace;
        let deletes = |deletions: &Arc<Deletions>| deletions.delete > 0;
        there <= ITSELF && one.deletions.as_ref().is_some_and(deletes)
    };
    let Some(strange) = work.iter().find(is_strange) else {
        return Ok(());
    };
    let deletions = strange.deletions.as_ref();
    let message = format!(
        "nothing of the snapshot is in `{}`, and {} in it would be removed; nothing was written",
        strange.options.target.display(),
        text::count(deletions.map_or(0, |deletions| deletions.delete), "entry")
    );
    let hint = "check that this is the directory you mean: --replace puts the snapshot in its place and keeps what is there";
    Err(Failure::new(ExitCode::Usage, message).hint(hint))
}

/// Refuses trees that lie in one another where whole trees are replaced, or what a snapshot lacks is removed: what
/// one source leaves out another one has.
pub(super) fn check_apart<'a>(
    args: &RestoreArgs,
    targets: impl Iterator<Item = &'a Path>,
) -> Result<(), Failure> {
    if !args.replace && !args.delete {
        return Ok(());
    }
    let targets: Vec<_> = targets.map(real).collect();
    let in_another = (targets.iter().enumerate()).find_map(|(at, inner)| {
        let mut others = targets.iter().enumerate().filter(|(other, _)| *other != at);
        let outer = others.find(|(_, outer)| inner.starts_with(outer))?;
        Some((inner, outer.1))
    });
    let Some((inner, outer)) = in_another else {
        return Ok(());
    };
    let message = format!(
        "`{}` lies in `{}`, and both would be restored",
        inner.display(),
        outer.display()
    );
    let hint = "restore one source at a time with --source, the outer one first";
    Err(Failure::new(ExitCode::Usage, message).hint(hint))
}

/// A path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|above| {
        let real = std::fs::canonicalize(above).ok()?;
        Some(real.join(path.strip_prefix(above).ok()?))
    });
    real.unwrap_or(path)
}
