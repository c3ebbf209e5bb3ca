//! What proves that the store has taken something.
//!
//! Any success counts for nothing by itself: a captive portal answers 200 to everything, a proxy 204. A
//! store that has stored something says which version of the object that is, and, if it reports
//! checksums at all, the one that was sent. What lacks that is looked up.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::ETag;

/// What is known of one kind of checksum.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// The store has reported one.
    reports: AtomicBool,
}

impl Proofs {
    /// The version that a success names, or what keeps it from being one. `sent` and `reported` are
    /// checksums in Base64.
    pub(super) fn of(
        &self,
        etag: Option<String>,
        reported: Option<&str>,
        sent: &str,
    ) -> Result<ETag, &'static str> {
        let etag = entity_tag(etag)?;
        match reported {
            Some(reported) if reported == sent => {
                self.reports.store(true, Ordering::Relaxed);
                Ok(etag)
            }
            Some(_) => Err("a success with another checksum than was sent"),
            None if self.reports.load(Ordering::Relaxed) => {
                Err("a success without the checksum, which was reported before")
            }
            None => Ok(etag),
        }
    }
}

/// An entity tag as conditions have it, which is in quotes (RFC 9110, section 8.8.3).
pub(super) fn quoted(etag: &ETag) -> String {
    format!("\"{}\"", etag.bare())
}

/// The entity tag of an answer, which every object has.
pub(super) fn entity_tag(etag: Option<String>) -> Result<ETag, &'static str> {
    let etag = etag.filter(|etag| !etag.is_empty());
    etag.map(ETag).ok_or("a success without an entity tag")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reported_once_is_expected_from_then_on() {
        let proofs = Proofs::default();
        let etag = || Some("\"e\"".to_owned());
        assert!(proofs.of(None, Some("sent"), "sent").is_err());
        assert!(proofs.of(Some(String::new()), None, "sent").is_err());
        assert!(proofs.of(etag(), Some("other"), "sent").is_err());
        // A store that reports none.
        assert!(proofs.of(etag(), None, "sent").is_ok());
        assert!(proofs.of(etag(), Some("sent"), "sent").is_ok());
        assert!(proofs.of(etag(), None, "sent").is_err());
    }
}
