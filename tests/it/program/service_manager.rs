//! The notifications for the service manager: ready, alive, stopping.

use std::os::unix::net::UnixDatagram;

use crate::program::process::{Folder, PATIENCE, Process};

/// Reads notifications until `wanted` comes; returns all up to it.
#[track_caller]
fn told_until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut sent = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(length) = socket.recv(&mut buffer) else {
            panic!("{wanted:?} was not sent; only {sent:?}");
        };
        let states = String::from_utf8_lossy(&buffer[..length]);
        sent.extend(states.lines().map(str::to_owned));
        if sent.iter().any(|state| state == wanted) {
            return sent;
        }
    }
}

#[test]
fn service_manager_gets_ready_watchdog_and_stopping() {
    let folder = Folder::new();
    let config = folder.configure("http://127.0.0.1:9", "");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "30000000"),
    ];
    let mut daemon = Process::start_with(&["run", "--config", &config], &environment);
    let before_ready = told_until(&socket, "READY=1");
    assert_eq!(
        before_ready,
        ["READY=1"],
        "no notification is sent before it is ready"
    );
    daemon.line_with("\"message\":\"ready\"");
    // Twice, because the first may come from the start and not from the loop.
    told_until(&socket, "WATCHDOG=1");
    told_until(&socket, "WATCHDOG=1");
    let status = daemon.terminate();
    told_until(&socket, "STOPPING=1");
    assert_eq!(status.code(), Some(0));
}
