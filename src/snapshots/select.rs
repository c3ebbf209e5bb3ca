//! Which snapshots are meant: by source, by id, by time.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use crate::exit::ExitCode;
use crate::format::keys::{self, SourceName};
use crate::format::pass_id::PassId;
use crate::format::snapshot::Snapshot;
use crate::snapshots::chain::{self, Chain, ChainError};
use crate::source::directory::clean::clean;
use crate::store::{Listing, Store, StoreError, StoreResult, all_keys};

/// Means the latest snapshot, in place of an id.
pub(crate) const LATEST: &str = "latest";

/// What was asked for. Nothing means the latest snapshot of every source.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Name or directory of a source.
    pub source: Option<String>,
    /// Id of a pass, or the beginning of one, or `latest`.
    pub snapshot: Option<String>,
    /// The last snapshot not later than this.
    pub at: Option<Timestamp>,
}

/// Why nothing was selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// There are no snapshots at all.
    #[error("there are no snapshots in {0}")]
    Nothing(String),
    /// No such source.
    #[error("there is no source `{wanted}`")]
    NoSource {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: Vec<SourceName>,
    },
    /// A directory that was backed up under several names.
    #[error("`{wanted}` was backed up as {}", names(found))]
    SeveralSources {
        /// What was asked for.
        wanted: String,
        /// Whose directory it is.
        found: Vec<SourceName>,
    },
    /// No snapshot of this id.
    #[error("there is no snapshot `{0}`")]
    NoSnapshot(String),
    /// Several snapshots begin like this.
    #[error("`{wanted}` could be any of {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// What it could be.
        candidates: Vec<String>,
    },
    /// No snapshot is that old.
    #[error("there is no snapshot from {at} or before; the first is from {first}")]
    TooEarly {
        /// What was asked for.
        at: Timestamp,
        /// When the first one was made.
        first: Timestamp,
    },
    /// A commit record cannot be read.
    #[error(transparent)]
    Latest(#[from] ChainError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SelectError {
    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Nothing(_)
            | Self::NoSource { .. }
            | Self::NoSnapshot(_)
            | Self::TooEarly { .. } => ExitCode::NotFound,
            Self::Ambiguous { .. } | Self::SeveralSources { .. } => ExitCode::Usage,
            Self::Latest(ChainError::Record { .. }) => ExitCode::Integrity,
            Self::Latest(ChainError::Store(error)) | Self::Store(error) => error.kind.exit_code(),
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Nothing(_) => Some(
                "check --store (or --bucket and --prefix), or make a first backup with `offsite run`".to_owned(),
            ),
            Self::NoSource { known, .. } => Some(format!("there are: {}", names(known))),
            Self::SeveralSources { .. } => Some("say which with `--source NAME`".to_owned()),
            Self::NoSnapshot(_) | Self::TooEarly { .. } => {
                Some("`offsite list` shows all of them".to_owned())
            }
            Self::Ambiguous { .. } => Some("give more of the id".to_owned()),
            Self::Latest(error) => error.hint().map(str::to_owned),
            Self::Store(error) => error.kind.hint().map(str::to_owned),
        }
    }
}

fn names(sources: &[SourceName]) -> String {
    let names: Vec<_> = sources.iter().map(SourceName::as_str).collect();
    names.join(", ")
}

/// The sources that have snapshots.
///
/// # Errors
/// The listing fails.
pub async fn sources(store: &dyn Store) -> StoreResult<Vec<SourceName>> {
    let listing = Listing {
        prefix: keys::SNAPSHOTS,
        folders: true,
        ..Listing::default()
    };
    let listed = all_keys(store, listing).await?;
    let name = |folder: &String| {
        let name = folder.strip_prefix(keys::SNAPSHOTS)?.strip_suffix('/')?;
        SourceName::parse(name).ok()
    };
    Ok(listed.folders.iter().filter_map(name).collect())
}

/// The sources meant by `wanted`, a name or a directory; all of them, without.
///
/// # Errors
/// There are none, or not this one.
pub async fn sources_named(
    store: &dyn Store,
    wanted: Option<&str>,
) -> Result<Vec<SourceName>, SelectError> {
    let known = sources(store).await?;
    if known.is_empty() {
        return Err(SelectError::Nothing(store.location()));
    }
    let Some(wanted) = wanted else {
        return Ok(known);
    };
    let mut found = match known.iter().find(|name| name.as_str() == wanted) {
        Some(name) => vec![name.clone()],
        None => of_directory(store, &known, wanted).await?,
    };
    let wanted = wanted.to_owned();
    match (found.pop(), found.is_empty()) {
        (Some(name), true) => Ok(vec![name]),
        (Some(name), false) => {
            found.push(name);
            Err(SelectError::SeveralSources { wanted, found })
        }
        (None, _) => Err(SelectError::NoSource { wanted, known }),
    }
}

/// The sources whose last snapshots are of this directory. There are several where one was given
/// another name.
async fn of_directory(
    store: &dyn Store,
    known: &[SourceName],
    directory: &str,
) -> Result<Vec<SourceName>, SelectError> {
    let mut found = Vec::new();
    // A name that no source has is no directory.
    if !directory.contains('/') {
        return Ok(found);
    }
    let directory = clean(directory);
    for name in known {
        let snapshot = chain::latest(store, name).await?;
        if snapshot.is_some_and(|snapshot| clean(&snapshot.place) == directory) {
            found.push(name.clone());
        }
    }
    Ok(found)
}

/// The snapshots meant: at most one of each source.
///
/// # Errors
/// There are none.
pub async fn select(
    store: &Arc<dyn Store>,
    selection: &Selection,
) -> Result<Vec<Snapshot>, SelectError> {
    let names = sources_named(&**store, selection.source.as_deref()).await?;
    let by_id = selection.snapshot.as_deref();
    let snapshots = match (by_id.filter(|id| *id != LATEST), selection.at) {
        (Some(id), _) => by_beginning(&**store, &names, id).await?,
        (None, Some(at)) => at_time(store, &names, at).await?,
        (None, None) => {
            let mut latest = Vec::new();
            for name in &names {
                latest.extend(chain::latest(&**store, name).await?);
            }
            latest
        }
    };
    match snapshots.is_empty() {
        true => Err(SelectError::Nothing(store.location())),
        false => Ok(snapshots),
    }
}

/// The snapshots of the only pass whose id begins like this.
async fn by_beginning(
    store: &dyn Store,
    names: &[SourceName],
    wanted: &str,
) -> Result<Vec<Snapshot>, SelectError> {
    let mut found = Vec::new();
    for name in names {
        let passes = chain::passes(store, name).await?;
        // Nothing is no beginning.
        let begins = |pass: &PassId| !wanted.is_empty() && pass.as_str().starts_with(wanted);
        for pass in passes.into_iter().filter(begins) {
            found.extend(chain::read(store, name, pass).await?);
        }
    }
    let candidates: BTreeSet<_> = found
        .iter()
        .map(|s: &Snapshot| s.pass.to_string())
        .collect();
    match candidates.len() {
        0 => Err(SelectError::NoSnapshot(wanted.to_owned())),
        1 => Ok(found),
        _ => Err(SelectError::Ambiguous {
            wanted: wanted.to_owned(),
            candidates: candidates.into_iter().collect(),
        }),
    }
}

/// Of each source, the newest snapshot in the chain of parents that was committed by then. Ids do not
/// say when: after the store's clock was ahead once, they stay ahead of it.
async fn at_time(
    store: &Arc<dyn Store>,
    names: &[SourceName],
    at: Timestamp,
) -> Result<Vec<Snapshot>, SelectError> {
    let (mut found, mut first): (Vec<Snapshot>, Option<Timestamp>) = (Vec::new(), None);
    for name in names {
        let mut chain = Chain::of(store, name).await?;
        while let Some(snapshot) = chain.next().await? {
            first = Some(first.map_or(snapshot.committed_at, |f| f.min(snapshot.committed_at)));
            if snapshot.committed_at <= at {
                found.push(snapshot);
                break;
            }
        }
    }
    match first {
        Some(first) if found.is_empty() => Err(SelectError::TooEarly { at, first }),
        _ => Ok(found),
    }
}

/// A time as people write it: RFC 3339, `2025-12-27 02:00` (UTC), `2025-12-27` (its end), or
/// `2 days ago`.
///
/// # Errors
/// What it must be.
pub fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let utc = |civil: DateTime| Offset::UTC.to_timestamp(civil).ok();
    let today = now.to_zoned(TimeZone::UTC).date();
    match text {
        "now" => return Ok(now),
        "yesterday" => {
            let end = today
                .yesterday()
                .ok()
                .and_then(|day| utc(day.to_datetime(Time::MAX)));
            return end.ok_or_else(|| "within the years -9999 to 9999".to_owned());
        }
        _ => {}
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2025-12-27".len()
    {
        let end = utc(date.to_datetime(Time::MAX));
        return end.ok_or_else(|| "within the years -9999 to 9999".to_owned());
    }
    if let Some(time) = text.parse::<DateTime>().ok().and_then(utc) {
        return Ok(time);
    }
    let ago = text.strip_suffix("ago").map(str::trim);
    let ago = ago.and_then(|ago| ago.parse::<jiff::Span>().ok());
    // Days and months are those of UTC.
    let before = |ago| now.to_zoned(TimeZone::UTC).checked_sub(ago).ok();
    if let Some(time) = ago.and_then(before) {
        return Ok(time.timestamp());
    }
    Err(
        "a time like `2025-12-27T02:00:00Z`, `2025-12-27 02:00` (UTC), `2025-12-27`, `yesterday` or `2 days ago`"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        let now: Timestamp = "2025-12-27T12:00:00Z".parse().unwrap();
        for (text, time) in [
            ("2025-12-27T02:00:00Z", "2025-12-27T02:00:00Z"),
            ("2025-12-27T02:00:00+02:00", "2025-12-27T00:00:00Z"),
            ("2025-12-27 02:00", "2025-12-27T02:00:00Z"),
            ("2025-12-27T02:00:05", "2025-12-27T02:00:05Z"),
            ("2025-12-27", "2025-12-27T23:59:59.999999999Z"),
            ("3h ago", "2025-12-27T09:00:00Z"),
            ("90 minutes ago", "2025-12-27T10:30:00Z"),
            ("now", "2025-12-27T12:00:00Z"),
            ("yesterday", "2025-12-26T23:59:59.999999999Z"),
            ("2 days ago", "2025-12-25T12:00:00Z"),
            ("7d ago", "2025-12-20T12:00:00Z"),
            ("1 week 2h ago", "2025-12-20T10:00:00Z"),
            ("1 month ago", "2025-11-27T12:00:00Z"),
        ] {
            assert_eq!(parse_time(text, now), Ok(time.parse().unwrap()), "{text}");
        }
        assert!(parse_time("tomorrow", now).is_err());
    }
}
