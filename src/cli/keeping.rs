//! What the commands of keeping take.

use clap::Args;

use super::Flags;
use crate::config::Flag;

/// What `prune` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite prune --dry-run               what would go, what stays, and why
  offsite prune                         condemn what `retention` does not keep
  offsite prune --expect-removed 212    the same, where a guard wants the number
  offsite list --condemned              what is condemned, and since when
  offsite undelete 20251226T020000Z-91c0

A condemned snapshot does not exist for other commands, and nothing of it is deleted: `undelete` brings it back.
The newest snapshot of a source, its newest complete one and pinned ones are never condemned. Of a source
that is not configured any more, nothing is, unless --source names it.

Exits with 2 and changes nothing where far more would go than the last time: look at --dry-run, then give
the number with --expect-removed.")]
pub struct PruneArgs {
    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Go on only if exactly N snapshots would be condemned
    #[arg(long, value_name = "N")]
    pub expect_removed: Option<u64>,
    /// Keep condemned snapshots at least this long before their space may be freed (for example 7d)
    #[arg(long, value_name = "DURATION")]
    pub grace: Option<String>,
    /// Wait this long for the lock instead of giving up at once (for example 90, 90s or 10m)
    #[arg(long, value_name = "DURATION")]
    pub wait_for_lock: Option<String>,
    /// Print JSON: the plan with --dry-run, events without
    #[arg(long)]
    pub json: bool,
}

impl PruneArgs {
    /// The settings these flags give.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Flags::default();
        let wait = self.wait_for_lock.as_deref();
        flags.add("--wait-for-lock", "backup.lock.wait", wait);
        flags.0
    }
}

/// What `undelete` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  offsite undelete 20251226T020000Z-91c0

`offsite list --condemned` shows what can be undeleted. The snapshot is pinned as well, or the next prune
would condemn it again; `offsite unpin` lets retention decide.")]
pub struct UndeleteArgs {
    /// Its id, or the beginning of it
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// What `pin` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite pin latest --reason 'before the migration'
  offsite pin 20251226T020000Z-91c0 --reason 'audit 2025' --until 2036-01-01")]
pub struct PinArgs {
    /// Its id, the beginning of it, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Why; `prune --dry-run` shows it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when (for example 2026-12-31) [default: for ever]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// What `unpin` takes.
#[derive(Debug, Args)]
pub struct UnpinArgs {
    /// Its id, the beginning of it, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// What `ack` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite ack                                    every loss nobody has acknowledged yet
  offsite ack 20251227T020000Z-7f3a --reason 'old projects moved away'

A pass that finds less than half of the entries or bytes of the snapshot before it says so, and that snapshot is
kept whatever retention says. `ack` says that the loss was meant.")]
pub struct AckArgs {
    /// The snapshot that shows the loss, or `latest` [default: all of them]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// What `retention` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite retention --simulate 1d                    a pass a day, for a year
  offsite retention --simulate 6h --for 3y           four a day, for three years
  offsite retention --simulate 1d --for 3y --source media --json

Nothing is read from the store but the size of the last snapshot and of what the last passes uploaded.")]
pub struct RetentionArgs {
    /// As if a pass ran this often (for example 1d, 6h or 15m)
    #[arg(long, value_name = "DURATION")]
    pub simulate: String,
    /// For how long (for example 90d or 3y)
    #[arg(long = "for", value_name = "DURATION", default_value = "1y")]
    pub duration: String,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
