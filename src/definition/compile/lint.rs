//! Mistakes that parse: definitions that never give a verdict, or give a wrong one.

use crate::definition::body::Format;
use crate::definition::compile::Check;
use crate::definition::file::{File, Selection, SelectorText, StatesTable};
use crate::definition::rules::Rule;
use crate::definition::selector::{HTTP, STATUS};
use crate::definition::states::States;
use crate::definition::{Definition, JobSelectors, NotFoundMeans};
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
        for (key, selectors, is_time) in [
            ("job.item", item, false),
            ("job.began_at", texts(&job.began_at), true),
            ("job.ended_at", texts(&job.ended_at), true),
            ("verdict.since", texts(&file.verdict.since), true),
            ("job.resources", texts(&job.resources), false),
            ("job.children", texts(&job.children), false),
        ] {
            let fits =
                |text: &String| text.starts_with('$') || (is_time && text.starts_with("@header:"));
            if let Some(other) = selectors.iter().find(|text| !fits(text)) {
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
            self.only_successes(&file.states, &file.answer.statuses);
        }
    }

    /// Checks that a definition of plain text selects nothing from a tree.
    pub(super) fn plain_text(&mut self, definition: &Definition) {
        if definition.answer.format != Format::Text {
            return;
        }
        let job = &definition.job;
        for (key, selectors) in [
            ("job.id", &job.id),
            ("job.type", &job.job_type),
            ("job.status", &job.status),
            ("job.began_at", &job.began_at),
            ("job.ended_at", &job.ended_at),
            ("job.code", &job.code),
            ("job.reason", &job.reason),
            ("job.progress", &job.progress),
            ("job.resources", &job.resources),
            ("job.children", &job.children),
            ("verdict.run", &definition.run),
            ("verdict.since", &definition.since),
            ("next.follow", &definition.next.follow),
            ("next.job_id", &definition.next.job_id),
        ] {
            if selectors.need_a_tree() {
                self.wrong(
                    key,
                    "format = \"text\" has only @text, @http and @header:NAME",
                );
            }
        }
        let status = [STATUS];
        for (n, rule) in definition.rules.iter().enumerate() {
            let mut selectors = rule.selectors();
            if selectors.any(|it| it.needs_a_tree() && !status.contains(&it.source())) {
                self.wrong(
                    &format!("rules.{n}.when"),
                    "format = \"text\" has only @text, @http, @status and @header:NAME",
                );
            }
        }
    }

    /// Checks the states of a definition whose status is the HTTP status: only a 2xx or a
    /// claimed status is a sighting.
    fn only_successes(&mut self, states: &StatesTable, claimed: &[u16]) {
        for (name, statuses) in [
            ("failed", &states.failed),
            ("cancelled", &states.cancelled),
            ("succeeded", &states.succeeded),
            ("held", &states.held),
            ("pending", &states.pending),
            ("running", &states.running),
        ] {
            let is_other = |n: u16| !(200..300).contains(&n) && !claimed.contains(&n);
            let other = |status: &&String| status.parse().is_ok_and(is_other);
            if let Some(status) = statuses.iter().find(other) {
                let message = format!(
                    "\"{status}\" never matches: only a 2xx answer shows the job, and one that `statuses` in [answer] lists"
                );
                self.wrong(&format!("states.{name}"), message);
            }
        }
    }

    /// Finds rules that never match, and rules that also match answers about something else.
    pub(super) fn senseless_rules(&mut self, rules: &[Rule], states: &States, claimed: &[u16]) {
        for (n, rule) in rules.iter().enumerate() {
            let key = format!("rules.{n}");
            if rule.never_holds(claimed) {
                self.wrong(
                    &key,
                    "can never match: a value is never empty, and rules apply only to 2xx answers and to `statuses` in [answer]",
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

    /// Checks that the definition can report an end. One that cannot report a success or a
    /// failure may be right, such as that of a queue which hands its jobs over.
    pub(super) fn verdict(
        &mut self,
        file: &File,
        job: &JobSelectors,
        states: &States,
        rules: &[Rule],
    ) {
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
        let listed = states.listed().into_iter().map(|(_, state)| state);
        let outcomes = rules.iter().map(|rule| rule.outcome);
        let all: Vec<JobState> = listed.chain(outcomes).collect();
        let gone_is_success = file.not_found_means == NotFoundMeans::Succeeded;
        let mut ends = all.iter().filter_map(|state| state.outcome());
        if ends.next().is_none() && !gone_is_success {
            self.wrong(
                "states",
                "no status and no rule ends the job, so there is never a verdict",
            );
            return;
        }
        for (wanted, word, is_given) in [
            (JobState::Succeeded, "succeeded", gone_is_success),
            (JobState::Failed, "failed", false),
        ] {
            if !is_given && !all.contains(&wanted) {
                self.warn(
                    "states",
                    format!("no status and no rule means `{word}`, so a watch never ends so"),
                );
            }
        }
    }
}
