-- The order of a tunnel's secrets was the order of its rows.
ALTER TABLE tunnel_secret ADD COLUMN number BIGINT NOT NULL DEFAULT 0;

-- What nodes obey and publish has not sent everywhere yet, by the change that touched it last.
CREATE TABLE touched (
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    change BIGINT NOT NULL,
    PRIMARY KEY (kind, id, name)
);
CREATE INDEX touched_change ON touched (change);
