-- Each entry says what its callback is, so that a search that is limited to a service or a status reads no rows of others; and each
-- fence says which arrivals its chunk leads to, so that what very many begin alike with is not read as a whole. What is there is
-- made anew from the rows when the store is opened.
--
-- Of few messages more than one event comes. Those that pages do not show can be told without reading the rows.

DELETE FROM index_chunks;
DELETE FROM index_runs;
DROP TABLE index_fences;

-- The first entry of each chunk.
CREATE TABLE index_fences (
    run     INTEGER NOT NULL,
    key     BLOB    NOT NULL,
    arrival INTEGER NOT NULL,
    chunk   INTEGER NOT NULL,
    oldest  INTEGER NOT NULL,                     -- the arrivals that the chunk leads to lie between these two
    newest  INTEGER NOT NULL,
    PRIMARY KEY (run, key, arrival)
) STRICT, WITHOUT ROWID;

CREATE INDEX hidden_callbacks ON callbacks (arrival) WHERE shown = 0;
