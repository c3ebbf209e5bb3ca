//! A source as the settings have it, checked.

use figment::value::Tag;

use super::place::Whereabouts;
use crate::format::keys::SourceName;
use crate::pass::job::{Detect, Method, SourceJob};
use crate::pass::policy::sessions::SessionOptions;
use crate::retention::Retention;
use crate::store::Placement;

/// A source, and where it and its configuration are.
pub(super) struct SourceAt {
    /// All but the place.
    pub(super) options: SourceOptions,
    pub(super) place: Whereabouts,
    pub(super) tag: Tag,
    pub(super) field: String,
}

/// What is to be done with a source, wherever it is.
#[derive(Clone)]
pub(super) struct SourceOptions {
    pub(super) name: SourceName,
    pub(super) detect: Detect,
    pub(super) allow_empty: bool,
    pub(super) afresh: bool,
    pub(super) method: Method,
    pub(super) sessions: Option<SessionOptions>,
    pub(super) placement: Placement,
    pub(super) retention: Option<Retention>,
    pub(super) depends_on: Vec<SourceName>,
}

impl SourceAt {
    pub(super) fn into_job(self) -> SourceJob {
        let options = self.options;
        SourceJob {
            name: options.name,
            place: self.place.into_place(),
            detect: options.detect,
            allow_empty: options.allow_empty,
            afresh: options.afresh,
            method: options.method,
            sessions: options.sessions,
            placement: options.placement,
            retention: options.retention,
            depends_on: options.depends_on,
        }
    }
}
