-- Who has claimed a batch, so that only they release it; what is due is
-- found without reading what is not.

-- +goose Up
ALTER TABLE broadcast_batch ADD COLUMN owner text;
CREATE INDEX broadcast_running ON broadcast (next, id) WHERE state = 'running';
DROP INDEX broadcast_retry_due;
CREATE INDEX broadcast_retry_due ON broadcast_retry (broadcast_id, due, id) WHERE batch_id IS NULL;
