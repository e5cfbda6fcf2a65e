-- What is asked of another name server's certificate (JSON, RFC 9103); none: it is spoken to in clear.
ALTER TABLE transfer_peer ADD COLUMN tls TEXT;
