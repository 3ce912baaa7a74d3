//! The job API that the daemon polls: every job runs until it is finished here.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// The jobs that have ended.
#[derive(Clone, Default)]
pub(crate) struct Cloud {
    finished: Arc<Mutex<HashSet<String>>>,
}

impl Cloud {
    /// Serves DCS jobs, and returns the address.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let cloud = self.clone();
        let tracker = TaskTracker::new();
        let connections = tracker.clone();
        tracker.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let cloud = cloud.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = cloud.answer(request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
                connections.spawn(serving);
            }
        });
        address
    }

    /// Ends a job.
    pub(crate) fn finish(&self, job_id: &str) {
        self.finished.lock().insert(job_id.to_owned());
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let job_id = path.rsplit('/').next().unwrap_or_default();
        let status = if self.finished.lock().contains(job_id) {
            "SUCCESS"
        } else {
            "RUNNING"
        };
        let body = format!(
            r#"{{"job_id":"{job_id}","job_type":"create","status":"{status}","begin_time":"","end_time":""}}"#
        );
        Response::builder()
            .header("content-type", "application/json")
            .body(Full::from(body))
            .expect("a valid answer")
    }
}
