//! Prometheus itself, with the rules that are given to people, scrapes a server and sees what happened.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::not_tried;
use crate::server::{Server, exchange, folder, request};

const RULES: &str = "packaging/prometheus/counterfoil.rules.yml";
const PATIENCE: Duration = Duration::from_mins(1);

struct Prometheus {
    child: Child,
    at: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes what listens there, and looks at the rules as often; `None` where it is not installed.
    fn start(scrapes: SocketAddr) -> Option<Prometheus> {
        let folder = folder();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
        let configuration = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: counterfoil, static_configs: [{{targets: ['{scrapes}']}}]}}]\n",
            rules.display()
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration).unwrap();
        // It says nowhere which port it was given.
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("series").display()))
            .arg(format!("--web.listen-address={at}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Prometheus { child, at, _folder: folder })
    }

    /// What it answers there; null where it is not ready.
    fn ask(&self, path: &str) -> Value {
        if std::net::TcpStream::connect(self.at).is_err() {
            return Value::Null;
        }
        let answer = exchange(self.at, &request("GET", path, "", b""));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Asks until the answer is as it should be.
    fn wait_for(&self, path: &str, is_right: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let answer = self.ask(path);
            if is_right(&answer["data"]) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{path}: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_ok() && self.child.wait().is_ok();
    }
}

/// The series that the rules are about, but for that of a certificate, which this server has none of.
fn named_in_rules() -> BTreeSet<String> {
    let rules = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES)).unwrap();
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let words = expressions.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    let named = words.filter(|word| word.starts_with("counterfoil_")).map(str::to_owned).collect::<BTreeSet<_>>();
    let certificate = "counterfoil_certificate_end_timestamp_seconds";
    assert!(named.len() > 8 && named.contains(certificate), "{named:?}");
    named.into_iter().filter(|name| name != certificate).collect()
}

#[test]
fn each_alarm_has_a_rule() {
    use counterfoil::store::AlarmSort;
    let rules = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES)).unwrap();
    let expressions: String = rules.lines().filter(|line| line.trim().starts_with("expr: ")).collect();
    for sort in AlarmSort::ALL {
        let series = match sort {
            AlarmSort::Refusing => "counterfoil_refusing_seconds",
            AlarmSort::Damage => "counterfoil_refusing ==",
            AlarmSort::Disk => "counterfoil_disk_free_bytes",
            AlarmSort::Log => "counterfoil_wal_bytes",
            AlarmSort::Quarantine => "counterfoil_quarantined",
            AlarmSort::Backup => "counterfoil_backup_failing",
            AlarmSort::Certificate => "counterfoil_certificate_end_timestamp_seconds",
            by_its_name => by_its_name.as_str(),
        };
        assert!(expressions.contains(series), "there is no rule for {sort:?}");
    }
}

#[test]
fn prometheus_has_every_series_that_its_rules_name_and_they_fire_for_what_they_watch() {
    let backups = folder();
    let more = ["--metrics-listen", "127.0.0.1:0", "--backup-to", backups.path().to_str().unwrap()];
    let server = Server::start_with(&more);
    let Some(prometheus) = Prometheus::start(server.metrics_at.unwrap()) else { return not_tried("prometheus") };
    let is_up = |data: &Value| data["result"][0]["value"][1] == "1";
    prometheus.wait_for("/api/v1/query?query=up%7Bjob%3D%22counterfoil%22%7D", is_up);
    let fires = |data: &Value, name: &str| {
        let alerts = data["alerts"].as_array().map_or(&[][..], Vec::as_slice);
        alerts.iter().any(|alert| alert["labels"]["alertname"] == name && alert["state"] == "firing")
    };
    let watched = ["CounterfoilQuarantine", "CounterfoilWrongToken", "CounterfoilRefusing"];
    let before = prometheus.ask("/api/v1/alerts");
    assert!(!watched.iter().any(|name| fires(&before["data"], name)), "{before}");
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    assert_eq!(server.post_with("/callbacks", "Authorization: Bearer another\r\n", b"{}").status, 401);
    prometheus.wait_for("/api/v1/alerts", |data| watched[..2].iter().all(|name| fires(data, name)));
    prometheus.wait_for("/api/v1/label/__name__/values", |data| {
        let there: Vec<&str> = data.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        named_in_rules().iter().all(|name| there.contains(&name.as_str()))
    });
    let alerts = prometheus.ask("/api/v1/alerts");
    assert!(!fires(&alerts["data"], watched[2]), "{alerts}");
}
