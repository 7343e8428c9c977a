//! People become their hashes. The key never comes here: Python hashes a value once, this remembers what it said.

use std::collections::HashMap;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub const HASH_BYTES: usize = 32;

/// Remembered values; when full, the older half is forgotten. Longer values are hashed anew every time.
const REMEMBERED_MAX: usize = 200_000;
const REMEMBERED_BYTES_MAX: usize = 256;

pub type Hash = [u8; HASH_BYTES];

pub struct People {
    hash_of: Py<PyAny>,
    young: HashMap<Box<[u8]>, Hash>,
    old: HashMap<Box<[u8]>, Hash>,
}

impl People {
    pub fn new(hash_of: Py<PyAny>) -> People {
        People {
            hash_of,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub fn hash(&mut self, py: Python<'_>, value: &str) -> PyResult<Hash> {
        let key = value.as_bytes();
        if let Some(known) = self.young.get(key) {
            return Ok(*known);
        }
        let known = match self.old.get(key) {
            Some(known) => *known,
            None => self.ask(py, value)?,
        };
        if key.len() <= REMEMBERED_BYTES_MAX {
            if self.young.len() >= REMEMBERED_MAX / 2 {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key.into(), known);
        }
        Ok(known)
    }

    fn ask(&self, py: Python<'_>, value: &str) -> PyResult<Hash> {
        let said = self.hash_of.bind(py).call1((value,))?;
        let text: String = said.extract()?;
        text.as_bytes()
            .try_into()
            .map_err(|_| PyValueError::new_err("a hash is not 32 bytes long"))
    }
}
