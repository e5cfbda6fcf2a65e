-- The owner name with its labels from the right and a space between: what lies below a name is one range, and comes right after it.
ALTER TABLE record ADD COLUMN path TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE record SET path = (
    SELECT string_agg(label, ' ' ORDER BY place DESC)
    FROM unnest(string_to_array(record.name, '.')) WITH ORDINALITY AS labels (label, place)
);
CREATE INDEX record_path ON record (zone, path, type);

CREATE INDEX tunnel_listed ON tunnel (account, created_at, id);

-- SQLite's way of writing bytes as text.
CREATE FUNCTION hex(bytes BYTEA) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT upper(encode(bytes, 'hex')) $$;
