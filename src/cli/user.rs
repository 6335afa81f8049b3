//! `counterfoil user`: the people who may look.

use std::io::Read;

use clap::{Args, Subcommand};

use super::{Data, Failure, listed, say, tell};
use crate::access::{Passwords, Secret};
use crate::clock::{self, MINUTE};
use crate::store::{Person, Role, Store};
use crate::web;

/// How long a one-time link works.
const LINK_WORKS: i64 = 60 * MINUTE;

/// People who may sign in: add, list, disable, enable, reset
#[derive(Args, Debug)]
pub(super) struct User {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Add(Add),
    List(List),
    Disable(One),
    Enable(Enable),
    Reset(Reset),
}

/// Add a person, and print a link on which they set their password
#[derive(Args, Debug)]
struct Add {
    /// The email address that they sign in with
    email: String,
    #[command(flatten)]
    data: Data,
    /// What they may do: caseworker, manager or admin
    #[arg(long, env = "COUNTERFOIL_ROLE")]
    role: Role,
    /// Read the password from standard input instead of printing a link
    #[arg(long, env = "COUNTERFOIL_PASSWORD_STDIN")]
    password_stdin: bool,
    #[command(flatten)]
    reached: Reached,
}

#[derive(Args, Debug)]
struct Reached {
    /// How people reach the pages, for the link
    #[arg(long, value_name = "URL", value_parser = super::public_url, env = "COUNTERFOIL_PUBLIC_URL", default_value = "http://localhost:8080")]
    public_url: String,
}

/// List the people: email, role, last signed in, state
#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    data: Data,
}

/// Let a person sign in no more, and end their sessions
#[derive(Args, Debug)]
struct One {
    /// Their email address
    email: String,
    #[command(flatten)]
    data: Data,
}

/// Let a person sign in again
#[derive(Args, Debug)]
struct Enable {
    #[command(flatten)]
    one: One,
}

/// Print a link on which a person sets a new password
#[derive(Args, Debug)]
struct Reset {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    reached: Reached,
}

pub(super) async fn run(user: User) -> Result<(), Failure> {
    match user.what {
        What::Add(add) => self::add(add).await,
        What::List(list) => self::list(&list.data).await,
        What::Disable(one) => set_disabled(&one, true).await,
        What::Enable(enable) => set_disabled(&enable.one, false).await,
        What::Reset(reset) => self::reset(reset).await,
    }
}

async fn add(add: Add) -> Result<(), Failure> {
    let email = add.email.trim().to_owned();
    if !email.contains('@') || email.contains(char::is_whitespace) {
        return Err(Failure::new(format!("‘{email}’ is not an email address")));
    }
    let password = if add.password_stdin { Some(password_from_stdin(&email).await?) } else { None };
    let store = add.data.open_or_make()?;
    let has_password = password.is_some();
    let person = store
        .add_person(email, add.role, password, clock::now())
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    if has_password { Ok(()) } else { print_link(&store, person, &add.reached).await }
}

/// The first line, hashed.
async fn password_from_stdin(email: &str) -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("the password cannot be read: {error}")))?;
    let password = text.lines().next().unwrap_or_default().to_owned();
    Passwords::default().hash(&password, email).await.map_err(|refused| Failure::new(refused.to_string()))
}

async fn print_link(store: &Store, person: i64, reached: &Reached) -> Result<(), Failure> {
    let secret = Secret::random().map_err(|error| Failure::new(format!("no random numbers could be had: {error}")))?;
    store.add_one_time_link(person, secret.bytes(), clock::now() + LINK_WORKS).await?;
    say(&format!("{}{}", reached.public_url, web::link_path(&secret)))?;
    tell("The link works once, for one hour.");
    Ok(())
}

async fn list(data: &Data) -> Result<(), Failure> {
    let store = data.open()?;
    say(&format!("{:<40}  {:<12}{:<22}state", "email", "role", "last signed in"))?;
    for person in store.people().await? {
        let state = match (&person.disabled_at, &person.password) {
            (Some(at), _) => format!("disabled {}", listed(Some(*at))),
            (None, Some(_)) => "enabled".into(),
            (None, None) => "no password yet".into(),
        };
        let signed_in = listed(person.signed_in_at);
        say(&format!("{:<40}  {:<12}{signed_in:<22}{state}", person.email, person.role.as_str()))?;
    }
    Ok(())
}

async fn set_disabled(one: &One, disabled: bool) -> Result<(), Failure> {
    let store = one.data.open()?;
    let person = known(&store, &one.email).await?;
    store.set_disabled(person.id, disabled.then(clock::now)).await?;
    tell(&format!("{} may {}.", person.email, if disabled { "no longer sign in" } else { "sign in" }));
    Ok(())
}

async fn reset(reset: Reset) -> Result<(), Failure> {
    let store = reset.one.data.open()?;
    let person = known(&store, &reset.one.email).await?;
    print_link(&store, person.id, &reset.reached).await
}

async fn known(store: &Store, email: &str) -> Result<Person, Failure> {
    let found = store.person(email).await?;
    found.ok_or_else(|| Failure::new("there is no account for this address. See counterfoil user list"))
}
