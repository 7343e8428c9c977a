//! Log records of OTLP in JSON, as `monitor.console.otlp_json` reads them. What senders do not do (members that come twice, that are
//! not known or null, numbers that do not fit, halves of surrogate pairs, records before what is said of all of them, a resource or
//! scope that fits into no line) is not read here.

use std::borrow::Cow;

use crate::otlp::{DEPTH_MAX, Pairs, Record, Value};
use crate::otlp_lines::Lines;

/// Room for attributes of a record; of those in them there may be very many.
const PAIRS_USUAL: usize = 16;

/// All that a request says, as lines; None where something in it is not ordinary.
pub fn read(lines: &mut Lines, octets: &[u8]) -> Option<()> {
    let mut json = Json {
        text: std::str::from_utf8(octets).ok()?,
        at: 0,
    };
    let mut names = Once::default();
    json.members(|json, name| match name {
        "resourceLogs" if names.first(0) => json.elements(|json| of_resource(lines, json)),
        _ => None,
    })?;
    json.gap();
    (json.at == octets.len()).then_some(())
}

/// What a resource says stands before its records.
fn of_resource(lines: &mut Lines, json: &mut Json) -> Option<()> {
    let mut attributes = Pairs::new();
    let mut names = Once::default();
    json.members(|json, name| match name {
        "resource" if names.first(0) && !names.has(1) => {
            let begin = json.at;
            let mut names = Once::default();
            json.members(|json, name| match name {
                "attributes" if names.first(0) => {
                    attributes = json.pairs(0)?;
                    Some(())
                }
                "droppedAttributesCount" if names.first(1) => json.small().map(drop),
                _ => None,
            })?;
            lines.fits(json.at - begin).then_some(())
        }
        "scopeLogs" if names.first(1) => {
            lines.resource(&attributes)?;
            json.elements(|json| of_scope(lines, json))
        }
        "schemaUrl" if names.first(2) => json.string().map(drop),
        _ => None,
    })
}

/// The same of a scope.
fn of_scope(lines: &mut Lines, json: &mut Json) -> Option<()> {
    let mut scope = Cow::from("");
    let mut names = Once::default();
    json.members(|json, name| match name {
        "scope" if names.first(0) && !names.has(1) => {
            let begin = json.at;
            let mut names = Once::default();
            json.members(|json, name| match name {
                "name" if names.first(0) => {
                    scope = json.string()?;
                    Some(())
                }
                "version" if names.first(1) => json.string().map(drop),
                _ => None,
            })?;
            lines.fits(json.at - begin).then_some(())
        }
        "logRecords" if names.first(1) => {
            json.elements(|json| lines.record(&json.record()?, &scope))
        }
        "schemaUrl" if names.first(2) => json.string().map(drop),
        _ => None,
    })
}

/// Which members of an object have come.
#[derive(Default)]
struct Once(u32);

impl Once {
    fn has(&self, member: u32) -> bool {
        self.0 >> member & 1 == 1
    }

    fn first(&mut self, member: u32) -> bool {
        let is_first = !self.has(member);
        self.0 |= 1 << member;
        is_first
    }
}

/// How many octets of a string come before its end, or before an escape.
fn plain(octets: &[u8]) -> Option<usize> {
    let length = memchr::memchr2(b'"', b'\\', octets)?;
    let has_control = octets[..length]
        .iter()
        .fold(false, |has, octet| has | (*octet < 0x20));
    (!has_control).then_some(length)
}

struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    fn octet(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn gap(&mut self) {
        while matches!(self.octet(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether this comes next; then it is gone by.
    fn comes(&mut self, octet: u8) -> bool {
        self.gap();
        let comes = self.octet() == Some(octet);
        self.at += usize::from(comes);
        comes
    }

    fn members(&mut self, mut member: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        if !self.comes(b'{') {
            return None;
        }
        if self.comes(b'}') {
            return Some(());
        }
        loop {
            let name = self.string()?;
            if !self.comes(b':') {
                return None;
            }
            member(self, &name)?;
            if self.comes(b'}') {
                return Some(());
            }
            if !self.comes(b',') {
                return None;
            }
        }
    }

    fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if !self.comes(b'[') {
            return None;
        }
        if self.comes(b']') {
            return Some(());
        }
        loop {
            element(self)?;
            if self.comes(b']') {
                return Some(());
            }
            if !self.comes(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        if !self.comes(b'"') {
            return None;
        }
        let begin = self.at;
        let left = self.text.as_bytes().get(begin..)?;
        let length = plain(left)?;
        self.at += length + 1;
        if left[length] == b'\\' {
            return self.escaped(begin).map(Cow::from);
        }
        self.text.get(begin..self.at - 1).map(Cow::from)
    }

    /// A string whose first escape has just begun.
    fn escaped(&mut self, begin: usize) -> Option<String> {
        let mut made = self.text.get(begin..self.at - 1)?.to_owned();
        loop {
            let octet = self.octet()?;
            self.at += 1;
            made.push(match octet {
                b'"' | b'\\' | b'/' => char::from(octet),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.character()?,
                _ => return None,
            });
            let rest = self.text.get(self.at..)?;
            let length = plain(rest.as_bytes())?;
            made.push_str(&rest[..length]);
            self.at += length + 1;
            if rest.as_bytes()[length] == b'"' {
                return Some(made);
            }
        }
    }

    /// A character by its number, or by the two halves of a surrogate pair.
    fn character(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        if !self.text.get(self.at..)?.starts_with("\\u") {
            return None;
        }
        self.at += 2;
        let second = self.unit()?;
        let is_pair = (0xDC00..0xE000).contains(&second);
        is_pair
            .then(|| 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
            .and_then(char::from_u32)
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// The text of a number, as JSON writes one.
    fn number(&mut self) -> Option<&'a str> {
        self.gap();
        let begin = self.at;
        let digits = |json: &mut Self| {
            let begin = json.at;
            while json.octet().is_some_and(|octet| octet.is_ascii_digit()) {
                json.at += 1;
            }
            (json.at > begin).then_some(())
        };
        self.at += usize::from(self.octet() == Some(b'-'));
        let leads_zero = self.octet() == Some(b'0');
        let first = self.at;
        digits(self)?;
        if leads_zero && self.at > first + 1 {
            return None;
        }
        if self.octet() == Some(b'.') {
            self.at += 1;
            digits(self)?;
        }
        if matches!(self.octet(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.octet(), Some(b'+' | b'-')));
            digits(self)?;
        }
        self.text.get(begin..self.at)
    }

    /// A whole number, as a number or as text.
    fn whole<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.gap();
        let text = if self.octet() == Some(b'"') {
            self.string()?
        } else {
            self.number()?.into()
        };
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let is_plain = digits.bytes().all(|octet| octet.is_ascii_digit());
        if is_plain { text.parse().ok() } else { None }
    }

    fn small(&mut self) -> Option<u64> {
        let number: u64 = self.number()?.parse().ok()?;
        (number <= i32::MAX as u64).then_some(number)
    }

    fn pairs(&mut self, depth: usize) -> Option<Pairs<'a>> {
        let usual = if depth == 0 { PAIRS_USUAL } else { 0 };
        let mut found = Pairs::with_capacity(usual);
        self.elements(|json| {
            found.push(json.pair(depth)?);
            Some(())
        })?;
        Some(found)
    }

    /// An attribute as nearly all are written: a text, without gaps, and without escapes in it.
    fn usual_pair(&mut self) -> Option<(Cow<'a, str>, Value<'a>)> {
        let begin = self.at;
        let mut string = |before: &str| {
            let text = self.text.get(self.at..)?.strip_prefix(before)?;
            let length = plain(text.as_bytes())?;
            self.at += before.len() + length;
            text.get(..length)
        };
        let key = string("{\"key\":\"");
        let value = string("\",\"value\":{\"stringValue\":\"");
        if let (Some(key), Some(value)) = (key, value)
            && self.text[self.at..].starts_with("\"}}")
        {
            self.at += 3;
            return Some((key.into(), Value::Text(value.into())));
        }
        self.at = begin;
        None
    }

    fn pair(&mut self, depth: usize) -> Option<(Cow<'a, str>, Value<'a>)> {
        self.gap();
        if let Some(usual) = self.usual_pair() {
            return Some(usual);
        }
        let mut found = (Cow::from(""), Value::Nothing);
        let mut names = Once::default();
        self.members(|json, name| {
            match name {
                "key" if names.first(0) => found.0 = json.string()?,
                "value" if names.first(1) => found.1 = json.value(depth)?,
                _ => return None,
            }
            Some(())
        })?;
        Some(found)
    }

    /// A value of one member at most.
    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut found = Value::Nothing;
        let mut names = Once::default();
        self.members(|json, name| {
            if !names.first(0) {
                return None;
            }
            found = match name {
                "stringValue" | "bytesValue" => Value::Text(json.string()?),
                "boolValue" => Value::Flag(json.flag()?),
                "intValue" => Value::Whole(json.whole()?),
                "doubleValue" => json.double()?,
                "arrayValue" if depth < DEPTH_MAX => Value::List(json.list(depth + 1)?),
                "kvlistValue" if depth < DEPTH_MAX => Value::Map(json.map(depth + 1)?),
                _ => return None,
            };
            Some(())
        })?;
        Some(found)
    }

    fn flag(&mut self) -> Option<bool> {
        self.gap();
        let rest = self.text.get(self.at..)?;
        let flag = rest.starts_with("true");
        if !flag && !rest.starts_with("false") {
            return None;
        }
        self.at += if flag { 4 } else { 5 };
        Some(flag)
    }

    fn double(&mut self) -> Option<Value<'a>> {
        self.gap();
        if self.octet() == Some(b'"') {
            return self.string().map(Value::Text);
        }
        let number: f64 = self.number()?.parse().ok()?;
        number.is_finite().then_some(Value::Number(number))
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value<'a>>> {
        let mut found = Vec::new();
        let mut names = Once::default();
        self.members(|json, name| match name {
            "values" if names.first(0) => json.elements(|json| {
                found.push(json.value(depth)?);
                Some(())
            }),
            _ => None,
        })?;
        Some(found)
    }

    fn map(&mut self, depth: usize) -> Option<Pairs<'a>> {
        let mut found = Pairs::new();
        let mut names = Once::default();
        self.members(|json, name| match name {
            "values" if names.first(0) => {
                found = json.pairs(depth)?;
                Some(())
            }
            _ => None,
        })?;
        Some(found)
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let mut found = Record::default();
        let mut names = Once::default();
        self.members(|json, name| {
            match name {
                "timeUnixNano" if names.first(0) => found.time = json.whole()?,
                "observedTimeUnixNano" if names.first(1) => found.observed = json.whole()?,
                "severityNumber" if names.first(2) => found.severity = json.small()?,
                "severityText" if names.first(3) => found.level = json.string()?,
                "body" if names.first(4) => found.body = Some(json.value(0)?),
                "attributes" if names.first(5) => found.attributes = json.pairs(0)?,
                "droppedAttributesCount" if names.first(6) => found.dropped = json.small()?,
                "flags" if names.first(7) => drop(json.small()?),
                "traceId" if names.first(8) => found.trace = json.string()?,
                "spanId" if names.first(9) => found.span = json.string()?,
                "eventName" if names.first(10) => found.name = json.string()?,
                _ => return None,
            }
            Some(())
        })?;
        Some(found)
    }
}
