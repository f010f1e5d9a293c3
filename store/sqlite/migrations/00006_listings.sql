-- Listings of a transport are in the order of an index also where many messages
-- have one date, as a broadcast's have; and what people wrote is found beneath
-- a broadcast to a million.

-- +goose Up
DROP INDEX transmission_backend;
CREATE INDEX transmission_backend ON transmission (backend_id, date, id);
CREATE INDEX transmission_inbound ON transmission (date, id) WHERE direction = 'I';
