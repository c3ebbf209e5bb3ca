//! Where the snapshots of a source came from, as far back as commit records remember.
//!
//! Two directories whose sources have one name share one history, and each pass undoes what the other
//! one did. A new origin says nothing: directories move, and every night's pod is a new one. It is an
//! origin that was replaced and is back that gives two of them away.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::pass_id::PassId;

/// Origins that a commit record remembers. What alternates is seldom more than two; the others are
/// what a machine without a lasting name looks like.
const MOST: usize = 8;

/// How long an alternation is shown after its last turn.
const SHOWN_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A directory, and what of its surroundings lasts from pass to pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What was backed up: a directory, absolute and clean.
    pub place: String,
    /// Where that was: a host, or what of a cluster outlives its pods and tasks.
    pub machine: String,
    /// The file system's own id, where it has one that lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<String>,
    /// The first pass that is remembered of it.
    pub first: PassId,
    /// The last one.
    pub last: PassId,
    /// When that began, in the store's time.
    pub last_at: Timestamp,
}

/// Two origins of one source that have taken turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternation {
    /// The one that is back.
    pub origin: Origin,
    /// The one that was there meanwhile.
    pub other: Origin,
}

impl Origin {
    fn is_same(&self, other: &Self) -> bool {
        (&self.place, &self.machine, &self.file_system)
            == (&other.place, &other.machine, &other.file_system)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` on {}", self.place, self.machine)?;
        match &self.file_system {
            Some(id) => write!(f, " (file system {id})"),
            None => Ok(()),
        }
    }
}

/// The origins of a snapshot that was made from `now`, that one first, given those of its parent.
#[must_use]
pub fn after(parent: &[Origin], now: &Origin) -> Vec<Origin> {
    let known = parent.iter().find(|origin| origin.is_same(now));
    let first = known.map_or(now.first, |known| known.first);
    let others = parent.iter().filter(|origin| !origin.is_same(now));
    let mut origins = vec![Origin {
        first,
        ..now.clone()
    }];
    origins.extend(others.cloned());
    origins.truncate(MOST);
    origins
}

/// The parent's origin, where `now` was there before that one and is back.
#[must_use]
pub fn returns_after<'a>(parent: &'a [Origin], now: &Origin) -> Option<&'a Origin> {
    let (last, earlier) = parent.split_first()?;
    let is_back = !last.is_same(now) && earlier.iter().any(|origin| origin.is_same(now));
    is_back.then_some(last)
}

/// Whether the origin of a snapshot, the first of these, was there before another one that the source
/// had lately.
#[must_use]
pub fn alternation(origins: &[Origin]) -> Option<Alternation> {
    let (origin, others) = origins.split_first()?;
    let other = others.iter().max_by_key(|other| other.last)?;
    let since = origin.last_at.duration_since(other.last_at);
    let takes_turns = origin.first < other.last && since < SHOWN_FOR;
    takes_turns.then(|| Alternation {
        origin: origin.clone(),
        other: other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots from one origin after the other, a pass a day; which of them were in turn.
    fn turns(origins: &[&str]) -> Vec<bool> {
        let mut known = Vec::new();
        let mut turns = Vec::new();
        for (day, name) in origins.iter().enumerate() {
            let (machine, file_system) = name.split_once('/').unwrap_or((name, ""));
            let month = day / 28 + 1;
            let pass = format!("2025{month:02}{:02}T020000Z-0000", day % 28 + 1);
            let pass: PassId = pass.parse().unwrap();
            let hours = i64::try_from(day).unwrap() * 24;
            let now = Origin {
                place: "/data".to_owned(),
                machine: machine.to_owned(),
                file_system: (!file_system.is_empty()).then(|| file_system.to_owned()),
                first: pass,
                last: pass,
                last_at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours),
            };
            let is_back = returns_after(&known, &now).is_some();
            known = after(&known, &now);
            assert!(known.len() <= MOST);
            let takes_turns = alternation(&known).is_some();
            assert!(takes_turns || !is_back);
            turns.push(takes_turns);
        }
        turns
    }

    #[test]
    fn an_origin_that_is_back_gives_two_away() {
        assert_eq!(turns(&["a", "a", "b", "b"]), [false; 4]);
        assert_eq!(turns(&["a", "b", "a", "a"]), [false, false, true, true]);
        assert_eq!(turns(&["a", "b", "c", "b"]), [false, false, false, true]);
        // Containers of two hosts that call themselves the same.
        assert_eq!(turns(&["pod/1", "pod/2", "pod/1"]), [false, false, true]);
    }

    #[test]
    fn what_is_new_each_time_is_no_alternation() {
        let pods: Vec<_> = (0..60).map(|pod| format!("pod-{pod}")).collect();
        let pods: Vec<_> = pods.iter().map(String::as_str).collect();
        assert!(!turns(&pods).contains(&true));
    }

    #[test]
    fn an_alternation_is_forgotten_a_month_after_its_last_turn() {
        let mut origins = vec!["a", "b"];
        origins.extend(["a"; 40]);
        let turns = turns(&origins);
        assert!(turns[2..20].iter().all(|shown| *shown));
        assert_eq!(turns.last(), Some(&false));
    }
}
