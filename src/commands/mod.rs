//! The commands: each puts the parts together, prints, and decides the exit code.

mod adopt;
mod cat;
mod chosen;
mod condemned;
mod config;
mod copy;
mod diff;
mod drill;
mod entry;
mod find;
mod init;
mod launch;
mod list;
mod locking;
mod ls;
mod marks;
mod plan;
mod print;
mod prune;
mod restore;
mod retention;
mod run;
mod sessions;
mod status;
mod table;
mod undelete;
mod unlock;
mod verify;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::CommandFactory;
use clap::error::ErrorKind;
use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Cli, Command, RunArgs};
use crate::config::{Config, ConfigError, Flag, Job, LogFormat, Problem, Purpose, document, load};
use crate::ecs::Identity;
use crate::environment::{BUNDLE, Environment};
use crate::error::Failure;
use crate::events::{Format, Level};
use crate::exit::ExitCode;
use crate::format::lock::Holder;
use crate::snapshots::select::{Selection, parse_time};
use crate::store::Store;
use crate::store::open::open;
use crate::text;

pub use self::print::usage;
use self::print::{note, print, print_json};

/// The configuration file that is read where none is named, there is no document in the environment,
/// and this one is there.
pub const DEFAULT_FILE: &str = "backup_config.yaml";
/// Names the configuration file.
pub const FILE_VARIABLE: &str = "BACKUP_CONFIG_PATH";

/// What commands share.
struct Context {
    environment: Environment,
    file: Option<PathBuf>,
    common: Vec<Flag>,
}

/// Runs the command that was typed; what the process exits with.
#[must_use]
pub fn execute(cli: Cli, environment: Environment) -> u8 {
    let is_pass = matches!(cli.command, None | Some(Command::Run(_)));
    if cli.command.is_some() && cli.run != RunArgs::default() {
        let message = "options of a pass come after `run`, as in `offsite run --once`";
        return usage(&Cli::command().error(ErrorKind::ArgumentConflict, message));
    }
    raise_file_limit();
    let code = command(cli, environment).unwrap_or_else(|failure| {
        match is_pass {
            true => print::explain(&failure),
            false => note(&failure.to_string()),
        }
        failure.exit_code.code()
    });
    match is_pass {
        true => print::end_of_pass(code),
        false => print::end_of_report(code),
    }
}

fn command(cli: Cli, environment: Environment) -> Result<u8, Failure> {
    let context = Context {
        file: config_file(cli.common.config.as_deref(), &environment),
        common: cli.common.flags(),
        environment,
    };
    let code = match cli.command {
        None => run::run(&context, &cli.run, run::Loop::AsConfigured),
        Some(Command::Run(args)) => run::run(&context, &args, run::Loop::AsTyped),
        Some(Command::Plan(args)) => plan::plan(&context, &args),
        Some(Command::Sessions(args)) => sessions::sessions(&context, &args),
        Some(Command::List(args)) => list::list(&context, args),
        Some(Command::Ls(args)) => ls::ls(&context, &args),
        Some(Command::Find(args)) => find::find(&context, &args),
        Some(Command::Cat(args)) => cat::cat(&context, &args),
        Some(Command::Diff(args)) => diff::diff(&context, &args),
        Some(Command::Restore(args)) => restore::restore(&context, &args),
        Some(Command::Verify(args)) => verify::verify(&context, &args),
        Some(Command::Drill(args)) => drill::drill(&context, &args),
        Some(Command::Status(args)) => status::status(&context, &args),
        Some(Command::Unlock(args)) => unlock::unlock(&context, &args),
        Some(Command::Adopt(args)) => adopt::adopt(&context, &args),
        Some(Command::Config(args)) => config::config(&context, &args),
        Some(Command::Copy(args)) => copy::copy(&context, &args),
        Some(Command::Prune(args)) => prune::prune(&context, &args),
        Some(Command::Undelete(args)) => undelete::undelete(&context, &args),
        Some(Command::Pin(args)) => marks::pin(&context, &args),
        Some(Command::Unpin(args)) => marks::unpin(&context, &args),
        Some(Command::Ack(args)) => marks::ack(&context, &args),
        Some(Command::Retention(args)) => retention::simulate(&context, &args),
        Some(Command::Init(args)) => init::init(&args),
        Some(Command::Launch(args)) => return launch::launch(args, cli.common.region),
    };
    Ok(code?.code())
}

fn config_file(named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let by_variable = environment.variables.get(FILE_VARIABLE);
    let by_variable = by_variable.filter(|path| !path.is_empty());
    match (named, by_variable) {
        (Some(path), _) => Some(path.to_owned()),
        (None, Some(path)) => Some(PathBuf::from(path)),
        (None, None) if document(&environment.variables).is_some() => None,
        (None, None) => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    }
}

impl Context {
    fn load(&self, flags: &[Flag], purpose: Purpose) -> Result<Config, ConfigError> {
        let flags = [&self.common, flags].concat();
        let loaded = load(
            self.file.as_deref(),
            &self.environment.variables,
            &flags,
            purpose,
        );
        let Some(problem) = &self.environment.bundle_problem else {
            return loaded;
        };
        let problem = Problem {
            origin: format!("environment variable {BUNDLE}"),
            field: BUNDLE.to_owned(),
            message: problem.clone(),
            hint: Some(r#"it should look like {"AWS_ACCESS_KEY_ID": "…"}"#.to_owned()),
        };
        let mut error = loaded.map_or_else(
            |error| error,
            |config| ConfigError {
                problems: Vec::new(),
                log_format: config.job.log_format,
            },
        );
        error.problems.push(problem);
        Err(error)
    }

    /// The configuration of a command that reads backups and makes none.
    fn reader(&self) -> Result<Job, Failure> {
        self.reader_with(&[])
    }

    /// The same, with flags of its own.
    fn reader_with(&self, flags: &[Flag]) -> Result<Job, Failure> {
        let config = self.load(flags, Purpose::Read)?;
        log_to_stderr(&config.job);
        Ok(config.job)
    }
}

/// Runs a command that waits for things.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // What is still running is reading ahead for nobody.
    runtime.shutdown_background();
    Ok(result)
}

async fn connect(job: &Job) -> Arc<dyn Store> {
    open(&job.store, &job.store_options).await
}

/// Who we are, for the lease.
fn holder(environment: &Environment, task: Option<&Identity>) -> Holder {
    Holder {
        ecs_task: task.map(|task| task.task.clone()),
        ecs_cluster: task.map(|task| task.cluster.clone()),
        ..environment.holder()
    }
}

fn selection(select: &crate::cli::SelectArgs) -> Result<Selection, Failure> {
    let at = select
        .at
        .as_deref()
        .map(|text| parse_time(text, Timestamp::now()));
    let at = at
        .transpose()
        .map_err(|expected| Failure::new(ExitCode::Usage, format!("--at must be {expected}")))?;
    Ok(Selection {
        source: select.source.clone(),
        snapshot: select.snapshot.clone(),
        at,
    })
}

/// How events are written, given what was configured and where standard output goes.
fn format(configured: LogFormat) -> Format {
    match configured {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
        LogFormat::Auto if std::io::stdout().is_terminal() => Format::Text,
        LogFormat::Auto => Format::Json,
    }
}

/// Sends what libraries have to say to standard error: their warnings, and more only at `trace`.
fn log_to_stderr(job: &Job) {
    let usual = match job.log_level {
        Level::Trace => LevelFilter::DEBUG,
        _ => LevelFilter::ERROR,
    };
    let said = std::env::var("RUST_LOG").ok();
    let said = said.and_then(|said| said.parse().ok());
    let filter = said.unwrap_or_else(|| Targets::new().with_default(usual));
    let log = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer();
    // A second subscriber, of a second pass in a loop, is refused; the first one goes on.
    let _ = match format(job.log_format) {
        Format::Json => {
            let writer = || print::Log(|line| text::safe_json(line.to_owned()));
            log.with(layer.json().with_writer(writer)).try_init()
        }
        Format::Text => {
            let writer = || print::Log(text::lines);
            let layer = layer.with_ansi(false).with_writer(writer);
            log.with(layer).try_init()
        }
    };
}

/// Directories are kept open while their contents are looked at; the soft limit of 1,024 files is
/// for programs that still use `select`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(65_536, |most| most.min(65_536));
    if limit.current.is_some_and(|current| current < wanted) {
        // Without it, less is done at once.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                ..limit
            },
        );
    }
}
