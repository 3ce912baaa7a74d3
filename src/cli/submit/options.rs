//! The options of a submission, for `submit` and `do`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use crate::cli::complaint::complain_of_usage;
use crate::cli::exit::Exit;
use crate::cli::filter::exact;
use crate::cli::pair::pair;
use crate::definition::created_job::CreatedJob;
use crate::watch::request::WatchRequest;
use crate::watch::{CallbackUrl, Expect};

/// The options that say how a job is watched.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct SubmitOptions {
    /// A param that the configuration of the service does not set, such as `project_id=…`; may be
    /// repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// A label that every event carries, such as `deploy=42`; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The group that the watch belongs to: one event reports the end of them all
    #[arg(long, value_name = "NAME", value_parser = exact)]
    group: Option<String>,
    /// The number of watches with which the group is complete
    #[arg(long, value_name = "N", requires = "group", value_parser = clap::value_parser!(u32).range(1..))]
    group_size: Option<u32>,
    /// The end of the watch at the latest: a duration (`2h`) or a time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// The run of the job to watch, where the id names a resource with several runs
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Do not believe an end from before this time (RFC 3339), or from longer ago than this
    /// duration (`10m`) [default: one minute ago]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Watch the job again although a watch of it has ended with a verdict
    #[arg(long)]
    again: bool,
    /// The end to wait for, if it is not that of the job: `gone` for a deletion
    #[arg(long, value_name = "END", value_parser = expect)]
    expect: Option<Expect>,
    /// Send the events only to this sink; may be repeated
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
    /// Send the events to this URL too; the daemon must list its host in
    /// `allow_callback_hosts`
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
}

fn expect(text: &str) -> Result<Expect, String> {
    Expect::from_word(text).ok_or_else(|| "must be `gone`".to_owned())
}

impl SubmitOptions {
    /// Checks that no name is given twice.
    ///
    /// # Errors
    /// The error is printed already.
    pub(crate) fn check(&self) -> Result<(), Exit> {
        for (option, pairs) in [("--param", &self.params), ("--label", &self.labels)] {
            let mut names = BTreeSet::new();
            if let Some((name, _)) = pairs.iter().find(|(name, _)| !names.insert(name)) {
                return Err(complain_of_usage(&format!(
                    "{option} gives `{name}` twice; give it once"
                )));
            }
        }
        Ok(())
    }

    /// Composes the request to watch this job.
    pub(crate) fn request(&self, service: &str, job: CreatedJob) -> WatchRequest {
        let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        let since = job.since_with_margin();
        WatchRequest {
            service: service.to_owned(),
            job_id: job.job_id,
            response: None,
            params: map(&self.params),
            labels: map(&self.labels),
            group: self.group.clone(),
            group_size: self.group_size,
            run: self.run.clone().or(job.run),
            since: self.since.clone().or(since),
            again: self.again,
            expect: self.expect,
            deadline: self.deadline.clone(),
            sinks: self.sinks.clone(),
            callback_url: self.callback_url.clone().map(CallbackUrl),
        }
    }
}
