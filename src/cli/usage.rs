//! Parses the command line. Errors are printed in lines that a terminal or runner does not execute.

use std::ffi::OsString;

use clap::Parser as _;

use super::Cli;
use crate::front::Status;
use crate::front::print::{Text, to_stderr};
use crate::model::printable::escape;

/// Parses `words`, the program's own name first. If they ask for help or the version, or are wrong, prints the answer
/// and returns the exit status.
pub(super) fn parse(words: &[OsString]) -> Result<Cli, Status> {
    Cli::try_parse_from(words).map_err(|error| {
        if error.use_stderr() {
            to_stderr(&wrong(words));
            return Status::Usage;
        }
        // Help and version contain no text from outside. Ignore errors: nobody reads the output then.
        drop(error.print());
        Status::Done
    })
}

/// Returns the error message for `words`.
///
/// Clap prints the words as they are, among its own lines. So this parses escaped words, which are safe to print.
fn wrong(words: &[OsString]) -> Text {
    let shown = words.iter().map(|word| escape(&word.to_string_lossy()).into_owned());
    let mut text = Text::default();
    match Cli::try_parse_from(shown) {
        Err(error) => text.lines(&error.render().to_string()),
        Ok(_) => text.lines("error: the command line has characters that cannot be shown"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::print::line;

    #[test]
    fn words_that_are_wrong_are_shown_on_one_line() {
        for (word, shown) in [
            ("no\n::error::such", "no\\n::error::such"),
            ("\u{1b}[1mno", "\\u{1b}[1mno"),
            ("no\r##[error]such", "no\\r# #[error]such"),
        ] {
            let first = line!("error: unrecognized subcommand '{shown}'");
            let text = wrong(&["runner-cache".into(), word.into()]);
            assert!(text.starts_with(&first), "{text:?}");
        }
        let fits_once_it_is_shown = wrong(&["runner-cache".into(), "list".into()]);
        assert_eq!(
            fits_once_it_is_shown,
            line!("error: the command line has characters that cannot be shown")
        );
    }
}
