//! What was typed for `verify`.

use clap::Args;

use super::SelectArgs;

/// What `verify` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite verify                compare size and ETag of every object with the record, by listing the store
  offsite verify --checksums    compare the checksums that the store keeps, one request for each object
  offsite verify --read         read everything back and hash it
  offsite verify --read 5%      read a share that rotates with time, so that everything gets its turn
  offsite verify --all          check all snapshots, each object once
  offsite verify --repair       put back what is damaged from `backup.copies`; have the next pass do the rest
  offsite verify --against-source    compare the last snapshot with the source, hash 1,000 unchanged files

A listing has 1,000 objects: 1,000,000 objects take about 1,000 requests. Where a snapshot needs few of
the objects listed, each is asked for by itself, and so is whatever a listing does not confirm. The last line says
what was compared: contents, checksums, ETags or sizes. Objects in an archive class (GLACIER,
DEEP_ARCHIVE) are compared and counted, and not read.

--repair works under the lock. It writes an object only if a copy has exactly what was recorded. With --read it
finds damage that shows in the bytes alone, and knows which files of an archive it costs. Exits with 0 if all
was put back, and with 4 while something is damaged still.

--against-source counts files that have changed since the snapshot, hashes a sample of the others, and exits
with 4 if one of those has other contents. It also counts files that `include` and `exclude` hide, and warns if they
are more than 1 %.")]
pub struct VerifyArgs {
    /// Which snapshots.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Check all snapshots of the selected sources, each object once
    #[arg(long, conflicts_with_all = ["snapshot", "at"])]
    pub all: bool,
    /// Compare the checksums that the store keeps, one request for each object
    #[arg(long)]
    pub checksums: bool,
    /// Read contents back: all, or a share
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "100%")]
    pub read: Option<String>,
    /// Put back what is damaged from copies of the store; the next pass captures again what no copy has
    #[arg(long)]
    pub repair: bool,
    /// Compare with what the source has now; with --read, hash this share of its unchanged files
    #[arg(long, conflicts_with_all = ["all", "checksums", "repair"])]
    pub against_source: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
