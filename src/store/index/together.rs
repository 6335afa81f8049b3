//! The arrivals that have each of several keys: where one key's next arrival is far on, the others pass over all before it.

use std::time::Instant;

use super::facets::Facets;
use super::look::{Arrivals, Index, Wanted, Way};

/// After so many steps it looks at the clock.
const STEPS: u32 = 256;

/// The arrivals that are wanted in each of some ways, one after another.
pub(in crate::store) struct Together<'i> {
    /// The first leads, and the others are asked for what it leads to.
    each: Vec<Arrivals<'i>>,
    way: Way,
    /// When it stops, wherever it is.
    ends_at: Option<Instant>,
    steps: u32,
    /// The arrival behind which nothing was looked at, where time ran out.
    stopped_at: Option<i64>,
}

impl Index<'_> {
    /// The arrivals that are all that is wanted and meet the facets; those after `from`, which itself is left out.
    pub(in crate::store) fn together(&self, wanted: Vec<Wanted>, facets: &Facets, way: Way, from: i64) -> Together<'_> {
        let each = wanted.into_iter().map(|one| self.arrivals(one, facets.clone(), way, from)).collect();
        Together { each, way, ends_at: None, steps: 0, stopped_at: None }
    }
}

impl Together<'_> {
    /// Only those from the first to the last of `bounds`.
    pub(in crate::store) fn within(self, bounds: (i64, i64)) -> Self {
        Together { each: self.each.into_iter().map(|one| one.within(bounds)).collect(), ..self }
    }

    /// Looks no further after this moment, once it has looked at some.
    pub(in crate::store) fn until(self, ends_at: Instant) -> Self {
        let each = self.each.into_iter().map(|one| one.until(ends_at)).collect();
        Together { each, ends_at: Some(ends_at), ..self }
    }

    /// The arrival behind which nothing was looked at, where time ran out.
    pub(in crate::store) fn stopped_at(&self) -> Option<i64> {
        self.stopped_at.or_else(|| self.each.iter().find_map(Arrivals::stopped_at))
    }

    /// The next one.
    pub(in crate::store) fn next(&mut self) -> rusqlite::Result<Option<i64>> {
        while self.stopped_at.is_none() {
            let Some((first, others)) = self.each.split_first_mut() else { return Ok(None) };
            let Some(candidate) = first.next()? else { return Ok(None) };
            let mut further = None;
            for other in others {
                other.skip_to(candidate);
                match other.peek()? {
                    None => return Ok(None),
                    Some(same) if same == candidate => (),
                    Some(next) => {
                        further = Some(next);
                        break;
                    }
                }
            }
            let Some(further) = further else { return Ok(Some(candidate)) };
            first.skip_to(further);
            self.steps = self.steps.wrapping_add(1);
            if self.is_late() {
                self.stopped_at = Some(match self.way {
                    Way::NewestFirst => further.saturating_add(1),
                    Way::OldestFirst => further.saturating_sub(1),
                });
            }
        }
        Ok(None)
    }

    fn is_late(&self) -> bool {
        self.steps.is_multiple_of(STEPS) && self.ends_at.is_some_and(|ends_at| Instant::now() > ends_at)
    }
}
