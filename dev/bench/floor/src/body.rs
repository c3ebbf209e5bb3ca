//! A request's body: a buffer that is lent to hyper and comes back.

use hyper::body::{Body, Buf, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The whole content, until it is sent.
#[derive(Debug)]
pub(crate) struct Whole(pub(crate) Option<Rest>);

/// What of a buffer is not sent yet.
#[derive(Debug)]
pub(crate) struct Rest {
    buffer: Arc<Vec<u8>>,
    from: usize,
}

impl Whole {
    pub(crate) fn new(buffer: Arc<Vec<u8>>) -> Self {
        Self(Some(Rest { buffer, from: 0 }))
    }
}

impl Body for Whole {
    type Data = Rest;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Rest>, Infallible>>> {
        Poll::Ready(self.0.take().map(|rest| Ok(Frame::data(rest))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.0.as_ref().map_or(0, Buf::remaining);
        SizeHint::with_exact(left as u64)
    }
}

impl Buf for Rest {
    fn remaining(&self) -> usize {
        self.buffer.len() - self.from
    }

    fn chunk(&self) -> &[u8] {
        &self.buffer[self.from..]
    }

    fn advance(&mut self, count: usize) {
        self.from += count;
    }
}
