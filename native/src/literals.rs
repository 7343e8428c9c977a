//! Which of many literals stand in which texts of a column: one pass over each text, whatever the number of literals.
//!
//! An Aho-Corasick automaton finds those that may stand anywhere, at the beginning or at the end; whole texts are looked up.

use std::collections::HashMap;

use aho_corasick::automaton::Automaton;
use aho_corasick::automaton::StateID;
use aho_corasick::{Anchored, MatchKind, dfa, nfa::contiguous};

/// Literals of so many bytes together become a table of all states by all bytes, which is quickest; more of them become one
/// that takes a tenth of the room.
const DFA_BYTES_MAX: usize = 400_000;

/// Where in the text a literal must stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    Start,
    End,
    Whole,
}

impl Place {
    pub fn from_number(number: u8) -> Option<Place> {
        [Place::Anywhere, Place::Start, Place::End, Place::Whole]
            .get(usize::from(number))
            .copied()
    }
}

enum Machine {
    Nothing,
    Dense(dfa::DFA),
    Sparse(contiguous::NFA),
}

/// What is asked of one distinct literal: for which question, and where it must stand.
type Asked = Vec<(u32, Place)>;

pub struct Literals {
    machine: Machine,
    /// By pattern of the machine.
    asked: Vec<Asked>,
    whole: HashMap<Box<[u8]>, Vec<u32>>,
    /// By length, whether some whole literal is so long; longer than the list: ask the table.
    lengths: Vec<bool>,
    /// Whether ASCII letters of both cases are the same.
    folded: bool,
    questions: usize,
}

/// What was found: by question, the texts in which some literal of it stands; and texts that must be asked otherwise.
pub struct Hits {
    pub ends: Vec<i64>,
    pub texts: Vec<u32>,
    pub others: Vec<u32>,
}

impl Literals {
    /// Literals with their question and place. With `folded` they are given in lower case. None when they are too many.
    pub fn new(
        literals: &[(Vec<u8>, u32, Place)],
        questions: usize,
        folded: bool,
    ) -> Option<Literals> {
        let mut whole: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        let mut numbers: HashMap<&[u8], usize> = HashMap::new();
        let mut patterns: Vec<&[u8]> = Vec::new();
        let mut asked: Vec<Asked> = Vec::new();
        for (text, question, place) in literals {
            if *place == Place::Whole || text.is_empty() {
                whole
                    .entry(text.as_slice().into())
                    .or_default()
                    .push(*question);
                continue;
            }
            let number = *numbers.entry(text).or_insert_with(|| {
                patterns.push(text);
                asked.push(Vec::new());
                patterns.len() - 1
            });
            asked[number].push((*question, *place));
        }
        let longest = whole.keys().map(|text| text.len()).max().unwrap_or(0);
        let mut lengths = vec![false; longest + 1];
        whole.keys().for_each(|text| lengths[text.len()] = true);
        let size: usize = patterns.iter().map(|text| text.len()).sum();
        let machine = if patterns.is_empty() {
            Machine::Nothing
        } else if size <= DFA_BYTES_MAX {
            let machine = dfa::Builder::new()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(folded)
                .prefilter(false)
                .build(&patterns);
            Machine::Dense(machine.ok()?)
        } else {
            let machine = contiguous::Builder::new()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(folded)
                .prefilter(false)
                .build(&patterns);
            Machine::Sparse(machine.ok()?)
        };
        Some(Literals {
            machine,
            asked,
            whole,
            lengths,
            folded,
            questions,
        })
    }

    /// Ask all texts; `text_of` gives each row's, or None where there is none, or fails when it lies outside of its buffer.
    /// With `ascii_only`, folded questions leave other texts to the caller, who knows how to fold them.
    pub fn search<'a>(
        &self,
        rows: usize,
        ascii_only: bool,
        text_of: impl Fn(usize) -> Option<Option<&'a [u8]>>,
    ) -> Option<Hits> {
        let mut asking = Asking {
            literals: self,
            found: Vec::new(),
            last: vec![u32::MAX; self.questions],
            scratch: Vec::new(),
            ends: Default::default(),
        };
        let mut others = Vec::new();
        let mut waiting = Vec::with_capacity(LANES);
        for row in 0..rows {
            let Some(text) = text_of(row)? else {
                continue;
            };
            if self.folded && ascii_only && !text.is_ascii() {
                others.push(row as u32);
                continue;
            }
            waiting.push((row as u32, text));
            if waiting.len() == LANES {
                asking.ask(&waiting)?;
                waiting.clear();
            }
        }
        asking.ask(&waiting)?;
        Some(by_question(&asking.found, others, self.questions))
    }
}

/// So many texts are gone through at once: each step in one waits for memory, and the processor takes those of the others
/// meanwhile.
const LANES: usize = 4;

/// Where literals end in a text, and the state of the machine there.
type Ends = Vec<(usize, StateID)>;

/// A column as it is asked.
struct Asking<'a> {
    literals: &'a Literals,
    found: Vec<(u32, u32)>,
    /// By question, the row of which it was last noted.
    last: Vec<u32>,
    scratch: Vec<u8>,
    ends: [Ends; LANES],
}

impl Asking<'_> {
    /// Ask at most so many texts as there are lanes.
    fn ask(&mut self, texts: &[(u32, &[u8])]) -> Option<()> {
        let mut lanes: [&[u8]; LANES] = [b""; LANES];
        for (lane, (_, text)) in lanes.iter_mut().zip(texts) {
            *lane = text;
        }
        match &self.literals.machine {
            Machine::Nothing => (),
            Machine::Dense(machine) => scan(machine, lanes, &mut self.ends)?,
            Machine::Sparse(machine) => scan(machine, lanes, &mut self.ends)?,
        }
        for (lane, (row, text)) in texts.iter().enumerate() {
            match &self.literals.machine {
                Machine::Nothing => (),
                Machine::Dense(machine) => self.note_all(machine, lane, *row, text),
                Machine::Sparse(machine) => self.note_all(machine, lane, *row, text),
            }
            self.note_whole(*row, text);
        }
        Some(())
    }

    /// Note the question of each literal that stands where it must.
    fn note_all<A: Automaton>(&mut self, machine: &A, lane: usize, row: u32, text: &[u8]) {
        for (end, state) in std::mem::take(&mut self.ends[lane]) {
            for index in 0..machine.match_len(state) {
                let pattern = machine.match_pattern(state, index);
                let length = machine.pattern_len(pattern);
                for (question, place) in &self.literals.asked[pattern.as_usize()] {
                    let stands = match place {
                        Place::Anywhere => true,
                        Place::Start => end == length,
                        Place::End => end == text.len(),
                        Place::Whole => end == length && end == text.len(),
                    };
                    if stands {
                        self.note(*question, row);
                    }
                }
            }
        }
    }

    fn note_whole(&mut self, row: u32, text: &[u8]) {
        if self.literals.lengths.get(text.len()) != Some(&true) {
            return;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(text);
        if self.literals.folded {
            self.scratch.make_ascii_lowercase();
        }
        let literals = self.literals;
        for question in literals
            .whole
            .get(self.scratch.as_slice())
            .into_iter()
            .flatten()
        {
            self.note(*question, row);
        }
    }

    fn note(&mut self, question: u32, row: u32) {
        let seen = &mut self.last[question as usize];
        if *seen != row {
            *seen = row;
            self.found.push((question, row));
        }
    }
}

/// Walk the machine over texts side by side, and on over what is left of the longer ones.
#[allow(clippy::needless_range_loop)] // a step is taken in all lanes at one place
fn scan<A: Automaton>(machine: &A, texts: [&[u8]; LANES], ends: &mut [Ends; LANES]) -> Option<()> {
    let start = machine.start_state(Anchored::No).ok()?;
    let mut states = [start; LANES];
    let common = texts.iter().map(|text| text.len()).min().unwrap_or(0);
    let heads = texts.map(|text| &text[..common]);
    for place in 0..common {
        let mut is_special = false;
        for lane in 0..LANES {
            states[lane] = machine.next_state(Anchored::No, states[lane], heads[lane][place]);
            is_special |= machine.is_special(states[lane]);
        }
        if is_special {
            for lane in 0..LANES {
                if machine.is_match(states[lane]) {
                    ends[lane].push((place + 1, states[lane]));
                }
            }
        }
    }
    for lane in 0..LANES {
        let mut state = states[lane];
        for (place, byte) in texts[lane].iter().enumerate().skip(common) {
            state = machine.next_state(Anchored::No, state, *byte);
            if machine.is_special(state) && machine.is_match(state) {
                ends[lane].push((place + 1, state));
            }
        }
    }
    Some(())
}

/// Pairs of question and text as a list of texts for each question; both stay in order.
fn by_question(found: &[(u32, u32)], others: Vec<u32>, questions: usize) -> Hits {
    let mut ends = vec![0_i64; questions + 1];
    for (question, _) in found {
        ends[*question as usize + 1] += 1;
    }
    for question in 0..questions {
        ends[question + 1] += ends[question];
    }
    let mut next = ends.clone();
    let mut texts = vec![0; found.len()];
    for (question, text) in found {
        let place = &mut next[*question as usize];
        texts[*place as usize] = *text;
        *place += 1;
    }
    Hits {
        ends,
        texts,
        others,
    }
}
