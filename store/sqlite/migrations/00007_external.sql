-- An outbound message is found by the provider's name of it through its events,
-- which have those of all attempts; only inbound ones have no events for that.

-- +goose Up
DROP INDEX transmission_provider;
CREATE INDEX transmission_external ON transmission (provider_id) WHERE direction = 'I' AND provider_id IS NOT NULL;
