//! One batch: lines to columns and people to hashes; odd lines are only named.

use memchr::memmem;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::columns::{Column, Flags, Texts, Words};
use crate::ids::{is_id, is_plain};
use crate::people::{Hash, People};
use crate::shape::{Kind, Shape};
use crate::suspects::{SuspectWords, mark_runs};
use crate::walk::{Text, Value, Walker, unescape};

/// What Python tells once about the fields asked for.
pub struct Plan {
    pub shape: Shape,
    /// The field that every event must have.
    pub time: usize,
    /// Fields that hold people, in the order in which they are replaced.
    pub people: Vec<usize>,
    /// The place of each field in `people`, or one behind all of them.
    roles: Vec<usize>,
    free: FreeTexts,
}

impl Plan {
    /// `free` has the fields of free text, texts all of them.
    pub fn new(shape: Shape, time: usize, people: Vec<usize>, free: Shape) -> Plan {
        let nobody = people.len();
        let role_of = |field| {
            people
                .iter()
                .position(|person| *person == field)
                .unwrap_or(nobody)
        };
        let roles = (0..shape.kinds.len()).map(role_of).collect();
        Plan {
            shape,
            time,
            people,
            roles,
            free: FreeTexts {
                walker: Walker::new(&free),
                shape: free,
            },
        }
    }
}

/// The fields in which a person's value may stand among other words, and be replaced.
struct FreeTexts {
    shape: Shape,
    walker: Walker,
}

impl FreeTexts {
    /// Whether these people, the values of their fields in a walked line, stand there and in free text, and nowhere else:
    /// not in a key, nor in what rules go by, nor where an escape makes other letters of them.
    fn are_all_there_is(&mut self, line: &[u8], people: &[(Text, Hash)], has_hiding: bool) -> bool {
        if self.walker.walk(&mut self.shape, line).is_err() {
            return false;
        }
        let found = &self.walker.found;
        let is_free = |start: usize, end: usize| {
            found.iter().any(|free| match free.value {
                Value::Text(text) => {
                    text.quoted
                        && text.start <= start
                        && end <= text.end
                        && !(text.escaped && has_hiding)
                        && line[start - 1] != b'\\'
                }
                _ => false,
            })
        };
        people.iter().all(|(person, _)| {
            let value = &line[person.start..person.end];
            if !is_id(value) {
                return stands_once(line, *person);
            }
            if people
                .iter()
                .any(|(_, hash)| memmem::find(hash, value).is_some())
            {
                return false;
            }
            memmem::find_iter(line, value).all(|start| {
                let end = start + value.len();
                let is_own = people
                    .iter()
                    .any(|(own, _)| (own.start, own.end) == (start, end));
                is_own || is_free(start, end)
            })
        })
    }
}

/// Lines are looked through for suspects, and handed over, so many bytes at a time, while the processor's cache still holds
/// them.
const BLOCK_BYTES: usize = 1 << 17;

/// A batch as it is read.
pub struct Lines {
    pub columns: Vec<Column>,
    /// The lines with people hashed: the long ones in blocks, the last of which is open.
    pub texts: Texts,
    pub blocks: Vec<Py<PyBytes>>,
    /// Where each line of the open block ends in it.
    ends: Vec<usize>,
    /// Where each row's line begins in the batch.
    pub starts: Vec<i64>,
    /// Lines for Python: where they begin and end in the batch.
    pub odd: Vec<(usize, usize)>,
    /// Rows whose line could hold a secret.
    pub suspects: Vec<usize>,
    /// The people of the line at hand.
    told: Vec<(Text, Hash)>,
    /// Hashes that stand in the open block: the row in it, and the hash, in the order of rows.
    own: Vec<(usize, Hash)>,
}

/// What became of the people of one line.
enum Hashed {
    Odd,
    Plain,
    /// A value stood in free text too: what the line says must be read from the new text.
    Again,
}

impl Lines {
    pub fn new(shape: &Shape) -> Lines {
        let columns = shape.kinds.iter().map(|kind| match kind {
            Kind::Text | Kind::Loose => Column::Texts(Texts::default()),
            Kind::Integer | Kind::Number | Kind::Time => Column::Words(Words::default()),
            Kind::Boolean => Column::Flags(Flags::default()),
        });
        Lines {
            columns: columns.collect(),
            texts: Texts::default(),
            blocks: Vec::new(),
            ends: Vec::new(),
            starts: Vec::new(),
            odd: Vec::new(),
            suspects: Vec::new(),
            told: Vec::new(),
            own: Vec::new(),
        }
    }

    /// Forget all rows and keep the room they took.
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Column::clear);
        self.texts.clear();
        self.blocks.clear();
        self.ends.clear();
        self.own.clear();
        self.starts.clear();
        self.odd.clear();
        self.suspects.clear();
    }

    /// Read all lines of a batch; each ends in a newline.
    pub fn read(
        &mut self,
        py: Python<'_>,
        plan: &mut Plan,
        walker: &mut Walker,
        data: &[u8],
        people: Option<&mut People>,
        words: &mut SuspectWords,
    ) -> PyResult<()> {
        let mut hashes = vec![None; plan.people.len()];
        let mut people = people;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', data) {
            let line = trimmed(&data[start..newline]);
            let is_good = std::str::from_utf8(line).is_ok()
                && walker.walk(&mut plan.shape, line).is_ok()
                && walker.has(plan.time)
                && self.admit(py, plan, walker, line, people.as_deref_mut(), &mut hashes)?;
            if is_good {
                self.starts.push(start as i64);
            } else {
                self.odd.push((start, newline + 1));
            }
            start = newline + 1;
            if self.texts.data.len() >= BLOCK_BYTES {
                self.close(py, words);
            }
        }
        self.close(py, words);
        Ok(())
    }

    /// Note the suspects of the open block, and begin the next.
    fn close(&mut self, py: Python<'_>, words: &mut SuspectWords) {
        let first = self.starts.len() - self.ends.len();
        let mut marks = vec![false; self.ends.len()];
        words.mark(&self.texts.data, &self.ends, &self.own, &mut marks);
        mark_runs(&self.texts.data, &self.ends, &mut marks);
        let marked = marks.iter().enumerate().filter(|(_, mark)| **mark);
        self.suspects.extend(marked.map(|(row, _)| first + row));
        self.blocks
            .push(PyBytes::new(py, &self.texts.data).unbind());
        self.texts.data.clear();
        self.texts.buffer += 1;
        self.ends.clear();
        self.own.clear();
    }

    /// Take a walked line in as a row; false: it is odd after all.
    fn admit(
        &mut self,
        py: Python<'_>,
        plan: &mut Plan,
        walker: &mut Walker,
        line: &[u8],
        people: Option<&mut People>,
        hashes: &mut [Option<Hash>],
    ) -> PyResult<bool> {
        let start = self.texts.data.len();
        hashes.fill(None);
        let hashed = match people {
            Some(people) => self.hash(py, plan, walker, line, people, hashes)?,
            None => {
                self.texts.data.extend_from_slice(line);
                self.know_hashed(plan, walker, line);
                Hashed::Plain
            }
        };
        let row = self.starts.len();
        match hashed {
            Hashed::Plain => self.take(plan, walker, line, row, hashes),
            Hashed::Again => {
                let anew = self.texts.data[start..].to_vec();
                if walker.walk(&mut plan.shape, &anew).is_err() || !walker.has(plan.time) {
                    self.texts.data.truncate(start);
                    return Ok(false);
                }
                self.take(plan, walker, &anew, row, hashes);
            }
            Hashed::Odd => {
                self.texts.data.truncate(start);
                return Ok(false);
            }
        }
        let in_block = self.ends.len();
        let hashes = hashes.iter().flatten();
        self.own.extend(hashes.map(|hash| (in_block, *hash)));
        self.texts.push_data(row, start);
        self.ends.push(self.texts.data.len());
        Ok(true)
    }

    /// Add the line with people replaced to the texts.
    fn hash(
        &mut self,
        py: Python<'_>,
        plan: &mut Plan,
        walker: &Walker,
        line: &[u8],
        people: &mut People,
        hashes: &mut [Option<Hash>],
    ) -> PyResult<Hashed> {
        self.told.clear();
        let mut stand_once = true;
        let mut has_percent = None;
        for (place, field) in plan.people.iter().enumerate() {
            let Some(value) = walker.value_of(*field) else {
                continue;
            };
            let Value::Text(text) = value else {
                return Ok(Hashed::Odd);
            };
            let bytes = &line[text.start..text.end];
            let may_hide =
                walker.has_hiding && bytes.iter().any(|byte| *byte == b'/' || !byte.is_ascii());
            let is_syntax = bytes
                .iter()
                .any(|byte| matches!(byte, b'[' | b']' | b'{' | b'}'));
            let may_be_encoded = !is_plain(bytes)
                && is_id(bytes)
                && *has_percent.get_or_insert_with(|| memchr::memchr(b'%', line).is_some());
            if text.escaped
                || !text.quoted
                || bytes.is_empty()
                || may_hide
                || is_syntax
                || may_be_encoded
            {
                return Ok(Hashed::Odd);
            }
            let Ok(value) = std::str::from_utf8(bytes) else {
                return Ok(Hashed::Odd);
            };
            let hash = people.hash(py, value)?;
            hashes[place] = Some(hash);
            self.told.push((text, hash));
            stand_once &= stands_once(line, text);
        }
        let start = self.texts.data.len();
        if stand_once {
            self.told.sort_unstable_by_key(|(text, _)| text.start);
            let mut done = 0;
            for (text, hash) in &self.told {
                self.texts.data.extend_from_slice(&line[done..text.start]);
                self.texts.data.extend_from_slice(hash);
                done = text.end;
            }
            self.texts.data.extend_from_slice(&line[done..]);
            return Ok(Hashed::Plain);
        }
        if !plan
            .free
            .are_all_there_is(line, &self.told, walker.has_hiding)
        {
            return Ok(Hashed::Odd);
        }
        self.texts.data.extend_from_slice(line);
        for (text, hash) in &self.told {
            let quotes = usize::from(!is_id(&line[text.start..text.end]));
            let sought = &line[text.start - quotes..text.end + quotes];
            replace(&mut self.texts.data, start, sought, quotes, hash);
        }
        Ok(Hashed::Again)
    }

    /// Note the people of a line that were hashed where it comes from.
    fn know_hashed(&mut self, plan: &Plan, walker: &Walker, line: &[u8]) {
        let row = self.ends.len();
        for field in &plan.people {
            if let Some(Value::Text(text)) = walker.value_of(*field) {
                match line[text.start..text.end].try_into() {
                    Ok(hash) if is_hash(&hash) => self.own.push((row, hash)),
                    _ => {}
                }
            }
        }
    }

    /// Put what was found into the columns, hashes in the place of people: of those from `first` on.
    fn take(
        &mut self,
        plan: &Plan,
        walker: &Walker,
        line: &[u8],
        row: usize,
        hashes: &[Option<Hash>],
    ) {
        for found in &walker.found {
            let field = usize::from(found.field);
            if hashes.get(plan.roles[field]).is_some_and(Option::is_some) {
                continue;
            }
            match (&mut self.columns[field], found.value) {
                (Column::Texts(texts), Value::Text(text)) if text.escaped => {
                    let start = texts.data.len();
                    unescape(&line[text.start..text.end], &mut texts.data);
                    texts.push_data(row, start);
                }
                (Column::Texts(texts), Value::Text(text)) => {
                    texts.push(row, line, text.start, text.end)
                }
                (Column::Words(words), Value::Integer(value)) => {
                    words.push(row, value.to_le_bytes())
                }
                (Column::Words(words), Value::Number(value)) => {
                    words.push(row, value.to_le_bytes())
                }
                (Column::Flags(flags), Value::Boolean(value)) => flags.push(row, value),
                _ => unreachable!("a value of another kind than its column"),
            }
        }
        for (field, hash) in plan.people.iter().zip(hashes) {
            if let (Column::Texts(texts), Some(hash)) = (&mut self.columns[*field], hash) {
                texts.push(row, hash, 0, hash.len());
            }
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let [b' ' | b'\t' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r'] = line {
        line = rest;
    }
    line
}

/// Whether a text is one that `People` could have given.
fn is_hash(text: &Hash) -> bool {
    text.iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a person's value stands in the line in its own place only; what is no id, with its quotation marks.
fn stands_once(line: &[u8], person: Text) -> bool {
    let quotes = usize::from(!is_id(&line[person.start..person.end]));
    let (start, end) = (person.start - quotes, person.end + quotes);
    let sought = &line[start..end];
    let is_number = quotes > 0 && is_number_of(line, &line[person.start..person.end]);
    !is_number && !stands_in(&line[..start], sought) && !stands_in(&line[end..], sought)
}

/// Whether a person is called like a number that stands in the line: a number is the text that it is written with.
fn is_number_of(line: &[u8], value: &[u8]) -> bool {
    matches!(value.first(), Some(b'-' | b'0'..=b'9'))
        && memmem::find_iter(line, value).any(|start| {
            let before = start.checked_sub(1).map(|place| line[place]);
            let after = line.get(start + value.len());
            matches!(
                before,
                Some(b':' | b',' | b'[' | b' ' | b'\t' | b'\r' | b'-')
            ) && matches!(after, Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\r'))
        })
}

/// The quick search may look at all of the sought text at every place: it must be short.
#[cfg(target_arch = "x86_64")]
const PAIR_BYTES_MAX: usize = 64;

/// Whether one text stands in another. The usual search first learns which bytes are rare; for one line that costs more
/// than it saves, and of what people are called no byte is rarer than another.
fn stands_in(text: &[u8], sought: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if sought.len() <= PAIR_BYTES_MAX {
        use memchr::arch::{all::packedpair::Pair, x86_64::avx2::packedpair::Finder};
        let last = u8::try_from(sought.len() - 1).unwrap_or(u8::MAX);
        let finder = Pair::with_indices(sought, last, last / 2)
            .and_then(|pair| Finder::with_pair(sought, pair));
        let finder = finder.filter(|finder| text.len() >= finder.min_haystack_len());
        if let Some(finder) = finder {
            return finder.find(text, sought).is_some();
        }
    }
    memmem::find(text, sought).is_some()
}

/// Replace every `sought`, but not its quotation marks if it has any, in `texts` from `start` on.
fn replace(texts: &mut Vec<u8>, start: usize, sought: &[u8], quotes: usize, hash: &Hash) {
    let before = texts.split_off(start);
    let mut done = 0;
    for place in memmem::find_iter(&before, sought) {
        texts.extend_from_slice(&before[done..place + quotes]);
        texts.extend_from_slice(hash);
        done = place + sought.len() - quotes;
    }
    texts.extend_from_slice(&before[done..]);
}
