//! The subject of a poll: the job that is asked for, with all that its request and its reading
//! depend on.

use std::borrow::Cow;

use crate::credential::scope::Scope;
use crate::definition::Definition;
use crate::definition::reading::Asked;
use crate::definition::request::JOB_ID;
use crate::service::{Service, StageSettings};
use crate::timing::Timing;
use crate::watch::observation::{Problem, ProblemKind};
use crate::watch::stage::Stage;
use crate::watch::{Labels, Params};

/// The job that a poll asks for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The id of the job that was submitted.
    pub job_id: &'a str,
    /// The params of the watch.
    pub params: &'a Params,
    /// The labels of the watch, if the definition asks for them.
    pub labels: Option<&'a Labels>,
    /// The run that the watch is about, as far as it is known.
    pub run: Option<&'a str>,
    /// The job that has taken over, if one has.
    pub stage: Option<&'a Stage>,
    /// The URL that the last answer named for this poll.
    pub follow: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// Returns the subject of a watch that was just submitted.
    pub fn new(job_id: &'a str, params: &'a Params) -> Self {
        Self {
            job_id,
            params,
            labels: None,
            run: None,
            stage: None,
            follow: None,
        }
    }

    /// Returns the id of the job that is polled now.
    pub fn present_id(&self) -> &'a str {
        self.stage.map_or(self.job_id, |stage| &stage.job_id)
    }

    /// Returns the params of the watch; those of a stage win over them.
    pub(super) fn all_params(&self) -> Cow<'a, Params> {
        let own = self.stage.map(|stage| &stage.params);
        match own.filter(|own| !own.is_empty()) {
            None => Cow::Borrowed(self.params),
            Some(own) => {
                let mut all = self.params.clone();
                all.extend(own.clone());
                Cow::Owned(all)
            }
        }
    }

    /// Returns the question that an answer is read with. `params` are those of
    /// [`all_params`](Self::all_params).
    pub(super) fn asked<'b>(&self, params: &'b Params) -> Asked<'b>
    where
        'a: 'b,
    {
        let any = Asked::any();
        Asked {
            job_id: Some(self.present_id()),
            params,
            labels: self.labels.unwrap_or(any.labels),
            run: self.run,
        }
    }

    /// Returns the value of a placeholder: of the stage, the watch, the service, or the scope of
    /// the credential.
    pub(super) fn value(
        &self,
        service: &'a Service,
        scope: &'a Scope,
        name: &str,
    ) -> Option<&'a str> {
        if name == JOB_ID {
            return Some(self.present_id());
        }
        let own = self.stage.and_then(|stage| stage.params.get(name));
        own.or_else(|| self.params.get(name))
            .or_else(|| service.params.get(name))
            .map(String::as_str)
            .or_else(|| scope.param(name))
    }
}

/// The definition, the timing and the limit of size that a poll uses.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) definition: &'a Definition,
    pub(super) timing: &'a Timing,
    pub(super) max_body: usize,
}

impl Service {
    /// True if a condition of its definitions names a label of the watch.
    pub fn asks_labels(&self) -> bool {
        let mut stages = self.stages.values();
        self.definition.asks_labels() || stages.any(|settings| settings.definition.asks_labels())
    }

    /// Returns the settings of a stage; `None` if its definition is not configured any more.
    fn stage_settings(&self, stage: &Stage) -> Option<&StageSettings> {
        self.stages.get(&stage.definition)
    }

    /// Returns the definition that reads the present job of a watch.
    pub fn definition_at(&self, stage: Option<&Stage>) -> &Definition {
        let settings = stage.and_then(|stage| self.stage_settings(stage));
        settings.map_or(&self.definition, |settings| &settings.definition)
    }

    /// Returns the timing of the polls of the present job of a watch.
    pub fn timing_at(&self, stage: Option<&Stage>) -> &Timing {
        let settings = stage.and_then(|stage| self.stage_settings(stage));
        settings.map_or(&self.timing, |settings| &settings.timing)
    }

    /// Returns how a poll of the present job is made and read.
    pub(super) fn reading_at(&self, stage: Option<&Stage>) -> Result<Reading<'_>, Problem> {
        let Some(stage) = stage else {
            return Ok(Reading {
                definition: &self.definition,
                timing: &self.timing,
                max_body: self.max_body,
            });
        };
        let settings = self.stage_settings(stage).ok_or_else(|| {
            Problem::new(
                ProblemKind::Misconfigured,
                format!(
                    "the job was handed over to the definition `{}`, which the service `{}` does not use any more",
                    stage.definition, self.name
                ),
            )
        })?;
        Ok(Reading {
            definition: &settings.definition,
            timing: &settings.timing,
            max_body: settings.max_body,
        })
    }
}
