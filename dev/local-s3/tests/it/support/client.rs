//! SDK clients for a server, and short forms of what tests ask of them.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use local_s3::LocalS3;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A server under test, and who talks to it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl Endpoint {
    pub(crate) fn of(server: &LocalS3) -> Self {
        let credentials = server.credentials().clone();
        Self {
            url: server.endpoint(),
            access_key: credentials.access_key,
            secret_key: credentials.secret_key,
        }
    }

    fn config(&self) -> Builder {
        let provider = Provider::Rustls(CryptoMode::Ring);
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(
                aws_smithy_http_client::Builder::new()
                    .tls_provider(provider)
                    .build_https(),
            )
            .credentials_provider(Credentials::new(
                &self.access_key,
                &self.secret_key,
                None,
                None,
                "test",
            ))
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.url)
            .force_path_style(true)
            // A test wants to see every failure.
            .retry_config(RetryConfig::disabled())
    }

    pub(crate) fn client(&self) -> Client {
        Client::from_conf(self.config().build())
    }

    /// A client that adds no checksum of its own.
    pub(crate) fn client_without_checksums(&self) -> Client {
        let when = RequestChecksumCalculation::WhenRequired;
        Client::from_conf(self.config().request_checksum_calculation(when).build())
    }
}

/// A server with the bucket `bucket`, and a client for it.
pub(crate) fn local() -> (LocalS3, Client) {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    let client = Endpoint::of(&server).client();
    (server, client)
}

/// A body that cannot be read before it is sent; the SDK sends it as `aws-chunked` with a trailer.
pub(crate) fn streamed(bytes: &[u8]) -> ByteStream {
    let pieces = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
    ByteStream::new(SdkBody::from_body_1_x(Pieces(pieces)))
}

/// A stream that knows its length, without which S3 takes none.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Status and code of a refusal, such as `412 PreconditionFailed`.
#[track_caller]
pub(crate) fn refusal<T: Debug, E>(result: Result<T, SdkError<E, HttpResponse>>) -> String
where
    E: ProvideErrorMetadata + Debug + std::error::Error + 'static,
{
    let error = result.expect_err("the server accepted it");
    let status = error
        .raw_response()
        .unwrap_or_else(|| panic!("no answer: {error:?}"))
        .status()
        .as_u16();
    let code = error
        .as_service_error()
        .and_then(|error| error.code())
        .unwrap_or("-");
    format!("{status} {code}")
}

/// Whether the connection ended without an answer.
pub(crate) fn is_cut<T: Debug, E: Debug>(result: &Result<T, SdkError<E, HttpResponse>>) -> bool {
    matches!(result, Err(SdkError::DispatchFailure(_)))
}
