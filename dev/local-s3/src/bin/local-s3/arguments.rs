//! What can be said on the command line.

use clap::Parser;
use local_s3::{EntityTags, Keep};
use std::net::SocketAddr;
use std::path::PathBuf;

/// An S3 server for tests, demos and benchmarks, on this machine only.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,

    /// A bucket to create at the start; may be given several times
    #[arg(long = "bucket", value_name = "NAME")]
    pub(crate) buckets: Vec<String>,

    /// A bucket to create at the start that keeps versions; may be given several times
    #[arg(long = "versioned-bucket", value_name = "NAME", conflicts_with_all = ["sink", "persist"])]
    pub(crate) versioned_buckets: Vec<String>,

    /// A bucket to create at the start with so many objects that are computed and need no memory; may
    /// be given several times
    #[arg(long, value_name = "BUCKET=N", value_parser = generated, conflicts_with_all = ["sink", "persist"])]
    pub(crate) generate: Vec<(String, u64)>,

    /// Keep objects in this folder, and start with those that are there
    #[arg(long, value_name = "FOLDER", conflicts_with = "sink")]
    pub(crate) persist: Option<PathBuf>,

    /// The access key to accept [default: test]
    #[arg(long, value_name = "KEY", requires = "secret_key")]
    pub(crate) access_key: Option<String>,

    /// The secret key that belongs to it [default: test]
    #[arg(long, value_name = "SECRET", requires = "access_key")]
    pub(crate) secret_key: Option<String>,

    /// Accept every signature, and requests without one
    #[arg(long, conflicts_with = "access_key")]
    pub(crate) anonymous: bool,

    /// Write the endpoint to this file once the server listens
    #[arg(long, value_name = "FILE")]
    pub(crate) port_file: Option<PathBuf>,

    /// Append a JSON line for each request to this file
    #[arg(long, value_name = "FILE", conflicts_with = "sink")]
    pub(crate) log_requests: Option<PathBuf>,

    /// Copy no more than this in one request, instead of 5 GiB
    #[arg(long, value_name = "BYTES", conflicts_with = "sink")]
    pub(crate) copy_limit: Option<u64>,

    /// Write copies whatever the conditions on their target say
    #[arg(long, conflicts_with = "sink")]
    pub(crate) ignore_conditions_of_copies: bool,

    /// Copy whatever the conditions on the source say
    #[arg(long, conflicts_with = "sink")]
    pub(crate) ignore_conditions_of_sources: bool,

    /// Take uploads as fast as possible and forget their content, for benchmarks
    #[arg(long)]
    pub(crate) sink: bool,

    /// In the sink, answer with the MD5 of the content, for clients that compare it
    #[arg(long, requires = "sink")]
    pub(crate) sink_md5: bool,

    /// In the sink, forget the content of objects whose key contains this, besides `files/`; may be
    /// given several times
    #[arg(long, value_name = "SUBSTRING", requires = "sink")]
    pub(crate) sink_discard: Vec<String>,

    /// In the sink, keep the content of everything, in memory
    #[arg(long, requires = "sink", conflicts_with = "sink_discard")]
    pub(crate) sink_keep: bool,

    /// Stop when the process that started this one ends
    #[arg(long)]
    pub(crate) exit_with_parent: bool,

    /// Stop by itself after this time
    #[arg(long, value_name = "SECONDS")]
    pub(crate) stop_after: Option<u64>,
}

fn generated(text: &str) -> Result<(String, u64), String> {
    let parts = text.split_once('=');
    let parsed = parts.and_then(|(bucket, count)| Some((bucket.to_owned(), count.parse().ok()?)));
    parsed.ok_or_else(|| "expected a bucket and a number, for example `many=10000000`".to_owned())
}

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Server,
    Sink(EntityTags),
}

impl Arguments {
    pub(crate) fn keep(&self) -> Keep {
        match self.sink_keep {
            true => Keep::Everything,
            false => Keep::Records {
                discard: self.sink_discard.clone(),
            },
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match (self.sink, self.sink_md5) {
            (false, _) => Mode::Server,
            (true, false) => Mode::Sink(EntityTags::Numbered),
            (true, true) => Mode::Sink(EntityTags::Md5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn half_of_a_key_is_refused() {
        assert!(Arguments::try_parse_from(["local-s3", "--access-key", "k"]).is_err());
        assert!(Arguments::try_parse_from(["local-s3", "--sink-md5"]).is_err());
        assert!(Arguments::try_parse_from(["local-s3", "--sink-discard", "k"]).is_err());
    }
}
