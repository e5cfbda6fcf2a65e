-- A challenge may be shown by a text at a path, or in a handshake; `owner` is the host then, and `token` the path's last segment.
ALTER TABLE challenge ADD COLUMN kind TEXT NOT NULL DEFAULT 'dns-01';
ALTER TABLE challenge ADD COLUMN token TEXT NOT NULL DEFAULT '';
