//! Answers of cargo, rustc and C compilers, remembered from one command to the next.
//!
//! Starting `rustc` through rustup takes some 30 ms, `cargo metadata` as long: most of the time that a restore of a hot
//! tree takes. An answer is known by its evidence: a digest of the question and of everything that the answer
//! depends on. Once any of that changes, the evidence is another, and the program is asked again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Result;
use super::evidence::Evidence;
use crate::model::digest::Digest;
use crate::model::timestamp::Timestamp;

/// Remembered answers by their evidence. Any number of threads may ask at once.
#[derive(Debug, Default)]
pub struct Memory {
    known: Vec<(Digest, Value)>,
    /// The settled time: the evidence of a file that changed later may miss another change. `None` remembers nothing.
    settled: Option<Timestamp>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    answers: BTreeMap<Digest, Value>,
    has_new: bool,
}

/// The maximum number of answers that are kept for one checkout. A job uses three for itself, and one for each
/// dependency; jobs with other variables or in other containers have answers of their own.
const MOST: usize = 128;

/// The longest answer that is kept, in bytes: three paths of 4,096 bytes, escaped.
const MAX_LEN: usize = 32 << 10;

impl Memory {
    /// Returns a memory that holds the `known` answers and learns new ones, except those whose evidence is a file that
    /// changed after `settled`.
    pub fn new(known: Vec<(Digest, Value)>, settled: Timestamp) -> Self {
        Self { known, settled: Some(settled), used: Mutex::default() }
    }

    /// Returns the answers to keep, if any was learned since the last call: at most 128, first those that were used,
    /// then the others in their order.
    pub fn learned(&self) -> Option<Vec<(Digest, Value)>> {
        let mut used = self.used();
        if !std::mem::take(&mut used.has_new) {
            return None;
        }
        let others = self.known.iter().filter(|(evidence, _)| !used.answers.contains_key(evidence));
        let kept = used.answers.iter().chain(others.map(|(evidence, value)| (evidence, value)));
        Some(kept.take(MOST).map(|(evidence, value)| (*evidence, value.clone())).collect())
    }

    /// Returns the remembered answer for this evidence, unless it is `refuted`, or else asks. `Ok(Ok(_))` is remembered.
    ///
    /// `evidence` is collected again after the program ran: if anything changed meanwhile, nobody knows which state the
    /// answer belongs to.
    pub(super) fn answer<T: Serialize + DeserializeOwned, U>(
        &self,
        evidence: impl Fn() -> Evidence,
        refuted: impl Fn(&T) -> bool,
        ask: impl FnOnce() -> Result<std::result::Result<T, U>>,
    ) -> Result<std::result::Result<T, U>> {
        let Some(settled) = self.settled else { return ask() };
        let Some(before) = evidence().digests(settled) else { return ask() };
        if let Some((value, answer)) = self.recall(before.known).filter(|(_, it)| !refuted(it)) {
            self.note(before.known, value, false);
            return Ok(Ok(answer));
        }
        let answer = ask()?;
        if let Ok(answer) = &answer
            && before.state.is_some()
            && evidence().digests(settled) == Some(before)
            && let Ok(value) = serde_json::to_value(answer)
            && value.to_string().len() <= MAX_LEN
            && !refuted(answer)
        {
            self.note(before.known, value, true);
        }
        Ok(answer)
    }

    fn recall<T: DeserializeOwned>(&self, evidence: Digest) -> Option<(Value, T)> {
        let used = self.used();
        let known = || self.known.iter().find(|(known, _)| *known == evidence);
        let value = used.answers.get(&evidence).or_else(|| Some(&known()?.1))?.clone();
        let answer = serde_json::from_value(value.clone()).ok()?;
        Some((value, answer))
    }

    fn note(&self, evidence: Digest, value: Value, is_new: bool) {
        let mut used = self.used();
        used.answers.insert(evidence, value);
        used.has_new |= is_new;
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = Result<std::result::Result<String, ()>>;

    fn evidence(of: &str) -> Evidence {
        Evidence::of_question(of)
    }

    /// Returns an answer and whether the program was asked.
    fn answer(memory: &Memory, of: &str, said: std::result::Result<&str, ()>) -> (Answer, bool) {
        let mut was_asked = false;
        let answer = memory.answer(
            || evidence(of),
            |answer: &String| answer == "refuted",
            || {
                was_asked = true;
                Ok(said.map(str::to_owned))
            },
        );
        (answer, was_asked)
    }

    fn recalled(memory: &Memory) -> Memory {
        Memory::new(memory.learned().unwrap_or_default(), Timestamp::new(1, 0))
    }

    #[test]
    fn an_answer_is_remembered_while_its_evidence_is_the_same() {
        let first = Memory::new(Vec::new(), Timestamp::new(1, 0));
        assert!(matches!(answer(&first, "a", Ok("1")), (Ok(Ok(text)), true) if text == "1"));
        assert!(matches!(answer(&first, "a", Ok("2")), (Ok(Ok(text)), false) if text == "1"));
        let second = recalled(&first);
        assert!(matches!(answer(&second, "a", Ok("3")), (Ok(Ok(text)), false) if text == "1"));
        assert!(matches!(answer(&second, "b", Ok("4")), (Ok(Ok(text)), true) if text == "4"));
        assert_eq!(second.learned().map(|answers| answers.len()), Some(2));
        assert_eq!(second.learned(), None, "nothing since the last call");
    }

    #[test]
    fn a_refusal_is_not_remembered() {
        let memory = Memory::new(Vec::new(), Timestamp::new(1, 0));
        assert!(matches!(answer(&memory, "a", Err(())), (Ok(Err(())), true)));
        assert!(matches!(answer(&memory, "a", Ok("1")), (Ok(Ok(_)), true)));
    }

    #[test]
    fn a_refuted_answer_is_neither_remembered_nor_used() {
        let memory = Memory::new(Vec::new(), Timestamp::new(1, 0));
        assert!(matches!(answer(&memory, "a", Ok("refuted")), (Ok(Ok(_)), true)));
        assert_eq!(memory.learned(), None);
        let known =
            evidence("a").digests(Timestamp::new(1, 0)).map(|it| (it.known, "refuted".into()));
        let memory = Memory::new(known.into_iter().collect(), Timestamp::new(1, 0));
        assert!(matches!(answer(&memory, "a", Ok("1")), (Ok(Ok(text)), true) if text == "1"));
    }

    #[test]
    fn evidence_that_changed_a_moment_ago_is_not_remembered() {
        let memory = Memory::new(Vec::new(), Timestamp::new(-1, 0));
        assert!(matches!(answer(&memory, "a", Ok("1")), (Ok(Ok(_)), true)));
        assert_eq!(memory.learned(), None);
    }

    #[test]
    fn a_long_answer_is_not_remembered() {
        let memory = Memory::new(Vec::new(), Timestamp::new(1, 0));
        let long = "x".repeat(MAX_LEN);
        assert!(matches!(answer(&memory, "a", Ok(&long)), (Ok(Ok(_)), true)));
        assert_eq!(memory.learned(), None);
    }

    #[test]
    fn an_answer_of_another_kind_is_asked_for_again() {
        let digests = evidence("a").digests(Timestamp::new(1, 0));
        let known = digests.map(|digests| (digests.known, Value::Bool(true)));
        let memory = Memory::new(known.into_iter().collect(), Timestamp::new(1, 0));
        assert!(matches!(answer(&memory, "a", Ok("1")), (Ok(Ok(text)), true) if text == "1"));
    }

    #[test]
    fn evidence_that_changed_while_the_program_ran_is_none() {
        let memory = Memory::new(Vec::new(), Timestamp::new(1, 0));
        let calls = std::cell::Cell::new(0);
        let changing = || {
            calls.set(calls.get() + 1);
            evidence(&calls.get().to_string())
        };
        let said: Answer = memory.answer(changing, |_| false, || Ok(Ok("1".to_owned())));
        assert!(matches!(said, Ok(Ok(_))));
        assert_eq!(memory.learned(), None);
    }

    #[test]
    fn unused_answers_are_kept_up_to_a_limit() {
        let digest = |number: usize| Digest::of(&number.to_le_bytes());
        let known: Vec<_> = (0..2 * MOST).map(|number| (digest(number), Value::Null)).collect();
        let memory = Memory::new(known.clone(), Timestamp::new(1, 0));
        assert_eq!(memory.learned(), None, "nothing was learned");
        assert!(matches!(answer(&memory, "a", Ok("1")), (Ok(Ok(_)), true)));
        let kept = memory.learned().unwrap_or_default();
        assert_eq!((kept.len(), &kept[0].1), (MOST, &Value::from("1")));
        assert_eq!(kept[1..], known[..MOST - 1], "the last that were used stay");
    }

    #[test]
    fn an_empty_memory_learns_nothing() {
        let memory = Memory::default();
        assert!(matches!(answer(&memory, "a", Ok("1")), (Ok(Ok(_)), true)));
        assert!(matches!(answer(&memory, "a", Ok("1")), (Ok(Ok(_)), true)));
        assert_eq!(memory.learned(), None);
    }
}
