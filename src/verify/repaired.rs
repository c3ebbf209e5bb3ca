//! Objects that were put back from a copy: their ETag is another one than was recorded when they were first put, and
//! the one that the repair has noted.

use std::sync::Arc;

use super::report::{Evidence, VerifyReport};
use crate::format::keys::SourceName;
use crate::snapshots::marks::{Marks, MarksError};
use crate::store::Store;

/// Takes back findings about objects whose ETag is that of a repair. Where there is no such finding, nothing is
/// asked for.
///
/// # Errors
/// The marks of the source cannot be read.
pub async fn clear_repaired(
    store: &Arc<dyn Store>,
    source: &SourceName,
    report: &mut VerifyReport,
) -> Result<(), MarksError> {
    if report.findings.iter().all(|finding| finding.etag.is_none()) {
        return Ok(());
    }
    let marks = Marks::read(store, source).await?;
    let before = report.findings.len();
    report.findings.retain(|finding| {
        let repaired = marks.repaired(&finding.key);
        let stored = finding.etag.as_ref();
        let both = repaired.zip(stored);
        both.is_none_or(|(repaired, stored)| repaired.bare() != stored.bare())
    });
    for _ in report.findings.len()..before {
        report.compared.count(Evidence::ETag);
    }
    Ok(())
}
