//! Response bodies, whole or torn.
//!
//! The headers of a torn body promise its whole length; half of it arrives, and then the
//! connection ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

pub(super) enum Payload {
    Whole(Bytes),
    Torn(Bytes),
    /// The first half was handed over and must be written next.
    Flushing,
    Broken,
}

impl Payload {
    /// Returns all of `body`, or its first half.
    pub(super) fn new(body: Vec<u8>, is_torn: bool) -> Self {
        let mut body = Bytes::from(body);
        if is_torn {
            body.truncate(body.len() / 2);
            return Self::Torn(body);
        }
        Self::Whole(body)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let payload = self.get_mut();
        match payload {
            Self::Whole(rest) if rest.is_empty() => Poll::Ready(None),
            Self::Whole(rest) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest))))),
            Self::Torn(half) => {
                let half = std::mem::take(half);
                *payload = Self::Flushing;
                Poll::Ready(Some(Ok(Frame::data(half))))
            }
            // hyper writes its buffer out only when the body makes it wait; an error right
            // away would take the headers and the half with it.
            Self::Flushing => {
                *payload = Self::Broken;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Broken => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(rest) if rest.is_empty())
    }

    // Unknown for a torn body, so that hyper believes the Content-Length it is given.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
