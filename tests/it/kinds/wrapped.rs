//! Sources that something happens to.

use std::io;
use std::sync::Arc;

use offsite::source::stat::Stat;
use offsite::source::{Found, Items, Opened, Place, Refused, Scope, Source, Unusable};

/// A place whose source lists everything, and has nothing of it when it is opened.
#[derive(Debug)]
pub(super) struct EverythingGone(pub(super) Arc<dyn Place>);

struct Emptied(Arc<dyn Source>);

impl Place for EverythingGone {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn text(&self) -> String {
        self.0.text()
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        Ok(Arc::new(Emptied(self.0.open()?)))
    }
}

impl Source for Emptied {
    fn items(&self, scope: &Scope) -> Result<Items, Unusable> {
        self.0.items(scope)
    }

    fn open(&self, _: &Found) -> Result<Opened, Refused> {
        Err(Refused::Gone)
    }

    fn recheck(&self, opened: &Opened) -> Result<Option<Stat>, Refused> {
        self.0.recheck(opened)
    }

    fn confirm(&self) -> Result<(), Unusable> {
        self.0.confirm()
    }

    fn is_empty(&self) -> io::Result<bool> {
        self.0.is_empty()
    }
}
