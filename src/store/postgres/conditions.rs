//! The conditions of a query with their values, so that a query has only those that are set.

use tokio_postgres::types::{ToSql, Type};

use crate::store::postgres::connections::Value;

#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Conditions {
    /// Adds a value and returns its place in the SQL.
    pub(super) fn place(
        &mut self,
        value: impl ToSql + Sync + Send + 'static,
        kind: Type,
    ) -> String {
        self.values.push((Box::new(value), kind));
        format!("${}", self.values.len())
    }

    /// Adds a condition without a value.
    pub(super) fn add(&mut self, sql: impl Into<String>) {
        self.sql.push(sql.into());
    }

    /// Adds the condition that a column has this text, if there is one.
    pub(super) fn equal(&mut self, column: &str, value: Option<&String>) {
        if let Some(value) = value {
            let place = self.place(value.clone(), Type::TEXT);
            self.add(format!("{column} = {place}"));
        }
    }

    /// Adds the condition that a column has one of these words; none means any.
    pub(super) fn one_of(&mut self, column: &str, words: impl Iterator<Item = &'static str>) {
        let words: Vec<&'static str> = words.collect();
        if !words.is_empty() {
            let place = self.place(words, Type::TEXT_ARRAY);
            self.add(format!("{column} = ANY ({place})"));
        }
    }

    /// Adds the condition that the watch of this number carries these labels.
    pub(super) fn labels(&mut self, number: &str, labels: &[(String, String)]) {
        for (name, value) in labels {
            let place = self.place(format!("{name}={value}"), Type::TEXT);
            self.add(format!(
                "EXISTS (SELECT 1 FROM watch_labels l WHERE l.label = {place} AND l.number = {number})"
            ));
        }
    }

    /// Returns the condition that all of them hold.
    pub(super) fn sql(&self) -> String {
        if self.sql.is_empty() {
            return "true".to_owned();
        }
        self.sql.join(" AND ")
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let values = self.values.iter();
        values
            .map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
            .collect()
    }
}
