//! What Python sees of counting: arrays of 64-bit numbers in, bytes of such arrays out.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::tally;

/// Keys and counts, as arrays of 64-bit numbers.
type Counted<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

fn words<'py>(
    py: Python<'py>,
    words: impl ExactSizeIterator<Item = u64>,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, 8 * words.len(), |bytes| {
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    })
}

/// Counts by key that go on from one array to the next; see `detectors.statistical.tallies`.
#[pyclass]
pub struct Tally(tally::Tally);

#[pymethods]
impl Tally {
    #[new]
    fn new(keys_max: usize) -> Tally {
        Tally(tally::Tally::new(keys_max))
    }

    #[getter]
    fn left_out(&self) -> u64 {
        self.0.left_out
    }

    /// Count keys, each once or as often as is said; the rows of those that were not there before, as 64-bit numbers.
    fn add<'py>(
        &mut self,
        py: Python<'py>,
        keys: PyBuffer<u64>,
        counts: Option<PyBuffer<i64>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let keys = keys.to_vec(py)?;
        let counts = counts.map(|counts| counts.to_vec(py)).transpose()?;
        if counts
            .as_ref()
            .is_some_and(|counts| counts.len() != keys.len())
        {
            return Err(PyValueError::new_err("not as many counts as keys"));
        }
        let mut new = Vec::new();
        for (row, key) in keys.into_iter().enumerate() {
            let count = counts.as_ref().map_or(1, |counts| counts[row].max(1));
            if self.0.add(key, count as u64) {
                new.push(row as u64);
            }
        }
        let most = self.0.keys_max.saturating_mul(2);
        self.0.bound(most);
        words(py, new.into_iter())
    }

    /// Forget all keys.
    fn clear(&mut self) {
        self.0.clear();
    }

    /// Keys in order, with their counts.
    fn counted<'py>(&mut self, py: Python<'py>) -> PyResult<Counted<'py>> {
        let whole = self.0.counted();
        Ok((
            words(py, whole.iter().map(|pair| pair.0))?,
            words(py, whole.iter().map(|pair| pair.1))?,
        ))
    }
}

/// Two lists of keys in order, with counts, as one; see `detectors.statistical.tallies`.
#[pyfunction]
pub fn merged<'py>(
    py: Python<'py>,
    keys: PyBuffer<u64>,
    counts: PyBuffer<u64>,
    others: PyBuffer<u64>,
    n: PyBuffer<u64>,
) -> PyResult<Counted<'py>> {
    let counted = |keys: PyBuffer<u64>, counts: PyBuffer<u64>| {
        let (keys, counts) = (keys.to_vec(py)?, counts.to_vec(py)?);
        if keys.len() != counts.len() {
            return Err(PyValueError::new_err("not as many counts as keys"));
        }
        Ok(tally::Counted { keys, counts })
    };
    let whole = tally::merged(&counted(keys, counts)?, &counted(others, n)?);
    Ok((
        words(py, whole.keys.into_iter())?,
        words(py, whole.counts.into_iter())?,
    ))
}

/// Rows of note among rows in order, and the sketch as it is then; see `detectors.statistical.regularity`.
#[pyfunction]
pub fn of_note<'py>(
    py: Python<'py>,
    rows: PyBuffer<u64>,
    time_bits: u32,
    known: PyBuffer<u64>,
    sketch: &[u8],
    telling: usize,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    if time_bits >= u64::BITS || sketch.is_empty() {
        return Err(PyValueError::new_err(
            "no bits are left, or there is no sketch",
        ));
    }
    let (rows, known) = (rows.to_vec(py)?, known.to_vec(py)?);
    let mut sketch = sketch.to_vec();
    let kept = tally::of_note(&rows, time_bits, &known, &mut sketch, telling);
    Ok((words(py, kept.into_iter())?, PyBytes::new(py, &sketch)))
}
