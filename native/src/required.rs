//! Literals of which one must stand in every text that a regular expression matches, so that most texts need not be asked.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

/// Shorter literals stand in too many texts to spare anything.
const LITERAL_BYTES_MIN: usize = 3;

/// More literals than this for one expression are not worth looking for.
const LITERALS_MAX: usize = 64;

/// Nesting of an expression that is looked into; the parser has a bound of its own.
const DEPTH_MAX: usize = 50;

/// Literals in lower-case ASCII, of which one stands in every match, whatever its case; None where no such set is known.
pub fn required(pattern: &str) -> Option<Vec<String>> {
    let tree = regex_syntax::parse(pattern).ok()?;
    let found = of(&tree, 0)?;
    Some(found.into_iter().collect())
}

type Found = Option<BTreeSet<String>>;

fn of(tree: &Hir, depth: usize) -> Found {
    if depth > DEPTH_MAX {
        return None;
    }
    match tree.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => of_concat(std::slice::from_ref(tree), depth),
        HirKind::Capture(capture) => of(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) if repetition.min >= 1 => of(&repetition.sub, depth + 1),
        HirKind::Concat(parts) => of_concat(parts, depth),
        HirKind::Alternation(branches) => {
            let mut every = BTreeSet::new();
            for branch in branches {
                every.extend(of(branch, depth + 1)?);
            }
            (every.len() <= LITERALS_MAX).then_some(every)
        }
        HirKind::Repetition(_) | HirKind::Empty | HirKind::Look(_) => None,
    }
}

/// The best of what the parts need: the longest text of neighbours that spell one, or what one part needs by itself.
fn of_concat(parts: &[Hir], depth: usize) -> Found {
    let mut best: Found = None;
    let mut run = String::new();
    for part in parts {
        if spelt(part, &mut run) {
            continue;
        }
        take(&mut best, &mut run);
        if let Some(found) = of_part(part, depth) {
            best = Some(better(best, found));
        }
    }
    take(&mut best, &mut run);
    best
}

fn of_part(part: &Hir, depth: usize) -> Found {
    match part.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => None,
        _ => of(part, depth + 1),
    }
}

/// Add what a part spells to the run, in lower case; false where it is no one text. Of a literal that is not all ASCII the
/// run begins anew behind the last such letter.
fn spelt(part: &Hir, run: &mut String) -> bool {
    match part.kind() {
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) if text.is_ascii() => {
                run.push_str(&text.to_ascii_lowercase());
                true
            }
            _ => false,
        },
        HirKind::Class(Class::Unicode(class)) => {
            let letters = class.ranges();
            let count: u32 = letters
                .iter()
                .map(|range| range.end() as u32 - range.start() as u32 + 1)
                .sum();
            if count > 4 {
                return false;
            }
            let mut folded: BTreeSet<String> = BTreeSet::new();
            for range in letters {
                for letter in range.start()..=range.end() {
                    folded.insert(letter.to_lowercase().collect());
                }
            }
            match folded.pop_first() {
                Some(one) if folded.is_empty() && one.is_ascii() => {
                    run.push_str(&one);
                    true
                }
                _ => false,
            }
        }
        HirKind::Look(_) => true, // takes no letter
        _ => false,
    }
}

/// The run ends: if it is long enough, it is a set of one.
fn take(best: &mut Found, run: &mut String) {
    if run.len() >= LITERAL_BYTES_MIN {
        let one = BTreeSet::from([std::mem::take(run)]);
        *best = Some(better(best.take(), one));
    }
    run.clear();
}

/// The set whose shortest literal is longer.
fn better(known: Found, other: BTreeSet<String>) -> BTreeSet<String> {
    let shortest = |set: &BTreeSet<String>| set.iter().map(String::len).min().unwrap_or(0);
    match known {
        Some(known) if shortest(&known) >= shortest(&other) => known,
        _ => other,
    }
}
