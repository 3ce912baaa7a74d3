-- The times in which no job of a service could be seen. Deadlines of watches stand still in them.
CREATE TABLE blind_times (
    service  TEXT    NOT NULL,
    since    INTEGER NOT NULL,                  -- the first problem, in microseconds
    until    INTEGER,                           -- the first answer about a job; null before it
    cause    TEXT    NOT NULL,                  -- JSON object: the last problem
    reported TEXT    NOT NULL,                  -- not_yet, alone, together
    PRIMARY KEY (service, since)
) STRICT, WITHOUT ROWID;
