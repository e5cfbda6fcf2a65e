-- The order of a tunnel's secrets was the order of its rows.
ALTER TABLE tunnel_secret ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE tunnel_secret SET number = rowid;

-- What nodes obey and publish has not sent everywhere yet, by the change that touched it last.
CREATE TABLE touched (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (kind, id, name)
) STRICT;
CREATE INDEX touched_change ON touched (change);
