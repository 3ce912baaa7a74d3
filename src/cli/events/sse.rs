//! Reads a stream of server-sent events (HTML Living Standard, section 9.2).

/// The longest line of a stream, in bytes. An event of the daemon is much shorter.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One message of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The position after the message; a new connection goes on there.
    pub(super) id: Option<String>,
    /// The data; `None` for a message that only names a position.
    pub(super) data: Option<String>,
}

/// Puts parts of a stream together to messages.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The beginning of a line without its end.
    rest: Vec<u8>,
    message: Message,
}

/// A line that is longer than any of the daemon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Reader {
    /// Takes the next part; returns the messages that it completes.
    ///
    /// # Errors
    /// A line is too long.
    pub(super) fn take(&mut self, part: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        let mut pieces = part.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.rest.extend_from_slice(piece);
            let line = std::mem::take(&mut self.rest);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            messages.extend(self.line(&String::from_utf8_lossy(line)));
        }
        self.rest.extend_from_slice(last);
        if self.rest.len() > LINE_BYTES_MAX {
            return Err(TooLong);
        }
        Ok(messages)
    }

    /// Takes one line; an empty one ends a message.
    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return (message != Message::default()).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.message.id = Some(value.to_owned()),
            "data" => match &mut self.message.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                data => *data = Some(value.to_owned()),
            },
            // A comment, `retry`, or `event`, which the data names too.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1000\nid: 7\n\n: heartbeat\n\nid: 8\nevent: t\ndata: {\"a\":\n\
                          data: 1}\n\nid: 9\r\ndata:x\r\n\r\n";

    fn message(id: &str, data: Option<&str>) -> Message {
        Message {
            id: Some(id.to_owned()),
            data: data.map(str::to_owned),
        }
    }

    #[test]
    fn messages_are_the_same_however_the_stream_is_cut() {
        let expected = [
            message("7", None),
            message("8", Some("{\"a\":\n1}")),
            message("9", Some("x")),
        ];
        for size in 1..STREAM.len() {
            let mut reader = Reader::default();
            let parts = STREAM.as_bytes().chunks(size);
            let found: Vec<Message> = parts.flat_map(|part| reader.take(part).unwrap()).collect();
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn a_message_without_its_end_is_not_given() {
        let mut reader = Reader::default();
        assert!(reader.take(b"id: 8\ndata: half").unwrap().is_empty());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut reader = Reader::default();
        let part = vec![b'x'; LINE_BYTES_MAX / 2];
        assert!(reader.take(&part).is_ok() && reader.take(&part).is_ok());
        assert_eq!(reader.take(b"xx"), Err(TooLong));
    }
}
