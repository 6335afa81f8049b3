//! What the documents say of the program is so: their links lead somewhere, their commands and flags exist, and whatever wants a person
//! has its row in `docs/operations.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use counterfoil::store::AlarmSort;

use crate::layers::sources;
use crate::server::BINARY;

/// Flags of the benchmark, of which CONTRIBUTING.md tells.
const OF_THE_BENCHMARK: [&str; 2] = ["--only", "--write"];

/// Each command with its flags, by the words that call it; the program itself by none.
type Commands = BTreeMap<String, BTreeSet<String>>;

/// The documents in the first folder and in `docs`.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = [root.to_owned(), root.join("docs")].map(|folder| fs::read_dir(folder).unwrap());
    let files = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// A document's lines outside of blocks of code, and those inside, each with the lines that go on from it.
fn prose_and_blocks(page: &str) -> (String, Vec<String>) {
    let (mut prose, mut blocks, mut line, mut in_block) = (String::new(), Vec::new(), String::new(), false);
    for text in page.lines() {
        if text.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            prose.push_str(text);
            prose.push('\n');
        } else if let Some(part) = text.strip_suffix('\\') {
            line.push_str(part);
        } else {
            blocks.push(std::mem::take(&mut line) + text);
        }
    }
    (prose, blocks)
}

/// Where links and pictures lead.
fn links(prose: &str) -> Vec<&str> {
    let around = [("](", ')'), ("src=\"", '"'), ("href=\"", '"')];
    let found = around.into_iter().flat_map(|(before, after)| {
        prose.split(before).skip(1).filter_map(move |rest| rest.split_once(after)).map(|(link, _)| link)
    });
    found.collect()
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect::<String>().to_lowercase()
}

fn is_flag(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
}

fn flags(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-').filter(|word| is_flag(word))
}

/// Learns from what a command says of itself, and of those below it.
fn learn(words: &[&str], commands: &mut Commands) {
    let output = Command::new(BINARY).args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let own = help.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(|line| flags(line).next());
    commands.insert(words.join(" "), own.map(str::to_owned).collect());
    let below = help.split_once("\nCommands:\n").map_or("", |(_, below)| below);
    for line in below.lines().take_while(|line| !line.is_empty()) {
        // What goes on from the line before stands further in.
        let name = line.strip_prefix("  ").and_then(|line| line.split(' ').next()).unwrap_or_default();
        if !name.is_empty() && name != "help" {
            learn(&[words, &[name]].concat(), commands);
        }
    }
}

/// What is wrong with a piece of code in a document, where it calls the program. It does where its first word is the program's name or a
/// flag; what begins with another word is another program's.
fn wrong_in(code: &str, commands: &Commands) -> Option<String> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let words = match words.as_slice() {
        ["counterfoil", words @ ..] => words,
        [first, ..] if is_flag(first) => &[],
        _ => return None,
    };
    let named = (0..=words.len()).rev().map(|many| words[..many].join(" ")).find(|name| commands.contains_key(name))?;
    let is_verb = |word: &&&str| word.chars().all(|character| character.is_ascii_lowercase() || character == '-');
    if named.is_empty()
        && let Some(verb) = words.first().filter(is_verb).filter(|verb| **verb != "help" && !verb.starts_with('-'))
    {
        return Some((*verb).to_owned());
    }
    // Of a command that stands for those below it, any of theirs will do.
    let is_below = |name: &str| named.is_empty() || name == named || name.starts_with(&format!("{named} "));
    let known = |flag: &str| commands.iter().any(|(name, flags)| is_below(name) && flags.contains(flag));
    flags(code).find(|flag| !known(flag) && !OF_THE_BENCHMARK.contains(flag)).map(str::to_owned)
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading_that_exist() {
    let mut followed = 0;
    for (file, page) in documents() {
        let (prose, _) = prose_and_blocks(&page);
        for link in links(&prose).into_iter().filter(|link| !link.contains("://")) {
            let (to, heading) = link.split_once('#').map_or((link, None), |(to, heading)| (to, Some(heading)));
            let to = if to.is_empty() { file.clone() } else { file.parent().unwrap().join(to) };
            assert!(to.exists(), "{}: there is no {link}", file.display());
            let is_there = |heading: &str| {
                let (prose, _) = prose_and_blocks(&fs::read_to_string(&to).unwrap());
                prose.lines().any(|line| line.starts_with('#') && anchor(line) == heading)
            };
            assert!(heading.is_none_or(is_there), "{}: there is no heading {link}", file.display());
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed}");
}

#[test]
fn every_command_and_flag_that_the_documents_name_exists() {
    let mut commands = Commands::new();
    learn(&[], &mut commands);
    // No help lists it: it is for who makes the documents.
    learn(&["manual"], &mut commands);
    assert!(commands.len() > 30, "{commands:?}");
    for (code, wrong) in [
        ("counterfoil serve --older-than 3", Some("--older-than")),
        ("counterfoil subject --number -", None),
        ("counterfoil remember --data DIR", Some("remember")),
        ("--no-such-flag", Some("--no-such-flag")),
        ("cargo run --release", None),
    ] {
        assert_eq!(wrong_in(code, &commands).as_deref(), wrong, "{code}");
    }
    for (file, page) in documents() {
        let (prose, blocks) = prose_and_blocks(&page);
        let spans = prose.split('`').skip(1).step_by(2);
        for code in blocks.iter().map(String::as_str).chain(spans).flat_map(|code| code.split('|')) {
            assert_eq!(wrong_in(code, &commands), None, "{}: {code}", file.display());
        }
    }
}

#[test]
fn for_every_error_in_the_log_and_every_alarm_the_operations_page_says_what_to_do() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let sources = sources();
    let errors = sources.iter().flat_map(|source| source.code.split("tracing::error!(").skip(1));
    let events =
        errors.map(|error| error.split_once("event = \"").and_then(|(_, event)| event.split_once('"')).unwrap().0);
    let events: BTreeSet<&str> = events.collect();
    assert!(events.len() > 30, "{events:?}");
    let untold: Vec<&str> = events.into_iter().filter(|event| !page.contains(&format!("`{event}`"))).collect();
    assert!(untold.is_empty(), "what is to be done at {untold:?}?");
    for sort in AlarmSort::ALL {
        assert!(page.contains(&format!("alarm `{}`", sort.as_str())), "what is to be done at the alarm {sort:?}?");
    }
}
