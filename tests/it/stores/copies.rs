//! Parts that the store takes from another object.

use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use offsite::store::{
    Condition, Copies, ETag, Part, Placement, StoreErrorKind, Upload, UploadedPart,
};

use super::Stand;
use crate::support::noise;

/// More than S3 takes ranges of, and a name that has to be encoded.
const LENGTH: usize = (6 << 20) + 7;
const KEY: &str = "files/a b+&?%41/\u{e4}";

/// The original's bytes and version.
async fn original(stand: &Stand) -> (Bytes, ETag) {
    let bytes = Bytes::from(noise(11, LENGTH));
    let upload = begin(stand, KEY).await;
    let crc = crc_fast::checksum(Crc64Nvme, &bytes);
    let part = stand
        .store
        .upload_part(&upload, at(0), bytes.clone(), crc)
        .await
        .unwrap();
    let whole =
        stand
            .store
            .complete_upload(&upload, vec![part], LENGTH as u64, crc, &Condition::Absent);
    (bytes, whole.await.unwrap().etag)
}

async fn begin(stand: &Stand, key: &str) -> Upload {
    let placement = Placement::default();
    stand.store.begin_upload(key, &placement).await.unwrap()
}

fn at(index: i32) -> Part {
    Part {
        number: index + 1,
        offset: 0,
    }
}

fn copies(stand: &Stand) -> &dyn Copies {
    stand
        .store
        .copies()
        .expect("the server keeps what proves a copy")
}

pub(super) async fn a_part_is_copied_with_its_checksum(stand: Stand) {
    let (bytes, etag) = original(&stand).await;
    let object = copies(&stand).named(KEY, etag);
    let upload = begin(&stand, "copy").await;
    // The end comes first, so that the parts are not the original's.
    let mut parts: Vec<UploadedPart> = Vec::new();
    let mut expected = Vec::new();
    let middle = 5 << 20;
    for (index, range) in [1..middle + 1, middle + 1..LENGTH].into_iter().enumerate() {
        let index = i32::try_from(index).unwrap();
        let copied = copies(&stand).copy_part(
            &upload,
            at(index),
            &object,
            range.start as u64..range.end as u64,
        );
        let part = copied.await.unwrap();
        let piece = &bytes[range];
        let crc = crc_fast::checksum(Crc64Nvme, piece);
        let of_whole = crc_fast::checksum(Crc64Nvme, &bytes);
        assert_ne!(part.crc64nvme, of_whole, "it is that of the original");
        assert_eq!(part.crc64nvme, crc);
        expected.extend_from_slice(piece);
        parts.push(part);
    }
    let crc = crc_fast::checksum(Crc64Nvme, &expected);
    let size = expected.len() as u64;
    let complete = (stand.store).complete_upload(&upload, parts, size, crc, &Condition::Absent);
    let completed = complete.await.unwrap();
    let object = stand.store.get("copy", size).await.unwrap();
    assert_eq!(object.etag, completed.etag);
    assert!(object.bytes == expected, "the copy is another one");
    let info = stand.store.head("copy").await.unwrap();
    assert_eq!(info.crc64nvme, Some(crc));
}

pub(super) async fn only_the_version_that_was_named_is_copied(stand: Stand) {
    original(&stand).await;
    let another = ETag("\"0123456789abcdef0123456789abcdef\"".to_owned());
    let object = copies(&stand).named(KEY, another);
    let upload = begin(&stand, "copy").await;
    let copied = copies(&stand).copy_part(&upload, at(0), &object, 0..LENGTH as u64);
    let error = copied.await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::PreconditionFailed);
    stand.store.abort_upload(&upload).await.unwrap();
}

pub(super) async fn what_is_not_there_is_not_copied(stand: Stand) {
    let etag = ETag("\"0123456789abcdef0123456789abcdef\"".to_owned());
    let object = copies(&stand).named("nothing", etag);
    let upload = begin(&stand, "copy").await;
    let copied = copies(&stand).copy_part(&upload, at(0), &object, 0..LENGTH as u64);
    let error = copied.await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound);
    stand.store.abort_upload(&upload).await.unwrap();
}
