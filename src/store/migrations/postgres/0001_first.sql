-- The first schema for PostgreSQL: the tables of SQLite, and what several writers need. Times are
-- microseconds since 1970-01-01T00:00:00Z.

-- The time by which leases and retries are decided: that of this server, for every replica.
CREATE FUNCTION store_time() RETURNS bigint LANGUAGE sql VOLATILE
    AS 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint';

CREATE TABLE watches (
    number         bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             uuid     NOT NULL UNIQUE,
    key            bytea    NOT NULL,            -- SHA-256 of service, params and job id
    shard          smallint NOT NULL,            -- first byte of key
    service        text     NOT NULL,
    definition     text     NOT NULL,
    job_id         text     NOT NULL,
    params         text     NOT NULL,            -- JSON object
    labels         text     NOT NULL,            -- JSON object
    sinks          text     NOT NULL,            -- JSON array; empty: every sink
    callback_url   text,
    group_name     text,                         -- the group, or null
    named_run      text     NOT NULL DEFAULT '', -- the run that the submission named
    since          bigint,                       -- ends from before are not believed; null: default
    expect         text,                         -- gone, or null for the end of the job
    submitted_at   bigint   NOT NULL,
    deadline       bigint   NOT NULL,
    state          text     NOT NULL,            -- watching, or the outcome
    job            text,                         -- JSON: the last sighting with an event
    finished_at    bigint,
    polls          bigint   NOT NULL,
    problems       bigint   NOT NULL,
    last_problem   text,                         -- JSON object
    unknown_status text,
    run            text,                         -- the run that was named, or the first seen
    has_progress   boolean  NOT NULL DEFAULT false, -- true once the run was seen before its end
    confirmations  bigint   NOT NULL DEFAULT 0,  -- sightings that agreed on the end
    notes          text,                         -- JSON array of words
    stage          text,                         -- JSON: the job after a hand-over
    stages         text,                         -- JSON array: the jobs that handed over
    follow         text,                         -- the URL of the next poll
    cause          text,                         -- JSON: why it ended, if the job does not say
    revision       bigint   NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
-- Two replicas may accept the same job at one moment: this index lets one of them.
CREATE UNIQUE INDEX watches_watched ON watches (key, named_run) WHERE state = 'watching';
CREATE INDEX watches_owned ON watches (shard, number) WHERE state = 'watching';
CREATE INDEX watches_state ON watches (state, number);
CREATE INDEX watches_service ON watches (service, number);
CREATE INDEX watches_by_job ON watches (job_id, number);
CREATE INDEX watches_group ON watches (group_name, number) WHERE group_name IS NOT NULL;
CREATE INDEX watches_without_verdict ON watches (finished_at, number)
    WHERE state IN ('timed_out', 'lost');

-- The labels of watches, as name=value, for lists.
CREATE TABLE watch_labels (
    label  text   NOT NULL,
    number bigint NOT NULL REFERENCES watches (number) ON DELETE CASCADE,
    PRIMARY KEY (label, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX watch_labels_watch ON watch_labels (number);

-- The answers that proved the outcomes.
CREATE TABLE evidence (
    watch    bigint NOT NULL PRIMARY KEY REFERENCES watches (number) ON DELETE CASCADE,
    evidence text   NOT NULL                     -- JSON object
);

CREATE TABLE groups (
    name        text    NOT NULL PRIMARY KEY,
    size        integer,                         -- closes with as many watches; null: by a call
    members     integer NOT NULL,
    open        integer NOT NULL,                -- members that have not ended
    closed_at   bigint,                          -- takes no more watches from then on
    finished_at bigint                           -- when its event was stored
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX groups_due ON groups (closed_at)
    WHERE closed_at IS NOT NULL AND open = 0 AND finished_at IS NULL;

CREATE TABLE events (
    seq      bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- order of commit
    id       uuid     NOT NULL,                  -- UUIDv5: the same fact, the same id
    watch_id uuid,                               -- null: about a group, or jobwatch itself
    shard    smallint,                           -- that of the watch
    type     text     NOT NULL,
    at       bigint   NOT NULL,
    body     text     NOT NULL                   -- the CloudEvent, as it is sent
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE UNIQUE INDEX events_watch ON events (watch_id, id);
CREATE UNIQUE INDEX events_without_watch ON events (id) WHERE watch_id IS NULL;
CREATE INDEX events_alone ON events (at) WHERE watch_id IS NULL;

-- Locked by a transaction from its first event to its commit, so that positions in the log are in
-- the order of the commits. It has no row: a lock on a row would leave a dead version for each.
CREATE TABLE log_order (nothing integer);

-- The position of the last event that was deleted: the log of events begins after it.
CREATE TABLE log_start (
    id  integer PRIMARY KEY CHECK (id = 1),
    seq bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO log_start VALUES (1, 0);

CREATE TABLE deliveries (
    id               bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event            bigint  NOT NULL REFERENCES events (seq),
    sink             text    NOT NULL,
    target           text,                       -- where it goes, if not to the place of the sink
    state            text    NOT NULL,           -- pending, delivered, dead
    due_at           bigint  NOT NULL,
    lease_until      bigint  NOT NULL DEFAULT 0, -- an attempt is under way until then
    attempts         integer NOT NULL DEFAULT 0,
    earlier_attempts integer NOT NULL DEFAULT 0, -- of schedules before the present one
    last_status      integer,                    -- HTTP status of the last attempt
    last_error       text,
    settled_at       bigint,
    took_us          bigint                      -- of a first attempt that succeeded; it has no row
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX deliveries_event ON deliveries (event);
CREATE INDEX deliveries_due ON deliveries (sink, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (sink, id) WHERE state = 'dead';

-- The latest attempts at a delivery; older ones make room.
CREATE TABLE attempts (
    delivery    bigint  NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number      integer NOT NULL,                -- from 1, over all schedules
    at          bigint  NOT NULL,                -- when it began
    took_ms     bigint  NOT NULL,
    http_status integer,
    error       text,                            -- null: the sink has the event
    answer      text,                            -- how the answer begins
    PRIMARY KEY (delivery, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- What jobs of one type took; learned from finished watches.
CREATE TABLE durations (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service     text   NOT NULL,
    job_type    text   NOT NULL,
    finished_at bigint NOT NULL,
    took_ms     bigint NOT NULL
);
CREATE INDEX durations_type ON durations (service, job_type, finished_at, number);

-- The times in which no job of a service could be seen. Deadlines of watches stand still in them.
CREATE TABLE blind_times (
    service  text   NOT NULL,
    since    bigint NOT NULL,                    -- the first problem, in microseconds
    until    bigint,                             -- the first answer about a job; null before it
    cause    text   NOT NULL,                    -- JSON object: the last problem
    reported text   NOT NULL,                    -- not_yet, alone, together
    PRIMARY KEY (service, since)
);

-- The replicas: the processes that share this database.
CREATE TABLE replicas (
    id         uuid   NOT NULL PRIMARY KEY,      -- new at each start
    name       text   NOT NULL,                  -- the name of the host, or the configured one
    version    text   NOT NULL,
    started_at bigint NOT NULL,
    seen_at    bigint NOT NULL                   -- the last sign of life
) WITH (fillfactor = 20);

-- Who polls which watches. An owner keeps its lease alive; an epoch is one ownership, so that a
-- former owner that did not notice its end is refused.
CREATE TABLE shards (
    id          smallint NOT NULL PRIMARY KEY,   -- 0 to 255
    owner       uuid,                            -- a replica; null: nobody
    epoch       bigint   NOT NULL DEFAULT 0,
    lease_until bigint   NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO shards (id) SELECT generate_series(0, 255);

-- Polls that somebody asked a replica for that does not own the watch.
CREATE TABLE poll_requests (
    watch_id uuid     NOT NULL PRIMARY KEY,
    shard    smallint NOT NULL,
    at       bigint   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- The pauses of budgets, for the replicas that did not see the answer.
CREATE TABLE throttlings (
    endpoint   text   NOT NULL,
    credential text   NOT NULL,
    replica    uuid   NOT NULL,
    at         bigint NOT NULL,
    until      bigint NOT NULL,
    PRIMARY KEY (endpoint, credential, replica)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
