-- What a zone's owner wants origins to be asked, and what nodes told of it: `terms` is JSON. `modified_at` is also which version of the terms
-- a result belongs to.
CREATE TABLE health_check (
    id TEXT COLLATE "C" PRIMARY KEY,
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    terms TEXT COLLATE "C" NOT NULL,
    told TEXT COLLATE "C" NOT NULL CHECK (told IN ('unknown', 'healthy', 'unhealthy')),
    failure_reason TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);
CREATE INDEX health_check_of_zone ON health_check (zone, created_at);
