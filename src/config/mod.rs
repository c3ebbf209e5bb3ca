//! Configuration: from what was written to what is to be done.
//!
//! Layers (defaults, a YAML file or document, environment variables, flags) are merged, the later
//! ones winning; each setting is read by name and its origin kept; then everything is checked. All
//! problems are reported together. Nothing here touches the file system, but for reading the file,
//! or a store.

mod apart;
mod bucket;
mod copies;
mod job;
mod kind;
mod layers;
mod log_format;
mod media_backup;
mod place;
mod problem;
mod reader;
mod retention;
mod settings;
mod source;
mod source_at;
mod sources;
mod store;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use self::bucket::Share;
pub(crate) use self::copies::relation;
pub use self::job::Job;
use self::layers::Merged;
pub use self::layers::{DOCUMENT_VARIABLE, Flag, document};
pub use self::log_format::LogFormat;
use self::media_backup::MediaBackup;
pub use self::problem::{ConfigError, Problem};
pub use self::reader::Shown;
use self::reader::{Findings, Section};
use self::settings::Settings;
pub use self::settings::{Incomplete, Metrics};
use self::store::Stores;
pub use self::value::{Bytes, parse_duration};

/// A job, and the settings it was made from.
#[derive(Debug)]
pub struct Config {
    /// What is to be done.
    pub job: Job,
    /// Every setting that is set, and by whom.
    pub shown: Vec<Shown>,
}

/// What a configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To back up what it names.
    Backup,
    /// To get at backups; what to back up need not be named.
    Read,
}

/// Reads the configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    flags: &[Flag],
    purpose: Purpose,
) -> Result<Config, ConfigError> {
    let mut media_backup = MediaBackup::read(environment);
    let Merged {
        figment,
        written_store,
        mut problems,
    } = layers::merge(file, environment, &mut media_backup, flags);
    let dict = match figment.find_value("") {
        Ok(value) => value.into_dict().unwrap_or_default(),
        Err(_) => figment::value::Dict::new(),
    };
    let unreadable = !problems.is_empty();
    let findings = Findings::new(figment);
    let settings = Settings::read(Section::root(&findings, dict));
    let endpoint_url = layers::aws_endpoint(environment).map(|(_, url)| url);
    let stores = Stores {
        endpoint_url,
        written: written_store.as_ref(),
    };
    let mut job = Job::check(settings, &stores, &findings, purpose);
    job.notices = media_backup.notices;
    let (found, mut shown) = findings.into_parts();
    // What a file would have said that cannot be read is not missing.
    if !unreadable {
        problems.extend(found);
    }
    problems.extend(media_backup.problems);
    if !problems.is_empty() {
        return Err(ConfigError {
            problems,
            log_format: job.log_format,
        });
    }
    shown.sort_by(|a, b| a.field.cmp(&b.field));
    Ok(Config { job, shown })
}
