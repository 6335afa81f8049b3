-- What is made of callbacks after they were acknowledged, in the order of their arrival. One row: `next` is the first that was not
-- gone through yet, and of received texts `next_text` the first that was not held against the list of phrases that holds now.
CREATE TABLE following (
    next      INTEGER NOT NULL,
    next_text INTEGER NOT NULL
) STRICT;
INSERT INTO following (next, next_text) VALUES (1, 1);

-- What people set for everybody. What was never set has no row.
CREATE TABLE settings (
    name       TEXT PRIMARY KEY,
    value      TEXT    NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Received texts that somebody should look at first, and the words that say why. What is not flagged has no row.
CREATE TABLE flags (
    arrival INTEGER NOT NULL,
    flag    TEXT    NOT NULL,
    said    TEXT    NOT NULL,
    PRIMARY KEY (arrival, flag)
) STRICT, WITHOUT ROWID;
CREATE INDEX flags_by_flag ON flags (flag, arrival);

-- Numbers, addresses and letters with which something is wrong. `latest` is the arrival that says so last.
CREATE TABLE contacts (
    id           INTEGER PRIMARY KEY,
    concern      INTEGER NOT NULL,
    service      INTEGER NOT NULL,
    key          TEXT    NOT NULL,                -- the person's key, or Notify's id of a letter
    times        INTEGER NOT NULL,
    since        INTEGER NOT NULL,                -- when the first of them arrived
    latest       INTEGER NOT NULL,
    recovered_at INTEGER,                         -- when a message arrived that came through after all
    dealt_at     INTEGER,
    dealt_by     TEXT,
    UNIQUE (key, service, concern)
) STRICT;
CREATE INDEX contacts_by_concern ON contacts (concern, latest) WHERE dealt_at IS NULL AND recovered_at IS NULL;
CREATE INDEX contacts_dealt_with ON contacts (concern, latest) WHERE dealt_at IS NOT NULL;
CREATE INDEX contacts_by_latest ON contacts (latest);
