ALTER TABLE record ADD COLUMN comment_modified_at INTEGER;
ALTER TABLE record ADD COLUMN tags_modified_at INTEGER;
