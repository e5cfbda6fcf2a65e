-- What a zone's owner wants origins to be asked, and what nodes told of it: `terms` is JSON. `modified_at` is also which version of the terms
-- a result belongs to.
CREATE TABLE health_check (
    id TEXT PRIMARY KEY,
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    terms TEXT NOT NULL,
    told TEXT NOT NULL CHECK (told IN ('unknown', 'healthy', 'unhealthy')),
    failure_reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;
CREATE INDEX health_check_of_zone ON health_check (zone, created_at);
