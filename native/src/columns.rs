//! Columns as they grow, in the layout of Arrow: values or views, and a bit a row that says whether there is one.

/// Texts of at most so many bytes stand in the view itself.
const INLINE_MAX: usize = 12;

#[derive(Default)]
pub struct Bits {
    bytes: Vec<u8>,
}

impl Bits {
    #[inline(always)]
    pub fn set(&mut self, row: usize) {
        if self.bytes.len() <= row / 8 {
            self.bytes.resize(row / 8 + 1, 0);
        }
        self.bytes[row / 8] |= 1 << (row % 8);
    }

    pub fn finish(&mut self, rows: usize) -> &[u8] {
        self.bytes.resize(rows.div_ceil(8), 0);
        &self.bytes
    }
}

/// Texts in Arrow's view layout: 16 bytes a row, long texts in `data`.
#[derive(Default)]
pub struct Texts {
    pub valid: Bits,
    pub count: usize,
    pub views: Vec<[u8; 16]>,
    pub data: Vec<u8>,
    /// The number of `data` among the buffers of long texts.
    pub buffer: usize,
}

impl Texts {
    pub fn clear(&mut self) {
        self.buffer = 0;
        self.valid.bytes.clear();
        self.count = 0;
        self.views.clear();
        self.data.clear();
    }

    /// The text between `start` and `end` in a line is the row's.
    #[inline(always)]
    pub fn push(&mut self, row: usize, line: &[u8], start: usize, end: usize) {
        let text = &line[start..end];
        let offset = self.data.len();
        if text.len() > INLINE_MAX {
            self.data.extend_from_slice(text);
        }
        let head = match line[start..].first_chunk::<16>() {
            Some(sixteen) => u128::from_le_bytes(*sixteen),
            None => head_of(text),
        };
        self.put(row, view(head, text.len(), self.buffer, offset));
    }

    /// The text that was added to `data` from `start` on is the row's.
    pub fn push_data(&mut self, row: usize, start: usize) {
        let text = &self.data[start..];
        let view = view(head_of(text), text.len(), self.buffer, start);
        if text.len() <= INLINE_MAX {
            self.data.truncate(start);
        }
        self.put(row, view);
    }

    #[inline(always)]
    fn put(&mut self, row: usize, view: [u8; 16]) {
        self.valid.set(row);
        self.count += 1;
        if self.views.len() < row {
            self.views.resize(row, [0; 16]);
        }
        self.views.push(view);
    }
}

/// The first bytes of a text, the first one lowest.
fn head_of(text: &[u8]) -> u128 {
    text.iter()
        .take(INLINE_MAX)
        .rev()
        .fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

/// The 16 bytes for a text: its length, and all of it or its first four bytes and where it stands. `head` may hold more bytes
/// than the text has. Put together as one number: single stores that are read at once as a whole make the processor wait.
#[inline(always)]
fn view(head: u128, length: usize, buffer: usize, offset: usize) -> [u8; 16] {
    let kept = if length <= INLINE_MAX { length } else { 4 };
    let place = if length <= INLINE_MAX {
        0
    } else {
        (offset as u128) << 96 | (buffer as u128) << 64
    };
    let head = head & ((1 << (8 * kept)) - 1);
    (length as u128 | head << 32 | place).to_le_bytes()
}

/// Numbers of eight bytes each, or single bits.
#[derive(Default)]
pub struct Words {
    pub valid: Bits,
    pub count: usize,
    pub values: Vec<[u8; 8]>,
}

impl Words {
    #[inline(always)]
    pub fn push(&mut self, row: usize, value: [u8; 8]) {
        self.valid.set(row);
        self.count += 1;
        if self.values.len() < row {
            self.values.resize(row, [0; 8]);
        }
        self.values.push(value);
    }
}

#[derive(Default)]
pub struct Flags {
    pub valid: Bits,
    pub count: usize,
    pub values: Bits,
}

impl Flags {
    pub fn push(&mut self, row: usize, value: bool) {
        self.valid.set(row);
        self.count += 1;
        if value {
            self.values.set(row);
        }
    }
}

pub enum Column {
    Texts(Texts),
    Words(Words),
    Flags(Flags),
}

impl Column {
    /// Forget the values and keep the room they took.
    pub fn clear(&mut self) {
        match self {
            Column::Texts(texts) => texts.clear(),
            Column::Words(words) => {
                words.valid.bytes.clear();
                words.count = 0;
                words.values.clear();
            }
            Column::Flags(flags) => {
                flags.valid.bytes.clear();
                flags.count = 0;
                flags.values.bytes.clear();
            }
        }
    }
}
