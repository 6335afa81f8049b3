-- What callbacks are found by, in runs: each holds the entries of one stretch of arrivals in the order of their keys, and runs
-- of a size become one larger run. Nothing is ever written into the middle of them, so they cost the same however many there are.
-- What arrived after the last of them is in memory, and is made again from the rows at a start.

CREATE TABLE index_runs (
    run     INTEGER PRIMARY KEY,
    state   INTEGER NOT NULL,                     -- 0 in use, 1 being made, 2 no longer used: others are written over it
    first   INTEGER NOT NULL,                     -- its arrivals lie between these two
    last    INTEGER NOT NULL,
    last_at INTEGER NOT NULL                      -- when the latest of them came
) STRICT;

CREATE TABLE index_chunks (
    chunk   INTEGER PRIMARY KEY,
    entries BLOB NOT NULL
) STRICT;

-- The first entry of each chunk.
CREATE TABLE index_fences (
    run     INTEGER NOT NULL,
    key     BLOB    NOT NULL,
    arrival INTEGER NOT NULL,
    chunk   INTEGER NOT NULL,
    PRIMARY KEY (run, key, arrival)
) STRICT, WITHOUT ROWID;

-- A template is named by its number.
CREATE TABLE templates (
    id          INTEGER PRIMARY KEY,
    template_id ANY     NOT NULL UNIQUE
) STRICT;
INSERT INTO templates (template_id) SELECT DISTINCT template_id FROM callbacks WHERE template_id IS NOT NULL;

-- The keys stand in the index alone.
CREATE TABLE slim_callbacks (
    arrival           INTEGER PRIMARY KEY,
    kind              INTEGER NOT NULL,
    service           INTEGER NOT NULL,
    shown             INTEGER NOT NULL,           -- 1 on the one event that pages show for its notification
    status            ANY,
    notification_type ANY,
    origin            INTEGER NOT NULL,           -- called back, fetched, imported, test
    arrived_at        INTEGER NOT NULL,
    times             INTEGER NOT NULL DEFAULT 1, -- how often these very bytes came
    last_arrived_at   INTEGER,                    -- null until they came again
    notify_id         ANY     NOT NULL,
    reference         TEXT,
    person            TEXT,                       -- as typed: `to`, or the number a text came from
    dated_at          ANY,                        -- created_at, date_received, date_sent or complaint_date
    sent_at           ANY,
    completed_at      ANY,
    template          INTEGER,
    template_version  INTEGER,
    destination       TEXT,
    message           TEXT,
    details           TEXT,                       -- what only returned letters and complaints have, as a JSON list
    verbatim          BLOB                        -- the exact bytes, only where the columns would not give them back
) STRICT;
INSERT INTO slim_callbacks
    SELECT arrival, kind, service, shown, status, notification_type, origin, arrived_at, times, last_arrived_at, notify_id,
        reference, person, dated_at, sent_at, completed_at, t.id, template_version, destination, message, details, verbatim
    FROM callbacks c LEFT JOIN templates t ON t.template_id = c.template_id;
DROP TABLE callbacks;
ALTER TABLE slim_callbacks RENAME TO callbacks;
DROP TABLE callback_index;
ALTER TABLE arrivals DROP COLUMN indexed;
