-- One index of a record's zone and name in the place of two: in the order in which nodes are told of names, and in which the same record
-- is not there twice. It is made of every record, once. A priority that is not there is -1 from now on, or none as before.
DROP INDEX record_same;
DROP INDEX record_path;
CREATE UNIQUE INDEX record_path ON record (zone, path, type, content, coalesce(priority, -1));
ALTER TABLE record DROP COLUMN data;
