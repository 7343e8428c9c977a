//! The optional kernel of Miniwatch: lines of NDJSON to columns, people to hashes, suspects marked, in one pass.
//!
//! Python defines what a line means (`monitor.decoders.strict`, `monitor.door`); the kernel takes the many ordinary lines
//! and names the others. Input is hostile: no unsafe code, every access is checked, and a panic ends only the batch.

#![forbid(unsafe_code)]

mod columns;
mod counting;
mod distinct;
mod ids;
mod lines;
mod literals;
mod members;
mod otlp;
mod otlp_json;
mod otlp_lines;
mod otlp_protobuf;
mod people;
mod required;
mod shape;
mod suspects;
mod tally;
mod times;
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use columns::{Column, Texts};
use distinct::{Mixer, Views};
use lines::{Lines, Plan};
use literals::Place;
use shape::{Kind, Shape};
use suspects::{SuspectWords, Word};
use walk::Walker;

/// A batch may have so many bytes: offsets into it, and into what it grows to, are 32 bits wide.
const BATCH_BYTES_MAX: usize = 1 << 28;

/// The digest of the sources that this was built of: Python takes no kernel of others.
const SOURCES: &str = include_str!("../../detectors/kernel.sha256");

pyo3::create_exception!(
    miniwatch_native,
    Unread,
    PyException,
    "The kernel could not read a batch: it is too long, or the kernel has a fault."
);

/// Remembers hashes of people; `hash_of` gives the 32 hexadecimal digits of a text.
#[pyclass]
struct People(people::People);

#[pymethods]
impl People {
    #[new]
    fn new(hash_of: Py<PyAny>) -> People {
        People(people::People::new(hash_of))
    }
}

/// A column: the number of values, the bits that say where they are, the values or views, and the long texts.
type Buffers<'py> = (
    usize,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Option<Bound<'py, PyBytes>>,
);

/// What was read: columns (None where all is null), the lines' views and blocks, where rows begin, odd lines, suspected
/// rows.
type Output<'py> = (
    Vec<Option<Buffers<'py>>>,
    (Bound<'py, PyBytes>, Vec<Py<PyBytes>>),
    Bound<'py, PyBytes>,
    Vec<(usize, usize)>,
    Vec<usize>,
);

/// Reads batches for one set of fields.
#[pyclass]
struct Reader {
    plan: Plan,
    walker: Walker,
    words: SuspectWords,
    lines: Lines,
}

#[pymethods]
impl Reader {
    /// `kinds` by field; `spellings` as keys and the field they mean; `people` and the time as fields; `free` are
    /// the spellings of free text; `words` tell suspects, and are
    /// looked for by `pieces` of them.
    #[new]
    fn new(
        kinds: Vec<u8>,
        spellings: Vec<(Vec<String>, usize)>,
        time: usize,
        people: Vec<usize>,
        free: Vec<Vec<String>>,
        words: Vec<(String, usize, usize)>,
        pieces: Vec<String>,
    ) -> PyResult<Reader> {
        let refuse = |what: &str| PyValueError::new_err(what.to_owned());
        let kinds: Option<Vec<Kind>> = kinds.into_iter().map(Kind::from_number).collect();
        let kinds = kinds.ok_or_else(|| refuse("no such kind"))?;
        if time >= kinds.len()
            || people
                .iter()
                .any(|field| kinds.get(*field) != Some(&Kind::Text))
        {
            return Err(refuse(
                "a field that is not there, or a person that is no text",
            ));
        }
        let shape = Shape::new(kinds, &spellings)
            .ok_or_else(|| refuse("more fields than there are numbers"))?;
        let free: Vec<_> = free
            .into_iter()
            .enumerate()
            .map(|(field, keys)| (keys, field))
            .collect();
        let free = Shape::new(vec![Kind::Text; free.len()], &free)
            .ok_or_else(|| refuse("more free text than there are numbers"))?;
        let words = words.into_iter().map(|(text, key, value_min)| Word {
            text,
            key,
            value_min,
        });
        let words = SuspectWords::new(words.collect(), &pieces)
            .ok_or_else(|| refuse("words that cannot be looked for"))?;
        let (walker, lines) = (Walker::new(&shape), Lines::new(&shape));
        Ok(Reader {
            plan: Plan::new(shape, time, people, free),
            walker,
            words,
            lines,
        })
    }

    /// Read a batch whose every line ends in a newline; without `people`, they are left as they are.
    fn read<'py>(
        &mut self,
        py: Python<'py>,
        data: &[u8],
        people: Option<PyRefMut<'py, People>>,
    ) -> PyResult<Output<'py>> {
        if data.last().is_some_and(|byte| *byte != b'\n') {
            return Err(PyValueError::new_err("a line that does not end"));
        }
        if data.len() > BATCH_BYTES_MAX {
            return Err(Unread::new_err(format!(
                "a batch of {} bytes; {BATCH_BYTES_MAX} are the most",
                data.len()
            )));
        }
        catch_unwind(AssertUnwindSafe(|| self.read_batch(py, data, people)))
            .unwrap_or_else(|_| Err(Unread::new_err("the kernel failed")))
    }
}

impl Reader {
    fn read_batch<'py>(
        &mut self,
        py: Python<'py>,
        data: &[u8],
        people: Option<PyRefMut<'py, People>>,
    ) -> PyResult<Output<'py>> {
        let mut people = people;
        let Reader {
            plan,
            walker,
            words,
            lines,
        } = self;
        lines.clear();
        lines.read(
            py,
            plan,
            walker,
            data,
            people.as_deref_mut().map(|people| &mut people.0),
            words,
        )?;
        let rows = lines.starts.len();
        let columns = lines
            .columns
            .iter_mut()
            .map(|column| buffers(py, column, rows))
            .collect();
        let starts = PyBytes::new(
            py,
            lines
                .starts
                .iter()
                .map(|start| start.to_le_bytes())
                .collect::<Vec<_>>()
                .as_flattened(),
        );
        let views = PyBytes::new(py, lines.texts.views.as_flattened());
        Ok((
            columns,
            (views, std::mem::take(&mut lines.blocks)),
            starts,
            lines.odd.clone(),
            lines.suspects.clone(),
        ))
    }
}

fn buffers<'py>(py: Python<'py>, column: &mut Column, rows: usize) -> Option<Buffers<'py>> {
    match column {
        Column::Texts(column) if column.count > 0 => Some(texts(py, column, rows)),
        Column::Words(column) if column.count > 0 => {
            column.values.resize(rows, [0; 8]);
            let valid = PyBytes::new(py, column.valid.finish(rows));
            Some((
                column.count,
                valid,
                PyBytes::new(py, column.values.as_flattened()),
                None,
            ))
        }
        Column::Flags(column) if column.count > 0 => {
            let valid = PyBytes::new(py, column.valid.finish(rows));
            Some((
                column.count,
                valid,
                PyBytes::new(py, column.values.finish(rows)),
                None,
            ))
        }
        _ => None,
    }
}

fn texts<'py>(py: Python<'py>, column: &mut Texts, rows: usize) -> Buffers<'py> {
    column.views.resize(rows, [0; 16]);
    let valid = PyBytes::new(py, column.valid.finish(rows));
    (
        column.count,
        valid,
        PyBytes::new(py, column.views.as_flattened()),
        Some(PyBytes::new(py, &column.data)),
    )
}

/// The distinct texts of a column that is given as Arrow's views: the place of each row's text among them, as 64-bit
/// numbers, and the first row of each, as 32-bit ones. Rows without a text get the place after the last.
///
/// `valid` has a bit a row, or is None where every row has a text; views and bits are looked at from `first` on.
#[pyfunction]
fn distinct_texts<'py>(
    py: Python<'py>,
    views: PyBuffer<u8>,
    buffers: Vec<PyBuffer<u8>>,
    valid: Option<PyBuffer<u8>>,
    first: usize,
    rows: usize,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let outside = || PyValueError::new_err("a column that reaches beyond its buffers");
    let views = views.to_vec(py)?;
    let end = first.checked_add(rows).ok_or_else(outside)?;
    let views = end
        .checked_mul(16)
        .and_then(|end| views.get(first * 16..end))
        .ok_or_else(outside)?;
    let buffers: Vec<Vec<u8>> = buffers
        .iter()
        .map(|buffer| buffer.to_vec(py))
        .collect::<PyResult<_>>()?;
    let valid = valid.map(|bits| bits.to_vec(py)).transpose()?;
    if valid.as_ref().is_some_and(|bits| bits.len() * 8 < end) || rows > BATCH_BYTES_MAX {
        return Err(outside());
    }
    let is_valid = |row: usize| match &valid {
        Some(bits) => bits[(first + row) / 8] >> ((first + row) % 8) & 1 == 1,
        None => true,
    };
    let column = Views {
        views,
        buffers: &buffers,
    };
    let (places, firsts) =
        distinct::distinct(&column, is_valid, &Mixer::new()).ok_or_else(outside)?;
    let firsts: Vec<_> = firsts.iter().map(|row| row.to_le_bytes()).collect();
    Ok((
        PyBytes::new(py, places.as_flattened()),
        PyBytes::new(py, firsts.as_flattened()),
    ))
}

/// Many literals, each the answer to a question; to be looked for in columns of texts.
#[pyclass]
struct Literals(literals::Literals);

/// By question where its texts end among all that were found, these texts, and those that were not asked.
type Found<'py> = (
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
);

#[pymethods]
impl Literals {
    /// Literals by text, question and place (0 anywhere, 1 at the start, 2 at the end, 3 the whole text). With `folded`, ASCII
    /// letters of both cases are the same, and literals are given in lower case.
    #[new]
    fn new(
        literals: Vec<(Vec<u8>, u32, u8)>,
        questions: usize,
        folded: bool,
    ) -> PyResult<Literals> {
        let refuse = || PyValueError::new_err("literals that cannot be looked for");
        let literals: Option<Vec<_>> = literals
            .into_iter()
            .map(|(text, question, place)| Some((text, question, Place::from_number(place)?)))
            .collect();
        let literals = literals.ok_or_else(refuse)?;
        if literals
            .iter()
            .any(|(_, question, _)| *question as usize >= questions)
        {
            return Err(refuse());
        }
        literals::Literals::new(&literals, questions, folded)
            .map(Literals)
            .ok_or_else(refuse)
    }

    /// Look through a column that is given as Arrow's views; see `distinct_texts`. With `ascii_only`, folded literals are
    /// looked for in texts of ASCII alone, and the other texts are named.
    #[allow(clippy::too_many_arguments)]
    fn search<'py>(
        &self,
        py: Python<'py>,
        views: PyBuffer<u8>,
        buffers: Vec<PyBuffer<u8>>,
        valid: Option<PyBuffer<u8>>,
        first: usize,
        rows: usize,
        ascii_only: bool,
    ) -> PyResult<Found<'py>> {
        let outside = || PyValueError::new_err("a column that reaches beyond its buffers");
        if rows > BATCH_BYTES_MAX {
            return Err(outside());
        }
        let views = views.to_vec(py)?;
        let buffers: Vec<Vec<u8>> = buffers
            .iter()
            .map(|buffer| buffer.to_vec(py))
            .collect::<PyResult<_>>()?;
        let valid = valid.map(|bits| bits.to_vec(py)).transpose()?;
        let text_of =
            |row: usize| text_at(&views, &buffers, valid.as_deref(), first.checked_add(row)?);
        let hits = self
            .0
            .search(rows, ascii_only, text_of)
            .ok_or_else(outside)?;
        let ends: Vec<_> = hits.ends.iter().map(|end| end.to_le_bytes()).collect();
        let texts: Vec<_> = hits.texts.iter().map(|text| text.to_le_bytes()).collect();
        let others: Vec<_> = hits.others.iter().map(|text| text.to_le_bytes()).collect();
        Ok((
            PyBytes::new(py, ends.as_flattened()),
            PyBytes::new(py, texts.as_flattened()),
            PyBytes::new(py, others.as_flattened()),
        ))
    }
}

/// The text of a row of a column in Arrow's view layout, or None where there is none; fails when it lies outside.
fn text_at<'a>(
    views: &'a [u8],
    buffers: &'a [Vec<u8>],
    valid: Option<&[u8]>,
    at: usize,
) -> Option<Option<&'a [u8]>> {
    if let Some(bits) = valid {
        if bits.get(at / 8)? >> (at % 8) & 1 == 0 {
            return Some(None);
        }
    }
    let view = views.get(at.checked_mul(16)?..)?.first_chunk::<16>()?;
    let [length, _, buffer, offset] =
        distinct::parts(u128::from_le_bytes(*view)).map(|number| number as usize);
    if length <= distinct::INLINE_MAX {
        return Some(views.get(16 * at + 4..16 * at + 4 + length));
    }
    let text = buffers.get(buffer)?.get(offset..)?.get(..length)?;
    Some(Some(text))
}

/// Reads what plainly stands at some keys of JSON objects, whose texts are a column.
#[pyclass]
struct Members(members::Members);

/// By key its column (None where all is null), and the rows that were not read, as 32-bit numbers.
type Inside<'py> = (Vec<Option<Buffers<'py>>>, Bound<'py, PyBytes>);

#[pymethods]
impl Members {
    #[new]
    fn new(keys: Vec<Vec<u8>>) -> Members {
        Members(members::Members::new(keys))
    }

    /// Read a column that is given as Arrow's views; see `distinct_texts`.
    fn read<'py>(
        &self,
        py: Python<'py>,
        views: PyBuffer<u8>,
        buffers: Vec<PyBuffer<u8>>,
        valid: Option<PyBuffer<u8>>,
        first: usize,
        rows: usize,
    ) -> PyResult<Inside<'py>> {
        let outside = || PyValueError::new_err("a column that reaches beyond its buffers");
        if rows > BATCH_BYTES_MAX {
            return Err(outside());
        }
        let views = views.to_vec(py)?;
        let blocks: Vec<Vec<u8>> = buffers
            .iter()
            .map(|buffer| buffer.to_vec(py))
            .collect::<PyResult<_>>()?;
        let valid = valid.map(|bits| bits.to_vec(py)).transpose()?;
        let text_of =
            |row: usize| text_at(&views, &blocks, valid.as_deref(), first.checked_add(row)?);
        let found = self.0.read(rows, text_of).ok_or_else(outside)?;
        let columns = found
            .columns
            .into_iter()
            .map(|mut column| (column.count > 0).then(|| texts(py, &mut column, rows)))
            .collect();
        let odd: Vec<_> = found.odd.iter().map(|row| row.to_le_bytes()).collect();
        Ok((columns, PyBytes::new(py, odd.as_flattened())))
    }
}

/// Literals of lower-case ASCII of which one stands, in some case, in every text that the expression matches; None where no
/// such set is known.
#[pyfunction]
fn required_literals(pattern: &str) -> Option<Vec<String>> {
    required::required(pattern)
}

#[pymodule]
fn miniwatch_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("SOURCES", SOURCES.trim_ascii())?;
    module.add("Unread", module.py().get_type::<Unread>())?;
    module.add_function(wrap_pyfunction!(distinct_texts, module)?)?;
    module.add_function(wrap_pyfunction!(required_literals, module)?)?;
    module.add_class::<Literals>()?;
    module.add_class::<Members>()?;
    module.add_class::<otlp_lines::OtlpForms>()?;
    module.add_class::<People>()?;
    module.add_class::<Reader>()?;
    module.add_class::<counting::Tally>()?;
    module.add_function(wrap_pyfunction!(counting::merged, module)?)?;
    module.add_function(wrap_pyfunction!(counting::of_note, module)?)
}
