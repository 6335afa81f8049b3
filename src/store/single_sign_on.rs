//! Whose account it is that somebody signs in to through a provider of single sign-on.

use rusqlite::{Connection, OptionalExtension, params};

use super::people::{PERSON, person};
use super::{Mark, Person, Role, Store, StoreError};

/// Somebody whom a provider has signed in and who may come in.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The provider.
    pub issuer: String,
    /// What the person is called there for ever.
    pub subject: String,
    /// The address, where the provider has verified it.
    pub email: Option<String>,
    /// The role that the account gets each time, where the provider says it.
    pub role: Option<Role>,
    /// The role of a new account, where one may be made.
    pub make: Option<Role>,
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
    /// The account of somebody whom a provider has signed in: by what the provider calls that person, else by the verified address, else
    /// a new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn admit(&self, newcomer: Newcomer, now: i64) -> Result<Admitted, StoreError> {
        self.write(move |connection| admit(connection, &newcomer, now)).await
    }

    /// Lets the account be found by its address anew; false where it was nobody's at any provider.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_single_sign_on(&self, person: i64) -> Result<bool, StoreError> {
        self.write(move |connection| {
            Ok(connection.execute("DELETE FROM single_sign_on WHERE person = ?1", [person])? > 0)
        })
        .await
    }

    /// A mark under the key file for one part of a sign-in that is under way.
    #[must_use]
    pub fn sign_in_mark(&self, part: &str, value: &[u8]) -> Mark {
        self.inner.key.mark(&format!("single sign-on, {part}"), value)
    }
}

fn admit(connection: &Connection, newcomer: &Newcomer, now: i64) -> rusqlite::Result<Admitted> {
    let Newcomer { issuer, subject, email, role, make } = newcomer;
    let by_subject = format!(
        "SELECT {PERSON} FROM single_sign_on s JOIN people p ON p.id = s.person WHERE s.issuer = ?1 AND s.subject = ?2"
    );
    let by_email = format!("SELECT {PERSON} FROM people p WHERE p.email = ?1");
    let linked = connection.prepare_cached(&by_subject)?.query_row([issuer, subject], person).optional()?;
    let found = match (linked, email) {
        (Some(found), _) => found,
        (None, None) => return Ok(Admitted::NoAddress),
        (None, Some(email)) => {
            let found = connection.prepare_cached(&by_email)?.query_row([email], person).optional()?;
            let found = match (found, make) {
                (Some(found), _) => found,
                (None, None) => return Ok(Admitted::NoAccount),
                (None, Some(role)) => {
                    connection.execute(
                        "INSERT INTO people (email, role, made_at) VALUES (?1, ?2, ?3)",
                        params![email, role.as_str(), now],
                    )?;
                    connection.prepare_cached(&by_email)?.query_row([email], person)?
                }
            };
            // Before it is anybody's: whoever cannot sign in takes nothing.
            if found.disabled_at.is_some() {
                return Ok(Admitted::Disabled);
            }
            let linked = connection.execute(
                "INSERT INTO single_sign_on (issuer, subject, person, made_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![issuer, subject, found.id, now],
            )?;
            if linked == 0 {
                return Ok(Admitted::Taken);
            }
            found
        }
    };
    if found.disabled_at.is_some() {
        return Ok(Admitted::Disabled);
    }
    let role = role.unwrap_or(found.role);
    if role != found.role {
        connection.execute("UPDATE people SET role = ?2 WHERE id = ?1", params![found.id, role.as_str()])?;
    }
    Ok(Admitted::As(Person { role, ..found }))
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
            role: None,
            make: None,
        }
    }

    async fn with_account(folder: &std::path::Path) -> (Store, i64) {
        let store = Store::serve(folder, NOW).unwrap();
        let id = store.add_person("amy@example.gov.uk".into(), Role::Manager, None, NOW).await.unwrap();
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
        let admit = async |newcomer| store.admit(newcomer, NOW).await.unwrap();
        assert!(matches!(admit(newcomer("1", None)).await, Admitted::NoAddress));
        assert!(matches!(admit(newcomer("1", Some("bob@example.gov.uk"))).await, Admitted::NoAccount));
        assert_eq!(id(admit(newcomer("1", Some("amy@example.gov.uk"))).await), Some(amy));
        assert_eq!(id(admit(newcomer("1", Some("new.name@example.gov.uk"))).await), Some(amy), "the address changed");
        assert_eq!(id(admit(newcomer("1", None)).await), Some(amy));
        let other = newcomer("2", Some("amy@example.gov.uk"));
        assert!(matches!(admit(other.clone()).await, Admitted::Taken), "the address was given to somebody else");
        let elsewhere = Newcomer { issuer: "https://b.example".into(), ..newcomer("1", None) };
        assert!(matches!(admit(elsewhere).await, Admitted::NoAddress), "another provider's 1 is another person");
        assert!(store.forget_single_sign_on(amy).await.unwrap());
        assert_eq!(id(admit(other).await), Some(amy), "somebody has seen to it");
    }

    #[tokio::test]
    async fn an_account_is_made_where_that_is_allowed_and_gets_the_role_that_the_provider_says() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = with_account(folder.path()).await;
        let new = Newcomer { make: Some(Role::Caseworker), ..newcomer("1", Some("bob@example.gov.uk")) };
        let role = async |newcomer| match store.admit(newcomer, NOW).await.unwrap() {
            Admitted::As(person) => Some(person.role),
            _ => None,
        };
        assert_eq!(role(new.clone()).await, Some(Role::Caseworker));
        assert_eq!(role(Newcomer { role: Some(Role::Admin), ..new.clone() }).await, Some(Role::Admin));
        assert_eq!(role(new).await, Some(Role::Admin), "where nothing is said it stays");
        assert_eq!(store.person("bob@example.gov.uk").await.unwrap().unwrap().role, Role::Admin);
    }

    #[tokio::test]
    async fn a_disabled_account_is_not_entered_and_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (store, amy) = with_account(folder.path()).await;
        store.set_disabled(amy, Some(NOW)).await.unwrap();
        let newcomer = newcomer("1", Some("amy@example.gov.uk"));
        assert!(matches!(store.admit(newcomer.clone(), NOW).await.unwrap(), Admitted::Disabled));
        assert!(!store.forget_single_sign_on(amy).await.unwrap());
        store.set_disabled(amy, None).await.unwrap();
        assert_eq!(id(store.admit(newcomer.clone(), NOW).await.unwrap()), Some(amy));
        store.set_disabled(amy, Some(NOW)).await.unwrap();
        assert!(matches!(store.admit(newcomer, NOW).await.unwrap(), Admitted::Disabled));
    }
}
