//! Single sign-on: who may come in by it and as what, and the cookie that holds a sign-in together while the person is away at the
//! provider.
//!
//! Nothing is kept here while somebody is away, so a flood of starts takes no room and a restart breaks no sign-in. The cookie holds a
//! secret, when it was made and the page that was wanted, under a mark; the state, the nonce and the verifier are marks of that secret
//! under the key file. So only the browser that left can come back, and nobody who sees the cookie knows the verifier.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use subtle::ConstantTimeEq;

use super::secret::Secret;
use super::visitors::{Session, Visitors, cookie_text, random};
use crate::clock::{MINUTE, SECOND};
use crate::oidc::{Claims, Provider, Sent, Trouble, plain_code};
use crate::store::{Admitted, By, Did, Entry, Given, Mark, Newcomer, Person, Role, Store, StoreError, hexadecimal};

/// Whoever has not come back by then begins anew.
const AWAY: i64 = 10 * MINUTE;
/// A clock is put right by so little without a word.
const SET_BACK: i64 = MINUTE;
/// The cookie's name; browsers take it only from this host, whole and over a safe connection.
const COOKIE_NAME: &str = "__Host-counterfoil-single-sign-on";
/// A longer page address is not carried along.
const LONGEST_NEXT: usize = 1500;
/// Sign-ins that are remembered as done; past this the oldest are forgotten, and the provider refuses their codes.
const REMEMBERED: usize = 10_000;

/// Who may come in, and as what.
#[derive(Debug)]
pub struct Rules {
    /// Only addresses at one of these, in lower case; none stands for all.
    pub domains: Vec<String>,
    /// Only who is in one of these; none stands for all.
    pub groups: Vec<String>,
    /// What the members of groups may do. Where there is any, nobody else comes in.
    pub roles: Vec<GroupRole>,
    /// What a new account may do where no group says.
    pub new: Role,
    /// An address of which the provider does not say whether it has verified it is taken for verified.
    pub trust_email: bool,
}

/// What the members of a group may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRole {
    /// The group, as the provider writes it.
    pub group: String,
    /// The role, and the services to which it is limited.
    pub given: Given,
}

/// Why somebody who came by single sign-on is not let in.
#[derive(Debug)]
pub enum NotAdmitted {
    /// This browser has not begun such a sign-in, or too long ago, or has finished it.
    NotBegun,
    /// The provider says no, with a code.
    ByProvider(String),
    /// The provider does not answer, or not as it should.
    Provider(Trouble),
    /// There is no address that the provider has verified.
    NoAddress,
    /// The address is at a domain that is not let in.
    Domain,
    /// The person is in no group that is let in.
    Group,
    /// There is no account, and none is made.
    NoAccount,
    /// The account of the address is of somebody else at the provider.
    Taken,
    /// The account may not sign in.
    Disabled,
    /// Too many failures from there: so many seconds must pass first.
    Wait(i64),
    /// It could not be done.
    Store(StoreError),
}

impl NotAdmitted {
    /// The word for it in the log; it does not change.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            NotAdmitted::NotBegun => "not_begun",
            NotAdmitted::ByProvider(_) => "by_provider",
            NotAdmitted::Provider(Trouble::Code(_)) => "code",
            NotAdmitted::Provider(Trouble::OtherIssuer) => "other_issuer",
            NotAdmitted::Provider(_) => "provider_failed",
            NotAdmitted::NoAddress => "no_verified_address",
            NotAdmitted::Domain => "domain",
            NotAdmitted::Group => "group",
            NotAdmitted::NoAccount => "no_account",
            NotAdmitted::Taken => "taken",
            NotAdmitted::Disabled => "disabled",
            NotAdmitted::Wait(_) => "wait",
            NotAdmitted::Store(_) => "store",
        }
    }

    /// Whether whoever came back may have made up what they came with, and not only be kept out.
    fn may_be_made_up(&self) -> bool {
        use Trouble::{Code, OtherIssuer, OtherPerson, Untrue};
        matches!(self, NotAdmitted::Provider(Code(_) | OtherIssuer | OtherPerson | Untrue(_)))
    }
}

impl From<StoreError> for NotAdmitted {
    fn from(error: StoreError) -> NotAdmitted {
        NotAdmitted::Store(error)
    }
}

impl From<Trouble> for NotAdmitted {
    fn from(trouble: Trouble) -> NotAdmitted {
        NotAdmitted::Provider(trouble)
    }
}

/// A sign-in that has begun.
pub struct Started {
    /// Where the browser goes.
    pub location: String,
    /// The `Set-Cookie` value that it takes along.
    pub cookie: String,
}

/// What the provider sent somebody back with.
#[derive(Debug, Default)]
pub struct CameBack<'a> {
    /// What was sent along.
    pub state: Option<&'a str>,
    /// What the provider tells us more for.
    pub code: Option<&'a str>,
    /// Who says it is the provider.
    pub issuer: Option<&'a str>,
    /// What went wrong there.
    pub error: Option<&'a str>,
}

/// Single sign-on as it is set up.
pub struct SingleSignOn {
    provider: Provider,
    rules: Rules,
    words: String,
    only: bool,
    done: Mutex<HashMap<Mark, i64>>,
}

impl SingleSignOn {
    /// With a provider; `words` stand on the button, and where it is the only way, nobody but admins has a password.
    #[must_use]
    pub fn new(provider: Provider, rules: Rules, words: String, only: bool) -> SingleSignOn {
        SingleSignOn { provider, rules, words, only, done: Mutex::default() }
    }

    /// What stands on the button.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Whether nobody but admins has a password.
    #[must_use]
    pub fn is_the_only_way(&self) -> bool {
        self.only
    }

    /// The `Set-Cookie` value that ends a sign-in in the browser.
    #[must_use]
    pub fn end_cookie() -> &'static str {
        "__Host-counterfoil-single-sign-on=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    }

    pub(super) async fn start(&self, store: &Store, next: &str, now: i64) -> Result<Started, NotAdmitted> {
        let secret = random()?;
        let location = self.provider.sign_in_address(&sent(store, &secret)).await?;
        let next = if next.len() > LONGEST_NEXT { "/" } else { next };
        let kept = format!("{}.{now}.{next}", secret.text());
        let mark = hexadecimal(&store.sign_in_mark("cookie", kept.as_bytes()));
        // A semicolon ends a cookie; what may be in an address and not in a cookie is encoded.
        let value = percent_encoding::utf8_percent_encode(&kept, IN_A_COOKIE);
        let age = AWAY / SECOND;
        let cookie = format!("{COOKIE_NAME}={mark}.{value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}");
        Ok(Started { location, cookie })
    }

    /// What was sent along with a sign-in that began in this browser and has not been finished, and the page that was wanted.
    fn begun(
        &self,
        store: &Store,
        back: &CameBack<'_>,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<(Sent, String), NotAdmitted> {
        let (secret, next) = begun(store, headers, now).ok_or(NotAdmitted::NotBegun)?;
        let sent = sent(store, &secret);
        if !same(back.state.unwrap_or_default(), &sent.state) || !self.first_time(&secret, store, now) {
            return Err(NotAdmitted::NotBegun);
        }
        Ok((sent, next))
    }

    async fn finish(
        &self,
        store: &Store,
        back: &CameBack<'_>,
        sent: &Sent,
        source: &str,
        now: i64,
    ) -> Result<Person, NotAdmitted> {
        if !self.provider.is_from(back.issuer).await? {
            return Err(NotAdmitted::Provider(Trouble::OtherIssuer));
        }
        if let Some(error) = back.error {
            return Err(NotAdmitted::ByProvider(plain_code(error)));
        }
        let code = back.code.ok_or(NotAdmitted::NotBegun)?;
        let claims = self.provider.claims(code, sent, now / SECOND).await?;
        let name = self.rules.address(&claims).unwrap_or("somebody without a verified address").to_owned();
        match self.admit(store, claims, source, now).await {
            Ok(person) => Ok(person),
            Err(NotAdmitted::Store(error)) => Err(error.into()),
            Err(refused) => {
                let by = By { person: None, name, source: source.to_owned() };
                store.record(Entry::new(by, Did::RefusedBySingleSignOn, now).with(refused.word())).await?;
                Err(refused)
            }
        }
    }

    async fn admit(&self, store: &Store, claims: Claims, source: &str, now: i64) -> Result<Person, NotAdmitted> {
        let newcomer = self.rules.judge(self.provider.issuer(), claims)?;
        match store.admit(newcomer, source.to_owned(), now).await? {
            Admitted::As(person) => Ok(person),
            Admitted::NoAccount => Err(NotAdmitted::NoAccount),
            Admitted::NoAddress => Err(NotAdmitted::NoAddress),
            Admitted::Taken => Err(NotAdmitted::Taken),
            Admitted::Disabled => Err(NotAdmitted::Disabled),
        }
    }

    /// Whether nobody came back with this before.
    fn first_time(&self, secret: &Secret, store: &Store, now: i64) -> bool {
        let mark = store.sign_in_mark("done", secret.bytes());
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() >= REMEMBERED {
            done.retain(|_, at| *at + AWAY + SET_BACK > now);
        }
        if done.len() >= REMEMBERED {
            done.clear();
        }
        done.insert(mark, now).is_none()
    }
}

impl Visitors {
    /// Begins a sign-in by single sign-on, which leads to the page `next` in the end; `None` where it is not set up.
    ///
    /// # Errors
    /// When the provider cannot say where that is done.
    pub async fn start_single_sign_on(&self, next: &str, now: i64) -> Option<Result<Started, NotAdmitted>> {
        Some(self.single_sign_on.as_ref()?.start(&self.store, next, now).await)
    }

    /// Begins a session for whoever came back from the provider, and tells the page that was wanted; `None` where it is not set up.
    /// How strong the sign-in is, is the provider's to say: no second factor is asked for here.
    ///
    /// # Errors
    /// When that person may not come in, the provider is not believed or does not answer, or the store cannot be used.
    pub async fn finish_single_sign_on(
        &self,
        back: &CameBack<'_>,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Option<Result<(Session, String), NotAdmitted>> {
        let single_sign_on = self.single_sign_on.as_ref()?;
        let admitted = async {
            // Nothing else reaches the provider, and nobody reaches it as often as they like.
            let (sent, next) = single_sign_on.begun(&self.store, back, headers, now)?;
            self.throttle.begin_from(source, now).map_err(NotAdmitted::Wait)?;
            // It holds what the provider answers: too large for a stack.
            let finished = Box::pin(single_sign_on.finish(&self.store, back, &sent, source, now)).await;
            if !finished.as_ref().is_err_and(NotAdmitted::may_be_made_up) {
                self.throttle.succeeded_from(source);
            }
            let session = self.begin(&finished?, true, headers, source, now).await?;
            Ok((session.ok_or(NotAdmitted::Disabled)?, next))
        };
        Some(admitted.await)
    }
}

impl Rules {
    /// Whether accounts are made: who may come in is then said, and not by the accounts alone.
    #[must_use]
    pub fn make_accounts(&self) -> bool {
        !(self.domains.is_empty() && self.groups.is_empty() && self.roles.is_empty())
    }

    /// Whether a person's groups matter.
    #[must_use]
    pub fn ask_groups(&self) -> bool {
        !(self.groups.is_empty() && self.roles.is_empty())
    }

    /// The address, where the provider has verified it or is trusted to have.
    fn address<'a>(&self, claims: &'a Claims) -> Option<&'a str> {
        claims.email.as_deref().filter(|_| claims.email_verified.unwrap_or(self.trust_email))
    }

    fn judge(&self, issuer: &str, claims: Claims) -> Result<Newcomer, NotAdmitted> {
        let email = self.address(&claims).map(str::to_owned);
        if !self.domains.is_empty() {
            let domain = email.as_deref().and_then(|email| email.rsplit_once('@')).ok_or(NotAdmitted::NoAddress)?.1;
            if !self.domains.iter().any(|allowed| allowed == domain) {
                return Err(NotAdmitted::Domain);
            }
        }
        if self.ask_groups() && claims.groups_left_out {
            tracing::warn!(
                event = "oidc.groups_left_out",
                "somebody is in more groups than the provider puts into a token: let it name only the groups that this client needs"
            );
        }
        let is_in = |group: &str| claims.groups.iter().any(|one| one == group);
        let given = self.given(&is_in);
        let in_one = self.groups.is_empty() || self.groups.iter().any(|group| is_in(group));
        if !in_one || (given.is_none() && !self.roles.is_empty()) {
            return Err(NotAdmitted::Group);
        }
        let new = given.as_ref().map_or(self.new, |given| given.role);
        let make = self.make_accounts().then_some(new);
        Ok(Newcomer { issuer: issuer.to_owned(), subject: claims.subject, email, given, make })
    }

    /// The highest role that a group gives, for the services of the groups that give it: what a lesser role is given for does not widen
    /// it.
    fn given(&self, is_in: &dyn Fn(&str) -> bool) -> Option<Given> {
        let mine = || self.roles.iter().filter(|one| is_in(&one.group)).map(|one| &one.given);
        let role = mine().map(|given| given.role).max()?;
        let highest = mine().filter(|given| given.role == role).map(|given| given.services.clone());
        let services: Option<Vec<Vec<String>>> = highest.collect();
        Some(Given { role, services: services.map(|lists| lists.concat()) })
    }
}

/// What may stand in an address of ours and not in a cookie.
const IN_A_COOKIE: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// What goes along to the provider for this secret.
fn sent(store: &Store, secret: &Secret) -> Sent {
    let part = |part| hexadecimal(&store.sign_in_mark(part, secret.bytes()));
    Sent { state: part("state"), nonce: part("nonce"), verifier: part("verifier") }
}

/// The sign-in that this browser has begun, and the page that was wanted.
fn begun(store: &Store, headers: &HeaderMap, now: i64) -> Option<(Secret, String)> {
    let (mark, kept) = cookie_text(headers, COOKIE_NAME)?.split_once('.')?;
    let kept = percent_encoding::percent_decode_str(kept).decode_utf8().ok()?;
    if !same(mark, &hexadecimal(&store.sign_in_mark("cookie", kept.as_bytes()))) {
        return None;
    }
    let (secret, rest) = kept.split_once('.')?;
    let (made_at, next) = rest.split_once('.')?;
    let away = now - made_at.parse::<i64>().ok()?;
    (-SET_BACK..AWAY).contains(&away).then_some(())?;
    Some((Secret::parse(secret)?, next.to_owned()))
}

fn same(one: &str, other: &str) -> bool {
    bool::from(one.as_bytes().ct_eq(other.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    fn claims(email: &str, groups: &[&str]) -> Claims {
        Claims {
            subject: "1".into(),
            email: Some(email.into()),
            email_verified: Some(true),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            groups_left_out: false,
        }
    }

    const NO_RULES: Rules =
        Rules { domains: Vec::new(), groups: Vec::new(), roles: Vec::new(), new: Role::Viewer, trust_email: false };

    fn judged(rules: &Rules, claims: Claims) -> Result<(Option<Role>, Option<Role>), &'static str> {
        let judged = rules.judge("https://a.example", claims);
        judged.map(|newcomer| (newcomer.given.map(|given| given.role), newcomer.make)).map_err(|refused| refused.word())
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn without_a_rule_nobody_gets_a_new_account() {
        assert_eq!(judged(&NO_RULES, claims("a@b.example", &[])), Ok((None, None)));
    }

    #[test]
    fn where_domains_and_groups_are_named_both_must_be_right() {
        let rules = Rules { domains: owned(&["b.example"]), groups: owned(&["staff", "bosses"]), ..NO_RULES };
        assert_eq!(judged(&rules, claims("a@b.example", &["staff"])), Ok((None, Some(Role::Viewer))));
        assert_eq!(judged(&rules, claims("a@b.example", &["others"])), Err("group"));
        for elsewhere in ["a@c.example", "a@sub.b.example", "a@xb.example", "b.example@c.example"] {
            assert_eq!(judged(&rules, claims(elsewhere, &["staff"])), Err("domain"), "{elsewhere}");
        }
        let no_email = Claims { email: None, ..claims("", &["staff"]) };
        assert_eq!(judged(&rules, no_email), Err("no_verified_address"));
    }

    #[test]
    fn an_address_counts_only_where_it_is_verified_or_the_provider_is_trusted_with_it() {
        let rules = |trust_email| Rules { domains: owned(&["b.example"]), trust_email, ..NO_RULES };
        let said = |email_verified| Claims { email_verified, ..claims("a@b.example", &[]) };
        assert!(judged(&rules(false), said(Some(true))).is_ok());
        assert_eq!(judged(&rules(false), said(None)), Err("no_verified_address"));
        assert_eq!(judged(&rules(false), said(Some(false))), Err("no_verified_address"));
        assert!(judged(&rules(true), said(None)).is_ok());
        assert_eq!(judged(&rules(true), said(Some(false))), Err("no_verified_address"), "the provider says it is not");
    }

    #[test]
    fn the_highest_role_of_a_persons_groups_counts_for_the_services_of_the_groups_that_give_it() {
        let member = |group: &str, role, services: Option<&[&str]>| GroupRole {
            group: group.into(),
            given: Given { role, services: services.map(owned) },
        };
        let all = vec![
            member("staff", Role::Caseworker, None),
            member("housing", Role::Manager, Some(&["Housing"])),
            member("parking", Role::Manager, Some(&["Parking", "Permits"])),
            member("bosses", Role::Manager, None),
        ];
        let rules = Rules { roles: all, ..NO_RULES };
        let given = |groups: &[&str]| {
            let judged = rules.judge("https://a.example", claims("a@b.example", groups));
            judged.map_err(|refused| refused.word()).map(|newcomer| {
                let given = newcomer.given.unwrap();
                assert_eq!(newcomer.make, Some(given.role));
                (given.role, given.services)
            })
        };
        assert_eq!(given(&["staff"]), Ok((Role::Caseworker, None)));
        assert_eq!(given(&["staff", "housing"]), Ok((Role::Manager, Some(owned(&["Housing"])))));
        let three = owned(&["Housing", "Parking", "Permits"]);
        assert_eq!(given(&["parking", "housing", "staff"]), Ok((Role::Manager, Some(three))));
        assert_eq!(given(&["housing", "bosses"]), Ok((Role::Manager, None)));
        assert_eq!(given(&["Staff"]), Err("group"));
        assert_eq!(given(&[]), Err("group"));
    }

    #[test]
    fn only_the_cookie_that_was_given_and_only_for_ten_minutes_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let secret = Secret::random().unwrap();
        let next = "/receipts?q=%C3%A9;,%25\"x";
        let kept = format!("{}.{NOW}.{next}", secret.text());
        let mark = hexadecimal(&store.sign_in_mark("cookie", kept.as_bytes()));
        let value = format!("{mark}.{}", percent_encoding::utf8_percent_encode(&kept, IN_A_COOKIE));
        assert!(!value.contains([';', ' ', ',']), "{value}");
        let back = |value: &str, now| {
            let header = HeaderValue::from_str(&format!("a=b; {COOKIE_NAME}={value}")).unwrap();
            begun(&store, &HeaderMap::from_iter([(COOKIE, header)]), now)
        };
        assert_eq!(back(&value, NOW), Some((secret, next.to_owned())));
        assert!(back(&value, NOW + AWAY - 1).is_some());
        assert!(back(&value, NOW + AWAY).is_none());
        assert!(back(&value, NOW - SET_BACK - 1).is_none());
        assert!(back(&value.replace("receipts", "messages"), NOW).is_none());
        assert!(back(&value.replace(&NOW.to_string(), &(NOW + MINUTE).to_string()), NOW).is_none());
        for wrong in ["", ".", "..", "a.b.c.d"] {
            assert!(back(wrong, NOW).is_none(), "{wrong}");
        }
    }
}
