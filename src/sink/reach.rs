//! Connects to a receiver without sending a request: name, address, TLS and certificates are
//! tried as for a delivery, and then the connection is closed.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::{ClientBuilder, Url};
use tower::{BoxError, Layer, Service};

use crate::outbound;

/// The time limit for the connection.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Ends a request as soon as its connection is there.
#[derive(Debug, Clone)]
struct ConnectOnly<S>(S);

/// The error with which such a request ends.
#[derive(Debug)]
struct Connected;

impl fmt::Display for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connected")
    }
}

impl Error for Connected {}

impl<S, R> Service<R> for ConnectOnly<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.0.call(request);
        Box::pin(async move {
            drop(connecting.await?);
            Err(Box::new(Connected) as BoxError)
        })
    }
}

#[derive(Debug, Clone)]
struct ConnectOnlyLayer;

impl<S> Layer<S> for ConnectOnlyLayer {
    type Service = ConnectOnly<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ConnectOnly(inner)
    }
}

/// Connects to the server of `url` by the client that `builder` makes.
///
/// # Errors
/// Says which step failed, without the URL.
pub(super) async fn connect(builder: ClientBuilder, url: &Url) -> Result<(), String> {
    let client = builder
        .timeout(TIMEOUT)
        .connector_layer(ConnectOnlyLayer)
        .build()
        .map_err(|error| format!("cannot set up TLS: {}", outbound::innermost(&error)))?;
    match client.get(url.clone()).send().await {
        Err(error) if has_connected(&error) => Ok(()),
        Err(error) => Err(outbound::in_words(&error)),
        Ok(_) => Err("a request was sent, although none should be".to_owned()),
    }
}

fn has_connected(error: &reqwest::Error) -> bool {
    let first: &(dyn Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |&cause| cause.source());
    causes.any(<dyn Error>::is::<Connected>)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn builder() -> ClientBuilder {
        outbound::client().no_proxy()
    }

    #[tokio::test]
    async fn a_connection_is_made_and_nothing_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let url = Url::parse(&url).unwrap();
        let receiving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            all
        };
        let (received, connected) = tokio::join!(receiving, connect(builder(), &url));
        assert_eq!((received, connected), (Vec::new(), Ok(())));
    }

    #[tokio::test]
    async fn a_closed_port_is_reported_without_the_url() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/canary", listener.local_addr().unwrap());
        drop(listener);
        let error = connect(builder(), &Url::parse(&url).unwrap()).await;
        let error = error.unwrap_err();
        assert!(
            error.contains("cannot connect") && !error.contains("canary"),
            "{error}"
        );
    }
}
