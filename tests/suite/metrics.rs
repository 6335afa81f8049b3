//! Metrics, read as those read them for whom they are: Prometheus's own Python client, and promtool.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::server::{BINARY, SECOND_FACTOR, Server, exchange, folder, printed, request, run};

/// Reads the text and writes each sample as a line of JSON: its family's type, its name, its labels, its value.
const READS: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps([family.type, sample.name, sample.labels, sample.value]))
";

pub(crate) fn not_tried(lacking: &str) {
    assert!(std::env::var_os("CI").is_none(), "the metrics are read by {lacking}");
    eprintln!("\n*** NOT TRIED: the metrics read by {lacking}, which is not here ***\n");
}

fn fed(mut command: Command, text: &str) -> Option<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    // One that reads nothing says why by itself.
    let _read = child.stdin.take().unwrap().write_all(text.as_bytes()).is_ok();
    Some(child.wait_with_output().unwrap())
}

/// A family's type, a name, labels and a value.
type Sample = (String, String, BTreeMap<String, String>, f64);

/// The text as Prometheus's client reads it; `None` where that is not here.
fn read_by_the_client(text: &str) -> Option<Vec<Sample>> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/prometheus-client/bin/python");
    let mut python = Command::new(if fetched.exists() { fetched } else { PathBuf::from("python3") });
    python.args(["-c", READS]);
    let read = fed(python, text)?;
    let said = String::from_utf8_lossy(&read.stderr);
    if said.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(read.status.success(), "{said}");
    let lines = String::from_utf8(read.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn promtool(arguments: &[&str], text: &str) -> bool {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let Some(said) = fed(command, text) else { return false };
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&words));
    true
}

const ODD: &str = "The \"odd\" \\ service";

#[test]
fn prometheus_reads_what_was_counted_by_kind_service_and_answer_and_nothing_personal() {
    let folder = folder();
    let (data, backups) = (folder.path().join("store"), folder.path().join("backups"));
    fs::create_dir(&backups).unwrap();
    let mut command = Command::new(BINARY);
    command.stdout(Stdio::null()).env(SECOND_FACTOR, "none");
    let more = ["--metrics-listen", "127.0.0.1:0", "--backup-to", backups.to_str().unwrap()];
    let mut server = Server::start_as(command, &data, &more);
    server.token = printed(&run(&["token", "add", ODD], &data));
    for body in [
        r#"{"id": "CANARY", "reference": "CANARY", "to": "07700900123", "status": "delivered", "notification_type": "sms"}"#,
        r#"{"id": "CANARY2", "to": "canary@example.com", "status": "delivered", "notification_type": "email"}"#,
        r#"{"id": "CANARY3", "source_number": "447700900123", "message": "CANARY"}"#,
        "CANARY that is no callback",
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    assert_eq!(
        server.post_with("/callbacks/CANARY?a=CANARY", "Authorization: Bearer CANARY\r\n", b"CANARY").status,
        401
    );
    let mut browser = server.signed_in("admin");
    assert_eq!(browser.get("/receipts/CANARY").status, 200);
    assert_eq!(browser.get("/metrics").status, 404, "they are on their own listener alone");

    let scrape = || exchange(server.metrics_at.unwrap(), &request("GET", "/metrics", "", b""));
    // The first backup is made meanwhile, and the alarm is raised beside the answer.
    let mut answer = scrape();
    let there =
        |text: &str| text.contains("last_backup_timestamp_seconds ") && text.contains("alarms{sort=\"wrong_token\"} 1");
    while !there(&answer.text()) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        answer = scrape();
    }
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let text = answer.text();
    for personal in ["CANARY", "canary", "900123", "admin@", &server.token] {
        assert!(!text.contains(personal), "{personal}: {text}");
    }
    assert_eq!(exchange(server.metrics_at.unwrap(), &request("GET", "/sign-in", "", b"")).status, 404);
    let posted = exchange(server.metrics_at.unwrap(), &request("POST", "/callbacks", "", b"{}"));
    assert!(posted.status == 404 || posted.status == 405, "no callback is taken there, nor is one counted");

    if !promtool(&["check", "metrics"], &text) {
        not_tried("promtool");
    }
    let Some(samples) = read_by_the_client(&text) else { return not_tried("the Python package prometheus-client") };
    let value = |name: &str, labels: &[(&str, &str)]| {
        let is_it =
            |of: &BTreeMap<String, String>| labels.iter().all(|(key, value)| of.get(*key).is_some_and(|v| v == value));
        let found: Vec<f64> =
            samples.iter().filter(|(_, n, of, _)| n == name && is_it(of)).map(|sample| sample.3).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?} stands once: {text}");
        found[0]
    };
    let counted = |kind: &str, service: &str, answer: &str| {
        value("counterfoil_callbacks_total", &[("kind", kind), ("service", service), ("answer", answer)])
    };
    let whole = [
        counted("delivery-receipts", ODD, "200"),
        counted("received-text-messages", ODD, "200"),
        counted("not-understood", ODD, "200"),
        counted("unread", "unknown_token", "401"),
        value("counterfoil_quarantined", &[]),
        value("counterfoil_sessions", &[]),
        value("counterfoil_request_seconds_count", &[("of", "callback")]),
        value("counterfoil_build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
        value("counterfoil_backup_failing", &[]),
        value("counterfoil_refusing_seconds", &[]),
    ];
    assert_eq!(format!("{whole:?}"), "[2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 1.0, 0.0, 0.0]");
    for name in ["counterfoil_store_bytes", "counterfoil_disk_free_bytes", "counterfoil_commit_seconds_count"] {
        assert!(value(name, &[]) > 0.0, "{name}");
    }
    for refused in ["damaged", "disk-full", "log-too-long"] {
        assert!(value("counterfoil_refusing", &[("reason", refused)]).abs() < 0.1);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    for at in [
        value("counterfoil_last_callback_timestamp_seconds", &[("service", ODD)]),
        value("counterfoil_last_backup_timestamp_seconds", &[]),
    ] {
        assert!((now - 3600.0..now + 1.0).contains(&at), "{at}");
    }
    let types: Vec<Value> = samples.iter().map(|sample| sample.0.clone().into()).collect();
    assert!(["counter", "gauge", "histogram"].iter().all(|kind| types.contains(&(*kind).into())), "{types:?}");
}

#[test]
fn every_alert_is_a_rule_that_prometheus_takes_about_what_is_measured_and_says_what_to_do() {
    let file = "packaging/prometheus/counterfoil.rules.yml";
    let rules = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 8);
    let source = include_str!("../../src/meters/exposition.rs").to_owned() + include_str!("../../src/meters.rs");
    for alert in alerts {
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert_eq!(alert.matches(part).count(), 1, "{part} in {alert}");
        }
        for named in alert.split("counterfoil_").skip(1) {
            let name = named.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap();
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            let quoted = [format!("\"{name}\""), format!("\"counterfoil_{name}\"")];
            assert!(quoted.iter().any(|quoted| source.contains(quoted)), "{name} is not measured");
        }
    }
    if !promtool(&["check", "rules", file], "") {
        not_tried("promtool");
    }
}
