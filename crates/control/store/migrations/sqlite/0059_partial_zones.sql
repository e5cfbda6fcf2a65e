-- Whether its names are answered by its owner's own name servers, and lead here by CNAMEs.
ALTER TABLE zone ADD COLUMN partial INTEGER NOT NULL DEFAULT 0;
