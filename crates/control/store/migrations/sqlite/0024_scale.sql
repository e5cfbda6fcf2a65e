-- The owner name with its labels from the right and a space between: what lies below a name is one range, and comes right after it.
ALTER TABLE record ADD COLUMN path TEXT NOT NULL DEFAULT '';
UPDATE record SET path = (
    WITH RECURSIVE turned (rest, path) AS (
        SELECT record.name || '.', ''
        UNION ALL
        SELECT substr(rest, instr(rest, '.') + 1),
            substr(rest, 1, instr(rest, '.') - 1) || CASE WHEN path = '' THEN '' ELSE ' ' || path END
        FROM turned WHERE rest <> ''
    )
    SELECT path FROM turned WHERE rest = ''
);
-- Covers what publish reads.
CREATE INDEX record_path ON record (zone, path, type, content, proxied);

CREATE INDEX tunnel_listed ON tunnel (account, created_at, id);
