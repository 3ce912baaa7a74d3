//! A TCP proxy between a replica and a server that can cut, delay and swallow what passes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// What happens to data on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    Open,
    /// Each piece waits so long.
    Slow(Duration),
    /// Nothing passes, and neither side learns of it.
    Silent,
}

#[derive(Clone, Copy)]
struct Rule {
    passage: Passage,
    /// The connections made before a change of this number end.
    generation: u64,
}

/// The ways of one replica to all its servers.
#[derive(Clone)]
pub(crate) struct Proxy {
    rule: Arc<watch::Sender<Rule>>,
    tracker: TaskTracker,
}

impl Proxy {
    pub(crate) fn new(tracker: &TaskTracker) -> Self {
        let rule = Rule {
            passage: Passage::Open,
            generation: 0,
        };
        Self {
            rule: Arc::new(watch::Sender::new(rule)),
            tracker: tracker.clone(),
        }
    }

    /// Opens a port that leads to `to`, a port of this machine.
    pub(crate) async fn way(&self, to: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = self.clone();
        self.tracker.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let connection = connection(socket, to, proxy.rule.subscribe());
                proxy.tracker.spawn(connection);
            }
        });
        port
    }

    pub(crate) fn set(&self, passage: Passage) {
        self.rule.send_modify(|rule| rule.passage = passage);
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.rule.send_modify(|rule| rule.generation += 1);
    }
}

async fn connection(ours: TcpStream, to: u16, mut rule: watch::Receiver<Rule>) {
    let Ok(theirs) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    for socket in [&ours, &theirs] {
        // Without it, small statements wait.
        let _ = socket.set_nodelay(true);
    }
    let generation = rule.borrow().generation;
    let (from_us, to_us) = ours.into_split();
    let (from_them, to_them) = theirs.into_split();
    tokio::select! {
        () = pass(from_us, to_them, rule.clone()) => {}
        () = pass(from_them, to_us, rule.clone()) => {}
        _ = rule.wait_for(|now| now.generation != generation) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut rule: watch::Receiver<Rule>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let passage = rule.borrow().passage;
        if let Passage::Slow(delay) = passage {
            tokio::time::sleep(delay).await;
        }
        if !opened(&mut rule).await || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    // The end of a connection is swallowed, too.
    opened(&mut rule).await;
}

/// Waits until something passes; false at the end of the test.
async fn opened(rule: &mut watch::Receiver<Rule>) -> bool {
    let opened = rule.wait_for(|now| now.passage != Passage::Silent).await;
    opened.is_ok()
}
