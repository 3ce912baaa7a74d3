-- A database of the fifth schema (user_version 5): a watch that goes on, with what it has learned,
-- and two of one job that have ended, one of a named run.

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
    settled_at  INTEGER, earlier_attempts INTEGER NOT NULL DEFAULT 0, target TEXT,
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
CREATE TABLE watches (
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
CREATE INDEX watches_watching ON watches (number) WHERE state = 'watching';
CREATE INDEX watches_state ON watches (state, number);
CREATE INDEX watches_service ON watches (service, number);
CREATE INDEX watches_without_verdict ON watches (finished_at) WHERE state IN ('timed_out', 'lost');
CREATE INDEX watches_key ON watches (key, number);
CREATE UNIQUE INDEX watches_watched ON watches (key, named_run) WHERE state = 'watching';
CREATE TABLE evidence (
    watch_id BLOB NOT NULL PRIMARY KEY REFERENCES watches (id) ON DELETE CASCADE,
    evidence TEXT NOT NULL                       -- JSON object
) STRICT;

INSERT INTO watches (number, id, key, shard, service, definition, job_id, params, labels, sinks,
    callback_url, named_run, since, expect, submitted_at, deadline, state, job, finished_at, polls,
    problems, last_problem, unknown_status, run, has_progress, confirmations, notes, stage, stages,
    follow, cause, revision) VALUES
    (1, x'00000000000000000000000000000002',
     x'980530d48a867eb36e0bdc5559fd15d49976867373cc75b76356c7263c9b9d5d', 152,
     'dcs', 'dcs', 'job-1', '{"project_id":"p"}', '{"deploy":"1"}', '["ops"]',
     'https://hooks.example.com/hunter2', '', 1763805000000000, NULL, 1763805600123456,
     1763892000123456, 'watching', '{"state":"running","job_type":"create","status":"EXECUTING","code":null,"reason":null,"began_at":"2025-11-22T10:00:00Z","ended_at":null,"progress":"60%","resources":null,"children":[]}',
     NULL, 7, 1, '{"kind":"server_error","http_status":502,"code":null,"message":"a bad gateway","at":"2025-11-22T10:00:10Z"}', 'REBOOTING', 'run-1', 1, 0, '["stale"]',
     '{"index":1,"definition":"build","job_id":"811","params":{}}',
     '[{"definition":"queue","job_id":"25","state":"succeeded","status":null,"ended_at":"2025-11-22T10:00:15Z"}]',
     'https://dcs.example/next?t=9', NULL, 3),
    (2, x'00000000000000000000000000000003',
     x'0a0503f3fc8a4a26b4c51ec37f4f7e8eac9e555c0be4391fb44fa4ddc9c2dc12', 10,
     'dcs', 'dcs', 'job-2', '{"project_id":"p"}', '{"deploy":"2"}', '[]',
     NULL, 'a', NULL, 'gone', 1763805600123456,
     1763892000123456, 'succeeded', NULL, 1763809200000000, 7, 0, NULL, NULL, 'a', 1, 2, NULL, NULL, NULL,
     NULL, NULL, 1),
    (3, x'00000000000000000000000000000004',
     x'0a0503f3fc8a4a26b4c51ec37f4f7e8eac9e555c0be4391fb44fa4ddc9c2dc12', 10,
     'dcs', 'dcs', 'job-2', '{"project_id":"p"}', '{"deploy":"2"}', '[]',
     NULL, '', NULL, NULL, 1763805600123456,
     1763892000123456, 'lost', NULL, 1763809200000000, 9, 0, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL,
     NULL, '{"code":null,"reason":"the service does not know the job"}', 1);
INSERT INTO events VALUES
    (4, x'10000000000000000000000000000001', x'00000000000000000000000000000002',
     'dev.jobwatch.watch.accepted', 1763805600123456, '{"id":"1"}'),
    (7, x'10000000000000000000000000000002', x'00000000000000000000000000000003',
     'dev.jobwatch.job.succeeded', 1763809200000000, '{"id":"2"}');
INSERT INTO deliveries (id, event_id, sink, state, due_at, attempts, last_status, settled_at) VALUES
    (1, x'10000000000000000000000000000002', 'hook', 'pending', 1763809200000000, 0, NULL, NULL),
    (2, x'10000000000000000000000000000002', 'ops', 'delivered', 1763809200000000, 1, 200, 1763809201000000);
INSERT INTO attempts VALUES
    (2, 1, 1763809200500000, 500, 200, NULL, 'ok');
INSERT INTO durations VALUES ('dcs', 'create', 1763809200000000, 60000);
INSERT INTO evidence VALUES (x'00000000000000000000000000000003',
    '{"at":"2025-11-22T11:00:00Z","http_status":404,"body":"","truncated":false}');
PRAGMA user_version = 5;
