-- A database of the fourth schema (user_version 4): two watches that go on, one of them with a
-- sighting, one that has failed, and one that was lost.

CREATE TABLE watches (
    number         INTEGER PRIMARY KEY,          -- order of acceptance
    id             BLOB    NOT NULL UNIQUE,
    key            BLOB    NOT NULL UNIQUE,      -- SHA-256 of service, params and job id
    shard          INTEGER NOT NULL,             -- first byte of key
    service        TEXT    NOT NULL,
    definition     TEXT    NOT NULL,
    job_id         TEXT    NOT NULL,
    params         TEXT    NOT NULL,             -- JSON object
    labels         TEXT    NOT NULL,             -- JSON object
    sinks          TEXT    NOT NULL,             -- JSON array; empty: every sink
    submitted_at   INTEGER NOT NULL,
    deadline       INTEGER NOT NULL,
    state          TEXT    NOT NULL,             -- watching, or the outcome
    job            TEXT,                         -- JSON: the last sighting worth telling
    finished_at    INTEGER,
    polls          INTEGER NOT NULL,
    problems       INTEGER NOT NULL,
    last_problem   TEXT,                         -- JSON object
    unknown_status TEXT,
    revision       INTEGER NOT NULL
, callback_url TEXT) STRICT;
CREATE INDEX watches_watching ON watches (number) WHERE state = 'watching';
CREATE INDEX watches_state ON watches (state, number);
CREATE INDEX watches_service ON watches (service, number);
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of commit
    id       BLOB    NOT NULL UNIQUE,            -- UUIDv5: the same fact, the same id
    watch_id BLOB,                               -- null: about the watcher itself
    type     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT    NOT NULL                    -- the CloudEvent, as it is sent
) STRICT;
CREATE INDEX events_watch ON events (watch_id, seq);
CREATE TABLE deliveries (
    id          INTEGER PRIMARY KEY,
    event_id    BLOB    NOT NULL REFERENCES events (id),
    sink        TEXT    NOT NULL,
    state       TEXT    NOT NULL,                -- pending, delivered, dead
    due_at      INTEGER NOT NULL,
    lease_until INTEGER NOT NULL DEFAULT 0,      -- somebody is at it until then
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_status INTEGER,                         -- HTTP status of the last attempt
    last_error  TEXT,
    settled_at  INTEGER, earlier_attempts INTEGER NOT NULL DEFAULT 0,
    UNIQUE (event_id, sink)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (sink, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_state ON deliveries (state, id);
CREATE TABLE durations (
    service     TEXT    NOT NULL,
    job_type    TEXT    NOT NULL,
    finished_at INTEGER NOT NULL,
    took_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX durations_type ON durations (service, job_type, finished_at);
CREATE TABLE shards (
    id          INTEGER PRIMARY KEY,             -- 0 to 255
    owner       BLOB,
    epoch       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER
) STRICT;
CREATE TABLE replicas (
    id      BLOB    NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    version TEXT    NOT NULL
) STRICT;
CREATE TABLE attempts (
    delivery    INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,                -- from 1, over all schedules
    at          INTEGER NOT NULL,                -- when it began
    took_ms     INTEGER NOT NULL,
    http_status INTEGER,
    error       TEXT,                            -- null: the sink has the event
    answer      TEXT,                            -- how the answer begins
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_dead ON deliveries (sink, id) WHERE state = 'dead';
CREATE INDEX watches_without_verdict ON watches (finished_at) WHERE state IN ('timed_out', 'lost');

ALTER TABLE deliveries ADD COLUMN target TEXT;

INSERT INTO watches VALUES
    (1, x'00000000000000000000000000000001',
     x'980530d48a867eb36e0bdc5559fd15d49976867373cc75b76356c7263c9b9d5d', 152,
     'dcs', 'dcs', 'job-1', '{"project_id":"p"}', '{"deploy":"1"}', '[]',
     1763805600123456, 1763892000123456, 'watching', NULL, NULL, 7, 0, NULL, NULL, 0, NULL),
    (2, x'00000000000000000000000000000002',
     x'0a0503f3fc8a4a26b4c51ec37f4f7e8eac9e555c0be4391fb44fa4ddc9c2dc12', 10,
     'dcs', 'dcs', 'job-2', '{"project_id":"p"}', '{"deploy":"2"}', '[]',
     1763805600123456, 1763892000123456, 'watching', '{"state":"running","job_type":null,"status":"EXECUTING","code":null,"reason":null,"began_at":null,"ended_at":null,"progress":null,"resources":null,"children":[]}', NULL, 7, 0, NULL, NULL, 1, NULL),
    (3, x'00000000000000000000000000000003',
     x'37e7d72bcd2a275427b1a93b903f4910c84c1d8c52be7a4fffc8a3d4c18a7d01', 55,
     'dcs', 'dcs', 'job-3', '{"project_id":"p"}', '{"deploy":"3"}', '[]',
     1763805600123456, 1763892000123456, 'failed', '{"state":"failed","job_type":null,"status":"FAIL","code":null,"reason":null,"began_at":null,"ended_at":null,"progress":null,"resources":null,"children":[]}', 1763809200000000, 7, 0, NULL, NULL, 2, NULL),
    (4, x'00000000000000000000000000000004',
     x'13ca681cb844b82505d1fe2ba91b5d6ed7056c56acf833acb981d132ac347a3f', 19,
     'dcs', 'dcs', 'job-4', '{"project_id":"p"}', '{"deploy":"4"}', '[]',
     1763805600123456, 1763892000123456, 'lost', '{"state":"running","job_type":null,"status":"EXECUTING","code":null,"reason":null,"began_at":null,"ended_at":null,"progress":null,"resources":null,"children":[]}', 1763809200000000, 7, 0, NULL, NULL, 2, NULL);
INSERT INTO events VALUES
    (1, x'10000000000000000000000000000001', x'00000000000000000000000000000003',
     'dev.jobwatch.job.failed', 1763809200000000, '{"id":"1"}');
INSERT INTO deliveries VALUES
    (1, x'10000000000000000000000000000001', 'hook', 'pending', 1763809200000000, 0, 0, NULL, NULL, NULL, 0, NULL);
PRAGMA user_version = 4;
