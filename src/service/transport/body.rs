//! Reads the body of an answer, with limits of size and of silence.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::clock::show_duration;

/// The longest gap between two pieces of a body. The head of an answer may take as long as
/// the whole request: some services compute it first.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the body up to the limit; true if there was more. The decompressed bytes are counted as
/// they come, because the length of a compressed body says nothing about its size.
///
/// # Errors
/// Says why the body broke off; `in_words` describes an error of the connection.
pub(super) async fn read<B>(
    body: B,
    max_body: usize,
    in_words: fn(B::Error) -> String,
) -> Result<(Bytes, bool), String>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut read = Pieces::default();
    loop {
        // Not reqwest's `read_timeout`: that one also runs while the head is waited for.
        let frame = tokio::time::timeout(IDLE_TIMEOUT, body.frame()).await;
        let frame = frame.map_err(|_| fell_silent())?;
        let Some(frame) = frame.transpose().map_err(in_words)? else {
            return Ok((read.joined(), false));
        };
        // The other frames are trailers.
        let Ok(mut piece) = frame.into_data() else {
            continue;
        };
        let left = max_body - read.len();
        if piece.len() > left {
            piece.truncate(left);
            read.push(piece);
            return Ok((read.joined(), true));
        }
        read.push(piece);
    }
}

fn fell_silent() -> String {
    let limit = show_duration(IDLE_TIMEOUT);
    format!("the answer broke off: no data for {limit}")
}

/// The pieces of a body. A single one is not copied.
#[derive(Debug, Default)]
struct Pieces {
    first: Bytes,
    /// All pieces, if there are several.
    all: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
        } else if !piece.is_empty() {
            if self.all.is_empty() {
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(&piece);
        }
    }

    fn joined(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    fn never(error: Infallible) -> String {
        match error {}
    }

    async fn read_of(pieces: &[&'static [u8]], max_body: usize) -> (Bytes, bool) {
        let frames = pieces
            .iter()
            .map(|piece| Ok(Frame::data(Bytes::from_static(piece))));
        let body = StreamBody::new(stream::iter(frames.collect::<Vec<_>>()));
        read(body, max_body, never).await.unwrap()
    }

    #[tokio::test]
    async fn single_piece_is_not_copied() {
        static PIECE: &[u8] = b"{\"status\":\"RUNNING\"}";
        for max_body in [PIECE.len(), PIECE.len() - 1] {
            let (body, is_cut) = read_of(&[b"", PIECE, b""], max_body).await;
            assert_eq!(body.as_ptr(), PIECE.as_ptr());
            assert_eq!((body.len(), is_cut), (max_body, max_body < PIECE.len()));
        }
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_limit() {
        let pieces: &[&'static [u8]] = &[b"ab", b"", b"cd", b"e"];
        for (max_body, expected, is_cut) in [
            (9, &b"abcde"[..], false),
            (5, b"abcde", false),
            (4, b"abcd", true),
            (3, b"abc", true),
            (1, b"a", true),
            (0, b"", true),
        ] {
            let (body, cut) = read_of(pieces, max_body).await;
            assert_eq!((&body[..], cut), (expected, is_cut), "{max_body}");
        }
    }
}
