//! Objects in parts.

use std::sync::Arc;

use bytes::Bytes;
use local_s3::{Fault, Operation};
use offsite::format::location::Checksum;
use offsite::store::{
    Condition, ETag, Length, NewObject, PART_BYTES, Placement, StoreErrorKind, Uploader,
    WriteError, Written,
};
use sha2::{Digest as _, Sha256};

use super::Stand;
use crate::support::noise;

/// Enough for a few parts at once.
const MEMORY: usize = 4 * PART_BYTES;

fn object(key: &str, length: Length) -> NewObject {
    NewObject {
        key: key.to_owned(),
        condition: Condition::Absent,
        placement: Placement::default(),
        length,
        with_sha256: false,
    }
}

/// Writes in pieces of this length.
async fn write(
    uploader: &Uploader,
    object: NewObject,
    bytes: &Bytes,
    piece: usize,
) -> Result<Written, WriteError> {
    let mut writer = uploader.begin(object);
    let mut result = Ok(());
    for piece in bytes.chunks(piece) {
        result = writer.write(bytes.slice_ref(piece)).await;
        if result.is_err() {
            break;
        }
    }
    let result = match result {
        Ok(()) => writer.finish().await,
        Err(error) => Err(error),
    };
    if result.is_err() {
        writer.abort().await;
    }
    result
}

/// What was written is there, and is what the writer has said.
async fn is_there(stand: &Stand, written: &Written, bytes: &Bytes) {
    assert_eq!(written.stored.size, bytes.len() as u64);
    let crc64nvme = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes);
    assert_eq!(written.crc64nvme, crc64nvme);
    let info = stand.store.head(&written.stored.key).await.unwrap();
    assert_eq!(
        (info.size, Some(&info.etag)),
        (written.stored.size, written.stored.etag.as_ref())
    );
    let object = stand
        .store
        .get(&written.stored.key, written.stored.size)
        .await
        .unwrap();
    assert!(
        object.bytes == *bytes,
        "{} is another one",
        written.stored.key
    );
}

async fn open_uploads(stand: &Stand) -> usize {
    stand.store.open_uploads("").await.unwrap().len()
}

pub(super) async fn streams_of_any_length_arrive(stand: Stand) {
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 4);
    let lengths = [
        0,
        1,
        PART_BYTES - 1,
        PART_BYTES,
        PART_BYTES + 1,
        2 * PART_BYTES + 999,
    ];
    for length in lengths {
        let bytes = Bytes::from(noise(1, length));
        for piece in [700_001, 9 << 20] {
            let object = object(&format!("{length}/{piece}"), Length::Unknown);
            let written = write(&uploader, object, &bytes, piece).await.unwrap();
            is_there(&stand, &written, &bytes).await;
            let is_whole = length < PART_BYTES;
            assert_eq!(
                matches!(written.stored.checksum, Checksum::Sha256(_)),
                is_whole
            );
            assert_eq!(written.sha256.is_some(), is_whole);
        }
    }
}

pub(super) async fn checksums_are_kept(stand: Stand) {
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 4);
    for length in [100, PART_BYTES, 2 * PART_BYTES + 1] {
        let bytes = Bytes::from(noise(8, length));
        let object = object(&format!("{length}"), Length::Unknown);
        let written = write(&uploader, object, &bytes, length).await.unwrap();
        let info = stand.store.head(&written.stored.key).await.unwrap();
        match written.stored.checksum {
            Checksum::Sha256(sha256) => assert_eq!(info.sha256, Some(sha256)),
            Checksum::Crc64Nvme(crc64nvme) => assert_eq!(info.crc64nvme, Some(crc64nvme)),
            Checksum::Sha256OfParts(sha256) => assert_eq!(info.sha256_of_parts, Some(sha256)),
            Checksum::None => panic!("nothing is kept"),
        }
    }
}

pub(super) async fn no_upload_is_left_open(stand: Stand) {
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 4);
    let bytes = Bytes::from(noise(9, PART_BYTES + 1));
    // The second time it turns out to be there.
    for _ in 0..2 {
        let written = write(&uploader, object("key", Length::Unknown), &bytes, 1 << 20).await;
        written.unwrap();
        assert_eq!(open_uploads(&stand).await, 0);
    }
    let other = Bytes::from(noise(10, PART_BYTES + 1));
    let written = write(&uploader, object("key", Length::Unknown), &other, 1 << 20).await;
    assert!(written.is_err());
    assert_eq!(open_uploads(&stand).await, 0);
}

pub(super) async fn known_lengths_arrive(stand: Stand) {
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 4);
    let bytes = Bytes::from(noise(2, 2 * PART_BYTES + 5));
    // As long as was said, longer, and shorter.
    for said in [bytes.len(), PART_BYTES + 7, 3 * PART_BYTES, 1] {
        let mut object = object(&format!("{said}"), Length::Known(said as u64));
        object.with_sha256 = true;
        let written = write(&uploader, object, &bytes, PART_BYTES).await.unwrap();
        is_there(&stand, &written, &bytes).await;
        assert_eq!(written.sha256, Some(Sha256::digest(&bytes).into()));
    }
}

pub(super) async fn little_memory_is_enough(stand: Stand) {
    let uploader = Uploader::new(Arc::clone(&stand.store), 1 << 20, 1);
    let bytes = Bytes::from(noise(3, 3 * PART_BYTES + 1));
    let (one, other) = tokio::join!(
        write(&uploader, object("one", Length::Unknown), &bytes, 1 << 20),
        write(&uploader, object("other", Length::Unknown), &bytes, 3 << 20),
    );
    is_there(&stand, &one.unwrap(), &bytes).await;
    is_there(&stand, &other.unwrap(), &bytes).await;
}

pub(super) async fn what_is_aborted_leaves_nothing(stand: Stand) {
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 4);
    let mut writer = uploader.begin(object("aborted", Length::Unknown));
    let bytes = Bytes::from(noise(4, 2 * PART_BYTES + 1));
    writer.write(bytes).await.unwrap();
    assert_eq!(open_uploads(&stand).await, 1);
    writer.abort().await;
    assert_eq!(open_uploads(&stand).await, 0);
    let error = stand.store.get("aborted", 1).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound);
}

pub(super) async fn what_cannot_be_sent_is_said(stand: Stand) {
    let server = stand.server.as_ref().unwrap();
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 1);
    let bytes = Bytes::from(noise(5, 4 * PART_BYTES));
    for operation in [
        Operation::CreateMultipartUpload,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
    ] {
        let refused = Fault::on(operation).status(400, "InvalidRequest");
        server.fault(refused.skip(usize::from(operation == Operation::UploadPart)));
        let object = object("refused", Length::Unknown);
        let written = write(&uploader, object, &bytes, 1 << 20).await;
        let Err(WriteError::Store(error)) = written else {
            panic!("{operation:?}: {written:?}");
        };
        assert!(matches!(error.kind, StoreErrorKind::Rejected(_)), "{error}");
        assert_eq!(open_uploads(&stand).await, 0, "{operation:?}");
    }
}

pub(super) async fn whoever_waits_is_let_go(stand: Stand) {
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 4);
    let mut writer = uploader.begin(object("closed", Length::Unknown));
    let bytes = Bytes::from(noise(6, PART_BYTES));
    writer.write(bytes.clone()).await.unwrap();
    uploader.close();
    let error = writer.write(bytes).await.unwrap_err();
    assert!(matches!(error, WriteError::Stopped(_)));
    writer.abort().await;
}

pub(super) async fn nothing_takes_the_place_of_something(stand: Stand) {
    replaces(&stand, &Condition::Absent).await;
}

pub(super) async fn only_the_version_that_was_seen_is_replaced(stand: Stand) {
    let another = ETag("\"0123456789abcdef0123456789abcdef\"".to_owned());
    replaces(&stand, &Condition::Matches(another)).await;
}

/// An object is replaced by another one when its version is the right one, and not on a `condition` that
/// does not hold.
async fn replaces(stand: &Stand, condition: &Condition) {
    let uploader = Uploader::new(Arc::clone(&stand.store), MEMORY, 4);
    let was = Bytes::from_static(b"it was there before");
    for length in [100, PART_BYTES + 1] {
        let key = format!("{length}");
        let put = stand.store.put(&key, was.clone(), &Condition::Absent);
        let etag = put.await.unwrap();
        let bytes = Bytes::from(noise(7, length));
        let mut over = object(&key, Length::Unknown);
        over.condition = condition.clone();
        let written = write(&uploader, over.clone(), &bytes, length).await;
        let Err(WriteError::Store(error)) = written else {
            panic!("{length}: {written:?}");
        };
        assert_eq!(error.kind, StoreErrorKind::PreconditionFailed);
        assert_eq!(stand.store.get(&key, 100).await.unwrap().bytes, was);
        over.condition = Condition::Matches(etag);
        let written = write(&uploader, over, &bytes, length).await.unwrap();
        is_there(stand, &written, &bytes).await;
    }
}
