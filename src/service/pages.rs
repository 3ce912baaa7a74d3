//! The budget for the pages of a list.

/// The budget of a list: it is asked before each page after the first one.
pub trait SpendPage: Send + Sync {
    /// Spends a request, always if the page must be read. Returns false if it must not be sent now.
    fn spend_page(&self, is_must: bool) -> bool;
}

/// A list that is read for one person, outside of any budget.
pub struct Unbudgeted;

impl SpendPage for Unbudgeted {
    fn spend_page(&self, _is_must: bool) -> bool {
        true
    }
}
