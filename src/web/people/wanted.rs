//! What a form asks that a person may do and see.

use super::super::confirm::Fault;
use super::super::request::Words;
use crate::store::{Person, Role, Service, Services};

/// The value of the box for everything.
const ALL: &str = "all";

/// What each role is for.
pub(super) fn purpose(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Viewer => ("Viewer", "Can search and read"),
        Role::Caseworker => ("Caseworker", "Can also deal with what was received"),
        Role::Manager => ("Manager", "Can also see quarantine and who saw what, and export"),
        Role::Admin => ("Admin", "Can do everything, also change people and callback tokens"),
    }
}

/// One choice of a form.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) words: String,
    pub(super) hint: &'static str,
    pub(super) chosen: bool,
}

/// The role and the services that were chosen, as far as they were.
#[derive(Default)]
pub(super) struct Wanted {
    role: Option<Role>,
    all: bool,
    services: Vec<i64>,
}

impl Wanted {
    /// As the form was sent.
    pub(super) fn of(form: &Words) -> Wanted {
        Wanted {
            role: form.get("role").and_then(|role| role.parse().ok()),
            all: form.all("services").any(|value| value == ALL),
            services: form.all("services").filter_map(|value| value.parse().ok()).collect(),
        }
    }

    /// As it is.
    pub(super) fn as_now(person: &Person, known: &[Service]) -> Wanted {
        let sees = |service: &&Service| matches!(&person.sees, Services::Only(some) if some.contains(&service.id));
        Wanted {
            role: Some(person.role),
            all: person.sees == Services::All,
            services: known.iter().filter(sees).map(|service| service.id.0).collect(),
        }
    }

    /// What is to hold, or what is wrong with it.
    pub(super) fn checked(&self, known: &[Service]) -> Result<(Role, Services), Vec<Fault>> {
        let chosen: Vec<_> =
            known.iter().map(|service| service.id).filter(|id| self.services.contains(&id.0)).collect();
        let sees = match (self.all, chosen.is_empty()) {
            (true, true) => Ok(Services::All),
            (false, false) if self.role == Some(Role::Admin) => {
                let words = "Select ‘All services’ for an admin, because an admin can change what anybody sees";
                Err(Fault::new("services", words))
            }
            (false, false) => Ok(Services::Only(chosen)),
            (true, false) => Err(Fault::new("services", "Select ‘All services’ or single services, not both")),
            (false, true) => Err(Fault::new("services", "Select which services they can see")),
        };
        match (self.role, sees) {
            (Some(role), Ok(sees)) => Ok((role, sees)),
            (role, sees) => {
                let no_role = role.is_none().then(|| Fault::new("role", "Select what they can do"));
                Err(no_role.into_iter().chain(sees.err()).collect())
            }
        }
    }

    /// The roles to choose from.
    pub(super) fn roles(&self) -> Vec<Choice> {
        let choice = |role: Role| {
            let (words, hint) = purpose(role);
            Choice { value: role.to_string(), words: words.to_owned(), hint, chosen: self.role == Some(role) }
        };
        Role::ALL.map(choice).into()
    }

    /// Everything, and each service.
    pub(super) fn services(&self, known: &[Service]) -> Vec<Choice> {
        let all = Choice {
            value: ALL.into(),
            words: "All services".into(),
            hint: "Also those that are added later",
            chosen: self.all,
        };
        let one = |service: &Service| Choice {
            value: service.id.0.to_string(),
            words: service.name.clone(),
            hint: "",
            chosen: self.services.contains(&service.id.0),
        };
        std::iter::once(all).chain(known.iter().map(one)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(form: &str) -> Result<(Role, Services), Vec<&'static str>> {
        let known: Vec<Service> = [1, 2]
            .map(|id| Service { id: crate::store::ServiceId(id), name: id.to_string(), notify_service_id: None })
            .into();
        let wanted = Wanted::of(&Words::parse(form.as_bytes()));
        wanted.checked(&known).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn nobody_sees_more_than_what_was_chosen_without_doubt() {
        let only = |ids: &[i64]| Services::Only(ids.iter().map(|id| crate::store::ServiceId(*id)).collect());
        assert_eq!(checked("role=viewer&services=all"), Ok((Role::Viewer, Services::All)));
        assert_eq!(checked("role=manager&services=2&services=1"), Ok((Role::Manager, only(&[1, 2]))));
        assert_eq!(checked("role=viewer&services=2&services=99"), Ok((Role::Viewer, only(&[2]))));
        assert_eq!(checked("role=viewer&services=all&services=1"), Err(vec!["services"]));
        assert_eq!(checked("role=viewer&services=99"), Err(vec!["services"]));
        assert_eq!(checked("role=viewer"), Err(vec!["services"]));
        assert_eq!(checked("role=admin&services=1"), Err(vec!["services"]));
        assert_eq!(checked("role=king&services=1"), Err(vec!["role"]));
        assert_eq!(checked(""), Err(vec!["role", "services"]));
    }
}
