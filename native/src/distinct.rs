//! The distinct texts of a column, in the order in which they come, and the place of each row's among them.

use std::hash::{BuildHasher, RandomState};

/// Texts of at most so many bytes stand in the view itself.
pub const INLINE_MAX: usize = 12;

/// A column of texts in Arrow's view layout: 16 bytes a row, long texts in buffers.
pub struct Views<'a> {
    pub views: &'a [u8],
    pub buffers: &'a [Vec<u8>],
}

impl<'a> Views<'a> {
    /// The long text of a view; None when it lies outside of the buffers.
    fn long(&self, view: u128) -> Option<&'a [u8]> {
        let [length, _, buffer, offset] = parts(view);
        let start = offset as usize;
        self.buffers
            .get(buffer as usize)?
            .get(start..start + length as usize)
    }
}

/// The four numbers of a view: a long text's length, first bytes, buffer, and offset in it.
pub fn parts(view: u128) -> [u32; 4] {
    [0, 32, 64, 96].map(|bits| (view >> bits) as u32)
}

/// At most 16 bytes as a number, the first one lowest.
fn number(bytes: &[u8]) -> u128 {
    let mut sixteen = [0; 16];
    sixteen[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(sixteen)
}

/// Whoever knows how texts are mixed can send many that fall together; so the mixture is another in every process.
pub struct Mixer {
    seeds: [u64; 2],
}

impl Mixer {
    pub fn new() -> Mixer {
        let random = RandomState::new();
        Mixer {
            seeds: [random.hash_one(0), random.hash_one(1)],
        }
    }

    fn mix(&self, value: u128) -> u64 {
        let low = value as u64 ^ self.seeds[0];
        let high = (value >> 64) as u64 ^ self.seeds[1];
        let product = u128::from(low) * u128::from(high);
        product as u64 ^ (product >> 64) as u64
    }

    /// The last bytes may be mixed twice: sixteen at once are read faster than fewer.
    fn mix_all(&self, text: &[u8]) -> u64 {
        let mut sum = self.mix(text.len() as u128);
        for chunk in text.chunks_exact(16).filter_map(<[u8]>::first_chunk) {
            sum = self.mix(u128::from_le_bytes(*chunk) ^ u128::from(sum));
        }
        let last = text
            .last_chunk()
            .map_or_else(|| number(text), |last| u128::from_le_bytes(*last));
        self.mix(last ^ u128::from(sum))
    }
}

/// A distinct text: its first row's view, and its hash.
struct Known {
    view: u128,
    hash: u64,
}

/// Place by row, as the bytes of a 64-bit number, and the first row of each distinct text. Rows for which `is_valid` is
/// false get the place after the last.
/// None when a view lies outside of the buffers.
pub fn distinct(
    column: &Views<'_>,
    is_valid: impl Fn(usize) -> bool,
    mixer: &Mixer,
) -> Option<(Vec<[u8; 8]>, Vec<u32>)> {
    const NOWHERE: [u8; 8] = [0xFF; 8];
    let mut places = Vec::with_capacity(column.views.len() / 16);
    let mut last: Option<(u128, [u8; 8])> = None;
    let mut firsts: Vec<u32> = Vec::new();
    let mut known: Vec<Known> = Vec::new();
    let mut table = vec![0_u32; 1 << 10]; // open addressing, at most half full: places and one; 0 is empty
    for (row, bytes) in column
        .views
        .chunks_exact(16)
        .filter_map(<[u8]>::first_chunk)
        .enumerate()
    {
        if !is_valid(row) {
            places.push(NOWHERE);
            continue;
        }
        let view = u128::from_le_bytes(*bytes);
        if let Some((_, place)) = last.filter(|(before, _)| *before == view) {
            places.push(place);
            continue;
        }
        let is_long = parts(view)[0] as usize > INLINE_MAX;
        let hash = if is_long {
            mixer.mix_all(column.long(view)?)
        } else {
            mixer.mix(view)
        };
        let mut slot = hash as usize & (table.len() - 1);
        let place = loop {
            let Some(place) = (table[slot] as usize).checked_sub(1) else {
                known.push(Known { view, hash });
                firsts.push(row as u32);
                table[slot] = known.len() as u32;
                break known.len() - 1;
            };
            let other = &known[place];
            let is_same = other.view == view
                || (is_long && other.hash == hash && column.long(other.view) == column.long(view));
            if is_same {
                break place;
            }
            slot = (slot + 1) & (table.len() - 1);
        };
        let place = (place as i64).to_le_bytes();
        places.push(place);
        last = Some((view, place));
        if known.len() * 2 > table.len() {
            table = grown(&known, table.len() * 2);
        }
    }
    let after = (known.len() as i64).to_le_bytes();
    for place in places.iter_mut().filter(|place| **place == NOWHERE) {
        *place = after;
    }
    Some((places, firsts))
}

fn grown(known: &[Known], size: usize) -> Vec<u32> {
    let mut table = vec![0; size];
    for (place, one) in known.iter().enumerate() {
        let mut slot = one.hash as usize & (size - 1);
        while table[slot] != 0 {
            slot = (slot + 1) & (size - 1);
        }
        table[slot] = place as u32 + 1;
    }
    table
}
