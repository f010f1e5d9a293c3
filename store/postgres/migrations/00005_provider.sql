-- A message may be known to the outside by several names, one for each attempt; a
-- transmission has the last one's, its events have all.

-- +goose Up
CREATE INDEX event_provider ON event (provider_id) WHERE provider_id IS NOT NULL;
