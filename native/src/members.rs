//! What plainly stands at the keys of JSON objects, whose texts are a column: texts, whole numbers, true and false.
//!
//! A text that holds anything written in an unusual way, or something else at a key that is asked for, is named, and Python
//! says what it means.

use std::collections::HashMap;

use crate::columns::Texts;
use crate::walk::unescape;

/// Nesting that is walked here; deeper texts are rare and Python reads them.
const DEPTH_MAX: u32 = 60;

/// Digits before the point, and behind it, of a number that every reader takes.
const DIGITS_MAX: usize = 17;

/// Long texts of one key, in bytes: offsets into them are 32 bits wide.
const DATA_BYTES_MAX: usize = 1 << 28;

/// A text that Python must read.
struct Odd;

type Walk<T> = Result<T, Odd>;

/// Where a value stands in its text; for a text between its quotation marks.
#[derive(Clone, Copy)]
struct Plain {
    start: usize,
    end: usize,
    escaped: bool,
}

pub struct Members {
    numbers: HashMap<Box<[u8]>, usize>,
    /// By length, whether some key is so long.
    lengths: Vec<bool>,
    keys: usize,
}

/// By key the values of all rows, and the rows that were not read.
pub struct Found {
    pub columns: Vec<Texts>,
    pub odd: Vec<u32>,
}

impl Members {
    pub fn new(keys: Vec<Vec<u8>>) -> Members {
        let longest = keys.iter().map(Vec::len).max().unwrap_or(0);
        let mut lengths = vec![false; longest + 1];
        keys.iter().for_each(|key| lengths[key.len()] = true);
        let count = keys.len();
        let numbers = keys
            .into_iter()
            .enumerate()
            .map(|(number, key)| (key.into(), number))
            .collect();
        Members {
            numbers,
            lengths,
            keys: count,
        }
    }

    /// Read all texts; `text_of` gives each row's, or None where there is none, or fails when it lies outside of its buffer.
    pub fn read<'a>(
        &self,
        rows: usize,
        text_of: impl Fn(usize) -> Option<Option<&'a [u8]>>,
    ) -> Option<Found> {
        let mut columns: Vec<Texts> = (0..self.keys).map(|_| Texts::default()).collect();
        let mut odd = Vec::new();
        let mut members: Vec<(usize, Option<Plain>)> = Vec::new();
        for row in 0..rows {
            let Some(bytes) = text_of(row)? else {
                continue;
            };
            let mut at = At { bytes, place: 0 };
            at.blanks();
            if at.byte() != b'{' {
                continue; // no object holds nothing
            }
            members.clear();
            let is_read = at.whole(self, &mut members).is_ok();
            let has_room = members
                .iter()
                .all(|(key, _)| columns[*key].data.len() + bytes.len() <= DATA_BYTES_MAX);
            if !is_read || !has_room {
                odd.push(row as u32);
                continue;
            }
            for (key, value) in &members {
                let (column, Some(value)) = (&mut columns[*key], value) else {
                    continue;
                };
                if value.escaped {
                    let start = column.data.len();
                    unescape(&bytes[value.start..value.end], &mut column.data);
                    column.push_data(row, start);
                } else {
                    column.push(row, bytes, value.start, value.end);
                }
            }
        }
        Some(Found { columns, odd })
    }

    fn number_of(&self, key: &[u8]) -> Option<usize> {
        if self.lengths.get(key.len()) != Some(&true) {
            return None;
        }
        self.numbers.get(key).copied()
    }
}

struct At<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl At<'_> {
    /// The byte here; 0, which is nowhere allowed, behind the end.
    fn byte(&self) -> u8 {
        self.bytes.get(self.place).copied().unwrap_or(0)
    }

    fn expect(&mut self, byte: u8) -> Walk<()> {
        if self.byte() != byte {
            return Err(Odd);
        }
        self.place += 1;
        Ok(())
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\r' | b'\n') {
            self.place += 1;
        }
    }

    /// An object, and nothing behind it; of a key that stands twice the last value counts.
    fn whole(&mut self, wanted: &Members, members: &mut Vec<(usize, Option<Plain>)>) -> Walk<()> {
        self.expect(b'{')?;
        self.blanks();
        if self.byte() == b'}' {
            self.place += 1;
        } else {
            loop {
                let key = self.key()?;
                match wanted.number_of(&self.bytes[key.start..key.end]) {
                    None => self.skip()?,
                    Some(number) => {
                        let value = self.value()?;
                        match members.iter_mut().find(|(known, _)| *known == number) {
                            Some(member) => member.1 = value,
                            None => members.push((number, value)),
                        }
                    }
                }
                self.blanks();
                if self.byte() == b'}' {
                    self.place += 1;
                    break;
                }
                self.expect(b',')?;
                self.blanks();
            }
        }
        self.blanks();
        if self.place == self.bytes.len() {
            Ok(())
        } else {
            Err(Odd)
        }
    }

    /// A key and its colon, up to the value.
    fn key(&mut self) -> Walk<Plain> {
        let key = self.text()?;
        if key.escaped {
            return Err(Odd);
        }
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        Ok(key)
    }

    /// A value that is asked for; None for null.
    fn value(&mut self) -> Walk<Option<Plain>> {
        let start = self.place;
        match self.byte() {
            b'"' => return self.text().map(Some),
            b'n' => return self.literal(b"null").map(|()| None),
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            _ => {
                if !self.number()? || self.bytes[start..self.place] == *b"-0" {
                    return Err(Odd);
                }
            }
        }
        Ok(Some(Plain {
            start,
            end: self.place,
            escaped: false,
        }))
    }

    fn literal(&mut self, word: &[u8]) -> Walk<()> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(Odd);
        }
        self.place += word.len();
        Ok(())
    }

    /// Walk over a number without an exponent; whether it is whole.
    fn number(&mut self) -> Walk<bool> {
        if self.byte() == b'-' {
            self.place += 1;
        }
        let start = self.place;
        self.digits()?;
        if self.bytes[start] == b'0' && self.place > start + 1 {
            return Err(Odd);
        }
        let is_whole = self.byte() != b'.';
        if !is_whole {
            self.place += 1;
            self.digits()?;
        }
        Ok(is_whole) // an exponent is no end of a value
    }

    fn digits(&mut self) -> Walk<()> {
        let start = self.place;
        while self.byte().is_ascii_digit() {
            self.place += 1;
        }
        if (1..=DIGITS_MAX).contains(&(self.place - start)) {
            Ok(())
        } else {
            Err(Odd)
        }
    }

    fn text(&mut self) -> Walk<Plain> {
        self.expect(b'"')?;
        let start = self.place;
        let mut escaped = false;
        loop {
            match self.byte() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..0x20 => return Err(Odd),
                _ => self.place += 1,
            }
        }
        self.place += 1;
        Ok(Plain {
            start,
            end: self.place - 1,
            escaped,
        })
    }

    fn escape(&mut self) -> Walk<()> {
        match self.bytes.get(self.place + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.place += 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.place + 2..self.place + 6).ok_or(Odd)?;
                let is_half = matches!(
                    digits,
                    [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
                );
                if is_half || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Odd); // half of a pair, or none at all
                }
                self.place += 6;
            }
            _ => return Err(Odd),
        }
        Ok(())
    }

    /// Walk over a value that nobody asked for.
    fn skip(&mut self) -> Walk<()> {
        let mut depth = 0_u32;
        let mut objects = 0_u64; // a bit a level: whether it is an object
        loop {
            match self.byte() {
                opening @ (b'{' | b'[') => {
                    self.place += 1;
                    self.blanks();
                    if self.byte() == opening + 2 {
                        self.place += 1;
                    } else {
                        depth += 1;
                        if depth > DEPTH_MAX {
                            return Err(Odd);
                        }
                        objects = objects << 1 | u64::from(opening == b'{');
                        if opening == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.blanks();
                match (self.byte(), objects & 1 == 1) {
                    (b',', is_object) => {
                        self.place += 1;
                        self.blanks();
                        if is_object {
                            self.key()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.place += 1;
                        depth -= 1;
                        objects >>= 1;
                    }
                    _ => return Err(Odd),
                }
            }
        }
    }

    fn scalar(&mut self) -> Walk<()> {
        match self.byte() {
            b'"' => self.text().map(|_| ()),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }
}
