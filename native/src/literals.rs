//! Which of many literals stand in which texts of a column: one pass over each text, whatever the number of literals.
//!
//! An Aho-Corasick automaton finds those that may stand anywhere, at the beginning or at the end; whole texts are looked up.

use std::collections::HashMap;

use aho_corasick::automaton::Automaton;
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
        let mut found: Vec<(u32, u32)> = Vec::new();
        let mut others = Vec::new();
        let mut last = vec![u32::MAX; self.questions];
        let mut scratch: Vec<u8> = Vec::new();
        for row in 0..rows {
            let Some(text) = text_of(row)? else {
                continue;
            };
            let here = row as u32;
            if self.folded && ascii_only && !text.is_ascii() {
                others.push(here);
                continue;
            }
            let mut note = |question: u32| {
                let seen = &mut last[question as usize];
                if *seen != here {
                    *seen = here;
                    found.push((question, here));
                }
            };
            match &self.machine {
                Machine::Nothing => (),
                Machine::Dense(machine) => scan(machine, &self.asked, text, &mut note)?,
                Machine::Sparse(machine) => scan(machine, &self.asked, text, &mut note)?,
            }
            if self.lengths.get(text.len()) == Some(&true) {
                scratch.clear();
                scratch.extend_from_slice(text);
                if self.folded {
                    scratch.make_ascii_lowercase();
                }
                for question in self.whole.get(scratch.as_slice()).into_iter().flatten() {
                    note(*question);
                }
            }
        }
        Some(by_question(&found, others, self.questions))
    }
}

/// Walk the machine over a text, and note the question of each literal that stands where it must.
fn scan<A: Automaton>(
    machine: &A,
    asked: &[Asked],
    text: &[u8],
    note: &mut impl FnMut(u32),
) -> Option<()> {
    let mut state = machine.start_state(Anchored::No).ok()?;
    for (place, byte) in text.iter().enumerate() {
        state = machine.next_state(Anchored::No, state, *byte);
        if !machine.is_special(state) || !machine.is_match(state) {
            continue;
        }
        let end = place + 1;
        for index in 0..machine.match_len(state) {
            let pattern = machine.match_pattern(state, index);
            let length = machine.pattern_len(pattern);
            for (question, place) in &asked[pattern.as_usize()] {
                let stands = match place {
                    Place::Anywhere => true,
                    Place::Start => end == length,
                    Place::End => end == text.len(),
                    Place::Whole => end == length && end == text.len(),
                };
                if stands {
                    note(*question);
                }
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
