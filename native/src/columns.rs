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
}

impl Texts {
    pub fn clear(&mut self) {
        self.valid.bytes.clear();
        self.count = 0;
        self.views.clear();
        self.data.clear();
    }

    #[inline(always)]
    pub fn push(&mut self, row: usize, text: &[u8]) {
        if text.len() <= INLINE_MAX {
            let mut view = [0; 16];
            view[..4].copy_from_slice(&(text.len() as u32).to_le_bytes());
            view[4..4 + text.len()].copy_from_slice(text);
            self.put(row, view);
        } else {
            let start = self.data.len();
            self.data.extend_from_slice(text);
            self.push_data(row, start);
        }
    }

    /// The text that was added to `data` from `start` on is the row's.
    pub fn push_data(&mut self, row: usize, start: usize) {
        let length = self.data.len() - start;
        let mut view = [0; 16];
        view[..4].copy_from_slice(&(length as u32).to_le_bytes());
        if length <= INLINE_MAX {
            view[4..4 + length].copy_from_slice(&self.data[start..]);
            self.data.truncate(start);
        } else {
            view[4..8].copy_from_slice(&self.data[start..start + 4]);
            view[12..].copy_from_slice(&(start as u32).to_le_bytes());
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
