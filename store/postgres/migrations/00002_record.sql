-- The record: who (backend, contact, connection), what (message), to and from
-- whom and how far (transmission), and all that was said about it (event).
--
-- message, transmission and event are partitioned by month, which is year*100
-- + month of the message's own timestamp (of an event: its own); 0 holds what
-- has an absurd one. Other partitions are made by the program. Rows refer to
-- each other by id and month; foreign keys are left out where they would cost
-- a look-up per row.

-- +goose Up
CREATE TABLE backend (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE contact (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL DEFAULT '',
    language  text NOT NULL DEFAULT '',
    opted_out boolean NOT NULL DEFAULT false,
    created   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE connection (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backend_id bigint NOT NULL REFERENCES backend,
    identity   text COLLATE "C" NOT NULL,
    contact_id bigint REFERENCES contact ON DELETE SET NULL,
    UNIQUE (identity, backend_id)
);
CREATE INDEX connection_contact ON connection (contact_id) WHERE contact_id IS NOT NULL;

CREATE TABLE message (
    id             text COLLATE "C" NOT NULL,
    direction      text COLLATE "C" NOT NULL CHECK (direction IN ('I', 'O')),
    month          integer NOT NULL,
    status         text COLLATE "C" NOT NULL CHECK (status IN ('Q', 'R', 'P', 'S', 'D', 'E')),
    reason         text,
    text           text NOT NULL,
    own_address    text,
    session_event  text,
    external_id    text,
    in_response_to text COLLATE "C",
    body           text,
    date           timestamptz NOT NULL,
    updated        timestamptz NOT NULL,
    sent           timestamptz,
    delivered      timestamptz,
    open_count     integer NOT NULL,
    sent_count     integer NOT NULL,
    done_count     integer NOT NULL,
    error_count    integer NOT NULL,
    PRIMARY KEY (id, direction, month),
    CHECK (status <> 'E' OR reason <> '')
) PARTITION BY LIST (month);
CREATE INDEX message_in_response_to ON message (in_response_to) WHERE in_response_to IS NOT NULL;

CREATE TABLE transmission (
    id            text COLLATE "C" NOT NULL,
    direction     text COLLATE "C" NOT NULL CHECK (direction IN ('I', 'O')),
    backend_id    bigint NOT NULL,
    month         integer NOT NULL,
    message_id    text COLLATE "C" NOT NULL,
    connection_id bigint NOT NULL,
    broadcast_id  bigint,
    status        text COLLATE "C" NOT NULL CHECK (status IN ('Q', 'R', 'P', 'S', 'D', 'E')),
    fact          smallint NOT NULL,
    attempt       smallint NOT NULL,
    reason        text,
    provider_id   text COLLATE "C",
    application   text COLLATE "C",
    text          text,
    date          timestamptz NOT NULL,
    updated       timestamptz NOT NULL,
    sent          timestamptz,
    delivered     timestamptz,
    PRIMARY KEY (id, direction, backend_id, month),
    CHECK (status <> 'E' OR reason <> '')
) PARTITION BY LIST (month);
CREATE INDEX transmission_date ON transmission (date, id);
CREATE INDEX transmission_connection ON transmission (connection_id, date);
CREATE INDEX transmission_backend ON transmission (backend_id, date);
CREATE INDEX transmission_provider ON transmission (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX transmission_open ON transmission (status, date, id) WHERE status IN ('Q', 'P', 'E');

CREATE TABLE event (
    id          text COLLATE "C" NOT NULL,
    month       integer NOT NULL,
    message_id  text COLLATE "C" NOT NULL,
    direction   text COLLATE "C" NOT NULL,
    backend_id  bigint,
    type        text COLLATE "C" NOT NULL,
    status      text COLLATE "C",
    reason      text,
    provider_id text COLLATE "C",
    application text COLLATE "C",
    date        timestamptz NOT NULL,
    recorded    timestamptz NOT NULL,
    body        text,
    PRIMARY KEY (id, month)
) PARTITION BY LIST (month);
CREATE INDEX event_message ON event (message_id);

CREATE TABLE message_0 PARTITION OF message FOR VALUES IN (0);
CREATE TABLE transmission_0 PARTITION OF transmission FOR VALUES IN (0);
CREATE TABLE event_0 PARTITION OF event FOR VALUES IN (0);

-- What was said of a transmission that is not there yet.
CREATE TABLE early (
    event_id    text COLLATE "C" PRIMARY KEY,
    id          text COLLATE "C" NOT NULL,
    direction   text COLLATE "C" NOT NULL,
    backend_id  bigint NOT NULL,
    fact        smallint NOT NULL,
    attempt     smallint NOT NULL,
    date        timestamptz NOT NULL,
    reason      text,
    provider_id text,
    application text,
    recorded    timestamptz NOT NULL
);
CREATE INDEX early_id ON early (id);

CREATE TABLE broadcast (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id  text COLLATE "C" NOT NULL UNIQUE,
    month       integer NOT NULL,
    name        text NOT NULL,
    text        text NOT NULL,
    endpoint    text NOT NULL,
    state       text COLLATE "C" NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
    created     timestamptz NOT NULL,
    start       timestamptz NOT NULL,
    next        timestamptz NOT NULL,
    rate        double precision NOT NULL,
    retries     integer NOT NULL,
    retry_after bigint NOT NULL,
    batch_size  integer NOT NULL,
    total       bigint NOT NULL,
    duplicates  bigint NOT NULL,
    opted_out   bigint NOT NULL
);

-- The outbox: parts of broadcasts that are not done. A first batch is the
-- transmissions from first_id to last_id; a retry's are in broadcast_retry.
CREATE TABLE broadcast_batch (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broadcast_id bigint NOT NULL REFERENCES broadcast ON DELETE CASCADE,
    backend_id   bigint NOT NULL,
    retry        boolean NOT NULL,
    first_id     text COLLATE "C",
    last_id      text COLLATE "C",
    size         integer NOT NULL,
    due          timestamptz NOT NULL,
    claimed      timestamptz
);
CREATE INDEX broadcast_batch_due ON broadcast_batch (broadcast_id, due, id);

CREATE TABLE broadcast_retry (
    id           text COLLATE "C" PRIMARY KEY,
    broadcast_id bigint NOT NULL REFERENCES broadcast ON DELETE CASCADE,
    backend_id   bigint NOT NULL,
    due          timestamptz NOT NULL,
    batch_id     bigint
);
CREATE INDEX broadcast_retry_due ON broadcast_retry (broadcast_id, backend_id, due) WHERE batch_id IS NULL;
CREATE INDEX broadcast_retry_batch ON broadcast_retry (batch_id) WHERE batch_id IS NOT NULL;
