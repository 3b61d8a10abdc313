//! Numbers and keys as people read them.

/// Returns bytes as people read them: `4.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    humansize::format_size(bytes, humansize::BINARY)
}

/// Returns the beginning of each part of a key, enough to tell keys apart.
pub(super) fn short_key(key: &str) -> String {
    let parts: Vec<_> = key
        .split('-')
        .map(|part| part.get(..8).filter(|_| part.len() == 64).unwrap_or(part))
        .collect();
    parts.join("-")
}

/// Returns seconds as people read them: `0.34 s`.
pub(super) fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}
