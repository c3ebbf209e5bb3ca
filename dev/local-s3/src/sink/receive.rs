//! Taking in a body: counted, and hashed or kept only where that is asked for.

use crate::chunked::Decoder;
use crate::unsign::is_chunked;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::crypto::{Checksum as _, Md5};
use s3s::{S3Result, s3_error};

/// What to do with a body besides counting it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) is_hashed: bool,
    pub(super) is_kept: bool,
}

/// A body that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) size: u64,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) bytes: Option<Bytes>,
}

/// The length of the content, if the client tells it.
pub(super) fn stated_size(headers: &HeaderMap) -> Option<u64> {
    let name = if is_chunked(headers) {
        "x-amz-decoded-content-length"
    } else {
        "content-length"
    };
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Reads a body to its end. The framing of `aws-chunked` is taken apart only if the content
/// matters; otherwise the stated length is believed.
pub(super) async fn receive(
    headers: &HeaderMap,
    mut body: Incoming,
    wanted: Wanted,
) -> S3Result<Received> {
    let incomplete = || s3_error!(IncompleteBody);
    let mut content = Content::new(wanted, stated_size(headers));
    let mut decoder = is_chunked(headers).then(Decoder::default);
    let is_decoded = wanted.is_hashed || wanted.is_kept || stated_size(headers).is_none();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| incomplete())?.into_data() else {
            continue;
        };
        match &mut decoder {
            Some(decoder) if is_decoded => {
                let pushed = decoder.push(&data, |piece| content.take(&piece));
                pushed.map_err(|_| incomplete())?;
            }
            Some(_) => {}
            None => content.take(&data),
        }
    }
    let size = match stated_size(headers) {
        Some(size) if decoder.is_some() && !is_decoded => size,
        _ => content.size,
    };
    Ok(Received {
        size,
        md5: content.md5.map(Md5::finalize),
        bytes: content.bytes.map(BytesMut::freeze),
    })
}

struct Content {
    size: u64,
    md5: Option<Md5>,
    bytes: Option<BytesMut>,
}

impl Content {
    fn new(wanted: Wanted, size: Option<u64>) -> Self {
        let capacity = size.and_then(|size| usize::try_from(size).ok());
        Self {
            size: 0,
            md5: wanted.is_hashed.then(Md5::new),
            bytes: wanted
                .is_kept
                .then(|| BytesMut::with_capacity(capacity.unwrap_or_default())),
        }
    }

    fn take(&mut self, data: &Bytes) {
        self.size += data.len() as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(data);
        }
        if let Some(bytes) = &mut self.bytes {
            bytes.extend_from_slice(data);
        }
    }
}
