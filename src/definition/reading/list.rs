//! Answers about several jobs: those of a batch, or the list of all.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::definition::Definition;
use crate::definition::answer::{Answer, Asked};
use crate::definition::batch::{Batch, NextPage};
use crate::definition::ids::key;
use crate::definition::reading::tree::{self, Tree};
use crate::definition::reading::{Reading, refusal};
use crate::definition::selector::View;
use crate::outbound::retry_after;
use crate::watch::observation::{Observation, Problem, Sighting, bounded};

/// The observations of one page of a batch.
#[derive(Debug)]
pub struct Page {
    /// One for each job that was asked for, in their order; `None` for one that is not on it.
    pub observations: Vec<Option<Observation>>,
    /// The page that follows; `None` after the last one.
    pub next: Option<NextPage>,
}

/// Reads page `number` (from 0) of the answer to a batch that asks for these jobs.
///
/// # Errors
/// The problem of the whole answer: it shows none of the jobs.
pub fn read_batch(
    definition: &Definition,
    batch: &Batch,
    asked: &[Asked<'_>],
    answer: &Answer<'_>,
    number: u32,
    now: Timestamp,
) -> Result<Page, Problem> {
    let any = Asked::any();
    let reading = Reading {
        definition,
        asked: &any,
        answer,
        now,
    };
    let tree = Tree::of(definition, answer);
    let whole = reading.whole_list(batch, &tree).map_err(|mut problem| {
        let retry_after = retry_after::read(answer.headers, now);
        problem.retry_after = retry_after.or_else(|| reading.hinted_wait(&problem));
        if tree.is_unread() {
            reading.quote_page(&mut problem);
        }
        problem
    })?;
    let elements = batch.items.nodes(whole.root);
    let mut wanted = HashMap::new();
    for (n, asked) in asked.iter().enumerate() {
        wanted
            .entry(key(asked.job_id.unwrap_or_default()))
            .or_insert_with(Vec::new)
            .push(n);
    }
    let mut observations = vec![None; asked.len()];
    for element in &elements {
        let view = whole.at(element);
        let Some(id) = definition.job.id.first_text(view) else {
            continue;
        };
        for &n in wanted.get(&key(&id)).into_iter().flatten() {
            if observations[n].is_none() {
                let reading = Reading {
                    asked: &asked[n],
                    ..reading
                };
                // The conditions of rules name the watch of this job.
                let whole = View {
                    asked: &asked[n],
                    ..whole
                };
                observations[n] = Some(reading.element(whole.at(element), whole, &tree));
            }
        }
    }
    Ok(Page {
        observations,
        next: batch.next_page(whole, number, elements.is_empty()),
    })
}

impl<'a> Reading<'a> {
    /// Returns the view of a list that was read whole.
    fn whole_list(&self, batch: &Batch, tree: &'a Tree) -> Result<View<'a>, Problem> {
        if !self.definition.answer.claims(self.answer.http_status) {
            return Err(self.refusal(tree));
        }
        let root = match tree {
            Tree::Read { root, .. } => root,
            Tree::Beginning { .. } => return Err(self.unreadable(tree::too_large(self.answer))),
            Tree::Unread(why) => return Err(self.unreadable(why.clone())),
        };
        let items = &batch.items;
        if items.nodes(root).is_empty() && !items.has_its_list(root) {
            let mapped = refusal::mapped(self.definition, self.answer, root);
            if !self.answer.is_success() {
                return Err(self.refusal(tree));
            }
            return Err(mapped.unwrap_or_else(|| {
                self.unreadable(format!("the body has no list at {}", items.source()))
            }));
        }
        Ok(self.view(root))
    }

    /// Reads one element of a list as a job.
    fn element(&self, view: View<'_>, whole: View<'_>, tree: &Tree) -> Observation {
        let retry_after = retry_after::read(self.answer.headers, self.now);
        let pace = self.pace(view, whole);
        match self.job_at(view, whole) {
            Ok(mut sighting) => {
                if tree.is_lenient() {
                    sighting.proof.is_lenient = true;
                    sighting.warnings.push(tree::LENIENT.to_owned());
                }
                Observation::Sighting(Sighting {
                    retry_after,
                    pace,
                    ..sighting
                })
            }
            Err(problem) => Observation::Problem(Problem {
                retry_after,
                pace,
                message: bounded(problem.message),
                ..problem
            }),
        }
    }
}
