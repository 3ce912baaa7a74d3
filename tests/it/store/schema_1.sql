-- A database of the first schema (user_version 1) with a few rows of each kind, as text.

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
) STRICT;
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
    settled_at  INTEGER,
    UNIQUE (event_id, sink)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (sink, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_state ON deliveries (state, id);

-- What jobs of one type took; learned from finished watches.
CREATE TABLE durations (
    service     TEXT    NOT NULL,
    job_type    TEXT    NOT NULL,
    finished_at INTEGER NOT NULL,
    took_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX durations_type ON durations (service, job_type, finished_at);

-- Who owns which watches; the same in every store. One embedded database has one implicit
-- owner, so these two have no owners here: only a row x'00', which a check of the disk
-- writes.
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

INSERT INTO watches VALUES
    (1, x'00000000000000000000000000000001',
     x'0a00000000000000000000000000000000000000000000000000000000000001', 10,
     'dcs', 'dcs', 'job-1', '{"project_id":"p"}', '{"deploy":"42"}', '[]',
     1763805600123456, 1763892000123456, 'watching',
     '{"state":"running","job_type":"create","status":"RUNNING","code":null,"reason":null,"began_at":"2025-11-22T10:00:00Z","ended_at":null,"progress":null,"resources":null,"children":[]}',
     NULL, 3, 1,
     '{"kind":"server_error","http_status":502,"code":null,"message":"bad gateway","at":"2025-11-22T10:00:05Z"}',
     NULL, 1),
    (2, x'00000000000000000000000000000002',
     x'0b00000000000000000000000000000000000000000000000000000000000002', 11,
     'sdrs', 'sdrs', 'job-2', '{"project_id":"p"}', '{}', '["hook"]',
     1763805600123456, 1763892000123456, 'failed', NULL, 1763809200000000, 7, 0, NULL, 'ODD', 1);
INSERT INTO events VALUES
    (1, x'10000000000000000000000000000001', x'00000000000000000000000000000001',
     'dev.jobwatch.watch.accepted', 1763805600123456, '{"id":"1"}'),
    (2, x'10000000000000000000000000000002', x'00000000000000000000000000000002',
     'dev.jobwatch.watch.accepted', 1763805600123456, '{"id":"2"}'),
    (5, x'10000000000000000000000000000003', x'00000000000000000000000000000002',
     'dev.jobwatch.job.failed', 1763809200000000, '{"id":"3"}');
INSERT INTO deliveries VALUES
    (1, x'10000000000000000000000000000001', 'hook', 'delivered', 1763805600123456, 0, 1, 204, NULL, 1763805601000000),
    (2, x'10000000000000000000000000000002', 'hook', 'pending', 1763805605000000, 0, 1, 503, 'the receiver answered 503 Service Unavailable', NULL),
    (3, x'10000000000000000000000000000003', 'hook', 'dead', 1763809200000000, 0, 10, NULL, 'cannot connect: connection refused', 1763869200000000);
INSERT INTO durations VALUES ('sdrs', 'create', 1763809200000000, 3600000);
PRAGMA user_version = 1;
