//! `counterfoil doctor`: each set-up that is broken is named for what is wrong with it, and a good one is called good and left as it was.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::notify_api::{Fails, NotifyApi, SENT};
use crate::server::{BINARY, Server, folder, printed, run, run_with_input};
use crate::tls::Authority;

/// What doctor says of a set-up.
struct Said {
    code: i32,
    findings: Vec<[String; 3]>,
    error: String,
}

impl Said {
    /// Whether something was found of a thing.
    fn has(&self, check: &str, state: &str, words: &str) -> bool {
        self.findings.iter().any(|[name, stands, found]| name == check && stands == state && found.contains(words))
    }

    #[track_caller]
    fn bad(&self, check: &str, words: &str) {
        assert!(self.has(check, "bad", words), "{check}: {words}: {:#?}", self.findings);
        assert_eq!(self.code, 1, "{}", self.error);
    }

    #[track_caller]
    fn warning(&self, check: &str, words: &str) {
        assert!(self.has(check, "warning", words), "{check}: {words}: {:#?}", self.findings);
    }

    #[track_caller]
    fn good(&self, check: &str) {
        let of = || self.findings.iter().filter(|[name, ..]| name == check);
        assert!(of().count() > 0 && of().all(|[_, state, _]| state == "good"), "{check}: {:#?}", self.findings);
    }
}

fn doctor(data: Option<&Path>, more: &[&str]) -> Said {
    let mut command = Command::new(BINARY);
    command.args(["doctor", "--json"]).args(more);
    if let Some(data) = data {
        command.arg("--data").arg(data);
    }
    said(command.stdin(Stdio::null()).output().unwrap())
}

fn said(output: Output) -> Said {
    let error = String::from_utf8(output.stderr).unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings: Vec<_> = all["findings"].as_array().unwrap().iter().collect();
    for finding in &findings {
        assert_eq!(
            finding["state"] == "good",
            finding.get("do").is_none(),
            "what is not good says what to do: {finding}"
        );
    }
    let findings = findings.into_iter().map(|finding| ["check", "state", "found"].map(|name| text(finding, name)));
    Said { code: output.status.code().unwrap(), findings: findings.collect(), error }
}

/// The flags for a server that runs in a test.
fn at(server: &Server, more: &[&str]) -> Vec<String> {
    let own = [
        "--listen".to_owned(),
        server.at.to_string(),
        "--url".to_owned(),
        format!("http://localhost:{}", server.at.port()),
    ];
    own.into_iter().chain(more.iter().map(|&flag| flag.to_owned())).collect()
}

fn of(server: &Server, more: &[&str]) -> Said {
    let flags = at(server, more);
    doctor(Some(&server.data), &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A server with somebody who may sign in.
fn well() -> Server {
    let server = Server::start_with(&["--metrics-listen", "127.0.0.1:0", "--callbacks-listen", "127.0.0.1:0"]);
    server.add_person("admin");
    server
}

/// A store that no server runs on.
fn alone(data: &Path) {
    run(&["token", "add", "Test service"], data);
    run_with_input(
        &["user", "add", "admin@example.gov.uk", "--role", "admin", "--password-stdin"],
        data,
        crate::server::PASSWORD,
    );
}

#[test]
fn a_server_that_is_well_is_called_so_and_nothing_stays_of_the_test_callbacks() {
    let (authority, files) = (Authority::new(), folder());
    let (chain, key) = authority.pair("localhost", 60);
    let file = |name: &str, text: &str| {
        let file = files.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (chain, key, root) = (file("chain.pem", &chain), file("key.pem", &key), file("root.pem", &authority.root));
    let backups = folder();
    let tls = ["--tls-cert", &chain, "--tls-key", &key, "--backup-to", backups.path().to_str().unwrap()];
    let mut server = Server::start_with(
        &[&tls[..], &["--metrics-listen", "127.0.0.1:0", "--callbacks-listen", "127.0.0.1:0"]].concat(),
    );
    server.add_person("admin");
    let until = Instant::now() + Duration::from_mins(1);
    while fs::read_dir(backups.path()).unwrap().count() == 0 {
        assert!(Instant::now() < until, "no backup is made");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (listen, url) = (server.at.to_string(), format!("https://localhost:{}", server.at.port()));
    let [metrics, callbacks] = [server.metrics_at, server.callbacks_at].map(|at| at.unwrap().to_string());
    let flags = [
        "--listen",
        &listen,
        "--url",
        &url,
        "--url-ca",
        &root,
        "--metrics-listen",
        &metrics,
        "--callbacks-listen",
        &callbacks,
    ];
    let said = doctor(Some(&server.data), &[&tls[..], &flags].concat());
    // On some machines the name leads to ::1 as well, where this server does not listen.
    let is_elsewhere = |[check, _, found]: &[String; 3]| check == "url-connection" && found.contains("[::1]");
    let bad = said.findings.iter().filter(|finding| finding[1] == "bad" && !is_elsewhere(finding)).count();
    assert_eq!((bad, said.code), (0, i32::from(said.findings.iter().any(is_elsewhere))), "{:#?}", said.findings);
    for check in
        ["folder", "owner", "space", "sync", "clock", "store", "users", "server", "listener", "certificate", "backup"]
    {
        said.good(check);
    }
    for check in ["url-token", "url-receipt", "url-text", "url-any-text", "url-large"] {
        said.good(check);
    }
    said.warning("url-dns", "nobody outside can reach");
    said.warning("url-tls", "leads to the roots of --url-ca");
    said.warning("tokens", "nothing has come for Test service yet");

    let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    for table in ["callbacks", "quarantine", "alarms", "test_callbacks"] {
        let rows: i64 = store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    let log = server.log();
    assert_eq!(log.matches("event=\"callback.test\"").count(), 4, "{log}");
    assert!(!log.contains("07700900001") && !log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn what_is_wrong_with_a_folder_is_named() {
    let folder = folder();
    doctor(Some(&folder.path().join("none")), &[]).bad("folder", "there is no folder");
    doctor(Some(folder.path()), &[]).bad("folder", "holds no store");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "none is made");

    let data = folder.path().join("store");
    alone(&data);
    let said = doctor(Some(&data), &[]);
    said.bad("server", "no server runs");
    said.good("users");
    said.warning("backup", "no backups are made");
    said.warning("alarms", "told to nobody");
    said.warning("url", "nobody said how Notify reaches this server");

    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    doctor(Some(&data), &[]).bad("owner", "may look into");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    if chown(data.join("counterfoil.key"), Some(4711), None).is_ok() {
        doctor(Some(&data), &[]).bad("owner", "counterfoil.key belongs to user 4711");
    } else {
        assert!(std::env::var_os("CI").is_none(), "the test of an owner needs root");
        eprintln!("\n*** NOT TRIED: a file of another user, because this user may give none away ***\n");
    }

    let backups = folder.path().join("backups");
    let flags = ["--backup-to", backups.to_str().unwrap(), "--backup-every", "1d"];
    doctor(Some(&data), &flags).bad("backup", "cannot be read");
    fs::create_dir(&backups).unwrap();
    doctor(Some(&data), &flags).bad("backup", "there is no backup");
    fs::write(backups.join("counterfoil-2026-01-01T000000Z.db"), "").unwrap();
    doctor(Some(&data), &flags).bad("backup", "days old");
}

#[test]
fn whether_alarms_get_out_is_looked_at_and_nothing_is_sent() {
    let folder = folder();
    let data = folder.path().join("store");
    alone(&data);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/T0?key=a-secret", listener.local_addr().unwrap());
    let script = folder.path().join("alarmed");
    let flags = ["--alarm-webhook", &url, "--alarm-command", script.to_str().unwrap()];
    let said = doctor(Some(&data), &flags);
    said.bad("alarms", "the command for alarms cannot be run");
    assert!(said.has("alarms", "good", "127.0.0.1 answers"), "{:#?}", said.findings);
    let (mut met, mut heard) = (listener.accept().unwrap().0, vec![]);
    std::io::Read::read_to_end(&mut met, &mut heard).unwrap();
    assert_eq!(heard, b"", "nothing is sent");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    drop(listener);
    let said = doctor(Some(&data), &flags);
    assert!(said.has("alarms", "good", "can be run"), "{:#?}", said.findings);
    said.bad("alarms", "do not get out to 127.0.0.1");
    assert!(!said.findings.iter().flatten().any(|words| words.contains("a-secret")), "{:#?}", said.findings);
}

#[test]
fn what_is_wrong_with_a_store_is_named_and_an_older_one_is_left_as_it_is() {
    let mut server = well();
    let token = server.post("/callbacks/delivery-receipts", include_bytes!("../callbacks/receipt-sms-delivered.json"));
    assert_eq!(token.status, 200);
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    let _folder = server.keep_folder();
    let data = server.data.clone();
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let store = || rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    let said = doctor(Some(&data), &[]);
    said.good("store");
    said.good("tokens");
    said.warning("quarantine", "1 callback could not be understood, and stands in quarantine");

    store().execute("UPDATE callbacks SET arrived_at = arrived_at + 86400000000", []).unwrap();
    doctor(Some(&data), &[]).bad("clock", "before the newest callback");
    store().execute("UPDATE tokens SET revoked_at = 1", []).unwrap();
    store().execute("UPDATE people SET disabled_at = 1", []).unwrap();
    let said = doctor(Some(&data), &[]);
    said.bad("tokens", "no token is valid");
    said.bad("users", "nobody can sign in");

    let version: i64 = store().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    store().pragma_update(None, "user_version", version - 1).unwrap();
    doctor(Some(&data), &[]).warning("folder", "of an earlier release");
    let after: i64 = store().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(after, version - 1, "it is not brought up to date");
    store().pragma_update(None, "user_version", version + 1).unwrap();
    doctor(Some(&data), &[]).bad("folder", "this release knows versions up to");
    store().pragma_update(None, "user_version", version).unwrap();

    let mut bytes = fs::read(data.join("counterfoil.db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x55);
    fs::write(data.join("counterfoil.db"), bytes).unwrap();
    doctor(Some(&data), &[]).bad("store", "damaged");
}

#[test]
fn what_is_wrong_where_a_server_listens_is_named() {
    let server = well();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = silent.local_addr().unwrap();
    drop(silent);
    doctor(Some(&server.data), &["--listen", &nobody.to_string()]).bad("listener", "nobody answers");
    let (pages, callbacks) = (server.at.to_string(), server.callbacks_at.unwrap().to_string());
    doctor(Some(&server.data), &["--listen", &pages, "--callbacks-listen", &callbacks]).good("listener");
    doctor(Some(&server.data), &["--listen", &pages, "--callbacks-listen", &pages])
        .bad("listener", "another program answers");
    // A token that Notify still has, and nobody here knows.
    assert_eq!(server.post_with("/callbacks", "Authorization: Bearer nobody\r\n", b"{}").status, 401);
    of(&server, &[]).bad("alarm", "a callback came with a wrong token");
}

#[test]
fn what_is_wrong_with_a_certificate_is_named() {
    let (authority, folder) = (Authority::new(), folder());
    let data = folder.path().join("store");
    alone(&data);
    for (host, name, days, words) in [
        ("localhost", "localhost", 1, "has ended"),
        ("localhost", "other.example", 60, "not for localhost"),
        ("localhost", "localhost", 60, "leads to no public root"),
    ] {
        let (chain, key) = authority.pair(name, days);
        let [chain_file, key_file] = ["chain.pem", "key.pem"].map(|file| folder.path().join(file));
        fs::write(&chain_file, chain).unwrap();
        fs::write(&key_file, key).unwrap();
        let root = folder.path().join("root.pem");
        fs::write(&root, &authority.root).unwrap();
        let tls = ["--tls-cert", chain_file.to_str().unwrap(), "--tls-key", key_file.to_str().unwrap()];
        let server = Server::start_in(&data, &tls);
        let (listen, url) = (server.at.to_string(), format!("https://{host}:{}", server.at.port()));
        let mut flags = [&tls[..], &["--listen", &listen, "--url", &url]].concat();
        let is_believed = words != "leads to no public root";
        if is_believed {
            flags.extend(["--url-ca", root.to_str().unwrap()]);
        }
        let said = doctor(Some(&data), &flags);
        said.bad("url-tls", words);
        said.good("listener");
        if is_believed {
            said.bad("certificate", words);
        } else {
            said.good("certificate");
        }
    }
    let missing = folder.path().join("none.pem");
    let tls = ["--tls-cert", missing.to_str().unwrap(), "--tls-key", missing.to_str().unwrap()];
    doctor(Some(&data), &tls).bad("certificate", "cannot be read");
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let _ended = Command::new("kill").arg(pid).status().is_ok() && self.0.wait().is_ok();
    }
}

/// A proxy that is set up wrongly in each of these ways, each at an address of its own; nothing where there is no such program.
fn proxies<const N: usize>(
    program: &str,
    folder: &Path,
    sites: &[String; N],
    whole: impl FnOnce(&str) -> String,
    flags: &[&str],
) -> Option<([SocketAddr; N], Running)> {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    drop(listeners);
    let mut text = String::new();
    for (site, at) in sites.iter().zip(ports) {
        text += &site.replace("ADDRESS", &at.to_string()).replace("PORT", &at.port().to_string());
    }
    fs::write(folder.join("conf"), whole(&text)).unwrap();
    let mut command = Command::new(program);
    command
        .args(flags)
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .env("XDG_CONFIG_HOME", folder);
    let log = fs::File::create(folder.join("said")).unwrap();
    let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn() else {
        assert!(std::env::var_os("CI").is_none(), "the test of a proxy needs {program}");
        eprintln!("\n*** NOT TRIED: a proxy that is set up wrongly, because there is no {program} ***\n");
        return None;
    };
    let running = Running(child);
    let until = Instant::now() + Duration::from_mins(1);
    while ports.iter().any(|at| TcpStream::connect(at).is_err()) {
        assert!(Instant::now() < until, "{}", fs::read_to_string(folder.join("said")).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    Some((ports, running))
}

#[test]
fn what_a_proxy_does_to_callbacks_is_named() {
    let (server, folder) = (well(), folder());
    let to = server.at;
    let site = |inside: &str| format!("server {{ listen ADDRESS; {inside} }}\n");
    let pass = format!("proxy_pass http://{to};");
    let sites = [
        site("return 301 https://elsewhere.example$request_uri;"),
        site(&format!("client_max_body_size 64k; location / {{ {pass} }}")),
        site(&format!("client_max_body_size 2m; location / {{ proxy_set_header Authorization \"\"; {pass} }}")),
        site("location / { return 200 \"welcome\"; }"),
        site("location / { proxy_pass http://127.0.0.1:1; }"),
        site(&format!("location / {{ auth_basic \"staff\"; auth_basic_user_file none; {pass} }}")),
        site(&format!("location / {{ add_header Set-Cookie \"lb=1\" always; {pass} }}")),
    ];
    let whole = |sites: &str| {
        format!(
            "user root; daemon off; worker_processes 1; pid pid; error_log stderr; events {{}} http {{ access_log off;\n{sites} }}"
        )
    };
    let here = folder.path().to_str().unwrap();
    let Some((at, _nginx)) = proxies("nginx", folder.path(), &sites, whole, &["-p", here, "-c", "conf"]) else {
        return;
    };
    let through = |at: SocketAddr| {
        let (listen, url) = (to.to_string(), format!("http://localhost:{}", at.port()));
        doctor(Some(&server.data), &["--listen", &listen, "--url", &url])
    };
    through(at[0]).bad("url-token", "is redirected");
    let limited = through(at[1]);
    limited.good("url-text");
    limited.bad("url-large", "is answered 413");
    through(at[2]).bad("url-receipt", "refused for its token");
    through(at[3]).bad("url-token", "is answered 200 without a token");
    through(at[4]).bad("url-token", "is answered 502");
    through(at[5]).bad("url-token", "asks for a sign-in");
    through(at[6]).bad("url-token", "sets a cookie");
    assert!(of(&server, &[]).has("url-large", "good", ""), "and without them all comes through");
}

#[test]
fn a_firewall_that_reads_what_people_say_is_named() {
    let (server, folder) = (well(), folder());
    let site = format!(
        "http://localhost:PORT {{\n\t@attack expression `{{http.request.body}}.contains(\"<script>\")`\n\trespond @attack 403\n\treverse_proxy {}\n}}\n",
        server.at
    );
    let whole = |sites: &str| format!("{{\n\tadmin off\n\tauto_https off\n}}\n{sites}");
    let Some((at, _caddy)) =
        proxies("caddy", folder.path(), &[site], whole, &["run", "--adapter", "caddyfile", "--config", "conf"])
    else {
        return;
    };
    let (listen, url) = (server.at.to_string(), format!("http://localhost:{}", at[0].port()));
    let said = doctor(Some(&server.data), &["--listen", &listen, "--url", &url]);
    said.good("url-text");
    said.good("url-large");
    said.bad("url-any-text", "is answered 403");
}

#[test]
fn a_name_that_leads_nowhere_and_an_address_that_notify_does_not_call_are_named() {
    let said = doctor(None, &["--url", "https://callbacks.invalid"]);
    said.bad("url-dns", "leads nowhere");
    let server = well();
    let url = format!("http://{}", server.at);
    let said = doctor(None, &["--url", &url]);
    said.bad("url", "is not https");
    said.good("url-token");
    said.warning("url-receipt", "needs the store");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    doctor(None, &["--url", &format!("https://localhost:{}", closed.port())]).bad("url-connection", "nobody answers");
    doctor(None, &["--url", &format!("https://localhost:{}", server.at.port())]).bad("url-tls", "does not speak TLS");
}

#[test]
fn a_message_goes_through_notify_with_a_test_key_and_its_receipt_is_waited_for() {
    let (server, folder, api) = (well(), folder(), NotifyApi::start());
    let key = folder.path().join("key");
    fs::write(&key, NotifyApi::key()).unwrap();
    let url = api.url();
    let flags = ["--notify-test-key", key.to_str().unwrap(), "--notify-test-url", &url];
    of(&server, &flags).warning("round-trip", "no email template");
    api.template("Visit");
    api.fails(&[Fails::Status(403, "Invalid token: API key not found")]);
    of(&server, &flags).bad("round-trip", "does not take this API key");
    api.calls_back(server.at, &server.token);
    of(&server, &flags).good("round-trip");
    assert_eq!(server.kept(SENT).len(), 1, "it is a callback of Notify’s as any other");
}

#[test]
fn the_flags_of_a_service_are_read_from_its_file() {
    let (server, folder) = (well(), folder());
    let file = folder.path().join("settings");
    let text = format!("# flags\nCOUNTERFOIL_DATA={}\nCOUNTERFOIL_LISTEN=\"{}\"\n", server.data.display(), server.at);
    fs::write(&file, text).unwrap();
    let said = doctor(None, &["--settings", file.to_str().unwrap()]);
    said.good("listener");
    said.good("users");
    let wrong = Command::new(BINARY).args(["doctor", "--settings"]).arg(folder.path().join("none")).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("cannot be read"));
    let lines = Command::new(BINARY).args(["doctor", "--settings"]).arg(&file).output().unwrap();
    let lines = String::from_utf8(lines.stdout).unwrap();
    assert!(lines.contains("good     folder") && lines.contains("warning  backup"), "{lines}");
    let none = Command::new(BINARY).arg("doctor").env_remove("COUNTERFOIL_DATA").output().unwrap();
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(said.contains("--data") || Path::new("/etc/default/counterfoil").exists(), "{said}");
    assert_eq!(printed(&run(&["token", "list"], &server.data)).lines().count(), 2, "no token is left behind");
}

#[test]
fn each_address_of_a_name_is_called_and_one_that_this_machine_has_no_way_to_is_told_apart() {
    let folder = folder();
    let data = folder.path().join("store");
    alone(&data);
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 callbacks.test\n127.0.0.2 callbacks.test\n2001:db8::1 callbacks.test\n").unwrap();
    // A network of its own, where nothing but this machine can be reached, and names of its own.
    let script = r#"
        ip link set lo up && mount --bind "$HOSTS" /etc/hosts || exit 125
        "$BINARY" serve --data "$DATA" --listen 127.0.0.1:8080 2>/dev/null &
        server=$!
        for _ in $(seq 600); do "$BINARY" healthcheck --listen 127.0.0.1:8080 2>/dev/null >&2 && break; sleep 0.1; done
        "$BINARY" doctor --json --data "$DATA" --listen 127.0.0.1:8080 --url http://callbacks.test:8080
        code=$?
        kill $server; wait $server
        exit $code
    "#;
    let own = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "sh", "-c", script])
        .env("BINARY", BINARY)
        .env("COUNTERFOIL_BALLAST", "0")
        .env("HOSTS", &hosts)
        .env("DATA", &data)
        .stdin(Stdio::null())
        .output();
    let Some(output) = own.ok().filter(|output| !output.stdout.is_empty()) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "the test of a name with several addresses needs unshare, ip and mount"
        );
        eprintln!(
            "\n*** NOT TRIED: a name with several addresses, because there is no network of its own to be had ***\n"
        );
        return;
    };
    let said = said(output);
    assert!(said.has("url-receipt", "good", "(at 127.0.0.1)"), "{:#?}", said.findings);
    said.bad("url-connection", "nobody answers at 127.0.0.2:8080");
    said.warning("url-connection", "this machine has no way to 2001:db8::1");
}
