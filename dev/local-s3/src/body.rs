//! Bodies on their way in and out: counted, and damaged where a fault says so.
//!
//! Nothing is buffered here. Whatever the server leaves unread of a request can be drained
//! afterwards, because a client that is still sending would lose the answer with the connection.

use crate::faults::Damage;
use crate::log::{Entry, Exchange};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request.
pub(crate) struct Upload {
    incoming: Option<Incoming>,
    rest: Rest,
    entry: Arc<Entry>,
    corruption: Option<Corruption>,
}

/// What is left of a body once the server has let go of it.
#[derive(Clone, Default)]
pub(crate) struct Rest(Arc<Mutex<Option<Incoming>>>);

impl Rest {
    /// Reads what the server did not.
    pub(crate) async fn drain(&self) {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut rest) = rest {
            while let Some(Ok(_)) = rest.frame().await {}
        }
    }
}

/// Finds the first byte of content and flips it.
pub(crate) struct Corruption {
    /// An `aws-chunked` body starts with the line that describes its first chunk.
    is_after_line: bool,
}

impl Corruption {
    pub(crate) fn new(is_chunked: bool) -> Self {
        Self {
            is_after_line: is_chunked,
        }
    }

    /// The frame, damaged, once the byte is in it.
    fn apply(&mut self, frame: &Bytes) -> Option<Bytes> {
        let position = if self.is_after_line {
            frame.iter().position(|byte| *byte == b'\n')? + 1
        } else {
            0
        };
        self.is_after_line = false;
        (position < frame.len()).then(|| flip(frame, position))
    }
}

/// A copy of `bytes` in which one bit of the byte at `position` is another.
pub(crate) fn flip(bytes: &Bytes, position: usize) -> Bytes {
    let mut copy = BytesMut::from(bytes.as_ref());
    if let Some(byte) = copy.get_mut(position) {
        *byte ^= 1;
    }
    copy.freeze()
}

impl Upload {
    pub(crate) fn new(
        incoming: Incoming,
        entry: Arc<Entry>,
        corruption: Option<Corruption>,
    ) -> (Self, Rest) {
        let rest = Rest::default();
        (
            Self {
                incoming: Some(incoming),
                rest: rest.clone(),
                entry,
                corruption,
            },
            rest,
        )
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = &polled else {
            return polled;
        };
        let Some(data) = frame.data_ref() else {
            return polled;
        };
        this.entry.add_received(data.len());
        let Some(damaged) = this
            .corruption
            .as_mut()
            .and_then(|corruption| corruption.apply(data))
        else {
            return polled;
        };
        this.corruption = None;
        Poll::Ready(Some(Ok(Frame::data(damaged))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        *self.rest.0.lock().unwrap_or_else(PoisonError::into_inner) = self.incoming.take();
    }
}

/// The body of an answer.
pub(crate) struct Download {
    body: s3s::Body,
    exchange: Exchange,
    damage: Option<Damage>,
    /// How many more bytes go out; set for the damages that cut.
    left: Option<u64>,
    has_paused: bool,
    hides_length: bool,
}

impl Download {
    pub(crate) fn new(body: s3s::Body, exchange: Exchange, damage: Option<Damage>) -> Self {
        let length = body.size_hint().exact().unwrap_or_default();
        let left = match damage {
            Some(Damage::CutHalf) => Some(length / 2),
            Some(Damage::CutAfter(bytes) | Damage::Stall(bytes) | Damage::Shorten(bytes)) => {
                Some(bytes.min(length))
            }
            Some(Damage::Corrupt(_)) | None => None,
        };
        Self {
            body,
            exchange,
            damage,
            left,
            has_paused: false,
            hides_length: false,
        }
    }

    /// Does not tell how long it is.
    pub(crate) fn hide_length(&mut self) {
        self.hides_length = true;
    }

    fn end(&mut self, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if matches!(self.damage, Some(Damage::Shorten(_))) {
            return Poll::Ready(None);
        }
        if matches!(self.damage, Some(Damage::Stall(_))) {
            // Nobody wakes this; the client ends it by going away.
            return Poll::Pending;
        }
        if !self.has_paused {
            return self.pause(context);
        }
        Poll::Ready(Some(Err(
            io::Error::from(io::ErrorKind::ConnectionReset).into()
        )))
    }

    /// The connection flushes what it has when a body makes it wait, so the client does get what came
    /// before an end that closes the connection.
    fn pause(&mut self, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.has_paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn pass(&mut self, data: Bytes) -> Bytes {
        match (&mut self.left, self.damage) {
            (Some(left), _) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= take as u64;
                data.slice(..take)
            }
            (None, Some(Damage::Corrupt(offset))) => {
                let length = data.len() as u64;
                self.damage = offset.checked_sub(length).map(Damage::Corrupt);
                match (self.damage, usize::try_from(offset)) {
                    (None, Ok(offset)) => flip(&data, offset),
                    _ => data,
                }
            }
            _ => data,
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.left == Some(0) {
            return this.end(context);
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    let data = this.pass(data);
                    this.exchange.entry().add_sent(data.len());
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(other) => Poll::Ready(Some(Ok(other))),
            },
            Poll::Ready(None) if this.hides_length && !this.has_paused => this.pause(context),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() && !self.hides_length && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.damage, self.left) {
            _ if self.hides_length => SizeHint::default(),
            (Some(Damage::Shorten(_)), Some(left)) => SizeHint::with_exact(left),
            _ => self.body.size_hint(),
        }
    }
}
