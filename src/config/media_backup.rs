//! Variables of the Media Backup System, and what they say here.
//!
//! Its store is a directory, and its upload to S3 a copy that is required. `MEDIA_DIR`, which other programs may
//! have as well, counts where nothing else says what to back up. Where the file has copies, an upload is
//! refused: some copy would silently not be made.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};

use super::problem::Problem;
use super::value::FromValue;

/// Where backups are kept.
pub(super) const STORE: &str = "BACKUP_DIR";
/// What is backed up.
const SOURCE: &str = "MEDIA_DIR";
/// Whether backups go to a bucket as well,
const UPLOAD: &str = "ENABLE_S3_UPLOAD";
/// and to which one.
const BUCKET: &str = "AWS_S3_BUCKET";
/// How many days backups are kept.
const RETENTION: &str = "BACKUP_RETENTION_DAYS";

/// The name of what is backed up.
const SOURCE_NAME: &str = "media";

/// A value, and which variable has given it.
pub(super) struct Given {
    pub(super) variable: &'static str,
    pub(super) value: Value,
}

/// What the variables say.
#[derive(Default)]
pub(super) struct MediaBackup {
    /// For `backup.sources`.
    pub(super) sources: Option<Given>,
    /// For `backup.copies`.
    pub(super) copies: Option<Given>,
    /// For `backup.defaults.retention`.
    pub(super) retention: Option<Given>,
    /// What is wrong with them.
    pub(super) problems: Vec<Problem>,
    /// What is understood and not done.
    pub(super) notices: Vec<String>,
}

impl MediaBackup {
    pub(super) fn read(environment: &BTreeMap<String, String>) -> Self {
        let set = |variable: &str| environment.get(variable).filter(|value| !value.is_empty());
        let mut read = Self::default();
        if let Some(directory) = set(SOURCE) {
            let source = [("name", SOURCE_NAME), ("directory", directory)];
            let source = source.map(|(key, text)| (key.to_owned(), Value::from(text)));
            read.sources = Some(Given {
                variable: SOURCE,
                value: list_of(source.into()),
            });
        }
        if let Some(upload) = set(UPLOAD) {
            match (bool::from_value(&Value::from(upload.as_str())), set(BUCKET)) {
                (Ok(true), Some(bucket)) => read.copies = Some(copy_in(bucket)),
                (Ok(true), None) => read.complain(
                    UPLOAD,
                    format!("asks for a copy in S3, and {BUCKET} names no bucket"),
                    format!("set {BUCKET}, or list the copy in `backup.copies`"),
                ),
                (Ok(false), _) => {}
                (Err(expected), _) => read.complain(
                    UPLOAD,
                    format!("must be {expected}"),
                    format!("true, and {BUCKET}, for a copy in S3"),
                ),
            }
        }
        if let Some(days) = set(RETENTION) {
            match days.trim().parse::<u64>() {
                Ok(days) if days > 0 => read.retention = Some(keep_within(days)),
                Ok(_) | Err(_) => read.complain(
                    RETENTION,
                    "must be a whole number of days, 1 or more".to_owned(),
                    "30, for example".to_owned(),
                ),
            }
        }
        read
    }

    /// The file has rules of its own, which count.
    pub(super) fn leave_retention(&mut self) {
        if let Some(Given { variable, .. }) = self.retention.take() {
            self.notices.push(format!(
                "{variable} does not count: the configuration has `backup.defaults.retention`"
            ));
        }
    }

    /// The file has copies of its own.
    pub(super) fn refuse_copies(&mut self) {
        self.complain(
            UPLOAD,
            "asks for a copy in S3, and the configuration has `backup.copies`".to_owned(),
            format!("list the bucket there as well, and take {UPLOAD} away"),
        );
    }

    fn complain(&mut self, variable: &str, message: String, hint: String) {
        self.problems.push(Problem {
            origin: format!("environment variable {variable}"),
            field: variable.to_owned(),
            message,
            hint: Some(hint),
        });
    }
}

fn copy_in(bucket: &str) -> Given {
    let store = Value::from(format!("s3://{bucket}/"));
    let copy = [("store", store), ("required", Value::from(true))];
    Given {
        variable: BUCKET,
        value: list_of(copy.map(|(key, value)| (key.to_owned(), value)).into()),
    }
}

fn keep_within(days: u64) -> Given {
    let rules = Dict::from([("keep_within".to_owned(), Value::from(format!("{days}d")))]);
    Given {
        variable: RETENTION,
        value: Value::from(rules),
    }
}

fn list_of(item: Dict) -> Value {
    Value::from(vec![Value::from(item)])
}

/// A directory as the name of a store: `backups/media` lies in the working directory.
pub(super) fn store_in(directory: &str) -> String {
    let is_clear = ["/", "./", "../"]
        .iter()
        .any(|way| directory.starts_with(way));
    match is_clear || matches!(directory, "." | "..") || directory.contains("://") {
        true => directory.to_owned(),
        false => format!("./{directory}"),
    }
}
