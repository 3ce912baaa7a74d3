//! The cloud, and the receiver of webhooks: one thread with one epoll. Of a request it reads
//! only the number of the job; the answers were written beforehand.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use memchr::memmem::find;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;

use crate::board::Board;

/// The beginning of all job ids; the number of the job follows in hexadecimal digits.
const ID: &str = "ff8080826b45d4a5016b5036";
/// The number of these digits.
const DIGITS: usize = 8;
/// The member of a webhook that names its job.
const MEMBER: &[u8] = b"\"job_id\":\"";
/// The data of epoll for the listener; a connection has its number and 1.
const LISTENER: u64 = 0;
const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// A running stub; it goes on until the process ends.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    pub(crate) board: Arc<Board>,
}

/// Returns the id of a job.
pub(crate) fn job_id(number: u64) -> String {
    format!("{ID}{number:0DIGITS$x}")
}

impl Stub {
    /// Serves as many jobs, on a thread of its own.
    pub(crate) fn serve(jobs: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let board = Arc::new(Board::of(jobs));
        let mut server = Server::new(listener, Arc::clone(&board));
        std::thread::spawn(move || server.run());
        Self { address, board }
    }
}

struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    board: Arc<Board>,
    running: Answer,
    ended: Answer,
    input: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    /// The part of a request that has come so far.
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Server {
    fn new(listener: TcpListener, board: Arc<Board>) -> Self {
        listener.set_nonblocking(true).expect("a socket");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN).expect("a socket");
        Self {
            listener,
            epoll,
            connections: Vec::new(),
            board,
            running: Answer::with("RUNNING"),
            ended: Answer::with("SUCCESS"),
            input: vec![0; 64 * 1024],
        }
    }

    fn run(&mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => panic!("epoll: {error}"),
            }
            for event in events.drain(..) {
                let data = event.data;
                match data.u64() {
                    LISTENER => self.accept(),
                    number => self.serve(number),
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true).expect("a socket");
            socket.set_nodelay(true).expect("a socket");
            self.board.connections.fetch_add(1, Ordering::Relaxed);
            let number = self.connections.len() as u64 + 1;
            let data = epoll::EventData::new_u64(number);
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).expect("a socket");
            self.connections.push(Some(Connection {
                socket,
                input: Vec::new(),
                output: Vec::new(),
            }));
        }
    }

    /// Answers the requests that have come on a connection; without an answer it is closed.
    fn serve(&mut self, number: u64) {
        let index = usize::try_from(number - 1).expect("a small number");
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        let length = match connection.socket.read(&mut self.input) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => 0,
        };
        connection.input.extend_from_slice(&self.input[..length]);
        let mut done = 0;
        while let Some(request) = Request::first(&connection.input[done..]) {
            done += request.length;
            let output = &mut connection.output;
            if request.is_webhook {
                self.board.webhook(request.job, request.is_signed);
                output.extend_from_slice(NO_CONTENT);
            } else if self.board.poll(request.job) {
                self.ended.write(request.job, output);
            } else {
                self.running.write(request.job, output);
            }
        }
        connection.input.drain(..done);
        let sent = connection.socket.write_all(&connection.output);
        connection.output.clear();
        if length == 0 || sent.is_err() {
            self.connections[index] = None;
        }
    }
}

/// The facts of one request.
struct Request {
    /// The length with the body.
    length: usize,
    job: u64,
    is_webhook: bool,
    is_signed: bool,
}

impl Request {
    /// Reads the first request, if all of it has come.
    fn first(input: &[u8]) -> Option<Self> {
        let body = find(input, b"\r\n\r\n")? + 4;
        let head = &input[..body];
        if head.starts_with(b"GET ") {
            let path = head[4..].split(|&byte| byte == b' ').next()?;
            return Some(Self {
                length: body,
                job: number(path),
                is_webhook: false,
                is_signed: false,
            });
        }
        let at = find(head, b"content-length: ").expect("a webhook with a length") + 16;
        let digits = head[at..].split(|&byte| byte == b'\r').next()?;
        let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let event = input.get(body..body + length)?;
        let id = find(event, MEMBER).expect("an event of a job") + MEMBER.len();
        Some(Self {
            length: body + length,
            job: number(event.get(..id + ID.len() + DIGITS)?),
            is_webhook: true,
            is_signed: find(head, b"webhook-signature: v1").is_some(),
        })
    }
}

/// Reads the number of a job from the end of this text.
fn number(text: &[u8]) -> u64 {
    let digits = text.last_chunk::<DIGITS>().expect("the id of a job");
    let digits = std::str::from_utf8(digits).expect("digits");
    u64::from_str_radix(digits, 16).expect("digits")
}

/// An answer, but for the number of the job.
struct Answer {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Answer {
    fn with(status: &str) -> Self {
        let body = format!(
            "{{\"status\":\"{status}\",\"entities\":{{\"server_group_id\":\"a59d008e-4bad-4bf3-9b17-6cc25e7da483\"}},\
             \"job_id\":\"{ID}|\",\"job_type\":\"createProtectionGroupNoCG\",\
             \"begin_time\":\"\",\"end_time\":\"\",\"error_code\":null,\"fail_reason\":null}}"
        );
        let length = body.len() - 1 + DIGITS;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        let answer = format!("{head}: {length}\r\n\r\n{body}");
        let (before, after) = answer.split_once('|').expect("the place of the number");
        Self {
            before: before.into(),
            after: after.into(),
        }
    }

    fn write(&self, job: u64, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.before);
        write!(output, "{job:0DIGITS$x}").expect("memory");
        output.extend_from_slice(&self.after);
    }
}
