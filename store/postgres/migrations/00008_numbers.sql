-- One telephone number is one person's, however it is spelled: connections are compared by
-- their normal form, for which a backend says whose national numbers its addresses are.

-- +goose Up
ALTER TABLE backend ADD COLUMN country text NOT NULL DEFAULT '';
ALTER TABLE connection ADD COLUMN normal text COLLATE "C" NOT NULL DEFAULT '';
UPDATE connection SET normal = CASE WHEN identity ~ '^[+]?[0-9]+$' THEN ltrim(identity, '+') ELSE lower(identity) END;
CREATE INDEX connection_normal ON connection (normal, backend_id);
ALTER TABLE transmission RENAME COLUMN fact TO progress;
ALTER TABLE early RENAME COLUMN fact TO progress;
