//! The command line: what it makes, what it refuses and with which exit code, and that it works beside a running server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{BINARY, Browser, PASSWORD, Server, exchange, folder, printed, request, run, run_with_input};

const BODY: &[u8] = br#"{"id": "a", "status": "x"}"#;

fn status_with(server: &Server, token: &str) -> u16 {
    server.post_with("/callbacks", &format!("Authorization: Bearer {token}\r\n"), BODY).status
}

/// Runs serve where it cannot start; gives the exit code and what it said.
fn refused(data: &Path) -> (Option<i32>, String) {
    let output = run(&["serve", "--listen", "127.0.0.1:0"], data);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_store_is_made_for_its_owner_alone() {
    let server = Server::start();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.data), 0o700);
    let mut files: Vec<_> = fs::read_dir(&server.data).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn an_empty_folder_that_becomes_a_store_is_closed_to_others() {
    let folder = folder();
    let data = folder.path().join("open");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(run(&["token", "add", "Test service"], &data).status.success());
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_command_that_needs_a_store_makes_none() {
    let folder = folder();
    let data = folder.path().join("mistyped");
    let reset = ["user", "reset", "a@b.example"];
    for arguments in [["token", "list"].as_slice(), &["token", "revoke", "1"], &["user", "list"], &reset] {
        let output = run(arguments, &data);
        assert_eq!(output.status.code(), Some(18), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("holds no Counterfoil store. Check --data"));
    }
    assert!(!data.exists());
}

#[test]
fn who_may_not_look_into_a_folder_is_not_told_that_it_is_empty() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "the test of a folder that is closed to others needs root");
        eprintln!("\n*** NOT TRIED: a command of another user, because only root can be one ***\n");
        return;
    }
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (data, backup) = (folder.path().join("store"), folder.path().join("backup.db"));
    assert!(run(&["token", "add", "Test service"], &data).status.success());
    for arguments in [
        ["token", "list"].as_slice(),
        &["backup", backup.to_str().unwrap()],
        &["token", "add", "Other"],
        &["purge", "--older-than", "90d", "--yes"],
    ] {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--data").arg(&data).uid(65_534).gid(65_534);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(17), "{arguments:?}: {said}");
        assert!(said.contains("cannot be looked into: permission denied. Run it as root"), "{said}");
    }
}

#[test]
fn where_a_command_makes_a_store_it_says_so_and_promises_nothing() {
    let folder = folder();
    let said = |arguments: &[&str], data: &str| {
        let output = run(arguments, &folder.path().join(data));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let user = ["user", "add", "amelia@example.gov.uk", "--role", "admin"];
    for (arguments, data) in [(&["token", "add", "Housing"][..], "mistyped"), (&user, "mistyped-too")] {
        let words = said(arguments, data);
        assert!(words.contains("There was no store in") && words.contains("check --data"), "{words}");
        assert!(!words.contains("at once"), "{words}");
    }
    assert!(said(&["token", "add", "Housing"], "mistyped").contains("Notify can use it at once."));
}

#[test]
fn a_link_that_works_on_this_machine_alone_is_said_to() {
    let folder = folder();
    let said = |arguments: &[&str]| {
        let output = run(arguments, folder.path());
        assert!(output.status.success(), "{output:?}");
        (printed(&output), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (link, words) = said(&["user", "add", "amelia@example.gov.uk", "--role", "admin"]);
    assert!(link.starts_with("http://localhost:8080/") && words.contains("this machine alone. Give --public-url"));
    let (link, words) = said(&["user", "reset", "amelia@example.gov.uk", "--public-url", "https://a.example"]);
    assert!(link.starts_with("https://a.example/") && !words.contains("this machine alone"), "{words}");
}

#[test]
fn what_cannot_be_done_with_a_file_or_without_an_answer_is_said_with_the_way_out() {
    let server = Server::start();
    let file = server.data.with_file_name("there.json");
    fs::write(&file, "").unwrap();
    let said = |arguments: &[&str], input: &str| {
        let output = run_with_input(arguments, &server.data, input);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let to = file.to_str().unwrap();
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    for arguments in
        [&["subject", "export", "--number", "07700900123", "--to", to][..], &["quarantine", "save", "1", to]]
    {
        let (code, words) = said(arguments, "");
        assert!(code == 19 && words.contains("exists already. Name one that does not exist"), "{code} {words}");
    }
    let text = include_bytes!("../callbacks/text-international.json");
    assert_eq!(server.post("/callbacks/received-text-messages", text).status, 200);
    let number =
        serde_json::from_slice::<serde_json::Value>(text).unwrap()["source_number"].as_str().unwrap().to_owned();
    let (code, words) = said(&["subject", "erase", "--number", "-", "--reason", "test"], &number);
    let why = "nobody can be asked, because the number came from standard input. Add --yes";
    assert!(code == 1 && words.contains(why), "{code} {words}");
    let output = run(&["restore", "no-such-file"], &server.data.with_file_name("new"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("the backup no-such-file cannot be read") && words.contains("Check its name"), "{words}");
    assert!(run(&["purge", "--older-than", "90", "--dry-run"], &server.data).status.success());
    assert!(run(&["purge", "--older-than", "90d", "--dry-run"], &server.data).status.success());
    Server::start_with(&["--keep-receipts", "365d", "--keep-messages", "365"]);
}

/// A server that was started by hand, with the rest of its log.
fn started(mut command: Command) -> (std::process::Child, SocketAddr, impl Iterator<Item = String> + Send + 'static) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = log.find(|line| line.contains("listening on http://")).unwrap();
    let at = line.split_once("http://").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    (child, at, log)
}

#[test]
fn a_log_that_nobody_takes_loses_no_callback() {
    let folder = folder();
    let data = folder.path().join("store");
    let token = printed(&run(&["token", "add", "Test service"], &data));
    let mut command = Command::new(BINARY);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "debug", "--data"]).arg(&data);
    let (mut child, at, log) = started(command);
    drop(log);
    for body in [b"nonsense".as_slice(), BODY] {
        let headers = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(exchange(at, &request("POST", "/callbacks/odd", &headers, body)).status, 200);
    }
    assert_eq!(exchange(at, &request("POST", "/callbacks", "", BODY)).status, 401);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn where_files_may_not_grow_callbacks_are_refused_for_now_and_the_server_goes_on() {
    let folder = folder();
    let data = folder.path().join("store");
    let token = printed(&run(&["token", "add", "Test service"], &data));
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -f 2048; exec "$0" serve --listen 127.0.0.1:0 --data "$1""#, BINARY]).arg(&data);
    let (mut child, at, log) = started(command);
    std::thread::spawn(move || log.count());
    let headers = format!("Authorization: Bearer {token}\r\n");
    let posted = (0..40_u8).map(|n| exchange(at, &request("POST", "/callbacks", &headers, &vec![n; 100_000])).status);
    let statuses: Vec<u16> = posted.collect();
    assert_eq!(statuses.first(), Some(&200));
    assert!(statuses.contains(&503) && statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert_eq!(Browser::new(at).get("/sign-in").status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_address_is_announced_whatever_is_logged_and_only_that_of_the_pages() {
    let mut server = Server::start_with(&["--log-level", "error", "--callbacks-listen", "127.0.0.1:0"]);
    let log = server.log();
    assert_eq!(log.matches("listening on http://").count(), 1);
    assert!(log.contains(&format!("listening on http://{}", server.at)));
}

#[test]
fn a_token_that_nobody_got_to_see_is_revoked() {
    let folder = folder();
    let data = folder.path().join("store");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut add = Command::new(BINARY);
    let add = add.args(["token", "add", "Test service", "--data"]).arg(&data).stdout(full).output().unwrap();
    assert_eq!(add.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&add.stderr).contains("nothing can be written to standard output"));
    assert!(printed(&run(&["token", "list"], &data)).contains("revoked"));
}

#[test]
fn each_unusable_folder_is_refused_with_a_sentence_and_an_exit_code_of_its_own() {
    let folder = folder();
    let make = |name: &str, file: &str, bytes: &[u8]| {
        let data = folder.path().join(name);
        fs::create_dir(&data).unwrap();
        fs::write(data.join(file), bytes).unwrap();
        data
    };
    let sqlite = |name: &str, sql: &str| {
        let data = folder.path().join(name);
        assert!(run(&["token", "add", "Test service"], &data).status.success());
        rusqlite::Connection::open(data.join("counterfoil.db")).unwrap().execute_batch(sql).unwrap();
        data
    };
    let damaged = folder.path().join("damaged");
    assert!(run(&["token", "add", "Test service"], &damaged).status.success());
    let mut bytes = fs::read(damaged.join("counterfoil.db")).unwrap();
    let length = bytes.len();
    bytes[4096..length - 4096].fill(0xee);
    fs::write(damaged.join("counterfoil.db"), bytes).unwrap();
    let _log = fs::remove_file(damaged.join("counterfoil.db-wal")).is_ok();

    for (data, code, words) in [
        (make("other", "holiday.jpg", b"x"), 10, "holds holiday.jpg and no Counterfoil store"),
        (make("empty", "counterfoil.db", b""), 11, "is empty"),
        (damaged, 12, "is damaged"),
        (make("foreign", "counterfoil.db", b"a letter to my aunt"), 13, "is not a Counterfoil store"),
        (sqlite("theirs", "PRAGMA application_id = 7"), 13, "another program's database"),
        (sqlite("newer", "PRAGMA user_version = 9999"), 14, "of version 9999"),
    ] {
        let (found, said) = refused(&data);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let (code, said) = refused(&server.data);
    assert_eq!(code, Some(15), "{said}");
    assert_eq!(server.post("/callbacks", BODY).status, 200);
}

#[test]
fn a_stop_signal_finishes_checkpoints_and_exits_0() {
    for signal in ["-TERM", "-INT"] {
        let folder = folder();
        let data = folder.path().join("store");
        let token = printed(&run(&["token", "add", "Test service"], &data));
        let server = Server::start_in(&data, &[]);
        assert_eq!(status_with(&server, &token), 200);
        server.signal(signal);
        assert_eq!(server.ended(), Some(0), "{signal}");
        let log = fs::metadata(data.join("counterfoil.db-wal")).map_or(0, |log| log.len());
        assert_eq!(log, 0, "everything is in the one file");
        let again = Server::start_in(&data, &[]);
        assert_eq!(again.kept("a").len(), 1);
    }
}

#[test]
fn a_token_is_printed_alone_once_and_only_its_hash_is_kept() {
    let server = Server::start();
    let output = run(&["token", "add", "Housing"], &server.data);
    let token = printed(&output);
    assert!(token.len() == 64 && token.chars().all(|character| character.is_ascii_hexdigit()), "{token}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&token));
    assert_eq!(status_with(&server, &token), 200, "it works at once, beside the running server");
    for entry in fs::read_dir(&server.data).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));
    }
    let list = printed(&run(&["token", "list"], &server.data));
    assert!(list.contains("Housing") && !list.contains(&token), "{list}");
    let used = |name: &str| !list.lines().find(|line| line.contains(name)).unwrap().contains("never");
    assert!(used("Housing") && !used("Test service"), "it is known which token was used: {list}");
}

#[test]
fn several_tokens_of_one_service_are_valid_at_once_until_one_is_revoked() {
    let server = Server::start();
    let id = "3ab28edc-5d6b-4a2e-9f3e-0a1b2c3d4e5f";
    let one = printed(&run(&["token", "add", "Housing", "--notify-service-id", id], &server.data));
    let two = printed(&run(&["token", "add", "Housing"], &server.data));
    assert_eq!((status_with(&server, &one), status_with(&server, &two)), (200, 200));
    // The server's own token is 1.
    assert!(run(&["token", "revoke", "2", "--now"], &server.data).status.success());
    let since = Instant::now();
    while status_with(&server, &one) != 401 {
        assert!(since.elapsed() < Duration::from_secs(30), "a revoked token is refused soon");
    }
    assert_eq!(status_with(&server, &two), 200);
    assert!(printed(&run(&["token", "list"], &server.data)).contains("revoked"));
    assert!(!run(&["token", "revoke", "99"], &server.data).status.success());
}

#[test]
fn a_token_of_ones_own_comes_from_a_file_and_is_compared_as_bytes() {
    let server = Server::start();
    let file = server.data.with_file_name("token");
    let arguments = ["token", "add", "Parking", "--from-file", file.to_str().unwrap()];
    let marked = "\u{feff}a token behind a byte order mark, long enough\n";
    for unusable in ["too short\n", " begins with a space, 32 characters\n", "", marked] {
        fs::write(&file, unusable).unwrap();
        assert_eq!(run(&arguments, &server.data).status.code(), Some(1), "{unusable}");
    }
    let token = "a token with spaces and a £ sign in it, long enough";
    fs::write(&file, format!("{token}\n")).unwrap();
    let output = run(&arguments, &server.data);
    assert_eq!(printed(&output), "", "it is known already");
    assert_eq!(status_with(&server, token), 200);
    // Python's requests writes header text in Latin-1.
    let mut sent = b"POST /callbacks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ".to_vec();
    sent.extend(token.chars().map(|character| u8::try_from(u32::from(character)).unwrap()));
    sent.extend(format!("\r\nContent-Length: {}\r\n\r\n", BODY.len()).bytes());
    sent.extend(BODY);
    assert_eq!(exchange(server.at, &sent).status, 200);
}

#[test]
fn without_a_token_of_its_own_a_callback_is_refused_where_there_is_none_at_all() {
    let folder = folder();
    let server = Server::start_in(&folder.path().join("store"), &[]);
    assert_eq!(server.post_with("/callbacks", "", BODY).status, 401);
    assert_eq!(server.post_with("/callbacks", "Authorization: Bearer \r\n", BODY).status, 401);
}

#[test]
fn the_service_stands_on_what_its_token_brings() {
    let server = Server::start();
    let mut caseworker = server.signed_in("caseworker");
    assert_eq!(server.post("/callbacks", BODY).status, 200);
    assert!(caseworker.get("/receipts/a").text().contains("Test service"));
}

#[test]
fn a_person_sets_a_password_on_a_link_that_works_once() {
    let server = Server::start();
    let reached = format!("http://{}", server.at);
    let added =
        run(&["user", "add", "Amelia@example.gov.uk", "--role", "caseworker", "--public-url", &reached], &server.data);
    let link = printed(&added);
    let path = link.strip_prefix(&reached).unwrap().to_owned();
    let mut browser = Browser::new(server.at);
    assert!(browser.get(&path).text().contains("amelia@example.gov.uk"));
    assert!(browser.post(&path, &[("password", "short")]).text().contains("Password must be at least 10 characters"));
    assert_eq!(browser.post(&path, &[("password", PASSWORD)]).status, 303);
    assert_eq!(browser.get("/receipts").status, 200, "the person is signed in");
    assert!(Browser::new(server.at).get(&path).text().contains("This link no longer works"));
    let form = [("email", "AMELIA@example.gov.uk "), ("password", PASSWORD)];
    assert_eq!(Browser::new(server.at).post("/sign-in", &form).status, 303);
    assert!(!run(&["user", "add", "amelia@example.gov.uk", "--role", "admin"], &server.data).status.success());
}

#[test]
fn a_disabled_person_is_out_at_once_and_comes_back_when_enabled() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let email = "caseworker@example.gov.uk";
    assert!(run(&["user", "disable", email], &server.data).status.success());
    assert_eq!(browser.get("/receipts").status, 303);
    let form = [("email", email), ("password", PASSWORD)];
    assert_eq!(Browser::new(server.at).post("/sign-in", &form).status, 200, "and may not sign in");
    assert!(printed(&run(&["user", "list"], &server.data)).contains("disabled"));
    assert!(run(&["user", "enable", email], &server.data).status.success());
    assert_eq!(Browser::new(server.at).post("/sign-in", &form).status, 303);

    let mut browser = Browser::new(server.at);
    browser.post("/sign-in", &form);
    let link = printed(&run(&["user", "reset", email], &server.data));
    let path = link.strip_prefix("http://localhost:8080").unwrap();
    let form = [("password", "another three words")];
    assert_eq!(Browser::new(server.at).post(path, &form).status, 303);
    assert_eq!(browser.get("/receipts").status, 303, "a new password ends the sessions of the old one");
}

#[test]
fn what_root_runs_leaves_every_file_to_the_folders_owner() {
    let folder = folder();
    let owner = 65534;
    let data = folder.path().join("store");
    fs::create_dir(&data).unwrap();
    if std::os::unix::fs::chown(&data, Some(owner), Some(owner)).is_err() {
        eprintln!("\n*** NOT TESTED: what root leaves behind, because this is not root ***\n");
        return;
    }
    let files_are_the_owners = || {
        for file in fs::read_dir(&data).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().uid(), owner, "{}", file.path().display());
        }
    };
    assert!(run(&["token", "add", "Housing"], &data).status.success());
    files_are_the_owners();
    let server = Server::start_in(&data, &[]);
    let added =
        run_with_input(&["user", "add", "a@example.org", "--role", "admin", "--password-stdin"], &data, PASSWORD);
    assert!(added.status.success());
    files_are_the_owners();
    drop(server);
}

#[test]
fn roles_and_addresses_that_are_none_are_refused_with_a_sentence() {
    let folder = folder();
    let data = folder.path().join("store");
    assert!(!run(&["user", "add", "a@example.org", "--role", "boss"], &data).status.success());
    let output = run_with_input(&["user", "add", "nobody", "--role", "admin", "--password-stdin"], &data, PASSWORD);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not an email address"));
    assert!(run(&["user", "add", "b@example.org", "--role", "admin"], &data).status.success());
    assert_eq!(run(&["user", "disable", "a@example.org"], &data).status.code(), Some(1));
}

#[test]
fn a_listener_for_callbacks_serves_nothing_else() {
    let server = Server::start_with(&["--callbacks-listen", "127.0.0.1:0"]);
    let at = server.callbacks_at.unwrap();
    for path in ["/", "/sign-in", "/receipts", "/assets/app.css", "/callbacks"] {
        let answer = exchange(at, &request("GET", path, "", b""));
        assert_eq!((answer.status, answer.body.len()), (405, 0), "{path}");
    }
    assert_eq!(exchange(at, &request("POST", "/sign-in", "", b"email=a&password=b")).status, 401);
}

#[test]
fn flags_stand_in_the_environment_too() {
    let folder = folder();
    let mut child = Command::new(BINARY)
        .arg("serve")
        .env("COUNTERFOIL_DATA", folder.path().join("store"))
        .env("COUNTERFOIL_LISTEN", "127.0.0.1:0,127.0.0.1:0")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let listening = lines.map(Result::unwrap).filter(|line| line.contains("listening on http://")).take(2).count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(listening, 2);
}

#[test]
fn send_tells_what_was_acknowledged_and_fails_when_something_was_lost() {
    let server = Server::start();
    let folder = server.data.parent().unwrap();
    let (token, acks) = (folder.join("token"), folder.join("acks"));
    let send = |what: &str, url: &str| {
        Command::new(BINARY)
            .args(["send", what, "--url", url, "--count", "50", "--retry-after", "0", "--seed", "3"])
            .args(["--token-file", token.to_str().unwrap(), "--acks", acks.to_str().unwrap()])
            .output()
            .unwrap()
    };
    fs::write(&token, &server.token).unwrap();
    let url = format!("http://{}", server.at);
    for what in ["receipts", "texts", "letters", "complaints", "mixed"] {
        let done = send(what, &url);
        assert!(done.status.success());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("50 acknowledged, 0 retried, 0 lost"), "{said}");
        assert_eq!(fs::read_to_string(&acks).unwrap().lines().count(), 50);
    }
    fs::write(&token, "a token that this server does not know").unwrap();
    let refused = send("receipts", &url);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("50 callbacks were lost"));
    let nobody = send("receipts", "http://127.0.0.1:1");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("0 acknowledged, 250 retried, 50 lost"));
}

#[test]
fn the_demo_takes_no_store_that_is_in_use() {
    let server = Server::start();
    let demo = Command::new(BINARY).args(["demo", "--keep"]).arg(&server.data).output().unwrap();
    assert_eq!(demo.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&demo.stderr).contains("holds a store already"));
}

#[test]
fn the_demo_shows_everything_and_leaves_nothing_behind() {
    let folder = folder();
    let mut demo = Command::new(BINARY)
        .arg("demo")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut after = |word: &str| {
        let line = lines.find(|line| line.trim_start().starts_with(word)).unwrap();
        line.trim_start().strip_prefix(word).unwrap().trim().to_owned()
    };
    let (address, email, password) = (after("Open"), after("Email"), after("Password"));
    let reference = after("Search for").split(',').next().unwrap().to_owned();
    let mut browser = Browser::new(address.strip_prefix("http://").unwrap().parse().unwrap());
    assert_eq!(browser.post("/sign-in", &[("email", &email), ("password", &password)]).status, 303);
    let (_, results) = browser.search(&reference);
    assert!(results.text().contains(&reference));
    assert!(browser.get("/messages").text().contains("447700900"));
    assert!(Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap().success());
    assert!(demo.wait().unwrap().success());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_persons_address_is_read_from_standard_input_where_a_dash_stands_for_it() {
    let folder = folder();
    let data = folder.path().join("store");
    let add = ["user", "add", "-", "--role", "viewer", "--password-stdin"];
    printed(&run_with_input(&add, &data, &format!("jo@example.gov.uk\n{PASSWORD}\n")));
    assert!(printed(&run(&["user", "list"], &data)).contains("enabled"));
    printed(&run_with_input(&["user", "disable", "-"], &data, "jo@example.gov.uk\n"));
    let list = printed(&run(&["user", "list"], &data));
    assert!(list.contains("jo@example.gov.uk") && list.contains("disabled"), "{list}");
}
