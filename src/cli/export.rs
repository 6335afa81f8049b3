//! `counterfoil export`: everything that the store holds of callbacks, as a file for another store or to keep elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::watch::watch;
use super::{Data, Failure, by, tell};
use crate::clock;
use crate::store::{Did, Entry, Leaving, Progress, ReadOut, Stage, Store, StoreError};
use crate::transfer::{Counts, Format, Writer};

/// How much may be written again after a stop.
const NOTED_EVERY: Duration = Duration::from_secs(1);

/// Write out all callbacks, the quarantine, notes and handling, for another store or to leave
///
/// The names of services and templates go along. People, tokens, the record, holds and what was erased do not. It works beside the
/// running server and without one, and leaves out what comes after its beginning. It is on record, and what it writes is personal data.
///
/// With --to the file has its name when it is whole. Where it was stopped before, run it again: it goes on. What is erased meanwhile stands
/// in the part that was written before.
///
/// Exit codes: 11 to 14 and 16 to 18 as for counterfoil serve, 19 the file exists already.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// jsonl, a line of JSON for each, or csv, a row for each, for a spreadsheet. Both can be imported
    #[arg(long, default_value = "jsonl", env = "COUNTERFOIL_FORMAT")]
    format: Format,
    /// The file to make; standard output where none is named
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_TO")]
    to: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

pub(super) async fn run(export: Export) -> Result<(), Failure> {
    let Export { format, to, data } = export;
    let store = data.open()?;
    let part = to.map(|file| Part::open(file, format, &data.data)).transpose()?;
    store.record(Entry::new(by(), Did::ExportedStore, clock::now()).with(format.as_str())).await?;
    let writing = store.clone();
    let (written, saved) = watch(move |progress| {
        let mut saved = 0;
        let written = match part {
            Some(part) => part.write(&writing, format, progress, &mut saved),
            None => to_output(&writing, format, progress, &mut saved),
        };
        (written, saved)
    })
    .await?;
    // Also where it ends before its end: whoever reads it has that much. What was noted at a stop is noted again with the whole.
    let noted = written.as_ref().map_or(saved, |counts| counts.all());
    let is_noted = if noted > 0 { store.note_saved(by(), noted, clock::now()).await } else { Ok(()) };
    let counts = written?;
    is_noted?;
    let lines = [
        ("Callbacks", counts.callbacks),
        ("In quarantine", counts.quarantined),
        ("Conversations handled", counts.conversations),
        ("Notes", counts.notes),
    ];
    let lines: Vec<String> = lines.iter().map(|(name, count)| format!("{name:<24}{count}")).collect();
    tell(&lines.join("\n"));
    Ok(())
}

fn to_output(store: &Store, format: Format, progress: &Progress, saved: &mut u64) -> Result<Counts, Failure> {
    let failed = |error: io::Error| Failure::new(format!("the export cannot be written: {error}"));
    let mut leaving = store.leave(None)?;
    let mut writer = Writer::begin(format, BufWriter::new(io::stdout().lock())).map_err(failed)?;
    let stopped = "stopped: what was written is not whole, and cannot be gone on with. Name a file with --to for that";
    write(&mut leaving, &mut writer, (progress, stopped, saved), failed, |_, _| Ok(()))?;
    Ok(writer.end().map_err(failed)?.0)
}

/// Writes what is still to be read, and counts it; `each` is told how far it is after each stretch.
fn write<W: Write>(
    leaving: &mut Leaving,
    writer: &mut Writer<W>,
    (progress, stopped, saved): (&Progress, &str, &mut u64),
    failed: impl Fn(io::Error) -> Failure,
    mut each: impl FnMut(&mut Writer<W>, &ReadOut) -> io::Result<()>,
) -> Result<(), Failure> {
    let before = writer.counts().all();
    loop {
        if progress.is_stopped() {
            return Err(Failure::new(stopped));
        }
        let items = leaving.more().map_err(|error| match error {
            StoreError::Stopped => Failure::new(stopped),
            error => error.into(),
        })?;
        let Some(items) = items else { return Ok(()) };
        let added = items.iter().try_for_each(|item| writer.add(item));
        *saved = writer.counts().all() - before;
        added.map_err(&failed)?;
        each(writer, leaving.place()).map_err(&failed)?;
        let (done, of) = leaving.place().reached();
        progress.is_at(Stage::Exporting, done, of);
    }
}

/// How far a file is that was stopped.
#[derive(Serialize, Deserialize)]
struct Place {
    /// The store that it is of.
    store: PathBuf,
    format: Format,
    /// So much of it counts.
    bytes: u64,
    counts: Counts,
    /// Where to go on; nothing where it was not begun.
    read_out: Option<ReadOut>,
}

/// A file in the making: beside it stands how far it is.
struct Part {
    file: PathBuf,
    out: File,
    place: Place,
}

/// The name with something behind it.
fn behind(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl Part {
    /// A new one, or one that was stopped.
    fn open(file: PathBuf, format: Format, data: &Path) -> Result<Part, Failure> {
        let failed = cannot_be_written(&file);
        if file.symlink_metadata().is_ok() {
            return Err(Failure::exists_already(&file));
        }
        let (part, noted) = (behind(&file, ".part"), behind(&file, ".part.place"));
        let store = data.canonicalize().map_err(&failed)?;
        let is_there = part.symlink_metadata().is_ok();
        let new = Place { store: store.clone(), format, bytes: 0, counts: Counts::default(), read_out: None };
        let out = if is_there { Some(open_own(&part)?.map_err(&failed)?) } else { None };
        let mut bytes = Vec::new();
        let read = open_own(&noted)?.and_then(|mut noted| noted.read_to_end(&mut bytes));
        let before: Option<Place> = match read {
            Ok(_) => serde_json::from_slice(&bytes)
                .ok()
                .filter(|place: &Place| place.format == format && place.store == store),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_there => Some(new),
            Err(_) => None,
        };
        let Some(mut place) = before else {
            let words = "is of another export, and cannot be gone on with. Remove it and what stands beside it, or name another file";
            return Err(Failure::new(format!("the file {} {words}", part.display())));
        };
        note(&file, &place).map_err(&failed)?;
        let mut new = OpenOptions::new();
        let new = new.read(true).write(true).create_new(true).mode(0o600);
        let mut out = out.map_or_else(|| new.open(&part), Ok).map_err(&failed)?;
        if out.try_lock().is_err() {
            return Err(Failure::new(format!(
                "another export writes {}. Wait for it, or name another file",
                part.display()
            )));
        }
        if out.metadata().map_err(&failed)?.len() < place.bytes {
            (place.bytes, place.counts, place.read_out) = (0, Counts::default(), None);
        }
        out.set_len(place.bytes).map_err(&failed)?;
        out.seek(SeekFrom::End(0)).map_err(&failed)?;
        Ok(Part { file, out, place })
    }

    /// Writes it to its end, and gives it its name.
    fn write(self, store: &Store, format: Format, progress: &Progress, saved: &mut u64) -> Result<Counts, Failure> {
        let Part { file, out, mut place } = self;
        let failed = cannot_be_written(&file);
        let mut leaving = store.leave(place.read_out.clone())?;
        let out = BufWriter::new(out);
        let mut writer = if place.read_out.is_some() {
            Writer::go_on(format, out, place.counts)
        } else {
            Writer::begin(format, out).map_err(&failed)?
        };
        let stopped = "stopped: run it again to go on from here";
        let mut noted_at: Option<Instant> = None;
        write(&mut leaving, &mut writer, (progress, stopped, saved), &failed, |writer, read_out| {
            if noted_at.is_some_and(|at| at.elapsed() < NOTED_EVERY) {
                return Ok(());
            }
            place.counts = writer.counts();
            let out = writer.out();
            out.flush()?;
            out.get_ref().sync_data()?;
            place.bytes = out.stream_position()?;
            place.read_out = Some(read_out.clone());
            noted_at = Some(Instant::now());
            note(&file, &place)
        })?;
        let (counts, out) = writer.end().map_err(&failed)?;
        let out = out.into_inner().map_err(|error| failed(error.into_error()))?;
        out.sync_all().map_err(&failed)?;
        if file.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        fs::rename(behind(&file, ".part"), &file).map_err(&failed)?;
        fs::remove_file(behind(&file, ".part.place")).map_err(&failed)?;
        File::open(folder(&file)).and_then(|folder| folder.sync_all()).map_err(&failed)?;
        tell(&format!("It is in {}. It holds personal data.", file.display()));
        Ok(counts)
    }
}

/// Opens what a stopped export left. A file that somebody else made, that others may read or that has another name beside this one is
/// none: all that is held would be written into it.
fn open_own(file: &Path) -> Result<io::Result<File>, Failure> {
    let no_link = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).write(true).custom_flags(no_link).open(file);
    let is_ours = match &opened {
        Ok(opened) => opened.metadata().is_ok_and(|is| {
            let is_mine = is.uid() == rustix::process::geteuid().as_raw();
            is.is_file() && is_mine && is.mode() & 0o777 == 0o600 && is.nlink() == 1
        }),
        Err(_) => !file.is_symlink(),
    };
    if is_ours {
        return Ok(opened);
    }
    let words = "is not what a stopped export of yours leaves: it is a link or somebody else’s, or others may read it. Look at who made it, \
                 and name a file in a folder that is yours alone";
    Err(Failure::new(format!("the file {} {words}", file.display())))
}

fn cannot_be_written(file: &Path) -> impl Fn(io::Error) -> Failure + use<> {
    let name = file.display().to_string();
    move |error| {
        Failure::new(format!(
            "the file {name} cannot be written: {error}. Make room or name another one, and run it again"
        ))
    }
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes down how far it is: after a stop either this stands there or what stood there before.
fn note(file: &Path, place: &Place) -> io::Result<()> {
    let mut noted = tempfile::Builder::new().prefix(".counterfoil-export-").tempfile_in(folder(file))?;
    serde_json::to_writer(&mut noted, place)?;
    noted.as_file().sync_data()?;
    noted.persist(behind(file, ".part.place")).map(drop).map_err(|lost| lost.error)
}
