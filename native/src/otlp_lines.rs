//! Log records of OTLP as lines of nested JSON, as `monitor.console.otlp_lines` makes them. Python says what form events with
//! certain names have; the kernel remembers it, and fills it. Records with more than plain values are left to Python one by one.

use std::collections::HashMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::otlp::{Pairs, Record, Value, pairs, python, said};
use crate::{otlp_json, otlp_protobuf, times};

/// Lines are given to Python in blocks of about so many bytes, or of what costs as much.
const BLOCK_BYTES: usize = 256 << 10;

const LEVEL_NUMBERS: u64 = 4;

/// How events with the same names are written: a text, where in it values stand, and which.
struct Form {
    text: Vec<u8>,
    ends: Vec<usize>,
    order: Vec<usize>,
    is_plain: bool,
}

/// Remembers forms. Threads may share it.
#[pyclass(frozen)]
pub struct OtlpForms {
    form_of: Py<PyAny>,
    encode: Py<PyAny>,
    levels: Vec<String>,
    field_bytes: usize,
    forms_max: usize,
    form_names_max: usize,
    form_bytes_max: usize,
    known: Mutex<HashMap<Vec<u8>, Arc<Form>>>,
}

#[pymethods]
impl OtlpForms {
    /// `form_of` tells for the names of attributes and of what is beside them a text, where in it values stand, which, and whether
    /// these stand as they came; `encode` writes a value. A field costs `field_bytes` at least. So many forms are remembered, of
    /// so many names of so many bytes, at most.
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        form_of: Py<PyAny>,
        encode: Py<PyAny>,
        levels: Vec<String>,
        field_bytes: usize,
        forms_max: usize,
        form_names_max: usize,
        form_bytes_max: usize,
    ) -> OtlpForms {
        OtlpForms {
            form_of,
            encode,
            levels,
            field_bytes,
            forms_max,
            form_names_max,
            form_bytes_max,
            known: Mutex::default(),
        }
    }

    /// Give the records of a request in JSON to `body`; false where something in it is not ordinary, and `body` has got some of
    /// them at most. Raises what `body` raises.
    fn read_json(
        &self,
        content: &[u8],
        body: &Bound<'_, PyAny>,
        line_bytes_max: usize,
    ) -> PyResult<bool> {
        self.read(body, line_bytes_max, |lines| {
            otlp_json::read(lines, content)
        })
    }

    /// The same of one in protobuf.
    fn read_protobuf(
        &self,
        content: &[u8],
        body: &Bound<'_, PyAny>,
        line_bytes_max: usize,
    ) -> PyResult<bool> {
        self.read(body, line_bytes_max, |lines| {
            otlp_protobuf::read(lines, content)
        })
    }
}

impl OtlpForms {
    fn read<'py>(
        &self,
        body: &Bound<'py, PyAny>,
        line_bytes_max: usize,
        read: impl FnOnce(&mut Lines<'_, 'py>) -> Option<()>,
    ) -> PyResult<bool> {
        let mut lines = Lines {
            forms: self,
            body,
            line_bytes_max,
            common: Common::default(),
            key: Vec::new(),
            last: None,
            block: Vec::new(),
            count: 0,
            cost: 0,
            too_long: 0,
            second: (u64::MAX, String::new()),
            error: None,
        };
        let whole = catch_unwind(AssertUnwindSafe(|| {
            read(&mut lines)?;
            lines.flush()
        }));
        match lines.error {
            Some(error) => Err(error),
            None => Ok(matches!(whole, Ok(Some(())))),
        }
    }

    /// The form of events with the names of which this is the key.
    fn form<'py>(
        &self,
        key: &[u8],
        fields: usize,
        names: impl FnOnce() -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyTuple>)>,
    ) -> PyResult<Arc<Form>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(form) = known().get(key) {
            return Ok(form.clone());
        }
        let names = names()?;
        let found = self.form_of.bind(names.0.py()).call1(names)?;
        let (text, ends, order, is_plain): (Bound<'py, PyBytes>, Vec<usize>, Vec<usize>, bool) =
            found.extract()?;
        let text = text.as_bytes().to_vec();
        let is_in_order = ends.is_sorted() && ends.last().is_none_or(|end| *end <= text.len());
        if !is_in_order || ends.len() != order.len() || order.iter().any(|place| *place >= fields) {
            return Err(PyValueError::new_err("a form that nothing fits into"));
        }
        let form = Arc::new(Form {
            text,
            ends,
            order,
            is_plain,
        });
        if fields <= self.form_names_max && key.len() <= self.form_bytes_max {
            let mut known = known();
            if known.len() >= self.forms_max {
                known.clear();
            }
            known.insert(key.to_vec(), form.clone());
        }
        Ok(form)
    }
}

/// What a resource says of all its records: names of fields, their values as JSON, and both as Python's.
#[derive(Default)]
struct Common<'py> {
    names: Vec<String>,
    values: Vec<Vec<u8>>,
    said: Option<Bound<'py, PyAny>>,
}

/// What a record says beside its attributes.
enum Beside<'a> {
    Text(&'a str),
    Number(u64),
    Instant(u64),
}

/// The lines of one request. Its methods return None where Python has to read it, or where Python has raised an error.
pub struct Lines<'a, 'py> {
    forms: &'a OtlpForms,
    body: &'a Bound<'py, PyAny>,
    line_bytes_max: usize,
    common: Common<'py>,
    key: Vec<u8>,
    last: Option<(Vec<u8>, Arc<Form>)>,
    block: Vec<u8>,
    count: usize,
    cost: usize,
    too_long: usize,
    second: (u64, String),
    error: Option<PyErr>,
}

impl<'a, 'py> Lines<'a, 'py> {
    /// Whether something of so many bytes may be read at once; with what belongs to it, it is no longer than a line may be.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes + 64 <= self.line_bytes_max
    }

    /// What is said of the records that follow.
    pub fn resource(&mut self, attributes: &Pairs) -> Option<()> {
        let common = self.common_of(attributes);
        self.common = self.or_error(common)??;
        Some(())
    }

    fn common_of(&self, attributes: &Pairs) -> PyResult<Option<Common<'py>>> {
        let py = self.body.py();
        let said = self.body.call_method1("common", pairs(py, attributes)?)?;
        if said.is_none() {
            return Ok(None);
        }
        let encode = self.forms.encode.bind(py);
        let mut values = Vec::new();
        for value in said.getattr("values")?.try_iter()? {
            values.push(
                encode
                    .call1((value?,))?
                    .cast::<PyBytes>()?
                    .as_bytes()
                    .to_vec(),
            );
        }
        let names = said.getattr("names")?.extract()?;
        Ok(Some(Common {
            names,
            values,
            said: Some(said),
        }))
    }

    /// A record, with the name of its scope.
    pub fn record(&mut self, record: &Record, scope: &str) -> Option<()> {
        if !self.filled(record, scope)? {
            self.flush()?;
            let told = said(self.body.py(), record, scope)
                .and_then(|record| self.body.call_method1("odd", (record, &self.common.said)));
            self.or_error(told)?;
        }
        if self.block.len() < BLOCK_BYTES && self.cost < BLOCK_BYTES {
            return Some(());
        }
        self.flush()
    }

    /// Give Python what there is.
    pub fn flush(&mut self) -> Option<()> {
        let block = PyBytes::new(self.body.py(), &self.block);
        let told = (block, self.count, self.cost, self.too_long);
        let told = self.body.call_method1("take", told);
        self.block.clear();
        (self.count, self.cost, self.too_long) = (0, 0, 0);
        self.or_error(told).map(drop)
    }

    fn or_error<T>(&mut self, found: PyResult<T>) -> Option<T> {
        found.map_err(|error| self.error = Some(error)).ok()
    }

    /// Whether the record could be filled into a form.
    fn filled(&mut self, record: &Record, scope: &str) -> Option<bool> {
        let forms: &'a OtlpForms = self.forms;
        let is_plain = |(_, value): &(_, Value)| !matches!(value, Value::Nothing | Value::Map(_));
        if !record.attributes.iter().all(is_plain) {
            return Some(false);
        }
        let Some(beside) = beside(&forms.levels, record, scope) else {
            return Some(false);
        };
        let fields = record.attributes.len() + beside.len() + self.common.names.len();
        let form = self.form(&record.attributes, &beside, fields)?;
        if !form.is_plain {
            return Some(false);
        }
        let begin = self.block.len();
        let mut at = 0;
        for (end, place) in form.ends.iter().zip(&form.order) {
            self.block.extend_from_slice(&form.text[at..*end]);
            at = *end;
            self.value(&record.attributes, &beside, *place)?;
        }
        self.block.extend_from_slice(&form.text[at..]);
        let length = self.block.len() - begin;
        self.cost += length.max(fields * self.forms.field_bytes);
        if length > self.line_bytes_max {
            self.block.truncate(begin);
            self.too_long += 1;
        } else {
            self.count += 1;
        }
        Some(true)
    }

    fn form(
        &mut self,
        attributes: &Pairs,
        beside: &[(&'static str, Beside<'_>)],
        fields: usize,
    ) -> Option<Arc<Form>> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        let names = || {
            let common = self.common.names.iter().map(String::as_str);
            beside.iter().map(|(name, _)| *name).chain(common)
        };
        key.extend_from_slice(&attributes.len().to_le_bytes());
        for name in attributes
            .iter()
            .map(|(name, _)| name.as_ref())
            .chain(names())
        {
            key.extend_from_slice(&name.len().to_le_bytes());
            key.extend_from_slice(name.as_bytes());
        }
        let found = match &self.last {
            Some((last, form)) if *last == key => Ok(form.clone()),
            _ => self.forms.form(&key, fields, || {
                let py = self.body.py();
                let attributes = attributes.iter().map(|(name, _)| name.as_ref());
                let beside: Vec<_> = names().collect();
                Ok((PyTuple::new(py, attributes)?, PyTuple::new(py, beside)?))
            }),
        };
        let found = self.or_error(found)?;
        self.key = match self.last.replace((key, found.clone())) {
            Some((before, _)) => before,
            None => Vec::new(),
        };
        Some(found)
    }

    /// Write the value at a place among all that the record says.
    fn value(
        &mut self,
        attributes: &Pairs,
        beside: &[(&'static str, Beside<'_>)],
        place: usize,
    ) -> Option<()> {
        if let Some((_, value)) = attributes.get(place) {
            return self.attribute(value);
        }
        let place = place - attributes.len();
        match beside.get(place) {
            Some((_, Beside::Text(text))) => write_text(&mut self.block, text),
            Some((_, Beside::Number(number))) => write!(self.block, "{number}").ok()?,
            Some((_, Beside::Instant(time))) => self.instant(*time)?,
            None => {
                let value = self.common.values.get(place - beside.len())?;
                self.block.extend_from_slice(value);
            }
        }
        Some(())
    }

    fn attribute(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Text(text) => write_text(&mut self.block, text),
            Value::Flag(flag) => write!(self.block, "{flag}").ok()?,
            Value::Whole(number) => write!(self.block, "{number}").ok()?,
            Value::Number(_) | Value::List(_) => {
                let py = self.body.py();
                let told =
                    python(py, value).and_then(|value| self.forms.encode.bind(py).call1((value,)));
                let told = self.or_error(told)?;
                self.block
                    .extend_from_slice(told.cast::<PyBytes>().ok()?.as_bytes());
            }
            Value::Nothing | Value::Map(_) => return None,
        }
        Some(())
    }

    fn instant(&mut self, nanoseconds: u64) -> Option<()> {
        let (second, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        if self.second.0 != second {
            self.second = (second, times::written(second));
        }
        write!(self.block, "\"{}.{rest:09}Z\"", self.second.1).ok()
    }
}

/// Names and values of what a record says beside its attributes; None where it does not say it plainly.
fn beside<'a>(
    levels: &'a [String],
    record: &'a Record,
    scope: &'a str,
) -> Option<Vec<(&'static str, Beside<'a>)>> {
    let mut found = Vec::with_capacity(10);
    match &record.body {
        Some(Value::Text(text)) => found.push(("message", Beside::Text(text))),
        None | Some(Value::Nothing) => {}
        _ => return None,
    }
    let time = [record.time, record.observed]
        .into_iter()
        .find(|time| *time > 0)?;
    found.push(("@timestamp", Beside::Instant(time)));
    if record.time > 0 && record.observed > 0 {
        found.push(("event.created", Beside::Instant(record.observed)));
    }
    if record.severity > 0 {
        found.push(("event.severity", Beside::Number(record.severity)));
    }
    found.extend(level(levels, record).map(|level| ("log.level", Beside::Text(level))));
    for (name, text) in [
        ("trace.id", &record.trace),
        ("span.id", &record.span),
        ("event.action", &record.name),
    ] {
        if !text.is_empty() {
            found.push((name, Beside::Text(text)));
        }
    }
    if record.dropped > 0 {
        found.push((
            "otel.dropped_attributes_count",
            Beside::Number(record.dropped),
        ));
    }
    if !scope.is_empty() {
        found.push(("log.logger", Beside::Text(scope)));
    }
    Some(found)
}

fn level<'a>(levels: &'a [String], record: &'a Record) -> Option<&'a str> {
    if !record.level.is_empty() {
        return Some(&record.level);
    }
    let place = record.severity.checked_sub(1)? / LEVEL_NUMBERS;
    let level = levels.get(usize::try_from(place).ok()?)?;
    Some(level)
}

/// As JSON, the way that msgspec writes it.
fn write_text(block: &mut Vec<u8>, text: &str) {
    let is_special = |octet: &u8| *octet < 0x20 || *octet == b'"' || *octet == b'\\';
    block.push(b'"');
    let has_special = |has, octet: &u8| has | is_special(octet);
    if text.as_bytes().iter().fold(false, has_special) {
        for octet in text.bytes() {
            write_octet(block, octet);
        }
    } else {
        block.extend_from_slice(text.as_bytes());
    }
    block.push(b'"');
}

fn write_octet(block: &mut Vec<u8>, octet: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match octet {
        b'"' | b'\\' => octet,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0..0x20 => {
            block.extend_from_slice(b"\\u00");
            block.push(DIGITS[usize::from(octet >> 4)]);
            block.push(DIGITS[usize::from(octet & 15)]);
            return;
        }
        _ => return block.push(octet),
    };
    block.extend_from_slice(&[b'\\', short]);
}
