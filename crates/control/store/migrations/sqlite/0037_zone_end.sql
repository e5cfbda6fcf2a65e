-- When a zone that nothing is delegated to is deleted, which was told; null: it is not. Told once more the day before.
ALTER TABLE zone_watch ADD COLUMN ends_at INTEGER;
ALTER TABLE zone_watch ADD COLUMN reminded INTEGER NOT NULL DEFAULT 0;
