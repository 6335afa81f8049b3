//! All that pages say, in one list for whoever translates it: `docs/words.pot`. It is read out of the source, and made again by
//! `cargo test --test suite words_for -- --ignored`.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Where what pages and files say stands, beside the templates and the script.
const SAID_IN: [&str; 13] = [
    "src/access/password.rs",
    "src/access/webauthn.rs",
    "src/disclosure.rs",
    "src/flagging.rs",
    "src/notify.rs",
    "src/notify/filter.rs",
    "src/notify/medium.rs",
    "src/notify/reason.rs",
    "src/notify/status",
    "src/notify/status.rs",
    "src/store/alarms.rs",
    "src/store/record.rs",
    "src/web",
];
/// What is in them and shown to nobody.
const SAYS_NOTHING: [&str; 2] = ["src/web/assets.rs", "src/web/fuzz.rs"];
/// Single words, which look as names do that nobody sees.
const SINGLE: [(&str, &str); 8] = [
    ("src/web/keeping.rs", "forever"),
    ("src/web/keeping.rs", "receipts"),
    ("src/web/receipts.rs", "result"),
    ("src/web/receipts.rs", "results"),
    ("src/web/second_step.rs", "second"),
    ("src/web/second_step.rs", "seconds"),
    ("src/web/uk_time.rs", "midday"),
    ("src/web/uk_time.rs", "midnight"),
];
/// Calls whose words go to the log, to a header or to whoever reads the source.
const NOT_SHOWN: [&str; 6] = ["tracing::", "assert", "debug_assert", "expect", "write_str", "HeaderValue::"];
/// Marks of words for the store.
const FOR_THE_STORE: [&str; 6] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", " = ?", " AND "];
/// Attributes that are read out or shown.
const READ_OUT: [&str; 5] = ["alt", "aria-label", "data-label", "placeholder", "title"];
/// What stands inside a sentence, in a template.
const INLINE: [&str; 9] = ["a", "abbr", "bdi", "code", "em", "mark", "span", "strong", "time"];
/// What writes a value into a sentence, in a template.
const WRITES_A_VALUE: [&str; 5] = ["body", "moment", "person", "pieces", "text"];

/// Askama's marks, once they are told apart from the HTML around them: a value, and where a sentence may end.
const VALUE: char = '\u{1}';
const VALUE_ENDS: char = '\u{2}';
const CUT: char = '\u{3}';

/// A text, and the files that it stands in.
type Words = Vec<(String, Vec<String>)>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a path that end so, or the file itself, in order.
fn files(below: &str, ending: &str) -> Vec<String> {
    let path = root().join(below);
    if path.is_file() {
        return vec![below.to_owned()];
    }
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| format!("{below}/{}", entry.unwrap().file_name().into_string().unwrap()))
        .collect();
    names.sort();
    names
        .into_iter()
        .filter(|name| name.ends_with(ending) || !name.contains('.'))
        .flat_map(|name| files(&name, ending))
        .collect()
}

/// All texts, in the order of the files, each once.
pub(crate) fn all() -> Words {
    let code = SAID_IN.iter().flat_map(|path| files(path, ".rs"));
    let code = code.filter(|file| !SAYS_NOTHING.contains(&file.as_str()) && !file.ends_with("tests.rs"));
    let mut words = Words::new();
    let mut at = HashMap::new();
    for file in code.chain(files("static", ".js")).chain(files("templates", ".html")) {
        if file.starts_with("static/node_modules") {
            continue;
        }
        let source = fs::read_to_string(root().join(&file)).unwrap();
        let is_template = Path::new(&file).extension().is_some_and(|ending| ending == "html");
        let found = if is_template { in_template(&source) } else { in_code(&source) };
        let single = SINGLE.iter().filter(|(place, _)| *place == file).map(|(_, word)| {
            assert!(source.contains(&format!("\"{word}\"")), "{file} no longer says ‘{word}’: take it out of SINGLE");
            (*word).to_owned()
        });
        for text in found.into_iter().chain(single) {
            let index = *at.entry(text.clone()).or_insert(words.len());
            if index == words.len() {
                words.push((text, Vec::new()));
            }
            let places = &mut words[index].1;
            if !places.contains(&file) {
                places.push(file.clone());
            }
        }
    }
    words
}

/// Whether a text is words for people: more than one, or one that begins as a sentence does.
fn is_for_people(text: &str) -> bool {
    if FOR_THE_STORE.iter().any(|mark| text.contains(mark)) || text.starts_with(['.', '/', '<', '[']) {
        return false;
    }
    // Names of classes, and what a header says.
    if text.split_whitespace().all(|word| word.starts_with("app-") || word.starts_with("govuk-"))
        || text.contains("=()")
    {
        return false;
    }
    let mut depth = 0_i32;
    let spoken: String = text
        .chars()
        .map(|character| {
            depth += i32::from(character == '{') - i32::from(character == '}');
            if depth > 0 || matches!(character, '{' | '}') { ' ' } else { character }
        })
        .collect();
    let spoken = spoken.trim();
    let is_written = spoken.chars().any(char::is_lowercase) && spoken.chars().filter(|c| c.is_alphabetic()).count() > 1;
    let several = spoken.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count() > 1;
    let is_name = spoken.contains(['/', '=', ';', '_', '<', '#']) || spoken.contains("::");
    is_written
        && (several && !spoken.contains("; ") && !spoken.contains("(?")
            || spoken.starts_with(char::is_uppercase) && !is_name)
}

/// The words for people in Rust, but for its tests, or in a script.
fn in_code(code: &str) -> Vec<String> {
    let code: Vec<char> = code.split("mod tests {").next().unwrap().chars().collect();
    let starts = |at: usize, text: &str| text.chars().enumerate().all(|(n, c)| code.get(at + n) == Some(&c));
    let (mut found, mut calls, mut name) = (Vec::new(), Vec::<String>::new(), String::new());
    let mut at = 0;
    while let Some(&character) = code.get(at) {
        if starts(at, "//") {
            at += code[at..].iter().take_while(|c| **c != '\n').count();
            continue;
        }
        let is_name = character.is_alphanumeric() || matches!(character, '_' | ':' | '!');
        if character == '"' || character == '`' {
            let hashes = code[..at].iter().rev().take_while(|c| **c == '#').count();
            let raw = (hashes > 0 || name.trim_start_matches('b') == "r").then_some(hashes);
            let (text, end) = literal(&code, at, raw);
            let is_shown = !calls.iter().any(|call| NOT_SHOWN.iter().any(|other| call.starts_with(other)));
            if is_shown && is_for_people(&text) {
                found.push(text.trim().to_owned());
            }
            // What a script puts into a text may be words too.
            if character == '`' {
                let put: String = code[at + 1..end].iter().collect();
                found.extend(put.split("${").skip(1).flat_map(in_code));
            }
            at = end + 1;
            name.clear();
            continue;
        }
        // A character, and no lifetime.
        if character == '\'' {
            let escaped = code.get(at + 1) == Some(&'\\');
            let end = (at + 2 + usize::from(escaped)..at + 12).find(|end| code.get(*end) == Some(&'\''));
            at = end.filter(|end| escaped || *end == at + 2).unwrap_or(at);
        }
        match character {
            '(' | '[' | '{' => calls.push(std::mem::take(&mut name)),
            ')' | ']' | '}' => {
                calls.pop();
                name.clear();
            }
            _ if is_name => name.push(character),
            _ => name.clear(),
        }
        at += 1;
    }
    found
}

/// The text that begins with the quotation mark there, and where it ends; `raw` is how many hashes stand around it where nothing
/// in it is escaped.
fn literal(code: &[char], from: usize, raw: Option<usize>) -> (String, usize) {
    let hashes = raw.unwrap_or(0);
    let (mut text, mut at, mut depth) = (String::new(), from + 1, 0);
    while let Some(&character) = code.get(at) {
        match character {
            '\\' if raw.is_none() => {
                at += 1;
                match code.get(at) {
                    Some('\n') => at += code[at + 1..].iter().take_while(|c| c.is_whitespace()).count(),
                    Some('n') => text.push('\n'),
                    Some(other) => text.push(*other),
                    None => (),
                }
            }
            '$' if code[from] == '`' && code.get(at + 1) == Some(&'{') => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                text.push('}');
            }
            '"' | '`'
                if depth == 0
                    && character == code[from]
                    && code[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes =>
            {
                return (text, at);
            }
            other => text.push(other),
        }
        at += 1;
    }
    (text, at)
}

/// The words for people in a template: its text, what is read out of its tags, and what it hands on.
fn in_template(template: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut marked = String::new();
    let mut rest = template;
    while let Some((at, end)) = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
        .into_iter()
        .filter_map(|(begin, end)| Some((rest.find(begin)?, end)))
        .min()
    {
        marked += &rest[..at];
        let inside = &rest[at + 2..at + rest[at..].find(end).unwrap()];
        rest = &rest[at + inside.len() + 4..];
        if end != "#}" {
            found.extend(in_code(inside));
        }
        let call = inside.trim().strip_prefix("call ").map(|call| call.split_once('(').unwrap());
        let value = match call {
            _ if end == "}}" => Some(inside.trim()),
            Some((name, of)) if WRITES_A_VALUE.contains(&name.rsplit("::").next().unwrap()) => {
                of.rsplit_once(')').map(|of| of.0)
            }
            _ => None,
        };
        match value {
            Some(value) => marked.extend([&VALUE.to_string(), value, &VALUE_ENDS.to_string()]),
            None if inside.trim() == "endcall" => (),
            None => marked.push(CUT),
        }
    }
    marked += rest;
    found.extend(in_html(&marked));
    found
}

fn in_html(marked: &str) -> Vec<String> {
    let (mut found, mut sentence) = (Vec::new(), String::new());
    let end_sentence = |sentence: &mut String, found: &mut Vec<String>| {
        let whole = std::mem::take(sentence);
        found.extend(whole.split(CUT).map(tidied).filter(|text| has_letters(text)));
    };
    let mut rest = marked;
    while let Some((text, tag)) = rest.split_once('<') {
        sentence += text;
        let (tag, after) = tag.split_once('>').unwrap();
        rest = after;
        let name: String = tag.chars().skip_while(|c| *c == '/').take_while(|c| c.is_alphanumeric()).collect();
        if INLINE.contains(&name.as_str()) {
            let _ = write!(sentence, "<{}{name}>", if tag.starts_with('/') { "/" } else { "" });
        } else {
            end_sentence(&mut sentence, &mut found);
        }
        for attribute in READ_OUT {
            let value = tag.split(&format!(" {attribute}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            found.extend(
                value.into_iter().flat_map(|value| value.split(CUT)).map(tidied).filter(|text| has_letters(text)),
            );
        }
    }
    sentence += rest;
    end_sentence(&mut sentence, &mut found);
    found
}

/// On one line, with values in braces and without the tags that hold nothing or all of it.
fn tidied(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text = text.replace(VALUE, "{").replace(VALUE_ENDS, "}").replace("&nbsp;", " ");
    loop {
        let before = text.len();
        for name in INLINE {
            let (open, close) = (format!("<{name}>"), format!("</{name}>"));
            text = String::from(text.replace(&format!("{open}{close}"), "").trim());
            let (opens, closes) = (text.matches(&open).count(), text.matches(&close).count());
            let whole = text.strip_prefix(&open).and_then(|rest| rest.strip_suffix(&close));
            if let Some(inside) = whole.filter(|_| opens == 1 && closes == 1) {
                text = inside.trim().to_owned();
            } else if opens != closes {
                // The other half stands behind a cut.
                text = String::from(text.replace(&open, "").replace(&close, "").trim());
            }
        }
        if text.len() == before {
            return text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
}

/// Whether there is anything to translate in it.
fn has_letters(text: &str) -> bool {
    if text.starts_with("__Host-") {
        return false;
    }
    let outside = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after));
    let outside =
        outside.flat_map(|part| part.split('<').map(|part| part.split_once('>').map_or(part, |(_, after)| after)));
    outside.into_iter().flat_map(str::chars).filter(|c| c.is_alphabetic()).count() > 1
}

/// The list in the form that translators' tools read.
fn list() -> String {
    let mut list = String::from(
        "# All that Counterfoil's pages and files say. Made from the source, so change nothing here: docs/translating.md says more.\n\
         msgid \"\"\nmsgstr \"\"\n\"MIME-Version: 1.0\\n\"\n\"Content-Type: text/plain; charset=UTF-8\\n\"\n\"Language: en\\n\"\n",
    );
    for (text, places) in all() {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(list, "\n#: {}\nmsgid \"{text}\"\nmsgstr \"\"\n", places.join(" "));
    }
    list
}

#[test]
#[ignore = "it writes into docs/"]
fn the_list_of_words_for_translators_is_made() {
    fs::write(root().join("docs/words.pot"), list()).unwrap();
}

#[test]
fn the_list_of_words_for_translators_holds_what_the_source_says() {
    let (kept, made) = (fs::read_to_string(root().join("docs/words.pot")).unwrap_or_default(), list());
    let differs = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(kept == made, "run cargo test --test suite words_for -- --ignored, and keep what it writes: {differs:?}");
}

/// The words of four letters and more.
fn single(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 3);
    // Keys and codes are none.
    let words = words.filter(|word| word.chars().any(char::is_lowercase));
    words.map(str::to_lowercase)
}

/// Holds that all a page says stands in the list, or in what was sent to it.
pub(crate) fn stand_in_the_list(path: &str, page: &str, listed: &BTreeSet<String>) {
    let said = page.split("<script").map(|part| part.rsplit("</script>").next().unwrap());
    let said: String = said
        .flat_map(|part| part.split('<'))
        .map(|part| part.split_once('>').map_or("", |(_, text)| text))
        .fold(String::new(), |said, text| {
            said + " "
                + &text
                    .replace("&#38;", "&")
                    .replace("&#39;", "’")
                    .replace("&#60;", " ")
                    .replace("&#62;", " ")
                    .replace("&nbsp;", " ")
        });
    for word in single(&said) {
        assert!(
            listed.contains(&word),
            "{path} says ‘{word}’, which no text of docs/words.pot has: add its file to SAID_IN"
        );
    }
}

/// The single words of the list and of what is no text of ours.
pub(crate) fn listed(beside: &str) -> BTreeSet<String> {
    let words = all();
    assert!(words.len() > 700, "{}", words.len());
    words.iter().flat_map(|(text, _)| single(text)).chain(single(beside)).collect()
}

#[test]
fn words_are_found_where_they_stand() {
    let code = r#"
        // Not this one.
        fn say<'a>(n: &'a str) -> String {
            tracing::warn!(event = "page.failed", "a page could not be shown");
            let mark = '"';
            let two = ["Text message", "no-store", "Delivered", "to the end \
                of it"];
            format!("{n} results for ‘{}’", n)
        }
        mod tests { const NOT: &str = "Not this"; }
    "#;
    assert_eq!(in_code(code), ["Text message", "Delivered", "to the end of it", "{n} results for ‘{}’"]);
    assert_eq!(in_code("r#\"Raw \"words\"\"#"), ["Raw \"words\""]);
    assert_eq!(
        in_code("x = `In ${n === 1 ? \"less than 1 minute\" : n}.`"),
        ["In {n === 1 ? \"less than 1 minute\" : n}.", "less than 1 minute"]
    );
    let template = r#"{# no #}<p class="govuk-body">You came <a href="{{ to }}">at {% call say::moment(when) %}{% endcall %}</a>.</p>
        {% if a > b %}<h2>Twice</h2>{% endif %}<td data-label="Sent to">{{ x }}</td>{% call say::back("Back to results") %}{% endcall %}"#;
    let said = ["Back to results", "You came <a>at {when}</a>.", "Twice", "Sent to"];
    assert_eq!(in_template(template), said);
}
