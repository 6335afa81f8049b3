//! The pages of a list behind the reader: where each of them began. So the list goes back the way it came, and knows the number
//! of its page, whatever has arrived since.

use super::request::Words;

/// A longer one is none of ours.
const LONGEST: usize = 500;

/// Where each page after the first began.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Trail(Vec<i64>);

impl Trail {
    /// From the query; what is no trail leads to the first page.
    pub(super) fn of(query: &Words) -> Trail {
        let steps = query.get("before").unwrap_or_default().split('.').map(str::parse).collect::<Result<Vec<i64>, _>>();
        Trail(steps.ok().filter(|steps| steps.len() <= LONGEST).unwrap_or_default())
    }

    /// To the page before which there are others that began there.
    pub(super) fn along(steps: Vec<i64>) -> Trail {
        Trail(steps)
    }

    /// Where this page begins; `None` on the first.
    pub(super) fn before(&self) -> Option<i64> {
        self.0.last().copied()
    }

    /// The title of this page of a list.
    pub(super) fn title(&self, heading: &str) -> String {
        if self.0.is_empty() { heading.to_owned() } else { format!("{heading} (page {})", self.0.len() + 1) }
    }

    /// This page, at `path`.
    pub(super) fn here(&self, path: &str) -> String {
        link(path, &self.0)
    }

    /// The page before this one, at `path`.
    pub(super) fn previous(&self, path: &str) -> Option<String> {
        let (_, before) = self.0.split_last()?;
        Some(link(path, before))
    }

    /// The page after this one, which begins at `next`.
    pub(super) fn next(&self, path: &str, next: Option<i64>) -> Option<String> {
        next.map(|next| link(path, &[self.0.as_slice(), &[next]].concat()))
    }
}

fn link(path: &str, steps: &[i64]) -> String {
    let steps: Vec<String> = steps.iter().map(i64::to_string).collect();
    let joint = if path.contains('?') { '&' } else { '?' };
    if steps.is_empty() { path.to_owned() } else { format!("{path}{joint}before={}", steps.join(".")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(query: &str) -> Trail {
        Trail::of(&Words::parse(query.as_bytes()))
    }

    #[test]
    fn a_list_goes_on_and_back_the_way_it_came() {
        let first = trail("");
        assert_eq!((first.before(), first.previous("/m"), first.title("M")), (None, None, "M".into()));
        assert_eq!(first.next("/m", Some(90)).as_deref(), Some("/m?before=90"));
        let third = trail("before=90.40");
        assert_eq!((third.before(), third.title("M")), (Some(40), "M (page 3)".into()));
        assert_eq!(third.here("/m"), "/m?before=90.40");
        assert_eq!(third.here("/m?show=unread"), "/m?show=unread&before=90.40", "and stays narrowed");
        assert_eq!(third.previous("/m").as_deref(), Some("/m?before=90"));
        assert_eq!(trail("before=90").previous("/m").as_deref(), Some("/m"));
        assert_eq!(third.next("/m", None), None);
        assert_eq!(first.next("/m?service=1", Some(90)).as_deref(), Some("/m?service=1&before=90"));
    }

    #[test]
    fn what_is_no_trail_is_the_first_page() {
        for odd in ["before=x", "before=1.x", "before=1..2", &format!("before=1{}", ".1".repeat(LONGEST))] {
            assert_eq!(trail(odd), Trail::default(), "{odd}");
        }
    }
}
