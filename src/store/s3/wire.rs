//! The HTTP connector under every request to the store, of the SDK and of
//! [`direct`](super::direct) alike.
//!
//! It counts requests, remembers the store's clock from the `Date` header, keeps to the bandwidth
//! limit, in both directions and whatever the operation, and gives up on an answer that has begun
//! and does not go on, or does not end. Hosts that give credentials are
//! not the store: they are reached by the same connector, and neither counted nor believed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use jiff::Timestamp;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::aws::connector::{Noting, capped, client, connector};
use crate::boottime::boottime;
use crate::store::Clock;
use crate::store::options::PACE_BYTES;

/// What an answer may have that is no object: an error, or a page of a listing, of 1,000 keys of 1,024
/// bytes that may take six times as much in XML.
const ANSWER_BYTES: u64 = 16 << 20;

/// Counts and clock of one store.
#[derive(Debug)]
struct Shared {
    connector: SharedHttpConnector,
    requests: AtomicU64,
    clock: Clock,
}

/// A handle on the connector; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    shared: Arc<Shared>,
    pace: Option<Arc<Pace>>,
    /// How long an answer may stand still.
    patience: Duration,
}

impl Wire {
    /// The connector, with a limit in bytes a second where there is one.
    pub(super) fn new(bytes_per_second: Option<u64>, patience: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                connector: connector(),
                requests: AtomicU64::new(0),
                clock: Clock::new(boottime),
            }),
            pace: bytes_per_second.map(|rate| Arc::new(Pace::new(rate))),
            patience,
        }
    }

    /// The same without the limit, for what must not wait for its turn.
    pub(super) fn unlimited(&self) -> Self {
        Self {
            pace: None,
            ..self.clone()
        }
    }

    /// For the SDK's requests to the store.
    pub(super) fn http_client(&self) -> SharedHttpClient {
        client(SharedHttpConnector::new(self.clone()))
    }

    /// For the SDK's requests to whoever gives credentials.
    pub(super) fn to_credentials(&self) -> Noting {
        Noting::new(self.shared.connector.clone())
    }

    /// Requests sent so far, retries included.
    pub(super) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// What the store has told about the time.
    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }
}

impl HttpConnector for Wire {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let Self {
            shared,
            pace,
            patience,
        } = self.clone();
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(pace) = &pace {
            let body = std::mem::replace(request.body_mut(), SdkBody::taken());
            *request.body_mut() = pace.limit(body);
        }
        let reads = reads_object(&request);
        let answer = shared.connector.call(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await?;
            // Whoever reads an object knows how long it may be.
            let is_object = reads && response.status().is_success();
            if let Some(date) = response.headers().get("date").and_then(parse_http_date) {
                shared.clock.tell(date);
            }
            // Beneath the limit: who waits for a turn does not wait for the store.
            Ok(response.map(|body| {
                let body = match is_object {
                    true => body,
                    false => capped(body, ANSWER_BYTES),
                };
                let body = SdkBody::from_body_1_x(Watched::new(body, patience));
                match &pace {
                    Some(pace) => pace.limit(body),
                    None => body,
                }
            }))
        })
    }
}

/// Whether the SDK asks for an object or a range of it; it names what it asks for in the query.
fn reads_object(request: &HttpRequest) -> bool {
    let query = request.uri().split_once('?');
    query.is_some_and(|(_, query)| query.split('&').any(|pair| pair == "x-id=GetObject"))
}

/// An HTTP date (RFC 9110, section 5.6.7).
fn parse_http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
}

/// Spreads bytes over time: whoever wants to send is told when its turn is, and waits for it.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    next: std::sync::Mutex<Option<Instant>>,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            next: std::sync::Mutex::new(None),
        }
    }

    /// When `bytes` may go; they are counted as gone then.
    fn turn(&self, bytes: usize) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut next = self.next.lock().expect("nothing panics holding this");
        let turn = next.unwrap_or_else(Instant::now).max(Instant::now());
        *next = Some(turn + takes);
        turn
    }

    fn limit(self: &Arc<Self>, body: SdkBody) -> SdkBody {
        SdkBody::from_body_1_x(Paced {
            pace: Arc::clone(self),
            body,
            ready: None,
        })
    }
}

/// A body that flows at the pace of its store.
struct Paced {
    pace: Arc<Pace>,
    body: SdkBody,
    /// Bytes taken from the body, and the turn of the first of them.
    ready: Option<(Bytes, Pin<Box<Sleep>>)>,
}

/// How many bytes of `data` go next.
fn next_chunk(data: &Bytes) -> usize {
    data.len().min(PACE_BYTES)
}

impl Body for Paced {
    type Data = Bytes;
    type Error = aws_smithy_types::body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.ready.is_none() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => {
                    let turn = self.pace.turn(next_chunk(&data));
                    self.ready = Some((data, Box::pin(sleep_until(turn))));
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let this = &mut *self;
        let Some((data, turn)) = &mut this.ready else {
            return Poll::Ready(None);
        };
        ready!(turn.as_mut().poll(cx));
        let chunk = data.split_to(next_chunk(data));
        match data.is_empty() {
            true => this.ready = None,
            false => turn.as_mut().reset(this.pace.turn(next_chunk(data))),
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.ready.as_ref().map_or(0, |(data, _)| data.len() as u64);
        let inner = Body::size_hint(&self.body);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + waiting);
        }
        hint.set_lower(inner.lower() + waiting);
        hint
    }
}

/// A body that fails when it stands still for too long while somebody waits for it.
struct Watched {
    body: SdkBody,
    patience: Duration,
    /// The end of the patience; none while nobody waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(body: SdkBody, patience: Duration) -> Self {
        Self {
            body,
            patience,
            deadline: None,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = aws_smithy_types::body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.deadline = None;
            return Poll::Ready(frame);
        }
        let patience = this.patience;
        let deadline = this
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(deadline.as_mut().poll(cx));
        let seconds = patience.as_secs_f64();
        Poll::Ready(Some(Err(
            format!("nothing came for {seconds} seconds").into()
        )))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::cause::last_words;
    use aws_smithy_types::byte_stream::ByteStream;

    const PATIENCE: Duration = Duration::from_millis(50);

    /// A body of ten frames, of which one comes every so often, or never.
    struct Slow {
        every: Option<Duration>,
        left: usize,
        next: Option<Pin<Box<Sleep>>>,
    }

    impl Body for Slow {
        type Data = Bytes;
        type Error = aws_smithy_types::body::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let Some(every) = self.every else {
                return Poll::Pending;
            };
            let next = self.next.get_or_insert_with(|| Box::pin(sleep(every)));
            ready!(next.as_mut().poll(cx));
            self.left -= 1;
            self.next = None;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"slow")))))
        }
    }

    async fn arrives(every: Option<Duration>, rate: Option<u64>) -> Result<usize, String> {
        let body = SdkBody::from_body_1_x(Slow {
            every,
            left: 10,
            next: None,
        });
        let body = SdkBody::from_body_1_x(Watched::new(body, PATIENCE));
        let body = match rate {
            Some(rate) => Arc::new(Pace::new(rate)).limit(body),
            None => body,
        };
        let collected = ByteStream::new(body).collect().await;
        let bytes = collected.map_err(|error| last_words(&error))?;
        Ok(bytes.into_bytes().len())
    }

    #[tokio::test]
    async fn only_a_body_that_stands_still_is_given_up() {
        let in_time = Some(PATIENCE / 5);
        assert_eq!(arrives(in_time, None).await, Ok(40));
        let given_up = "nothing came for 0.05 seconds".to_owned();
        assert_eq!(arrives(None, None).await, Err(given_up));
        // Twice the patience for each frame's turn, which it waits for and the store does not.
        assert_eq!(arrives(in_time, Some(40)).await, Ok(40));
    }
}
