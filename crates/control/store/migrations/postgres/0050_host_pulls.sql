-- Certificates that were brought for single hosts are shown to the origins of those hosts alone, never to all of a zone.
ALTER TABLE client_certificate ADD COLUMN for_hosts BOOLEAN NOT NULL DEFAULT FALSE;

-- Hosts whose origins are shown a certificate of their own, where that is enabled.
CREATE TABLE origin_pull_host (
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    host TEXT COLLATE "C" NOT NULL,
    certificate TEXT COLLATE "C" NOT NULL REFERENCES client_certificate (id) ON DELETE CASCADE,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    PRIMARY KEY (zone, host)
);
CREATE INDEX origin_pull_host_of_certificate ON origin_pull_host (certificate);
