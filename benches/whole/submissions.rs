//! Submissions one by one over HTTP, each acknowledged after it is durable, beside bare `SQLite`.

use std::cell::Cell;
use std::rc::Rc;

use jobwatch::clock::SystemClock;
use tokio::io::AsyncWriteExt;
use tokio::task::LocalSet;

use crate::arguments::Plan;
use crate::client::Connection;
use crate::daemon::Daemon;
use crate::print::{Beside, Goal, figure};
use crate::settings::{self, NO_POLLS, NO_SINK};
use crate::stub::Stub;
use crate::{bare, cpu, print};

/// The number of connections, and of submissions in one transaction of bare `SQLite`.
const CONNECTIONS: usize = 64;

pub(crate) async fn measure(plan: &Plan) {
    let count = plan.submissions;
    print::text(&format!(
        "submissions: {count} one by one, over {CONNECTIONS} connections"
    ));
    let stub = Stub::serve(0);
    let settings = settings::service(stub.address, NO_POLLS) + NO_SINK;
    let daemon = Daemon::start(plan.cores.daemon, &settings).await;
    let requests: Rc<Vec<Vec<u8>>> = Rc::new(requests(count));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(daemon.address).await);
    }
    let clock = SystemClock::shared();
    let used = cpu::of(&daemon);
    let next = Rc::new(Cell::new(0));
    let all = LocalSet::new();
    for connection in connections {
        all.spawn_local(submit(connection, Rc::clone(&requests), Rc::clone(&next)));
    }
    all.await;
    let took = clock.uptime();
    let used = cpu::of(&daemon).saturating_sub(used);

    let tables = [("watches", ""), ("events", "")];
    let jobs = requests.len();
    let (wall, rows) = bare::insert_again(&daemon.store(), &tables, jobs, CONNECTIONS);
    figure(
        "submissions",
        (cpu::a_second(count, took), "/s"),
        Beside::Limit("bare SQLite", cpu::a_second(count, wall)),
        Goal::AtLeast(15_000.0),
    );
    figure(
        "CPU of a submission",
        (cpu::micros_each(used, count), "µs"),
        Beside::Limit("bare SQLite", cpu::micros_each(rows, count)),
        Goal::None,
    );
}

/// Composes the requests, so that the clients only send them.
fn requests(count: u64) -> Vec<Vec<u8>> {
    let request = |body: &String| {
        let length = body.len();
        format!(
            "POST /v1/watches HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    settings::requests(0..count).iter().map(request).collect()
}

/// Submits the next request of all until there is none.
async fn submit(mut connection: Connection, requests: Rc<Vec<Vec<u8>>>, next: Rc<Cell<usize>>) {
    while let Some(request) = requests.get(next.replace(next.get() + 1)) {
        let sent = connection.socket.get_mut().write_all(request).await;
        sent.expect("a connection");
        let (status, body) = connection.answer().await.expect("an answer");
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    }
}
