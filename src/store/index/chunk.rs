//! Entries in order, packed so that a chunk of them fills one page of the file: what an entry shares with the one before it
//! is not written again. Knows no table.

use bytes::Bytes;

/// A chunk holds at most so many bytes, so that it stands in one page of 4,096 with nothing left over for a second.
const FULL: usize = 4_000;
/// The longest key; a longer one is cut by whoever makes it.
pub(super) const LONGEST_KEY: usize = 200;
/// The most that one entry adds: its lengths, distance and mark, and its key.
const LONGEST_ENTRY: usize = LONGEST_KEY + 2 + 2 + 10 + 10;

/// What an entry is found by, then the arrival that it leads to: the order of the index.
pub(super) type Place = (Vec<u8>, i64);

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) arrival: i64,
    /// The number of what the arrival is.
    pub(super) mark: u64,
}

/// A chunk that is whole.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Its first entry.
    pub(super) first: Place,
    /// The least and the greatest arrival in it.
    pub(super) arrivals: (i64, i64),
    pub(super) bytes: Bytes,
}

impl Chunk {
    /// Its first entry, for comparing.
    pub(super) fn begins(&self) -> (&[u8], i64) {
        (&self.first.0, self.first.1)
    }
}

/// Packs entries, which come in order.
#[derive(Default)]
pub(super) struct Packer {
    first: Option<Place>,
    arrivals: (i64, i64),
    bytes: Vec<u8>,
    key: Vec<u8>,
    arrival: i64,
    mark: u64,
}

impl Packer {
    /// Adds an entry; gives the chunk before it where that is full.
    pub(super) fn add(&mut self, Entry { key, arrival, mark }: Entry<'_>) -> Option<Chunk> {
        let full = if self.bytes.len() + LONGEST_ENTRY > FULL { self.take() } else { None };
        if self.first.is_none() {
            self.first = Some((key.to_vec(), arrival));
            self.arrivals = (arrival, arrival);
        }
        self.arrivals = (self.arrivals.0.min(arrival), self.arrivals.1.max(arrival));
        let changed = u64::from(mark != self.mark);
        if !self.bytes.is_empty() && self.key == key {
            put(&mut self.bytes, changed);
        } else {
            let shared = self.key.iter().zip(key).take_while(|(a, b)| a == b).count();
            let suffix = key.get(shared..).unwrap_or_default();
            put(&mut self.bytes, 2 * (shared as u64 + 1) + changed);
            put(&mut self.bytes, suffix.len() as u64);
            self.bytes.extend_from_slice(suffix);
            self.key.truncate(shared);
            self.key.extend_from_slice(suffix);
        }
        if changed == 1 {
            put(&mut self.bytes, mark);
        }
        put(&mut self.bytes, zigzag(arrival.wrapping_sub(self.arrival)));
        (self.arrival, self.mark) = (arrival, mark);
        full
    }

    /// Whether nothing has been added since the last chunk.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// What has been added since the last chunk.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        let packed = std::mem::take(self);
        packed.first.map(|first| Chunk { first, arrivals: packed.arrivals, bytes: packed.bytes.into() })
    }
}

/// Reads the entries of a chunk in order.
#[derive(Default)]
pub(super) struct Unpacker {
    bytes: Bytes,
    at: usize,
    key: Vec<u8>,
    arrival: i64,
    mark: u64,
}

/// The bytes are no chunk.
#[derive(Debug)]
pub(super) struct Damaged;

impl Unpacker {
    pub(super) fn new(bytes: Bytes) -> Unpacker {
        Unpacker { bytes, ..Unpacker::default() }
    }

    /// Goes to the next entry; `false` where there is none.
    pub(super) fn advance(&mut self) -> Result<bool, Damaged> {
        if self.at >= self.bytes.len() {
            return Ok(false);
        }
        let head = self.get()?;
        let (shared, changed) = (head / 2, head % 2 == 1);
        if shared > 0 {
            let length = usize::try_from(self.get()?).map_err(|_| Damaged)?;
            let suffix = self.bytes.get(self.at..self.at.saturating_add(length)).ok_or(Damaged)?;
            self.key.truncate(usize::try_from(shared - 1).map_err(|_| Damaged)?);
            self.key.extend_from_slice(suffix);
            self.at += length;
        }
        if changed {
            self.mark = self.get()?;
        }
        self.arrival = self.arrival.wrapping_add(unzigzag(self.get()?));
        Ok(true)
    }

    /// The entry that it stands at.
    pub(super) fn entry(&self) -> Entry<'_> {
        Entry { key: &self.key, arrival: self.arrival, mark: self.mark }
    }

    fn get(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Damaged)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }
}

/// Seven bits a byte, the least first; the eighth says that more come.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    bytes.push(low_byte(value));
}

fn low_byte(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Small numbers for small distances in both directions.
fn zigzag(distance: i64) -> u64 {
    ((distance << 1) ^ (distance >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A key, an arrival and a mark.
    type Owned = (Vec<u8>, i64, u64);

    fn packed(entries: &[Owned]) -> Vec<Chunk> {
        let mut packer = Packer::default();
        let entries = entries.iter().map(|(key, arrival, mark)| Entry { key, arrival: *arrival, mark: *mark });
        let mut chunks: Vec<Chunk> = entries.filter_map(|entry| packer.add(entry)).collect();
        chunks.extend(packer.take());
        chunks
    }

    fn unpacked(chunk: Bytes) -> Vec<Owned> {
        let mut unpacker = Unpacker::new(chunk);
        let mut entries = Vec::new();
        while unpacker.advance().unwrap() {
            let Entry { key, arrival, mark } = unpacker.entry();
            entries.push((key.to_vec(), arrival, mark));
        }
        entries
    }

    fn owned() -> impl Strategy<Value = Owned> {
        (prop::collection::vec(any::<u8>(), 0..LONGEST_KEY), any::<i64>(), prop_oneof![0..3_u64, any::<u64>()])
    }

    proptest! {
        #[test]
        fn entries_come_out_of_chunks_as_they_went_in(mut entries in prop::collection::vec(owned(), 0..200)) {
            entries.sort();
            let chunks = packed(&entries);
            prop_assert!(chunks.iter().all(|chunk| chunk.bytes.len() <= FULL));
            let firsts: Vec<Place> = chunks.iter().map(|chunk| chunk.first.clone()).collect();
            let arrivals: Vec<_> = chunks.iter().map(|chunk| chunk.arrivals).collect();
            let out: Vec<Vec<Owned>> = chunks.into_iter().map(|chunk| unpacked(chunk.bytes)).collect();
            let begins = |(entries, first): (&Vec<Owned>, &Place)| {
                entries.first().is_some_and(|(key, arrival, _)| (key, arrival) == (&first.0, &first.1))
            };
            prop_assert!(out.iter().zip(&firsts).all(begins));
            let of = |entries: &Vec<Owned>| {
                let arrivals = || entries.iter().map(|(_, arrival, _)| *arrival);
                arrivals().min().zip(arrivals().max())
            };
            prop_assert!(out.iter().zip(&arrivals).all(|(entries, arrivals)| of(entries) == Some(*arrivals)));
            prop_assert_eq!(out.concat(), entries);
        }

        #[test]
        fn damaged_bytes_end_and_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut unpacker = Unpacker::new(bytes.into());
            while let Ok(true) = unpacker.advance() {}
        }
    }

    #[test]
    fn fuzz_chunks() {
        let entries: Vec<Owned> = (0..40)
            .map(|n| (format!("a key {}", n / 3).into_bytes(), n * 977 - 9000, u64::try_from(n % 2).unwrap() << 40))
            .collect();
        let chunk = packed(&entries).remove(0).bytes;
        crate::fuzzing::fuzz("chunks", 20_000, &[&chunk], |bytes| {
            let mut unpacker = Unpacker::new(Bytes::copy_from_slice(bytes));
            let mut entries = 0;
            let end = loop {
                match unpacker.advance() {
                    Ok(true) => entries += 1,
                    end => break end.is_ok(),
                }
                assert!(unpacker.entry().key.len() <= bytes.len(), "a key holds no more than came");
            };
            assert!(entries <= bytes.len());
            (entries.min(60), end)
        });
    }

    #[test]
    fn a_key_and_a_mark_that_many_share_are_written_once_a_chunk() {
        let entries: Vec<Owned> = (0..1000).map(|arrival| (b"a key of some length".to_vec(), arrival, 7000)).collect();
        let bytes: usize = packed(&entries).iter().map(|chunk| chunk.bytes.len()).sum();
        assert!(bytes < 2 * entries.len() + 40, "{bytes} bytes");
    }
}
