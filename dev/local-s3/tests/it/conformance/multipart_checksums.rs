//! Checksums of multipart uploads: of the whole object, or composed of those of the parts.

use super::Site;
use crate::support::client::refusal;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use local_s3::{Checksum, ChecksumAlgorithm as Own};

const PART: usize = 5 << 20;

async fn create(site: &Site, algorithm: ChecksumAlgorithm, kind: Option<ChecksumType>) -> String {
    let create = site
        .client
        .create_multipart_upload()
        .bucket(&site.bucket)
        .key("k")
        .checksum_algorithm(algorithm);
    create
        .set_checksum_type(kind)
        .send()
        .await
        .unwrap()
        .upload_id
        .unwrap()
}

async fn part(
    site: &Site,
    id: &str,
    number: i32,
    bytes: &[u8],
    algorithm: ChecksumAlgorithm,
) -> UploadPartOutput {
    let part = site
        .client
        .upload_part()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(id)
        .part_number(number);
    part.body(bytes.to_vec().into())
        .checksum_algorithm(algorithm)
        .send()
        .await
        .unwrap()
}

fn stated(number: i32, part: UploadPartOutput) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(part.e_tag)
        .set_checksum_crc32(part.checksum_crc32)
        .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
        .set_checksum_sha256(part.checksum_sha256)
        .build()
}

fn complete(
    site: &Site,
    id: &str,
    parts: &[CompletedPart],
) -> CompleteMultipartUploadFluentBuilder {
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts.to_vec()))
        .build();
    site.client
        .complete_multipart_upload()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(id)
        .multipart_upload(parts)
}

pub(super) async fn full_object_crc64nvme(site: Site) {
    let (first, last) = (vec![b'a'; PART], b"end".as_slice());
    let id = create(&site, ChecksumAlgorithm::Crc64Nvme, None).await;
    let parts = [
        part(&site, &id, 1, &first, ChecksumAlgorithm::Crc64Nvme).await,
        part(&site, &id, 2, last, ChecksumAlgorithm::Crc64Nvme).await,
    ];
    assert_eq!(
        parts[1].checksum_crc64_nvme(),
        Some(Checksum::of(Own::Crc64Nvme, last).value.as_str())
    );
    let [one, two] = parts;
    let expected = Checksum::of(Own::Crc64Nvme, &[&first, last].concat()).value;
    let complete = complete(&site, &id, &[stated(1, one), stated(2, two)]);
    let complete = complete
        .checksum_type(ChecksumType::FullObject)
        .checksum_crc64_nvme(&expected);
    let done = complete.send().await.unwrap();
    assert_eq!(done.checksum_crc64_nvme(), Some(expected.as_str()));
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .checksum_mode(ChecksumMode::Enabled);
    let head = head.send().await.unwrap();
    assert_eq!(head.checksum_crc64_nvme(), Some(expected.as_str()));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
}

pub(super) async fn a_wrong_full_object_checksum_shows_nothing(site: Site) {
    let id = create(
        &site,
        ChecksumAlgorithm::Crc64Nvme,
        Some(ChecksumType::FullObject),
    )
    .await;
    let only = stated(
        1,
        part(&site, &id, 1, b"content", ChecksumAlgorithm::Crc64Nvme).await,
    );
    let wrong = Checksum::of(Own::Crc64Nvme, b"another content").value;
    let refused = complete(&site, &id, std::slice::from_ref(&only))
        .checksum_crc64_nvme(wrong)
        .send()
        .await;
    assert_eq!(refusal(refused), "400 BadDigest");
    assert_eq!(site.content("k").await, None);
    complete(&site, &id, &[only]).send().await.unwrap();
    assert_eq!(site.content("k").await.unwrap(), b"content");
}

pub(super) async fn composite_sha256(site: Site) {
    let (first, last) = (vec![b'a'; PART], b"end".as_slice());
    let id = create(&site, ChecksumAlgorithm::Sha256, None).await;
    let one = stated(
        1,
        part(&site, &id, 1, &first, ChecksumAlgorithm::Sha256).await,
    );
    let two = stated(
        2,
        part(&site, &id, 2, last, ChecksumAlgorithm::Sha256).await,
    );
    let done = complete(&site, &id, &[one, two]).send().await.unwrap();
    let digests = [Own::Sha256.digest(&first), Own::Sha256.digest(last)].concat();
    let expected = format!("{}-2", Checksum::of(Own::Sha256, &digests).value);
    assert_eq!(done.checksum_sha256(), Some(expected.as_str()));
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .checksum_mode(ChecksumMode::Enabled);
    let head = head.send().await.unwrap();
    assert_eq!(head.checksum_sha256(), Some(expected.as_str()));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::Composite));
}

pub(super) async fn composite_needs_the_checksum_of_each_part(site: Site) {
    let id = create(&site, ChecksumAlgorithm::Sha256, None).await;
    let only = part(&site, &id, 1, b"content", ChecksumAlgorithm::Sha256).await;
    let bare = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(only.e_tag)
        .build();
    assert_eq!(
        refusal(complete(&site, &id, &[bare]).send().await),
        "400 InvalidRequest"
    );
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn crc32_is_composite_or_full_object(site: Site) {
    let whole = Checksum::of(Own::Crc32, b"content").value;
    let composite = Checksum::of(Own::Crc32, &Own::Crc32.digest(b"content")).value;
    let cases = [
        (None, format!("{composite}-1")),
        (Some(ChecksumType::FullObject), whole),
    ];
    for (kind, expected) in cases {
        let id = create(&site, ChecksumAlgorithm::Crc32, kind.clone()).await;
        let only = stated(
            1,
            part(&site, &id, 1, b"content", ChecksumAlgorithm::Crc32).await,
        );
        let done = complete(&site, &id, &[only]).send().await.unwrap();
        assert_eq!(done.checksum_crc32(), Some(expected.as_str()), "{kind:?}");
    }
}

pub(super) async fn sha256_is_never_full_object(site: Site) {
    let create = site
        .client
        .create_multipart_upload()
        .bucket(&site.bucket)
        .key("k");
    let create = create
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .checksum_type(ChecksumType::FullObject);
    assert_eq!(refusal(create.send().await), "400 InvalidRequest");
}

pub(super) async fn a_part_with_a_wrong_checksum_is_not_kept(site: Site) {
    let id = create(&site, ChecksumAlgorithm::Sha256, None).await;
    let part = site
        .client
        .upload_part()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&id)
        .part_number(1);
    let part = part
        .body(b"content".to_vec().into())
        .checksum_sha256(Checksum::of(Own::Sha256, b"another").value);
    assert_eq!(refusal(part.send().await), "400 BadDigest");
    let parts = site
        .client
        .list_parts()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&id)
        .send()
        .await
        .unwrap();
    assert!(parts.parts().is_empty());
}

pub(super) async fn a_part_with_another_algorithm_is_refused(site: Site) {
    let id = create(&site, ChecksumAlgorithm::Sha256, None).await;
    let part = site
        .client
        .upload_part()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&id)
        .part_number(1);
    let part = part
        .body(b"content".to_vec().into())
        .checksum_algorithm(ChecksumAlgorithm::Crc32);
    assert_eq!(refusal(part.send().await), "400 InvalidRequest");
}

pub(super) async fn an_upload_without_algorithm_gets_crc64nvme(site: Site) {
    let site = Site {
        client: site.endpoint.client_without_checksums(),
        ..site
    };
    let created = site
        .client
        .create_multipart_upload()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    let id = created.upload_id.unwrap();
    let part = site
        .client
        .upload_part()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&id)
        .part_number(1);
    let part = part.body(b"content".to_vec().into()).send().await.unwrap();
    let done = complete(&site, &id, &[stated(1, part)])
        .send()
        .await
        .unwrap();
    let expected = Checksum::of(Own::Crc64Nvme, b"content").value;
    assert_eq!(done.checksum_crc64_nvme(), Some(expected.as_str()));
    assert_eq!(done.checksum_type(), Some(&ChecksumType::FullObject));
}

pub(super) async fn a_wrong_part_checksum_at_completion_is_refused(site: Site) {
    let id = create(&site, ChecksumAlgorithm::Sha256, None).await;
    let only = part(&site, &id, 1, b"content", ChecksumAlgorithm::Sha256).await;
    let wrong = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(only.e_tag)
        .checksum_sha256(Checksum::of(Own::Sha256, b"another").value)
        .build();
    assert_eq!(
        refusal(complete(&site, &id, &[wrong]).send().await),
        "400 InvalidPart"
    );
    assert_eq!(site.content("k").await, None);
}
