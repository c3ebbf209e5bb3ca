//! Whether an object can be read at once, from what a HEAD says.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::StorageClass;

/// Whether the object is in an archive, and no copy of it is readable for the time being. S3 API
/// reference, `HeadObject`: `x-amz-archive-status` is told of objects in the archive tiers of
/// INTELLIGENT_TIERING only, and `x-amz-restore` is gone once a thawed copy has expired.
pub(super) fn is_archived(answer: &HeadObjectOutput) -> bool {
    let is_cold = answer.archive_status.is_some()
        || matches!(
            answer.storage_class,
            Some(StorageClass::Glacier | StorageClass::DeepArchive)
        );
    let is_thawed = (answer.restore.as_deref())
        .is_some_and(|restore| restore.contains("ongoing-request=\"false\""));
    is_cold && !is_thawed
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::ArchiveStatus;

    use super::*;

    #[test]
    fn cold_is_what_no_thawed_copy_exists_of() {
        let head = |class: &str, status: Option<ArchiveStatus>, restore: Option<&str>| {
            let answer = HeadObjectOutput::builder()
                .storage_class(StorageClass::from(class))
                .set_archive_status(status)
                .set_restore(restore.map(str::to_owned));
            is_archived(&answer.build())
        };
        let thawing = Some("ongoing-request=\"true\"");
        let thawed =
            Some("ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"");
        for class in ["GLACIER", "DEEP_ARCHIVE"] {
            assert!(head(class, None, None));
            assert!(head(class, None, thawing));
            assert!(!head(class, None, thawed));
        }
        for class in [
            "STANDARD",
            "GLACIER_IR",
            "INTELLIGENT_TIERING",
            "STANDARD_IA",
        ] {
            assert!(!head(class, None, None));
        }
        let tier = Some(ArchiveStatus::DeepArchiveAccess);
        assert!(head("INTELLIGENT_TIERING", tier.clone(), None));
        assert!(head("INTELLIGENT_TIERING", tier, thawing));
    }
}
