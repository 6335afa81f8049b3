//! What stands in addresses, forms and cookies, and what is shown of any text, tried with bytes that nobody would send.

use http::{HeaderMap, HeaderValue, header};

use super::back::Back;
use super::plain_text::{Body, Piece, line, person, pieces, preview};
use super::request::Words;
use super::results::{href, id_of, written};
use super::sign_in::next;
use super::trail::Trail;
use crate::access::{Secret, refuse_cross_site};
use crate::fuzzing::fuzz;
use crate::notify::filter::Filter;

#[test]
fn fuzz_queries() {
    let seeds: [&[u8]; 6] = [
        b"q=HB-2026-004217&status=delivered&after=0-1234567&page=2",
        b"before=90.40.9223372036854775807",
        b"from=%2Freceipts%2Fother%3Ffrom%3D%252Freceipts",
        b"http://a.example/receipts?q=1",
        b"//evil.example/receipts",
        b"email=a%40b.example&password=three+random+words&next=%2F",
    ];
    fuzz("queries", 20_000, &seeds, |bytes| {
        let words = Words::parse(bytes);
        let trail = Trail::of(&words);
        let here = trail.here("/m");
        let again =
            here.split_once('?').map(|(_, query)| Trail::of(&Words::parse(query.as_bytes()))).unwrap_or_default();
        assert_eq!(again, trail, "a page's own address leads to it");
        let before = [trail.previous("/m"), trail.next("/m", trail.before())];
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("a.example"));
        if let Ok(referer) = HeaderValue::from_bytes(bytes) {
            headers.insert(header::REFERER, referer.clone());
            headers.insert(header::ORIGIN, referer);
        }
        let back = Back::of(&headers, &words, "/receipts/here", Back::to_inbox());
        let is_ours = back.href.starts_with('/') && !back.href.starts_with("//") && !back.href.contains('\\');
        assert!(is_ours && back.href.is_ascii(), "{}", back.href);
        let onward = back.onward("/receipts/here", "/receipts/there");
        assert!(onward.starts_with("/receipts/there?from="), "{onward}");
        let next = next(&words);
        assert!(next.starts_with('/') && !next.starts_with("//") && !next.contains('\\'), "{next}");
        assert!(HeaderValue::from_str(&next).is_ok(), "it goes into a header: {next}");
        let filter = words.get("status").and_then(Filter::of).map(Filter::value);
        let number = words.number("page").is_some();
        (back.words, before.map(|link| link.is_some()), filter, number, refuse_cross_site(&headers).is_ok())
    });
}

#[test]
fn fuzz_cookies() {
    let secret = Secret::random().unwrap().text();
    fuzz("cookies", 20_000, &[secret.as_bytes(), &[b'A'; 43], &[b'_'; 43]], |bytes| {
        let secret = Secret::parse(&String::from_utf8_lossy(bytes));
        if let Some(secret) = &secret {
            assert_eq!(Secret::parse(&secret.text()).map(|secret| secret.text()), Some(secret.text()));
            assert_eq!(secret.bytes().len(), 32);
        }
        secret.is_some()
    });
}

#[test]
fn fuzz_text() {
    let seeds: [&str; 6] = [
        "Dear Jo,\r\nyour appointment is at 2:15pm.",
        "ŵ 🚒 \u{202e}\u{200b}\u{200d}\0 x\u{301}",
        "Some.One@Example.com",
        "👩\u{200d}👩\u{200d}👧 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} 🇬🇧",
        "مرحبا \u{2067}שלום\u{2069} नमस्ते 你好",
        "2017-05-14T12:15:30.000000Z",
    ];
    fuzz("text", 20_000, &seeds.map(str::as_bytes), |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let hidden = |pieces: &[Piece]| pieces.iter().filter(|piece| matches!(piece, Piece::Hidden(_))).count();
        let shown = pieces(&text);
        for piece in &shown {
            if let Piece::Plain(plain) = piece {
                let is_seen = |character: char| !character.is_control() || matches!(character, '\n' | '\t');
                assert!(plain.chars().all(is_seen), "{plain:?}");
                assert!(!plain.contains(['\u{202e}', '\u{2067}', '\u{200b}', '\u{feff}']), "{plain:?}");
            }
        }
        assert!(!line(&text).contains(['\n', '\r', '\0']));
        let length = text.chars().count();
        for at_most in [1, 2, 10, 100] {
            let short = preview(&text, at_most);
            assert!(if length <= at_most { short == text } else { short.chars().count() <= at_most + 1 }, "{short:?}");
        }
        let address = href(&text);
        let part = address.strip_prefix("/receipts/").unwrap();
        assert!(address.is_ascii() && !matches!(part, "." | "..") && !part.contains(['/', '?', '#', ' ']), "{address}");
        assert_eq!(id_of(part).as_deref(), Some(text.as_str()));
        let _moment = written(&text);
        let body = Body::of(bytes);
        (hidden(&shown).min(4), hidden(&person(&text)).min(4), shown.len().min(9), body.cut.is_some())
    });
}
