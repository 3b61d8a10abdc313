//! Reading the command line. What is wrong with it is said in lines that nothing obeys.

use std::ffi::OsString;

use clap::Parser as _;

use super::Cli;
use crate::front::Status;
use crate::front::print::{Text, to_stderr};
use crate::model::printable::escape;

/// Parses `words`, the program's own name first. If there is nothing to be done, because help was asked for or
/// the words are wrong, says so, and returns the status to end with.
pub(super) fn parse(words: &[OsString]) -> Result<Cli, Status> {
    Cli::try_parse_from(words).map_err(|error| {
        if error.use_stderr() {
            to_stderr(&wrong(words));
            return Status::Usage;
        }
        // Help and the version have nothing of others. Where nobody reads them, nobody misses them.
        drop(error.print());
        Status::Done
    })
}

/// Returns what is wrong with `words`.
///
/// Clap shows them as they are, in the midst of lines of its own: so it is asked about words that can be shown.
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
