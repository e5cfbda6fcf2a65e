-- When a zone's delegation is looked at next, and where the looking stands (`model::delegation`).
CREATE TABLE zone_watch (
    zone TEXT PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    due_at INTEGER NOT NULL,
    -- Since the zone has the status it has.
    looks INTEGER NOT NULL DEFAULT 0,
    -- Its delegation to us was seen once.
    delegated INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    looked_at INTEGER,
    -- When somebody asked for a look.
    triggered_at INTEGER,
    -- The name servers that the parent named when it was first looked at, with spaces between; null: it was not yet.
    original TEXT
) STRICT;
CREATE INDEX zone_watch_due ON zone_watch (due_at, zone);
INSERT INTO zone_watch (zone, due_at) SELECT id, created_at + 60000000 FROM zone;
