-- What `counterfoil doctor` sends to its own server to see whether the way is open: the SHA-256 of a secret that is good for some minutes,
-- and whether it came and as what. No callback of Notify's is in here, and doctor takes its rows out again.
CREATE TABLE test_callbacks (
    sha256 BLOB NOT NULL PRIMARY KEY,
    made_at INTEGER NOT NULL,
    came_at INTEGER,
    body_sha256 BLOB
) STRICT, WITHOUT ROWID;
