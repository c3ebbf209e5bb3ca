//! `offsite cat`.

use std::io::IsTerminal;
use std::sync::Arc;

use rustix::io::Errno;

use super::entry::{broken_off, name_in, on_a_thread};
use super::ls::{names, no_such_path};
use super::print::{is_read, print_bytes};
use super::{Context, block_on, connect, note};
use crate::cli::CatArgs;
use crate::contents::{Contents, ContentsError};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::entry::{Content, Entry, Kind};
use crate::format::objects::ObjectTable;
use crate::format::snapshot::Snapshot;
use crate::pass::error::SourceError;
use crate::signal;
use crate::snapshots::entries::Entries;
use crate::snapshots::objects;
use crate::snapshots::select::{Selection, select};
use crate::store::{Store, StoreErrorKind};
use crate::text::{Escaper, one_line};

/// Contents of no more bytes are printed once all of them were checked.
const HELD_BYTES: u64 = 8 << 20;

/// What is fetched ahead takes no more memory, whatever a pass may take: a terminal and a pipe are slow.
const MEMORY_BYTES: usize = 64 << 20;

pub(super) fn cat(context: &Context, args: &CatArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let memory_bytes = job.pass.limits.memory_bytes.min(MEMORY_BYTES);
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let (snapshot, entry) = find(&store, args).await?;
        let content = content(args, &entry)?;
        let objects = match content.member() {
            Some(_) => objects::load(&*store, &snapshot).await,
            None => Ok(ObjectTable::default()),
        };
        let objects = Arc::new(objects.map_err(SourceError::from)?);
        let contents = Contents::of(&store, Ok(objects), memory_bytes, &stop);
        let printed = on_a_thread(move || {
            let mut printer = ContentPrinter::of(&entry);
            let read = contents.read(&entry, &content, |at, bytes| printer.take(at, bytes));
            match &read {
                Ok(()) => printer.end(),
                // What was printed ends where it ends; nothing of the terminal's is left open.
                Err(_) => printer.break_off(),
            }
            (read, printer.printed)
        });
        let (read, printed) = printed.await;
        match read {
            Ok(()) => Ok(ExitCode::Complete),
            Err(error) => failed(error, printed),
        }
    })?
}

/// The only entry that is meant.
async fn find(store: &Arc<dyn Store>, args: &CatArgs) -> Result<(Snapshot, Entry), Failure> {
    let selection = Selection {
        source: args.source.clone(),
        snapshot: Some(args.snapshot.clone()),
        at: None,
    };
    let snapshots = select(store, &selection).await?;
    let mut found = Vec::new();
    for snapshot in &snapshots {
        let Some(name) = name_in(snapshot, &args.path)? else {
            continue;
        };
        let entries = Entries::around(store, snapshot, &name).with_digests();
        let mut entries = entries.only_within(&name);
        let entry = on_a_thread(move || entries.next().transpose()).await;
        let entry = entry.map_err(broken_off)?;
        let entry = entry.filter(|entry| entry.name == name);
        found.extend(entry.map(|entry| (snapshot.clone(), entry)));
    }
    let typed = args.path.display().to_string();
    match (found.pop(), found.is_empty()) {
        (Some(found), true) => Ok(found),
        (Some(last), false) => {
            let sources: Vec<_> = found.iter().map(|(s, _)| s.source.as_str()).collect();
            let message = format!(
                "`{typed}` is in several sources: {}, {}",
                sources.join(", "),
                last.0.source
            );
            Err(Failure::new(ExitCode::Usage, message).hint("say which with `--source NAME`"))
        }
        (None, _) => Err(no_such_path(&typed, &args.snapshot, &names(&snapshots))),
    }
}

/// The contents of an entry, which has to be a file.
fn content(args: &CatArgs, entry: &Entry) -> Result<Content, Failure> {
    let (path, id) = (&entry.name, &args.snapshot);
    let what = match entry.metadata.kind {
        Kind::File | Kind::Object => None,
        Kind::Directory => Some("a directory".to_owned()),
        Kind::Symlink => {
            let target = entry.target.as_deref().unwrap_or_default();
            let target = String::from_utf8_lossy(target);
            Some(format!("a symbolic link to `{target}`"))
        }
        Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => {
            Some("a special file, which has no contents in a snapshot".to_owned())
        }
    };
    if let Some(what) = what {
        let message = one_line(&format!("`{path}` is {what}"));
        let failure = Failure::new(ExitCode::Usage, message);
        return Err(match entry.metadata.kind {
            Kind::Directory => failure.hint(format!("`offsite ls {id} PATH` shows what is in it")),
            _ => failure,
        });
    }
    let why = entry.unreadable.as_ref().map(|unreadable| {
        let (since, error) = (unreadable.since, &unreadable.error);
        format!("it could not be read since {since}: {error}")
    });
    match (&entry.content, why) {
        (None, why) => {
            let why = why.unwrap_or_else(|| "it could not be read".to_owned());
            let message = format!("the snapshot does not have the contents of `{path}`: {why}");
            let failure = Failure::new(ExitCode::Incomplete, one_line(&message));
            Err(failure.hint("`offsite find` shows which snapshots have it"))
        }
        (Some(content), Some(why)) => {
            let warning = format!("warning: `{path}` in an earlier state: {why}");
            note(&one_line(&warning));
            Ok(content.clone())
        }
        (Some(content), None) => Ok(content.clone()),
    }
}

/// How it ends where not everything was read.
fn failed(error: ContentsError, printed: u64) -> Result<ExitCode, Failure> {
    let failure = match error {
        // Whoever read has had enough, or the disk is full, which is told at the end.
        ContentsError::Write(Errno::PIPE) => return Ok(ExitCode::Complete),
        ContentsError::Stopped => {
            let code = signal::received().unwrap_or(ExitCode::Failed);
            Failure::new(code, "interrupted")
        }
        ContentsError::Store(error) if error.kind != StoreErrorKind::NotFound => error.into(),
        damaged => {
            let message = match damaged {
                ContentsError::Write(_) => {
                    "it does not have the SHA-256 of the manifest".to_owned()
                }
                other => other.to_string(),
            };
            let hint = "try it again; if it stays so, `offsite verify` names what is damaged, and `offsite find` other versions of the file";
            Failure::new(ExitCode::Integrity, message).hint(hint)
        }
    };
    if printed == 0 {
        return Err(failure);
    }
    let what = format!("the {printed} bytes that were printed are not the file");
    Err(Failure {
        error: failure.error.context(what),
        ..failure
    })
}

/// Prints contents: small ones once they were checked, others as they come.
struct ContentPrinter {
    /// What has come, if it is printed only once it was checked.
    held: Option<Vec<u8>>,
    /// What makes it fit for a terminal, if it goes to one.
    escaper: Option<Escaper>,
    /// Bytes of the file.
    printed: u64,
}

impl ContentPrinter {
    fn of(entry: &Entry) -> Self {
        let is_held = entry.metadata.size <= HELD_BYTES;
        Self {
            held: is_held.then(Vec::new),
            escaper: std::io::stdout().is_terminal().then(Escaper::default),
            printed: 0,
        }
    }

    fn take(&mut self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        if !is_read() {
            return Err(Errno::PIPE);
        }
        match &mut self.held {
            Some(held) => {
                if at == 0 {
                    held.clear();
                }
                held.extend_from_slice(bytes);
            }
            // It comes once more because what came was damaged, and that was printed.
            None if at != self.printed => return Err(Errno::IO),
            None => self.print(bytes),
        }
        Ok(())
    }

    fn print(&mut self, bytes: &[u8]) {
        self.printed += bytes.len() as u64;
        match &mut self.escaper {
            Some(escaper) => print_bytes(escaper.push(bytes).as_bytes()),
            None => print_bytes(bytes),
        }
    }

    /// Everything has come and was checked.
    fn end(&mut self) {
        if let Some(held) = self.held.take() {
            self.print(&held);
        }
        self.break_off();
    }

    fn break_off(&mut self) {
        if let Some(escaper) = &mut self.escaper {
            print_bytes(escaper.end().as_bytes());
        }
    }
}
