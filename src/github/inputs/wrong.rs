//! Errors of inputs.

use std::fmt;

use super::super::shown::shown;
use crate::model::names::ParseNameError;

/// All wrong inputs, in the order in which they are read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InputError(pub Vec<WrongInput>);

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, wrong) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{wrong}")?;
        }
        Ok(())
    }
}

/// One wrong input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongInput {
    /// The input, as in `action.yml`.
    pub input: &'static str,
    /// The line of the input, from 1, if each of its lines is an item.
    pub line: Option<usize>,
    /// The wrong text, and the accepted form.
    pub refusal: Refusal,
}

impl fmt::Display for WrongInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input `{}`", self.input)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        let Refusal { text, expected, suggestion } = &self.refusal;
        write!(f, ": `{text}` is not {expected}")?;
        match suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The text, or its wrong part, escaped and shortened.
    pub text: String,
    /// The accepted form, as the words after "is not".
    pub expected: String,
    /// The word that was probably meant.
    pub suggestion: Option<String>,
}

impl Refusal {
    pub(super) fn new(text: &str, expected: impl Into<String>) -> Self {
        Self { text: shown(text), expected: expected.into(), suggestion: None }
    }

    /// Refuses `text` because it is none of `words`, and suggests the nearest of them.
    pub(super) fn none_of<'a>(text: &str, words: impl Iterator<Item = &'a str> + Clone) -> Self {
        let list: Vec<_> = words.clone().map(|word| format!("`{word}`")).collect();
        let suggestion = nearest(text, words).map(str::to_owned);
        Self { suggestion, ..Self::new(text, format!("one of {}", list.join(", "))) }
    }
}

impl From<ParseNameError> for Refusal {
    fn from(error: ParseNameError) -> Self {
        Self::new(&error.text, error.expected)
    }
}

/// Returns the word that `text` probably stands for, if one is similar enough.
pub(super) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing takes time in proportion to the length, and no word is this long.
    if text.len() > 64 {
        return None;
    }
    let text = text.to_lowercase();
    let distances = words.map(|word| (strsim::damerau_levenshtein(&text, word), word));
    let (distance, word) = distances.min()?;
    (distance <= (word.len() / 3).max(1)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_if_it_is_near() {
        let words = ["auto", "key", "restore", "save", "gc"];
        let cases = [
            ("restorex", Some("restore")),
            ("Restore", Some("restore")),
            ("saev", Some("save")),
            ("keys", Some("key")),
            ("gcc", Some("gc")),
            ("check", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(nearest(text, words.into_iter()), want, "{text}");
        }
    }
}
