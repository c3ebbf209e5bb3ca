//! `local-s3`: the server, or the sink, until somebody says stop.
//!
//! Prints one line, the endpoint, once it listens. Exits 0 when it was told to stop, 1 when it
//! could not start, 2 when the arguments are wrong.

mod arguments;
mod lifetime;

use arguments::{Arguments, Mode};
use clap::Parser as _;
use local_s3::{LocalS3, Sink, SinkOptions};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is running; it stops when it is dropped.
enum Running {
    Server(LocalS3),
    Sink(Sink),
}

impl Running {
    fn endpoint(&self) -> String {
        match self {
            Self::Server(server) => server.endpoint(),
            Self::Sink(sink) => sink.endpoint(),
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    // Before anything else, so that a parent that dies early is noticed.
    let end = lifetime::End::new(arguments.exit_with_parent, arguments.stop_after);
    let running = start(arguments)?;
    let endpoint = running.endpoint();
    if let Some(file) = &arguments.port_file {
        write_whole(file, &endpoint)?;
    }
    writeln!(io::stdout(), "{endpoint}")?;
    end.wait()
}

fn start(arguments: &Arguments) -> io::Result<Running> {
    if let Mode::Sink(entity_tags) = arguments.mode() {
        let options = SinkOptions {
            buckets: arguments.buckets.clone(),
            entity_tags,
            keep: arguments.keep(),
        };
        return Sink::start(arguments.listen, options).map(Running::Sink);
    }
    let mut builder = LocalS3::builder()
        .listen(arguments.listen)
        .forget_requests();
    for bucket in &arguments.buckets {
        builder = builder.bucket(bucket);
    }
    for bucket in &arguments.versioned_buckets {
        builder = builder.versioned_bucket(bucket);
    }
    for (bucket, count) in &arguments.generate {
        builder = builder.generated_bucket(bucket, *count);
    }
    if let (Some(access_key), Some(secret_key)) = (&arguments.access_key, &arguments.secret_key) {
        builder = builder.credentials(access_key, secret_key);
    }
    if arguments.anonymous {
        builder = builder.anonymous();
    }
    if let Some(folder) = &arguments.persist {
        builder = builder.persist_in(folder);
    }
    if let Some(file) = &arguments.log_requests {
        builder = builder.log_requests(file);
    }
    if let Some(bytes) = arguments.copy_limit {
        builder = builder.copy_limit(bytes);
    }
    if arguments.ignore_conditions_of_copies {
        builder = builder.ignores_conditions_of_copies();
    }
    if arguments.ignore_conditions_of_sources {
        builder = builder.ignores_conditions_of_sources();
    }
    builder.start().map(Running::Server)
}

/// Whoever waits for the file must not find half of a line in it.
fn write_whole(path: &Path, endpoint: &str) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, format!("{endpoint}\n"))?;
    fs::rename(unfinished, path)
}
