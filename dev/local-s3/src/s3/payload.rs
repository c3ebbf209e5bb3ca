//! Receiving a body whole, and believing nothing that is said about it.
//!
//! What this returns has passed every check the request asked for: length, `Content-MD5`, the
//! SHA-256 of the signature, the checksum in a header or trailer. Nothing else in the server looks
//! at claims about bodies.

use super::custom_error;
use crate::checksum::{Checksum, ChecksumAlgorithm, Claim};
use crate::object::Payload;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use s3s::crypto::{Checksum as _, Md5, Sha256};
use s3s::dto::StreamingBlob;
use s3s::{Body, S3Error, S3Request, S3Result, s3_error};

/// Memory set aside at once for a body that says it is long; the rest is allocated as it arrives.
const LARGEST_RESERVATION: usize = 64 << 20;

/// Reads and verifies the body that `take` finds in the request's input.
pub(super) async fn receive<Input>(
    request: &mut S3Request<Input>,
    take: impl FnOnce(&mut Input) -> Option<StreamingBlob>,
    default_algorithm: ChecksumAlgorithm,
) -> S3Result<Payload> {
    let claim_in_headers = Claim::in_headers(&request.headers)?;
    if let Some(claim) = &claim_in_headers {
        claim.check_form()?;
    }
    let length = content_length(&request.headers);
    let bytes = match take(&mut request.input) {
        Some(body) => collect(body, length).await?,
        None => Bytes::new(),
    };
    if length.is_some_and(|length| length != bytes.len()) {
        return Err(incomplete());
    }
    let md5 = Md5::checksum(&bytes);
    verify_md5(&request.headers, &md5)?;
    if request.credentials.is_none() {
        verify_sha256(&request.headers, &bytes)?;
    }
    let trailers = request
        .trailing_headers
        .as_ref()
        .and_then(s3s::TrailingHeaders::take);
    let claim = match claim_in_headers {
        Some(claim) => Some(claim),
        None => Claim::in_headers(&trailers.unwrap_or_default())?,
    };
    let is_claimed = claim.is_some();
    let checksum = match claim {
        Some(claim) => claim.verify(&bytes)?,
        None => Checksum::of(default_algorithm, &bytes),
    };
    Ok(Payload {
        bytes,
        md5,
        checksum,
        is_claimed,
    })
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Always copies: a frame is a piece of the connection's buffer, and keeping it would keep the
/// whole buffer.
async fn collect(body: StreamingBlob, length: Option<usize>) -> S3Result<Bytes> {
    let mut body = Body::from(body);
    let mut bytes = BytesMut::with_capacity(length.unwrap_or_default().min(LARGEST_RESERVATION));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| explain(&*error))?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// The S3 error behind a failed read. The error types of s3s are private, but their names are in
/// their messages.
fn explain(error: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        return sha256_mismatch();
    }
    if text.contains("SignatureMismatch") {
        return s3_error!(
            SignatureDoesNotMatch,
            "The signature of a chunk does not match."
        );
    }
    incomplete()
}

fn incomplete() -> S3Error {
    s3_error!(
        IncompleteBody,
        "You did not provide the number of bytes specified by the Content-Length HTTP header"
    )
}

fn sha256_mismatch() -> S3Error {
    custom_error(
        StatusCode::BAD_REQUEST,
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}

fn verify_md5(headers: &HeaderMap, md5: &[u8; 16]) -> S3Result<()> {
    let Some(claimed) = headers.get("content-md5") else {
        return Ok(());
    };
    match BASE64.decode(claimed.as_bytes()) {
        Ok(claimed) if claimed == md5 => Ok(()),
        Ok(claimed) if claimed.len() == md5.len() => Err(s3_error!(
            BadDigest,
            "The Content-MD5 you specified did not match what we received."
        )),
        _ => Err(s3_error!(
            InvalidDigest,
            "The Content-MD5 you specified was invalid."
        )),
    }
}

/// Where the signature is verified, s3s does this; an anonymous request may carry the header as
/// well.
fn verify_sha256(headers: &HeaderMap, bytes: &[u8]) -> S3Result<()> {
    let claimed = headers
        .get("x-amz-content-sha256")
        .and_then(|value| hex::decode(value.as_bytes()).ok());
    match claimed {
        Some(claimed) if claimed != Sha256::checksum(bytes) => Err(sha256_mismatch()),
        _ => Ok(()),
    }
}
