//! Whose data a page shows, for the record: whom somebody asked for, and who else stands there.

use crate::store::{Entry, Kept};

/// A page of results that shows more people is a list, and stands in the record as one.
const FEW: usize = 20;

/// Each person to whom or from whom one of these is.
pub(super) fn people<'a>(kept: impl IntoIterator<Item = &'a Kept>) -> Vec<String> {
    let mut people: Vec<String> = Vec::new();
    for key in kept.into_iter().filter_map(|kept| kept.callback.match_key()) {
        if !people.iter().any(|person| person == key.as_str()) {
            people.push(key.as_str().to_owned());
        }
    }
    people
}

/// What was asked for, and a row more for each other person that the page of results shows, where they are few.
pub(super) fn with_found(asked: Vec<Entry>, found: &[Kept]) -> Vec<Entry> {
    let people = people(found);
    if people.len() > FEW { asked } else { with_others(asked, people, "in the results") }
}

/// What was asked for, and a row more for each of these whom none is about yet; `where_from` says how they came onto the page.
pub(super) fn with_others(mut asked: Vec<Entry>, people: Vec<String>, where_from: &str) -> Vec<Entry> {
    let Some(first) = asked.first().cloned() else { return asked };
    let is_new = |person: &String| !asked.iter().any(|entry| entry.subject.as_ref() == Some(person));
    let others: Vec<String> = people.into_iter().filter(is_new).collect();
    if !others.is_empty() {
        let detail = first.detail.iter().map(String::as_str).chain([where_from]).collect::<Vec<_>>().join(", ");
        asked.extend(first.with(detail).about_each(others));
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{By, Did};

    #[test]
    fn each_person_on_a_page_has_a_row_and_none_has_two() {
        let asked = Entry::new(By::itself(), Did::Searched, 1).with("person").about_each(["a", "b"]);
        let rows = with_others(asked, vec!["b".into(), "c".into(), "d".into()], "in the results");
        let rows: Vec<_> =
            rows.iter().map(|row| (row.subject.as_deref().unwrap(), row.detail.as_deref().unwrap())).collect();
        let found = "person, in the results";
        assert_eq!(rows, [("a", "person"), ("b", "person"), ("c", found), ("d", found)]);
        let nobody = with_others(vec![Entry::new(By::itself(), Did::OpenedReceipt, 1)], Vec::new(), "same reference");
        assert_eq!(nobody, [Entry::new(By::itself(), Did::OpenedReceipt, 1)]);
    }
}
