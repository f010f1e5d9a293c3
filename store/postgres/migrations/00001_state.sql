-- What routers, transports and sessions remember (store.State). Keys and
-- values are bytes: they may hold anything, and sort as bytes do. expires is
-- microseconds since 1970; null is never.

-- +goose Up
CREATE TABLE state (
    key     bytea PRIMARY KEY,
    value   bytea NOT NULL,
    expires bigint
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX state_expires ON state (expires) WHERE expires IS NOT NULL;
