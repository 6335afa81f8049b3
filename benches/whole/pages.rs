//! Whole pages, as a signed-in caseworker asks for them: how long each took, and how many were not shown.

use std::io::{Error, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use counterfoil::notify::filter::Filter;

use crate::filled::{EMAIL, PASSWORD};
use crate::machine::quantile;
use crate::sample::{CALLS, Sample};

/// Pages that are not counted before those that are.
const WARMING: usize = 5;
/// What is looked for in texts.
const WORDS: [&str; 4] = ["appointment", "cancel my appointment", "thank you", "new number"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Page {
    Reference,
    Newest,
    Inbox,
    Number,
    Email,
    Failed,
    Conversation,
    Receipt,
    /// A page that asks the store for nothing but who is signed in.
    Help,
    Words,
    Begins,
    Between,
    NotDealtWith,
    FailedForGood,
    AskedToStop,
    Arrivals,
}

impl Page {
    pub(crate) const ALL: [Page; 8] = [
        Page::Newest,
        Page::Reference,
        Page::Number,
        Page::Email,
        Page::Failed,
        Page::Inbox,
        Page::Conversation,
        Page::Receipt,
    ];

    /// What a team has open all day, the page without a query first.
    pub(crate) const DESK: [Page; 16] = [
        Page::Help,
        Page::Newest,
        Page::Reference,
        Page::Begins,
        Page::Number,
        Page::Email,
        Page::Words,
        Page::Failed,
        Page::Between,
        Page::Receipt,
        Page::Inbox,
        Page::NotDealtWith,
        Page::Conversation,
        Page::FailedForGood,
        Page::AskedToStop,
        Page::Arrivals,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Page::Reference => "reference search",
            Page::Newest => "newest first",
            Page::Inbox => "the inbox",
            Page::Number => "number search",
            Page::Email => "email address search",
            Page::Failed => "what was not delivered",
            Page::Conversation => "a conversation",
            Page::Receipt => "a receipt",
            Page::Help => "a page without a query",
            Page::Words => "words of a text",
            Page::Begins => "the beginning of a reference",
            Page::Between => "between two dates",
            Page::NotDealtWith => "the inbox, not dealt with",
            Page::FailedForGood => "contacts that failed for good",
            Page::AskedToStop => "contacts that asked to stop",
            Page::Arrivals => "what the script asks every few seconds",
        }
    }

    /// Opens the `n`th of these pages; the milliseconds until it was there, or `None` where something else was answered.
    pub(crate) fn open(self, caseworker: &Caseworker, sample: &Sample, n: usize) -> Option<f64> {
        let nth = |of: &'_ [String]| of[n % of.len()].clone();
        match self {
            Page::Newest => caseworker.open("/receipts"),
            Page::Inbox => caseworker.open("/messages"),
            Page::Failed => caseworker.open(&format!("/receipts?status={}", Filter::NotDelivered.value())),
            Page::Conversation => caseworker.open(&format!("/messages/{}", nth(&sample.conversations))),
            Page::Receipt => caseworker.open(&format!("/receipts/{}", nth(&sample.ids))),
            Page::Reference => {
                let q = nth(&sample.references);
                let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", &q).finish();
                caseworker.open(&format!("/receipts?{query}"))
            }
            Page::Help => caseworker.open("/help/statuses"),
            Page::Words => caseworker.search(WORDS[n % WORDS.len()]),
            Page::Begins => {
                let whole = nth(&sample.references);
                caseworker.open(&format!("/receipts?q={}", &whole[..whole.len() - 2]))
            }
            Page::Between => {
                let year = 2008 + n % 16;
                let day = |name, day| format!("{name}-day={day}&{name}-month=3&{name}-year={year}");
                caseworker.open(&format!("/receipts?{}&{}", day("earliest", 1), day("latest", 31)))
            }
            Page::NotDealtWith => caseworker.open("/messages?show=open"),
            Page::FailedForGood => caseworker.open("/contacts/failed"),
            Page::AskedToStop => caseworker.open("/contacts/asked-to-stop"),
            Page::Arrivals => caseworker.open("/arrivals"),
            Page::Number => caseworker.search(&nth(&sample.numbers)),
            Page::Email => caseworker.search(&nth(&sample.emails)),
        }
    }
}

/// 99 in 100 of a kind of page were there within so many milliseconds.
pub(crate) struct Opened {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) not_shown: u64,
}

/// Opens many of a kind, one after another.
pub(crate) fn many(page: Page, caseworker: &Caseworker, sample: &Sample) -> Opened {
    for n in 0..WARMING {
        page.open(caseworker, sample, CALLS / 2 + n);
    }
    let times: Vec<Option<f64>> = (0..CALLS).map(|n| page.open(caseworker, sample, n)).collect();
    let shown: Vec<f64> = times.iter().copied().flatten().collect();
    let (p50, p99) = (quantile(&shown, 0.5), quantile(&shown, 0.99));
    Opened { p50, p99, not_shown: (times.len() - shown.len()) as u64 }
}

/// Somebody who has signed in.
pub(crate) struct Caseworker {
    address: String,
    cookie: String,
}

impl Caseworker {
    pub(crate) fn sign_in(address: &str) -> Caseworker {
        let signed_out = Caseworker { address: address.to_owned(), cookie: String::new() };
        let answer = signed_out.post("/sign-in", &[("email", EMAIL), ("password", PASSWORD)]).unwrap();
        let cookie = header(&answer, "set-cookie").expect("the sign-in works");
        Caseworker { cookie: cookie.split(';').next().unwrap().to_owned(), ..signed_out }
    }

    /// The milliseconds that a page took.
    fn open(&self, path: &str) -> Option<f64> {
        let began = Instant::now();
        let shown = self.get(path).is_ok_and(|answer| is_shown(&answer));
        shown.then(|| began.elapsed().as_secs_f64() * 1e3)
    }

    /// The milliseconds of a search for a person, who stands in no address: the form is sent, the answer says where the page is,
    /// and the page is asked for.
    fn search(&self, typed: &str) -> Option<f64> {
        let began = Instant::now();
        let answer = self.post("/search", &[("q", typed)]).ok()?;
        let place = header(&answer, "location")?;
        let shown = self.get(place).is_ok_and(|answer| is_shown(&answer));
        shown.then(|| began.elapsed().as_secs_f64() * 1e3)
    }

    fn get(&self, path: &str) -> Result<String, Error> {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {}\r\n\r\n", self.cookie);
        exchange(&self.address, head.as_bytes())
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<String, Error> {
        let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.cookie,
            form.len()
        );
        exchange(&self.address, request.as_bytes())
    }
}

fn is_shown(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && (answer.contains("</html>") || answer.ends_with('}'))
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let line = answer.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.strip_prefix(": "))
}

/// One request on a connection of its own.
pub(crate) fn exchange(address: &str, request: &[u8]) -> Result<String, Error> {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://"))?;
    stream.set_nodelay(true)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
