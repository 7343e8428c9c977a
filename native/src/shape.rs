//! Which keys hold which field: a trie of keys with every spelling of every field, told by the Python side.

/// What a field holds, by the numbers the Python side uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Time,
    /// Lists, whole objects, and fields below other fields: Python reads lines that hold them.
    Loose,
}

impl Kind {
    pub fn from_number(number: u8) -> Option<Kind> {
        [
            Kind::Text,
            Kind::Integer,
            Kind::Number,
            Kind::Boolean,
            Kind::Time,
            Kind::Loose,
        ]
        .get(usize::from(number))
        .copied()
    }
}

pub const ROOT: u16 = 0;

/// A key's place among the keys; nodes are numbered, the root is 0 and below nobody.
pub struct Node {
    parent: u16,
    /// The key and the quotation mark after it: compared at one go.
    quoted: Box<[u8]>,
    /// Its first 16 bytes as a number, the first one lowest, and which of the bits count.
    head: u128,
    mask: u128,
    pub field: Option<u16>,
    /// The child that came first in the last line, and the sibling that came after this node: producers write alike.
    pub first: u16,
    pub next: u16,
    /// The number of the line in which this key was met last.
    pub met: u64,
}

impl Node {
    fn new(parent: u16, key: &str) -> Node {
        let quoted = [key.as_bytes(), b"\""].concat().into_boxed_slice();
        let head = quoted
            .iter()
            .take(16)
            .rev()
            .fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        let mask = u128::MAX >> (8 * (16 - quoted.len().min(16)));
        Node {
            parent,
            quoted,
            head,
            mask,
            field: None,
            first: 0,
            next: 0,
            met: 0,
        }
    }

    /// How many bytes the key and its quotation mark take if the text begins with them.
    #[inline(always)]
    pub fn length_at(&self, text: &[u8]) -> Option<usize> {
        let length = self.quoted.len();
        let is_here = match text.first_chunk::<16>() {
            Some(sixteen) if length <= 16 => u128::from_le_bytes(*sixteen) & self.mask == self.head,
            _ => text.starts_with(&self.quoted),
        };
        is_here.then_some(length)
    }

    fn key(&self) -> &[u8] {
        &self.quoted[..self.quoted.len() - 1]
    }
}

pub struct Shape {
    pub kinds: Vec<Kind>,
    pub nodes: Vec<Node>,
    /// Open addressing, at most half full: node numbers by parent and key; 0 is empty.
    table: Vec<u16>,
}

impl Shape {
    /// `spellings`: a sequence of keys and the field it means. None when there is more than numbers can hold.
    pub fn new(kinds: Vec<Kind>, spellings: &[(Vec<String>, usize)]) -> Option<Shape> {
        let mut shape = Shape {
            kinds,
            nodes: vec![Node::new(ROOT, "")],
            table: Vec::new(),
        };
        for (keys, field) in spellings {
            let mut at = ROOT;
            for key in keys {
                at = match shape
                    .nodes
                    .iter()
                    .position(|node| node.parent == at && node.key() == key.as_bytes())
                {
                    Some(known) if known != 0 => u16::try_from(known).ok()?,
                    _ => {
                        shape.nodes.push(Node::new(at, key));
                        u16::try_from(shape.nodes.len() - 1).ok()?
                    }
                };
            }
            if at == ROOT || *field >= shape.kinds.len() {
                return None;
            }
            shape.nodes[usize::from(at)].field = Some(u16::try_from(*field).ok()?);
        }
        shape.table = vec![0; (shape.nodes.len() * 4).next_power_of_two()];
        for number in 1..shape.nodes.len() {
            let node = &shape.nodes[number];
            let mut slot = shape.slot(node.parent, node.key());
            while shape.table[slot] != 0 {
                slot = (slot + 1) & (shape.table.len() - 1);
            }
            shape.table[slot] = u16::try_from(number).ok()?;
        }
        Some(shape)
    }

    /// The node of a key in an object, or None: nobody asked for it.
    pub fn child(&self, parent: u16, key: &[u8]) -> Option<u16> {
        let mut slot = self.slot(parent, key);
        loop {
            let number = self.table[slot];
            if number == 0 {
                return None;
            }
            let node = &self.nodes[usize::from(number)];
            if node.parent == parent && node.key() == key {
                return Some(number);
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
    }

    fn slot(&self, parent: u16, key: &[u8]) -> usize {
        let long = key.len() as u64;
        let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => (
                key.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                0,
            ),
        };
        let mixed = (head ^ tail.rotate_left(29) ^ long << 56 ^ u64::from(parent) << 40)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 32) as usize & (self.table.len() - 1)
    }
}
