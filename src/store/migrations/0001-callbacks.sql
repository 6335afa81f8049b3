-- What Notify sent, and who may send.

CREATE TABLE services (
    id                INTEGER PRIMARY KEY,
    name              TEXT    NOT NULL UNIQUE,
    notify_service_id TEXT,
    made_at           INTEGER NOT NULL
) STRICT;

-- Only the SHA-256 of a token is here: a copy of the store sends no callbacks.
CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY,
    service      INTEGER NOT NULL REFERENCES services (id),
    sha256       BLOB    NOT NULL UNIQUE,
    made_at      INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

-- One row. `next` is the number that the next arrival of any kind takes, whichever process stores it. What arrived before
-- `indexed` is found by `callback_index`; what arrived since is looked through.
CREATE TABLE arrivals (
    next    INTEGER NOT NULL,
    indexed INTEGER NOT NULL
) STRICT;
INSERT INTO arrivals (next, indexed) VALUES (1, 1);

-- Every callback of the four kinds. Times are microseconds since 1970 UTC where they were written in Notify's own form,
-- ids are 16 bytes where they are plain UUIDs, statuses and types are small numbers where they are known;
-- anything else stands as the text that came.
CREATE TABLE callbacks (
    arrival           INTEGER PRIMARY KEY,
    kind              INTEGER NOT NULL,
    service           INTEGER NOT NULL,
    origin            INTEGER NOT NULL,           -- called back, fetched, imported, test
    arrived_at        INTEGER NOT NULL,
    times             INTEGER NOT NULL DEFAULT 1, -- how often these very bytes came
    last_arrived_at   INTEGER,                    -- null until they came again
    shown             INTEGER NOT NULL,           -- 1 on the one event that pages show for its notification
    notify_id         ANY     NOT NULL,
    reference         TEXT,
    reference_key     TEXT,
    person            TEXT,                       -- as typed: `to`, or the number a text came from
    person_key        TEXT,
    status            ANY,
    notification_type ANY,
    dated_at          ANY,                        -- created_at, date_received, date_sent or complaint_date
    sent_at           ANY,
    completed_at      ANY,
    template_id       ANY,
    template_version  INTEGER,
    destination       TEXT,
    message           TEXT,
    details           TEXT,                       -- what only returned letters and complaints have, as a JSON list
    verbatim          BLOB                        -- the exact bytes, only where the columns would not give them back
) STRICT;
CREATE INDEX callbacks_by_status ON callbacks (status) WHERE status IS NOT NULL;

-- What callbacks are found by. Ids and people come in no order, so an index kept at once would be touched all over by each
-- callback; entries wait until there are many, and then come in the order of their keys.
CREATE TABLE callback_index (
    field   INTEGER NOT NULL,                     -- 1 Notify's id, 2 the reference's key, 3 the person's key
    key     ANY     NOT NULL,
    arrival INTEGER NOT NULL,
    PRIMARY KEY (field, key, arrival)
) STRICT, WITHOUT ROWID;

-- One row for each sender of text messages. `opaque` stands in URLs in place of the number.
CREATE TABLE conversations (
    id         INTEGER PRIMARY KEY,
    opaque     TEXT NOT NULL UNIQUE,
    person_key TEXT NOT NULL UNIQUE
) STRICT;

-- Apart by service, so that a list shows and counts only what its reader may see.
CREATE TABLE conversation_services (
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    service      INTEGER NOT NULL,
    texts        INTEGER NOT NULL,
    latest       INTEGER NOT NULL,                -- the arrival of its newest text
    PRIMARY KEY (conversation, service)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_services_by_latest ON conversation_services (latest);

-- Bodies that came with a valid token and could not be understood, byte for byte.
CREATE TABLE quarantine (
    arrival          INTEGER PRIMARY KEY,
    service          INTEGER NOT NULL,
    arrived_at       INTEGER NOT NULL,
    times            INTEGER NOT NULL DEFAULT 1,
    last_arrived_at  INTEGER,
    reason           TEXT    NOT NULL,
    path             TEXT    NOT NULL,
    content_type     TEXT,
    content_encoding TEXT,
    sha256           BLOB    NOT NULL,
    body             BLOB    NOT NULL
) STRICT;
CREATE INDEX quarantine_by_sha256 ON quarantine (sha256);
