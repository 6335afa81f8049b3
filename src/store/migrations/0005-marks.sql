-- Each entry says what its callback is, so that a search that is limited to a service or a status reads no rows of others. What is
-- there is made anew from the rows when the store is opened.

DELETE FROM index_fences;
DELETE FROM index_chunks;
DELETE FROM index_runs;
