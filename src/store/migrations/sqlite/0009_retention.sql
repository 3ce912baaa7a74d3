-- Watches and events that ended long ago are deleted.

-- The position of the last event that was deleted: the log of events begins after it.
CREATE TABLE log_start (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO log_start VALUES (1, 0);

-- The events that go by their own age, because they belong to no watch.
CREATE INDEX events_alone ON events (at) WHERE watch_id IS NULL;
