//! Signed requests that no SDK would send: with claims that are not true.

use super::client::Endpoint;
use aws_sdk_s3::config::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::SystemTime;

/// An answer, as far as tests look at it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    /// Status and S3's code, such as `400 BadDigest`.
    pub(crate) fn refusal(&self) -> String {
        let code = self
            .text
            .split("<Code>")
            .nth(1)
            .and_then(|rest| rest.split("</Code>").next());
        format!("{} {}", self.status, code.unwrap_or("-"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// What is said of the body in `x-amz-content-sha256`.
pub(crate) enum Payload<'a> {
    /// The given text stands in the header and is signed, whatever the body is.
    Stated(&'a str),
    Unsigned,
    /// `aws-chunked` with a trailer.
    UnsignedWithTrailer,
}

/// Sends a request that is signed correctly, over a connection of its own.
pub(crate) fn send(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    payload: &Payload<'_>,
    body: &[u8],
) -> Answer {
    let host = endpoint.url.strip_prefix("http://").unwrap();
    let identity = Credentials::new(
        &endpoint.access_key,
        &endpoint.secret_key,
        None,
        None,
        "test",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let (stated, signable) = match payload {
        Payload::Stated(text) => (*text, SignableBody::Precomputed((*text).to_owned())),
        Payload::Unsigned => ("UNSIGNED-PAYLOAD", SignableBody::UnsignedPayload),
        Payload::UnsignedWithTrailer => (
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            SignableBody::StreamingUnsignedPayloadTrailer,
        ),
    };
    let mut all: Vec<(&str, &str)> = vec![("host", host), ("x-amz-content-sha256", stated)];
    all.extend_from_slice(headers);
    let uri = format!("{}{path}", endpoint.url);
    let request = SignableRequest::new(method, &uri, all.iter().copied(), signable).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in all.into_iter().chain(instructions.headers()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    exchange(host, &[head.as_bytes(), b"\r\n", body].concat())
}

/// Sends bytes and reads until the connection ends.
pub(crate) fn exchange(host: &str, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A connection that the server cuts may end in a reset after part of the answer.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_default();
    Answer { status, text }
}

/// `body` as `aws-chunked` in one chunk with a trailing header.
pub(crate) fn chunked(body: &[u8], trailer: &str, value: &str) -> Vec<u8> {
    let framed = [
        format!("{:x}\r\n", body.len()).as_bytes(),
        body,
        b"\r\n0\r\n",
    ]
    .concat();
    [framed, format!("{trailer}:{value}\r\n\r\n").into_bytes()].concat()
}
