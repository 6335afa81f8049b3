//! What leaves one store for another, as a file: a line of JSON or a row of a table for each item, with the very bytes of each body. Its
//! first item says of which version the file is, its last how many there were, so that one that was cut off is known.

mod reading;
mod table;

use std::io::{self, Write};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

pub use self::reading::{Reader, Wrong};
use crate::notify::time::{canonical, instant};
use crate::notify::{Callback, Kind};
use crate::spreadsheet;
use crate::store::{Came, HandledTexts, Origin, Portable, UnreadBody, WrittenNote};

/// The version of what is written, and the newest that is read.
const VERSION: u64 = 1;

/// No address is longer.
const LONGEST_ADDRESS: usize = 320;

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A line of JSON an item.
    Jsonl,
    /// A row an item, which spreadsheets read.
    Csv,
}

impl Format {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Format, String> {
        let format = [Format::Jsonl, Format::Csv].into_iter().find(|format| format.as_str() == word);
        format.ok_or_else(|| "a format is jsonl or csv".to_owned())
    }
}

/// What an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Export,
    Service,
    Template,
    Callback,
    Quarantine,
    Handling,
    Note,
    End,
}

/// One item as it stands in the file: what it does not have is left out.
macro_rules! line {
    ($($field:ident: $type:ty,)*) => {
        #[derive(Default, Serialize, Deserialize)]
        struct Line { $(#[serde(default, skip_serializing_if = "Option::is_none")] $field: Option<$type>,)* }
    };
}

line! {
    item: Sort,
    version: u64,
    service: String,
    notify_service_id: String,
    template_id: String,
    template_name: String,
    kind: String,
    origin: String,
    arrived_at: String,
    times: i64,
    last_arrived_at: String,
    reason: String,
    path: String,
    content_type: String,
    content_encoding: String,
    sender: String,
    read_to: String,
    taken_by: String,
    taken_at: String,
    dealt_with_by: String,
    dealt_with_at: String,
    written_by: String,
    written_at: String,
    removed_at: String,
    text: String,
    callbacks: u64,
    quarantined: u64,
    conversations: u64,
    notes: u64,
    body: String,
    body_base64: String,
}

/// How many items of each sort a file has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Callbacks.
    pub callbacks: u64,
    /// Bodies in quarantine.
    pub quarantined: u64,
    /// Conversations about which something was done.
    pub conversations: u64,
    /// Notes.
    pub notes: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn all(self) -> u64 {
        self.callbacks + self.quarantined + self.conversations + self.notes
    }

    fn add(&mut self, item: Option<Sort>) {
        match item {
            Some(Sort::Callback) => self.callbacks += 1,
            Some(Sort::Quarantine) => self.quarantined += 1,
            Some(Sort::Handling) => self.conversations += 1,
            Some(Sort::Note) => self.notes += 1,
            Some(Sort::Export | Sort::Service | Sort::Template | Sort::End) | None => (),
        }
    }
}

/// Writes one file. What it is handed is on its way when the call returns.
pub struct Writer<W: Write> {
    format: Format,
    out: W,
    counts: Counts,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(format: Format, out: W) -> io::Result<Writer<W>> {
        let mut writer = Writer::go_on(format, out, Counts::default());
        if format == Format::Csv {
            write!(writer.out, "{}{}", spreadsheet::BEGINNING, spreadsheet::row(table::COLUMNS))?;
        }
        writer.line(&Line { item: Some(Sort::Export), version: Some(VERSION), ..Line::default() }, None)?;
        Ok(writer)
    }

    /// Goes on with a file that has so many items.
    pub fn go_on(format: Format, out: W, counts: Counts) -> Writer<W> {
        Writer { format, out, counts }
    }

    /// Writes one item.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, item: &Portable) -> io::Result<()> {
        let callback = if let Portable::Callback(_, callback) = item { Some(callback.as_ref()) } else { None };
        let line = line(item);
        self.line(&line, callback)?;
        self.counts.add(line.item);
        Ok(())
    }

    /// Ends the file; gives how many items it has, and what it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<(Counts, W)> {
        let Counts { callbacks, quarantined, conversations, notes } = self.counts;
        let end = Line {
            item: Some(Sort::End),
            callbacks: Some(callbacks),
            quarantined: Some(quarantined),
            conversations: Some(conversations),
            notes: Some(notes),
            ..Line::default()
        };
        self.line(&end, None)?;
        self.out.flush()?;
        Ok((self.counts, self.out))
    }

    /// How many items were written.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What it is written to.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    fn line(&mut self, line: &Line, callback: Option<&Callback>) -> io::Result<()> {
        match self.format {
            Format::Jsonl => {
                serde_json::to_writer(&mut self.out, line)?;
                self.out.write_all(b"\n")
            }
            Format::Csv => self.out.write_all(table::row(line, callback)?.as_bytes()),
        }
    }
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::CalledBack => "called_back",
        Origin::Fetched => "fetched",
        Origin::Imported => "imported",
        Origin::Test => "test",
    }
}

const ORIGINS: [Origin; 4] = [Origin::CalledBack, Origin::Fetched, Origin::Imported, Origin::Test];

fn line(item: &Portable) -> Line {
    match item {
        Portable::Service { name, notify_service_id } => Line {
            item: Some(Sort::Service),
            service: Some(name.clone()),
            notify_service_id: notify_service_id.clone(),
            ..Line::default()
        },
        Portable::Template { service, template_id, name } => Line {
            item: Some(Sort::Template),
            service: Some(service.clone()),
            template_id: Some(template_id.clone()),
            template_name: Some(name.clone()),
            ..Line::default()
        },
        Portable::Callback(came, callback) => Line {
            item: Some(Sort::Callback),
            kind: Some(callback.kind().path().to_owned()),
            ..came_with(came, callback.body())
        },
        Portable::Quarantined(came, unread) => {
            let UnreadBody { reason, path, content_type, content_encoding, body } = unread.as_ref();
            Line {
                item: Some(Sort::Quarantine),
                reason: Some(reason.clone()),
                path: Some(path.clone()),
                content_type: content_type.clone(),
                content_encoding: content_encoding.clone(),
                ..came_with(came, body.clone())
            }
        }
        Portable::Handling(handled) => {
            let HandledTexts { service, sender, read_to, taken, dealt_with } = handled.as_ref();
            let (taken_by, taken_at) = taken.clone().unzip();
            let (dealt_with_by, dealt_with_at) = dealt_with.clone().unzip();
            Line {
                item: Some(Sort::Handling),
                service: Some(service.clone()),
                sender: Some(sender.clone()),
                read_to: read_to.clone(),
                taken_by,
                taken_at: taken_at.map(canonical),
                dealt_with_by,
                dealt_with_at: dealt_with_at.map(canonical),
                ..Line::default()
            }
        }
        Portable::Note(note) => {
            let WrittenNote { service, sender, written, text, removed_at } = note.as_ref();
            Line {
                item: Some(Sort::Note),
                service: Some(service.clone()),
                sender: Some(sender.clone()),
                written_by: Some(written.0.clone()),
                written_at: Some(canonical(written.1)),
                removed_at: removed_at.map(canonical),
                text: text.clone(),
                ..Line::default()
            }
        }
    }
}

fn came_with(came: &Came, body: Vec<u8>) -> Line {
    let (body, body_base64) = match String::from_utf8(body) {
        Ok(text) => (Some(text), None),
        Err(bytes) => (None, Some(BASE64.encode(bytes.as_bytes()))),
    };
    Line {
        service: Some(came.service.clone()),
        origin: Some(origin_word(came.origin).to_owned()),
        arrived_at: Some(canonical(came.arrived_at)),
        times: Some(came.times),
        last_arrived_at: came.last_arrived_at.map(canonical),
        body,
        body_base64,
        ..Line::default()
    }
}

/// What has to be there, and is of a form that is known.
fn needed<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("it has no {name}"))
}

fn moment(value: Option<String>, name: &str) -> Result<Option<i64>, String> {
    let read = |text: String| instant(&text).ok_or_else(|| format!("its {name} is no moment"));
    value.map(read).transpose()
}

/// What something is called: there is always something.
fn named(value: Option<String>, name: &str) -> Result<String, String> {
    needed(value.filter(|value| !value.is_empty()), name)
}

/// Who did something and when, where anybody did; the address is to be an account's.
fn done(who: Option<String>, at: Option<String>, names: [&str; 2]) -> Result<Option<(String, i64)>, String> {
    if who.is_none() && at.is_none() {
        return Ok(None);
    }
    let [who_name, at_name] = names;
    let who = named(who, who_name)?;
    if who.len() > LONGEST_ADDRESS || !who.contains('@') || who.contains(char::is_whitespace) {
        return Err(format!("its {who_name} is no email address"));
    }
    Ok(Some((who, needed(moment(at, at_name)?, at_name)?)))
}

impl Line {
    /// What came, with its body.
    fn came(&mut self) -> Result<(Came, Vec<u8>), String> {
        let word = needed(self.origin.take(), "origin")?;
        let origin = ORIGINS.into_iter().find(|known| origin_word(*known) == word).ok_or("its origin is not known")?;
        let body = match (self.body.take(), self.body_base64.take()) {
            (_, Some(coded)) => BASE64.decode(coded).map_err(|_| "its body_base64 is no base64")?,
            (text, None) => needed(text, "body")?.into_bytes(),
        };
        let times = self.times.unwrap_or(1);
        if times < 1 {
            return Err("its times is less than 1".into());
        }
        let came = Came {
            service: named(self.service.take(), "service")?,
            origin,
            arrived_at: needed(moment(self.arrived_at.take(), "arrived_at")?, "arrived_at")?,
            times,
            last_arrived_at: moment(self.last_arrived_at.take(), "last_arrived_at")?,
        };
        Ok((came, body))
    }

    /// The item that stands in it.
    fn portable(mut self) -> Result<Portable, String> {
        Ok(match needed(self.item, "item")? {
            Sort::Service => {
                Portable::Service { name: named(self.service, "service")?, notify_service_id: self.notify_service_id }
            }
            Sort::Template => Portable::Template {
                service: named(self.service, "service")?,
                template_id: named(self.template_id, "template_id")?,
                name: needed(self.template_name, "template_name")?,
            },
            Sort::Callback => {
                let (came, body) = self.came()?;
                match Callback::read(&body) {
                    Ok(callback) => Portable::Callback(came, Box::new(callback)),
                    // A later release may have understood it: here it waits for that in quarantine.
                    Err(why) => {
                        let (reason, path) = (why.to_string(), path(self.kind.as_deref()));
                        let unread = UnreadBody { reason, path, content_type: None, content_encoding: None, body };
                        Portable::Quarantined(came, Box::new(unread))
                    }
                }
            }
            Sort::Quarantine => {
                let (came, body) = self.came()?;
                let unread = UnreadBody {
                    reason: needed(self.reason, "reason")?,
                    path: self.path.unwrap_or_default(),
                    content_type: self.content_type,
                    content_encoding: self.content_encoding,
                    body,
                };
                Portable::Quarantined(came, Box::new(unread))
            }
            Sort::Handling => Portable::Handling(Box::new(HandledTexts {
                service: named(self.service, "service")?,
                sender: named(self.sender, "sender")?,
                read_to: self.read_to,
                taken: done(self.taken_by, self.taken_at, ["taken_by", "taken_at"])?,
                dealt_with: done(self.dealt_with_by, self.dealt_with_at, ["dealt_with_by", "dealt_with_at"])?,
            })),
            Sort::Note => {
                let written = done(self.written_by, self.written_at, ["written_by", "written_at"])?;
                let removed_at = moment(self.removed_at, "removed_at")?;
                let text = if removed_at.is_some() { None } else { Some(needed(self.text, "text")?) };
                Portable::Note(Box::new(WrittenNote {
                    service: named(self.service, "service")?,
                    sender: named(self.sender, "sender")?,
                    written: needed(written, "written_by")?,
                    text,
                    removed_at,
                }))
            }
            Sort::Export | Sort::End => return Err("it stands in the wrong place".into()),
        })
    }
}

/// Where a callback of a kind would have been sent to.
fn path(kind: Option<&str>) -> String {
    let kind = kind.and_then(Kind::from_path);
    kind.map_or_else(String::new, |kind| format!("/callbacks/{}", kind.path()))
}

#[cfg(test)]
mod tests;
