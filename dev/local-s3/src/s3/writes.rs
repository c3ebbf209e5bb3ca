//! `PutObject`.

use super::attributes::attributes_of;
use super::{Backend, checksum_type, etag_of, payload, set_checksum, set_encryption};
use crate::checksum::ChecksumAlgorithm;
use crate::object::StoredObject;
use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Result};
use std::sync::Arc;

pub(super) async fn put(
    backend: &Backend,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let input = &mut request.input;
    backend.state.with_bucket(&input.bucket, |_| Ok(()))?;
    let attributes = attributes_of!(*input)?;
    // S3 does not look at an algorithm that is named without a value.
    let algorithm = ChecksumAlgorithm::Crc64Nvme;
    let payload = payload::receive(&mut request, |input| input.body.take(), algorithm).await?;
    let object = Arc::new(StoredObject::whole(
        payload,
        attributes,
        backend.clock.last_modified(),
    ));
    let input = &request.input;
    let (object, version_id) = backend.state.with_bucket(&input.bucket, |bucket| {
        backend.check_write(
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            bucket.get(&input.key).as_ref(),
        )?;
        let object = bucket.write(&input.key, object)?;
        let version = bucket.told_version(&object);
        Ok((object, version))
    })?;
    let mut output = PutObjectOutput {
        version_id,
        e_tag: Some(etag_of(&object)),
        checksum_type: Some(checksum_type(object.checksum.kind)),
        ..Default::default()
    };
    set_checksum!(output, &object.checksum);
    set_encryption!(output, &object.attributes.encryption);
    Ok(output)
}
