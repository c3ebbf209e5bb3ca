//! `floor`: the least a client can do to put a directory into a bucket, and to get it back.
//!
//! It lists the files, reads each once, hashes it with SHA-256, and puts it with headers that never
//! change but for length and hash. Files over 8 MiB go in parts of that size, as objects of their
//! own. No signatures, no retries, no conditions, no records, no events: what a backup costs beyond
//! this is what its guarantees cost, and what is in here nobody gets rid of.
//!
//! To get them back, it takes names and lengths from the directory that was put, fetches each file or
//! part, and writes what arrives as it arrives. Nothing is checked, and nothing is given but contents.
//!
//! Two threads share the pieces, each with a runtime and half of the connections of its own.
//!
//! ```text
//! floor put HOST:PORT /BUCKET/PREFIX DIRECTORY CONNECTIONS
//! floor get HOST:PORT /BUCKET/PREFIX DIRECTORY CONNECTIONS TARGET
//! ```

mod body;
mod connection;
mod piece;
mod target;

use connection::Connection;
use piece::Pieces;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use target::Target;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// As many as the machines that benchmarks run on have cores.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(summary) => {
            let _ = writeln!(io::stdout(), "{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String, Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (authority, prefix, directory, connections, target) = match arguments[..] {
        ["put", authority, prefix, directory, connections] => {
            (authority, prefix, directory, connections, None)
        }
        ["get", authority, prefix, directory, connections, target] => {
            (authority, prefix, directory, connections, Some(target))
        }
        _ => {
            return Err(
                "usage: floor put|get HOST:PORT /BUCKET/PREFIX DIRECTORY CONNECTIONS [TARGET]"
                    .into(),
            );
        }
    };
    let connections: usize = connections.parse()?;
    let pieces = Arc::new(Pieces::of(directory.as_ref())?);
    let target = target.map(|target| Target::make(target.as_ref(), &pieces));
    let target = target.transpose()?.map(Arc::new);
    let each = connections.div_ceil(THREADS);
    thread::scope(|scope| {
        let work = || move_all(authority, prefix, &pieces, target.as_ref(), each);
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    Ok(format!(
        "{} objects, {} bytes",
        pieces.len(),
        pieces.bytes()
    ))
}

/// One thread's share.
fn move_all(
    authority: &str,
    prefix: &str,
    pieces: &Arc<Pieces>,
    target: Option<&Arc<Target>>,
    connections: usize,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let mut connection = Connection::open(authority, prefix).await?;
            let (pieces, target) = (Arc::clone(pieces), target.cloned());
            tasks.spawn(async move {
                while let Some(piece) = pieces.next() {
                    match &target {
                        None => connection.put(piece, &pieces).await?,
                        Some(target) => connection.get(piece, target).await?,
                    }
                }
                Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(Failure::from).flatten()?;
        }
        Ok(())
    })
}
