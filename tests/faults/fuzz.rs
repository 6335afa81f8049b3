//! The whole server, and a restore, tried with bytes that nobody would send. What is posted with a valid token is kept, whatever else
//! stands in the request; no request makes a page fail; a backup that is damaged makes no store and leaves no folder.

use std::fs;
use std::io::Write;
use std::str::FromStr as _;

use counterfoil::store::{Progress, restore};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::fuzzing::{changed, fuzz};
use crate::server::{Server, exchange, folder, request, run};

const RECEIPT: &[u8] = include_bytes!("../callbacks/receipt-sms-delivered.json");
const TEXT: &[u8] = include_bytes!("../callbacks/text-emoji-newline.json");
const LETTER: &[u8] = include_bytes!("../callbacks/returned-letter.json");

/// Bytes as they may stand in a target. Notify's library writes any other in percent.
fn target(bytes: &[u8]) -> String {
    let may = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%?".contains(byte);
    bytes.iter().filter(may).map(|byte| char::from(*byte)).collect()
}

/// Bytes as they may stand in the value of a header.
fn value(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, 0..=8 | 10..=31 | 127)).collect()
}

/// The parts of an input, which stand between lines.
fn parts(bytes: &[u8]) -> [&[u8]; 3] {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[test]
fn fuzz_callbacks_over_the_wire() {
    let server = Server::start();
    let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    let count = |query: &str| store.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    // What came twice counts in a row of quarantine, and a callback that came twice is one row.
    let counts = || count("SELECT (SELECT count(*) FROM callbacks) + (SELECT count(*) FROM quarantine)");
    let seeds = [RECEIPT, TEXT, LETTER].map(|body| [b"/delivery-receipts\n00-0af7-01\n".as_slice(), body].concat());
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz("callbacks", 1500, &seeds, |bytes| {
        let [path, header, body] = parts(bytes);
        let mut headers = format!("Authorization: Bearer {}\r\nContent-Type: ", server.token).into_bytes();
        headers.extend_from_slice(&value(header));
        headers.extend_from_slice(b"\r\nCookie: ");
        headers.extend_from_slice(&value(path));
        headers.extend_from_slice(b"\r\n");
        let head = request("POST", &format!("/callbacks{}", target(path)), "", body);
        let (head, _) = head.split_at(head.len() - body.len() - 2);
        let before = counts();
        let answer = exchange(server.at, &[head, &headers, b"\r\n", body].concat());
        assert_eq!((answer.status, answer.body.len()), (200, 0), "it is acknowledged: {}", answer.head);
        assert!(answer.header("location").is_none() && answer.header("set-cookie").is_none());
        counts() > before
    });
    let kept = counts();
    assert!(kept > 100, "{kept} are kept");
}

#[test]
fn fuzz_pages_over_the_wire() {
    let mut server = Server::start();
    for body in [RECEIPT, TEXT, LETTER, b"nonsense"] {
        assert_eq!(server.post("/callbacks", body).status, 200);
    }
    let manager = server.signed_in("manager");
    let cookie = manager.headers();
    let seeds: [&[u8]; 8] = [
        b"/receipts\nq=HB-1&status=delivered&after=0-1234567&page=2\n",
        b"/messages\nbefore=9.5&from=%2Freceipts\n",
        b"/quarantine/1/bytes\n\n",
        b"/receipts/740e5834-3a29-46b4-9a6f-16142fde533a\nfrom=%2Fmessages\n",
        b"/search/0a1b\npage=2\nq=07700+900123&next=1",
        b"/search\n\nq=someone%40example.com",
        b"/sign-in\nnext=%2F\nemail=a%40b.example&password=x&next=%2Freceipts",
        b"/set-password/x\n\npassword=three+random+words",
    ];
    fuzz("pages", 1500, &seeds, |bytes| {
        let [path, query, form] = parts(bytes);
        let (path, query) = (target(path).replace('?', ""), target(query));
        let to = format!("/{}?{query}", path.trim_start_matches('/'));
        let kind = "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let odd = String::from_utf8_lossy(&value(query.as_bytes())).into_owned();
        let headers = format!("{cookie}{kind}Cookie: {odd}\r\nReferer: http://localhost/{odd}\r\n");
        let method = if form.is_empty() { "GET" } else { "POST" };
        let answer = exchange(server.at, &request(method, &to, &headers, form));
        assert!(!matches!(answer.status, 0 | 500..), "{} {}", answer.head, answer.text());
        answer.status
    });
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn fuzz_whole_requests() {
    let mut server = Server::start();
    let whole = include_bytes!("../callbacks/a-whole-request.http");
    let closes = b"POST /callbacks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    fuzz("requests", 1000, &[whole, closes, b"GET /receipts HTTP/1.1\r\n\r\n"], |bytes| {
        // What is not whole is waited for: the end of the stream says that no more comes.
        let mut stream = std::net::TcpStream::connect(server.at).unwrap();
        let _sent = stream.write_all(bytes).is_ok() && stream.shutdown(std::net::Shutdown::Write).is_ok();
        let mut answer = Vec::new();
        let _closed = std::io::Read::read_to_end(&mut stream, &mut answer).is_ok();
        let status = answer.get(9..12).map(<[u8]>::to_vec);
        // Nobody knows a token here.
        assert!(!matches!(status.as_deref(), Some(b"500")), "{}", String::from_utf8_lossy(&answer));
        status
    });
    assert_eq!(server.post("/callbacks", RECEIPT).status, 200, "it goes on");
    assert!(!server.log().contains("panicked"));
}

#[test]
fn fuzz_backups() {
    let folder = folder();
    let (data, identity) = (folder.path().join("store"), folder.path().join("identity"));
    let secret = age::x25519::Identity::generate();
    fs::write(&identity, age::secrecy::ExposeSecret::expose_secret(&secret.to_string())).unwrap();
    let server = Server::start_in(&data, &[]);
    for n in 0..30 {
        let made = run(&["token", "add", &format!("Service {n}")], &data);
        assert!(made.status.success());
    }
    let recipient = secret.to_public().to_string();
    assert!(counterfoil::store::Recipient::from_str(&recipient).is_ok());
    let (plain, sealed) = (folder.path().join("plain"), folder.path().join("sealed"));
    for (to, more) in [(&plain, vec![]), (&sealed, vec!["--encrypt-to", recipient.as_str()])] {
        let arguments = [vec!["backup", to.to_str().unwrap()], more].concat();
        let made = run(&arguments, &data);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    drop(server);
    let backups = [fs::read(&plain).unwrap(), fs::read(&sealed).unwrap()];
    let (damaged, new) = (folder.path().join("damaged"), folder.path().join("new"));
    // The input says what is changed: a backup is longer than an input may be.
    fuzz("backups", 150, &[b"00000000", b"11111111", b"age-encryption.org/v1\n"], |bytes| {
        let seed = bytes.iter().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        let mut rng = SmallRng::seed_from_u64(seed);
        let whole = &backups[usize::from(rng.random_bool(0.5))];
        // Mostly in its head, where there is something to be read.
        let head = if rng.random_bool(0.7) { whole.len().min(600) } else { whole.len() };
        let at = rng.random_range(0..head);
        let end = (at + 100).min(whole.len());
        let piece = changed(&[whole[at..end].to_vec()], &mut rng);
        let changed = [&whole[..at], &piece, &whole[end..]].concat();
        fs::write(&damaged, &changed).unwrap();
        let restored = restore(&damaged, Some(&identity), None, &new, &Progress::default());
        match &restored {
            Ok(_) => fs::remove_dir_all(&new).unwrap(),
            Err(error) => assert!(!new.exists() && !error.to_string().is_empty(), "the folder is as it was"),
        }
        restored.map_err(|error| std::mem::discriminant(&error)).is_ok()
    });
}
