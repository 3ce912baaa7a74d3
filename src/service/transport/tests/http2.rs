//! An HTTP/2 server that refuses or closes streams as a test requires (RFC 9113).
//!
//! It is written by hand, because a library would decide by itself which requests it reports as
//! processed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Flags of frames (RFC 9113, section 6).
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Error codes of frames (RFC 9113, section 7).
pub(super) const NO_ERROR: u8 = 0;
pub(super) const INTERNAL_ERROR: u8 = 2;
pub(super) const REFUSED_STREAM: u8 = 7;

/// The beginning of each connection (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `:status: 200` in HPACK's static table (RFC 7541, appendix A).
const STATUS_200: &[u8] = &[0x88];

/// The reaction of the server to one request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// Answers with status 200 and `{}`.
    Answer,
    /// Announces that it has processed the streams up to this one, and closes.
    GoAway { last: u32, error: u8 },
    /// Ends the stream with this error.
    Reset(u8),
    /// Closes the connection without an answer.
    Close,
}

/// One request: its connection from 1, its stream, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) connection: usize,
    pub(super) stream: u32,
    pub(super) body: Vec<u8>,
}

/// A server, until it is dropped.
pub(super) struct Server {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _running: JoinSet<()>,
}

impl Server {
    /// Serves each request as `act` says.
    pub(super) async fn start(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (act, noted) = (Arc::new(act), Arc::clone(&asked));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (act, noted) = (Arc::clone(&act), Arc::clone(&noted));
                connections.spawn(async move {
                    // A client that closes is done.
                    let _ = serve(stream, number, &*act, &noted).await;
                });
            }
        });
        Self {
            url,
            asked,
            _running: running,
        }
    }

    /// Returns every request so far, in order.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    act: &(impl Fn(&Asked) -> Act + Sync),
    noted: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    assert_eq!(preface, PREFACE);
    write(&mut stream, SETTINGS, 0, 0, &[]).await?;
    let mut bodies: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    loop {
        let (kind, flags, id, payload) = read(&mut stream).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => write(&mut stream, SETTINGS, ACK, 0, &[]).await?,
            DATA => bodies.entry(id).or_default().extend(payload),
            _ => {}
        }
        if !matches!(kind, HEADERS | DATA) || flags & END_STREAM == 0 {
            continue;
        }
        let asked = Asked {
            connection,
            stream: id,
            body: bodies.remove(&id).unwrap_or_default(),
        };
        noted.lock().unwrap().push(asked.clone());
        match act(&asked) {
            Act::Answer => {
                write(&mut stream, HEADERS, END_HEADERS, id, STATUS_200).await?;
                write(&mut stream, DATA, END_STREAM, id, b"{}").await?;
            }
            Act::Reset(error) => {
                write(&mut stream, RST_STREAM, 0, id, &[0, 0, 0, error]).await?;
            }
            Act::GoAway { last, error } => {
                let payload = [last.to_be_bytes(), [0, 0, 0, error]].concat();
                write(&mut stream, GOAWAY, 0, 0, &payload).await?;
                return drain(&mut stream).await;
            }
            Act::Close => return Ok(()),
        }
    }
}

/// Reads until the client closes: closing first could reset the connection before the
/// client has read the last frame.
async fn drain(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// Reads one frame: its type, flags, stream and payload.
async fn read(stream: &mut TcpStream) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok((kind, flags, u32::from_be_bytes(id), payload))
}

async fn write(
    stream: &mut TcpStream,
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> std::io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).await
}
