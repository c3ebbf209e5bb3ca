//! What S3 does, as functions of a client, run against this server and against moto.
//!
//! Two independent servers that pass the same tests are a better picture of S3 than one. Where moto
//! is known not to do what AWS documents, `moto.rs` says so.

mod attributes;
mod checksums;
mod conditions;
mod copy;
mod copy_conditions;
mod described;
mod errors;
mod listing;
mod moto;
mod multipart;
mod multipart_checksums;
mod objects;
mod odd_names;
mod versions;

use crate::support::client::Endpoint;
use aws_sdk_s3::Client;
use local_s3::LocalS3;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server and an empty bucket in it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) endpoint: Endpoint,
    pub(crate) client: Client,
    pub(crate) bucket: String,
}

impl Site {
    async fn new(endpoint: Endpoint) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let client = endpoint.client();
        let bucket = format!("bucket-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        Self {
            endpoint,
            client,
            bucket,
        }
    }

    /// Puts an object as tests put most of them.
    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) -> String {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(bytes.to_vec().into());
        put.send().await.unwrap().e_tag.unwrap()
    }

    /// The content of an object, if there is one.
    pub(crate) async fn content(&self, key: &str) -> Option<Vec<u8>> {
        let object = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .ok()?;
        Some(object.body.collect().await.unwrap().to_vec())
    }
}

type Run = fn(Site) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! conformance {
    ($($module:ident { $($name:ident),+ $(,)? })+) => {
        const CASES: &[(&str, Run)] = &[
            $($((stringify!($name), |site| Box::pin($module::$name(site))),)+)+
        ];

        mod local {
            $($(
                #[tokio::test]
                async fn $name() {
                    let server = super::LocalS3::builder().start().unwrap();
                    let site = super::Site::new(super::Endpoint::of(&server)).await;
                    super::$module::$name(site).await;
                }
            )+)+
        }
    };
}

conformance! {
    attributes {
        attributes_of_a_plain_object,
        composite_parts_are_listed_in_pages,
        a_multipart_object_without_part_checksums_tells_only_their_number,
    }
    checksums {
        every_algorithm_is_verified_and_kept_from_a_header,
        a_wrong_checksum_in_a_header_keeps_nothing,
        every_algorithm_is_verified_and_kept_from_a_trailer,
        a_wrong_checksum_in_a_trailer_keeps_nothing,
        a_wrong_checksum_leaves_the_old_object,
        a_value_that_is_no_checksum_is_refused,
        two_checksums_are_refused,
        without_a_checksum_crc64nvme_is_added,
        an_algorithm_without_a_value_is_fine,
        content_md5_is_verified,
        the_sha256_of_the_signature_is_verified,
        checksums_come_only_when_asked_for_and_with_the_whole_object,
    }
    conditions {
        if_none_match_creates_once,
        if_match_replaces_only_the_named_etag,
        if_match_of_a_missing_key_is_not_found,
        reads_by_etag,
        reads_by_time,
        delete_by_etag,
        delete_by_etag_of_a_missing_key_is_not_found,
        delete_many_by_etag,
        completion_honours_if_none_match,
        completion_honours_if_match,
    }
    copy {
        a_copy_has_content_metadata_and_tags,
        directives_replace_metadata_and_tags,
        a_copy_does_not_inherit_the_storage_class,
        a_copy_onto_itself_without_change_is_refused,
        a_copy_honours_conditions_on_its_source,
        a_copy_of_nothing_is_not_found,
        a_copy_keeps_the_checksum,
        a_copy_of_a_multipart_object_is_whole,
        a_copied_range_becomes_a_part,
        of_what_is_small_no_range_is_copied,
        parts_that_are_copied_inherit_nothing,
        a_copy_from_another_bucket_with_an_encoded_key,
        an_archived_object_is_copied_once_it_is_restored,
    }
    copy_conditions {
        a_copy_honours_times_of_its_source,
        a_copy_creates_its_target_once,
        a_copy_replaces_only_the_named_target,
        a_copied_part_honours_conditions_on_its_source,
    }
    described {
        metadata_comes_back,
        headers_of_the_content_come_back,
        every_storage_class_comes_back,
        an_unknown_storage_class_is_refused,
        tags_in_the_header_come_back,
        tags_are_replaced_and_deleted,
        encryption_is_echoed,
        tags_are_counted,
        the_etag_of_a_kms_object_is_no_md5,
        objects_are_encrypted_by_default,
        metadata_beyond_two_kilobytes_is_refused,
        archived_objects_have_to_be_restored,
        only_archived_objects_are_restored,
    }
    errors {
        an_unknown_bucket,
        an_unknown_key,
        a_key_too_long,
        deleting_what_is_not_there_succeeds,
        a_bucket_that_is_not_empty_stays,
        a_bucket_is_created_once,
        buckets_are_found,
        versioning_is_off,
    }
    listing {
        pages_add_up,
        delimiters_roll_up,
        pages_with_delimiters_add_up,
        start_after_skips,
        no_keys_asked_for,
        the_first_version_of_the_operation_goes_on_from_a_marker,
        names_are_encoded_on_request,
        entries_say_what_is_there,
        every_object_has_one_version,
        restorations_are_listed_when_asked_for,
        a_start_within_a_common_prefix_is_past_it,
    }
    multipart {
        parts_become_one_object,
        attributes_come_from_the_creation,
        parts_out_of_order_are_refused,
        parts_that_were_not_uploaded_are_refused,
        small_parts_are_refused_unless_last,
        an_aborted_upload_is_gone,
        an_unknown_upload,
        a_part_can_be_replaced,
        part_numbers_have_bounds,
        parts_are_listed_in_pages,
        uploads_are_listed,
        the_size_of_the_object_is_checked,
        completing_twice_succeeds,
        completing_without_parts_is_refused,
    }
    multipart_checksums {
        full_object_crc64nvme,
        a_wrong_full_object_checksum_shows_nothing,
        composite_sha256,
        composite_needs_the_checksum_of_each_part,
        crc32_is_composite_or_full_object,
        sha256_is_never_full_object,
        a_part_with_a_wrong_checksum_is_not_kept,
        a_part_with_another_algorithm_is_refused,
        an_upload_without_algorithm_gets_crc64nvme,
        a_wrong_part_checksum_at_completion_is_refused,
    }
    objects {
        an_object_comes_back,
        the_last_writer_wins,
        an_empty_object,
        the_etag_is_the_md5,
        ranges,
        ranges_that_cannot_be_satisfied,
        a_range_of_a_head,
        a_large_streamed_body,
        deleting_many,
        dates_are_whole_seconds,
    }
    odd_names {
        odd_names_are_kept_as_they_are,
        a_key_may_be_the_prefix_of_another,
        keys_are_sorted_by_their_bytes,
        odd_names_can_be_copied_and_deleted,
    }
    versions {
        versioning_is_told,
        every_write_is_a_version,
        a_deletion_is_a_marker_that_can_be_deleted,
        a_deleted_version_is_gone_and_the_one_before_is_current,
        with_versioning_suspended_one_version_is_overwritten,
        an_older_version_without_a_name_is_overwritten,
        a_named_version_is_copied,
        a_marker_is_no_source_of_a_copy,
        tags_belong_to_a_version,
        over_a_marker_an_object_is_created,
        pages_of_versions_add_up,
    }
}
