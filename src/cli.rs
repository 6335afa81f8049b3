//! What may be typed: a file a verb. The only module that prints, reads the environment (through clap) and picks exit codes.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program speaks")]

mod acme;
mod audit;
mod backfill;
mod backup;
mod beyond;
mod check;
mod demo;
mod doctor;
mod export;
mod first_run;
mod healthcheck;
mod hold;
mod import;
mod log;
mod mail;
mod manual;
mod oidc;
mod owner;
mod purge;
mod quarantine;
mod restore;
mod schedule;
mod send;
mod serve;
mod subject;
mod systemd;
mod tls;
mod token;
mod unsaid;
mod user;
mod watch;
mod watched;
mod who;
mod without;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::who::by;
use crate::clock;
use crate::store::{OpenError, Store, StoreError};

/// Keeps every GOV.UK Notify callback and lets caseworkers find and read them.
///
/// Begin with `counterfoil demo`, which shows all of it on a store that is gone afterwards. To set it up for good:
/// `counterfoil serve`, then `counterfoil token add` for each Notify service and `counterfoil user add` for each person.
#[derive(Parser, Debug)]
#[command(name = "counterfoil", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Serve(Box<serve::Serve>),
    Token(token::Token),
    User(user::User),
    Backfill(backfill::Backfill),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Doctor(Box<doctor::Doctor>),
    Check(check::Check),
    Healthcheck(healthcheck::Healthcheck),
    Purge(purge::Purge),
    Subject(subject::Subject),
    Export(export::Export),
    Import(import::Import),
    Audit(audit::Audit),
    Quarantine(quarantine::Quarantine),
    Requeue(quarantine::Requeue),
    Demo(demo::Demo),
    Send(send::Send),
    #[command(hide = true)]
    Manual(manual::Manual),
}

/// The folder of the store, for every verb that needs one.
#[derive(Args, Debug, Clone)]
struct Data {
    /// The folder that holds the store
    #[arg(long, value_name = "DIR", env = "COUNTERFOIL_DATA")]
    data: PathBuf,
}

/// What the verbs that make a store say of its folder.
fn is_made(argument: clap::Arg) -> clap::Arg {
    if argument.get_id() == "data" {
        argument.help("The folder that holds the store. It is made if it does not exist")
    } else {
        argument
    }
}

impl Data {
    /// The store, and whether there was none and it was made.
    fn open_or_make(&self) -> Result<(Store, bool), Failure> {
        match Store::existing(&self.data, clock::now()) {
            Err(OpenError::NoStore(_)) => Ok((Store::beside(&self.data, clock::now())?, true)),
            opened => Ok((opened?, false)),
        }
    }

    /// What is said where one was made, which can be by a slip of the finger. `what` is what no other store has.
    fn was_made(&self, what: &str) -> String {
        let folder = self.data.display();
        format!(
            "There was no store in {folder}, and one was made. Where a server runs on another folder, check --data: {what} is not valid there."
        )
    }

    /// The store that is there already, and whether this process is the one that keeps its index because no server runs.
    fn open_alone_or_beside(&self) -> Result<(Store, bool), Failure> {
        match Store::existing_alone(&self.data, clock::now()) {
            Err(OpenError::InUse) => Ok((self.open()?, false)),
            opened => Ok((opened?, true)),
        }
    }

    /// The store, made where there is none; this process keeps its index where no server runs.
    fn open_alone_or_make(&self) -> Result<Store, Failure> {
        match Store::serve(&self.data, clock::now()) {
            Err(OpenError::InUse) => self.open(),
            opened => Ok(opened?),
        }
    }

    /// The store that is there already.
    fn open(&self) -> Result<Store, Failure> {
        Ok(Store::existing(&self.data, clock::now())?)
    }
}

/// What a person is told, and the exit code.
#[derive(Debug)]
struct Failure {
    words: String,
    code: u8,
}

impl Failure {
    fn new(words: impl Into<String>) -> Failure {
        Failure { words: words.into(), code: 1 }
    }

    /// Nothing that is there already is written over.
    fn exists_already(file: &Path) -> Failure {
        let words = format!("the file {} exists already. Name one that does not exist", file.display());
        Failure { words, code: 19 }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        Failure { words: error.to_string(), code: error.exit_code() }
    }
}

impl From<getrandom::Error> for Failure {
    fn from(error: getrandom::Error) -> Failure {
        Failure::new(format!("no random numbers could be had: {error}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        if let StoreError::Damaged(said) = error {
            return OpenError::Damaged(said).into();
        }
        Failure::new(format!("the store could not be used: {error}. Nothing was changed; try again"))
    }
}

/// All that may be typed. Help says which names flags have in the environment, and never what stands there.
fn command() -> Command {
    fn without_values(command: Command) -> Command {
        command.mut_args(|flag| flag.hide_env_values(true)).mut_subcommands(without_values)
    }
    without_values(Cli::command())
}

/// Runs what was typed.
#[must_use]
pub fn run() -> ExitCode {
    let mut typed = command().get_matches();
    let cli = Cli::from_arg_matches_mut(&mut typed).unwrap_or_else(|error| error.format(&mut command()).exit());
    keep_memory_private();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(verb(cli.verb)),
        Err(error) => Err(Failure::new(format!("the program cannot start: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&format!("counterfoil: {}", failure.words));
            ExitCode::from(failure.code)
        }
    }
}

/// What is in memory is personal, and may be a password or a key: no core dump is written, and no other process of the same user
/// reads it. Where the system does not do as it is told, all works as well.
fn keep_memory_private() {
    let _no_core = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0).is_ok();
    #[cfg(target_os = "linux")]
    let _private = {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
    };
}

/// One core is left to the store's writer, which everybody waits for.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

async fn verb(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Serve(serve) => serve::run(*serve).await,
        Verb::Token(token) => token::run(token).await,
        Verb::User(user) => user::run(user).await,
        Verb::Backfill(backfill) => backfill::run(backfill).await,
        Verb::Backup(backup) => backup::run(backup).await,
        Verb::Restore(restore) => restore::run(restore).await,
        Verb::Doctor(doctor) => doctor::run(*doctor).await,
        Verb::Check(check) => check::run(check).await,
        Verb::Healthcheck(healthcheck) => healthcheck::run(healthcheck).await,
        Verb::Purge(purge) => purge::run(purge).await,
        Verb::Subject(subject) => subject::run(subject).await,
        Verb::Export(export) => export::run(export).await,
        Verb::Import(import) => import::run(import).await,
        Verb::Audit(audit) => audit::run(audit).await,
        Verb::Quarantine(quarantine) => quarantine::run(quarantine).await,
        Verb::Requeue(requeue) => quarantine::requeue(requeue).await,
        Verb::Demo(demo) => demo::run(demo).await,
        Verb::Send(send) => send::run(send).await,
        Verb::Manual(manual) => manual::run(&manual),
    }
}

/// Says something on standard output, where it is what the command was run for.
fn say(words: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("nothing can be written to standard output: {error}"));
    let mut output = io::stdout().lock();
    writeln!(output, "{words}").and_then(|()| output.flush()).map_err(failed)
}

/// Says something on standard error, where somebody may be listening.
fn tell(words: &str) {
    let _heard = writeln!(io::stderr(), "{words}").is_ok();
}

/// The address under which people and Notify reach the server, without a path.
fn public_url(typed: &str) -> Result<String, String> {
    let url: http::Uri = typed.parse().map_err(|_| "it is no URL".to_owned())?;
    let whole = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty());
    let bare = matches!(url.path(), "" | "/") && url.query().is_none();
    if whole && bare {
        return Ok(typed.trim_end_matches('/').to_owned());
    }
    Err("give the scheme and the host alone, such as https://callbacks.example.gov.uk".into())
}

/// A number of days, such as 90 or 90d.
fn days(typed: &str) -> Result<u32, String> {
    let number = typed.strip_suffix('d').unwrap_or(typed);
    let days = number.parse().ok().filter(|days| (1..=36_500).contains(days));
    days.ok_or_else(|| "write a number of days from 1 to 36500, such as 90".to_owned())
}

/// A token as its file holds it: UTF-8, one last newline dropped.
fn read_token(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("the token file {} cannot be read: {error}", file.display())))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(text.to_owned())
}

/// A moment in a list: to the second, UTC.
fn listed(micros: Option<i64>) -> String {
    let moment = micros.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    moment.map_or_else(|| "never".into(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_and_a_host() {
        assert_eq!(public_url("https://a.example/"), Ok("https://a.example".into()));
        assert_eq!(public_url("http://localhost:8080"), Ok("http://localhost:8080".into()));
        for wrong in ["foo", "a.example", "ftp://a.example", "https://a.example/path", "https://", ""] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_of_days_has_a_d_behind_it_or_none() {
        for right in ["90d", "90"] {
            assert_eq!(days(right), Ok(90), "{right}");
        }
        for wrong in ["", "0", "0d", "-1d", "d", "90dd", "3m", "90 days", "36501"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_flag_can_also_stand_in_the_environment() {
        command().debug_assert();
        let mut commands = vec![command()];
        while let Some(command) = commands.pop() {
            for flag in command.get_arguments().filter(|flag| flag.get_long().is_some()) {
                let name = flag.get_env().map(|name| name.to_string_lossy().into_owned());
                assert!(
                    flag.is_hide_env_values_set() || name.is_none(),
                    "help says what stands there: {}",
                    flag.get_id()
                );
                let known = matches!(flag.get_id().as_str(), "help" | "version");
                assert!(known || name.is_some_and(|name| name.starts_with("COUNTERFOIL_")), "{flag}");
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn what_is_wrong_with_a_value_that_may_be_secret_or_personal_is_said_without_it() {
        for (typed, flag, secret) in [
            ("serve --data x", "--alarm-webhook", "http://hooks.example/T0/SECRET"),
            ("doctor --data x", "--alarm-webhook", "http://hooks.example/T0/SECRET"),
            ("serve --data x --backup-to x", "--backup-encrypt-to", "AGE-SECRET-KEY-1QQQ"),
            ("backup --data x file", "--encrypt-to", "AGE-SECRET-KEY-1QQQ"),
            ("serve --data x", "--backfill", "a-key-3d844edf-8d35-48ac-975b-e847b4f122b0"),
            ("serve --data x", "--notify-api", "a-key-3d844edf-8d35-48ac-975b-e847b4f122b0"),
            (
                "serve --data x --smtp-url smtp://localhost --public-url http://localhost",
                "--smtp-from",
                "amy smith example.com",
            ),
            ("subject erase --data x --number 1", "--reason", "asked by 07700 900123"),
            ("subject hold add --data x --number 1", "--reason", "asked by 07700 900123"),
        ] {
            let typed = ["counterfoil"].into_iter().chain(typed.split(' ')).chain([flag, secret]);
            let said = command().try_get_matches_from(typed).unwrap_err().to_string();
            assert!(said.contains(&format!("invalid value for '{flag} ")), "{said}");
            assert!(!said.contains(secret), "{said}");
        }
    }
}
