//! What an object has besides its bytes, as the requests that make objects take it.

use std::collections::HashMap;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use crate::format::object::ObjectHeaders;

/// Gives a request that makes an object headers and user metadata. The requests are of different types, and have the
/// same methods.
macro_rules! with_headers {
    ($request:expr, $headers:expr) => {{
        let headers: Option<&$crate::format::object::ObjectHeaders> = $headers;
        let text = |header: fn(&$crate::format::object::ObjectHeaders) -> &Option<String>| {
            headers.and_then(|headers| header(headers).clone())
        };
        $request
            .set_content_type(text(|headers| &headers.content_type))
            .set_content_encoding(text(|headers| &headers.content_encoding))
            .set_content_language(text(|headers| &headers.content_language))
            .set_content_disposition(text(|headers| &headers.content_disposition))
            .set_cache_control(text(|headers| &headers.cache_control))
            .set_expires(headers.and_then($crate::store::s3::headers::expires))
            .set_metadata(headers.and_then($crate::store::s3::headers::metadata))
    }};
}

pub(super) use with_headers;

/// `Expires`, where it is a time.
pub(super) fn expires(headers: &ObjectHeaders) -> Option<DateTime> {
    let text = headers.expires.as_deref()?;
    DateTime::from_str(text, DateTimeFormat::HttpDate).ok()
}

/// User metadata, if there is any.
pub(super) fn metadata(headers: &ObjectHeaders) -> Option<HashMap<String, String>> {
    let metadata = &headers.metadata;
    (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect())
}
