-- Covers what publish reads, which is all that the name server answers.
DROP INDEX record_path;
CREATE INDEX record_path ON record (zone, path, type, content, proxied, ttl, priority, settings);
