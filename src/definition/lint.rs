//! Mistakes that parse: definitions that could never say anything, or not what they mean.

use crate::definition::JobSelectors;
use crate::definition::compile::Check;
use crate::definition::file::{File, Selection, SelectorText, StatesTable};
use crate::definition::rules::Rule;
use crate::definition::selector::{HTTP, STATUS};
use crate::definition::states::States;
use crate::watch::observation::JobState;

impl Check<'_> {
    /// `@status` is there only once the status was read, and what is carried as a value must
    /// stand in the body.
    pub(super) fn special_selectors(&mut self, file: &File) {
        let job = &file.job;
        let texts = |selection: &Selection| -> Vec<String> {
            let each = selection.as_slice().iter();
            each.map(|text| match text {
                SelectorText::Path(path) => path.clone(),
                SelectorText::InText(_) => "{ in, find }".to_owned(),
            })
            .collect()
        };
        let item: Vec<String> = job.item.iter().cloned().collect();
        if job.item.is_some() && job.id.as_slice().is_empty() {
            self.wrong(
                "job.item",
                "needs `job.id`: without it any element would count as the job",
            );
        }
        for (key, selection) in [
            ("job.children", Some(&job.children)),
            ("child.children", file.child.children.as_ref()),
        ] {
            if selection
                .is_some_and(|selection| texts(selection).iter().any(|text| text.contains("..")))
            {
                self.wrong(
                    key,
                    "must not search with `..`: children are looked for in each child as well",
                );
            }
        }
        for (key, selectors) in [
            ("job.item", item),
            ("job.began_at", texts(&job.began_at)),
            ("job.ended_at", texts(&job.ended_at)),
            ("job.resources", texts(&job.resources)),
            ("job.children", texts(&job.children)),
        ] {
            if let Some(other) = selectors.iter().find(|text| !text.starts_with('$')) {
                self.wrong(
                    key,
                    format!("`{other}` cannot stand here: it must be JSONPath into the body"),
                );
            }
        }
        let status = texts(&job.status);
        if status.iter().any(|text| text == STATUS) {
            self.wrong("job.status", "`@status` is what this key defines");
        }
        if status == [HTTP] {
            self.only_successes(&file.states);
        }
    }

    /// Where the HTTP status is the status, only a 2xx can be a sighting.
    fn only_successes(&mut self, states: &StatesTable) {
        for (name, statuses) in [
            ("failed", &states.failed),
            ("cancelled", &states.cancelled),
            ("succeeded", &states.succeeded),
            ("held", &states.held),
            ("pending", &states.pending),
            ("running", &states.running),
        ] {
            let other =
                |status: &&String| status.parse().is_ok_and(|n: u16| !(200..300).contains(&n));
            if let Some(status) = statuses.iter().find(other) {
                let message = format!(
                    "\"{status}\" is never looked at: only a 2xx shows the job, and [[errors]] say what others mean"
                );
                self.wrong(&format!("states.{name}"), message);
            }
        }
    }

    /// Rules that can never hold, or hold for what is no answer about the job at all.
    pub(super) fn senseless_rules(&mut self, rules: &[Rule], states: &States) {
        for (n, rule) in rules.iter().enumerate() {
            let key = format!("rules.{n}");
            if rule.never_holds() {
                self.wrong(
                    &key,
                    "can never match: a value is never empty, and only a 2xx answer comes here",
                );
            }
            let is_final = rule.outcome.outcome().is_some();
            if is_final && !rule.demands_something() {
                self.wrong(&key, "ends the job on what is missing alone: any odd answer would do; demand a value that is there");
            }
            if rule.when.is_empty() && !states.is_empty() {
                self.wrong(&key, "has no condition, so [states] never get their turn");
            }
        }
    }

    /// A definition that can never say success, or never failure, is a mistake.
    pub(super) fn verdict(&mut self, job: &JobSelectors, states: &States, rules: &[Rule]) {
        if rules.is_empty() && job.status.is_empty() {
            self.wrong(
                "job",
                "has no `status` and there are no [[rules]], so no verdict could be read",
            );
        }
        if !job.status.is_empty() && states.is_empty() && rules.is_empty() {
            self.wrong("states", "lists nothing, so every job would run for ever");
        }
        let listed = states.listed();
        for (wanted, word) in [
            (JobState::Succeeded, "succeeded"),
            (JobState::Failed, "failed"),
        ] {
            let by_state = listed.iter().any(|(_, state)| *state == wanted);
            if !by_state && !rules.iter().any(|rule| rule.outcome == wanted) {
                self.wrong("states", format!("nothing leads to `{word}`"));
            }
        }
    }
}
