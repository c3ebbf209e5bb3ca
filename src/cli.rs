//! What was typed.

mod drilling;
mod keeping;
mod looking;
mod restoring;
mod verifying;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use figment::value::Value;

use crate::config::Flag;

pub use self::drilling::DrillArgs;
pub use self::keeping::{AckArgs, PinArgs, PruneArgs, RetentionArgs, UndeleteArgs, UnpinArgs};
pub use self::looking::{CatArgs, DiffArgs, FindArgs, ListArgs, LsArgs};
pub use self::restoring::RestoreArgs;
pub use self::verifying::VerifyArgs;

/// Backs up directories and buckets to S3 or into a directory, and gets them back.
///
/// Runs one backup pass and exits, with a code that says how it went. Without a command it does
/// what `offsite run` does, in a loop where the configuration sets an interval.
#[derive(Debug, Parser)]
#[command(name = "offsite", version, disable_help_subcommand = true)]
#[command(after_help = "Examples:
  offsite init                                  write an annotated backup_config.yaml
  offsite run                                   back up everything it names, once
  offsite run --bucket my-backups --dirs /data  without a configuration file
  offsite run --store ./backups --dirs ./data   into a directory, without S3
  offsite list                                  what there is
  offsite find report.odt                       which versions of a file there are
  offsite restore --to /restored                get the latest of everything back
  offsite verify --read 5%                      check it, reading a rotating share back
  offsite drill                                 restore a rotating 1 % for real, and remove it again

Exit codes: 0 complete, 1 failed, 2 wrong usage or configuration, 3 some entries could not be
read or restored, 4 integrity check failed, 10 no such snapshot, source or store, 11 another pass
holds the lock, 12 access denied, 130 and 143 interrupted.")]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Without a command: what a pass takes.
    #[command(flatten)]
    pub run: RunArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one backup pass
    Run(RunArgs),
    /// Show what a pass would do: new, changed, removed, bytes, requests; writes nothing
    Plan(PlanArgs),
    /// List the sessions of sources that have them, and what was archived of each
    Sessions(SessionsArgs),
    /// List snapshots
    List(ListArgs),
    /// Show the files of a snapshot as a tree
    Ls(LsArgs),
    /// Find files in all snapshots, and which versions of them there are
    Find(FindArgs),
    /// Print a file of a snapshot
    Cat(CatArgs),
    /// Show what differs between two snapshots, or between one and the disk
    Diff(DiffArgs),
    /// Restore a snapshot into a directory
    Restore(RestoreArgs),
    /// Check that the store has what a snapshot needs, as it was put there
    Verify(VerifyArgs),
    /// Restore a rotating sample of a snapshot, read it back and remove it; say how long all of it would take
    Drill(DrillArgs),
    /// Show the last pass and the state of every source
    Status(StatusArgs),
    /// Show who holds the lock; take it away with --force
    Unlock(UnlockArgs),
    /// Take over a store that belongs to another owner
    Adopt(AdoptArgs),
    /// Show the effective configuration and where each value comes from
    Config(ConfigArgs),
    /// Copy snapshots to another store
    Copy(CopyArgs),
    /// Condemn the snapshots that retention does not keep; nothing is deleted yet
    #[command(visible_alias = "cleanup")]
    Prune(PruneArgs),
    /// Make a condemned snapshot live again
    Undelete(UndeleteArgs),
    /// Keep a snapshot whatever retention says
    Pin(PinArgs),
    /// Let retention decide on a snapshot again
    Unpin(UnpinArgs),
    /// Say that a loss of more than half was meant
    Ack(AckArgs),
    /// Show what a retention policy will hold over time
    Retention(RetentionArgs),
    /// Write an annotated backup_config.yaml
    Init(InitArgs),
    /// Run a pass now as an ECS task, wait for it, and exit with what it exited with
    Launch(LaunchArgs),
}

/// What every command takes.
#[derive(Debug, Default, Args)]
pub struct CommonArgs {
    /// Configuration file [default: $BACKUP_CONFIG_PATH, or backup_config.yaml if there is one]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Configuration"
    )]
    pub config: Option<PathBuf>,
    /// Where the backups are: s3://BUCKET/PREFIX, or a directory such as ./backups
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help_heading = "Configuration"
    )]
    pub store: Option<String>,
    /// Bucket the backups are in
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Configuration"
    )]
    pub bucket: Option<String>,
    /// Where in the bucket
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        help_heading = "Configuration"
    )]
    pub prefix: Option<String>,
    /// Region of the bucket
    #[arg(
        long,
        global = true,
        value_name = "REGION",
        help_heading = "Configuration"
    )]
    pub region: Option<String>,
    /// URL of an S3-compatible store
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help_heading = "Configuration"
    )]
    pub endpoint_url: Option<String>,
    /// Minimum log level: error, warn, info, debug, trace
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        help_heading = "Configuration"
    )]
    pub log_level: Option<String>,
    /// How events are written: json, text, or auto (text on a terminal)
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        help_heading = "Configuration"
    )]
    pub log_format: Option<String>,
}

/// Which directories, and how.
#[derive(Debug, Default, Clone, PartialEq, Args)]
pub struct DirsArgs {
    /// Back up these directories instead of those configured
    #[arg(long, value_name = "DIR,DIR,…")]
    pub dirs: Option<String>,
    /// Only these of the configured sources, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,
    /// Only objects of these categories, of sources that are buckets
    #[arg(long, value_name = "NAME")]
    pub category: Vec<String>,
    /// Capture everything afresh, whatever the last snapshot has
    #[arg(long)]
    pub no_incremental: bool,
    /// Archive each source into one tar object
    #[arg(long)]
    pub archive: bool,
    /// Make full archives, also of sources that are archived incrementally
    #[arg(long)]
    pub full: bool,
}

/// Which sessions, of sources that have them.
#[derive(Debug, Default, Clone, PartialEq, Args)]
pub struct ChoiceArgs {
    /// Only this session, or those whose names match
    #[arg(long, value_name = "ID", help_heading = "Sessions")]
    pub session: Vec<String>,
    /// Only sessions of this year
    #[arg(long, value_name = "YEAR", help_heading = "Sessions")]
    pub year: Option<String>,
    /// Archive at most so many sessions
    #[arg(long, value_name = "N", help_heading = "Sessions")]
    pub limit: Option<u64>,
    /// Only sessions that were never archived
    #[arg(long, help_heading = "Sessions")]
    pub not_backed_up: bool,
    /// Archive sessions again that have not changed
    #[arg(long, help_heading = "Sessions", conflicts_with = "not_backed_up")]
    pub force: bool,
}

/// What a pass takes.
#[derive(Debug, Default, Clone, PartialEq, Args)]
pub struct RunArgs {
    /// Which directories.
    #[command(flatten)]
    pub dirs: DirsArgs,
    /// Which sessions.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// One pass, whatever interval is configured
    #[arg(long, conflicts_with = "interval")]
    pub once: bool,
    /// Run a pass every so often, until interrupted
    #[arg(long, value_name = "SECONDS")]
    pub interval: Option<String>,
    /// Wait so long for the lock instead of giving up at once (as 90, 90s or 10m)
    #[arg(long, value_name = "DURATION")]
    pub wait_for_lock: Option<String>,
    /// Show what a pass would do, as `offsite plan` does
    #[arg(long, conflicts_with_all = ["interval", "wait_for_lock"])]
    pub dry_run: bool,
}

/// What `plan` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "REQUESTS are those for the sources. A pass takes some ten more, for its lock, for what killed passes
have left, for its record and the status, and one more every 40 seconds. How well an archive can be
compressed is not known beforehand: its requests are the most there can be."
)]
pub struct PlanArgs {
    /// Which directories.
    #[command(flatten)]
    pub dirs: DirsArgs,
    /// Which sessions.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Bytes a second, as 50MB, to say how long it takes [default: as recent passes]
    #[arg(long, value_name = "RATE", help_heading = "Sessions")]
    pub rate: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `sessions` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite sessions --year 2024             what there is of a year, and what was archived
  offsite sessions --not-backed-up --json  for scripts
  offsite run --session 'M31*' --limit 5   archive some of them

States: new, changed, touched (other times and the same sizes: the next pass reads it to see),
uncommitted (archived by a pass that was killed; the next one takes it over), archived, emptied
(nothing is left in its directory; its archive stays), gone (not on the disk any more; its archive
stays).")]
pub struct SessionsArgs {
    /// Only this source, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,
    /// Which sessions.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which snapshots.
#[derive(Debug, Default, Args)]
pub struct SelectArgs {
    /// Only this source, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// The snapshot of this id, or of the only id that begins like this [default: latest]
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    pub snapshot: Option<String>,
    /// The last snapshot not later than this, as 2025-12-27T02:00:00Z, "2025-12-27 02:00", 2025-12-27 or "2 days ago"
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show the last so many passes as well
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20")]
    pub history: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `unlock` takes.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// Take the lock away from its holder, who commits nothing once the next pass has it
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `copy` takes.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The store to copy to: s3://BUCKET/PREFIX, or a directory
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Region of its bucket
    #[arg(long, value_name = "REGION")]
    pub to_region: Option<String>,
    /// URL of the S3-compatible server that it is on
    #[arg(long, value_name = "URL")]
    pub to_endpoint_url: Option<String>,
    /// Profile of the AWS configuration files with which it is written, and its region where none is given
    #[arg(long, value_name = "PROFILE")]
    pub to_profile: Option<String>,
    /// Only the snapshots of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only this snapshot, not those before it
    #[arg(long, value_name = "ID")]
    pub snapshot: Option<String>,
    /// Wait for so long while a pass holds the lock of the other store, as in 10m
    #[arg(long, value_name = "DURATION")]
    pub wait_for_lock: Option<String>,
}

/// What `adopt` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite adopt                            show what is there, ask, and take it over
  OFFSITE_STORE_OWNER=shop/offsite offsite adopt --force

The store then belongs to `backup.store_owner`, and passes of any other owner are refused. The next pass
takes the snapshots that are there for its own: it removes from its view what its sources do not have.
Earlier snapshots stay.")]
pub struct AdoptArgs {
    /// Take it over without asking
    #[arg(long)]
    pub force: bool,
    /// Wait this long for the lock instead of giving up at once (for example 90, 90s or 10m)
    #[arg(long, value_name = "DURATION")]
    pub wait_for_lock: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `config` takes.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Which directories and how, as for a pass.
    #[command(flatten)]
    pub run: RunArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `init` takes.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// File to write; `-` is standard output
    #[arg(value_name = "FILE", default_value = "backup_config.yaml")]
    pub file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// What `launch` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite launch --cluster backups --task-definition offsite \\
    --subnets subnet-0a1b2c3d --security-groups sg-0a1b2c3d
  offsite launch --cluster backups --task-definition offsite \\
    --subnets subnet-0a1b2c3d --security-groups sg-0a1b2c3d \\
    -- verify --read 5%                 another command than the task definition's

Needs ecs:RunTask, ecs:DescribeTasks, iam:PassRole for the roles of the task definition, and for
another command than its own ecs:DescribeTaskDefinition, unless --container is given.
Exits with what the container exited with, or with 1 if it never ran. Interrupted, it leaves the
task running. What the task writes goes where its log driver sends it.")]
pub struct LaunchArgs {
    /// Cluster to run in, by name or ARN
    #[arg(long, value_name = "CLUSTER", default_value = "default")]
    pub cluster: String,
    /// Task definition: family, family:revision or ARN
    #[arg(long, value_name = "FAMILY")]
    pub task_definition: String,
    /// Subnets of the task; tasks on Fargate need at least one
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub subnets: Vec<String>,
    /// Security groups of the task [default: the VPC's own]
    #[arg(long, value_name = "ID", value_delimiter = ',', requires = "subnets")]
    pub security_groups: Vec<String>,
    /// Give the task a public address, as in subnets without NAT
    #[arg(long, requires = "subnets")]
    pub assign_public_ip: bool,
    /// FARGATE, EC2 or EXTERNAL
    #[arg(
        long,
        value_name = "TYPE",
        value_parser = ["FARGATE", "EC2", "EXTERNAL"],
        default_value = "FARGATE"
    )]
    pub launch_type: String,
    /// Capacity provider instead of a launch type, as FARGATE_SPOT
    #[arg(long, value_name = "NAME", conflicts_with = "launch_type")]
    pub capacity_provider: Option<String>,
    /// The container that counts, where the task has several
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Arguments for offsite instead of those in the task definition, after `--`
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub command: Vec<String>,
}

/// Collects the settings that flags give.
#[derive(Default)]
struct Flags(Vec<Flag>);

impl Flags {
    fn add(&mut self, name: &'static str, field: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let value = value.into();
            self.0.push(Flag { name, field, value });
        }
    }
}

impl CommonArgs {
    /// The settings these flags give.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Flags::default();
        flags.add("--store", "backup.store", self.store.as_deref());
        flags.add("--bucket", "backup.s3.bucket", self.bucket.as_deref());
        flags.add("--prefix", "backup.s3.prefix", self.prefix.as_deref());
        flags.add("--region", "backup.s3.region", self.region.as_deref());
        let url = self.endpoint_url.as_deref();
        flags.add("--endpoint-url", "backup.s3.endpoint_url", url);
        flags.add("--log-level", "backup.log.level", self.log_level.as_deref());
        flags.add(
            "--log-format",
            "backup.log.format",
            self.log_format.as_deref(),
        );
        flags.0
    }
}

impl DirsArgs {
    /// The settings these flags give.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Flags::default();
        flags.add("--dirs", "backup.s3.include_dirs", self.dirs.as_deref());
        let incremental = self.no_incremental.then_some(false);
        flags.add("--no-incremental", "backup.incremental", incremental);
        flags.add("--archive", "backup.archive", self.archive.then_some(true));
        flags.add("--full", "backup.full", self.full.then_some(true));
        flags.0
    }
}

impl CopyArgs {
    /// The settings these flags give.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Flags::default();
        let wait = self.wait_for_lock.as_deref();
        flags.add("--wait-for-lock", "backup.lock.wait", wait);
        flags.0
    }
}

impl RunArgs {
    /// The settings these flags give.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Flags(self.dirs.flags());
        let interval = self.interval.as_deref();
        flags.add("--interval", "backup.s3.interval_seconds", interval);
        let wait = self.wait_for_lock.as_deref();
        flags.add("--wait-for-lock", "backup.lock.wait", wait);
        flags.0
    }
}

impl AdoptArgs {
    /// The settings these flags give.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Flags::default();
        let wait = self.wait_for_lock.as_deref();
        flags.add("--wait-for-lock", "backup.lock.wait", wait);
        flags.0
    }
}
