// Express and better-sqlite3 with synchronous=FULL. `node express.js FILE TOKEN` commits each callback by itself, as a team would
// write it; with a third argument, `batch`, it commits whatever has come since the last commit and answers after it.
'use strict'

const { createHash, timingSafeEqual } = require('node:crypto')
const Database = require('better-sqlite3')
const express = require('express')

const [file, token, how] = process.argv.slice(2)
const database = new Database(file)
database.pragma('journal_mode = WAL')
database.pragma('synchronous = FULL')
database.exec(`CREATE TABLE receipts (id TEXT PRIMARY KEY, reference TEXT, recipient TEXT, status TEXT, created_at TEXT,
  completed_at TEXT, sent_at TEXT, notification_type TEXT, template_id TEXT, template_version INTEGER);
  CREATE INDEX by_reference ON receipts (reference); CREATE INDEX by_recipient ON receipts (recipient);`)
const insert = database.prepare(`INSERT INTO receipts VALUES (@id, @reference, @to, @status, @created_at, @completed_at,
  @sent_at, @notification_type, @template_id, @template_version) ON CONFLICT DO NOTHING`)

const hash = (text) => createHash('sha256').update(text).digest()
const known = hash(token)
let waiting = []

const commitAll = database.transaction((batch) => {
  for (const { body } of batch) insert.run(body)
})

function commitWaiting () {
  const batch = waiting
  waiting = []
  commitAll(batch)
  for (const { response } of batch) response.status(200).end()
}

const app = express()
app.use(express.json())
app.post('/callbacks/delivery-receipts', (request, response) => {
  const given = (request.get('authorization') ?? '').slice('Bearer '.length)
  if (!timingSafeEqual(hash(given), known)) return response.status(401).end()
  if (how !== 'batch') {
    insert.run(request.body)
    return response.status(200).end()
  }
  if (waiting.length === 0) setImmediate(commitWaiting)
  waiting.push({ body: request.body, response })
})
const server = app.listen(0, '127.0.0.1', () => console.error(`listening on http://127.0.0.1:${server.address().port}`))
