-- Where a watch itself has its events sent, beside the sinks.

ALTER TABLE watches ADD COLUMN callback_url TEXT;
