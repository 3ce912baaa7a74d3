//! A recorded HTTP answer: its body alone, or head and body as `curl -i` prints them.

use http::{HeaderMap, HeaderName, HeaderValue};

#[derive(Debug)]
pub(super) struct Response {
    pub(super) http_status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// Parses an answer. If it has no head, its status counts as 200.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut response = Self {
            http_status: 200,
            headers: HeaderMap::new(),
            body: bytes.to_vec(),
        };
        // A proxy or `100 Continue` puts another head before the one that counts.
        while response.body.starts_with(b"HTTP/") {
            response = Self::with_head(&response.body)?;
        }
        Ok(response)
    }

    fn with_head(bytes: &[u8]) -> Result<Self, String> {
        let (head, body) = split_head(bytes)
            .ok_or_else(|| "the head of the answer has no end (an empty line)".to_owned())?;
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        Ok(Self {
            http_status: status
                .ok_or_else(|| "the first line of the answer has no HTTP status".to_owned())?,
            headers: headers.collect(),
            body: body.to_vec(),
        })
    }
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let find = |end: &[u8]| {
        let at = bytes.windows(end.len()).position(|window| window == end)?;
        Some((&bytes[..at], &bytes[at + end.len()..]))
    };
    find(b"\r\n\r\n").or_else(|| find(b"\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_alone_and_a_whole_answer_are_read() {
        let bare = Response::read(b"{\"job_id\":\"1\"}").unwrap();
        assert_eq!((bare.http_status, bare.body.len()), (200, 14));
        let whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nLocation: /x\r\n\r\n{}";
        let whole = Response::read(whole).unwrap();
        assert_eq!(whole.http_status, 202);
        assert_eq!(whole.headers["location"], "/x");
        assert_eq!(whole.body, b"{}");
    }

    #[test]
    fn a_broken_head_is_refused() {
        assert!(
            Response::read(b"HTTP/1.1 200 OK\r\nno end")
                .unwrap_err()
                .contains("no end")
        );
        assert!(
            Response::read(b"HTTP/1.1\r\n\r\n")
                .unwrap_err()
                .contains("no HTTP status")
        );
    }
}
