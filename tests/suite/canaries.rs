//! Secrets and personal data that are recognisable random strings, and a look for each of them wherever it must not be. Each look
//! is first seen to find what is known to be there.

mod ways_in;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::alarms::{Hook, command_that_notes};
use crate::server::{
    Answer, App, BINARY, Browser, SECOND_FACTOR, Server, Told, exchange, folder, printed, request, run,
};

/// Something that must not be found, with what it is.
struct Canary(String, Vec<u8>);

impl Canary {
    fn text(name: &str, text: &str) -> Canary {
        Canary(name.to_owned(), text.as_bytes().to_vec())
    }
}

/// Random letters, which nothing else holds.
fn letters(count: usize) -> String {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// The names of those that are found, in capitals or not.
fn found(canaries: &[Canary], bytes: &[u8]) -> Vec<String> {
    let canaries: Vec<(&str, Vec<u8>)> =
        canaries.iter().map(|Canary(name, what)| (name.as_str(), what.to_ascii_lowercase())).collect();
    // By how they begin: a file is long, and there are many of them.
    let mut begins = vec![Vec::new(); 1 << 16];
    for canary in &canaries {
        assert!(canary.1.len() >= 8, "a canary that is short is found by chance");
        begins[usize::from(u16::from_be_bytes([canary.1[0], canary.1[1]]))].push(canary);
    }
    let bytes = bytes.to_ascii_lowercase();
    let mut found: Vec<String> = Vec::new();
    for (at, two) in bytes.windows(2).enumerate() {
        let those = &begins[usize::from(u16::from_be_bytes([two[0], two[1]]))];
        found
            .extend(those.iter().filter(|(_, what)| bytes[at..].starts_with(what)).map(|(name, _)| (*name).to_owned()));
    }
    found.sort();
    found.dedup();
    found
}

fn nothing(canaries: &[Canary], bytes: &[u8], place: &str) {
    let found = found(canaries, bytes);
    assert!(found.is_empty(), "{place}: {found:?}: {}", String::from_utf8_lossy(bytes.get(..4000).unwrap_or(bytes)));
}

/// A store in which everything has happened, and what must not get out.
struct Aviary {
    server: Server,
    told: Told,
    hook: Hook,
    /// What the command for alarms was given.
    noted: PathBuf,
    stdout: tempfile::NamedTempFile,
    /// Of people who are written to.
    personal: Vec<Canary>,
    /// Of those who sign in: addresses, which the record and the store hold.
    staff: Vec<Canary>,
    /// What opens something.
    secrets: Vec<Canary>,
    manager: Browser,
    admin: Browser,
    number: String,
    reference: String,
    token: String,
    link: String,
}

/// A secret in hexadecimal, also as bytes.
fn both_forms(name: &str, hex: &str) -> [Canary; 2] {
    let bytes = (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16).unwrap()).collect();
    [Canary::text(name, hex), Canary(format!("{name} as bytes"), bytes)]
}

fn value(cookie: Option<&String>) -> &str {
    cookie.unwrap().split_once('=').unwrap().1
}

/// Runs a command that reads its input; gives its output and, from while it has read, what all may see of its process.
fn watched(arguments: &[&str], data: &Path, input: &str) -> (Output, Vec<u8>) {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    let seen = of_process(child.id());
    drop(stdin);
    (child.wait_with_output().unwrap(), seen)
}

/// What a process was started with.
fn of_process(pid: u32) -> Vec<u8> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}"));
    // Until it has been started there is nothing.
    while read("cmdline").unwrap().is_empty() || read("environ").is_ok_and(|environ| environ.is_empty()) {
        sleep(Duration::from_millis(1));
    }
    // Where only root may read with what it was started nobody is told.
    [read("cmdline").unwrap(), read("environ").unwrap_or_default()].concat()
}

#[expect(clippy::too_many_lines, reason = "everything has to have happened")]
fn aviary() -> Aviary {
    let (told, stdout) = (Told::listen(), tempfile::NamedTempFile::new().unwrap());
    let folder = folder();
    let data = folder.path().join("store");
    let mut command = told.command(None);
    command.env_remove(SECOND_FACTOR).stdout(stdout.reopen().unwrap()).env(SECOND_FACTOR, "all");
    let (hook, (alarmed, noted)) = (Hook::listen(0), command_that_notes(folder.path()));
    let webhook = format!("http://{}/", hook.at);
    let flags =
        ["--metrics-listen", "127.0.0.1:0", "--alarm-webhook", &webhook, "--alarm-command", alarmed.to_str().unwrap()];
    let more = [&["--log-level", "debug", "--log-format", "json", "--trusted-proxy", "127.0.0.1"], &flags[..]].concat();
    let mut server = Server::start_as(command, &data, &more);

    let own_token = format!("own-token-{}", letters(40));
    let token_file = folder.path().join("token");
    fs::write(&token_file, &own_token).unwrap();
    let from = token_file.to_str().unwrap();
    assert!(run(&["token", "add", "Own", "--from-file", from], &data).status.success());
    fs::remove_file(&token_file).unwrap();
    server.token = printed(&run(&["token", "add", "Made"], &data));

    let digits: String = letters(5).bytes().map(|letter| char::from(b'0' + letter % 10)).collect();
    let number = format!("07700 9{digits}");
    let (their_email, text, reference, broken) = (
        format!("resident-{}@example.com", letters(12)),
        format!("text-{}", letters(20)),
        format!("REF-2026-{}", letters(12)),
        format!("broken-{}", letters(20)),
    );
    for body in [
        format!(r#"{{"id": "m1", "reference": "{reference}", "to": "{number}", "status": "delivered"}}"#),
        format!(r#"{{"id": "m2", "to": "{their_email}", "status": "permanent-failure"}}"#),
        format!(r#"{{"id": "m3", "source_number": "44{}", "message": "{text}"}}"#, number[1..].replace(' ', "")),
        format!("{broken} {number}"),
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
        let with_own = format!("Authorization: Bearer {own_token}\r\n");
        assert_eq!(server.post_with("/callbacks/anything", &with_own, body.as_bytes()).status, 200);
    }
    let wrong_token = format!("wrong-token-{}", letters(40));
    let headers = format!("Authorization: Bearer {wrong_token}\r\nX-Forwarded-For: 203.0.113.77\r\n");
    assert_eq!(server.post_with(&format!("/callbacks?to={number}").replace(' ', ""), &headers, b"{}").status, 401);

    let mut secrets = vec![
        Canary::text("a token that was brought", &own_token),
        Canary::text("a token that was wrong", &wrong_token),
    ];
    secrets.extend(both_forms("a token that was made", &server.token));
    let mut staff = Vec::new();
    let mut browsers = Vec::new();
    for role in ["manager", "admin"] {
        let (email, password) = (format!("{role}-{}@example.gov.uk", letters(12)), format!("pass {}", letters(20)));
        let arguments = ["user", "add", &email, "--role", role, "--password-stdin"];
        let (added, seen) = watched(&arguments, &data, &password);
        assert!(added.status.success());
        nothing(&[Canary::text("a password", &password)], &seen, "the command that adds a person");
        let mut browser = Browser::new(server.at);
        for typed in [format!("{password} wrong"), password.clone()] {
            browser.post("/sign-in", &[("email", &email), ("password", &typed)]);
        }
        secrets.extend(both_forms("a sign-in half-way", value(browser.half.as_ref())));
        browser.post("/sign-in/set-up", &[("code", "000000")]);
        let App { key, recovery_codes } = browser.set_up_app();
        let key = key.replace(' ', "");
        let raw = totp_rs::Secret::try_from_base32(&key).unwrap().as_bytes().to_vec();
        secrets.extend([Canary::text("an app’s secret", &key), Canary("an app’s secret as bytes".into(), raw)]);
        for code in recovery_codes {
            secrets.extend([
                Canary::text("a recovery code", &code),
                Canary::text("a recovery code", &code.replace('-', "")),
            ]);
        }
        secrets.push(Canary::text("a password", &password));
        secrets.extend(both_forms("a session", value(browser.cookie.as_ref())));
        secrets.extend(both_forms("a known browser", value(browser.known_by.as_ref())));
        staff.push(Canary::text("an address that signs in", &email));
        browsers.push(browser);
    }
    let (admin, mut manager) = (browsers.pop().unwrap(), browsers.pop().unwrap());
    let new = format!("new-{}@example.gov.uk", letters(12));
    let link = printed(&run(&["user", "add", &new, "--role", "viewer", "--public-url", "http://localhost"], &data));
    secrets.extend(both_forms("a one-time link", link.rsplit('/').next().unwrap()));
    staff.push(Canary::text("an address that may sign in", &new));
    let typed = format!("typed-{}@example.gov.uk", letters(12));
    Browser::new(server.at).post("/sign-in", &[("email", &typed), ("password", "wrong")]);
    let mut personal = vec![
        Canary::text("an address that was typed", &typed),
        Canary::text("an address", &their_email),
        Canary::text("an address in an address", &their_email.replace('@', "%40")),
        Canary::text("a text", &text),
        Canary::text("what was not understood", &broken),
    ];
    for form in [number.clone(), number.replace(' ', ""), number[1..].replace(' ', ""), number.replace(' ', "+")] {
        personal.push(Canary::text("a number", &form));
    }
    for search in [number.as_str(), &their_email, &reference] {
        manager.search(search);
    }
    for path in
        ["/receipts", "/receipts/m1", "/messages", "/quarantine", "/quarantine/7", "/audit", "/account/sessions"]
    {
        assert_eq!(manager.get(path).status, 200, "{path}");
    }
    let (token, reference) = (server.token.clone(), reference);
    server.hold(folder);
    Aviary {
        server,
        told,
        hook,
        noted,
        stdout,
        personal,
        staff,
        secrets,
        manager,
        admin,
        number,
        reference,
        token,
        link,
    }
}

impl Aviary {
    fn all(&self) -> impl Iterator<Item = &[Canary]> {
        [self.personal.as_slice(), &self.staff, &self.secrets].into_iter()
    }
}

#[test]
fn no_log_no_process_and_no_news_to_systemd_holds_anything_personal_or_secret() {
    let mut aviary = aviary();
    let known = [Canary::text("where a wrong token came from", "203.0.113.77")];
    let log = aviary.server.log();
    assert_eq!(found(&known, log.as_bytes()).len(), 1, "the look finds what is there: {log}");
    let told = aviary.told.heard().concat();
    assert_eq!(found(&[Canary::text("news", "Taking callbacks.")], told.as_bytes()).len(), 1, "{told}");
    let metrics = exchange(aviary.server.metrics_at.unwrap(), &request("GET", "/metrics", "", b"")).text();
    assert!(metrics.contains("counterfoil_callbacks_total{") && log.contains("\"event\":\"callback.wrong_token\""));
    let mut alarms = String::new();
    while !(alarms.contains("wrong_token") && alarms.contains("quarantine")) {
        alarms += &aviary.hook.next().1;
    }
    while fs::read_to_string(&aviary.noted).unwrap_or_default().matches("END").count() < 2 {
        sleep(Duration::from_millis(20));
    }
    alarms += &fs::read_to_string(&aviary.noted).unwrap();
    let where_from = found(&known, [metrics.as_bytes(), alarms.as_bytes()].concat().as_slice());
    assert!(where_from.is_empty(), "whence it came leaves the machine nowhere");
    let process = of_process(aviary.server.pid());
    assert_eq!(found(&[Canary::text("a flag", "--trusted-proxy")], &process).len(), 1);
    for canaries in aviary.all() {
        nothing(canaries, log.as_bytes(), "the log");
        nothing(canaries, told.as_bytes(), "what systemd is told");
        nothing(canaries, metrics.as_bytes(), "the metrics");
        nothing(canaries, alarms.as_bytes(), "what alarms say");
        nothing(canaries, &process, "the process");
        nothing(canaries, &fs::read(aviary.stdout.path()).unwrap(), "standard output");
    }
    assert_eq!(found(&[Canary::text("a reference", &aviary.reference)], log.as_bytes()).len(), 0);
}

#[test]
fn what_all_may_see_of_a_command_holds_no_secret_that_it_reads() {
    let folder = folder();
    let secret = letters(40);
    let canary = [Canary::text("a secret", &secret)];
    let mut control = Command::new("sh")
        .args(["-c", "read line", &secret])
        .env("CANARY", &secret)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(found(&canary, &of_process(control.id())).len(), 1, "the look finds what is there");
    control.kill().unwrap();
    control.wait().unwrap();
    // A token's file that never ends, so that the command can be looked at while it reads.
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child = Command::new(BINARY)
        .args(["token", "add", "Own", "--from-file"])
        .arg(&pipe)
        .arg("--data")
        .arg(folder.path().join("store"))
        .spawn()
        .unwrap();
    let mut writes = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    writes.write_all(secret.as_bytes()).unwrap();
    nothing(&canary, &of_process(child.id()), "the command that takes a token");
    drop(writes);
    assert!(ended(child));
}

fn ended(mut child: Child) -> bool {
    child.wait().unwrap().success()
}

#[test]
fn no_file_of_the_store_and_no_backup_holds_a_secret_in_the_clear() {
    let aviary = aviary();
    let folder = folder();
    let backup = folder.path().join("backup.db");
    assert!(run(&["backup", backup.to_str().unwrap()], &aviary.server.data).status.success());
    let mut files = vec![backup];
    files.extend(fs::read_dir(&aviary.server.data).unwrap().map(|entry| entry.unwrap().path()));
    assert!(files.iter().any(|file| file.ends_with("counterfoil.db-wal")), "{files:?}");
    let mut known = 0;
    for file in files {
        let bytes = fs::read(&file).unwrap();
        nothing(&aviary.secrets, &bytes, &file.display().to_string());
        known += found(&aviary.personal, &bytes).len() + found(&aviary.staff, &bytes).len();
    }
    assert!(known >= 6, "personal data is what a store is there to hold, and the look finds it");
}

#[test]
fn no_page_of_a_problem_and_no_redirect_holds_anything_personal_or_secret() {
    let mut aviary = aviary();
    let number = aviary.number.clone();
    let without = number.replace(' ', "");
    let mut nobody = Browser::new(aviary.server.at);
    let at = aviary.server.at;
    let with_form = |path: &str, body: &[u8]| {
        let headers = "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        exchange(at, &request("POST", path, headers, body))
    };
    let link = aviary.link.rsplit('/').next().unwrap().to_owned();
    let token = aviary.token.clone();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mut answers = vec![
        (404, nobody.get(&format!("/{without}"))),
        (404, nobody.get(&format!("/receipts/{without}/{token}"))),
        (405, nobody.post(&format!("/receipts?q={without}"), &[("q", &number)])),
        (400, with_form("/sign-in", &[b"email=".as_slice(), without.as_bytes(), &[b'x'; 70_000]].concat())),
        (403, exchange(at, &request("POST", "/sign-in", "Sec-Fetch-Site: cross-site\r\n", without.as_bytes()))),
        (401, exchange(at, &request("POST", &format!("/callbacks?to={without}"), "", without.as_bytes()))),
        (405, exchange(at, &request("PUT", "/callbacks", &bearer, without.as_bytes()))),
        (413, exchange(at, &request("POST", "/callbacks", &bearer, &without.as_bytes().repeat(100_000)))),
        (404, aviary.manager.get(&format!("/receipts/{without}"))),
        (404, aviary.manager.get("/search/0123456789abcdef")),
        (403, aviary.manager.get("/alarms")),
        (303, nobody.get(&format!("/receipts?q={without}"))),
        (303, nobody.get(&format!("/receipts?q={}", number.replace(' ', "+")))),
        (303, aviary.manager.post("/search", &[("q", &number)])),
        (303, aviary.manager.post("/audit", &[("about", &number)])),
        (303, aviary.admin.post("/sign-out", &[])),
        (303, aviary.admin.get("/receipts")),
    ];
    let store = rusqlite::Connection::open(aviary.server.data.join("counterfoil.db")).unwrap();
    let never = "CREATE TRIGGER never BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'never'); END";
    store.execute_batch(never).unwrap();
    for path in ["/receipts/m1", "/messages", "/quarantine/7", "/receipts"] {
        answers.push((503, aviary.manager.get(path)));
    }
    store.execute_batch("DROP TRIGGER never").unwrap();
    let whole = |answer: &Answer| [answer.head.as_bytes(), &answer.body].concat();
    for (n, (status, answer)) in answers.iter().enumerate() {
        assert_eq!(answer.status, *status, "{n}: {}", answer.text());
        nothing(&aviary.personal, &whole(answer), &format!("answer {n}"));
        nothing(&aviary.secrets, &whole(answer), &format!("answer {n}"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "answer {n}");
    }
    // Who asks sees their own address in the menu, and nobody else does.
    for (n, (_, answer)) in answers.iter().take(8).enumerate() {
        nothing(&aviary.staff, &whole(answer), &format!("answer {n}"));
    }
    let page = whole(&aviary.manager.get("/receipts/m1"));
    assert!(!found(&aviary.personal, &page).is_empty(), "the look finds what is there");
    let leads = whole(&aviary.manager.post("/search", &[("q", &aviary.reference)]));
    assert_eq!(found(&[Canary::text("a reference", &aviary.reference)], &leads).len(), 1, "and in a Location");

    // The link is in the address of its page, which no other site learns.
    let page = nobody.get(&format!("/set-password/{link}"));
    assert_eq!((page.status, page.header("referrer-policy")), (200, Some("same-origin")));
    let own = page.header("content-security-policy").unwrap();
    assert!(own.contains("default-src 'none'") && !own.contains("http"), "it loads nothing from elsewhere: {own}");
}

/// What may not be seen by whom, by a process that runs as somebody without rights.
#[test]
fn no_core_is_dumped_of_the_server_and_no_process_of_its_user_reads_its_memory() {
    let folder = folder();
    let data = folder.path().join("store");
    let binary = folder.path().join("counterfoil");
    fs::copy(BINARY, &binary).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(&data).unwrap();
    let (mut command, mut control) = (Command::new(&binary), Command::new("sleep"));
    command.stdout(Stdio::null());
    control.arg("1000");
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let user = if root { 65_534 } else { fs::metadata("/proc/self").unwrap().uid() };
    if root {
        chown(&data, Some(user), Some(user)).unwrap();
        command.uid(user).gid(user);
        control.uid(user).gid(user);
    }
    let mut control = control.spawn().unwrap();
    let server = Server::start_as(command, &data, &[]);
    // What nobody but root may look into is root's.
    let owner = |pid: u32| fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
    while fs::read(format!("/proc/{}/cmdline", control.id())).unwrap().starts_with(b"sleep")
        && owner(control.id()) != user
    {
        sleep(Duration::from_millis(1));
    }
    assert_eq!((owner(control.id()), owner(server.pid())), (user, 0));
    control.kill().unwrap();
    control.wait().unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/counterfoil.service");
    assert!(fs::read_to_string(unit).unwrap().lines().any(|line| line == "LimitCORE=0"));
}
