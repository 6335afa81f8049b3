//! Single sign-on by OpenID Connect: what a provider is asked, and what it answers, checked. It knows no account, no cookie and no
//! route. Time and random values are arguments.
//!
//! What a provider is and which keys it signs with is asked when the first person wants to sign in, and kept for an hour. A
//! provider that is down, slow or lying costs the person who signs in some seconds, and nobody else anything.

mod endpoint;
mod id_token;
mod keys;
mod metadata;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use endpoint::Authentication;
pub use endpoint::{WrongAddress, check_address};
use id_token::Expected;
pub use id_token::Untrue;
use keys::Keys;
use metadata::Metadata;

/// How long what a provider says of itself is believed.
const FRESH: Duration = Duration::from_hours(1);
/// After a failure it is left alone for so long: whoever comes meanwhile is told at once.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// A key that nobody knows leads to the keys being fetched anew so often at most.
const KEYS_ANEW: Duration = Duration::from_mins(1);
/// All that is asked for one sign-in is answered by then.
const PATIENCE: Duration = Duration::from_secs(20);
/// Sign-ins that wait for the provider at the same time.
const AT_ONCE: usize = 32;

/// What the provider knows us by.
pub struct Client {
    /// The provider's own name, a URL, exactly as it writes it.
    pub issuer: String,
    /// The client's id there.
    pub id: String,
    /// The client's secret there.
    pub secret: ClientSecret,
    /// What is asked for beside `openid`, `email` and `profile`.
    pub scopes: Vec<String>,
    /// The claim that names a person's groups, where they matter.
    pub groups_claim: Option<String>,
    /// Where the provider sends people back to.
    pub redirect_uri: String,
}

/// A secret; its Debug says nothing.
pub struct ClientSecret(String);

impl ClientSecret {
    /// Of a file's text: white space around it is no part of it.
    #[must_use]
    pub fn new(text: &str) -> Option<ClientSecret> {
        Some(text.trim()).filter(|text| !text.is_empty()).map(|text| ClientSecret(text.to_owned()))
    }

    /// No provider knows it, so that it refuses everybody.
    #[must_use]
    pub fn none() -> ClientSecret {
        ClientSecret(String::new())
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// What went wrong with the provider. It holds no personal data and no secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// There was no whole answer in time, or a longer one than any of ours is.
    #[error("the provider’s {0} did not answer as it should in time")]
    Unanswered(&'static str),
    /// An answer with another status.
    #[error("the provider’s {0} answered with status {1}")]
    Status(&'static str, u16),
    /// An answer that is no such thing.
    #[error("the provider’s {0} cannot be understood")]
    NotUnderstood(&'static str),
    /// The provider calls itself something else.
    #[error("the provider calls itself another issuer than --oidc-issuer says")]
    OtherIssuer,
    /// An address in what the provider says of itself.
    #[error("the provider’s {0} has an address that is not taken: it {1}")]
    Address(&'static str, WrongAddress),
    /// The provider does not take the code.
    #[error("the provider refused the code: {0}")]
    Code(String),
    /// The ID token is not to be believed.
    #[error("the provider’s ID token is not taken: {0}")]
    Untrue(#[from] Untrue),
    /// The user info is of somebody else.
    #[error("the provider’s user info is of another person than its ID token")]
    OtherPerson,
}

/// What is sent along with a person to the provider, and has to come back.
pub struct Sent {
    /// Comes back in the address.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// Shown to the provider with the code; before that it sees the digest alone.
    pub verifier: String,
}

/// Who signed in, as the provider says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// What the person is called at the provider for ever.
    pub subject: String,
    /// The address, in lower case.
    pub email: Option<String>,
    /// Whether the provider has verified it, where it says.
    pub email_verified: Option<bool>,
    /// The groups.
    pub groups: Vec<String>,
    /// There are more groups than the token has room for, and it holds none of them.
    pub groups_left_out: bool,
}

/// A provider, asked when it is needed.
pub struct Provider {
    client: Client,
    state: Mutex<State>,
    asking: Semaphore,
}

#[derive(Default)]
struct State {
    known: Option<Arc<Known>>,
    failed: Option<(Instant, Trouble)>,
    /// When the keys were last fetched because one was not known.
    keys_anew: Option<Instant>,
}

struct Known {
    metadata: Metadata,
    keys: Keys,
    at: Instant,
}

impl Known {
    async fn ask(issuer: &str) -> Result<Known, Trouble> {
        let metadata = Metadata::ask(issuer).await?;
        let keys = Keys::ask(&metadata.keys).await?;
        Ok(Known { metadata, keys, at: Instant::now() })
    }
}

/// What the token endpoint answers; there is more in it.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Provider {
    /// Not asked yet.
    #[must_use]
    pub fn new(client: Client) -> Provider {
        Provider { client, state: Mutex::default(), asking: Semaphore::new(AT_ONCE) }
    }

    /// The provider's own name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.client.issuer
    }

    /// Where a person is sent to sign in.
    ///
    /// # Errors
    /// When the provider cannot say where that is.
    pub async fn sign_in_address(&self, sent: &Sent) -> Result<String, Trouble> {
        let known = self.in_time(self.known()).await?;
        let mut scopes = vec!["openid", "email", "profile"];
        scopes.extend(self.client.scopes.iter().map(String::as_str));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&sent.verifier));
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client.id)
            .append_pair("redirect_uri", &self.client.redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &sent.state)
            .append_pair("nonce", &sent.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let address = &known.metadata.authorization;
        Ok(format!("{address}{}{query}", if address.contains('?') { '&' } else { '?' }))
    }

    /// Whether an answer that names this issuer, or none, is this provider's (RFC 9207).
    ///
    /// # Errors
    /// When the provider cannot say whether it always names itself.
    pub async fn is_from(&self, issuer: Option<&str>) -> Result<bool, Trouble> {
        match issuer {
            Some(issuer) => Ok(issuer == self.client.issuer),
            None => Ok(!self.in_time(self.known()).await?.metadata.names_itself),
        }
    }

    /// Who signed in, for the code that came back with the person. `now` is in seconds since 1970 UTC.
    ///
    /// # Errors
    /// When the provider does not say, or is not believed.
    pub async fn claims(&self, code: &str, sent: &Sent, now: i64) -> Result<Claims, Trouble> {
        self.in_time(self.ask_claims(code, sent, now)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let one_of_few = async {
            let _permit = self.asking.acquire().await.ok();
            work.await
        };
        timeout(PATIENCE, one_of_few).await.unwrap_or(Err(Trouble::Unanswered("server")))
    }

    async fn ask_claims(&self, code: &str, sent: &Sent, now: i64) -> Result<Claims, Trouble> {
        let known = self.known().await?;
        let tokens = self.tokens(&known.metadata, code, sent).await?;
        let expected = Expected { issuer: &self.client.issuer, client: &self.client.id, nonce: &sent.nonce, now };
        let mut claims = match id_token::read(&tokens.id_token, &known.keys, &expected) {
            Err(Untrue::Key) => {
                let known = self.with_keys_anew(known.clone()).await?;
                id_token::read(&tokens.id_token, &known.keys, &expected)?
            }
            read => read?,
        };
        // Some providers put little into the token.
        let missing = |claim: &str| !claims.contains_key(claim);
        let little = missing("email") || self.client.groups_claim.as_deref().is_some_and(missing);
        if little && let (Some(user_info), Some(access)) = (&known.metadata.user_info, &tokens.access_token) {
            let answered = user_info.get("user info", Some(access)).await?;
            let said: Map<String, Value> =
                serde_json::from_slice(&answered).map_err(|_| Trouble::NotUnderstood("user info"))?;
            if said.get("sub") != claims.get("sub") {
                return Err(Trouble::OtherPerson);
            }
            for (name, value) in said {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(Claims::of(&claims, self.client.groups_claim.as_deref()))
    }

    async fn tokens(&self, metadata: &Metadata, code: &str, sent: &Sent) -> Result<Tokens, Trouble> {
        let (form, authentication) = self.code_form(metadata, code, sent);
        let answered = metadata.token.post("token endpoint", form, authentication).await?;
        if !answered.head.status.is_success() {
            let refusal = serde_json::from_slice::<Refusal>(&answered.body);
            return Err(match refusal {
                Ok(refusal) => Trouble::Code(plain_code(&refusal.error)),
                Err(_) => Trouble::Status("token endpoint", answered.head.status.as_u16()),
            });
        }
        serde_json::from_slice(&answered.body).map_err(|_| Trouble::NotUnderstood("answer with the tokens"))
    }

    fn code_form(&self, metadata: &Metadata, code: &str, sent: &Sent) -> (String, Option<Authentication>) {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.client.redirect_uri)
            .append_pair("code_verifier", &sent.verifier);
        let (id, secret) = (&self.client.id, &self.client.secret.0);
        if metadata.secret_in_form {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        }
        let authentication = if metadata.secret_in_form { None } else { Authentication::basic(id, secret) };
        (form.finish(), authentication)
    }

    /// What the provider says of itself. Who comes while it is asked waits for the same answer.
    async fn known(&self) -> Result<Arc<Known>, Trouble> {
        let mut state = self.state.lock().await;
        if let Some(known) = state.known.as_ref().filter(|known| known.at.elapsed() < FRESH) {
            return Ok(known.clone());
        }
        if let Some((at, trouble)) = state.failed.as_ref().filter(|(at, _)| at.elapsed() < LEFT_ALONE) {
            tracing::debug!(event = "oidc.left_alone", ago = at.elapsed().as_secs(), "the provider failed just now");
            return Err(trouble.clone());
        }
        let asked = Known::ask(&self.client.issuer).await.map(Arc::new);
        state.failed = asked.as_ref().err().map(|trouble| (Instant::now(), trouble.clone()));
        state.known = asked.as_ref().ok().cloned();
        asked
    }

    /// The same with the keys fetched anew, because one is not among them; as it was where that was done just now.
    async fn with_keys_anew(&self, before: Arc<Known>) -> Result<Arc<Known>, Trouble> {
        let mut state = self.state.lock().await;
        if let Some(known) = state.known.as_ref().filter(|known| !Arc::ptr_eq(known, &before)) {
            return Ok(known.clone());
        }
        if state.keys_anew.is_some_and(|at| at.elapsed() < KEYS_ANEW) {
            return Ok(before);
        }
        state.keys_anew = Some(Instant::now());
        let keys = Keys::ask(&before.metadata.keys).await?;
        let known = Arc::new(Known { metadata: before.metadata.clone(), keys, at: before.at });
        state.known = Some(known.clone());
        Ok(known)
    }
}

/// A code of an error as it may stand in a log or on a page.
#[must_use]
pub fn plain_code(code: &str) -> String {
    let plain = code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if plain && !code.is_empty() { code.to_owned() } else { "an error without a name".to_owned() }
}

impl Claims {
    fn of(claims: &Map<String, Value>, groups_claim: Option<&str>) -> Claims {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let groups = groups_claim.and_then(|claim| claims.get(claim));
        let left_out = groups_claim.is_some_and(|claim| {
            groups.is_none() && claims.get("_claim_names").is_some_and(|names| names.get(claim).is_some())
        });
        Claims {
            subject: text("sub").unwrap_or_default(),
            email: text("email").map(|email| email.trim().to_lowercase()).filter(|email| is_address(email)),
            email_verified: claims.get("email_verified").and_then(truth),
            groups: groups.map(words).unwrap_or_default(),
            groups_left_out: left_out,
        }
    }
}

/// Some providers write a truth as text.
fn truth(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

/// A list of words; one alone may stand without the list.
fn words(value: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect(),
    }
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    text.len() <= 320
        && !text.contains(|character: char| character.is_whitespace() || character.is_control())
        && parts.is_some_and(|(_, domain)| !domain.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(claims: &Value) -> Claims {
        Claims::of(claims.as_object().unwrap(), Some("groups"))
    }

    #[test]
    fn an_address_is_verified_only_where_the_provider_says_so() {
        let verified =
            |value: Value| of(&json!({"sub": "1", "email": "a@b.example", "email_verified": value})).email_verified;
        assert_eq!(verified(json!(true)), Some(true));
        assert_eq!(verified(json!("true")), Some(true));
        assert_eq!(verified(json!(false)), Some(false));
        assert_eq!(verified(json!("yes")), None);
        assert_eq!(verified(json!(1)), None);
        assert_eq!(of(&json!({"sub": "1"})).email_verified, None);
    }

    #[test]
    fn what_is_no_address_is_none() {
        let email = |text: &str| of(&json!({"sub": "1", "email": text})).email;
        assert_eq!(email(" Amy@Example.GOV.uk "), Some("amy@example.gov.uk".into()));
        for wrong in ["", "amy", "@b.example", "a@", "a@b@c.example", "a b@c.example", "a@b\n.example"] {
            assert_eq!(email(wrong), None, "{wrong:?}");
        }
        assert_eq!(email(&format!("{}@b.example", "a".repeat(400))), None);
    }

    #[test]
    fn groups_are_a_list_or_one_word_and_may_be_left_out() {
        assert_eq!(of(&json!({"sub": "1", "groups": ["a", 5, "b"]})).groups, ["a", "b"]);
        assert_eq!(of(&json!({"sub": "1", "groups": "a"})).groups, ["a"]);
        assert!(!of(&json!({"sub": "1"})).groups_left_out);
        assert!(of(&json!({"sub": "1", "_claim_names": {"groups": "src1"}})).groups_left_out);
    }

    #[test]
    fn a_code_of_an_error_holds_nothing_but_small_letters() {
        assert_eq!(plain_code("access_denied"), "access_denied");
        for odd in ["", "<b>", "Amy Smith", &"a".repeat(61), "a\nb"] {
            assert_eq!(plain_code(odd), "an error without a name");
        }
    }
}
