-- Certificates that were brought for single hosts are shown to the origins of those hosts alone, never to all of a zone.
ALTER TABLE client_certificate ADD COLUMN for_hosts INTEGER NOT NULL DEFAULT 0;

-- Hosts whose origins are shown a certificate of their own, where that is enabled.
CREATE TABLE origin_pull_host (
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    host TEXT NOT NULL,
    certificate TEXT NOT NULL REFERENCES client_certificate (id) ON DELETE CASCADE,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (zone, host)
) STRICT;
CREATE INDEX origin_pull_host_of_certificate ON origin_pull_host (certificate);
