//! What was typed for the commands that look at snapshots: `list`, `ls`, `find`, `cat`, `diff`.

use std::ffi::OsString;

use clap::Args;

/// What `list` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite list                                         all snapshots
  offsite list --last 3 --source data                  the last three of one source
  offsite list --source data --json | jq '.[-1].id'    id of the last one of a source
  offsite list 20251227T020000Z-7f3a --path '*.pdf'    the PDF files of one, as `offsite ls` does")]
pub struct ListArgs {
    /// List the files of this snapshot, as `offsite ls` does; `latest` is the last one
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
    /// Then: only this file or directory
    #[arg(value_name = "PATH", requires = "snapshot")]
    pub below: Option<OsString>,
    /// Only this source, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only the last N snapshots of each source
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with = "snapshot"
    )]
    pub last: Option<u32>,
    /// List the condemned snapshots, which `offsite undelete` brings back
    #[arg(long, conflicts_with_all = ["snapshot", "last"])]
    pub condemned: bool,
    /// Only files that match, and what lies below directories that match
    #[arg(long, value_name = "GLOB", requires = "snapshot")]
    pub path: Vec<String>,
    /// Print JSON: one array of objects
    #[arg(long)]
    pub json: bool,
}

/// What `ls` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite ls latest                          everything in the last snapshot, as a tree
  offsite ls latest docs --source data       one directory of one source
  offsite ls latest --path '*.pdf' --json    for scripts

PATH is relative to the source, for example `docs/2024`, or absolute, for example `/data/docs/2024`. Of a
bucket it is the beginning of keys, for example `patients/2024/`.
With --path, what matches is listed by its whole path. Exits with 10 if there is no such PATH, or if
nothing matches.")]
pub struct LsArgs {
    /// The snapshot: an id, the beginning of one, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Only this file or directory
    #[arg(value_name = "PATH")]
    pub below: Option<OsString>,
    /// Only this source, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only files that match, and what lies below directories that match
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<String>,
    /// Print JSON: one array of objects
    #[arg(long)]
    pub json: bool,
}

/// What `find` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite find '*.pdf'               every version of every PDF file
  offsite find docs/report.odt       one file, in the root of any source
  offsite find 'invoice-*' --json    for scripts

A pattern without a slash matches names at any depth; one with a slash is relative to the source.

Each version is printed once, with the first snapshot that has it: + it appeared, M other contents,
U other owner, mode, time or attributes, T another type. A line with - is the first snapshot that
does not have it any more. Exits with 10 if nothing matches.")]
pub struct FindArgs {
    /// What to look for, for example '*.pdf' or docs/report.odt
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    /// Only this source, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Print JSON: one array of objects
    #[arg(long)]
    pub json: bool,
}

/// What `cat` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite cat latest docs/report.odt > report.odt
  offsite cat latest dump.sql.gz --source db | zcat | less

Every byte is compared with the SHA-256 in the snapshot. Files of up to 8 MiB are printed only if
they match. Of larger ones the end is known last: if the exit code is not 0, what was printed is not
the file. On a terminal, characters that could control it are shown in escapes; anywhere else, bytes
come as they are.")]
pub struct CatArgs {
    /// The snapshot: an id, the beginning of one, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// The file, relative to the source or absolute
    #[arg(value_name = "PATH")]
    pub path: OsString,
    /// The source that has it, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// What `diff` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  offsite diff 20251226T020000Z-91c0 latest    what has changed since then
  offsite diff latest                          what has changed on the disk since the last pass
  offsite diff latest --path 'docs/**' --json  for scripts

+ added, - removed, M other contents, U other owner, mode, time or attributes, T another type, and, of
a disk only, ? touched: the same size and other times, which only reading it could tell from M. The
time of a directory does not count.

Exits with 0 whether anything differs or not, and with 3 if something on the disk could not be
looked at.")]
pub struct DiffArgs {
    /// The earlier snapshot: an id, the beginning of one, or `latest`
    #[arg(value_name = "A")]
    pub before: String,
    /// The later one [default: what the configured sources have on the disk now]
    #[arg(value_name = "B")]
    pub after: Option<String>,
    /// Only this source, by name or directory
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only files that match, and what lies below directories that match
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<String>,
    /// Print JSON: one array of objects
    #[arg(long)]
    pub json: bool,
}
