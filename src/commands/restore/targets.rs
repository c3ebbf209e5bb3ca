//! Where each snapshot goes.

use std::path::{Path, PathBuf};

use crate::cli::RestoreArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::name::Order;
use crate::format::snapshot::Snapshot;
use crate::store::url::StoreUrl;

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
    let flags = [
        ("--in-place", args.in_place),
        ("--replace", args.replace),
        ("--delete", args.delete),
    ];
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

/// Refuses to replace a tree in which the store lies, or to remove what the snapshot lacks from it: that is the
/// store.
pub(super) fn check_store<'a>(
    args: &RestoreArgs,
    store: &StoreUrl,
    mut targets: impl Iterator<Item = &'a Path>,
) -> Result<(), Failure> {
    let StoreUrl::Directory(store) = store else {
        return Ok(());
    };
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let Some(store) = real(store).filter(|_| args.replace || args.delete) else {
        return Ok(());
    };
    let lies_in = |target: &&Path| real(target).is_some_and(|target| store.starts_with(target));
    let Some(target) = targets.find(lies_in) else {
        return Ok(());
    };
    let message = format!(
        "the store, `{}`, lies in `{}`, and would be lost with what is there",
        store.display(),
        target.display()
    );
    let hint = "restore into another directory, or move the store out of this one";
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
    let targets: Vec<_> = targets.collect();
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
