-- What is kept for how long, and what removes it.
--
-- Arrivals come in the order of their numbers, but a clock that was wrong may say otherwise, and receipts and messages are kept for
-- different times. So for each stretch of 4,096 numbers it is noted when the earliest of both kinds came that are still there: what
-- is old is found without reading what is not. `mapped` is the first number that is not noted yet.

ALTER TABLE arrivals ADD COLUMN mapped INTEGER NOT NULL DEFAULT 1;

CREATE TABLE arrival_stretches (
    stretch       INTEGER PRIMARY KEY,
    receipts_from INTEGER,                        -- null where none of the kind is left
    messages_from INTEGER
) STRICT;

-- The numbers of removed callbacks that the index may still lead to, a bit each.
CREATE TABLE removed_arrivals (
    stretch  INTEGER PRIMARY KEY,
    arrivals BLOB NOT NULL
) STRICT;

-- How far removal by age has gone, apart for receipts and messages. No row: nothing was ever old enough.
CREATE TABLE retention (
    sort     INTEGER PRIMARY KEY,                 -- 1 receipts, 2 messages
    gone_to  INTEGER NOT NULL,                    -- what came before this moment may go; never moves back
    first_at INTEGER NOT NULL                     -- nothing goes before this moment, which is told a week ahead
) STRICT;

CREATE INDEX quarantine_by_arrived_at ON quarantine (arrived_at);
