//! The result of a check of a database from outside of a daemon.

/// The largest number of findings of one check.
pub(crate) const FINDINGS_MAX: usize = 100;
/// The tables whose rows a check counts.
pub(crate) const TABLES: [&str; 5] = ["watches", "events", "deliveries", "attempts", "durations"];

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// True if it is a database of jobwatch. The schema version cannot show that, because every
    /// program numbers its schemas.
    pub is_ours: bool,
    /// The schema version of the database.
    pub schema: u32,
    /// The newest schema version that this program knows.
    pub newest: u32,
    pub users: Users,
    /// The size in bytes; of a file, without its write-ahead log.
    pub bytes: u64,
    /// The first faults found: damage, and rows that contradict others.
    pub findings: Vec<String>,
    /// Each table with the number of its rows.
    pub rows: Vec<(String, u64)>,
    /// Each state with the number of watches in it.
    pub watches: Vec<(String, u64)>,
    /// Each state with the number of deliveries in it.
    pub deliveries: Vec<(String, u64)>,
}

/// The processes that have the database open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// True if a daemon has the file open.
    Daemon(bool),
    /// The names of the living replicas.
    Replicas(Vec<String>),
}

impl Users {
    /// True if there is one.
    pub fn are_running(&self) -> bool {
        match self {
            Self::Daemon(is_running) => *is_running,
            Self::Replicas(names) => !names.is_empty(),
        }
    }
}

impl Inspection {
    /// True if no fault was found and this program can open the database.
    pub fn is_sound(&self) -> bool {
        self.is_ours && self.findings.is_empty() && self.schema <= self.newest
    }
}
