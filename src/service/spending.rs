//! The budget of the requests that follow the first one of a poll.

/// The budget of a poll, whose first request was spent before the poll began.
pub trait Spend: Send + Sync {
    /// Spends a request that is sent at once: after a redirect, or with a renewed secret. The next
    /// polls wait for it.
    fn charge(&self);

    /// Spends the request for a further page of a list. Returns false if it must not be sent now.
    fn spend_page(&self) -> bool;
}

/// A poll for one person, outside of any budget.
pub struct Unbudgeted;

impl Spend for Unbudgeted {
    fn charge(&self) {}

    fn spend_page(&self) -> bool {
        true
    }
}
