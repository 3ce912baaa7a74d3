//! The description of a definition beyond its states and rules, which `jobwatch services NAME`
//! prints.

use crate::definition::body::Format;
use crate::definition::{Definition, IdNames};

impl Definition {
    /// Returns the keys of the tables that differ from their defaults, with their values.
    pub fn tables(&self) -> Vec<(&'static str, String)> {
        let format = match self.answer.format {
            Format::Json => "",
            Format::Xml => "xml",
            Format::Text => "text",
        };
        let id_names = match self.id_names {
            IdNames::Operation => "",
            IdNames::Resource => "resource",
        };
        let statuses: Vec<String> = self.answer.statuses.iter().map(u16::to_string).collect();
        let max_body = self.answer.max_body.map(|bytes| format!("{bytes} bytes"));
        let pace: Vec<&str> = self.pace.iter().map(|pace| pace.at.source()).collect();
        let next = self
            .next
            .definition
            .as_deref()
            .map(|name| format!(" ({name})"));
        let next = format!("{}{}", self.next.job_id.sources(), next.unwrap_or_default());
        let all = [
            ("id names", id_names.to_owned()),
            ("format", format.to_owned()),
            ("also read", statuses.join(", ")),
            ("max body", max_body.unwrap_or_default()),
            ("run", self.run.sources()),
            ("since", self.since.sources()),
            ("pace", pace.join(", ")),
            ("follow", self.next.follow.sources()),
            ("next job", next),
            ("batch", self.batch_in_words()),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    fn batch_in_words(&self) -> String {
        let Some(batch) = &self.batch else {
            return String::new();
        };
        if batch.is_list() {
            format!("{} (the whole list)", batch.shown())
        } else {
            format!("{} ({} jobs at most)", batch.shown(), batch.max)
        }
    }
}
