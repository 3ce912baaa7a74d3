-- Where a delivery goes, when that is not the place of its sink. Until here the URL of a
-- callback was read from the watch at each attempt.

ALTER TABLE deliveries ADD COLUMN target TEXT;
UPDATE deliveries SET target = (
    SELECT w.callback_url FROM events e JOIN watches w ON w.id = e.watch_id
    WHERE e.id = deliveries.event_id
) WHERE sink = 'callback';
