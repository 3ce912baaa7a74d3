//! The tables whose rows a copy takes from one kind of store to another.
//!
//! Every SQL store has these tables and columns. A store may have further ones, for the owners of
//! watches or derived from these rows.

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number of 64 bits.
    Big,
    /// A number of 32 bits.
    Int,
    /// A number of 16 bits.
    Small,
    /// True or false; 0 or 1 in `SQLite`.
    Flag,
    Text,
    Uuid,
    Bytes,
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// Another name for it, or the same one, in `SQLite`.
    pub in_sqlite: &'static str,
    pub kind: Kind,
}

/// A table. A row is found by its first columns.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    /// The number of columns that identify a row.
    pub keys: usize,
}

/// A value of a row. An id is bytes, a flag is a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of the columns.
pub type CopiedRow = Vec<Cell>;

impl Table {
    /// Returns the columns that identify a row.
    pub fn key(&self) -> &'static [Column] {
        &self.columns[..self.keys]
    }

    /// Writes the names of its columns as a list.
    pub fn names(&self) -> String {
        list(self.columns, |column| column.name)
    }
}

/// Writes names of columns as a list.
pub fn list(columns: &[Column], name: impl Fn(&Column) -> &'static str) -> String {
    let names: Vec<&str> = columns.iter().map(name).collect();
    names.join(", ")
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        in_sqlite: name,
        kind,
    }
}

const fn big(name: &'static str) -> Column {
    column(name, Kind::Big)
}

const fn int(name: &'static str) -> Column {
    column(name, Kind::Int)
}

const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}

/// Every table, in an order in which no row refers to a later one.
pub const TABLES: &[Table] = &[
    GROUPS,
    WATCHES,
    WATCH_LABELS,
    EVIDENCE,
    EVENTS,
    DELIVERIES,
    ATTEMPTS,
    DURATIONS,
    BLIND_TIMES,
];

const GROUPS: Table = Table {
    name: "groups",
    keys: 1,
    columns: &[
        text("name"),
        int("size"),
        int("members"),
        int("open"),
        big("closed_at"),
        big("finished_at"),
    ],
};

const WATCHES: Table = Table {
    name: "watches",
    keys: 1,
    columns: &[
        big("number"),
        column("id", Kind::Uuid),
        column("key", Kind::Bytes),
        column("shard", Kind::Small),
        text("service"),
        text("definition"),
        text("job_id"),
        text("params"),
        text("labels"),
        text("sinks"),
        text("callback_url"),
        text("group_name"),
        text("named_run"),
        big("since"),
        text("expect"),
        big("submitted_at"),
        big("deadline"),
        text("state"),
        text("job"),
        big("finished_at"),
        big("polls"),
        big("problems"),
        text("last_problem"),
        text("unknown_status"),
        text("run"),
        column("has_progress", Kind::Flag),
        big("confirmations"),
        text("notes"),
        text("stage"),
        text("stages"),
        text("follow"),
        text("cause"),
        big("revision"),
    ],
};

const WATCH_LABELS: Table = Table {
    name: "watch_labels",
    keys: 2,
    columns: &[text("label"), big("number")],
};

const EVIDENCE: Table = Table {
    name: "evidence",
    keys: 1,
    columns: &[big("watch"), text("evidence")],
};

const EVENTS: Table = Table {
    name: "events",
    keys: 1,
    columns: &[
        big("seq"),
        column("id", Kind::Uuid),
        column("watch_id", Kind::Uuid),
        text("type"),
        big("at"),
        text("body"),
    ],
};

const DELIVERIES: Table = Table {
    name: "deliveries",
    keys: 1,
    columns: &[
        big("id"),
        big("event"),
        text("sink"),
        text("target"),
        text("state"),
        big("due_at"),
        int("attempts"),
        int("earlier_attempts"),
        int("last_status"),
        text("last_error"),
        big("settled_at"),
        big("took_us"),
    ],
};

const ATTEMPTS: Table = Table {
    name: "attempts",
    keys: 2,
    columns: &[
        big("delivery"),
        int("number"),
        big("at"),
        big("took_ms"),
        int("http_status"),
        text("error"),
        text("answer"),
    ],
};

const DURATIONS: Table = Table {
    name: "durations",
    keys: 1,
    columns: &[
        Column {
            in_sqlite: "rowid",
            ..big("number")
        },
        text("service"),
        text("job_type"),
        big("finished_at"),
        big("took_ms"),
    ],
};

const BLIND_TIMES: Table = Table {
    name: "blind_times",
    keys: 2,
    columns: &[
        text("service"),
        big("since"),
        big("until"),
        text("cause"),
        text("reported"),
    ],
};
