//! Whose command it is, for the record: as the environment says, and as the system does.

use std::fs;

use crate::store::By;

/// In /proc: nobody has logged in.
const NOBODY: u32 = u32::MAX;
/// A longer name is cut.
const LONGEST: usize = 64;

/// Whose command it is.
#[expect(clippy::disallowed_methods, reason = "who is asking is no setting")]
pub(super) fn by() -> By {
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let login = fs::read_to_string("/proc/self/loginuid").ok().and_then(|login| login.trim().parse().ok());
    By::command(&named(&name.unwrap_or_default(), rustix::process::getuid().as_raw(), login))
}

/// A name, which anybody can give themselves, and whom the system runs the command for and let log in, which nobody but root can.
fn named(name: &str, uid: u32, login: Option<u32>) -> String {
    // None that could be taken for what the system says.
    let is_said = |character: &char| !character.is_control() && !matches!(character, ',' | '(' | ')');
    let name: String = name.chars().filter(is_said).take(LONGEST).collect();
    let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    let login = login.filter(|login| *login != NOBODY).map(|login| format!("login uid {login}"));
    name.into_iter().chain([format!("uid {uid}")]).chain(login).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_stands_beside_a_name_that_cannot_be_taken_for_it() {
        assert_eq!(named("alice", 0, Some(1000)), "alice, uid 0, login uid 1000");
        assert_eq!(named("alice", 1000, Some(NOBODY)), "alice, uid 1000");
        assert_eq!(named(" ", 0, None), "uid 0");
        assert_eq!(named("bob, uid 1000), (\n", 0, None), "bob uid 1000, uid 0");
        assert_eq!(named(&"a".repeat(1000), 0, None).len(), LONGEST + ", uid 0".len());
    }
}
