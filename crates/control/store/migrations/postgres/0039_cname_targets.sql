-- Contents are looked up for CNAMEs alone (who leads to this name); kept of every record, the index cost a new record as much as all
-- else, since contents come in no order.
DROP INDEX record_content;
CREATE INDEX record_cname ON record (content) WHERE type = 'CNAME';
