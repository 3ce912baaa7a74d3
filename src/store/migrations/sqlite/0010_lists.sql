-- What lists need, so that each filter reads an index and no list walks through all watches.

-- The labels of watches, as name=value.
CREATE TABLE watch_labels (
    label  TEXT    NOT NULL,
    number INTEGER NOT NULL,                     -- of the watch
    PRIMARY KEY (label, number)
) STRICT, WITHOUT ROWID;
INSERT INTO watch_labels
SELECT each.key || '=' || each.value AS label, number FROM watches, json_each(labels) AS each
ORDER BY label, number;

-- A watch is deleted with its labels. A foreign key would need an index of the numbers for this.
CREATE TRIGGER watches_deleted AFTER DELETE ON watches BEGIN
    DELETE FROM watch_labels
    WHERE label IN (SELECT key || '=' || value FROM json_each(old.labels)) AND number = old.number;
END;

-- The first and the last time of submission among watches with neighbouring numbers. Numbers are
-- in the order of acceptance, and times nearly so, until a clock is set back.
CREATE TABLE submission_spans (
    span  INTEGER PRIMARY KEY,                   -- the number of the watch / 512
    first INTEGER NOT NULL,
    last  INTEGER NOT NULL
) STRICT;
INSERT INTO submission_spans
SELECT number >> 9 AS span, min(submitted_at), max(submitted_at) FROM watches GROUP BY span;
