-- A watch is about one run of a job: a job whose watch has ended can be watched again. SQLite
-- cannot drop the UNIQUE of a column, so the table is made anew.

CREATE TABLE watches_new (
    number         INTEGER PRIMARY KEY,          -- order of acceptance
    id             BLOB    NOT NULL UNIQUE,
    key            BLOB    NOT NULL,             -- SHA-256 of service, params and job id
    shard          INTEGER NOT NULL,             -- first byte of key
    service        TEXT    NOT NULL,
    definition     TEXT    NOT NULL,
    job_id         TEXT    NOT NULL,
    params         TEXT    NOT NULL,             -- JSON object
    labels         TEXT    NOT NULL,             -- JSON object
    sinks          TEXT    NOT NULL,             -- JSON array; empty: every sink
    callback_url   TEXT,
    named_run      TEXT    NOT NULL DEFAULT '',  -- the run that the submission named
    since          INTEGER,                      -- ends from before are not believed; null: default
    expect         TEXT,                         -- gone, or null for the end of the job
    submitted_at   INTEGER NOT NULL,
    deadline       INTEGER NOT NULL,
    state          TEXT    NOT NULL,             -- watching, or the outcome
    job            TEXT,                         -- JSON: the last sighting with an event
    finished_at    INTEGER,
    polls          INTEGER NOT NULL,
    problems       INTEGER NOT NULL,
    last_problem   TEXT,                         -- JSON object
    unknown_status TEXT,
    run            TEXT,                         -- the run that was named, or the first seen
    has_progress   INTEGER NOT NULL DEFAULT 0,   -- 1 once the run was seen before its end
    confirmations  INTEGER NOT NULL DEFAULT 0,   -- sightings that agreed on the end
    notes          TEXT,                         -- JSON array of words
    stage          TEXT,                         -- JSON: the job after a hand-over
    stages         TEXT,                         -- JSON array: the jobs that handed over
    follow         TEXT,                         -- the URL of the next poll
    cause          TEXT,                         -- JSON: why it ended, if the job does not say
    revision       INTEGER NOT NULL
) STRICT;

INSERT INTO watches_new (number, id, key, shard, service, definition, job_id, params, labels, sinks,
    callback_url, submitted_at, deadline, state, job, finished_at, polls, problems, last_problem,
    unknown_status, has_progress, revision)
SELECT number, id, key, shard, service, definition, job_id, params, labels, sinks,
    callback_url, submitted_at, deadline, state, job, finished_at, polls, problems, last_problem,
    unknown_status, job IS NOT NULL, revision
FROM watches;

DROP TABLE watches;
ALTER TABLE watches_new RENAME TO watches;

CREATE INDEX watches_watching ON watches (number) WHERE state = 'watching';
CREATE INDEX watches_state ON watches (state, number);
CREATE INDEX watches_service ON watches (service, number);
CREATE INDEX watches_without_verdict ON watches (finished_at) WHERE state IN ('timed_out', 'lost');
CREATE INDEX watches_key ON watches (key, number);
-- Of the watches that go on, only one is about a job and a named run.
CREATE UNIQUE INDEX watches_watched ON watches (key, named_run) WHERE state = 'watching';

-- The answers that proved the outcomes.
CREATE TABLE evidence (
    watch_id BLOB NOT NULL PRIMARY KEY REFERENCES watches (id) ON DELETE CASCADE,
    evidence TEXT NOT NULL                       -- JSON object
) STRICT;
