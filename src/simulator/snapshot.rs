//! A job as its service shows it at one moment.

use std::borrow::Cow;

use jiff::Timestamp;

/// A job (or a part of one) at one moment, as far as the services show it.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    pub(super) job_id: Cow<'a, str>,
    pub(super) job_type: &'a str,
    pub(super) status: &'a str,
    pub(super) began: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) code: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
    pub(super) sub_jobs: Vec<Snapshot<'a>>,
}

/// The texts of a service for everything that the specification leaves open.
pub(super) struct Defaults {
    pub(super) job_type: &'static str,
    pub(super) code: &'static str,
    pub(super) reason: &'static str,
}
