//! Log records of OTLP in protobuf, as `monitor.console.otlp_protobuf` reads them. What senders do not do (fields that come twice, that
//! are not known, or whose numbers are longer than need be) is not read here.

use std::borrow::Cow;

use crate::otlp::{DEPTH_MAX, Pairs, Record, Value};
use crate::otlp_lines::Lines;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// All that a request says, as lines; None where something in it is not ordinary.
pub fn read(lines: &mut Lines, octets: &[u8]) -> Option<()> {
    let mut fields = Fields::of(octets);
    while let Some((tag, content)) = fields.next(1 << 1)? {
        match (tag, content) {
            (0x0a, Content::Bytes(inner)) => of_resource(lines, inner)?,
            _ => return None,
        }
    }
    Some(())
}

/// What a resource says stands before its records.
fn of_resource(lines: &mut Lines, octets: &[u8]) -> Option<()> {
    const RESOURCE: u8 = tag(1, BYTES);
    const OF_SCOPE: u8 = tag(2, BYTES);
    const SCHEMA: u8 = tag(3, BYTES);
    let mut own = 0;
    let mut has_scopes = false;
    let mut fields = Fields::of(octets);
    while let Some((tag, content)) = fields.next(1 << 2)? {
        match (tag, content) {
            (RESOURCE, Content::Bytes(inner)) if !has_scopes => {
                own = inner.len();
                lines.resource(&resource(inner)?)?;
            }
            (OF_SCOPE, Content::Bytes(inner)) => {
                if !has_scopes && own == 0 {
                    lines.resource(&Pairs::new())?;
                }
                has_scopes = true;
                of_scope(lines, inner)?;
            }
            (SCHEMA, Content::Bytes(inner)) => {
                text(inner)?;
                own += inner.len();
            }
            _ => return None,
        }
    }
    lines.fits(own).then_some(())
}

fn resource(octets: &[u8]) -> Option<Pairs<'_>> {
    const ATTRIBUTE: u8 = tag(1, BYTES);
    const DROPPED: u8 = tag(2, VARINT);
    let mut attributes = Pairs::new();
    let mut fields = Fields::of(octets);
    while let Some((tag, content)) = fields.next(1 << 1)? {
        match (tag, content) {
            (ATTRIBUTE, Content::Bytes(inner)) => attributes.push(pair(inner, 0)?),
            (DROPPED, Content::Varint(number)) if number <= u32::MAX.into() => {}
            _ => return None,
        }
    }
    Some(attributes)
}

/// The same of a scope.
fn of_scope(lines: &mut Lines, octets: &[u8]) -> Option<()> {
    const SCOPE: u8 = tag(1, BYTES);
    const RECORD: u8 = tag(2, BYTES);
    const SCHEMA: u8 = tag(3, BYTES);
    let (mut scope, mut own) = ("", 0);
    let mut has_records = false;
    let mut fields = Fields::of(octets);
    while let Some((tag, content)) = fields.next(1 << 2)? {
        match (tag, content) {
            (SCOPE, Content::Bytes(inner)) if !has_records => {
                own += inner.len();
                scope = scope_name(inner)?;
            }
            (RECORD, Content::Bytes(inner)) if lines.fits(inner.len()) => {
                has_records = true;
                lines.record(&record(inner)?, scope)?;
            }
            (SCHEMA, Content::Bytes(inner)) => {
                text(inner)?;
                own += inner.len();
            }
            _ => return None,
        }
    }
    lines.fits(own).then_some(())
}

fn scope_name(octets: &[u8]) -> Option<&str> {
    const NAME: u8 = tag(1, BYTES);
    const VERSION: u8 = tag(2, BYTES);
    let mut found = "";
    let mut fields = Fields::of(octets);
    while let Some((tag, content)) = fields.next(0)? {
        match (tag, content) {
            (NAME, Content::Bytes(name)) => found = text(name)?,
            (VERSION, Content::Bytes(version)) => drop(text(version)?),
            _ => return None,
        }
    }
    Some(found)
}

/// The fields of a message, one after the other; None where it is not ordinary.
struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
    seen: u32,
}

enum Content<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    fn of(octets: &'a [u8]) -> Fields<'a> {
        Fields {
            octets,
            at: 0,
            seen: 0,
        }
    }

    /// The next field with its number and content; those of `many` may come more than once.
    fn next(&mut self, many: u32) -> Option<Option<(u8, Content<'a>)>> {
        let Some(&tag) = self.octets.get(self.at) else {
            return Some(None);
        };
        self.at += 1;
        let (field, kind) = (tag >> 3, tag & 7);
        if tag >= 0x80 || field == 0 {
            return None;
        }
        let bit = 1u32 << field;
        if self.seen & bit & !many != 0 {
            return None;
        }
        self.seen |= bit;
        let content = match kind {
            VARINT => Content::Varint(self.varint()?),
            FIXED64 => Content::Fixed(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            FIXED32 => Content::Fixed(u32::from_le_bytes(*self.take(4)?.first_chunk()?).into()),
            BYTES => {
                let length = usize::try_from(self.varint()?).ok()?;
                Content::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some(Some((tag, content)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.octets.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut found = 0u64;
        for place in 0..10 {
            let octet = *self.octets.get(self.at)?;
            self.at += 1;
            if place == 9 && octet > 1 {
                return None;
            }
            found |= u64::from(octet & 0x7f) << (7 * place);
            if octet < 0x80 {
                return (octet != 0 || place == 0).then_some(found);
            }
        }
        None
    }
}

const fn tag(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

fn text(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok()
}

fn value(octets: &[u8], depth: usize) -> Option<Value<'_>> {
    const TEXT: u8 = tag(1, BYTES);
    const FLAG: u8 = tag(2, VARINT);
    const WHOLE: u8 = tag(3, VARINT);
    const NUMBER: u8 = tag(4, FIXED64);
    const LIST: u8 = tag(5, BYTES);
    const MAP: u8 = tag(6, BYTES);
    const OCTETS: u8 = tag(7, BYTES);
    let mut fields = Fields::of(octets);
    let Some((tag, content)) = fields.next(0)? else {
        return Some(Value::Nothing);
    };
    if fields.next(0)?.is_some() {
        return None;
    }
    Some(match (tag, content) {
        (TEXT, Content::Bytes(inner)) => Value::Text(text(inner)?.into()),
        (FLAG, Content::Varint(number)) => Value::Flag(number != 0),
        (WHOLE, Content::Varint(number)) => Value::Whole(number as i64),
        (NUMBER, Content::Fixed(bits)) => Value::Number(f64::from_bits(bits)),
        (OCTETS, Content::Bytes(inner)) => Value::Text(base64(inner).into()),
        (LIST, Content::Bytes(inner)) if depth < DEPTH_MAX => {
            let (mut inner, mut found) = (Fields::of(inner), Vec::new());
            while let Some((tag, content)) = inner.next(1 << 1)? {
                match (tag, content) {
                    (TEXT, Content::Bytes(one)) => found.push(value(one, depth + 1)?),
                    _ => return None,
                }
            }
            Value::List(found)
        }
        (MAP, Content::Bytes(inner)) if depth < DEPTH_MAX => {
            let (mut inner, mut found) = (Fields::of(inner), Vec::new());
            while let Some((tag, content)) = inner.next(1 << 1)? {
                match (tag, content) {
                    (TEXT, Content::Bytes(one)) => found.push(pair(one, depth + 1)?),
                    _ => return None,
                }
            }
            Value::Map(found)
        }
        _ => return None,
    })
}

fn pair(octets: &[u8], depth: usize) -> Option<(Cow<'_, str>, Value<'_>)> {
    const KEY: u8 = tag(1, BYTES);
    const VALUE: u8 = tag(2, BYTES);
    let mut fields = Fields::of(octets);
    let mut found = (Cow::from(""), Value::Nothing);
    while let Some((tag, content)) = fields.next(0)? {
        match (tag, content) {
            (KEY, Content::Bytes(inner)) => found.0 = text(inner)?.into(),
            (VALUE, Content::Bytes(inner)) => found.1 = value(inner, depth)?,
            _ => return None,
        }
    }
    Some(found)
}

fn record(octets: &[u8]) -> Option<Record<'_>> {
    const TIME: u8 = tag(1, FIXED64);
    const SEVERITY: u8 = tag(2, VARINT);
    const LEVEL: u8 = tag(3, BYTES);
    const BODY: u8 = tag(5, BYTES);
    const ATTRIBUTE: u8 = tag(6, BYTES);
    const DROPPED: u8 = tag(7, VARINT);
    const FLAGS: u8 = tag(8, FIXED32);
    const TRACE: u8 = tag(9, BYTES);
    const SPAN: u8 = tag(10, BYTES);
    const OBSERVED: u8 = tag(11, FIXED64);
    const NAME: u8 = tag(12, BYTES);
    let mut fields = Fields::of(octets);
    let mut found = Record::default();
    while let Some((tag, content)) = fields.next(1 << 6)? {
        match (tag, content) {
            (TIME, Content::Fixed(number)) => found.time = number,
            (SEVERITY, Content::Varint(number)) if number <= i32::MAX as u64 => {
                found.severity = number
            }
            (LEVEL, Content::Bytes(inner)) => found.level = text(inner)?.into(),
            (BODY, Content::Bytes(inner)) => found.body = Some(value(inner, 0)?),
            (ATTRIBUTE, Content::Bytes(inner)) => found.attributes.push(pair(inner, 0)?),
            (DROPPED, Content::Varint(number)) if number <= u32::MAX.into() => {
                found.dropped = number
            }
            (FLAGS, Content::Fixed(_)) => {}
            (TRACE, Content::Bytes(inner)) => found.trace = hexadecimal(inner).into(),
            (SPAN, Content::Bytes(inner)) => found.span = hexadecimal(inner).into(),
            (OBSERVED, Content::Fixed(number)) => found.observed = number,
            (NAME, Content::Bytes(inner)) => found.name = text(inner)?.into(),
            _ => return None,
        }
    }
    Some(found)
}

fn hexadecimal(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    octets
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut made = String::with_capacity(octets.len().div_ceil(3) * 4);
    for part in octets.chunks(3) {
        let at = |place: usize| u32::from(part.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            made.push(if digit <= part.len() {
                char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize])
            } else {
                '='
            });
        }
    }
    made
}
