-- What each attempt at a delivery came to, and dead letters that are driven again.

-- The latest attempts at a delivery; older ones make room.
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

-- Attempts of schedules before the present one: a delivery that is driven again starts a
-- schedule anew and keeps its history.
ALTER TABLE deliveries ADD COLUMN earlier_attempts INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_dead ON deliveries (sink, id) WHERE state = 'dead';

-- Watches that ended without a verdict, for those that look for a late one.
CREATE INDEX watches_without_verdict ON watches (finished_at) WHERE state IN ('timed_out', 'lost');
