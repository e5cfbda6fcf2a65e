-- When a zone's delegation is looked at next, and where the looking stands (`model::delegation`).
CREATE TABLE zone_watch (
    zone TEXT COLLATE "C" PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    due_at BIGINT NOT NULL,
    -- Since the zone has the status it has.
    looks BIGINT NOT NULL DEFAULT 0,
    -- Its delegation to us was seen once.
    delegated BOOLEAN NOT NULL DEFAULT FALSE,
    failures BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    looked_at BIGINT,
    -- When somebody asked for a look.
    triggered_at BIGINT,
    -- The name servers that the parent named when it was first looked at, with spaces between; null: it was not yet.
    original TEXT COLLATE "C"
);
CREATE INDEX zone_watch_due ON zone_watch (due_at, zone);
INSERT INTO zone_watch (zone, due_at) SELECT id, created_at + 60000000 FROM zone;
