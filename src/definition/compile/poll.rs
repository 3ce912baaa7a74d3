//! The poll settings of a definition: `[poll]`, and the settings of `[verdict]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::clock::parse_duration_from;
use crate::definition::compile::Check;
use crate::definition::file::{File, VerdictTable};
use crate::suggest;
use crate::timing::{self, PollSettings};

impl Check<'_> {
    pub(super) fn poll(&mut self, file: &File) -> PollSettings {
        let table = &file.poll;
        let of_verdict = |key: &str| matches!(key, "settle" | "confirm");
        for key in table.keys().filter(|key| of_verdict(key)) {
            self.wrong(&format!("poll.{key}"), "write it in [verdict]");
        }
        let is_unknown = |key: &&String| !PollSettings::KEYS.contains(&key.as_str());
        for key in table.keys().filter(is_unknown) {
            let suggestion = suggest::did_you_mean(key, PollSettings::KEYS.iter().copied());
            self.wrong(
                &format!("poll.{key}"),
                format!("unknown setting `{key}`{suggestion}"),
            );
        }
        let settings = PollSettings::read(PollTable { check: self, table });
        PollSettings {
            settle: self.settle(&file.verdict),
            confirm: self.confirm(&file.verdict),
            ..settings
        }
    }

    fn settle(&mut self, table: &VerdictTable) -> Option<Duration> {
        let read = parse_duration_from(Duration::ZERO, table.settle.as_deref()?);
        self.ok("verdict.settle", read)
    }

    fn confirm(&mut self, table: &VerdictTable) -> Option<u32> {
        let number = table.confirm?;
        let read = u32::try_from(number).ok();
        let read = read.filter(|number| (1..=100).contains(number));
        let read = read.ok_or_else(|| format!("{number} must be a whole number from 1 to 100"));
        self.ok("verdict.confirm", read)
    }
}

/// The table `[poll]` of a definition, as a source of poll settings.
struct PollTable<'a, 'b> {
    check: &'a mut Check<'b>,
    table: &'a toml::Table,
}

impl timing::Source for PollTable<'_, '_> {
    fn duration(&mut self, key: &str, least: Duration) -> Option<Duration> {
        let value = self.table.get(key)?;
        let text = value.as_str().ok_or("must be a text in quotes".to_owned());
        let read = text.and_then(|text| parse_duration_from(least, text));
        self.check.ok(&format!("poll.{key}"), read)
    }

    fn number(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.table.get(key)?;
        let number = match value {
            toml::Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            value => value.as_float(),
        };
        let read = number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("{value} must be a number from {least} to {most}")
            });
        self.check.ok(&format!("poll.{key}"), read)
    }

    fn whole(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.table.get(key)?;
        let number = value.as_integer().and_then(|it| u32::try_from(it).ok());
        let read = number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("{value} must be a whole number from {least} to {most}")
            });
        self.check.ok(&format!("poll.{key}"), read)
    }
}
