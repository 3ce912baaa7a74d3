//! Posts events to the callback URL that a watch was submitted with.
//!
//! A caller of the API chose such a URL: its host must be listed, its scheme must be `https`,
//! and only public addresses are connected to. Each attempt checks all of this again, because
//! settings and DNS answers change while a job runs.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::outbound::egress::Hosts;
use crate::sink::filter::events;
use crate::sink::post::{DeliveryOptions, Sender};
use crate::sink::signature::keys;
use crate::sink::{Attempt, AttemptResult, Sink};
use crate::tree::reader::Reader;
use crate::watch::delivery::Delivery;
use crate::watch::subscription::Filter;

/// The number of attempts that may run at once, to all receivers together. It is larger than
/// for one webhook, so that one receiver that does not answer does not delay the others.
const CONCURRENCY: usize = 32;

/// The rules for the `callback_url` of watches.
#[derive(Clone)]
pub struct CallbackSettings {
    /// The hosts that the URL may name.
    pub hosts: Hosts,
    /// The form of the requests and their signatures.
    pub options: DeliveryOptions,
    /// The events that are sent to the URL.
    pub filter: Filter,
}

/// Posts each event to the URL of its watch.
pub struct Callback {
    hosts: Hosts,
    sender: Sender,
}

impl Callback {
    /// Makes a sink for callback URLs on these hosts.
    ///
    /// # Errors
    /// A file cannot be used, or TLS cannot be set up.
    pub fn new(hosts: Hosts, options: &DeliveryOptions) -> Result<Self, String> {
        let sender = Sender::new(options)?;
        Ok(Self { hosts, sender })
    }
}

#[async_trait]
impl Sink for Callback {
    fn kind(&self) -> &'static str {
        "callback"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Attempt {
        let never = |reason: String| Attempt::of(AttemptResult::Never { reason });
        let Some(target) = &delivery.target else {
            return never("the watch has no callback_url".to_owned());
        };
        let url = match self.hosts.check(&target.0) {
            Ok(url) => url,
            Err(reason) => return never(format!("the callback_url {reason}")),
        };
        let attempt = self.sender.post(&url, delivery, now).await;
        match attempt.result {
            // Only this receiver is gone; the sink goes on for the others.
            AttemptResult::ReceiverGone => Attempt {
                result: AttemptResult::Never {
                    reason: "the receiver is gone (410)".to_owned(),
                },
                ..attempt
            },
            _ => attempt,
        }
    }
}

/// Reads the rules for the `callback_url` of watches; `None` if no host is allowed.
pub(crate) fn read(api: &Reader<'_>) -> Option<CallbackSettings> {
    let listed = api.list("allow_callback_hosts");
    let keys = keys(api, ["callback_secret", "old_callback_secret"]);
    let events = events(api, "callback_events");
    let hosts = Hosts::parse(&listed)
        .inspect_err(|message| api.report("allow_callback_hosts", message))
        .ok()?;
    if listed.is_empty() {
        return None;
    }
    if keys.is_empty() && !api.has_any(&["callback_secret", "callback_secret_file"]) {
        api.warn(
            "allow_callback_hosts",
            "callbacks are not signed; set callback_secret_file, so that receivers can check the sender",
        );
    }
    Some(CallbackSettings {
        hosts,
        options: DeliveryOptions {
            keys,
            only_public: true,
            ..DeliveryOptions::plain()
        },
        filter: Filter {
            events,
            ..Filter::default()
        },
    })
}
