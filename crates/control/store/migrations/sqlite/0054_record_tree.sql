-- A record was kept in three trees: its row, and two indexes that began with its zone and its name. It is one now, in the order in which
-- nodes are told of names, and in which the same record is not there twice. A priority that is not there is -1.
--
-- Every record is written anew: some 10 s a million of them, once, and for that time as much again of the disk as they take.
-- (The key's columns come first: programs with an SQLite of before 3.41 find fault with them in `PRAGMA integrity_check` elsewhere.)
CREATE TABLE record_tree (
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    type TEXT NOT NULL,
    content TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT -1,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    ttl INTEGER NOT NULL CHECK (ttl = 1 OR ttl BETWEEN 30 AND 86400),
    proxied INTEGER NOT NULL CHECK (proxied IN (0, 1)),
    comment TEXT,
    tags TEXT NOT NULL DEFAULT '[]',
    settings TEXT NOT NULL DEFAULT '{}',
    managed_by TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    comment_modified_at INTEGER,
    tags_modified_at INTEGER,
    PRIMARY KEY (zone, path, type, content, priority)
) STRICT, WITHOUT ROWID;
INSERT INTO record_tree (id, zone, name, type, content, priority, ttl, proxied, comment, tags, settings, managed_by, created_at,
    modified_at, comment_modified_at, tags_modified_at, path)
SELECT id, zone, name, type, content, ifnull(priority, -1), ttl, proxied, comment, tags, settings, managed_by, created_at,
    modified_at, comment_modified_at, tags_modified_at, path
FROM record ORDER BY zone, path, type, content;
DROP TABLE record;
ALTER TABLE record_tree RENAME TO record;
CREATE UNIQUE INDEX record_id ON record (id);
CREATE INDEX record_cname ON record (content) WHERE type = 'CNAME';
