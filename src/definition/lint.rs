//! Mistakes that parse: definitions that never give a verdict, or give a wrong one.

use crate::definition::JobSelectors;
use crate::definition::compile::Check;
use crate::definition::file::{File, Selection, SelectorText, StatesTable};
use crate::definition::rules::Rule;
use crate::definition::selector::{HTTP, STATUS};
use crate::definition::states::States;
use crate::watch::observation::JobState;

impl Check<'_> {
    /// Checks selectors by their place: `@status` exists only after the status was read, and a
    /// selector for a value must point into the body.
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
                "needs `job.id`; without it every element would count as the job",
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
                    "must not search with `..`, because the selector is also applied to each child",
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
                    format!("`{other}` is not allowed here; use JSONPath into the body"),
                );
            }
        }
        let status = texts(&job.status);
        if status.iter().any(|text| text == STATUS) {
            self.wrong(
                "job.status",
                "must not use `@status`, because this key defines it",
            );
        }
        if status == [HTTP] {
            self.only_successes(&file.states);
        }
    }

    /// Checks the states of a definition whose status is the HTTP status: only a 2xx is a
    /// sighting.
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
                    "\"{status}\" never matches: only a 2xx answer shows the job; use [[errors]] for others"
                );
                self.wrong(&format!("states.{name}"), message);
            }
        }
    }

    /// Finds rules that never match, and rules that also match answers about something else.
    pub(super) fn senseless_rules(&mut self, rules: &[Rule], states: &States) {
        for (n, rule) in rules.iter().enumerate() {
            let key = format!("rules.{n}");
            if rule.never_holds() {
                self.wrong(
                    &key,
                    "can never match: a value is never empty, and rules apply to 2xx answers only",
                );
            }
            let is_final = rule.outcome.outcome().is_some();
            if is_final && !rule.demands_something() {
                self.wrong(&key, "ends the job if values are missing, so an unrelated answer would match; require a value that is present");
            }
            if rule.when.is_empty() && !states.is_empty() {
                self.wrong(&key, "has no condition, so [states] are never reached");
            }
        }
    }

    /// Checks that the definition can report both success and failure.
    pub(super) fn verdict(&mut self, job: &JobSelectors, states: &States, rules: &[Rule]) {
        if rules.is_empty() && job.status.is_empty() {
            self.wrong(
                "job",
                "has no `status` and there are no [[rules]], so there is never a verdict",
            );
        }
        if !job.status.is_empty() && states.is_empty() && rules.is_empty() {
            self.wrong(
                "states",
                "lists no status, so every job would count as running until its deadline",
            );
        }
        let listed = states.listed();
        for (wanted, word) in [
            (JobState::Succeeded, "succeeded"),
            (JobState::Failed, "failed"),
        ] {
            let by_state = listed.iter().any(|(_, state)| *state == wanted);
            if !by_state && !rules.iter().any(|rule| rule.outcome == wanted) {
                self.wrong("states", format!("no status and no rule means `{word}`"));
            }
        }
    }
}
