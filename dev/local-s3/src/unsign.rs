//! Requests made anonymous: for a server that is to accept everybody, with or without a signature.
//!
//! s3s refuses signed requests when it cannot verify them, so the signature is removed here and the
//! `aws-chunked` framing with it; trailing checksums become headers, which are still verified.

use crate::chunked::Decoder;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Uri};
use http_body_util::BodyExt as _;
use s3s::{HttpRequest, S3Error, S3Result, s3_error};

const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// Whether the body of a request with these headers is framed as `aws-chunked`.
pub(crate) fn is_chunked(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_SHA256)
        .is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"))
}

pub(crate) async fn remove_signature(request: HttpRequest) -> S3Result<HttpRequest> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(AUTHORIZATION);
    parts.uri = without_presigning(&parts.uri).unwrap_or(parts.uri);
    if !is_chunked(&parts.headers) {
        return Ok(HttpRequest::from_parts(parts, body));
    }
    let (content, trailers) = decode(body).await?;
    for name in [
        CONTENT_SHA256,
        "x-amz-decoded-content-length",
        "x-amz-trailer",
    ] {
        parts.headers.remove(name);
    }
    if let Some(encoding) = parts.headers.remove(CONTENT_ENCODING)
        && let Some(rest) = without_aws_chunked(&String::from_utf8_lossy(encoding.as_bytes()))
    {
        parts.headers.extend(
            HeaderValue::from_str(&rest)
                .ok()
                .map(|rest| (CONTENT_ENCODING, rest)),
        );
    }
    parts
        .headers
        .insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    parts.headers.extend(trailers);
    Ok(HttpRequest::from_parts(parts, s3s::Body::from(content)))
}

async fn decode(mut body: s3s::Body) -> S3Result<(Bytes, HeaderMap)> {
    let malformed = || s3_error!(IncompleteBody, "The aws-chunked body is malformed.");
    let mut decoder = Decoder::default();
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, error))?;
        if let Ok(data) = frame.into_data() {
            decoder
                .push(&data, |piece| content.extend_from_slice(&piece))
                .map_err(|_| malformed())?;
        }
    }
    Ok((content.freeze(), decoder.finish().map_err(|_| malformed())?))
}

/// A `Content-Encoding` without the part that only describes the transfer.
pub(crate) fn without_aws_chunked(encoding: &str) -> Option<String> {
    let rest: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "aws-chunked")
        .collect();
    (!rest.is_empty()).then(|| rest.join(","))
}

fn without_presigning(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let is_signature = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        [
            "Algorithm",
            "Credential",
            "Date",
            "Expires",
            "SignedHeaders",
            "Signature",
        ]
        .iter()
        .any(|field| name.strip_prefix("X-Amz-") == Some(field))
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !is_signature(pair))
        .collect();
    format!("{}?{}", uri.path(), kept.join("&")).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_presigning_parameters_go() {
        let uri = "/b/k?X-Amz-Signature=1&versionId=2&X-Amz-Date=3"
            .parse()
            .unwrap();
        assert_eq!(without_presigning(&uri).unwrap(), "/b/k?versionId=2");
    }

    #[test]
    fn real_content_encodings_stay() {
        assert_eq!(without_aws_chunked("aws-chunked"), None);
        assert_eq!(
            without_aws_chunked("aws-chunked, gzip"),
            Some("gzip".to_owned())
        );
    }
}
