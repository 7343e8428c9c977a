//! Requests of OTLP, read for `monitor.console.otlp_fields`. The kernel reads what senders ordinarily do: what else there may be,
//! wrong or right, is left to Python, which then reads the whole request.

use std::borrow::Cow;
use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Nesting of a value, as in `monitor.console.otlp_fields`.
pub const DEPTH_MAX: usize = 32;

/// Records that are read at once; requests of more are left to Python, which reads them one at a time.
const RECORDS_MAX: usize = 20_000;
const GROUPS_MAX: usize = 1000;

/// Names that are made into Python's texts once a request: so many, of so many bytes, at most.
const NAMES_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 128;

pub enum Value<'a> {
    Nothing,
    Text(Cow<'a, str>),
    Flag(bool),
    Whole(i64),
    Number(f64),
    List(Vec<Value<'a>>),
    Map(Pairs<'a>),
}

pub type Pairs<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

#[derive(Default)]
pub struct Record<'a> {
    pub time: u64,
    pub observed: u64,
    pub severity: u64,
    pub level: Cow<'a, str>,
    pub body: Option<Value<'a>>,
    pub attributes: Pairs<'a>,
    pub trace: Cow<'a, str>,
    pub span: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub dropped: u64,
}

/// Names and values of a resource's attributes, the name of a scope, and the records: each as the arguments of Python's.
pub type Group<'py> = (
    Bound<'py, PyTuple>,
    Bound<'py, PyList>,
    String,
    Vec<Bound<'py, PyTuple>>,
);

/// What was read until now, as Python's values. Its methods return None where it becomes too much.
pub struct Found<'py> {
    py: Python<'py>,
    names: HashMap<Vec<u8>, Bound<'py, PyString>>,
    scopes: Vec<(String, Vec<Bound<'py, PyTuple>>)>,
    records: usize,
    groups: Vec<Group<'py>>,
}

impl<'py> Found<'py> {
    pub fn new(py: Python<'py>) -> Found<'py> {
        Found {
            py,
            names: HashMap::new(),
            scopes: Vec::new(),
            records: 0,
            groups: Vec::new(),
        }
    }

    pub fn groups(self) -> Vec<Group<'py>> {
        self.groups
    }

    /// A record of the scope that is being read.
    pub fn record(&mut self, record: &Record) -> Option<Bound<'py, PyTuple>> {
        self.records += 1;
        if self.records > RECORDS_MAX {
            return None;
        }
        let (names, values) = self.pairs(&record.attributes)?;
        let body = match &record.body {
            Some(body) => python(self.py, body).ok()?,
            None => self.py.None().into_bound(self.py),
        };
        let made = (
            record.time,
            record.observed,
            record.severity,
            record.level.as_ref(),
            body,
            names,
            values,
            record.trace.as_ref(),
            record.span.as_ref(),
            record.name.as_ref(),
            record.dropped,
        );
        made.into_pyobject(self.py).ok()
    }

    /// A scope of the resource that is being read has been read.
    pub fn scope(&mut self, name: &str, records: Vec<Bound<'py, PyTuple>>) -> Option<()> {
        self.scopes.push((name.to_owned(), records));
        (self.groups.len() + self.scopes.len() <= GROUPS_MAX).then_some(())
    }

    /// A resource has been read.
    pub fn resource(&mut self, attributes: &Pairs) -> Option<()> {
        let (names, values) = self.pairs(attributes)?;
        for (scope, records) in self.scopes.drain(..) {
            self.groups
                .push((names.clone(), values.clone(), scope, records));
        }
        Some(())
    }

    fn pairs(&mut self, pairs: &Pairs) -> Option<(Bound<'py, PyTuple>, Bound<'py, PyList>)> {
        let names: Vec<_> = pairs.iter().map(|(name, _)| self.name(name)).collect();
        let values = pairs.iter().map(|(_, value)| python(self.py, value));
        let values = values.collect::<PyResult<Vec<_>>>().ok()?;
        Some((
            PyTuple::new(self.py, names).ok()?,
            PyList::new(self.py, values).ok()?,
        ))
    }

    fn name(&mut self, name: &str) -> Bound<'py, PyString> {
        if let Some(known) = self.names.get(name.as_bytes()) {
            return known.clone();
        }
        let made = PyString::new(self.py, name);
        if self.names.len() < NAMES_MAX && name.len() <= NAME_BYTES_MAX {
            self.names.insert(name.as_bytes().to_vec(), made.clone());
        }
        made
    }
}

fn python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Nothing => py.None().into_bound(py),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Flag(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Whole(number) => PyInt::new(py, *number).into_any(),
        Value::Number(number) if number.is_finite() => PyFloat::new(py, *number).into_any(),
        Value::Number(number) => PyFloat::new(py, *number).str()?.into_any(),
        Value::List(inner) => {
            let inner = inner.iter().map(|value| python(py, value));
            PyList::new(py, inner.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Map(inner) => {
            let made = PyDict::new(py);
            for (name, value) in inner {
                made.set_item(name.as_ref(), python(py, value)?)?;
            }
            made.into_any()
        }
    })
}
