//! The shortest way to put a small object, and to read a range: one signed request on the SDK's own
//! connector.
//!
//! The SDK's machinery costs about 25 µs of CPU a request, as much as all the rest of backing up a
//! small file. A first pass and a restore are nothing but such requests, so contents take this way. It
//! knows only success: whatever else happens (an error, a timeout, throttling, an expired token, a
//! redirect) the caller asks again by the SDK, which knows how to deal with it.
//!
//! Signing is `aws-sigv4`'s. A put payload's SHA-256 is computed once by the caller, and serves the
//! manifest, the store's check on arrival and the signature.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::wire::Wire;
use crate::aws::credentials::Keeper;

/// The SHA-256 of a request without a body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A bucket that objects can be put into and read from directly.
pub(super) struct Direct {
    wire: Wire,
    /// With the bucket, without a trailing slash.
    base_url: String,
    host: String,
    region: String,
    signing: SigningSettings,
    credentials: Keeper,
}

/// What a success says of the object.
pub(super) struct Answered {
    pub(super) etag: Option<String>,
    /// SHA-256 in Base64, where the store reports it.
    pub(super) sha256: Option<String>,
}

/// The answer was not success, or there was none.
pub(super) struct NotStored;

impl Direct {
    /// Resolves the bucket's address as the SDK would. `None` where requests need more than a
    /// plain SigV4 signature, as for S3 Express or multi-region access points.
    pub(super) async fn new(
        wire: Wire,
        credentials: Keeper,
        params: Params,
        region: &str,
    ) -> Option<Self> {
        let endpoint = DefaultResolver::new()
            .resolve_endpoint(&params)
            .await
            .ok()?;
        let mut schemes = endpoint.auth_schemes().iter();
        let plain = schemes.all(|scheme| scheme.name() == "sigv4");
        let properties = endpoint.properties();
        if !plain || properties.contains_key("backend") {
            return None;
        }
        let mut signing = SigningSettings::default();
        signing.percent_encoding_mode = PercentEncodingMode::Single;
        signing.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        signing.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let base_url = endpoint.url().trim_end_matches('/').to_owned();
        let host = base_url.parse::<http::Uri>().ok()?.authority()?.to_string();
        Some(Self {
            wire,
            base_url,
            host,
            region: region.to_owned(),
            signing,
            credentials,
        })
    }

    /// Puts an object that does not exist yet.
    pub(super) async fn put(
        &self,
        key: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        sha256: [u8; 32],
        timeout: Duration,
    ) -> Result<Answered, NotStored> {
        let request = self.request(key, headers, body, sha256).await;
        let request = request.ok_or(NotStored)?;
        let answer = tokio::time::timeout(timeout, self.wire.call(request));
        match answer.await {
            Ok(Ok(response)) if response.status().is_success() => {
                let header = |name| response.headers().get(name).map(str::to_owned);
                Ok(Answered {
                    etag: header("etag"),
                    sha256: header("x-amz-checksum-sha256"),
                })
            }
            _ => Err(NotStored),
        }
    }

    /// Asks for a range of an object. What is answered, whose body is yet to be read; `None` unless it is
    /// a success.
    pub(super) async fn get(
        &self,
        key: &str,
        range: &str,
        timeout: Duration,
    ) -> Option<GetObjectOutput> {
        // As the SDK names it, and the wire looks for it.
        let url = format!("{}/{}?x-id=GetObject", self.base_url, encode_path(key));
        let headers = [("host", self.host.as_str()), ("range", range)];
        let body = SdkBody::empty();
        let payload = EMPTY_SHA256.to_owned();
        let request = self.signed("GET", &url, headers.into_iter(), payload, body);
        let request = request.await?;
        let answer = tokio::time::timeout(timeout, self.wire.call(request));
        let answer = answer.await.ok()?.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let header = |name| answer.headers().get(name).map(str::to_owned);
        let length = header("content-length").and_then(|length| length.parse().ok());
        let output = GetObjectOutput::builder()
            .set_e_tag(header("etag"))
            .set_content_length(length)
            .set_content_range(header("content-range"));
        Some(output.body(ByteStream::new(answer.into_body())).build())
    }

    async fn request(
        &self,
        key: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        sha256: [u8; 32],
    ) -> Option<HttpRequest> {
        let url = format!("{}/{}", self.base_url, encode_path(key));
        let checksum = BASE64_STANDARD.encode(sha256);
        let length = body.len().to_string();
        let own = [
            ("host", self.host.as_str()),
            ("content-length", length.as_str()),
            ("if-none-match", "*"),
            ("x-amz-checksum-sha256", checksum.as_str()),
            ("x-amz-sdk-checksum-algorithm", "SHA256"),
        ];
        let given = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let all = own.into_iter().chain(given);

        let (payload, body) = (hex::encode(sha256), SdkBody::from(body));
        self.signed("PUT", &url, all, payload, body).await
    }

    /// Signs a request that has these headers.
    async fn signed<'a>(
        &self,
        method: &'a str,
        url: &'a str,
        headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        payload_sha256: String,
        body: SdkBody,
    ) -> Option<HttpRequest> {
        let identity = self.credentials.identity().await.ok()?;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(self.signing.clone())
            .build()
            .ok()?
            .into();
        let payload = SignableBody::Precomputed(payload_sha256);
        let mut request = http::Request::builder().method(method).uri(url);
        // The connector gives the host.
        for (name, value) in headers.clone().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        let mut request = request.body(body).ok()?;
        let signable = SignableRequest::new(method, url, headers, payload).ok()?;
        let (instructions, _) = sign(signable, &params).ok()?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request.try_into().ok()
    }
}

/// What a URL takes as it is besides letters and digits (RFC 3986, section 2.3).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A key as it stands in a URL, with its slashes.
pub(super) fn encode_path(key: &str) -> Cow<'_, str> {
    const PATH: AsciiSet = UNRESERVED.remove(b'/');
    utf8_percent_encode(key, &PATH).into()
}

/// A value as it stands in a query.
pub(super) fn encode_value(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, &UNRESERVED).into()
}
