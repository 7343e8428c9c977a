//! A strict walk over one line: validates all of it as JSON, notes where wanted values stand, copies nothing.
//!
//! It takes what every reader reads alike. Whatever else there is, right or wrong, is `Odd`, and Python says what it means.

use crate::shape::{Kind, ROOT, Shape};
use crate::times;

/// Nesting that is walked here; deeper lines are rare and Python reads them.
const DEPTH_MAX: u32 = 60;

/// A line that Python must read.
#[derive(Debug)]
pub struct Odd;

type Walk<T> = Result<T, Odd>;

/// A text in the line: between its quotation marks, or the digits of a number that stands for text.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub start: usize,
    pub end: usize,
    pub escaped: bool,
    pub quoted: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Value {
    Text(Text),
    Integer(i64),
    Number(f64),
    Boolean(bool),
}

#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub field: u16,
    pub value: Value,
}

/// Walks line after line, with room that is used again.
pub struct Walker {
    pub found: Vec<Found>,
    /// Whether the line last walked had escapes that could hide a letter, blanks between its tokens, or a number with a
    /// fraction.
    pub has_hiding: bool,
    pub has_blanks: bool,
    pub has_fractions: bool,
    line: u64,
    /// By field: the line in which it was met last, and its place in `found`.
    seen: Vec<(u64, usize)>,
}

impl Walker {
    pub fn new(shape: &Shape) -> Walker {
        Walker {
            found: Vec::with_capacity(shape.kinds.len()),
            has_hiding: false,
            has_blanks: false,
            has_fractions: false,
            line: 0,
            seen: vec![(0, 0); shape.kinds.len()],
        }
    }

    /// Whether the line last walked had a value for a field.
    pub fn has(&self, field: usize) -> bool {
        self.seen[field].0 == self.line
    }

    pub fn value_of(&self, field: usize) -> Option<Value> {
        if self.has(field) {
            self.found.get(self.seen[field].1).map(|found| found.value)
        } else {
            None
        }
    }

    /// Fill `found` from a line without blanks around it.
    pub fn walk(&mut self, shape: &mut Shape, bytes: &[u8]) -> Walk<()> {
        self.found.clear();
        self.line += 1;
        self.has_hiding = false;
        self.has_blanks = false;
        self.has_fractions = false;
        let mut at = At {
            bytes,
            place: 0,
            shape,
            walker: self,
        };
        at.expect(b'{')?;
        at.object(ROOT)?;
        if at.place == bytes.len() {
            Ok(())
        } else {
            Err(Odd)
        }
    }
}

struct At<'a> {
    bytes: &'a [u8],
    place: usize,
    shape: &'a mut Shape,
    walker: &'a mut Walker,
}

impl At<'_> {
    /// The byte here; 0, which is nowhere allowed, behind the end.
    #[inline(always)]
    fn byte(&self) -> u8 {
        self.bytes.get(self.place).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Walk<()> {
        if self.byte() != byte {
            return Err(Odd);
        }
        self.place += 1;
        Ok(())
    }

    #[inline(always)]
    fn blanks(&mut self) {
        if self.byte() <= b' ' {
            while matches!(self.byte(), b' ' | b'\t' | b'\r') {
                self.place += 1;
                self.walker.has_blanks = true;
            }
        }
    }

    /// An object that is, or may hold, what is wanted; its brace is behind us.
    fn object(&mut self, parent: u16) -> Walk<()> {
        self.blanks();
        if self.byte() == b'}' {
            self.place += 1;
            return Ok(());
        }
        let mut before = 0;
        let mut guess = self.shape.nodes[usize::from(parent)].first;
        loop {
            let node = self.known_key(parent, guess)?;
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            match node {
                None => self.skip()?,
                Some(node) => {
                    if node != guess {
                        if before == 0 {
                            self.shape.nodes[usize::from(parent)].first = node;
                        } else {
                            self.shape.nodes[usize::from(before)].next = node;
                        }
                    }
                    before = node;
                    self.wanted(node)?;
                    guess = self.shape.nodes[usize::from(node)].next;
                }
            }
            self.blanks();
            match self.byte() {
                b',' => self.place += 1,
                b'}' => {
                    self.place += 1;
                    return Ok(());
                }
                _ => return Err(Odd),
            }
            self.blanks();
        }
    }

    /// The node of the key here; None for a key that nobody asked for.
    #[inline(always)]
    fn known_key(&mut self, parent: u16, guess: u16) -> Walk<Option<u16>> {
        if guess != 0 && self.byte() == b'"' {
            let rest = self.bytes.get(self.place + 1..).unwrap_or_default();
            if let Some(length) = self.shape.nodes[usize::from(guess)].length_at(rest) {
                self.place += 1 + length;
                return Ok(Some(guess));
            }
        }
        let key = self.text()?;
        if key.escaped {
            return Err(Odd);
        }
        Ok(self.shape.child(parent, &self.bytes[key.start..key.end]))
    }

    /// A value that was asked for, or an object on the way to one.
    fn wanted(&mut self, number: u16) -> Walk<()> {
        let node = &mut self.shape.nodes[usize::from(number)];
        if node.met == self.walker.line {
            return Err(Odd); // this key stands twice
        }
        node.met = self.walker.line;
        let field = node.field;
        if self.byte() == b'n' {
            return self.literal(b"null");
        }
        let Some(field) = field else {
            self.expect(b'{')?;
            return self.object(number);
        };
        let value = self.value(self.shape.kinds[usize::from(field)])?;
        let seen = &mut self.walker.seen[usize::from(field)];
        if seen.0 == self.walker.line {
            return Err(Odd); // spelt twice, nested and dotted
        }
        *seen = (self.walker.line, self.walker.found.len());
        self.walker.found.push(Found { field, value });
        Ok(())
    }

    #[inline(always)]
    fn value(&mut self, kind: Kind) -> Walk<Value> {
        let byte = self.byte();
        match kind {
            Kind::Text if byte == b'"' => Ok(Value::Text(self.text()?)),
            Kind::Text => {
                let start = self.place;
                self.integer()?;
                Ok(Value::Text(Text {
                    start,
                    end: self.place,
                    escaped: false,
                    quoted: false,
                }))
            }
            Kind::Integer => Ok(Value::Integer(self.integer()?)),
            Kind::Number => {
                let start = self.place;
                self.number()?;
                let text = std::str::from_utf8(&self.bytes[start..self.place]).map_err(|_| Odd)?;
                let number: f64 = text.parse().map_err(|_| Odd)?;
                if text == "-0" || !number.is_finite() {
                    Err(Odd)
                } else {
                    Ok(Value::Number(number))
                }
            }
            Kind::Boolean if byte == b't' => self.literal(b"true").map(|()| Value::Boolean(true)),
            Kind::Boolean => self.literal(b"false").map(|()| Value::Boolean(false)),
            Kind::Time if byte == b'"' => {
                let text = self.text()?;
                times::usual(&self.bytes[text.start..text.end])
                    .map(Value::Integer)
                    .ok_or(Odd)
            }
            Kind::Time => times::from_milliseconds(self.integer()?)
                .map(Value::Integer)
                .ok_or(Odd),
            Kind::Loose => Err(Odd),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Walk<()> {
        if !self
            .bytes
            .get(self.place..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            return Err(Odd);
        }
        self.place += word.len();
        Ok(())
    }

    /// A whole number of at most 18 digits, written plainly.
    fn integer(&mut self) -> Walk<i64> {
        let start = self.place;
        if !self.number()? {
            return Err(Odd);
        }
        let (sign, digits) = match &self.bytes[start..self.place] {
            [b'-', digits @ ..] => (-1, digits),
            digits => (1, digits),
        };
        if digits.len() > 18 || (sign < 0 && digits == b"0") {
            return Err(Odd);
        }
        Ok(sign
            * digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    /// Walk over a number by JSON's grammar; whether it is whole.
    fn number(&mut self) -> Walk<bool> {
        let start = self.place;
        if self.byte() == b'-' {
            self.place += 1;
        }
        if self.byte() == b'0' {
            self.place += 1;
        } else {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.byte() == b'.' {
            self.place += 1;
            self.digits()?;
            is_whole = false;
        }
        if self.byte() | 32 == b'e' {
            self.place += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.place += 1;
            }
            self.digits()?;
            is_whole = false;
        }
        self.walker.has_fractions |= !is_whole;
        if self.place - start > 300 {
            Err(Odd)
        } else {
            Ok(is_whole)
        } // Python has a bound of its own on digits
    }

    fn digits(&mut self) -> Walk<()> {
        if !self.byte().is_ascii_digit() {
            return Err(Odd);
        }
        while self.byte().is_ascii_digit() {
            self.place += 1;
        }
        Ok(())
    }

    /// A text from its quotation mark on.
    #[inline(always)]
    fn text(&mut self) -> Walk<Text> {
        self.expect(b'"')?;
        let start = self.place;
        let mut escaped = false;
        loop {
            self.place = end_of_plain(self.bytes, self.place);
            match self.byte() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Odd),
            }
        }
        let end = self.place;
        self.place += 1;
        Ok(Text {
            start,
            end,
            escaped,
            quoted: true,
        })
    }

    /// An escape that nobody reads in two ways.
    fn escape(&mut self) -> Walk<()> {
        self.place += 1;
        match self.byte() {
            b'"' | b'b' | b'f' | b'n' | b'r' | b't' => self.place += 1,
            b'/' => {
                self.walker.has_hiding = true;
                self.place += 1;
            }
            b'\\' => {
                self.place += 1;
                if self.byte() == b'u' {
                    return Err(Odd); // looks like an escape to a search of the text
                }
            }
            b'u' => {
                let code = self
                    .bytes
                    .get(self.place + 1..self.place + 5)
                    .and_then(hexadecimal)
                    .ok_or(Odd)?;
                if (0x20..0x80).contains(&code) || (0xD800..0xE000).contains(&code) {
                    return Err(Odd); // needlessly escaped, or half of a pair
                }
                self.walker.has_hiding = true;
                self.place += 5;
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
            self.blanks();
            match self.byte() {
                b'"' => {
                    self.text()?;
                }
                opening @ (b'{' | b'[') => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(Odd);
                    }
                    objects = objects << 1 | u64::from(opening == b'{');
                    self.place += 1;
                    self.blanks();
                    if self.byte() == opening + 2 {
                        self.place += 1;
                        depth -= 1;
                        objects >>= 1;
                    } else {
                        if opening == b'{' {
                            self.any_key()?;
                        }
                        continue;
                    }
                }
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => {
                    self.number()?;
                }
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.blanks();
                match (self.byte(), objects & 1 == 1) {
                    (b',', is_object) => {
                        self.place += 1;
                        if is_object {
                            self.blanks();
                            self.any_key()?;
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

    fn any_key(&mut self) -> Walk<()> {
        self.text()?;
        self.blanks();
        self.expect(b':')
    }
}

const LOWS: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first byte from `place` on that is a quotation mark, a backslash or a control character; eight bytes at a time.
#[inline(always)]
fn end_of_plain(bytes: &[u8], mut place: usize) -> usize {
    while let Some(eight) = bytes.get(place..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (LOWS * b'"' as u64);
        let slash = word ^ (LOWS * b'\\' as u64);
        let control = word.wrapping_sub(LOWS * 0x20) & !word;
        let hits =
            ((quote.wrapping_sub(LOWS) & !quote) | (slash.wrapping_sub(LOWS) & !slash) | control)
                & HIGHS;
        if hits != 0 {
            return place + hits.trailing_zeros() as usize / 8;
        }
        place += 8;
    }
    while bytes
        .get(place)
        .is_some_and(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\')
    {
        place += 1;
    }
    place
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| {
        Some(sum << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// A walked text without its escapes, added to `out`.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..place]);
        let (byte, length) = match rest.get(place + 1) {
            Some(b'u') => {
                let code = rest
                    .get(place + 2..place + 6)
                    .and_then(hexadecimal)
                    .and_then(char::from_u32)
                    .unwrap_or('\u{FFFD}');
                out.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(place + 6..).unwrap_or_default();
                continue;
            }
            Some(b'b') => (8, 2),
            Some(b'f') => (12, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(other) => (*other, 2),
            None => return,
        };
        out.push(byte);
        rest = &rest[place + length..];
    }
    out.extend_from_slice(rest);
}
