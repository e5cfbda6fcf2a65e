-- A deleted zone is kept for a while: under its id in the place of its name, so that the name is free, with what it had beside it.
ALTER TABLE zone ADD COLUMN deleted_at BIGINT;
ALTER TABLE zone ADD COLUMN deleted_name TEXT COLLATE "C";
ALTER TABLE zone ADD COLUMN deleted_status TEXT COLLATE "C";
CREATE INDEX zone_deleted ON zone (deleted_at) WHERE deleted_at IS NOT NULL;
