//! The conformance tests against moto, and where moto is known to differ.
//!
//! The differences are of moto 5.2.5. A test that is listed has to fail, so the list cannot outlive
//! them.

use super::{CASES, Site};
use crate::support::client::Endpoint;
use local_s3::Moto;

/// Tests whose claims, taken from AWS's documentation, moto does not meet, and what it does
/// instead.
const DIFFERENCES: &[(&str, &str)] = &[
    ("a_key_too_long", "takes keys of any length"),
    (
        "a_copy_honours_conditions_on_its_source",
        "ignores conditions on the source of a copy",
    ),
    (
        "a_copy_honours_times_of_its_source",
        "ignores conditions on the source of a copy",
    ),
    (
        "a_copied_part_honours_conditions_on_its_source",
        "ignores conditions on the source of a copy",
    ),
    (
        "a_copy_creates_its_target_once",
        "ignores conditions on the target of a copy",
    ),
    (
        "a_copy_replaces_only_the_named_target",
        "ignores conditions on the target of a copy",
    ),
    (
        "an_archived_object_is_copied_once_it_is_restored",
        "answers `ObjectNotInActiveTierError`, which is in AWS's model; AWS answers `InvalidObjectState`",
    ),
    (
        "restorations_are_listed_when_asked_for",
        "knows no `x-amz-optional-object-attributes`",
    ),
    (
        "a_part_with_a_wrong_checksum_is_not_kept",
        "verifies no checksums",
    ),
    (
        "a_part_with_another_algorithm_is_refused",
        "takes parts with any algorithm",
    ),
    (
        "a_value_that_is_no_checksum_is_refused",
        "verifies no checksums",
    ),
    (
        "a_wrong_checksum_in_a_header_keeps_nothing",
        "verifies no checksums",
    ),
    (
        "a_wrong_checksum_in_a_trailer_keeps_nothing",
        "verifies no checksums",
    ),
    (
        "a_wrong_checksum_leaves_the_old_object",
        "verifies no checksums",
    ),
    (
        "a_wrong_full_object_checksum_shows_nothing",
        "verifies no checksums",
    ),
    (
        "a_wrong_part_checksum_at_completion_is_refused",
        "verifies no checksums",
    ),
    (
        "of_what_is_small_no_range_is_copied",
        "copies ranges of objects of any length",
    ),
    (
        "an_aborted_upload_is_gone",
        "answers 500 to the completion of an unknown upload",
    ),
    (
        "an_unknown_upload",
        "answers 500 to a part of an unknown upload",
    ),
    (
        "an_upload_without_algorithm_gets_crc64nvme",
        "adds no checksum of its own",
    ),
    (
        "attributes_of_a_plain_object",
        "does not tell the type of a checksum",
    ),
    (
        "a_multipart_object_without_part_checksums_tells_only_their_number",
        "leaves `ObjectParts` out of object attributes",
    ),
    (
        "checksums_come_only_when_asked_for_and_with_the_whole_object",
        "sends checksums with ranges, and no type of them",
    ),
    (
        "completion_honours_if_match",
        "ignores `If-Match` on a completion",
    ),
    (
        "composite_needs_the_checksum_of_each_part",
        "verifies no checksums",
    ),
    (
        "composite_parts_are_listed_in_pages",
        "leaves `ObjectParts` out of object attributes",
    ),
    (
        "composite_sha256",
        "keeps no checksum of a multipart object",
    ),
    ("content_md5_is_verified", "ignores `Content-MD5`"),
    (
        "crc32_is_composite_or_full_object",
        "keeps no checksum of a multipart object",
    ),
    (
        "delete_many_by_etag",
        "ignores entity tags in `DeleteObjects`",
    ),
    ("deleting_many", "ignores `Quiet` in `DeleteObjects`"),
    (
        "every_algorithm_is_verified_and_kept_from_a_header",
        "keeps a checksum only if `x-amz-sdk-checksum-algorithm` names it",
    ),
    (
        "full_object_crc64nvme",
        "keeps no checksum of a multipart object",
    ),
    (
        "metadata_beyond_two_kilobytes_is_refused",
        "counts metadata in another way",
    ),
    (
        "names_are_encoded_on_request",
        "writes a space as `%20`, S3 as `+`",
    ),
    (
        "objects_are_encrypted_by_default",
        "does not encrypt by default",
    ),
    (
        "part_numbers_have_bounds",
        "answers `NoSuchUpload` to part number 0",
    ),
    (
        "parts_are_listed_in_pages",
        "calls the root of the answer `ListPartsResponse`",
    ),
    (
        "parts_out_of_order_are_refused",
        "sorts the parts of a completion",
    ),
    (
        "sha256_is_never_full_object",
        "takes any type with any algorithm",
    ),
    (
        "the_etag_of_a_kms_object_is_no_md5",
        "uses the MD5 for every entity tag",
    ),
    (
        "the_first_version_of_the_operation_goes_on_from_a_marker",
        "sends no `NextMarker`, even with a delimiter",
    ),
    (
        "the_sha256_of_the_signature_is_verified",
        "does not verify what is signed",
    ),
    (
        "the_size_of_the_object_is_checked",
        "ignores `x-amz-mp-object-size`",
    ),
    ("two_checksums_are_refused", "verifies no checksums"),
    (
        "uploads_are_listed",
        "lists uploads in the order of their creation",
    ),
    (
        "a_deletion_is_a_marker_that_can_be_deleted",
        "answers `NoSuchVersion` to a read of a delete marker",
    ),
    (
        "a_marker_is_no_source_of_a_copy",
        "answers `NoSuchVersion` to a copy of a delete marker",
    ),
    (
        "tags_belong_to_a_version",
        "does not tell the version that was tagged",
    ),
    (
        "every_write_is_a_version",
        "does not tell the version `null`",
    ),
    (
        "versioning_is_told",
        "calls the root of the answer `GetBucketVersioningResponse`",
    ),
    (
        "with_versioning_suspended_one_version_is_overwritten",
        "does not tell the version `null`",
    ),
    (
        "an_older_version_without_a_name_is_overwritten",
        "does not tell the version `null`",
    ),
    (
        "versioning_is_off",
        "calls the root of the answer `GetBucketVersioningResponse`",
    ),
    (
        "without_a_checksum_crc64nvme_is_added",
        "adds no checksum of its own",
    ),
];

#[tokio::test]
async fn moto_agrees_except_where_it_is_known_to_differ() {
    let moto = Moto::start();
    let mut surprises = Vec::new();
    for (name, run) in CASES {
        let endpoint = Endpoint {
            url: moto.url(),
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
        };
        let site = Site::new(endpoint).await;
        let outcome = tokio::spawn(run(site)).await;
        let known = DIFFERENCES.iter().find(|(listed, _)| listed == name);
        match (outcome, known) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some((_, how))) => {
                surprises.push(format!("`{name}` no longer differs ({how})"));
            }
            // The panic's message is in the output of the test already.
            (Err(_), None) => surprises.push(format!("`{name}` fails")),
        }
    }
    assert!(
        surprises.is_empty(),
        "moto is not as expected:\n{}",
        surprises.join("\n")
    );
}

#[test]
fn every_known_difference_names_a_test() {
    for (name, _) in DIFFERENCES {
        assert!(
            CASES.iter().any(|(case, _)| case == name),
            "no test is called `{name}`"
        );
    }
}
