-- The record: who (backend, contact, connection), what (message), to and from
-- whom and how far (transmission), and all that was said about it (event).
--
-- month is year*100 + month of the message's own timestamp (of an event: its
-- own), and 0 for an absurd one, as on PostgreSQL, where it partitions. Times
-- are microseconds since 1970.

-- +goose Up
CREATE TABLE backend (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    name text NOT NULL UNIQUE
);

CREATE TABLE contact (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    name      text NOT NULL DEFAULT '',
    language  text NOT NULL DEFAULT '',
    opted_out integer NOT NULL DEFAULT 0,
    created   integer NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
);

CREATE TABLE connection (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    backend_id integer NOT NULL REFERENCES backend (id),
    identity   text NOT NULL,
    contact_id integer REFERENCES contact (id) ON DELETE SET NULL,
    UNIQUE (identity, backend_id)
);
CREATE INDEX connection_contact ON connection (contact_id) WHERE contact_id IS NOT NULL;

CREATE TABLE message (
    id             text NOT NULL,
    direction      text NOT NULL CHECK (direction IN ('I', 'O')),
    month          integer NOT NULL,
    status         text NOT NULL CHECK (status IN ('Q', 'R', 'P', 'S', 'D', 'E')),
    reason         text,
    text           text NOT NULL,
    own_address    text,
    session_event  text,
    external_id    text,
    in_response_to text,
    body           text,
    date           integer NOT NULL,
    updated        integer NOT NULL,
    sent           integer,
    delivered      integer,
    open_count     integer NOT NULL,
    sent_count     integer NOT NULL,
    done_count     integer NOT NULL,
    error_count    integer NOT NULL,
    PRIMARY KEY (id, direction, month),
    CHECK (status <> 'E' OR reason <> '')
);
CREATE INDEX message_in_response_to ON message (in_response_to) WHERE in_response_to IS NOT NULL;

CREATE TABLE transmission (
    id            text NOT NULL,
    direction     text NOT NULL CHECK (direction IN ('I', 'O')),
    backend_id    integer NOT NULL,
    month         integer NOT NULL,
    message_id    text NOT NULL,
    connection_id integer NOT NULL,
    broadcast_id  integer,
    status        text NOT NULL CHECK (status IN ('Q', 'R', 'P', 'S', 'D', 'E')),
    fact          integer NOT NULL,
    attempt       integer NOT NULL,
    reason        text,
    provider_id   text,
    application   text,
    text          text,
    date          integer NOT NULL,
    updated       integer NOT NULL,
    sent          integer,
    delivered     integer,
    PRIMARY KEY (id, direction, backend_id, month),
    CHECK (status <> 'E' OR reason <> '')
);
CREATE INDEX transmission_date ON transmission (date, id);
CREATE INDEX transmission_connection ON transmission (connection_id, date);
CREATE INDEX transmission_backend ON transmission (backend_id, date);
CREATE INDEX transmission_provider ON transmission (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX transmission_status ON transmission (status, date, id);

CREATE TABLE event (
    id          text NOT NULL,
    month       integer NOT NULL,
    message_id  text NOT NULL,
    direction   text NOT NULL,
    backend_id  integer,
    type        text NOT NULL,
    status      text,
    reason      text,
    provider_id text,
    application text,
    date        integer NOT NULL,
    recorded    integer NOT NULL,
    body        text,
    PRIMARY KEY (id, month)
);
CREATE INDEX event_message ON event (message_id);


-- What was said of a transmission that is not there yet.
CREATE TABLE early (
    event_id    text PRIMARY KEY,
    id          text NOT NULL,
    direction   text NOT NULL,
    backend_id  integer NOT NULL,
    fact        integer NOT NULL,
    attempt     integer NOT NULL,
    date        integer NOT NULL,
    reason      text,
    provider_id text,
    application text,
    recorded    integer NOT NULL
);
CREATE INDEX early_id ON early (id);

CREATE TABLE broadcast (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id  text NOT NULL UNIQUE,
    month       integer NOT NULL,
    name        text NOT NULL,
    text        text NOT NULL,
    endpoint    text NOT NULL,
    state       text NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
    created     integer NOT NULL,
    start       integer NOT NULL,
    next        integer NOT NULL,
    rate        real NOT NULL,
    retries     integer NOT NULL,
    retry_after integer NOT NULL,
    batch_size  integer NOT NULL,
    total       integer NOT NULL,
    duplicates  integer NOT NULL,
    opted_out   integer NOT NULL
);

-- The outbox: parts of broadcasts that are not done. A first batch is the
-- transmissions from first_id to last_id; a retry's are in broadcast_retry.
CREATE TABLE broadcast_batch (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    broadcast_id integer NOT NULL REFERENCES broadcast (id) ON DELETE CASCADE,
    backend_id   integer NOT NULL,
    retry        integer NOT NULL,
    first_id     text,
    last_id      text,
    size         integer NOT NULL,
    due          integer NOT NULL,
    claimed      integer
);
CREATE INDEX broadcast_batch_due ON broadcast_batch (broadcast_id, due, id);

CREATE TABLE broadcast_retry (
    id           text PRIMARY KEY,
    broadcast_id integer NOT NULL REFERENCES broadcast (id) ON DELETE CASCADE,
    backend_id   integer NOT NULL,
    due          integer NOT NULL,
    batch_id     integer
);
CREATE INDEX broadcast_retry_due ON broadcast_retry (broadcast_id, backend_id, due) WHERE batch_id IS NULL;
CREATE INDEX broadcast_retry_batch ON broadcast_retry (batch_id) WHERE batch_id IS NOT NULL;
