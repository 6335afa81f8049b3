//! The flags of `counterfoil serve` for single sign-on.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::without::Without;
use crate::access::{GroupRole, Rules, SingleSignOn};
use crate::oidc::{Client, ClientSecret, Provider, check_address};
use crate::store::{Given, Role};
use crate::web::CALLBACK_PATH;

/// Single sign-on by OpenID Connect.
#[derive(Args, Debug)]
#[expect(clippy::struct_field_names, reason = "clap knows them by these names, beside all others of serve")]
pub(super) struct Flags {
    /// Let people sign in through this provider of OpenID Connect: its issuer, exactly as the provider writes it. Register the address
    /// of --public-url with /sign-in/oidc/callback there. Without --oidc-allow-domain, --oidc-allow-group and --oidc-group only people who
    /// have an account come in
    #[arg(
        long,
        value_name = "URL",
        value_parser = issuer,
        requires_all = ["public_url", "oidc_client_id", "oidc_client_secret_file"],
        env = "COUNTERFOIL_OIDC_ISSUER"
    )]
    oidc_issuer: Option<String>,
    /// What the provider calls Counterfoil
    #[arg(long, value_name = "ID", requires = "oidc_issuer", env = "COUNTERFOIL_OIDC_CLIENT_ID")]
    oidc_client_id: Option<String>,
    /// The file that holds the client secret that the provider gave
    #[arg(long, value_name = "FILE", requires = "oidc_issuer", env = "COUNTERFOIL_OIDC_CLIENT_SECRET_FILE")]
    oidc_client_secret_file: Option<PathBuf>,
    /// Let in whoever has a verified email address at this domain, and nobody else; may be given several times. Accounts are made
    #[arg(
        long,
        value_name = "DOMAIN",
        value_parser = domain,
        value_delimiter = ',',
        requires = "oidc_issuer",
        env = "COUNTERFOIL_OIDC_ALLOW_DOMAIN"
    )]
    oidc_allow_domain: Vec<String>,
    /// Let in whoever is in this group, and nobody else; may be given several times. Where domains are named too, both must be right.
    /// Accounts are made
    #[arg(
        long,
        value_name = "GROUP",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        value_delimiter = ';',
        requires = "oidc_issuer",
        env = "COUNTERFOIL_OIDC_ALLOW_GROUP"
    )]
    oidc_allow_group: Vec<String>,
    /// Give the members of a group this role, and show them only what these Notify services brought or else everything, anew at each
    /// sign-in; may be given several times. The highest role counts, and who is in none of these groups is not let in
    #[arg(
        long,
        value_name = "GROUP=ROLE[:SERVICE,…]",
        value_parser = group_role,
        value_delimiter = ';',
        requires = "oidc_issuer",
        env = "COUNTERFOIL_OIDC_GROUP"
    )]
    oidc_group: Vec<GroupRole>,
    /// What a new account may do where no --oidc-group says: viewer, caseworker, manager or admin
    #[arg(long, value_name = "ROLE", default_value_t = Role::Viewer, env = "COUNTERFOIL_OIDC_ROLE")]
    oidc_role: Role,
    /// The claim that names a person’s groups
    #[arg(
        long,
        value_name = "CLAIM",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        default_value = "groups",
        env = "COUNTERFOIL_OIDC_GROUPS_CLAIM"
    )]
    oidc_groups_claim: String,
    /// Ask the provider for this scope beside openid, email and profile, where it tells groups only then; may be given several times
    #[arg(
        long,
        value_name = "SCOPE",
        value_parser = scope,
        value_delimiter = ',',
        requires = "oidc_issuer",
        env = "COUNTERFOIL_OIDC_SCOPE"
    )]
    oidc_scope: Vec<String>,
    /// Take an email address for verified where the provider does not say whether it is. Only for a provider at which nobody but your
    /// own organisation can write addresses, such as the tenant of Entra ID that is your own
    #[arg(long, requires = "oidc_issuer", env = "COUNTERFOIL_OIDC_TRUST_EMAIL")]
    oidc_trust_email: bool,
    /// The words on the button
    #[arg(
        long,
        value_name = "WORDS",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        default_value = "Sign in with single sign-on",
        env = "COUNTERFOIL_OIDC_NAME"
    )]
    oidc_name: String,
    /// Let nobody but admins sign in with a password
    #[arg(long, requires = "oidc_issuer", env = "COUNTERFOIL_OIDC_ONLY")]
    oidc_only: bool,
}

impl Flags {
    /// Single sign-on as the flags say, for the pages at this address.
    /// Where its secret cannot be read the provider refuses everybody, and nobody comes in by another way than before.
    pub(super) fn read(self, public_url: Option<&str>, without: &mut Without) -> Result<Option<SingleSignOn>, Failure> {
        let (Some(issuer), Some(id), Some(file), Some(public_url)) =
            (self.oidc_issuer, self.oidc_client_id, self.oidc_client_secret_file, public_url)
        else {
            return Ok(None);
        };
        check_address(public_url).map_err(|_| {
            Failure::new(format!(
                "single sign-on needs an https address, and --public-url is ‘{public_url}’. Give its https address, or one of this machine \
                 such as http://localhost:8080 to try it out"
            ))
        })?;
        let failed = |what: &dyn std::fmt::Display| {
            Failure::new(format!("the file of the client secret {} cannot be used: {what}", file.display()))
        };
        let text = fs::read_to_string(&file).map_err(|error| failed(&error));
        let secret = text.and_then(|text| ClientSecret::new(&text).ok_or_else(|| failed(&"it is empty")));
        let secret = without.try_with("--oidc-client-secret-file", secret).unwrap_or_else(ClientSecret::none);
        let rules = Rules {
            domains: self.oidc_allow_domain,
            groups: self.oidc_allow_group,
            roles: self.oidc_group,
            new: self.oidc_role,
            trust_email: self.oidc_trust_email,
        };
        let client = Client {
            issuer,
            id,
            secret,
            scopes: self.oidc_scope,
            groups_claim: rules.ask_groups().then_some(self.oidc_groups_claim),
            redirect_uri: format!("{public_url}{CALLBACK_PATH}"),
        };
        if !rules.make_accounts() {
            tracing::info!(
                event = "oidc.accounts_only",
                "only people who have an account come in by single sign-on: name domains or groups to let in others"
            );
        }
        Ok(Some(SingleSignOn::new(Provider::new(client), rules, self.oidc_name, self.oidc_only)))
    }
}

fn issuer(typed: &str) -> Result<String, String> {
    check_address(typed).map_err(|wrong| format!("the address {wrong}"))?;
    if typed.contains('?') { Err("the address has a part that it may not have".into()) } else { Ok(typed.to_owned()) }
}

fn domain(typed: &str) -> Result<String, String> {
    let name = typed.trim().to_lowercase();
    let fine = name.contains('.')
        && name.split('.').all(|part| !part.is_empty())
        && name.chars().all(|character| character.is_alphanumeric() || matches!(character, '.' | '-'));
    if fine { Ok(name) } else { Err("write it as in an email address after the @, such as council.gov.uk".into()) }
}

fn scope(typed: &str) -> Result<String, String> {
    let fine = !typed.is_empty() && typed.chars().all(|character| character.is_ascii_graphic() && character != '"');
    if fine { Ok(typed.to_owned()) } else { Err("a scope is one word".into()) }
}

/// The group may have an = of its own, and a service’s name a colon.
fn group_role(typed: &str) -> Result<GroupRole, String> {
    let wrong = "write it as the group, = and the role, and to show only some services : and their names";
    let parts = typed.rsplit_once('=').filter(|(group, _)| !group.trim().is_empty());
    let (group, given) = parts.ok_or(wrong)?;
    let (role, services) = given.split_once(':').map_or((given, None), |(role, names)| (role, Some(names)));
    let names = |names: &str| {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let services = services.map(names);
    if services.as_ref().is_some_and(Vec::is_empty) {
        return Err(wrong.into());
    }
    let role = role.trim().parse()?;
    if role == Role::Admin && services.is_some() {
        return Err("an admin sees all services. Leave the services out, or give the group another role".into());
    }
    Ok(GroupRole { group: group.trim().to_owned(), given: Given { role, services } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_have_an_equals_sign_of_its_own() {
        let read = group_role("CN=Staff,OU=Groups=manager").unwrap();
        assert_eq!(read.group, "CN=Staff,OU=Groups");
        assert_eq!(read.given, Given { role: Role::Manager, services: None });
        let read = group_role("staff=viewer: Housing benefit,Parking: permits").unwrap();
        let services = ["Housing benefit", "Parking: permits"].map(str::to_owned).to_vec();
        assert_eq!(read.given, Given { role: Role::Viewer, services: Some(services) });
        for wrong in
            ["", "staff", "=admin", "staff=boss", "staff=", "staff=viewer:", "staff=viewer:,", "staff=admin:Housing"]
        {
            assert!(group_role(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_domain_is_written_as_in_an_address() {
        assert_eq!(domain("Council.GOV.uk"), Ok("council.gov.uk".into()));
        for wrong in ["", "@council.gov.uk", "council", "council..uk", "https://council.gov.uk", "*.gov.uk"] {
            assert!(domain(wrong).is_err(), "{wrong}");
        }
    }
}
