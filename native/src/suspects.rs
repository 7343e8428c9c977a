//! Which lines could hold a secret: a telling word in any case of letters, or a run of digits of a telling length.

use aho_corasick::{AhoCorasick, Input, MatchKind, packed};

use crate::people::{HASH_BYTES, Hash};

/// A word, in lower case. If its first `key` bytes are a key, it tells only with a value of so many characters after it.
pub struct Word {
    pub text: String,
    pub key: usize,
    pub value_min: usize,
}

/// Looks for the words by pieces of them that are rare in ordinary lines. The processor compares some bytes of many pieces at
/// once: the more of each, and the fewer pieces are alike, the seldomer it must look closer.
pub struct SuspectWords {
    words: Vec<Word>,
    finders: Vec<Finder>,
    lower: Vec<u8>,
}

/// So many bytes of each piece are compared at once, if all of a finder's have them.
const PIECE_BYTES: usize = 4;

/// Finds some of the pieces.
struct Finder {
    quick: Option<packed::Searcher>,
    plain: AhoCorasick,
    /// By piece: the words in which it stands, and at which place.
    words: Vec<Vec<(usize, usize)>>,
}

impl Finder {
    fn new(pieces: &[&[u8]], words: Vec<Vec<(usize, usize)>>) -> Option<Finder> {
        let plain = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(pieces)
            .ok()?;
        Some(Finder {
            quick: packed::Searcher::new(pieces),
            plain,
            words,
        })
    }

    /// The number of the next piece, and where it stands.
    fn find(&self, lower: &[u8], from: usize) -> Option<(usize, usize)> {
        let found = match &self.quick {
            Some(quick) => quick.find_in(lower, (from..lower.len()).into()),
            None => self.plain.find(Input::new(lower).range(from..)),
        }?;
        Some((found.pattern().as_usize(), found.start()))
    }
}

impl SuspectWords {
    /// Each word is looked for by the first of the pieces that stands in it. None for words that are shorter than their keys
    /// or have no piece, and for pieces that cannot be looked for, or of which one begins another.
    pub fn new(words: Vec<Word>, pieces: &[String]) -> Option<SuspectWords> {
        let mut words_of = vec![Vec::new(); pieces.len()];
        for (number, word) in words.iter().enumerate() {
            if word.key > word.text.len() {
                return None;
            }
            let place_of = |piece: &String| word.text.find(piece.as_str());
            let piece = pieces.iter().position(|piece| place_of(piece).is_some())?;
            let place = place_of(&pieces[piece])?;
            words_of[piece].push((number, place));
        }
        let begins = |one: &String| {
            let beginning = |other: &&String| other.starts_with(one.as_str());
            one.is_empty() || pieces.iter().filter(beginning).count() > 1
        };
        if pieces.iter().any(begins) {
            return None;
        }
        let mut finders = Vec::new();
        for is_short in [false, true] {
            let (some, their_words): (Vec<_>, Vec<_>) = pieces
                .iter()
                .zip(&words_of)
                .filter(|(piece, _)| (piece.len() < PIECE_BYTES) == is_short)
                .map(|(piece, words)| (piece.as_bytes(), words.clone()))
                .unzip();
            if !some.is_empty() {
                finders.push(Finder::new(&some, their_words)?);
            }
        }
        Some(SuspectWords {
            words,
            finders,
            lower: Vec::new(),
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
        for finder in &self.finders {
            let mut from = 0;
            let mut row = 0;
            while let Some((piece, place)) = finder.find(&self.lower, from) {
                row = row_of(ends, row, place);
                let start = row.checked_sub(1).map_or(0, |before| ends[before]);
                let is_own = |hash: &[u8]| stands_for(own, row, hash);
                let tells = |(number, within): &(usize, usize)| {
                    let Some(begin) = place.checked_sub(*within).filter(|begin| *begin >= start)
                    else {
                        return false;
                    };
                    let (word, here) = (&self.words[*number], begin..ends[row]);
                    let lower = &self.lower[here.clone()];
                    lower.starts_with(word.text.as_bytes())
                        && word.tells(lower, &lines[here], is_own)
                };
                if finder.words[piece].iter().any(tells) {
                    marks[row] = true;
                    from = ends[row];
                } else {
                    from = place + 1;
                }
            }
        }
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
    match (around.first_chunk(), around.last_chunk()) {
        (Some(before), Some(after)) => are_digits(*before) | are_digits(*after),
        _ => false,
    }
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
