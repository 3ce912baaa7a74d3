-- Fewer pages for each transition: rows in the order in which they are written, and no index that
-- a transition changes without need.

-- The outcomes that a job ends with come later than its id, in no order.
DROP INDEX watches_by_job;
CREATE INDEX watches_by_job ON watches (job_id);

-- The answers that proved the outcomes, by the number of the watch.
CREATE TABLE evidence_new (
    watch    INTEGER NOT NULL PRIMARY KEY REFERENCES watches (number) ON DELETE CASCADE,
    evidence TEXT    NOT NULL                    -- JSON object
) STRICT;
INSERT INTO evidence_new
SELECT w.number, e.evidence FROM evidence e JOIN watches w ON w.id = e.watch_id ORDER BY w.number;
DROP TABLE evidence;
ALTER TABLE evidence_new RENAME TO evidence;

-- One writer stores the deliveries of an event once, with the event, so no index has to see to
-- that. Claims are kept in memory.
CREATE TABLE deliveries_new (
    id               INTEGER PRIMARY KEY,
    event            INTEGER NOT NULL REFERENCES events (seq),
    sink             TEXT    NOT NULL,
    target           TEXT,                       -- where it goes, if not to the place of the sink
    state            TEXT    NOT NULL,           -- pending, delivered, dead
    due_at           INTEGER NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    earlier_attempts INTEGER NOT NULL DEFAULT 0, -- of schedules before the present one
    last_status      INTEGER,                    -- HTTP status of the last attempt
    last_error       TEXT,
    settled_at       INTEGER,
    took_us          INTEGER                     -- of a first attempt that succeeded; it has no row
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

INSERT INTO deliveries_new
SELECT id, event, sink, target, state, due_at, attempts, earlier_attempts, last_status, last_error,
    settled_at, NULL
FROM deliveries ORDER BY id;
INSERT INTO attempts_new
SELECT delivery, number, at, took_ms, http_status, error, answer FROM attempts;

-- In this order, so that no deletion reaches rows that refer to others.
DROP TABLE attempts;
DROP TABLE deliveries;
ALTER TABLE deliveries_new RENAME TO deliveries;
ALTER TABLE attempts_new RENAME TO attempts;

CREATE INDEX deliveries_event ON deliveries (event);
CREATE INDEX deliveries_due ON deliveries (sink, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (sink) WHERE state = 'dead';
