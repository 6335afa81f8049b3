//! `counterfoil user`: the people who may look.

use std::io::Read;

use clap::{Args, Subcommand};

use super::{Data, Failure, by, listed, say, subject, tell};
use crate::access::{Passwords, Secret};
use crate::clock;
use crate::store::{ChangePersonError, Person, Role, Services, Store};
use crate::web;

/// Where a link leads unless it is told.
const HERE: &str = "http://localhost:8080";

/// People who may sign in: add, list, change, disable, enable, reset, reset-second-factor, sign out, forget single sign-on
///
/// Where - stands in the place of an address it is read from standard input, so that it is in no list of processes and in no shell's
/// history.
#[derive(Args, Debug)]
pub(super) struct User {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Add(Add),
    List(List),
    Change(Change),
    SignOut(SignOut),
    Disable(One),
    Enable(Enable),
    Reset(Reset),
    ResetSecondFactor(ResetSecondFactor),
    ForgetSingleSignOn(ForgetSingleSignOn),
}

/// Add a person, and print a link on which they set their password
#[derive(Args, Debug)]
#[command(mut_args(super::is_made))]
struct Add {
    /// The email address that they sign in with; - reads it from standard input
    email: String,
    #[command(flatten)]
    data: Data,
    /// What they may do: viewer, caseworker, manager or admin
    #[arg(long, env = "COUNTERFOIL_ROLE")]
    role: Role,
    /// Show them only what this Notify service brought; may be given several times. Everything where it is left out
    #[arg(long = "service", value_name = "NAME", value_delimiter = ';', env = "COUNTERFOIL_SERVICE")]
    services: Vec<String>,
    /// Read the password from standard input instead of printing a link; after the address, where that is read there too
    #[arg(long, env = "COUNTERFOIL_PASSWORD_STDIN")]
    password_stdin: bool,
    #[command(flatten)]
    reached: Reached,
}

#[derive(Args, Debug)]
struct Reached {
    /// How people reach the pages, for the link. Without it the link works on this machine alone
    #[arg(long, value_name = "URL", value_parser = super::public_url, env = "COUNTERFOIL_PUBLIC_URL")]
    public_url: Option<String>,
}

/// Change what a person may do and see, from their next page on
#[derive(Args, Debug)]
struct Change {
    #[command(flatten)]
    one: One,
    /// What they may do from now on: viewer, caseworker, manager or admin
    #[arg(long, env = "COUNTERFOIL_ROLE")]
    role: Option<Role>,
    /// Show them only what this Notify service brought; may be given several times, and replaces what held before
    #[arg(long = "service", value_name = "NAME", value_delimiter = ';', env = "COUNTERFOIL_SERVICE")]
    services: Vec<String>,
    /// Show them what every service brought
    #[arg(long, conflicts_with = "services", env = "COUNTERFOIL_ALL_SERVICES")]
    all_services: bool,
}

/// End every session of a person
#[derive(Args, Debug)]
struct SignOut {
    #[command(flatten)]
    one: One,
}

/// List the people: email, role, last signed in, state, services
#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    data: Data,
}

/// Let a person sign in no more, and end their sessions
#[derive(Args, Debug)]
struct One {
    /// Their email address; - reads it from standard input
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

/// Take a person’s authenticator app, recovery codes and passkeys away, for who has lost them, and end their sessions. Make sure that it
/// is them: until they set up another app, their password alone is enough to do so
#[derive(Args, Debug)]
struct ResetSecondFactor {
    #[command(flatten)]
    one: One,
}

/// Find the account by its email address at the next single sign-on, as when the address has been given to somebody else
#[derive(Args, Debug)]
struct ForgetSingleSignOn {
    #[command(flatten)]
    one: One,
}

pub(super) async fn run(user: User) -> Result<(), Failure> {
    match user.what {
        What::Add(add) => self::add(add).await,
        What::List(list) => self::list(&list.data).await,
        What::Change(change) => self::change(change).await,
        What::SignOut(sign_out) => self::sign_out(&sign_out.one).await,
        What::Disable(one) => set_disabled(&one, true).await,
        What::Enable(enable) => set_disabled(&enable.one, false).await,
        What::Reset(reset) => self::reset(reset).await,
        What::ResetSecondFactor(reset) => reset_second_factor(&reset.one).await,
        What::ForgetSingleSignOn(forget) => forget_single_sign_on(&forget.one).await,
    }
}

async fn add(add: Add) -> Result<(), Failure> {
    let email = email_address(&address(&add.email)?)?;
    let password = if add.password_stdin { Some(password_from_stdin(&email).await?) } else { None };
    let (store, was_made) = add.data.open_or_make()?;
    let (has_password, sees) = (password.is_some(), seen(&store, add.services).await?);
    let person = store
        .add_person(email, add.role, sees, password, by(), clock::now())
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    if !has_password {
        print_link(&store, person, &add.reached).await?;
    }
    if was_made {
        tell(&add.data.was_made("this account"));
    }
    Ok(())
}

/// Adds an administrator; gives the link on which they set their password.
pub(super) async fn add_administrator(store: &Store, email: &str, public_url: &str) -> Result<String, Failure> {
    let email = email_address(email)?;
    let added = store.add_person(email, Role::Admin, Services::All, None, by(), clock::now()).await;
    let person = added.map_err(|error| Failure::new(error.to_string()))?;
    link(store, person, public_url).await
}

fn email_address(typed: &str) -> Result<String, Failure> {
    let email = typed.trim();
    if !email.contains('@') || email.contains(char::is_whitespace) {
        return Err(Failure::new(format!("‘{email}’ is not an email address")));
    }
    Ok(email.to_owned())
}

/// The address, read from standard input where it is to stand in no list of processes.
fn address(typed: &str) -> Result<String, Failure> {
    if typed == "-" { subject::line() } else { Ok(typed.to_owned()) }
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
    say(&link(store, person, reached.public_url.as_deref().unwrap_or(HERE)).await?)?;
    tell("The link works once, for one hour.");
    if reached.public_url.is_none() {
        tell("It works on this machine alone. Give --public-url for one that works elsewhere.");
    }
    Ok(())
}

async fn link(store: &Store, person: i64, public_url: &str) -> Result<String, Failure> {
    let secret = Secret::random()?;
    let now = clock::now();
    store.add_one_time_link(person, secret.bytes(), now + web::LINK_WORKS, by(), now).await?;
    Ok(format!("{public_url}{}", web::link_path(&secret)))
}

async fn list(data: &Data) -> Result<(), Failure> {
    let store = data.open()?;
    say(&format!("{:<40}  {:<12}{:<22}{:<34}services", "email", "role", "last signed in", "state"))?;
    let known = store.services().await?;
    for person in store.people().await? {
        let state = match (&person.disabled_at, &person.password) {
            (Some(at), _) => format!("disabled {}", listed(Some(*at))),
            (None, Some(_)) => "enabled".into(),
            (None, None) => "no password yet".into(),
        };
        let signed_in = listed(person.signed_in_at);
        let sees = match &person.sees {
            Services::All => "all".to_owned(),
            Services::Only(numbers) => {
                let names = known.iter().filter(|service| numbers.contains(&service.id));
                names.map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ")
            }
        };
        let role = person.role.as_str();
        say(&format!("{:<40}  {role:<12}{signed_in:<22}{state:<34}{sees}", person.email))?;
    }
    Ok(())
}

async fn set_disabled(one: &One, disabled: bool) -> Result<(), Failure> {
    let store = one.data.open()?;
    let person = known(&store, &one.email).await?;
    store.set_disabled(person.id, disabled, by(), clock::now()).await?;
    tell(&format!("{} may {}.", person.email, if disabled { "no longer sign in" } else { "sign in" }));
    Ok(())
}

/// Whose callbacks a person sees who is given these services' names; everything where there are none.
async fn seen(store: &Store, names: Vec<String>) -> Result<Services, Failure> {
    if names.is_empty() {
        return Ok(Services::All);
    }
    let known = store.services().await?;
    let number = |name: String| {
        let found = known.iter().find(|service| service.name == name.trim()).map(|service| service.id);
        found.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|service| service.name.as_str()).collect();
            Failure::new(format!("there is no service ‘{}’. There is: {}", name.trim(), names.join(", ")))
        })
    };
    names.into_iter().map(number).collect::<Result<_, _>>().map(Services::Only)
}

async fn change(change: Change) -> Result<(), Failure> {
    let store = change.one.data.open()?;
    let person = known(&store, &change.one.email).await?;
    if change.role.is_none() && change.services.is_empty() && !change.all_services {
        return Err(Failure::new("say what changes: --role, --service or --all-services"));
    }
    let sees = match change.services {
        names if !names.is_empty() => seen(&store, names).await?,
        _ if change.all_services => Services::All,
        _ => person.sees,
    };
    let role = change.role.unwrap_or(person.role);
    store.change_person(person.id, role, sees, by(), clock::now()).await?;
    tell(&format!("{} is {role} from their next page on.", person.email));
    Ok(())
}

async fn sign_out(one: &One) -> Result<(), Failure> {
    let store = one.data.open()?;
    let person = known(&store, &one.email).await?;
    store.end_sessions(person.id, by(), clock::now()).await?;
    tell(&format!("{} is signed out everywhere.", person.email));
    Ok(())
}

async fn reset(reset: Reset) -> Result<(), Failure> {
    let store = reset.one.data.open()?;
    let person = known(&store, &reset.one.email).await?;
    print_link(&store, person.id, &reset.reached).await
}

impl From<ChangePersonError> for Failure {
    fn from(error: ChangePersonError) -> Failure {
        match error {
            ChangePersonError::Store(error) => error.into(),
            refused => Failure::new(refused.to_string()),
        }
    }
}

async fn reset_second_factor(one: &One) -> Result<(), Failure> {
    let store = one.data.open()?;
    let person = known(&store, &one.email).await?;
    if store.remove_second_factor(person.id, by(), clock::now()).await? {
        tell(&format!("{} sets up an authenticator app at the next sign-in, if one is required.", person.email));
    } else {
        tell(&format!("{} had no authenticator app and no passkey.", person.email));
    }
    Ok(())
}

async fn forget_single_sign_on(one: &One) -> Result<(), Failure> {
    let store = one.data.open()?;
    let person = known(&store, &one.email).await?;
    let known = store.forget_single_sign_on(person.id, by(), clock::now()).await?;
    tell(&if known {
        format!("The next person who signs in with {} by single sign-on gets this account.", person.email)
    } else {
        format!("Nobody has signed in to {} by single sign-on.", person.email)
    });
    Ok(())
}

async fn known(store: &Store, email: &str) -> Result<Person, Failure> {
    let found = store.person(&address(email)?).await?;
    found.ok_or_else(|| Failure::new("there is no account for this address. See counterfoil user list"))
}
