//! Which lines could hold a secret: a telling word in any case of letters, or a run of digits of a telling length.

use aho_corasick::{AhoCorasick, Input, MatchKind, packed};

use crate::people::{HASH_BYTES, Hash};

/// A word, in lower case. If its first `key` bytes are a key, it tells only with a value of so many characters after it.
pub struct Word {
    pub text: String,
    pub key: usize,
    pub value_min: usize,
}

pub struct SuspectWords {
    words: Vec<Word>,
    quick: Option<packed::Searcher>,
    plain: AhoCorasick,
    lower: Vec<u8>,
}

impl SuspectWords {
    /// None for words that cannot be looked for, or that are shorter than their keys.
    pub fn new(words: Vec<Word>) -> Option<SuspectWords> {
        if words.iter().any(|word| word.key > word.text.len()) {
            return None;
        }
        let texts = || words.iter().map(|word| &word.text);
        let plain = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(texts())
            .ok()?;
        Some(SuspectWords {
            quick: packed::Searcher::new(texts()),
            plain,
            lower: Vec::new(),
            words,
        })
    }

    /// Mark those lines in which a word stands that tells; `ends` says where each ends in `lines`, `own`
    /// which hashes of ours stand in which.
    pub fn mark(
        &mut self,
        lines: &[u8],
        ends: &[usize],
        own: &[(usize, Hash)],
        marks: &mut [bool],
    ) {
        self.lower.clear();
        self.lower.extend_from_slice(lines);
        self.lower.make_ascii_lowercase();
        let mut from = 0;
        let mut row = 0;
        while let Some((number, place)) = self.find(from) {
            row = row_of(ends, row, place);
            let here = place..ends[row];
            let is_own = |hash: &[u8]| stands_for(own, row, hash);
            if self.words[number].tells(&self.lower[here.clone()], &lines[here], is_own) {
                marks[row] = true;
                from = ends[row];
            } else {
                from = place + 1;
            }
        }
    }

    /// The number of the next word, and where it stands.
    fn find(&self, from: usize) -> Option<(usize, usize)> {
        let found = match &self.quick {
            Some(quick) => quick.find_in(&self.lower, (from..self.lower.len()).into()),
            None => self.plain.find(Input::new(&self.lower).range(from..)),
        }?;
        Some((found.pattern().as_usize(), found.start()))
    }
}

impl Word {
    /// Whether the word tells, in a text that begins with it; `lower` is that text in lower case. `is_own` knows the hashes
    /// of the line's own people.
    fn tells(&self, lower: &[u8], text: &[u8], is_own: impl Fn(&[u8]) -> bool) -> bool {
        if self.key == 0 {
            return true;
        }
        let joint = after_syntax(lower, self.key);
        match lower.get(joint) {
            Some(b'%') => true, // what comes is encoded
            Some(b':' | b'=') => {
                let value = after_syntax(lower, joint + 1);
                let is_list = lower.get(value) == Some(&b'[');
                let value = after(lower, value, b"bearer ");
                is_list || (self.is_enough(&text[value..]) && !is_hash(text, value, is_own))
            }
            Some(b'>') => {
                let value = after(lower, after_syntax(lower, joint + 1), b"<![cdata[");
                let value = after(lower, after_syntax(lower, value), b"bearer ");
                self.is_enough(&text[value..])
            }
            _ => false,
        }
    }

    /// Whether a text begins with so many of the characters of a token. Where a backslash is among them, it may: what is
    /// escaped counts otherwise than it is written.
    fn is_enough(&self, text: &[u8]) -> bool {
        let head = &text[..self.value_min.min(text.len())];
        let is_of_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"_.~+/=%@!#$^*-".contains(byte);
        match head.iter().position(|byte| !is_of_token(byte)) {
            Some(place) => head[place] == b'\\',
            None => head.len() == self.value_min,
        }
    }
}

/// The hashes of a row's own people are sorted by row.
fn stands_for(own: &[(usize, Hash)], row: usize, hash: &[u8]) -> bool {
    let first = own.partition_point(|(of, _)| *of < row);
    own[first..]
        .iter()
        .take_while(|(of, _)| *of == row)
        .any(|(_, own)| own == hash)
}

/// The place behind a word, if that stands at a place.
fn after(lower: &[u8], place: usize, word: &[u8]) -> usize {
    if lower[place..].starts_with(word) {
        place + word.len()
    } else {
        place
    }
}

/// The place behind the quotes, backslashes and blanks, as they stand around a key's colon, that stand at a place.
fn after_syntax(text: &[u8], place: usize) -> usize {
    let mut place = place;
    loop {
        match &text[place..] {
            [b'\\', b't' | b'n' | b'r', ..] => place += 2,
            [b'"' | b'\'' | b'\\' | b' ' | b'\t', ..] => place += 1,
            _ => return place,
        }
    }
}

/// Whether a hash of the line's own people stands at a place, all of what is between two quotation marks alike.
fn is_hash(text: &[u8], place: usize, is_own: impl Fn(&[u8]) -> bool) -> bool {
    let end = place + HASH_BYTES;
    if !text.get(place..end).is_some_and(is_own) {
        return false;
    }
    let Some((b'"', before)) = text[..place].split_last() else {
        return false;
    };
    let slashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    let quote = &text[place - 1 - slashes.count()..place];
    text[end..].starts_with(quote)
}

fn row_of(ends: &[usize], from: usize, place: usize) -> usize {
    from + ends[from..].partition_point(|end| *end <= place)
}

/// Digits in a row that may be a phone number.
const RUN_MIN: usize = 11;

/// Mark lines with a free-standing run of digits that could be a phone, an ID number or a bank card.
pub fn mark_runs(lines: &[u8], ends: &[usize], marks: &mut [bool]) {
    let mut row = 0;
    let mut place = RUN_MIN - 1; // of eleven digits in a row, one stands at a multiple of eleven
    while place < lines.len() {
        if !is_in_run(lines, place) {
            place += RUN_MIN;
            continue;
        }
        let mut start = place;
        while start > 0 && lines[start - 1].is_ascii_digit() {
            start -= 1;
        }
        let mut end = place + 1;
        while end < lines.len() && lines[end].is_ascii_digit() {
            end += 1;
        }
        let is_free = start == 0 || !lines[start - 1].is_ascii_alphabetic();
        if is_free && is_telling(end - start, lines[start]) {
            row = row_of(ends, row, start);
            marks[row] = true;
        }
        place = end + RUN_MIN;
    }
}

/// Whether a run long enough may cover this place: then the six bytes up to it, or those from it on, are digits.
#[inline(always)]
fn is_in_run(lines: &[u8], place: usize) -> bool {
    let around = place
        .checked_sub(5)
        .and_then(|start| lines.get(start..))
        .and_then(<[u8]>::first_chunk::<13>);
    let Some(around) = around else {
        return lines[place].is_ascii_digit();
    };
    let &[a, b, c, d, e, f, g, h, i, j, k, l, m] = around;
    are_digits([a, b, c, d, e, f, g, h]) | are_digits([f, g, h, i, j, k, l, m])
}

/// Whether the first six are digits; all at once.
#[inline(always)]
fn are_digits(bytes: [u8; 8]) -> bool {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0;
    const DIGITS: u64 = 0x3030_3030_3030;
    let six = u64::from_le_bytes(bytes) & 0xFFFF_FFFF_FFFF;
    (six & HIGH == DIGITS) & (six.wrapping_add(0x0606_0606_0606) & HIGH == DIGITS)
}

fn is_telling(length: usize, first: u8) -> bool {
    match length {
        11 => first == b'1',
        17 | 18 => true,
        16 | 19 => (b'4'..=b'6').contains(&first),
        _ => false,
    }
}
