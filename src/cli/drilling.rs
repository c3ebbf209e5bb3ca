//! What was typed for `drill`.

use std::path::PathBuf;

use clap::Args;

use super::SelectArgs;

/// What `drill` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite drill                            restore 1 % of the last snapshot of every source, read it back, remove it
  offsite drill --source data --read 10%   a larger sample of one source
  offsite drill --snapshot 20251227T020000Z-7f3a
  offsite drill --to /mnt/big              with room for the sample there, not in $TMPDIR
  offsite drill --read 100%                everything

The sample rotates with time: drills at any usual interval restore every entry before long. At least one file is
restored if there is any. Every entry of the manifest is counted against the commit record. The last drill of each
source is shown by `offsite status`.

Exits with 4 if something is missing or damaged, with 3 if something could not be restored for another reason.")]
pub struct DrillArgs {
    /// Which snapshots.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Restore this share of the entries
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    pub read: String,
    /// Restore into this directory, which must be empty or absent [default: a fresh one in $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Print events as JSON, also on a terminal
    #[arg(long)]
    pub json: bool,
}
