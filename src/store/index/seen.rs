//! Which ids came lately, in little memory: says "certainly not" for nearly every new callback, so that nothing is looked up for
//! it. A Bloom filter in blocks of one cache line.

use std::collections::VecDeque;

/// Ids in one filter.
const IDS: usize = 1 << 20;
/// Blocks of 512 bits in one filter: 16 bits an id, by which one in about 1,500 strangers is taken for known.
const BLOCKS: usize = 1 << 15;
/// Filters that are kept, 2 MiB each; and as many of what came before a start.
const FILTERS: usize = 6;
/// Bits set for an id.
const BITS: u32 = 6;

type Block = [u64; 8];

/// The ids of the latest arrivals.
#[derive(Default)]
pub(super) struct Seen {
    filters: VecDeque<Filter>,
    /// Of what came before the first of those, as far as it was learned after a start.
    older: Vec<Filter>,
    since: i64,
}

struct Filter {
    since: i64,
    ids: usize,
    blocks: Vec<Block>,
}

impl Seen {
    /// Knows nothing of what arrived before `since`.
    pub(super) fn begin(&mut self, since: i64) {
        *self = Seen { since, ..Seen::default() };
    }

    /// The arrival since which every id is known.
    pub(super) fn since(&self) -> i64 {
        self.since
    }

    /// Whether the id may have come since then; where not, it has not.
    pub(super) fn may_hold(&self, id: [u8; 8]) -> bool {
        let (block, bits) = places(id);
        let mut filters = self.filters.iter().chain(&self.older);
        filters.any(|filter| filter.blocks.get(block).is_some_and(|block| holds(block, bits)))
    }

    /// Takes up an id that came before all that is known; `false` where there is no room.
    pub(super) fn learn(&mut self, id: [u8; 8]) -> bool {
        if self.older.last().is_none_or(|filter| filter.ids >= IDS) {
            if self.older.len() >= FILTERS {
                return false;
            }
            self.older.push(Filter::new(self.since));
        }
        if let Some(filter) = self.older.last_mut() {
            filter.add(id);
        }
        true
    }

    /// Every id since then has been learned.
    pub(super) fn learned(&mut self, since: i64) {
        self.since = self.since.min(since);
    }

    pub(super) fn add(&mut self, id: [u8; 8], arrival: i64) {
        if self.filters.back().is_none_or(|filter| filter.ids >= IDS) {
            self.filters.push_back(Filter::new(arrival));
            if self.filters.len() > FILTERS {
                self.older.clear();
                self.filters.pop_front();
                self.since = self.filters.front().map_or(arrival, |oldest| oldest.since);
            }
        }
        if let Some(filter) = self.filters.back_mut() {
            filter.add(id);
        }
    }
}

impl Filter {
    fn new(since: i64) -> Filter {
        Filter { since, ids: 0, blocks: vec![[0; 8]; BLOCKS] }
    }

    fn add(&mut self, id: [u8; 8]) {
        let (block, bits) = places(id);
        self.ids += 1;
        if let Some(block) = self.blocks.get_mut(block) {
            for (word, bit) in bit_places(bits) {
                if let Some(word) = block.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }
}

/// Ids are random, so their own bits are the hash: the block, and what the bits in it come from.
fn places(id: [u8; 8]) -> (usize, u64) {
    let hash = u64::from_le_bytes(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let block = usize::try_from(hash >> 49).unwrap_or(0);
    (block % BLOCKS, hash.rotate_left(15).wrapping_mul(0xd6e8_feb8_6659_fd93))
}

fn bit_places(bits: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..BITS).map(move |turn| {
        let place = (bits >> (turn * 9)) & 511;
        (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
    })
}

fn holds(block: &Block, bits: u64) -> bool {
    bit_places(bits).all(|(word, bit)| block.get(word).is_some_and(|word| word & bit != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> [u8; 8] {
        number.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29).wrapping_mul(0x9e6c_63d0_876a_68ad).to_le_bytes()
    }

    #[test]
    fn what_was_added_is_known_and_few_strangers_are() {
        let mut seen = Seen::default();
        seen.begin(1);
        let ids = IDS as u64;
        for number in 0..ids {
            seen.add(id(number), 1 + number.cast_signed());
        }
        assert!((0..ids).all(|number| seen.may_hold(id(number))));
        let strangers = (ids..2 * ids).filter(|number| seen.may_hold(id(*number))).count();
        assert!(strangers < IDS / 200, "{strangers} strangers");
        assert_eq!(seen.since(), 1);
    }

    #[test]
    fn the_oldest_are_forgotten_and_it_says_so() {
        let mut seen = Seen::default();
        seen.begin(1);
        for arrival in 1..=FILTERS as u64 {
            seen.add(id(arrival), arrival.cast_signed());
            assert_eq!(seen.since(), 1);
            seen.filters.back_mut().unwrap().ids = IDS;
        }
        seen.add(id(99), 99);
        assert_eq!(seen.since(), 2);
        assert!(!seen.may_hold(id(1)) && seen.may_hold(id(2)) && seen.may_hold(id(99)));
    }
}
