//! Requests of OTLP, read for `monitor.console.otlp_fields`. The kernel reads what senders ordinarily do: what else there may be,
//! wrong or right, is left to Python, which then reads the whole request.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Nesting of a value, as in `monitor.console.otlp_fields`.
pub const DEPTH_MAX: usize = 32;

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

/// A record as the arguments of Python's, with the name of its scope.
pub fn said<'py>(py: Python<'py>, record: &Record, scope: &str) -> PyResult<Bound<'py, PyTuple>> {
    let (names, values) = pairs(py, &record.attributes)?;
    let body = match &record.body {
        Some(body) => python(py, body)?,
        None => py.None().into_bound(py),
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
        scope,
    );
    made.into_pyobject(py)
}

/// Names and values, each as Python's.
pub fn pairs<'py>(
    py: Python<'py>,
    pairs: &Pairs,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyList>)> {
    let names = PyTuple::new(py, pairs.iter().map(|(name, _)| name.as_ref()))?;
    let values = pairs.iter().map(|(_, value)| python(py, value));
    let values = PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?;
    Ok((names, values))
}

/// A value as Python's.
pub fn python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
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
