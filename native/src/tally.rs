//! Counts of 64-bit keys: a table that remembers what it was given, and one pass over keys that are in order.

use std::hash::{BuildHasher, RandomState};

/// A key, and how much was counted of it; nothing is a place that is free.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    count: u64,
}

/// Counts by key. Of more than `keys_max` keys the smallest stay, whenever the others came.
pub struct Tally {
    slots: Vec<Slot>, // open addressing, at most half full
    used: usize,
    pub keys_max: usize,
    last: u64,         // larger keys are not counted any more
    pub left_out: u64, // keys that had to go
    seeds: [u64; 2],   // whoever knows how keys are mixed could send many that fall together
}

const SLOTS_FIRST: usize = 1 << 10;

impl Tally {
    pub fn new(keys_max: usize) -> Tally {
        let random = RandomState::new();
        Tally {
            slots: vec![Slot::default(); SLOTS_FIRST],
            used: 0,
            keys_max,
            last: u64::MAX,
            left_out: 0,
            seeds: [random.hash_one(0), random.hash_one(1) | 1],
        }
    }

    fn slot_first(&self, key: u64) -> usize {
        let product = u128::from(key ^ self.seeds[0]) * u128::from(self.seeds[1]);
        (product as u64 ^ (product >> 64) as u64) as usize & (self.slots.len() - 1)
    }

    fn slot_of(&self, key: u64) -> usize {
        let mut slot = self.slot_first(key);
        while let Some(there) = self.slots.get(slot) {
            if there.count == 0 || there.key == key {
                break;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    /// Count a key so often, at least once; whether it was not there before.
    pub fn add(&mut self, key: u64, count: u64) -> bool {
        if key > self.last {
            return false;
        }
        let slot = self.slot_of(key);
        let there = &mut self.slots[slot];
        let is_new = there.count == 0;
        *there = Slot {
            key,
            count: there.count.saturating_add(count.max(1)),
        };
        if is_new {
            self.used += 1;
            if self.used * 2 > self.slots.len() {
                self.fill(self.slots.len() * 2, |_| true);
            }
        }
        is_new
    }

    /// Where there are more than so many, keep the smallest keys, as many as may be.
    pub fn bound(&mut self, most: usize) {
        if self.used <= most {
            return;
        }
        let mut keys: Vec<u64> = self.taken().map(|slot| slot.key).collect();
        let last = match self.keys_max.checked_sub(1) {
            Some(at) => *keys.select_nth_unstable(at).1,
            None => 0,
        };
        self.left_out += (self.used - self.keys_max) as u64;
        self.last = self.last.min(last);
        self.fill(self.slots.len(), |key| key <= last);
    }

    /// Forget all keys; room for as many stays, for as many come again.
    pub fn clear(&mut self) {
        if self.used * 8 < self.slots.len() {
            let slots = (self.used * 4).next_power_of_two().max(SLOTS_FIRST);
            self.slots.truncate(slots);
            self.slots.shrink_to_fit();
        }
        self.slots.fill(Slot::default());
        (self.used, self.last, self.left_out) = (0, u64::MAX, 0);
    }

    fn taken(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.count > 0)
    }

    fn fill(&mut self, size: usize, stays: impl Fn(u64) -> bool) {
        let before = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        self.used = 0;
        for slot in before {
            if slot.count > 0 && stays(slot.key) {
                let at = self.slot_of(slot.key);
                self.slots[at] = slot;
                self.used += 1;
            }
        }
    }

    /// Keys in order, with their counts.
    pub fn counted(&mut self) -> Vec<(u64, u64)> {
        self.bound(self.keys_max);
        let mut whole: Vec<_> = self.taken().map(|slot| (slot.key, slot.count)).collect();
        sort(&mut whole);
        whole
    }
}

const PARTS_BITS: u32 = 11;
const PARTED_MIN: usize = 1 << 15;

/// By key. Many are put into parts by their first bits, each of which is sorted where it is near.
fn sort(whole: &mut Vec<(u64, u64)>) {
    if whole.len() < PARTED_MIN {
        whole.sort_unstable_by_key(|pair| pair.0);
        return;
    }
    let part_of = |key: u64| (key >> (u64::BITS - PARTS_BITS)) as usize;
    let mut begins = vec![0_usize; (1 << PARTS_BITS) + 1];
    for (key, _) in whole.iter() {
        begins[part_of(*key) + 1] += 1;
    }
    for part in 1..begins.len() {
        begins[part] += begins[part - 1];
    }
    let mut next = begins.clone();
    let mut parted = vec![(0, 0); whole.len()];
    for pair in whole.iter() {
        let at = &mut next[part_of(pair.0)];
        parted[*at] = *pair;
        *at += 1;
    }
    for ends in begins.windows(2) {
        parted[ends[0]..ends[1]].sort_unstable_by_key(|pair| pair.0);
    }
    *whole = parted;
}

/// Keys in order, each with a count.
pub struct Counted {
    pub keys: Vec<u64>,
    pub counts: Vec<u64>,
}

impl Counted {
    fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        self.keys.iter().copied().zip(self.counts.iter().copied())
    }

    fn push(&mut self, (key, count): (u64, u64)) {
        self.keys.push(key);
        self.counts.push(count);
    }
}

/// Two lists of keys as one.
pub fn merged(one: &Counted, other: &Counted) -> Counted {
    let most = one.keys.len() + other.keys.len();
    let mut whole = Counted {
        keys: Vec::with_capacity(most),
        counts: Vec::with_capacity(most),
    };
    let mut left = one.pairs().peekable();
    for (key, count) in other.pairs() {
        while let Some(before) = left.next_if(|before| before.0 < key) {
            whole.push(before);
        }
        let same = left.next_if(|same| same.0 == key);
        let before = same.map_or(0, |same| same.1);
        whole.push((key, before.saturating_add(count)));
    }
    left.for_each(|pair| whole.push(pair));
    whole
}

/// Keys in order, of which keys are looked for in order.
struct Known<'a> {
    keys: &'a [u64],
    from: usize,
}

impl Known<'_> {
    fn is_less(&self, at: usize, key: u64) -> bool {
        self.keys.get(at).is_some_and(|one| *one < key)
    }

    fn has(&mut self, key: u64) -> bool {
        let mut step = 1; // ever farther, then back by halves
        let mut below = self.from;
        while self.is_less(below, key) {
            self.from = below + 1;
            below += step;
            step *= 2;
        }
        let mut size = below - self.from;
        while size > 0 {
            let half = size / 2;
            if self.is_less(self.from + half, key) {
                self.from += half + 1;
                size -= half + 1;
            } else {
                size = half;
            }
        }
        self.keys.get(self.from) == Some(&key)
    }
}

/// Rows (a key above, a time in its lower bits) in order: those of keys that are known, that come often here, or that came in as many
/// stretches of time before. How many others come is counted roughly, in `sketch`.
pub fn of_note(
    rows: &[u64],
    time_bits: u32,
    known: &[u64],
    sketch: &mut [u8],
    telling: usize,
) -> Vec<u64> {
    let before = sketch.to_vec();
    let mut kept = Vec::new();
    let mut known = Known {
        keys: known,
        from: 0,
    };
    for run in rows.chunk_by(|one, other| one >> time_bits == other >> time_bits) {
        let Some(first) = run.first() else { continue };
        if !known.has(first >> time_bits) {
            let slot = ((first >> time_bits) % before.len() as u64) as usize;
            let times = before[slot].saturating_add(1);
            sketch[slot] = times;
            if run.len() < telling && usize::from(times) < telling {
                continue;
            }
        }
        kept.extend_from_slice(run);
    }
    kept
}
