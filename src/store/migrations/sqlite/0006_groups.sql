-- Watches that belong together.

ALTER TABLE watches ADD COLUMN group_name TEXT;  -- the group, or null

CREATE TABLE groups (
    name        TEXT    NOT NULL PRIMARY KEY,
    size        INTEGER,                         -- closes with as many watches; null: by a call
    members     INTEGER NOT NULL,
    open        INTEGER NOT NULL,                -- members that have not ended
    closed_at   INTEGER,                         -- takes no more watches from then on
    finished_at INTEGER                          -- when its event was stored
) STRICT;
CREATE INDEX groups_due ON groups (closed_at)
    WHERE closed_at IS NOT NULL AND open = 0 AND finished_at IS NULL;

CREATE INDEX watches_group ON watches (group_name, number) WHERE group_name IS NOT NULL;
