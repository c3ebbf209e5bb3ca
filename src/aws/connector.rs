//! The HTTP connector under every request of the program, and how much of an answer is taken in.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_http_client::{Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Connecting takes a round trip or two; the SDK's own default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// What whoever gives credentials may say: a key and a token, of a few kilobytes.
const CREDENTIALS_BYTES: u64 = 1 << 20;

/// TLS by rustls, and the proxies of the environment.
pub(crate) fn connector() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build();
    SharedHttpConnector::new(connector)
}

/// A client of the SDK's that uses this connector.
pub(crate) fn client(connector: SharedHttpConnector) -> SharedHttpClient {
    http_client_fn(move |_, _| connector.clone())
}

/// A body that fails once it is longer than `at_most` bytes. The SDK collects whatever it is sent.
pub(crate) fn capped(body: SdkBody, at_most: u64) -> SdkBody {
    SdkBody::from_body_1_x(Capped {
        body,
        at_most,
        left: at_most,
    })
}

struct Capped {
    body: SdkBody,
    at_most: u64,
    left: u64,
}

impl Body for Capped {
    type Data = Bytes;
    type Error = aws_smithy_types::body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                let error = format!("the answer has more than {} bytes", self.at_most);
                return Poll::Ready(Some(Err(error.into())));
            };
            self.left = left;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

/// The connector for whoever gives credentials. It notes how it was answered last: the SDK's own errors
/// do not tell in one way for all of them.
#[derive(Debug, Clone)]
pub(crate) struct Noting {
    connector: SharedHttpConnector,
    /// 0 for none.
    status: Arc<AtomicU16>,
}

impl Noting {
    pub(crate) fn new(connector: SharedHttpConnector) -> Self {
        Self {
            connector,
            status: Arc::default(),
        }
    }

    /// For the SDK's requests.
    pub(crate) fn http_client(&self) -> SharedHttpClient {
        client(SharedHttpConnector::new(self.clone()))
    }

    /// The status of the last answer since this was asked last, if there was one.
    pub(crate) fn take_status(&self) -> Option<u16> {
        Some(self.status.swap(0, Ordering::Relaxed)).filter(|status| *status > 0)
    }
}

impl HttpConnector for Noting {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let status = Arc::clone(&self.status);
        status.store(0, Ordering::Relaxed);
        let answer = self.connector.call(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await?;
            status.store(response.status().as_u16(), Ordering::Relaxed);
            Ok(response.map(|body| capped(body, CREDENTIALS_BYTES)))
        })
    }
}
