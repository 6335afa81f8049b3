//! A stand-in for Notify's REST API, which answers as Notify does: pages of 250 that are strictly older than an id, `links.next` on
//! every page that is not empty, one message by its id, an email that is to be sent, for which it calls back, the messages with a reference, templates, refusals of a token that is wrong or of another moment and of what is no id, and refusals and
//! failures when it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use counterfoil::clock::{self, SECOND};
use counterfoil::notify::api_key::ApiKey;
use counterfoil::notify::time::canonical;
use serde_json::{Value, json};

use crate::server::{exchange, request};

pub(crate) const SERVICE_ID: &str = "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa";
const SECRET: &str = "f9d696de-3ce8-459f-9f0e-8781d2fe61a6";
/// The message that is sent with a test key.
pub(crate) const SENT: &str = "3c1f4b1e-5f0e-4d5c-9a54-2a0c7b6d8e9f";
const PAGE: usize = 250;

/// How it answers a request in place of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fails {
    Status(u16, &'static str),
    /// Half of the page, and then the connection is closed.
    Cut,
    /// The connection stays open, and nothing is said.
    Silent,
}

#[derive(Default)]
struct State {
    notifications: Vec<(i64, Value)>,
    texts: Vec<(i64, Value)>,
    /// Ids and names.
    templates: Vec<(String, String)>,
    /// The paths that were asked for.
    asked: Vec<String>,
    /// What the next requests get.
    fails: Vec<Fails>,
    /// What every request gets.
    always: Option<Fails>,
    /// Where it calls back for what was sent, and with which token.
    calls_back: Option<(SocketAddr, String)>,
}

#[derive(Clone)]
pub(crate) struct NotifyApi {
    pub(crate) at: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl NotifyApi {
    pub(crate) fn start() -> NotifyApi {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = NotifyApi { at: listener.local_addr().unwrap(), state: Arc::default() };
        let theirs = api.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let api = theirs.clone();
                std::thread::spawn(move || api.serve(stream.unwrap()));
            }
        });
        api
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// A key as Notify gives them out.
    pub(crate) fn key() -> String {
        format!("live key-1-{SERVICE_ID}-{SECRET}\n")
    }

    /// An email that the service sent.
    pub(crate) fn sent(&self, id: &str, status: &str, created_at: i64) {
        let done = status == "delivered";
        let item = json!({
            "id": id, "reference": "REF", "email_address": "Amy@example.com", "phone_number": null, "line_1": null, "line_2": null,
            "line_3": null, "line_4": null, "line_5": null, "line_6": null, "postcode": null, "type": "email", "status": status,
            "template": {"version": 1, "id": SECRET, "uri": "https://api.example/v2/template/x"}, "body": "Hello", "subject": null,
            "created_at": canonical(created_at), "created_by_name": null, "sent_at": canonical(created_at + 1),
            "completed_at": done.then(|| canonical(created_at + 2)), "scheduled_for": null, "postage": null,
            "one_click_unsubscribe_url": null, "cost_in_pounds": 0.0, "is_cost_data_ready": true,
            "cost_details": {"billable_sms_fragments": 1},
        });
        self.state.lock().unwrap().notifications.push((created_at, item));
    }

    /// What was sent last had this reference, and said this.
    pub(crate) fn that_said(&self, reference: &str, subject: &str, body: &str) {
        let mut state = self.state.lock().unwrap();
        let (_, item) = state.notifications.last_mut().unwrap();
        (item["reference"], item["subject"], item["body"]) = (json!(reference), json!(subject), json!(body));
    }

    /// The template that messages are made of has a name.
    pub(crate) fn template(&self, name: &str) {
        self.state.lock().unwrap().templates.push((SECRET.to_owned(), name.to_owned()));
    }

    /// A text that somebody sent to it.
    pub(crate) fn received(&self, id: &str, created_at: i64) {
        let item = json!({
            "id": id, "user_number": "447700900123", "notify_number": "07700931494", "service_id": SERVICE_ID, "content": "Hello",
            "created_at": canonical(created_at),
        });
        self.state.lock().unwrap().texts.push((created_at, item));
    }

    pub(crate) fn fails(&self, fails: &[Fails]) {
        self.state.lock().unwrap().fails = fails.to_vec();
    }

    pub(crate) fn always_fails(&self, fails: Option<Fails>) {
        self.state.lock().unwrap().always = fails;
    }

    /// From now on it calls back for what is sent.
    pub(crate) fn calls_back(&self, at: SocketAddr, token: &str) {
        self.state.lock().unwrap().calls_back = Some((at, token.to_owned()));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut path, mut token, mut length) = (String::new(), String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if let Some(rest) = line.strip_prefix("GET ").or_else(|| line.strip_prefix("POST ")) {
                    rest.split(' ').next().unwrap().clone_into(&mut path);
                } else if let Some(rest) = line.to_lowercase().strip_prefix("authorization: bearer ") {
                    line[line.len() - rest.len()..].trim().clone_into(&mut token);
                } else if let Some(rest) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = rest.trim().parse().unwrap();
                } else if line == "\r\n" {
                    break;
                }
            }
            let mut sent = vec![0; length];
            reader.read_exact(&mut sent).unwrap();
            if path == "/v2/notifications/email" {
                let sent: Value = serde_json::from_slice(&sent).unwrap();
                assert_eq!(sent["personalisation"], json!({"name": "test"}), "each place of the template is filled");
                self.call_back(&sent);
            }
            let (fails, body) = self.answer(&path, &token);
            if fails == Some(Fails::Silent) {
                // Until whoever asks gives up.
                while reader.read_line(&mut String::new()).unwrap_or(0) > 0 {}
                return;
            }
            let status = if let Some(Fails::Status(status, _)) = fails { status } else { 200 };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let sent = if fails == Some(Fails::Cut) { body.len() / 2 } else { body.len() };
            // Whoever was killed reads no more.
            let written = reader.get_mut().write_all(&[head.as_bytes(), &body.as_bytes()[..sent]].concat());
            if written.is_err() || sent < body.len() {
                return;
            }
        }
    }

    /// As Notify does soon after it has taken a message with a test key.
    fn call_back(&self, sent: &Value) {
        let Some((at, token)) = self.state.lock().unwrap().calls_back.clone() else { return };
        let now = canonical(clock::now());
        let receipt = json!({
            "id": SENT, "reference": sent["reference"], "to": sent["email_address"], "status": "delivered", "created_at": now,
            "completed_at": now, "sent_at": now, "notification_type": "email", "template_id": sent["template_id"],
            "template_version": 1,
        });
        let authorization = format!("Authorization: Bearer {token}\r\n");
        let bytes = request("POST", "/callbacks/delivery-receipts", &authorization, receipt.to_string().as_bytes());
        std::thread::spawn(move || exchange(at, &bytes));
    }

    fn answer(&self, path: &str, token: &str) -> (Option<Fails>, String) {
        let mut state = self.state.lock().unwrap();
        state.asked.push(path.to_owned());
        let fails = if state.fails.is_empty() { state.always } else { Some(state.fails.remove(0)) };
        let refusal = |status, message| {
            let error = if status == 404 { "NoResultFound" } else { "AuthError" };
            let errors = json!([{"error": error, "message": message}]);
            (Some(Fails::Status(status, message)), json!({"status_code": status, "errors": errors}).to_string())
        };
        if let Some(Fails::Status(status, message)) = fails {
            return refusal(status, message);
        }
        match made_at(token) {
            None => return refusal(403, "Invalid token: signature, api token not found"),
            Some(made_at) if (clock::now() - made_at).abs() > 30 * SECOND => {
                return refusal(403, "Error: Your system clock must be accurate to within 30 seconds");
            }
            Some(_) => (),
        }
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let asked: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if route == "/v2/notifications/email" {
            return (fails, json!({"id": SENT, "uri": "https://api.example/v2/notifications/x"}).to_string());
        }
        if route == "/v2/templates" {
            let all = state.templates.iter();
            let all = all.map(|(id, name)| json!({"id": id, "type": "email", "name": name, "body": "Hello ((name))", "subject": "Your visit"}));
            return (fails, json!({"templates": all.collect::<Vec<_>>()}).to_string());
        }
        if let Some(id) = route.strip_prefix("/v2/notifications/") {
            let found = state.notifications.iter().find(|(_, item)| item["id"] == id);
            return found.map_or_else(|| refusal(404, "No result found"), |(_, item)| (fails, item.to_string()));
        }
        if let Some(id) = route.strip_prefix("/v2/template/") {
            let Some((id, name)) = state.templates.iter().find(|(known, _)| known == id) else {
                return refusal(404, "No result found");
            };
            let template = json!({
                "id": id, "type": "email", "name": name, "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": null,
                "created_by": "amy@example.gov.uk", "version": 1, "body": "Hello ((name))", "subject": "Your visit",
                "personalisation": {"name": {"required": true}}, "letter_contact_block": null, "postage": null,
            });
            return (fails, template.to_string());
        }
        let value = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let (name, list) = match route {
            "/v2/notifications" => {
                assert_eq!(value("include_jobs"), Some("true"), "what was sent from spreadsheets is asked for too");
                ("notifications", &state.notifications)
            }
            "/v2/received-text-messages" => ("received_text_messages", &state.texts),
            other => panic!("Notify has no {other}"),
        };
        if value("older_than").is_some_and(|id| uuid::Uuid::try_parse(id).is_err()) {
            return refusal(400, "older_than is not a valid UUID");
        }
        // A subquery in Notify: an id that it does not know gives nothing.
        let before = value("older_than")
            .map(|id| list.iter().find(|(_, item)| item["id"] == id).map_or(i64::MIN, |(created_at, _)| *created_at));
        let mut older: Vec<_> = list.iter().filter(|(at, _)| before.is_none_or(|before| *at < before)).collect();
        older.retain(|(_, item)| value("reference").is_none_or(|reference| item["reference"] == reference));
        older.sort_by_key(|(created_at, _)| std::cmp::Reverse(*created_at));
        older.truncate(PAGE);
        let items: Vec<&Value> = older.iter().map(|(_, item)| item).collect();
        let current = format!("https://api.example{path}");
        let links = match items.last() {
            Some(oldest) => {
                json!({"current": current, "next": format!("https://api.example{route}?older_than={}", oldest["id"])})
            }
            None => json!({"current": current}),
        };
        (fails, json!({name: items, "links": links}).to_string())
    }
}

/// When a token was made, in microseconds since 1970 UTC; `None` where the key did not make it.
fn made_at(token: &str) -> Option<i64> {
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()?;
    let made_at = claims["iat"].as_i64()? * SECOND;
    let key: ApiKey = NotifyApi::key().parse().ok()?;
    (key.token(made_at) == token).then_some(made_at)
}
