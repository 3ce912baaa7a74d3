-- Fewer indexes of values in no order. Each insert into one writes a page of its own, so that
-- together they cost more than all the rest of a submission in bulk.

-- The job leads to its few watches. One writer decides whether a job is watched already, in the
-- transaction that accepts the watch, so no index has to.
DROP INDEX watches_key;
DROP INDEX watches_watched;
CREATE INDEX watches_by_job ON watches (job_id, state);
-- Each entry ends with the number of the watch.
DROP INDEX watches_watching;
DROP INDEX watches_state;
DROP INDEX watches_service;
CREATE INDEX watches_state ON watches (state);
CREATE INDEX watches_service ON watches (service);

-- Ids of watches are in the order of submission; those of events are in none, but are made from
-- the id of the watch. A delivery names its event by its number.
CREATE TABLE events_new (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of commit
    id       BLOB    NOT NULL,                   -- UUIDv5: the same fact, the same id
    watch_id BLOB,                               -- null: about a group
    type     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT    NOT NULL                    -- the CloudEvent, as it is sent
) STRICT;
CREATE TABLE deliveries_new (
    id               INTEGER PRIMARY KEY,
    event            INTEGER NOT NULL REFERENCES events_new (seq),
    sink             TEXT    NOT NULL,
    target           TEXT,                       -- where it goes, if not to the place of the sink
    state            TEXT    NOT NULL,           -- pending, delivered, dead
    due_at           INTEGER NOT NULL,
    lease_until      INTEGER NOT NULL DEFAULT 0, -- an attempt is under way until then
    attempts         INTEGER NOT NULL DEFAULT 0,
    earlier_attempts INTEGER NOT NULL DEFAULT 0, -- of schedules before the present one
    last_status      INTEGER,                    -- HTTP status of the last attempt
    last_error       TEXT,
    settled_at       INTEGER,
    UNIQUE (event, sink)
) STRICT;
CREATE TABLE attempts_new (
    delivery    INTEGER NOT NULL REFERENCES deliveries_new (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,                -- from 1, over all schedules
    at          INTEGER NOT NULL,                -- when it began
    took_ms     INTEGER NOT NULL,
    http_status INTEGER,
    error       TEXT,                            -- null: the sink has the event
    answer      TEXT,                            -- how the answer begins
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

INSERT INTO events_new SELECT seq, id, watch_id, type, at, body FROM events;
INSERT INTO deliveries_new
SELECT d.id, e.seq, d.sink, d.target, d.state, d.due_at, d.lease_until, d.attempts,
    d.earlier_attempts, d.last_status, d.last_error, d.settled_at
FROM deliveries d JOIN events e ON e.id = d.event_id ORDER BY d.id;
INSERT INTO attempts_new
SELECT delivery, number, at, took_ms, http_status, error, answer FROM attempts;

-- In this order, so that no deletion reaches rows that refer to others.
DROP TABLE attempts;
DROP TABLE deliveries;
DROP TABLE events;
ALTER TABLE events_new RENAME TO events;
ALTER TABLE deliveries_new RENAME TO deliveries;
ALTER TABLE attempts_new RENAME TO attempts;

CREATE UNIQUE INDEX events_watch ON events (watch_id, id);
CREATE UNIQUE INDEX events_without_watch ON events (id) WHERE watch_id IS NULL;
CREATE INDEX deliveries_due ON deliveries (sink, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_state ON deliveries (state);
CREATE INDEX deliveries_dead ON deliveries (sink) WHERE state = 'dead';
