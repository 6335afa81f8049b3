//! What is held on somebody, written out for them: as JSON with the very bodies that came, or as a table for a spreadsheet. It writes
//! as it is handed one piece after another, and knows neither the store's tables nor who reads.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::flagging::Hit;
use crate::notify::time::canonical;
use crate::notify::{Callback, Complaint, Content, DeliveryReceipt, Kind, ReceivedText, ReturnedLetter};
use crate::spreadsheet;
use crate::store::{Exported, Handling, HeldSearch, Kept, Note, Origin, Quarantined, SentText};

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One object, with each body as it came.
    Json,
    /// A row for each piece, in UTF-8 with a byte order mark, so that spreadsheets read it as what it is.
    Csv,
}

impl Format {
    /// Both.
    pub const ALL: [Format; 2] = [Format::Json, Format::Csv];

    /// Its name, which is also how a file's name ends.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Format, String> {
        Format::ALL
            .into_iter()
            .find(|format| format.as_str() == word)
            .ok_or_else(|| "a format is json or csv".to_owned())
    }
}

/// Writes one disclosure. What it is handed is on its way when the call returns.
pub struct Disclosure<W: Write> {
    format: Format,
    out: W,
    is_first: bool,
}

/// The columns of the table.
const COLUMNS: [&str; 19] = [
    "Kind",
    "Service",
    "Notify’s id",
    "Reference",
    "To or from",
    "Status",
    "Type",
    "Created or received",
    "Sent",
    "Finished",
    "Template",
    "Template version",
    "Received at",
    "Message",
    "Other details",
    "Arrived",
    "Times",
    "Came as",
    "Held",
];

impl<W: Write> Disclosure<W> {
    /// Begins one about whoever is called so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(format: Format, mut out: W, about: &str, now: i64) -> io::Result<Disclosure<W>> {
        match format {
            Format::Json => {
                let about = serde_json::to_string(about)?;
                write!(out, "{{\"exported_at\": \"{}\", \"about\": {about}, \"held\": [", canonical(now))?;
            }
            Format::Csv => {
                write!(out, "{}{}", spreadsheet::BEGINNING, spreadsheet::row(COLUMNS))?;
            }
        }
        Ok(Disclosure { format, out, is_first: true })
    }

    /// Writes one piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, piece: &Exported) -> io::Result<()> {
        if self.format == Format::Csv {
            let row = row(piece);
            return self.out.write_all(spreadsheet::row(row.iter().map(String::as_str)).as_bytes());
        }
        self.out.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        match piece {
            Exported::Callback(kept, is_held, flags) => {
                serde_json::to_writer(&mut self.out, &callback(kept, *is_held, flags)?)?;
            }
            Exported::Quarantined(body, is_held) => serde_json::to_writer(&mut self.out, &quarantined(body, *is_held))?,
            Exported::Sent(text) => serde_json::to_writer(&mut self.out, &sent(text))?,
            Exported::Search(search) => serde_json::to_writer(&mut self.out, &searched(search))?,
            Exported::Handling(state) => serde_json::to_writer(&mut self.out, &handled(state))?,
            Exported::Note(note) => serde_json::to_writer(&mut self.out, &noted(note))?,
        }
        Ok(())
    }

    /// Ends it; gives back what it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<W> {
        if self.format == Format::Json {
            self.out.write_all(b"\n]}\n")?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

#[derive(Serialize)]
struct Piece<'a, B: Serialize> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    /// When it was written, of a note.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_at: Option<String>,
    /// Who wrote it, of a note.
    #[serde(skip_serializing_if = "Option::is_none")]
    written_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    came_as: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    held: bool,
    /// Why it is flagged, of a received text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
    body: B,
}

fn callback<'a>(kept: &'a Kept, held: bool, flags: &[Hit]) -> serde_json::Result<Piece<'a, Box<RawValue>>> {
    let body = RawValue::from_string(String::from_utf8_lossy(&kept.callback.body()).into_owned())?;
    Ok(Piece {
        kind: kept.callback.kind().words(),
        service: Some(&kept.service_name),
        arrived_at: Some(canonical(kept.arrived_at)),
        written_by: None,
        times: Some(kept.times),
        came_as: Some(came_as(kept.origin)),
        reason: None,
        held,
        flags: flags.iter().map(flagged).collect(),
        body,
    })
}

fn flagged(hit: &Hit) -> String {
    format!("{}, because it says ‘{}’", hit.flag.words(), hit.said)
}

const QUARANTINED: &str = "Body in quarantine";
const SEARCH: &str = "Kept search";
const HANDLING: &str = "State of the conversation";
const NOTE: &str = "Note";
const NO_NOTE: &str = "(removed)";
const SENT: &str = "Text of a sent message";

fn quarantined(body: &Quarantined, held: bool) -> Piece<'_, String> {
    Piece {
        kind: QUARANTINED,
        service: Some(&body.service_name),
        arrived_at: Some(canonical(body.arrived_at)),
        written_by: None,
        times: Some(body.times),
        came_as: Some(came_as(body.origin)),
        reason: Some(&body.reason),
        held,
        flags: Vec::new(),
        body: text(body),
    }
}

/// What a message said, beside the callbacks of its id.
#[derive(Serialize)]
struct Said<'a> {
    id: &'a str,
    subject: Option<&'a str>,
    body: Option<&'a str>,
}

fn sent(text: &SentText) -> Piece<'_, Said<'_>> {
    Piece {
        kind: SENT,
        service: Some(&text.service_name),
        arrived_at: Some(canonical(text.fetched_at)),
        written_by: None,
        times: None,
        came_as: Some(came_as(Origin::Fetched)),
        reason: None,
        held: false,
        flags: Vec::new(),
        body: Said { id: &text.notify_id, subject: text.subject.as_deref(), body: text.body.as_deref() },
    }
}

fn searched(search: &HeldSearch) -> Piece<'_, &str> {
    Piece {
        kind: SEARCH,
        service: None,
        arrived_at: Some(canonical(search.made_at)),
        written_by: None,
        times: None,
        came_as: None,
        reason: None,
        held: false,
        flags: Vec::new(),
        body: &search.term,
    }
}

fn handled(state: &Handling) -> Piece<'_, String> {
    Piece {
        kind: HANDLING,
        service: Some(&state.service_name),
        arrived_at: None,
        written_by: None,
        times: None,
        came_as: None,
        reason: None,
        held: false,
        flags: Vec::new(),
        body: state.words(),
    }
}

fn noted(note: &Note) -> Piece<'_, &str> {
    Piece {
        kind: NOTE,
        service: Some(&note.service_name),
        arrived_at: Some(canonical(note.made_at)),
        written_by: Some(&note.who),
        times: None,
        came_as: None,
        reason: None,
        held: false,
        flags: Vec::new(),
        body: note.text.as_deref().unwrap_or(NO_NOTE),
    }
}

fn text(body: &Quarantined) -> String {
    String::from_utf8_lossy(body.body.as_deref().unwrap_or_default()).into_owned()
}

fn came_as(origin: Origin) -> &'static str {
    match origin {
        Origin::CalledBack => "Callback from Notify",
        Origin::Fetched => "Read back from Notify",
        Origin::Imported => "Imported",
        Origin::Test => "Test",
    }
}

fn row(piece: &Exported) -> Vec<String> {
    let mut row = vec![String::new(); COLUMNS.len()];
    let mut put = |column: &str, value: Option<String>| {
        let at = COLUMNS.iter().position(|name| *name == column);
        if let (Some(cell), Some(value)) = (at.and_then(|at| row.get_mut(at)), value) {
            *cell = value;
        }
    };
    let yes = |is: bool| is.then(|| "Yes".to_owned());
    match piece {
        Exported::Callback(kept, is_held, flags) => {
            put("Kind", Some(kept.callback.kind().words().to_owned()));
            put("Service", Some(kept.service_name.clone()));
            put("Notify’s id", Some(kept.callback.notify_id().to_owned()));
            put("Reference", kept.callback.reference().map(str::to_owned));
            put("To or from", kept.callback.person().map(str::to_owned));
            put("Arrived", Some(canonical(kept.arrived_at)));
            put("Times", Some(kept.times.to_string()));
            put("Came as", Some(came_as(kept.origin).to_owned()));
            put("Held", yes(*is_held));
            fields(&kept.callback, flags, &mut put);
        }
        Exported::Quarantined(body, is_held) => {
            put("Kind", Some(QUARANTINED.to_owned()));
            put("Service", Some(body.service_name.clone()));
            put("Message", Some(text(body)));
            put("Other details", Some(body.reason.clone()));
            put("Arrived", Some(canonical(body.arrived_at)));
            put("Times", Some(body.times.to_string()));
            put("Came as", Some(came_as(body.origin).to_owned()));
            put("Held", yes(*is_held));
        }
        Exported::Sent(text) => {
            put("Kind", Some(SENT.to_owned()));
            put("Service", Some(text.service_name.clone()));
            put("Notify’s id", Some(text.notify_id.clone()));
            put("Message", text.body.clone());
            put("Other details", text.subject.as_ref().map(|subject| format!("Subject: {subject}")));
            put("Arrived", Some(canonical(text.fetched_at)));
            put("Came as", Some(came_as(Origin::Fetched).to_owned()));
        }
        Exported::Search(search) => {
            put("Kind", Some(SEARCH.to_owned()));
            put("To or from", Some(search.term.clone()));
            put("Arrived", Some(canonical(search.made_at)));
        }
        Exported::Handling(state) => {
            put("Kind", Some(HANDLING.to_owned()));
            put("Service", Some(state.service_name.clone()));
            put("Message", Some(state.words()));
        }
        Exported::Note(note) => {
            put("Kind", Some(NOTE.to_owned()));
            put("Service", Some(note.service_name.clone()));
            put("Message", Some(note.text.clone().unwrap_or_else(|| NO_NOTE.to_owned())));
            put("Other details", Some(format!("Written by {}", note.who)));
            put("Arrived", Some(canonical(note.made_at)));
        }
    }
    row
}

/// What each kind alone has.
fn fields(callback: &Callback, flags: &[Hit], put: &mut impl FnMut(&str, Option<String>)) {
    let mut others = callback.other_keys();
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    match &callback.content {
        Content::DeliveryReceipt(receipt) => {
            let DeliveryReceipt { status, created_at, completed_at, sent_at, notification_type, .. } = receipt;
            put("Status", Some(status.as_str().to_owned()));
            put("Type", notification_type.clone());
            put("Created or received", created_at.clone());
            put("Sent", sent_at.clone());
            put("Finished", completed_at.clone());
            put("Template", receipt.template_id.clone());
            put("Template version", number(receipt.template_version));
        }
        Content::ReceivedText(ReceivedText { destination_number, message, date_received, .. }) => {
            put("Created or received", date_received.clone());
            put("Received at", destination_number.clone());
            put("Message", message.clone());
        }
        Content::ReturnedLetter(letter) => {
            let ReturnedLetter { date_sent, sent_by, template_name, .. } = letter;
            put("Sent", date_sent.clone());
            put("Template", letter.template_id.clone());
            put("Template version", number(letter.template_version));
            let details = [
                ("Sent by", sent_by.clone()),
                ("Template name", template_name.clone()),
                ("Spreadsheet", letter.spreadsheet_file_name.clone()),
                ("Row in the spreadsheet", number(letter.spreadsheet_row_number)),
                ("Uploaded letter", letter.upload_letter_file_name.clone()),
            ];
            others.extend(details.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        Content::Complaint(Complaint { complaint_id, complaint_date, .. }) => {
            put("Created or received", complaint_date.clone());
            others.extend(complaint_id.clone().map(|id| ("Complaint id".to_owned(), id)));
        }
    }
    others.extend(flags.iter().map(|hit| ("Flag".to_owned(), flagged(hit))));
    let others: Vec<String> = others.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    put("Other details", (!others.is_empty()).then(|| others.join("\n")));
}

/// How many of each kind there are, in words.
#[must_use]
pub fn counted(counts: &crate::store::OnSubject) -> Vec<(&'static str, u64)> {
    let kinds = Kind::ALL.iter().map(|kind| kind.words()).zip(counts.kinds);
    let others = [counts.quarantined, counts.searches, counts.handling, counts.sent_texts];
    kinds.chain(["In quarantine", "Kept searches", "Notes and handling", SENT].into_iter().zip(others)).collect()
}
