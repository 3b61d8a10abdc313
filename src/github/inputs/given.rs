//! The inputs of a step as given, and the parsers for each kind.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::wrong::{InputError, Refusal, WrongInput};
use crate::model::environment::Environment;
use crate::model::names::ParseNameError;

/// Reads inputs and collects their mistakes, to report all of them at once.
///
/// A wrong input reads like a missing one; [`Self::done`] returns the errors.
pub(super) struct Given<'a> {
    environment: &'a Environment,
    wrong: Vec<WrongInput>,
}

type Parsed<T> = Result<T, Refusal>;

/// Returns the text of one input without surrounding blanks; `None` for an empty one.
pub fn input<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    let text = variable(environment, name)?.to_str()?.trim();
    (!text.is_empty()).then_some(text)
}

impl<'a> Given<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, wrong: Vec::new() }
    }

    /// Fails if any input read so far is wrong.
    pub(super) fn done(self) -> Result<(), InputError> {
        if self.wrong.is_empty() { Ok(()) } else { Err(InputError(self.wrong)) }
    }

    /// Returns the text of an input without surrounding blanks; `None` for an empty one.
    pub(super) fn text(&mut self, input: &'static str) -> Option<&'a str> {
        let given = variable(self.environment, input)?;
        let Some(text) = given.to_str() else {
            self.refuse(input, None, Refusal::new(&given.to_string_lossy(), "UTF-8 text"));
            return None;
        };
        let text = text.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Returns an input as parsed by `parse`.
    pub(super) fn with<T>(
        &mut self,
        input: &'static str,
        parse: impl FnOnce(&'a str) -> Parsed<T>,
    ) -> Option<T> {
        let text = self.text(input)?;
        self.take(input, None, parse(text))
    }

    /// Returns an input as one of the model's values.
    pub(super) fn value<T>(&mut self, input: &'static str) -> Option<T>
    where
        T: std::str::FromStr<Err = ParseNameError>,
    {
        self.with(input, |text| Ok(text.parse()?))
    }

    /// Returns an input that is a boolean in the syntax of YAML 1.2.
    pub(super) fn flag(&mut self, input: &'static str) -> Option<bool> {
        self.with(input, |text| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err(Refusal::none_of(text, ["true", "false"].into_iter())),
        })
    }

    /// Returns an input that is one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        input: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        self.with(input, |text| chosen(text, choices))
    }

    /// Returns an input that is a whole number in `range`.
    pub(super) fn number(
        &mut self,
        input: &'static str,
        range: RangeInclusive<u16>,
    ) -> Option<u16> {
        self.with(input, |text| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if is_number { text.parse().ok() } else { None };
            number.filter(|number| range.contains(number)).ok_or_else(|| {
                let (from, to) = (range.start(), range.end());
                Refusal::new(text, format!("a whole number from {from} to {to}"))
            })
        })
    }

    /// Returns an input that is a path; `~` at its start is the home directory, as in a shell.
    pub(super) fn path(&mut self, input: &'static str) -> Option<PathBuf> {
        let home = self.environment.get("HOME");
        self.with(input, |text| path(text, home))
    }

    /// Returns each item of a list as parsed by `parse`. Items are the lines, split further at
    /// `separators`. Skips blank lines and lines that start with `#`.
    pub(super) fn list<T>(
        &mut self,
        input: &'static str,
        separators: &[char],
        parse: impl Fn(&'a str) -> Parsed<T>,
    ) -> Vec<T> {
        let text = self.text(input).unwrap_or_default();
        let has_lines = text.contains('\n');
        let mut list = Vec::new();
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.starts_with('#') {
                continue;
            }
            let parts = line.split(separators).map(str::trim).filter(|part| !part.is_empty());
            for part in parts {
                list.extend(self.take(input, has_lines.then_some(number), parse(part)));
            }
        }
        list
    }

    /// Returns the lines of an input: an empty list if it is set but empty, `None` if it is not
    /// set.
    pub(super) fn lines(&mut self, input: &'static str) -> Option<Vec<String>> {
        variable(self.environment, input)?;
        let lines = self.text(input).unwrap_or_default().lines().map(str::trim);
        Some(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    fn take<T>(
        &mut self,
        input: &'static str,
        line: Option<usize>,
        parsed: Parsed<T>,
    ) -> Option<T> {
        parsed.map_err(|refusal| self.refuse(input, line, refusal)).ok()
    }

    pub(super) fn refuse(&mut self, input: &'static str, line: Option<usize>, refusal: Refusal) {
        self.wrong.push(WrongInput { input, line, refusal });
    }
}

/// Returns the variable that carries `input`. Runners keep the hyphens of its name; a shell between
/// them and us may replace them by `_`.
fn variable<'a>(environment: &'a Environment, input: &str) -> Option<&'a OsStr> {
    let name = format!("INPUT_{}", input.to_ascii_uppercase());
    environment.get(&name).or_else(|| environment.get(&name.replace('-', "_")))
}

/// Returns the choice with the word `text`.
pub(super) fn chosen<T: Copy>(text: &str, choices: &[(&str, T)]) -> Parsed<T> {
    let choice = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
    choice.ok_or_else(|| Refusal::none_of(text, choices.iter().map(|(word, _)| *word)))
}

/// Reads a path; `~` at its start is `home`.
pub(super) fn path(text: &str, home: Option<&OsStr>) -> Parsed<PathBuf> {
    if text.contains(char::is_control) {
        return Err(Refusal::new(text, "a path (without control characters)"));
    }
    let Some(rest) = text.strip_prefix('~') else { return Ok(PathBuf::from(text)) };
    match home {
        Some(home) if rest.is_empty() => Ok(PathBuf::from(home)),
        Some(home) if rest.starts_with('/') => {
            Ok(PathBuf::from(home).join(rest.trim_start_matches('/')))
        }
        Some(_) => Err(Refusal::new(text, "a path (`~` stands only for the own home)")),
        None => Err(Refusal::new(text, "a path (`$HOME` is not set)")),
    }
}
