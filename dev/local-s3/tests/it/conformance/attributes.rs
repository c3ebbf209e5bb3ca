//! `GetObjectAttributes`.

use super::Site;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ObjectAttributes,
    StorageClass,
};
use local_s3::{Checksum, ChecksumAlgorithm as Own};

const PART: usize = 5 << 20;

pub(super) async fn attributes_of_a_plain_object(site: Site) {
    let etag = site.put("k", b"content").await;
    let attributes = site
        .client
        .get_object_attributes()
        .bucket(&site.bucket)
        .key("k")
        .object_attributes(ObjectAttributes::Etag)
        .object_attributes(ObjectAttributes::Checksum)
        .object_attributes(ObjectAttributes::ObjectParts)
        .object_attributes(ObjectAttributes::ObjectSize)
        .object_attributes(ObjectAttributes::StorageClass)
        .send()
        .await
        .unwrap();
    assert_eq!(
        attributes.e_tag().map(|etag| etag.trim_matches('"')),
        Some(etag.trim_matches('"'))
    );
    assert_eq!(attributes.object_size(), Some(7));
    assert_eq!(attributes.storage_class(), Some(&StorageClass::Standard));
    assert!(attributes.object_parts().is_none());
    let checksum = attributes.checksum().unwrap();
    assert_eq!(
        checksum.checksum_crc32(),
        Some(Checksum::of(Own::Crc32, b"content").value.as_str())
    );
    assert_eq!(checksum.checksum_type(), Some(&ChecksumType::FullObject));
}

/// Uploads two parts.
async fn upload(site: &Site, algorithm: Option<ChecksumAlgorithm>) {
    let create = site
        .client
        .create_multipart_upload()
        .bucket(&site.bucket)
        .key("k");
    let created = create
        .set_checksum_algorithm(algorithm.clone())
        .send()
        .await
        .unwrap();
    let id = created.upload_id.unwrap();
    let mut parts = Vec::new();
    for (number, bytes) in [(1, vec![b'a'; PART]), (2, b"end".to_vec())] {
        let part = site
            .client
            .upload_part()
            .bucket(&site.bucket)
            .key("k")
            .upload_id(&id)
            .part_number(number);
        let part = part
            .set_checksum_algorithm(algorithm.clone())
            .body(bytes.into())
            .send()
            .await
            .unwrap();
        let stated = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag);
        parts.push(stated.set_checksum_sha256(part.checksum_sha256).build());
    }
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    let complete = site
        .client
        .complete_multipart_upload()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&id);
    complete.multipart_upload(parts).send().await.unwrap();
}

pub(super) async fn composite_parts_are_listed_in_pages(site: Site) {
    upload(&site, Some(ChecksumAlgorithm::Sha256)).await;
    let get = || {
        let get = site
            .client
            .get_object_attributes()
            .bucket(&site.bucket)
            .key("k")
            .max_parts(1);
        get.object_attributes(ObjectAttributes::ObjectParts)
            .object_attributes(ObjectAttributes::Checksum)
    };
    let attributes = get().send().await.unwrap();
    let digests = [
        Own::Sha256.digest(&vec![b'a'; PART]),
        Own::Sha256.digest(b"end"),
    ]
    .concat();
    let checksum = attributes.checksum().unwrap();
    // Here, and only here, S3 leaves out the number of parts.
    assert_eq!(
        checksum.checksum_sha256(),
        Some(Checksum::of(Own::Sha256, &digests).value.as_str())
    );
    assert_eq!(checksum.checksum_type(), Some(&ChecksumType::Composite));
    let page = attributes.object_parts().unwrap();
    assert_eq!(page.total_parts_count(), Some(2));
    assert_eq!(page.is_truncated(), Some(true));
    assert_eq!(page.parts().len(), 1);
    assert_eq!(page.parts()[0].size(), i64::try_from(PART).ok());
    let rest = get()
        .part_number_marker(page.next_part_number_marker().unwrap())
        .send()
        .await
        .unwrap();
    let rest = rest.object_parts().unwrap();
    assert_eq!(rest.is_truncated(), Some(false));
    assert_eq!(rest.parts()[0].part_number(), Some(2));
    assert_eq!(
        rest.parts()[0].checksum_sha256(),
        Some(Checksum::of(Own::Sha256, b"end").value.as_str())
    );
}

pub(super) async fn a_multipart_object_without_part_checksums_tells_only_their_number(site: Site) {
    let site = Site {
        client: site.endpoint.client_without_checksums(),
        ..site
    };
    upload(&site, None).await;
    let get = site
        .client
        .get_object_attributes()
        .bucket(&site.bucket)
        .key("k");
    let attributes = get
        .object_attributes(ObjectAttributes::ObjectParts)
        .send()
        .await
        .unwrap();
    let parts = attributes.object_parts().unwrap();
    assert_eq!(parts.total_parts_count(), Some(2));
    assert!(parts.parts().is_empty());
}
