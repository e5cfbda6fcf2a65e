-- Whether its names are answered by its owner's own name servers, and lead here by CNAMEs.
ALTER TABLE zone ADD COLUMN partial BOOLEAN NOT NULL DEFAULT FALSE;
