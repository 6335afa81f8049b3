//! `counterfoil token`: the secrets by which Notify's services are known.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Data, Failure, by, listed, read_token, say, tell};
use crate::access::{REVOKED_AFTER, Secret, token_sha256};
use crate::clock;
use crate::store::Store;

/// A token that was made elsewhere must have so many characters.
const SHORTEST: usize = 32;

/// Callback tokens: make, list, revoke, keep
#[derive(Args, Debug)]
pub(super) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Add(Add),
    List(List),
    Revoke(Revoke),
    Keep(Keep),
}

/// Make a callback token for a Notify service and print it, once
///
/// Paste it in Notify under API integration, Callbacks. Only its SHA-256 is kept. Several tokens of one service are valid at
/// once: add the new one, change it in Notify, then revoke the old one, which is taken for another half an hour.
#[derive(Args, Debug)]
#[command(mut_args(super::is_made))]
struct Add {
    /// The name of the Notify service; it stands on everything that this token brings
    name: String,
    #[command(flatten)]
    data: Data,
    /// Take the token in this file instead of making one: UTF-8, 32 characters or more, one last newline is dropped
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_FROM_FILE")]
    from_file: Option<PathBuf>,
    /// The service's id in Notify
    #[arg(long, value_name = "UUID", env = "COUNTERFOIL_NOTIFY_SERVICE_ID")]
    notify_service_id: Option<uuid::Uuid>,
}

/// List the tokens: id, service, when made, when last used, state
#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    data: Data,
}

/// Refuse a token, from half an hour from now on
///
/// Notify's retries carry the old token for up to 25 minutes after you change it there, and a callback that is refused is never sent
/// again. Until then `counterfoil token keep` calls it off.
#[derive(Args, Debug)]
struct Revoke {
    /// The token's id, as `counterfoil token list` shows it
    id: i64,
    #[command(flatten)]
    data: Data,
    /// Refuse it at once, as where somebody else may know it: what Notify sends with it is lost
    #[arg(long, env = "COUNTERFOIL_NOW")]
    now: bool,
}

/// Call off the revocation of a token, where it has not come yet
#[derive(Args, Debug)]
struct Keep {
    /// The token's id, as `counterfoil token list` shows it
    id: i64,
    #[command(flatten)]
    data: Data,
}

pub(super) async fn run(token: Token) -> Result<(), Failure> {
    match token.what {
        What::Add(add) => self::add(add).await,
        What::List(list) => self::list(&list.data).await,
        What::Revoke(revoke) => self::revoke(revoke).await,
        What::Keep(keep) => self::keep(keep).await,
    }
}

async fn add(add: Add) -> Result<(), Failure> {
    let name = service_name(&add.name)?;
    let (token, made) = match &add.from_file {
        Some(file) => (usable(read_token(file)?)?, false),
        None => (Secret::random()?.text(), true),
    };
    let (store, was_made) = add.data.open_or_make()?;
    let notify_service_id = add.notify_service_id.map(|id| id.hyphenated().to_string());
    let id = keep_hash(&store, name, notify_service_id, &token).await?;
    if made && let Err(failure) = say(&token) {
        // Nobody has seen it, so nobody is to use it.
        let now = clock::now();
        store.revoke_token(id, now, by(), now).await?;
        return Err(failure);
    }
    let valid = if was_made { add.data.was_made("this token") } else { "Notify can use it at once.".to_owned() };
    tell(&format!("This is token {id}. {valid}"));
    Ok(())
}

/// Makes a token for the service of this name; gives it and its number. Nobody can read it again.
pub(super) async fn make(store: &Store, name: &str) -> Result<(String, i64), Failure> {
    let (name, token) = (service_name(name)?, Secret::random()?.text());
    let id = keep_hash(store, name, None, &token).await?;
    Ok((token, id))
}

fn service_name(typed: &str) -> Result<String, Failure> {
    let name = typed.trim();
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Failure::new("a service needs a name of one line, as it is in Notify"));
    }
    Ok(name.to_owned())
}

async fn keep_hash(
    store: &Store,
    name: String,
    notify_service_id: Option<String>,
    token: &str,
) -> Result<i64, Failure> {
    let added = store.add_token(name, notify_service_id, token_sha256(token.as_bytes()), by(), clock::now()).await;
    added.map_err(|error| Failure::new(error.to_string()))
}

/// What an HTTP header can carry whole, and nobody can guess.
fn usable(token: String) -> Result<String, Failure> {
    if token.chars().count() < SHORTEST {
        return Err(Failure::new("the token in this file is too short: it needs 32 characters or more"));
    }
    if token.trim() != token || token.chars().any(char::is_control) {
        return Err(Failure::new("the token in this file begins or ends with a space, or holds a control character"));
    }
    if token.chars().any(|character| character > '\u{ff}') {
        let words = "the token in this file holds a character that Notify cannot send. Save it as UTF-8 without a byte order mark";
        return Err(Failure::new(words));
    }
    Ok(token)
}

async fn list(data: &Data) -> Result<(), Failure> {
    let store = data.open()?;
    say(&format!("{:<6}{:<32}  {:<22}{:<22}state", "id", "name", "made", "last used"))?;
    for token in store.tokens().await? {
        let state = match token.revoked_at {
            None => "valid".to_owned(),
            Some(at) if token.is_valid(clock::now()) => format!("revoked from {}", listed(Some(at))),
            Some(at) => format!("revoked {}", listed(Some(at))),
        };
        let (made, used) = (listed(Some(token.made_at)), listed(token.last_used_at));
        say(&format!("{:<6}{:<32}  {made:<22}{used:<22}{state}", token.id, token.service_name))?;
    }
    Ok(())
}

async fn revoke(revoke: Revoke) -> Result<(), Failure> {
    let (store, id, now) = (revoke.data.open()?, revoke.id, clock::now());
    let asked = if revoke.now { now } else { now + REVOKED_AFTER };
    let Some(from) = store.revoke_token(id, asked, by(), now).await? else {
        return Err(Failure::new(format!("there is no token {id}. See counterfoil token list")));
    };
    if from <= now {
        let since = if from < now { format!("since {}", listed(Some(from))) } else { "from now on".to_owned() };
        tell(&format!("Token {id} is refused {since}."));
        return Ok(());
    }
    let from = listed(Some(from));
    tell(&format!("Token {id} is refused from {from} on. Until then counterfoil token keep {id} calls it off."));
    Ok(())
}

async fn keep(keep: Keep) -> Result<(), Failure> {
    let (store, id) = (keep.data.open()?, keep.id);
    if store.keep_token(id, by(), clock::now()).await? {
        tell(&format!("Token {id} is not revoked."));
        return Ok(());
    }
    Err(Failure::new(format!("no revocation of a token {id} is to come. See counterfoil token list")))
}
