//! Whose account it is that somebody signs in to through a provider of single sign-on.

use rusqlite::{Connection, OptionalExtension, params};

use super::key::Key;
use super::people::{PERSON, account, is_last_admin, limit, person};
use super::record::append;
use super::{By, Did, Entry, Mark, Person, Role, ServiceId, Services, Store, StoreError};

/// Somebody whom a provider has signed in and who may come in.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The provider.
    pub issuer: String,
    /// What the person is called there for ever.
    pub subject: String,
    /// The address, where the provider has verified it.
    pub email: Option<String>,
    /// What the account may do and see from now on, where the provider says it.
    pub given: Option<Given>,
    /// What a new account may do where the provider does not say; `None` where no account may be made.
    pub make: Option<Role>,
}

/// What a provider's groups give a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// The role.
    pub role: Role,
    /// The names of the services whose callbacks may be seen; `None` stands for all.
    pub services: Option<Vec<String>>,
}

/// What became of a newcomer.
pub enum Admitted {
    /// The account.
    As(Person),
    /// There is none, and none may be made.
    NoAccount,
    /// There is none, and without an address none can be found or made.
    NoAddress,
    /// The account of this address is of somebody else at the provider.
    Taken,
    /// The account may not sign in.
    Disabled,
}

impl Store {
    /// The account of somebody whom a provider has signed in from this network address: by what the provider calls that person, else by
    /// the verified address, else a new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn admit(&self, newcomer: Newcomer, source: String, now: i64) -> Result<Admitted, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| Admission { connection, key: &key, source: &source, now }.of(&newcomer)).await
    }

    /// Lets the account be found by its address anew; false where it was nobody's at any provider.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_single_sign_on(&self, person: i64, by: By, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let known = connection.execute("DELETE FROM single_sign_on WHERE person = ?1", [person])? > 0;
            append(connection, &key, &Entry::new(by, Did::ForgotSingleSignOn, now).of(account(person)))?;
            Ok(known)
        })
        .await
    }

    /// A mark under the key file for one part of a sign-in that is under way.
    #[must_use]
    pub fn sign_in_mark(&self, part: &str, value: &[u8]) -> Mark {
        self.inner.key.mark(&format!("single sign-on, {part}"), value)
    }
}

/// One transaction in which somebody is let in, or not.
struct Admission<'a> {
    connection: &'a Connection,
    key: &'a Key,
    source: &'a str,
    now: i64,
}

impl Admission<'_> {
    fn of(&self, newcomer: &Newcomer) -> rusqlite::Result<Admitted> {
        let (linked, email) = (self.by_subject(newcomer)?, newcomer.email.as_deref());
        let first = linked.is_none();
        let found = match (linked, email) {
            (Some(found), _) => found,
            (None, None) => return Ok(Admitted::NoAddress),
            (None, Some(email)) => match (self.by_email(email)?, newcomer.make) {
                (Some(found), _) => found,
                (None, None) => return Ok(Admitted::NoAccount),
                (None, Some(role)) => self.make(email, role)?,
            },
        };
        // Before it is anybody's: whoever cannot sign in takes nothing.
        if found.disabled_at.is_some() {
            return Ok(Admitted::Disabled);
        }
        if first && !self.link(newcomer, &found)? {
            return Ok(Admitted::Taken);
        }
        let stays = self.is_to_stay(&found, newcomer.given.as_ref())?;
        let found = self.give(found, newcomer.given.as_ref().filter(|_| !stays))?;
        let entry = self.entry(&found, Did::AdmittedBySingleSignOn);
        let more = [(first, "for the first time"), (stays, "stays an admin, as the last who can sign in")];
        let more: Vec<&str> = more.into_iter().filter_map(|(is_so, words)| is_so.then_some(words)).collect();
        append(self.connection, self.key, &if more.is_empty() { entry } else { entry.with(more.join(", ")) })?;
        Ok(Admitted::As(found))
    }

    fn by_subject(&self, newcomer: &Newcomer) -> rusqlite::Result<Option<Person>> {
        let sql = format!(
            "SELECT {PERSON} FROM single_sign_on s JOIN people p ON p.id = s.person
             WHERE s.issuer = ?1 AND s.subject = ?2"
        );
        let who = [&newcomer.issuer, &newcomer.subject];
        self.connection.prepare_cached(&sql)?.query_row(who, person).optional()
    }

    fn by_email(&self, email: &str) -> rusqlite::Result<Option<Person>> {
        let sql = format!("SELECT {PERSON} FROM people p WHERE p.email = ?1");
        self.connection.prepare_cached(&sql)?.query_row([email], person).optional()
    }

    fn make(&self, email: &str, role: Role) -> rusqlite::Result<Person> {
        let sql = "INSERT INTO people (email, role, made_at) VALUES (?1, ?2, ?3)";
        self.connection.execute(sql, params![email, role.as_str(), self.now])?;
        let made = self.by_email(email)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let entry = self.entry(&made, Did::AddedPerson).with(format!("{role}, all services, by single sign-on"));
        append(self.connection, self.key, &entry)?;
        Ok(made)
    }

    /// False where the account is of somebody else at the provider.
    fn link(&self, newcomer: &Newcomer, found: &Person) -> rusqlite::Result<bool> {
        let Newcomer { issuer, subject, .. } = newcomer;
        let linked = self.connection.execute(
            "INSERT INTO single_sign_on (issuer, subject, person, made_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![issuer, subject, found.id, self.now],
        )?;
        Ok(linked > 0)
    }

    /// Whether the person's groups would take the last admin away, whom nobody could make one again.
    fn is_to_stay(&self, found: &Person, given: Option<&Given>) -> rusqlite::Result<bool> {
        let is_taken = found.role == Role::Admin && given.is_some_and(|given| given.role != Role::Admin);
        let stays = is_taken && is_last_admin(self.connection, found.id)?;
        if stays {
            tracing::warn!(
                event = "access.last_admin_stays",
                account = found.id,
                "the groups of the last admin who can sign in give another role: they stay an admin until there is another"
            );
        }
        Ok(stays)
    }

    fn give(&self, found: Person, given: Option<&Given>) -> rusqlite::Result<Person> {
        let Some(Given { role, services }) = given else { return Ok(found) };
        let (role, sees) = (*role, self.sees(services.as_deref())?);
        if role == found.role && sees == found.sees {
            return Ok(found);
        }
        let sql = "UPDATE people SET role = ?2 WHERE id = ?1";
        self.connection.execute(sql, params![found.id, role.as_str()])?;
        let limits = limit(self.connection, found.id, &sees)?;
        let entry = self.entry(&found, Did::ChangedPerson).with(format!("{role}, {limits}, by single sign-on"));
        append(self.connection, self.key, &entry)?;
        Ok(Person { role, sees, ..found })
    }

    /// A service that is not there yet brings nothing: it is there at a later sign-in.
    fn sees(&self, names: Option<&[String]>) -> rusqlite::Result<Services> {
        let Some(names) = names else { return Ok(Services::All) };
        let mut numbers = Vec::new();
        for name in names {
            let found = self.connection.prepare_cached("SELECT id FROM services WHERE name = ?1")?;
            let found: Option<i64> = { found }.query_row([name], |row| row.get(0)).optional()?;
            if found.is_none() {
                tracing::warn!(
                    event = "oidc.no_such_service",
                    service = name,
                    "--oidc-group names a service that is not there"
                );
            }
            numbers.extend(found.map(ServiceId));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Services::Only(numbers))
    }

    fn entry(&self, person: &Person, did: Did) -> Entry {
        let by = By { person: Some(person.id), name: person.email.clone(), source: self.source.to_owned() };
        Entry::new(by, did, self.now).of(account(person.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    fn newcomer(subject: &str, email: Option<&str>) -> Newcomer {
        Newcomer {
            issuer: "https://a.example".into(),
            subject: subject.into(),
            email: email.map(str::to_owned),
            given: None,
            make: None,
        }
    }

    async fn with_account(folder: &std::path::Path) -> (Store, i64) {
        let store = Store::serve(folder, NOW).unwrap();
        let id = store
            .add_person("amy@example.gov.uk".into(), Role::Manager, Services::All, None, By::itself(), NOW)
            .await
            .unwrap();
        (store, id)
    }

    fn id(admitted: Admitted) -> Option<i64> {
        match admitted {
            Admitted::As(person) => Some(person.id),
            _ => None,
        }
    }

    #[tokio::test]
    async fn an_account_is_found_by_its_address_once_and_then_by_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (store, amy) = with_account(folder.path()).await;
        let admit = async |newcomer| store.admit(newcomer, String::new(), NOW).await.unwrap();
        assert!(matches!(admit(newcomer("1", None)).await, Admitted::NoAddress));
        assert!(matches!(admit(newcomer("1", Some("bob@example.gov.uk"))).await, Admitted::NoAccount));
        assert_eq!(id(admit(newcomer("1", Some("amy@example.gov.uk"))).await), Some(amy));
        assert_eq!(id(admit(newcomer("1", Some("new.name@example.gov.uk"))).await), Some(amy), "the address changed");
        assert_eq!(id(admit(newcomer("1", None)).await), Some(amy));
        let other = newcomer("2", Some("amy@example.gov.uk"));
        assert!(matches!(admit(other.clone()).await, Admitted::Taken), "the address was given to somebody else");
        let elsewhere = Newcomer { issuer: "https://b.example".into(), ..newcomer("1", None) };
        assert!(matches!(admit(elsewhere).await, Admitted::NoAddress), "another provider's 1 is another person");
        assert!(store.forget_single_sign_on(amy, By::itself(), NOW).await.unwrap());
        assert_eq!(id(admit(other).await), Some(amy), "somebody has seen to it");
    }

    #[tokio::test]
    async fn an_account_is_made_where_that_is_allowed_and_may_what_the_provider_says() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = with_account(folder.path()).await;
        let (email, password) = ("zoe@example.gov.uk".to_owned(), Some("a hash".into()));
        store.add_person(email, Role::Admin, Services::All, password, By::itself(), NOW).await.unwrap();
        let housing = store.add_token("Housing".into(), None, [1; 32], By::itself(), NOW).await;
        assert!(housing.is_ok());
        let new = Newcomer { make: Some(Role::Viewer), ..newcomer("1", Some("bob@example.gov.uk")) };
        let given = |role, services: Option<&[&str]>| Newcomer {
            given: Some(Given {
                role,
                services: services.map(|names| names.iter().map(|name| (*name).into()).collect()),
            }),
            ..new.clone()
        };
        let admit = async |newcomer| {
            let Admitted::As(person) = store.admit(newcomer, String::new(), NOW).await.unwrap() else { return None };
            let kept = store.person("bob@example.gov.uk").await.unwrap().unwrap();
            assert_eq!((person.role, &person.sees), (kept.role, &kept.sees));
            Some((person.role, person.sees))
        };
        assert_eq!(admit(new.clone()).await, Some((Role::Viewer, Services::All)));
        let one = Services::Only(vec![ServiceId(1)]);
        assert_eq!(admit(given(Role::Admin, Some(&["Housing", "No such"]))).await, Some((Role::Admin, one.clone())));
        assert_eq!(admit(new.clone()).await, Some((Role::Admin, one)), "where nothing is said it stays");
        let none = Services::Only(vec![]);
        assert_eq!(admit(given(Role::Admin, Some(&["No such"]))).await, Some((Role::Admin, none)));
        assert_eq!(admit(given(Role::Manager, None)).await, Some((Role::Manager, Services::All)));
    }

    #[tokio::test]
    async fn the_last_admin_stays_one_whatever_their_groups_say_and_the_record_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (store, amy) = with_account(folder.path()).await;
        store.change_person(amy, Role::Admin, Services::All, By::itself(), NOW).await.unwrap();
        let email = "bob@example.gov.uk".to_owned();
        store.add_person(email, Role::Admin, Services::All, None, By::itself(), NOW).await.unwrap();
        let given = Some(Given { role: Role::Viewer, services: Some(Vec::new()) });
        let came = Newcomer { given, ..newcomer("1", Some("amy@example.gov.uk")) };
        let role = async |newcomer| match store.admit(newcomer, String::new(), NOW).await.unwrap() {
            Admitted::As(person) => (person.role, person.sees),
            _ => panic!("nobody"),
        };
        let last = async || {
            let sql = "SELECT detail FROM audit ORDER BY id DESC LIMIT 1";
            store.read(move |connection| connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0))).await
        };
        assert_eq!(role(came.clone()).await, (Role::Admin, Services::All), "nobody else can sign in yet");
        let words = "stays an admin, as the last who can sign in";
        assert_eq!(last().await.unwrap(), Some(format!("for the first time, {words}")));
        role(came.clone()).await;
        assert_eq!(last().await.unwrap().as_deref(), Some(words));
        role(newcomer("2", Some("bob@example.gov.uk"))).await;
        assert_eq!(role(came).await, (Role::Viewer, Services::Only(vec![])), "there is another by now");
    }

    #[tokio::test]
    async fn a_disabled_account_is_not_entered_and_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (store, amy) = with_account(folder.path()).await;
        store.set_disabled(amy, true, By::itself(), NOW).await.unwrap();
        let newcomer = newcomer("1", Some("amy@example.gov.uk"));
        assert!(matches!(store.admit(newcomer.clone(), String::new(), NOW).await.unwrap(), Admitted::Disabled));
        assert!(!store.forget_single_sign_on(amy, By::itself(), NOW).await.unwrap());
        store.set_disabled(amy, false, By::itself(), NOW).await.unwrap();
        assert_eq!(id(store.admit(newcomer.clone(), String::new(), NOW).await.unwrap()), Some(amy));
        store.set_disabled(amy, true, By::itself(), NOW).await.unwrap();
        assert!(matches!(store.admit(newcomer, String::new(), NOW).await.unwrap(), Admitted::Disabled));
    }
}
