-- Paused: names are answered, and not proxied.
ALTER TABLE zone ADD COLUMN paused BOOLEAN NOT NULL DEFAULT FALSE;
-- What the parent delegated to when the zone was added, JSON; none while nobody has looked.
ALTER TABLE zone ADD COLUMN original_name_servers TEXT COLLATE "C";

CREATE TABLE zone_setting (
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    modified_at BIGINT NOT NULL,
    PRIMARY KEY (zone, id)
);
