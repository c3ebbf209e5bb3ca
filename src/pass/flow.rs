//! The merge, the captures and the manifest's writer, side by side until all are done.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::archive::Archiver;
use super::capture::Captures;
use super::context::SourceContext;
use super::decider::{Decider, Merged};
use super::diff::Inputs;
use super::error::SourceError;
use super::job::Method;
use super::policy::Policy;
use super::steps::{Queues, Sink};
use super::writer::{Manifest, Writer};
use crate::format::objects::SharedObject;
use crate::stop::Stopped;

/// Steps that wait for the manifest writer: how far captures may be ahead of the slowest one. A
/// step takes some 300 bytes.
const STEPS: usize = 8192;

/// What has come of it all.
pub(super) struct Flowed {
    pub(super) manifest: Manifest,
    pub(super) merged: Merged,
    /// Shared objects that were written.
    pub(super) objects: Vec<SharedObject>,
}

/// Where contents go.
enum Backend {
    Files(Captures),
    Archive(Archiver),
}

impl Backend {
    fn close(&self) {
        match self {
            Self::Files(captures) => captures.close(),
            Self::Archive(archiver) => archiver.close(),
        }
    }

    fn join(self) -> Result<Vec<SharedObject>, Stopped> {
        match self {
            Self::Files(captures) => {
                captures.join();
                Ok(Vec::new())
            }
            Self::Archive(archiver) => archiver.join(),
        }
    }
}

/// Runs the merge, the captures and the writer together until all three are done.
pub(super) async fn flow(
    context: &Arc<SourceContext>,
    policy: Box<dyn Policy>,
    inputs: Inputs,
) -> Result<Flowed, SourceError> {
    let (steps_in, steps) = mpsc::channel(STEPS);
    let (backend, sink): (Backend, Box<dyn Sink + Send>) = match &context.job.method {
        Method::Files => {
            let (captures, orders) = Captures::start(Arc::clone(context))?;
            let queues = Queues {
                steps: steps_in,
                orders,
            };
            (Backend::Files(captures), Box::new(queues))
        }
        Method::Archive(archive) => {
            let (archiver, queues) = Archiver::start(Arc::clone(context), archive, steps_in)?;
            (Backend::Archive(archiver), Box::new(queues))
        }
    };
    let mut merge = inputs.merge(context, Decider::new(context, policy, sink));

    let mut merged = None;
    let written = Writer::new(context, context.opened_ns)
        .write(steps, async || {
            let result = (&mut merge).await;
            merged.insert(result).as_ref().is_ok_and(Result::is_ok)
        })
        .await;
    if written.is_err() {
        // The merge ends at its next step, which nobody takes any more, and with it the captures.
        context.stop.stop();
        backend.close();
    }
    let merged = match merged {
        Some(merged) => merged,
        None => merge.await,
    };
    // Joining blocks; the threads have nothing left to do but to finish what they are at.
    let objects = match tokio::task::spawn_blocking(move || backend.join()).await {
        Ok(objects) => objects,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };

    if let Some(error) = context.first_error.take() {
        return Err(error.into());
    }
    let manifest = written?;
    match merged {
        Ok(Ok(merged)) if !manifest.aborted && !context.stop.is_set() => Ok(Flowed {
            manifest,
            merged,
            objects: objects?,
        }),
        Ok(Ok(_)) => Err(SourceError::Interrupted),
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
