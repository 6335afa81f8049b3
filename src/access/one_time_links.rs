//! One-time links, on which people set their password and come in.

use http::HeaderMap;

use super::password::PasswordRefused;
use super::second_factor::Entered;
use super::secret::Secret;
use super::visitors::Visitors;
use crate::store::{Person, StoreError};

impl Visitors {
    /// Whose one-time link this is, while it is valid.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn link_owner(&self, link: &str, now: i64) -> Result<Option<Person>, StoreError> {
        let Some(secret) = Secret::parse(link) else { return Ok(None) };
        let owner = self.store.link_owner(secret.bytes(), now).await?;
        Ok(owner.filter(|owner| self.may_use_password(owner)))
    }

    /// Sets the password of a link's owner and lets them in, as far as the second step where there is one; the inner `None` means that
    /// the link is not valid.
    ///
    /// # Errors
    /// When the password is not taken; the inner one when the store cannot be used.
    pub async fn set_password(
        &self,
        link: &str,
        password: &str,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Result<Option<Entered>, StoreError>, PasswordRefused> {
        let Some(secret) = Secret::parse(link) else { return Ok(Ok(None)) };
        let owner = match self.link_owner(link, now).await {
            Ok(Some(owner)) => owner,
            // A link that is not valid costs no hashing.
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let hash = self.passwords.hash(password, &owner.email).await?;
        Ok(match self.store.set_password_by_link(secret.bytes(), hash, source.to_owned(), now).await {
            Ok(Some(person)) => self.after_password(&person, headers, source, now).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        })
    }
}
