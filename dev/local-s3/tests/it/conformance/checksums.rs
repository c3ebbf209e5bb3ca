//! Claims about bodies: verified, kept, and never believed.

use super::Site;
use crate::support::client::{refusal, streamed};
use crate::support::raw::{self, Payload};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use local_s3::Checksum;

const BODY: &[u8] = b"The quick brown fox jumps over the lazy dog";

/// The SDK's name of an algorithm, and the library's.
const ALGORITHMS: [(ChecksumAlgorithm, local_s3::ChecksumAlgorithm); 5] = [
    (ChecksumAlgorithm::Crc32, local_s3::ChecksumAlgorithm::Crc32),
    (
        ChecksumAlgorithm::Crc32C,
        local_s3::ChecksumAlgorithm::Crc32c,
    ),
    (
        ChecksumAlgorithm::Crc64Nvme,
        local_s3::ChecksumAlgorithm::Crc64Nvme,
    ),
    (ChecksumAlgorithm::Sha1, local_s3::ChecksumAlgorithm::Sha1),
    (
        ChecksumAlgorithm::Sha256,
        local_s3::ChecksumAlgorithm::Sha256,
    ),
];

fn value(algorithm: local_s3::ChecksumAlgorithm, bytes: &[u8]) -> String {
    Checksum::of(algorithm, bytes).value
}

fn with_checksum(
    put: PutObjectFluentBuilder,
    algorithm: &ChecksumAlgorithm,
    value: String,
) -> PutObjectFluentBuilder {
    match algorithm {
        ChecksumAlgorithm::Crc32 => put.checksum_crc32(value),
        ChecksumAlgorithm::Crc32C => put.checksum_crc32_c(value),
        ChecksumAlgorithm::Crc64Nvme => put.checksum_crc64_nvme(value),
        ChecksumAlgorithm::Sha1 => put.checksum_sha1(value),
        _ => put.checksum_sha256(value),
    }
}

fn checksum_of<'a>(got: &'a GetObjectOutput, algorithm: &ChecksumAlgorithm) -> Option<&'a str> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => got.checksum_crc32(),
        ChecksumAlgorithm::Crc32C => got.checksum_crc32_c(),
        ChecksumAlgorithm::Crc64Nvme => got.checksum_crc64_nvme(),
        ChecksumAlgorithm::Sha1 => got.checksum_sha1(),
        _ => got.checksum_sha256(),
    }
}

async fn get(site: &Site) -> GetObjectOutput {
    let get = site
        .client
        .get_object()
        .bucket(&site.bucket)
        .key("k")
        .checksum_mode(ChecksumMode::Enabled);
    get.send().await.unwrap()
}

pub(super) async fn every_algorithm_is_verified_and_kept_from_a_header(site: Site) {
    for (algorithm, own) in ALGORITHMS {
        let put = site
            .client
            .put_object()
            .bucket(&site.bucket)
            .key("k")
            .body(BODY.to_vec().into());
        with_checksum(put, &algorithm, value(own, BODY))
            .send()
            .await
            .unwrap();
        let got = get(&site).await;
        assert_eq!(
            checksum_of(&got, &algorithm),
            Some(value(own, BODY).as_str()),
            "{algorithm}"
        );
        assert_eq!(
            got.checksum_type(),
            Some(&ChecksumType::FullObject),
            "{algorithm}"
        );
    }
}

pub(super) async fn a_wrong_checksum_in_a_header_keeps_nothing(site: Site) {
    for (algorithm, own) in ALGORITHMS {
        let put = site
            .client
            .put_object()
            .bucket(&site.bucket)
            .key("k")
            .body(BODY.to_vec().into());
        let put = with_checksum(put, &algorithm, value(own, b"another body"));
        assert_eq!(refusal(put.send().await), "400 BadDigest", "{algorithm}");
        assert_eq!(site.content("k").await, None, "{algorithm}");
    }
}

pub(super) async fn every_algorithm_is_verified_and_kept_from_a_trailer(site: Site) {
    for (algorithm, own) in ALGORITHMS {
        let put = site
            .client
            .put_object()
            .bucket(&site.bucket)
            .key("k")
            .body(streamed(BODY));
        put.checksum_algorithm(algorithm.clone())
            .send()
            .await
            .unwrap();
        let got = get(&site).await;
        assert_eq!(
            checksum_of(&got, &algorithm),
            Some(value(own, BODY).as_str()),
            "{algorithm}"
        );
        assert_eq!(
            got.body.collect().await.unwrap().to_vec(),
            BODY,
            "{algorithm}"
        );
    }
}

/// Sends `BODY` with a checksum in a trailer.
fn put_with_trailer(site: &Site, name: &str, value: &str) -> raw::Answer {
    let length = BODY.len().to_string();
    let headers = [
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", length.as_str()),
        ("x-amz-trailer", name),
    ];
    let path = format!("/{}/k", site.bucket);
    let body = raw::chunked(BODY, name, value);
    raw::send(
        &site.endpoint,
        "PUT",
        &path,
        &headers,
        &Payload::UnsignedWithTrailer,
        &body,
    )
}

pub(super) async fn a_wrong_checksum_in_a_trailer_keeps_nothing(site: Site) {
    for (algorithm, own) in ALGORITHMS {
        let answer = put_with_trailer(&site, own.header(), &value(own, b"another body"));
        assert_eq!(answer.refusal(), "400 BadDigest", "{algorithm}");
        assert_eq!(site.content("k").await, None, "{algorithm}");
        assert_eq!(
            put_with_trailer(&site, own.header(), &value(own, BODY)).status,
            200,
            "{algorithm}"
        );
        site.client
            .delete_object()
            .bucket(&site.bucket)
            .key("k")
            .send()
            .await
            .unwrap();
    }
}

pub(super) async fn a_wrong_checksum_leaves_the_old_object(site: Site) {
    let etag = site.put("k", b"old").await;
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .body(BODY.to_vec().into());
    let put = put.checksum_sha256(value(local_s3::ChecksumAlgorithm::Sha256, b"another body"));
    assert_eq!(refusal(put.send().await), "400 BadDigest");
    let got = get(&site).await;
    assert_eq!(got.e_tag, Some(etag));
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"old");
}

pub(super) async fn a_value_that_is_no_checksum_is_refused(site: Site) {
    for wrong in ["not base64!", "AAAA"] {
        let put = site
            .client
            .put_object()
            .bucket(&site.bucket)
            .key("k")
            .body(BODY.to_vec().into());
        assert_eq!(
            refusal(put.checksum_sha256(wrong).send().await),
            "400 InvalidRequest",
            "{wrong}"
        );
        assert_eq!(site.content("k").await, None, "{wrong}");
    }
}

pub(super) async fn two_checksums_are_refused(site: Site) {
    let crc32 = value(local_s3::ChecksumAlgorithm::Crc32, BODY);
    let sha1 = value(local_s3::ChecksumAlgorithm::Sha1, BODY);
    let headers = [
        ("x-amz-checksum-crc32", crc32.as_str()),
        ("x-amz-checksum-sha1", sha1.as_str()),
    ];
    let path = format!("/{}/k", site.bucket);
    let answer = raw::send(
        &site.endpoint,
        "PUT",
        &path,
        &headers,
        &Payload::Unsigned,
        BODY,
    );
    assert_eq!(answer.refusal(), "400 InvalidRequest");
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn without_a_checksum_crc64nvme_is_added(site: Site) {
    let client = site.endpoint.client_without_checksums();
    let put = client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .body(BODY.to_vec().into())
        .send()
        .await
        .unwrap();
    let expected = value(local_s3::ChecksumAlgorithm::Crc64Nvme, BODY);
    assert_eq!(put.checksum_crc64_nvme(), Some(expected.as_str()));
    let got = get(&site).await;
    assert_eq!(got.checksum_crc64_nvme(), Some(expected.as_str()));
    assert_eq!(got.checksum_type(), Some(&ChecksumType::FullObject));
}

pub(super) async fn an_algorithm_without_a_value_is_fine(site: Site) {
    let headers = [("x-amz-sdk-checksum-algorithm", "SHA256")];
    let path = format!("/{}/k", site.bucket);
    let answer = raw::send(
        &site.endpoint,
        "PUT",
        &path,
        &headers,
        &Payload::Unsigned,
        BODY,
    );
    assert_eq!(answer.status, 200);
    assert_eq!(site.content("k").await.unwrap(), BODY);
}

pub(super) async fn content_md5_is_verified(site: Site) {
    let cases = [
        ("nhB9nTcrtoJr2B01QqQZ1g==", "200 -"),
        ("AAAAAAAAAAAAAAAAAAAAAA==", "400 BadDigest"),
        ("nonsense", "400 InvalidDigest"),
    ];
    for (md5, expected) in cases {
        let path = format!("/{}/k", site.bucket);
        let answer = raw::send(
            &site.endpoint,
            "PUT",
            &path,
            &[("content-md5", md5)],
            &Payload::Unsigned,
            BODY,
        );
        assert_eq!(answer.refusal(), expected, "{md5}");
        assert_eq!(
            site.content("k").await.is_some(),
            answer.status == 200,
            "{md5}"
        );
        site.client
            .delete_object()
            .bucket(&site.bucket)
            .key("k")
            .send()
            .await
            .unwrap();
    }
}

pub(super) async fn the_sha256_of_the_signature_is_verified(site: Site) {
    let path = format!("/{}/k", site.bucket);
    let other = "0".repeat(64);
    let answer = raw::send(
        &site.endpoint,
        "PUT",
        &path,
        &[],
        &Payload::Stated(&other),
        BODY,
    );
    assert_eq!(answer.refusal(), "400 XAmzContentSHA256Mismatch");
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn checksums_come_only_when_asked_for_and_with_the_whole_object(site: Site) {
    site.put("k", BODY).await;
    let get = || site.client.get_object().bucket(&site.bucket).key("k");
    let whole = get()
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert!(whole.checksum_crc32().is_some());
    let part = get()
        .checksum_mode(ChecksumMode::Enabled)
        .range("bytes=0-3")
        .send()
        .await
        .unwrap();
    assert_eq!(part.checksum_crc32(), None);
    let head = site.client.head_object().bucket(&site.bucket).key("k");
    assert_eq!(head.clone().send().await.unwrap().checksum_crc32(), None);
    let head = head
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert_eq!(head.checksum_crc32(), whole.checksum_crc32());
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
}
