//! What was typed for `restore`.

use std::path::PathBuf;

use clap::Args;

use super::SelectArgs;

/// What `restore` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite restore --to /restored                             each source into /restored/<source>
  offsite restore --to /data --source data                   one source, straight into /data
  offsite restore --to /tmp/x --source data --path 'a/*.pdf' some files
  offsite restore --to /earlier --source data --at '2h ago'  as it was two hours ago
  offsite restore --test                                     read and check everything, write nothing
  offsite restore --to /data --source data --replace         put the snapshot in place of what is in /data
  offsite restore --to /data --discard-old                   remove the old tree that --replace has kept
  offsite restore --to /data --source data --overwrite --delete --dry-run
                                                             what would be replaced and removed in /data
  offsite restore --in-place --source documents --dry-run    what a bucket lacks of its snapshot
  offsite restore --to s3://other/documents/ --source documents --category images
                                                             some objects, into another bucket

A restore that was interrupted continues when it is started again. Contents in the target that
differ are an error, before anything is written, unless --overwrite is given; modes and times are
set to what they were; what is in the target and not in the snapshot stays, unless --delete is given.

With --replace the snapshot is restored beside the tree that exists, and checked; then the two
change places, and the old one is kept as DIR.before-TIME. Where DIR is a mount point, its entries
change places one by one, and the old ones are kept in DIR/.before-TIME.

Objects go back into a bucket by the copies of its server, with their headers, metadata, tags and class,
or as files into a directory. In a bucket, whatever the snapshot does not have stays.")]
pub struct RestoreArgs {
    /// Directory to restore into, which need not exist; or, of a bucket, s3://BUCKET/PREFIX
    #[arg(
        long,
        value_name = "DIR|URL",
        required_unless_present_any = ["in_place", "test"],
        conflicts_with = "in_place"
    )]
    pub to: Option<PathBuf>,
    /// Restore each source into the directory or bucket that it was made of
    #[arg(long)]
    pub in_place: bool,
    /// Which snapshots.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Only files that match, and what lies below directories that match
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<String>,
    /// Only objects of these categories, of sources that are buckets
    #[arg(long, value_name = "NAME")]
    pub category: Vec<String>,
    /// Only this session, of a source that has sessions, or those whose names match
    #[arg(long, value_name = "ID")]
    pub session: Vec<String>,
    /// Replace files or objects that are there and differ
    #[arg(long)]
    pub overwrite: bool,
    /// Into a bucket on a server that ignores conditions of copies: look each key up just before instead
    #[arg(long)]
    pub unconditional: bool,
    /// Region of the bucket that --to names
    #[arg(long, value_name = "REGION", requires = "to")]
    pub to_region: Option<String>,
    /// URL of the S3-compatible server that it is on
    #[arg(long, value_name = "URL", requires = "to")]
    pub to_endpoint_url: Option<String>,
    /// Profile of the AWS configuration files with which it is written, and its region where none is given
    #[arg(long, value_name = "PROFILE", requires = "to")]
    pub to_profile: Option<String>,
    /// Restore beside the tree that exists and exchange the two; the old one is kept
    #[arg(long)]
    pub replace: bool,
    /// Remove what the snapshot lacks, once everything else was restored; what the backup excludes stays; with --path, only
    /// what that selects
    #[arg(long)]
    pub delete: bool,
    /// Remove the old trees that --replace has kept, and what it has left unfinished; restores nothing
    #[arg(long)]
    pub discard_old: bool,
    /// Read and check everything that would be restored; write nothing
    #[arg(long)]
    pub test: bool,
    /// Show what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
