//! `jobwatch run` with accounts at a Keystone, and watches of the job API.

use std::path::PathBuf;

use jobwatch::outbound;
use serde_json::Value;

use super::{Cloud, RUNTIME};
use crate::program::process::{Daemon, Folder};

/// The setup of one program under test.
pub(super) struct Wanted<'a> {
    /// The group of its jobs.
    pub(super) group: &'a str,
    /// Name and settings of each credential; a service of the same name uses it.
    pub(super) accounts: &'a [(&'a str, String)],
    /// The number of jobs of each service.
    pub(super) jobs: usize,
    /// More lines of each service.
    pub(super) service: &'a str,
}

/// The program under test.
pub(super) struct Watcher {
    pub(super) daemon: Daemon,
    cloud: &'static Cloud,
    group: String,
    folder: Folder,
    watches: usize,
}

impl Watcher {
    /// Starts the program with these files beside its configuration.
    #[track_caller]
    pub(super) fn start(
        cloud: &'static Cloud,
        wanted: &Wanted<'_>,
        files: &[(&str, &str)],
    ) -> Self {
        let folder = Folder::new();
        for (name, secret) in files {
            folder.write(name, secret);
        }
        let sections = wanted.accounts.iter().map(|(name, credential)| {
            let auth_url = cloud.keystone.auth_url(&caller(wanted.group, name));
            let watches = (0..wanted.jobs).map(|n| {
                let group = wanted.group;
                format!("[[watches]]\nservice = \"{name}\"\njob_id = \"{group}.{name}.{n}\"\n")
            });
            format!(
                "[credentials.{name}]\nauth_url = \"{auth_url}\"\n{credential}\n\
                 [services.{name}]\ndefinition = \"dcs\"\ncredential = \"{name}\"\n{}\n\
                 rate = 1000.0\nburst = 1000\nconcurrency = 1000\n\
                 poll = {{ first = \"0s\", initial = \"500ms\", max = \"500ms\" }}\n{}",
                wanted.service,
                watches.collect::<String>()
            )
        });
        let text = format!(
            "stop_timeout = \"2s\"\n\
             [store]\nurl = \"sqlite://{{folder}}/jobwatch.db\"\n\
             [api]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\nfilter = \"info,jobwatch=trace\"\n{}",
            sections.collect::<String>()
        );
        let text = text
            .replace("{jobs}", &cloud.jobs.url)
            .replace("{folder}", &folder.path().display().to_string());
        let config = folder.write("jobwatch.toml", &text);
        Self {
            daemon: Daemon::start(&config.display().to_string()),
            cloud,
            group: wanted.group.to_owned(),
            folder,
            watches: wanted.accounts.len() * wanted.jobs,
        }
    }

    /// Replaces a file beside its configuration.
    pub(super) fn write(&self, name: &str, secret: &str) -> PathBuf {
        self.folder.write(name, secret)
    }

    /// All watches.
    pub(super) fn watches(&self) -> Vec<Value> {
        let url = format!("{}/v1/watches?limit=1000", self.daemon.url);
        let client = outbound::client().no_proxy().build().unwrap();
        let page: Value = RUNTIME.block_on(async {
            let response = client.get(url).send().await.unwrap();
            response.json().await.unwrap()
        });
        page["watches"].as_array().unwrap().clone()
    }

    /// Waits until all jobs have succeeded, and stops the program; returns all watches.
    #[track_caller]
    pub(super) fn succeed(mut self) -> Vec<Value> {
        for _ in 0..self.watches {
            self.daemon.process.line_with("dev.jobwatch.job.succeeded");
        }
        let watches = self.watches();
        assert_eq!(watches.len(), self.watches);
        assert_eq!(self.daemon.process.terminate().code(), Some(0));
        let printed = self.daemon.process.printed.join("\n");
        let polls = self.cloud.jobs.polls(&self.group);
        let tokens = polls.iter().map(|poll| &*poll.token);
        for secret in tokens.chain(["canary-of"]) {
            let line = printed.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "a secret was logged");
        }
        watches
    }

    /// As [`succeed`](Self::succeed), and checks that no watch had a problem.
    #[track_caller]
    pub(super) fn succeed_undisturbed(self) {
        for watch in self.succeed() {
            assert_eq!(watch["problems"], 0, "{}", watch["last_problem"]);
        }
    }
}

/// The mark of an account in Keystone's log.
pub(super) fn caller(group: &str, account: &str) -> String {
    format!("{group}.{account}")
}
