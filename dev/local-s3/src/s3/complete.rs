//! `CompleteMultipartUpload`.
//!
//! Everything is checked and the object is put together before the map is touched; it then appears
//! in one step. Completing an upload again answers as the first time, because a client that lost
//! the answer will try.

use super::{Backend, checksum_type, etag_of, set_checksum, set_encryption};
use crate::checksum::{Checksum, ChecksumAlgorithm, ChecksumType, ChecksumsOfParts, Claim};
use crate::object::{Restore, StoredObject, StoredPart, Upload, UploadedPart, quoted_hex};
use crate::state::no_such_upload;
use bytes::{Bytes, BytesMut};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart};
use s3s::{S3Error, S3Request, S3Result, s3_error};
use std::sync::Arc;

/// S3 user guide, "Amazon S3 multipart upload limits": only the last part may be smaller.
const SMALLEST_PART: u64 = 5 << 20;

pub(super) fn complete(
    backend: &Backend,
    mut request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    backend.forget_claims(&mut request.headers);
    let tells_checksum = backend.checksums_of_parts != ChecksumsOfParts::Ignored;
    let claim = Claim::in_headers(&request.headers)?;
    let mut input = request.input;
    if !tells_checksum {
        forget(&mut input);
    }
    let name = (input.key.clone(), input.upload_id.clone());
    let found =
        backend
            .state
            .with_bucket(&input.bucket, |bucket| match bucket.uploads.get(&name) {
                Some(upload) => Ok(Found::Open(Box::new(upload.clone()))),
                None => bucket
                    .completion(&name)
                    .map(|object| {
                        let version = bucket.told_version(&object);
                        Found::Completed(object, version)
                    })
                    .ok_or_else(no_such_upload),
            })?;
    let upload = match found {
        Found::Open(upload) => upload,
        Found::Completed(object, version) => return Ok(output(&input, &object, version)),
    };
    let stated = input
        .multipart_upload
        .as_ref()
        .and_then(|upload| upload.parts.as_deref())
        .unwrap_or_default();
    let chosen = choose(&upload, stated)?;
    check_sizes(&chosen, input.mpu_object_size)?;
    let mut object = assemble(&upload, &chosen);
    object.tells_checksum = tells_checksum;
    check_kind(&upload, &input)?;
    check_claim(claim.as_ref(), &object)?;
    let (object, version) = backend.state.with_bucket(&input.bucket, |bucket| {
        bucket.upload(&name)?;
        if !backend.ignores_conditions_of_parts {
            backend.check_write(
                input.if_match.as_ref(),
                input.if_none_match.as_ref(),
                bucket.get(&input.key).as_ref(),
            )?;
        }
        let object = bucket.write(&input.key, Arc::new(object))?;
        bucket.uploads.remove(&name);
        bucket.remember_completion(name, Arc::clone(&object));
        let version = bucket.told_version(&object);
        Ok((object, version))
    })?;
    Ok(output(&input, &object, version))
}

/// Overlooks the checksums that a request states.
fn forget(input: &mut CompleteMultipartUploadInput) {
    input.checksum_type = None;
    let parts = input.multipart_upload.as_mut();
    for part in parts
        .and_then(|upload| upload.parts.as_mut())
        .into_iter()
        .flatten()
    {
        *part = CompletedPart {
            e_tag: part.e_tag.take(),
            part_number: part.part_number,
            ..CompletedPart::default()
        };
    }
}

enum Found {
    Open(Box<Upload>),
    Completed(Arc<StoredObject>, Option<String>),
}

type Chosen<'a> = Vec<(i32, &'a UploadedPart)>;

/// The parts the client names, each of which has to be the one that was uploaded.
fn choose<'a>(upload: &'a Upload, stated: &[CompletedPart]) -> S3Result<Chosen<'a>> {
    if stated.is_empty() {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published \
             schema"
        ));
    }
    let mut chosen = Chosen::new();
    for part in stated {
        let number = part.part_number.unwrap_or_default();
        if chosen
            .last()
            .is_some_and(|(previous, _)| *previous >= number)
        {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. The parts list must be specified \
                 in order by part number."
            ));
        }
        let uploaded = upload.parts.get(&number).ok_or_else(invalid_part)?;
        if part.e_tag.as_ref().map(s3s::dto::ETag::value) != Some(uploaded.bare_etag().as_str()) {
            return Err(invalid_part());
        }
        check_part_checksum(upload, part, number, uploaded)?;
        chosen.push((number, uploaded));
    }
    Ok(chosen)
}

fn check_part_checksum(
    upload: &Upload,
    part: &CompletedPart,
    number: i32,
    uploaded: &UploadedPart,
) -> S3Result<()> {
    use ChecksumAlgorithm::{Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
    let fields = [
        (Crc32, &part.checksum_crc32),
        (Crc32c, &part.checksum_crc32c),
        (Crc64Nvme, &part.checksum_crc64nvme),
        (Sha1, &part.checksum_sha1),
        (Sha256, &part.checksum_sha256),
    ];
    let stated = fields
        .into_iter()
        .find_map(|(algorithm, value)| Some((algorithm, value.as_deref()?)));
    match (stated, upload.terms.algorithm) {
        (None, Some(algorithm)) if upload.terms.kind == ChecksumType::Composite => Err(s3_error!(
            InvalidRequest,
            "The upload was created using a {} checksum. The complete request must include the \
             checksum for each part. It was missing for part {number} in the request.",
            algorithm.lower_name()
        )),
        (None, _) => Ok(()),
        (Some((stated, value)), Some(algorithm))
            if stated == algorithm && value == uploaded.payload.checksum.value =>
        {
            Ok(())
        }
        (Some(_), _) => Err(invalid_part()),
    }
}

fn check_sizes(chosen: &Chosen<'_>, stated: Option<i64>) -> S3Result<()> {
    let (_, all_but_last) = chosen.split_last().ok_or_else(invalid_part)?;
    if all_but_last
        .iter()
        .any(|(_, part)| part.size() < SMALLEST_PART)
    {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed object size."
        ));
    }
    let total: u64 = chosen.iter().map(|(_, part)| part.size()).sum();
    if stated.is_some_and(|stated| u64::try_from(stated) != Ok(total)) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed: {total}"
        ));
    }
    Ok(())
}

fn assemble(upload: &Upload, chosen: &Chosen<'_>) -> StoredObject {
    let bytes = join(chosen);
    let digests: Vec<u8> = chosen
        .iter()
        .flat_map(|(_, part)| part.payload.md5)
        .collect();
    let etag = quoted_hex(&Md5::checksum(&digests)).replace('"', "");
    let checksums: Vec<&Checksum> = chosen
        .iter()
        .map(|(_, part)| &part.payload.checksum)
        .collect();
    let algorithm = upload
        .terms
        .algorithm
        .unwrap_or(ChecksumAlgorithm::Crc64Nvme);
    let checksum = match upload.terms.kind {
        ChecksumType::Composite => Checksum::composite(algorithm, checksums.into_iter()),
        ChecksumType::FullObject => Checksum::of(algorithm, &bytes),
    };
    let part = |(number, part): &(i32, &UploadedPart)| StoredPart {
        number: *number,
        size: part.size(),
        checksum: upload
            .terms
            .algorithm
            .map(|_| part.payload.checksum.clone()),
    };
    StoredObject {
        etag: format!("\"{etag}-{}\"", chosen.len()),
        checksum,
        tells_checksum: true,
        // S3 dates a multipart object by the creation of its upload.
        last_modified: upload.initiated,
        attributes: upload.terms.attributes.clone(),
        parts: chosen.iter().map(part).collect(),
        archive_tier: None,
        restore: Restore::NotAsked,
        version_id: None,
        bytes,
    }
}

fn join(chosen: &Chosen<'_>) -> Bytes {
    if let [(_, only)] = chosen.as_slice() {
        return only.payload.bytes.clone();
    }
    let mut bytes = BytesMut::with_capacity(
        chosen
            .iter()
            .map(|(_, part)| part.payload.bytes.len())
            .sum(),
    );
    for (_, part) in chosen {
        bytes.extend_from_slice(&part.payload.bytes);
    }
    bytes.freeze()
}

fn check_kind(upload: &Upload, input: &CompleteMultipartUploadInput) -> S3Result<()> {
    let Some(stated) = &input.checksum_type else {
        return Ok(());
    };
    if ChecksumType::parse(stated.as_str())? == upload.terms.kind {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "The upload was created using the {} checksum mode. The complete request must use the \
         same checksum mode.",
        upload.terms.kind.name()
    ))
}

/// A claim about the whole object has to be true. One about another algorithm than the upload's
/// cannot be judged by what is kept, so it is refused.
fn check_claim(claim: Option<&Claim>, object: &StoredObject) -> S3Result<()> {
    let Some(claim) = claim else { return Ok(()) };
    claim.check_form()?;
    if claim.algorithm != object.checksum.algorithm {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            object.checksum.algorithm.lower_name(),
            claim.algorithm.lower_name()
        ));
    }
    let is_true = match object.checksum.kind {
        ChecksumType::FullObject => claim.value == object.checksum.value,
        ChecksumType::Composite => {
            claim.value == object.checksum.value || claim.value == object.checksum.bare_value()
        }
    };
    if is_true {
        Ok(())
    } else {
        Err(claim.bad_digest())
    }
}

fn invalid_part() -> S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found.  The part may not have been \
         uploaded, or the specified entity tag may not match the part's entity tag."
    )
}

fn output(
    input: &CompleteMultipartUploadInput,
    object: &StoredObject,
    version_id: Option<String>,
) -> CompleteMultipartUploadOutput {
    let mut output = CompleteMultipartUploadOutput {
        version_id,
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        e_tag: Some(etag_of(object)),
        ..Default::default()
    };
    if object.tells_checksum {
        output.checksum_type = Some(checksum_type(object.checksum.kind));
        set_checksum!(output, &object.checksum);
    }
    set_encryption!(output, &object.attributes.encryption);
    output
}
