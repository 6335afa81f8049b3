//! Who is asking. Only this module makes a [`Sender`] (a service of Notify's, by its callback token) or a [`Caseworker`]
//! (a person, by a session), so a handler that holds one is behind the check. It knows headers and the store, no routes.

mod authenticator;
mod browser;
mod cross_site;
mod failures;
mod may;
mod neighbourhood;
mod one_time_links;
mod passkeys;
mod password;
mod second_factor;
mod secret;
mod senders;
mod single_sign_on;
mod throttle;
mod visitors;
mod webauthn;

pub use crate::oidc::Trouble;
pub use cross_site::{CrossSite, refuse_cross_site};
pub use may::May;
pub use neighbourhood::Neighbourhood;
pub use passkeys::{CreationAsked, UseAsked};
pub use password::{PasswordRefused, Passwords};
pub use second_factor::{Entered, Half, HalfWay, NotTaken, Offer, RequiredOf, SetUp, Step};
pub use secret::Secret;
pub use senders::{Caller, REVOKED_AFTER, Refused, Sender, Senders, TESTED_BY, Tester, token_sha256};
pub use single_sign_on::{CameBack, GroupRole, NotAdmitted, Rules, SingleSignOn, Started};
pub use visitors::{Caseworker, Left, NotSignedIn, Session, SignInRefused, Visitors};
pub use webauthn::{ALGORITHMS, Assertion, Creation, PasskeyRefused, RelyingParty};
