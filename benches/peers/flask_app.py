"""Flask and sqlite3 with synchronous=FULL under gunicorn, a transaction for each callback, as a team would write it."""

import hashlib
import hmac
import os
import sqlite3

import flask

FILE, TOKEN = os.environ["PEER_FILE"], os.environ["PEER_TOKEN"]
KEYS = ["id", "reference", "to", "status", "created_at", "completed_at", "sent_at", "notification_type", "template_id"]
app = flask.Flask(__name__)
known = hashlib.sha256(TOKEN.encode()).digest()
connection = None


def database():
    global connection
    if connection is None:
        connection = sqlite3.connect(FILE, timeout=30, isolation_level=None)
        connection.executescript(
            """PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS receipts (id TEXT PRIMARY KEY, reference TEXT, recipient TEXT, status TEXT,
                created_at TEXT, completed_at TEXT, sent_at TEXT, notification_type TEXT, template_id TEXT,
                template_version INTEGER);
            CREATE INDEX IF NOT EXISTS by_reference ON receipts (reference);
            CREATE INDEX IF NOT EXISTS by_recipient ON receipts (recipient);"""
        )
    return connection


@app.post("/callbacks/delivery-receipts")
def receipt():
    given = flask.request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(hashlib.sha256(given.encode()).digest(), known):
        return "", 401
    body = flask.request.get_json()
    row = [body[key] for key in KEYS] + [body["template_version"]]
    database().execute("INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
    return "", 200
