-- What somebody should look at. What happens again is counted in the row that is there, until a person has dealt with it.

CREATE TABLE alarms (
    id         INTEGER PRIMARY KEY,
    sort       TEXT    NOT NULL,
    object     TEXT    NOT NULL,                  -- where or what: a path, an address, a token's number
    detail     TEXT,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    times      INTEGER NOT NULL,
    settled_at INTEGER,
    settled_by TEXT
) STRICT;
CREATE UNIQUE INDEX alarms_unsettled ON alarms (sort, object) WHERE settled_at IS NULL;

-- How much was saved to files, so that far more than is usual is seen.
CREATE TABLE saved (
    at   INTEGER NOT NULL,
    who  TEXT    NOT NULL,
    rows INTEGER NOT NULL
) STRICT;
CREATE INDEX saved_by_time ON saved (at);
