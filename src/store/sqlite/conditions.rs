//! The conditions of a query with their values, so that a query has only those that are set and
//! `SQLite` can use an index.

use rusqlite::types::Value;

#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    /// The values in the order of the places in the SQL.
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition with a place for each of the values.
    pub(super) fn add(&mut self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.sql.push(sql.into());
        self.values.extend(values);
    }

    /// Adds the condition that a column has this value, if there is one.
    pub(super) fn equal(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(format!("{column} = ?"), [value.into()]);
        }
    }

    /// Adds the condition that a column has one of these words; none means any.
    pub(super) fn one_of(&mut self, column: &str, words: impl Iterator<Item = &'static str>) {
        let words: Vec<Value> = words.map(|word| word.to_owned().into()).collect();
        match words.len() {
            0 => {}
            1 => self.equal(column, words.into_iter().next()),
            count => {
                let places = vec!["?"; count].join(", ");
                self.add(format!("{column} IN ({places})"), words);
            }
        }
    }

    /// Adds the condition that the JSON object in a column has these members.
    pub(super) fn members(&mut self, column: &str, members: &[(String, String)]) {
        for (name, value) in members {
            self.add(
                format!("json_extract({column}, ?) = ?"),
                [format!("$.\"{name}\"").into(), value.clone().into()],
            );
        }
    }

    /// Returns the condition that all of them hold.
    pub(super) fn sql(&self) -> String {
        self.sql.join(" AND ")
    }
}
