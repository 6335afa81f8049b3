//! `counterfoil doctor`: looks at a set-up from the folder to the public address, and says of each thing how it stands and what to do.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::backfill::{NOTIFY, source};
use super::{Failure, acme, say, schedule, serve, tell, tls, watched};
use crate::backfill::Source;
use crate::doctor::{self, Finding, Listener, Patient, RoundTrip, State, Takes};

/// What the package’s server reads, and where its store is.
const SETTINGS: &str = "/etc/default/counterfoil";
const DATA: &str = "/var/lib/counterfoil";
/// A finding's second line stands below the first one's words.
const BELOW: &str = "                        ";

/// Look at everything, and say what is wrong and what to do
///
/// It looks at the folder, its owner, the room and speed of its disk, the clock, the store, tokens, accounts, listeners, the certificate,
/// the backups, where alarms go, and the public address as Notify would call it, with test callbacks that are taken out again. It takes those flags of
/// counterfoil serve that it needs; without --data, those of the installed package. It ends with 0 where nothing is bad and with 1 where something is.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// The folder that holds the store. Without it, as on another machine, the public address alone is looked at
    #[arg(long, value_name = "DIR", env = "COUNTERFOIL_DATA")]
    data: Option<PathBuf>,
    /// How Notify and people reach the server, such as <https://callbacks.example.gov.uk>
    #[arg(
        id = "public_url",
        long = "url",
        visible_alias = "public-url",
        value_name = "URL",
        value_parser = super::public_url,
        env = "COUNTERFOIL_PUBLIC_URL"
    )]
    url: Option<String>,
    /// What the certificate at --url leads to, in PEM, where that is no public root. Notify believes public ones alone
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_URL_CA")]
    url_ca: Option<PathBuf>,
    /// Send a message through Notify with the test key in this file, and wait for its delivery receipt. Nobody gets the message
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_NOTIFY_TEST_KEY")]
    notify_test_key: Option<PathBuf>,
    /// The address of Notify’s API
    #[arg(
        long,
        value_name = "URL",
        value_parser = super::public_url,
        default_value = NOTIFY,
        env = "COUNTERFOIL_NOTIFY_TEST_URL"
    )]
    notify_test_url: String,
    /// How long to wait for that receipt, such as 2m
    #[arg(long, value_name = "TIME", value_parser = schedule::turn, default_value = "2m", env = "COUNTERFOIL_NOTIFY_TEST_WAIT")]
    notify_test_wait: Duration,
    /// Print one JSON object in place of lines
    #[arg(long, env = "COUNTERFOIL_JSON")]
    json: bool,
    /// A file of flags as systemd reads it, a name and a value a line, such as /etc/default/counterfoil. What stands in the
    /// environment goes before it
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_SETTINGS")]
    settings: Option<PathBuf>,
    /// Those of the file stand in the environment by now.
    #[arg(long, hide = true, env = "COUNTERFOIL_SETTINGS_READ")]
    settings_read: bool,
    /// Where the server listens, as it was told
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = serve::LISTEN,
        value_delimiter = ',',
        env = "COUNTERFOIL_LISTEN"
    )]
    listen: Vec<SocketAddr>,
    /// Where it takes callbacks alone
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', env = "COUNTERFOIL_CALLBACKS_LISTEN")]
    callbacks_listen: Vec<SocketAddr>,
    #[command(flatten)]
    tls: tls::Encryption,
    #[command(flatten)]
    watched: watched::Watched,
    #[command(flatten)]
    backups: schedule::Backups,
}

pub(super) async fn run(mut doctor: Doctor) -> Result<(), Failure> {
    if !doctor.settings_read {
        let installed = Path::new(SETTINGS);
        let own = (doctor.data.is_none() && installed.exists()).then(|| installed.to_owned());
        if let Some(file) = doctor.settings.take().or(own) {
            return Err(again_with(&file));
        }
    }
    let json = doctor.json;
    let patient = doctor.patient()?;
    let (mut findings, mut unsaid) = (Vec::new(), None);
    if let Some(round_trip) = &patient.round_trip {
        tell(&format!("Waiting up to {} seconds for Notify at the end.", round_trip.waits.as_secs()));
    }
    doctor::examine(patient, &mut |finding| {
        if !json && let Err(failure) = say(&line(&finding)) {
            unsaid.get_or_insert(failure);
        }
        findings.push(finding);
    })
    .await;
    if let Some(failure) = unsaid {
        return Err(failure);
    }
    let state = findings.iter().map(|finding| finding.state).max().unwrap_or(State::Good);
    if json {
        let all = Report { state, findings: &findings };
        let text = serde_json::to_string_pretty(&all);
        say(&text.map_err(|error| Failure::new(format!("it cannot be written as JSON: {error}")))?)?;
    }
    let count = |of: State| findings.iter().filter(|finding| finding.state == of).count();
    match (count(State::Bad), count(State::Warning)) {
        (0, 0) => tell("All is well."),
        (0, 1) => tell("Nothing is bad. There is 1 warning."),
        (0, warnings) => tell(&format!("Nothing is bad. There are {warnings} warnings.")),
        (1, _) => return Err(Failure::new("1 thing is bad: see above what to do")),
        (bad, _) => return Err(Failure::new(format!("{bad} things are bad: see above what to do"))),
    }
    Ok(())
}

/// All that was found, for programs.
#[derive(Serialize)]
struct Report<'a> {
    state: State,
    findings: &'a [Finding],
}

/// One finding, and what to do below it.
fn line(Finding { check, state, found, to_do }: &Finding) -> String {
    let state = match state {
        State::Good => "good",
        State::Warning => "warning",
        State::Bad => "bad",
    };
    let mut letters = found.chars();
    let found: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    let to_do = to_do.as_ref().map_or_else(String::new, |to_do| format!("\n{BELOW}{to_do}"));
    format!("{state:<8} {check:<14} {found}.{to_do}")
}

impl Doctor {
    fn patient(self) -> Result<Patient, Failure> {
        if self.data.is_none() && self.url.is_none() {
            return Err(Failure::new("give the store’s folder as --data, the public address as --url, or both"));
        }
        let folder = self.data.clone().unwrap_or_default();
        let certificate = self.tls.certificate(&folder)?;
        let is_encrypted = certificate.is_some();
        let all = self.listen.into_iter().map(|at| Listener { at, takes: Takes::All, is_encrypted });
        let callbacks =
            self.callbacks_listen.into_iter().map(|at| Listener { at, takes: Takes::Callbacks, is_encrypted });
        let outlets = self.watched.outlets(None);
        let alarms = doctor::Alarms {
            command: outlets.command_can_run(),
            webhook: outlets.webhook.as_ref().map(|webhook| webhook.server().clone()),
            are_told: outlets.are_any(),
        };
        let metrics = self.watched.metrics_listen.into_iter();
        let metrics = metrics.map(|at| Listener { at, takes: Takes::Metrics, is_encrypted: false });
        let source = self.notify_test_key.map(|file| source(&file, &self.notify_test_url)).transpose()?;
        let waits = self.notify_test_wait;
        let round_trip = source.map(|Source { key, server }| RoundTrip { key, server, waits });
        let every = self.backups.every;
        Ok(Patient {
            data: self.data,
            listeners: all.chain(callbacks).chain(metrics).collect(),
            certificate,
            url: self.url,
            roots: self.url_ca.map(|file| acme::roots(&file, "--url-ca")).transpose()?.map(Arc::new),
            backups: self.backups.to.map(|folder| doctor::Backups { folder, every }),
            alarms,
            round_trip,
        })
    }
}

/// Runs the same command in place of this one with the file's names in its environment; comes back only where that failed.
fn again_with(file: &Path) -> Failure {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let words =
                format!("the settings {} cannot be read: {error}. Run it as root, such as by sudo", file.display());
            return Failure::new(words);
        }
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Failure::new(format!("the program cannot be run again: {error}")),
    };
    let stands = |name: &str| std::env::var_os(name).is_some();
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut named = names(&text);
    if file == Path::new(SETTINGS) {
        add_installed(&mut named);
    }
    let named = named.into_iter().filter(|(name, _)| !stands(name));
    let error = Command::new(program).args(typed).envs(named).env("COUNTERFOIL_SETTINGS_READ", "true").exec();
    Failure::new(format!("the program cannot be run again: {error}"))
}

/// What the package’s units say: where the store is unless the file says so, and where systemd listens for the server in any case.
fn add_installed(named: &mut Vec<(String, String)>) {
    if named.iter().all(|(name, _)| name != "COUNTERFOIL_DATA") {
        named.push(("COUNTERFOIL_DATA".to_owned(), DATA.to_owned()));
    }
    let asked = Command::new("systemctl").args(["show", "counterfoil.socket", "--property=Listen", "--value"]).output();
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let listens: Vec<&str> = said.split_whitespace().filter(|word| word.parse::<SocketAddr>().is_ok()).collect();
    if !listens.is_empty() {
        named.retain(|(name, _)| name != "COUNTERFOIL_LISTEN");
        named.push(("COUNTERFOIL_LISTEN".to_owned(), listens.join(",")));
    }
}

/// What such a file says, as systemd reads it: a name and a value a line, which may stand in quotation marks.
fn names(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let quoted = ['"', '\''].iter().find_map(|mark| value.strip_prefix(*mark)?.strip_suffix(*mark));
        let is_name = name.starts_with("COUNTERFOIL_") && !name.contains(char::is_whitespace);
        is_name.then(|| (name.to_owned(), quoted.unwrap_or(value).to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_settings_is_read_as_systemd_reads_it() {
        let text = "# a note\n#COUNTERFOIL_LISTEN=1\nCOUNTERFOIL_PUBLIC_URL=https://a.example\n COUNTERFOIL_ALARM_COMMAND = \"/a b\"\nPATH=/x\n";
        let pairs = [("COUNTERFOIL_PUBLIC_URL", "https://a.example"), ("COUNTERFOIL_ALARM_COMMAND", "/a b")];
        assert_eq!(names(text), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_to_do_stands_below_what_was_found() {
        let finding = |to_do: Option<&str>| Finding {
            check: "space",
            state: State::Bad,
            found: "nothing is free".into(),
            to_do: to_do.map(str::to_owned),
        };
        assert_eq!(line(&finding(None)), "bad      space          Nothing is free.");
        assert_eq!(line(&finding(Some("Make room."))).lines().nth(1), Some("                        Make room."));
    }
}
