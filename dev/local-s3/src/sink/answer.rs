//! Answers of the sink.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use s3s::S3Error;
use s3s::dto::GetBucketLocationOutput;
use s3s::xml::{Serialize, Serializer};

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn empty(status: StatusCode) -> Answer {
    with_body(status, Bytes::new())
}

pub(super) fn with_body(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer
}

pub(super) fn with_etag(etag: &str) -> Answer {
    let mut answer = empty(StatusCode::OK);
    let etag = HeaderValue::from_str(etag).ok().map(|etag| (ETAG, etag));
    answer.headers_mut().extend(etag);
    answer
}

pub(super) fn xml(document: &impl Serialize) -> Answer {
    xml_with_status(StatusCode::OK, document)
}

fn xml_with_status(status: StatusCode, document: &impl Serialize) -> Answer {
    let mut text = Vec::new();
    let mut serializer = Serializer::new(&mut text);
    let written = serializer
        .decl()
        .and_then(|()| document.serialize(&mut serializer));
    if written.is_err() {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let mut answer = with_body(status, Bytes::from(text));
    let kind = HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

pub(super) fn json(document: &impl serde::Serialize) -> Answer {
    let text = serde_json::to_vec(document).unwrap_or_default();
    let mut answer = with_body(StatusCode::OK, Bytes::from(text));
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

pub(super) fn bucket_location() -> Answer {
    xml(&GetBucketLocationOutput::default())
}

/// The answer that tells a client what was wrong.
pub(super) fn refusal(error: &S3Error) -> Answer {
    let status = error.status_code().unwrap_or(StatusCode::BAD_REQUEST);
    xml_with_status(status, error)
}
