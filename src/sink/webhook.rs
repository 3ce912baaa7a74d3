//! Events by HTTP POST to one configured URL, signed as Standard Webhooks.

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Url;

use crate::sink::post::{DeliveryOptions, Sender};
use crate::sink::{Attempt, Sink};
use crate::watch::delivery::Delivery;

/// How many attempts one receiver sees at once.
const CONCURRENCY: usize = 8;

/// Posts events to one URL.
pub struct Webhook {
    url: Url,
    sender: Sender,
}

impl Webhook {
    /// A webhook to `url`.
    ///
    /// # Errors
    /// A file cannot be used, or TLS cannot be set up.
    pub fn new(url: Url, options: &DeliveryOptions) -> Result<Self, String> {
        let sender = Sender::new(options)?;
        Ok(Self { url, sender })
    }
}

#[async_trait]
impl Sink for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Attempt {
        self.sender.post(&self.url, delivery, now).await
    }
}
