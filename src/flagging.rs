//! What a received text message may need somebody to look at: a list of phrases, and how a text is held against it. It hides nothing
//! and decides nothing; it says what to look at first.

use std::collections::HashSet;

use crate::notify::words;

/// The list that a new store begins with.
pub const SHIPPED: &str = include_str!("flagging/shipped.txt");
/// Lines that a list may have.
pub const LINES: usize = 2000;
/// Characters that a line of it may have.
pub const LINE: usize = 200;
/// Words that a gap stands for at most.
const GAP: usize = 3;
/// A shorter word is taken only as it is written.
const SLIPS_FROM: usize = 4;

/// Why somebody should look at a text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Flag {
    /// It suggests danger to someone.
    Danger,
    /// Whoever wrote it wants no more messages.
    Stop,
    /// It came from somebody whom the messages are not for.
    WrongPerson,
}

impl Flag {
    /// All of them, the most urgent first.
    pub const ALL: [Flag; 3] = [Flag::Danger, Flag::Stop, Flag::WrongPerson];

    /// Its name in lists, addresses and the store.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Flag::Danger => "danger",
            Flag::Stop => "stop",
            Flag::WrongPerson => "wrong-person",
        }
    }

    /// The flag of that name.
    #[must_use]
    pub fn of(value: &str) -> Option<Flag> {
        Flag::ALL.into_iter().find(|flag| flag.value() == value)
    }

    /// What people read.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Flag::Danger => "Possible danger",
            Flag::Stop => "Asks to stop",
            Flag::WrongPerson => "Possibly wrong person",
        }
    }
}

/// Why a text is flagged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    /// What for.
    pub flag: Flag,
    /// The words of the text that the list has, in lower case and without accents.
    pub said: String,
}

/// What is wrong with a list, and in which line, from 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadList {
    /// A heading that is none.
    #[error("Line {0} must be one of [danger], [stop], [wrong-person] or [around]")]
    Heading(usize),
    /// Nothing says what the phrase is for.
    #[error("Line {0} must stand below a heading, such as [stop]")]
    NoHeading(usize),
    /// It would be found everywhere or nowhere.
    #[error("Line {0} must have at least one whole word, and no gap at its beginning or end")]
    NoWords(usize),
    /// It is no phrase.
    #[error("Line {0} must be {LINE} characters or fewer")]
    TooLong(usize),
    /// There is too much of it.
    #[error("The list must have 2,000 lines or fewer")]
    TooMany,
}

impl BadList {
    /// The line that cannot be understood, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            BadList::Heading(line) | BadList::NoHeading(line) | BadList::NoWords(line) | BadList::TooLong(line) => {
                Some(*line)
            }
            BadList::TooMany => None,
        }
    }
}

/// Phrases, and what each is a sign of.
#[derive(Clone, Debug, Default)]
pub struct FlagList {
    phrases: Vec<Phrase>,
    /// What may stand before and behind a phrase that is the whole text.
    around: HashSet<String>,
}

#[derive(Clone, Debug)]
struct Phrase {
    flag: Flag,
    /// Whether the text must say nothing else. A slip of the pen is then forgiven.
    is_whole: bool,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
enum Slot {
    /// Any of these words.
    Word(Vec<Pattern>),
    /// Nothing, or a few words.
    Gap,
}

#[derive(Clone, Debug)]
struct Pattern {
    word: String,
    /// Whether a longer word that begins so is meant too.
    begins: bool,
}

impl FlagList {
    /// Reads a list: a heading such as `[stop]`, then a phrase a line. `=` before a phrase: the text says nothing else but what stands
    /// below `[around]`. `/` between words: any of them. `*` behind a word: also longer words that begin so; alone: up to three words.
    /// `#` begins a remark.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn read(list: &str) -> Result<FlagList, BadList> {
        let mut read = FlagList::default();
        let mut heading: Option<Option<Flag>> = None;
        for (line, number) in list.lines().zip(1..) {
            if number > LINES {
                return Err(BadList::TooMany);
            }
            if line.chars().count() > LINE {
                return Err(BadList::TooLong(number));
            }
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let name = name.strip_suffix(']').unwrap_or_default();
                let flag = (name != "around").then(|| Flag::of(name).ok_or(BadList::Heading(number))).transpose()?;
                heading = Some(flag);
                continue;
            }
            match heading.ok_or(BadList::NoHeading(number))? {
                None => read.around.extend(words::of(line)),
                Some(flag) => read.phrases.push(Phrase::read(flag, line).ok_or(BadList::NoWords(number))?),
            }
        }
        Ok(read)
    }

    /// What of the list is found in a text: for each flag the first phrase, the most urgent flag first.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Hit> {
        let said = said(text);
        let core = self.core(&said);
        let hit = |flag| {
            let mut phrases = self.phrases.iter().filter(|phrase| phrase.flag == flag);
            let said = phrases.find_map(|phrase| phrase.within(&said, core))?;
            Some(Hit { flag, said })
        };
        Flag::ALL.into_iter().filter_map(hit).collect()
    }

    /// The words without what may stand around them.
    fn core<'a>(&self, mut said: &'a [String]) -> &'a [String] {
        while let [first, rest @ ..] = said
            && self.around.contains(first)
        {
            said = rest;
        }
        while let [rest @ .., last] = said
            && self.around.contains(last)
        {
            said = rest;
        }
        said
    }
}

impl Phrase {
    fn read(flag: Flag, line: &str) -> Option<Phrase> {
        let (is_whole, line) = line.strip_prefix('=').map_or((false, line), |rest| (true, rest));
        let slots = line.split_whitespace().map(Slot::read).collect::<Option<Vec<_>>>()?;
        let ends = |slot: Option<&Slot>| matches!(slot, Some(Slot::Word(_)));
        (ends(slots.first()) && ends(slots.last())).then_some(Phrase { flag, is_whole, slots })
    }

    /// The words that it is found in.
    fn within(&self, said: &[String], core: &[String]) -> Option<String> {
        if self.is_whole {
            return (length(&self.slots, core, true) == Some(core.len())).then(|| core.join(" "));
        }
        (0..said.len()).find_map(|from| {
            let rest = said.get(from..)?;
            Some(rest.get(..length(&self.slots, rest, false)?)?.join(" "))
        })
    }
}

impl Slot {
    fn read(written: &str) -> Option<Slot> {
        if written == "*" {
            return Some(Slot::Gap);
        }
        let pattern = |written: &str| {
            let mut read = words::of(written);
            let word = read.next().filter(|_| read.next().is_none())?;
            Some(Pattern { word, begins: written.ends_with('*') })
        };
        written.split('/').map(pattern).collect::<Option<Vec<_>>>().map(Slot::Word)
    }
}

/// How many of the words the slots take from the first on; `None` where they do not fit.
fn length(slots: &[Slot], words: &[String], forgiving: bool) -> Option<usize> {
    match slots {
        [] => Some(0),
        [Slot::Gap, rest @ ..] => {
            (0..=GAP.min(words.len())).find_map(|gap| Some(gap + length(rest, words.get(gap..)?, forgiving)?))
        }
        [Slot::Word(patterns), rest @ ..] => {
            let (first, behind) = words.split_first()?;
            let meant = patterns.iter().any(|pattern| pattern.means(first, forgiving));
            meant.then(|| Some(1 + length(rest, behind, forgiving)?))?
        }
    }
}

impl Pattern {
    fn means(&self, word: &str, forgiving: bool) -> bool {
        word == self.word
            || (self.begins && word.starts_with(&self.word))
            || (forgiving && self.word.chars().count() >= SLIPS_FROM && is_one_slip(&self.word, word))
    }
}

/// The words of a text as they are held against the list: `s t o p`, `STOOOP` and `st0p` are read as they are meant.
fn said(text: &str) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    let mut letters = String::new();
    for word in words::of(text).map(|word| plain(&word)) {
        if word.chars().count() == 1 && word.chars().all(char::is_alphabetic) {
            letters.push_str(&word);
            continue;
        }
        spelled(&mut said, &mut letters);
        said.push(word);
    }
    spelled(&mut said, &mut letters);
    said
}

/// Single letters in a row: a word where they are enough.
fn spelled(said: &mut Vec<String>, letters: &mut String) {
    if letters.chars().count() > 2 {
        said.push(std::mem::take(letters));
    } else {
        said.extend(letters.drain(..).map(String::from));
    }
}

/// Without letters that stand three times or more, and with letters for digits where both stand in a word.
fn plain(word: &str) -> String {
    let is_mixed = word.chars().any(char::is_alphabetic) && word.starts_with(char::is_alphabetic);
    let letter = |character| match character {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        other => other,
    };
    let word: Vec<char> = word.chars().map(|character| if is_mixed { letter(character) } else { character }).collect();
    let runs = word.chunk_by(|one, next| one == next && one.is_alphabetic());
    runs.flat_map(|run| if run.len() > 2 { run.get(..1).unwrap_or(run) } else { run }).collect()
}

/// Whether one letter was left out, put in, changed or swapped with its neighbour.
fn is_one_slip(meant: &str, written: &str) -> bool {
    let (meant, written): (Vec<char>, Vec<char>) = (meant.chars().collect(), written.chars().collect());
    let same = meant.iter().zip(&written).take_while(|(meant, written)| meant == written).count();
    let tail = |word: &'_ [char], skipped: usize| word.get(same + skipped..).unwrap_or_default().to_vec();
    let swapped = meant.get(same) == written.get(same + 1) && meant.get(same + 1) == written.get(same);
    tail(&meant, 1) == tail(&written, 1) && meant.len() == written.len()
        || tail(&meant, 0) == tail(&written, 1) && meant.len() + 1 == written.len()
        || tail(&meant, 1) == tail(&written, 0) && meant.len() == written.len() + 1
        || swapped && same + 1 < meant.len() && tail(&meant, 2) == tail(&written, 2)
}

#[cfg(test)]
mod tests;
