-- The last scan of a zone's present name servers, and what of it nobody has decided about yet.
CREATE TABLE zone_scan (
    zone TEXT COLLATE "C" PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    requested_at BIGINT NOT NULL,
    -- When it is to be taken up, or taken up again; null: it has ended.
    due_at BIGINT,
    ended_at BIGINT,
    -- What it came to, JSON (`control/app`).
    report TEXT NOT NULL
);
CREATE INDEX zone_scan_due ON zone_scan (due_at, zone);
