//! Bytes that nobody would send, made out of bytes that somebody did: the parsers are tried with them, and may neither panic nor hang
//! nor break what they promise.
//!
//! It knows nothing of how far a parser got but what the parser says; an input with a new answer is kept and changed further. Every
//! input that ever failed stays in `tests/corpus`, in the folder of its parser, and is tried first. A run prints its seed.
//! `FUZZ_SECONDS` is how long each parser is tried, in place of a number of cases; `FUZZ_SEED` repeats a run.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, fs};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// No case takes as long, on whatever machine.
const HANGS: Duration = Duration::from_mins(2);
/// A longer input is cut.
const LONGEST: usize = 8 * 1024;
/// So many inputs are kept to be changed further.
const KEPT: usize = 4000;

/// What parsers stumble over.
const PIECES: [&[u8]; 64] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"null",
    b"true",
    b"1e400",
    b"-1e-400",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"1.5",
    b"0",
    b"\\u0000",
    b"\\ud800",
    b"\\udc00",
    b"\\ud83d\\ude92",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\0",
    b"\r\n",
    b"\n",
    b"\t",
    b" ",
    b"%",
    b"%00",
    b"%ff",
    b"%2f",
    b"&",
    b"=",
    b"+",
    b"?",
    b"#",
    b";",
    b"/",
    b"//",
    b"..",
    b"@",
    b"-",
    b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xe2\x80\x8d",
    b"\xf0\x9f\x87\xac\xf0\x9f\x87\xa7",
    b"\xcc\x81",
    b"\xd9\xa0",
    b"\xef\xbc\x90",
    b"\xef\xb7\xba",
    b"\xf0\x9f\x8f\xb4",
    b"\xf3\xa0\x81\xbf",
    b"\"id\": ",
    b"\"status\": ",
    b"\"source_number\": ",
    b"\"notification_id\": ",
    b"07700 900123",
    b"+44",
    b"2017-05-14T12:15:30.000000Z",
    b"8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",
];

/// Tries a parser of this name. `work` does what it does with any bytes, asserts what must hold, and says what came of it: what is
/// new of that is followed further. `cases` is how many there are in a usual run.
pub(crate) fn fuzz<T: Hash>(name: &str, cases: u64, seeds: &[&[u8]], mut work: impl FnMut(&[u8]) -> T) {
    let seed = asked("FUZZ_SEED").unwrap_or_else(|| getrandom::u64().unwrap_or(1));
    let ends = asked("FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut rng = SmallRng::seed_from_u64(seed);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut corpus: Vec<Vec<u8>> = files(&folder);
    corpus.extend(seeds.iter().map(|seed| seed.to_vec()));
    corpus.push(Vec::new());
    let first = corpus.clone();
    let (mut answers, mut done, began) = (HashSet::new(), 0, Instant::now());
    let (alive, watched) = channel::<Vec<u8>>();
    let watch = std::thread::spawn(move || watch(&watched));
    let mut first = first.into_iter();
    while first.len() > 0 || ends.map_or(done < cases, |ends| Instant::now() < ends) {
        let input = first.next().unwrap_or_else(|| changed(&corpus, &mut rng));
        let _watched = alive.send(input.clone()).is_ok();
        match catch_unwind(AssertUnwindSafe(|| work(&input))) {
            Ok(came) => {
                let mut hasher = DefaultHasher::new();
                came.hash(&mut hasher);
                if answers.insert(hasher.finish()) && corpus.len() < KEPT {
                    corpus.push(input);
                }
            }
            Err(panic) => {
                let mut hasher = DefaultHasher::new();
                input.hash(&mut hasher);
                let file = folder.join(format!("failed-{:016x}", hasher.finish()));
                let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, &input));
                eprintln!("fuzz {name}: seed {seed}, case {done} failed, {}: {kept:?}", file.display());
                eprintln!("{}", String::from_utf8_lossy(&input));
                std::panic::resume_unwind(panic);
            }
        }
        done += 1;
    }
    drop(alive);
    assert!(watch.join().is_ok());
    eprintln!(
        "fuzz {name}: seed {seed}, {done} cases in {:.1} s, {} kinds of answer, none failed",
        began.elapsed().as_secs_f64(),
        answers.len()
    );
}

/// Ends the process where one case takes too long: it cannot be stopped.
fn watch(cases: &std::sync::mpsc::Receiver<Vec<u8>>) {
    let mut last = Vec::new();
    loop {
        match cases.recv_timeout(HANGS) {
            Ok(input) => last = input,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("a case hangs: {last:?}");
                std::process::abort();
            }
        }
    }
}

fn asked(name: &str) -> Option<u64> {
    env::var_os(name)?.to_str()?.parse().ok()
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map_while(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// One of the inputs, changed in some places.
pub(crate) fn changed(corpus: &[Vec<u8>], rng: &mut SmallRng) -> Vec<u8> {
    let mut input = corpus.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=6) {
        let at = rng.random_range(0..=input.len());
        let longest = rng.random_range(1..=40);
        let end = (at + rng.random_range(0..=longest)).min(input.len());
        match rng.random_range(0..9) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => input[at] = rng.random(),
            2 => drop(input.splice(at..at, PIECES.choose(rng).copied().unwrap_or_default().to_vec())),
            3 => drop(input.splice(at..end, PIECES.choose(rng).copied().unwrap_or_default().to_vec())),
            4 => drop(input.drain(at..end)),
            5 => {
                let piece = input[at..end].repeat(rng.random_range(1..=4));
                drop(input.splice(at..at, piece));
            }
            6 => {
                let other = corpus.choose(rng).map(Vec::as_slice).unwrap_or_default();
                let from = rng.random_range(0..=other.len());
                let to = rng.random_range(from..=other.len());
                drop(input.splice(at..end, other[from..to].to_vec()));
            }
            7 => {
                let character = rng.random::<char>();
                drop(input.splice(at..at, character.to_string().into_bytes()));
            }
            _ => input.truncate(end.max(1)),
        }
    }
    input.truncate(LONGEST);
    input
}
