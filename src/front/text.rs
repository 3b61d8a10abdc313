//! Formats numbers and keys for people.

use crate::job::explain::Since;

/// Formats a number of bytes: `4.5 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    humansize::format_size(bytes, humansize::BINARY)
}

/// Shortens each digest in a key to its first 8 digits, enough to tell keys apart.
pub(crate) fn short_key(key: &str) -> String {
    let parts: Vec<_> = key
        .split('-')
        .map(|part| part.get(..8).filter(|_| part.len() == 64).unwrap_or(part))
        .collect();
    parts.join("-")
}

/// Returns the key and time of the generation that a key is compared with.
pub(crate) fn since(since: &Since) -> String {
    format!("{} of {}", short_key(since.key.as_str()), since.created.date_time())
}

/// Formats seconds: `0.34 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

/// Returns the first line of a text, and the number of further lines.
pub(crate) fn first_line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    match text.lines().count() {
        0 | 1 => first.to_owned(),
        count => format!("{first} (and {} lines more)", count - 1),
    }
}
