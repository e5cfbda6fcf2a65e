-- Paused: names are answered, and not proxied.
ALTER TABLE zone ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
-- What the parent delegated to when the zone was added, JSON; none while nobody has looked.
ALTER TABLE zone ADD COLUMN original_name_servers TEXT;

CREATE TABLE zone_setting (
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (zone, id)
) STRICT;
