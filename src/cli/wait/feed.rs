//! The changes of the watches of a wait, read by long polls that continue after a restart of the
//! daemon.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::view::{PageView, WatchView};
use crate::cli::client::{Call, CallError, Client};
use crate::cli::outage::Outage;
use crate::clock::SharedClock;

/// The most ids in one call: about 20 KiB of a URL.
pub(super) const IDS_MAX: usize = 500;
/// How much longer than its `wait` a call may take.
const GRACE: Duration = Duration::from_secs(15);
/// The news that may wait to be shown.
const NEWS_MAX: usize = 64;

/// One message of the feed.
pub(super) enum News {
    /// These watches are so now.
    Watches(Vec<WatchView>),
    /// The daemon has not answered for a while.
    Lost(String),
    Back,
    /// The daemon refuses: waiting longer does not help.
    Refused(CallError),
}

/// Follows watches in the background until it is dropped.
pub(super) struct Feed {
    news: mpsc::Receiver<News>,
    _tasks: JoinSet<()>,
}

/// One call after the other, for some of the watches.
struct Follower {
    client: Arc<Client>,
    clock: SharedClock,
    /// The ids that have not ended.
    open: Vec<String>,
    after: String,
    wait: Duration,
    news: mpsc::Sender<News>,
}

impl Feed {
    /// Follows the watches with these ids, from the position `after` on. Each call waits for at
    /// most `wait`.
    pub(super) fn start(
        client: &Arc<Client>,
        clock: &SharedClock,
        ids: &[String],
        after: &str,
        wait: Duration,
    ) -> Self {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let mut tasks = JoinSet::new();
        for chunk in ids.chunks(IDS_MAX) {
            let follower = Follower {
                client: Arc::clone(client),
                clock: Arc::clone(clock),
                open: chunk.to_vec(),
                after: after.to_owned(),
                wait,
                news: sender.clone(),
            };
            tasks.spawn(follower.run());
        }
        Self {
            news,
            _tasks: tasks,
        }
    }

    /// Waits for the next message; `None` once every watch has ended.
    pub(super) async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

impl Follower {
    async fn run(mut self) {
        let mut outage = Outage::none();
        while !self.open.is_empty() {
            let call = Call::get(self.path()).within(self.wait + GRACE);
            let news = match self.client.try_ask::<PageView>(call).await {
                Ok(answer) => {
                    if outage.end() {
                        self.tell(News::Back).await;
                    }
                    self.took(answer.body)
                }
                Err(error) if error.is_transient() => {
                    let uptime = self.clock.uptime();
                    let pause = outage.failed(uptime, error.retry_after());
                    if outage.is_noteworthy(uptime) {
                        self.tell(News::Lost(error.to_string())).await;
                    }
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Err(error) => News::Refused(error),
            };
            let is_over = matches!(news, News::Refused(_));
            self.tell(news).await;
            if is_over {
                return;
            }
        }
    }

    fn took(&mut self, page: PageView) -> News {
        let has_ended = |id: &String| {
            let watch = page.watches.iter().find(|watch| watch.id == *id);
            watch.is_some_and(|watch| watch.finished_at.is_some())
        };
        self.open.retain(|id| !has_ended(id));
        self.after = page.as_of;
        News::Watches(page.watches)
    }

    async fn tell(&self, news: News) {
        // A receiver that is gone has ended the wait, and these tasks with it.
        let _ = self.news.send(news).await;
    }

    fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("for", "change");
        query.append_pair("after", &self.after);
        query.append_pair("wait", &format!("{}s", self.wait.as_secs()));
        query.append_pair("limit", &IDS_MAX.to_string());
        query.extend_pairs(self.open.iter().map(|id| ("id", id)));
        format!("/v1/watches?{}", query.finish())
    }
}
