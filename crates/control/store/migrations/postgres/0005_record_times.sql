ALTER TABLE record ADD COLUMN comment_modified_at BIGINT;
ALTER TABLE record ADD COLUMN tags_modified_at BIGINT;
