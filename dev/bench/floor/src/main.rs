//! `floor`: the least a client can do to put a directory into a bucket.
//!
//! It lists the files, reads each once, hashes it with SHA-256, and puts it with headers that never
//! change but for length and hash. Files over 8 MiB go in parts of that size, as objects of their
//! own. No signatures, no retries, no conditions, no records, no events: what a backup costs beyond
//! this is what its guarantees cost, and what is in here nobody gets rid of.
//!
//! Two threads share the pieces, each with a runtime and half of the connections of its own.
//!
//! ```text
//! floor HOST:PORT /BUCKET/PREFIX DIRECTORY CONNECTIONS
//! ```

mod body;
mod connection;
mod piece;

use connection::Connection;
use piece::Pieces;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
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
    let [authority, prefix, directory, connections] = arguments else {
        return Err("usage: floor HOST:PORT /BUCKET/PREFIX DIRECTORY CONNECTIONS".into());
    };
    let connections: usize = connections.parse()?;
    let pieces = Arc::new(Pieces::of(directory.as_ref())?);
    let each = connections.div_ceil(THREADS);
    thread::scope(|scope| {
        let work = || send_all(authority, prefix, &pieces, each);
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
fn send_all(
    authority: &str,
    prefix: &str,
    pieces: &Arc<Pieces>,
    connections: usize,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let mut connection = Connection::open(authority, prefix).await?;
            let pieces = Arc::clone(pieces);
            tasks.spawn(async move {
                while let Some(piece) = pieces.next() {
                    connection.put(piece, &pieces).await?;
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
