//! Paths of files that configure git, cargo and rustup.

use super::rel_path::RelPath;

/// Tells whether a path below a root configures git, cargo or rustup: it lies in one of their
/// configuration directories, or is a file that names programs or repositories. Case is ignored, as
/// some filesystems do.
pub fn is_configuration(path: &RelPath) -> bool {
    const DIRS: [&str; 2] = [".git", ".cargo"];
    const FILES: [&str; 4] =
        [".gitmodules", ".gitattributes", "rust-toolchain", "rust-toolchain.toml"];
    let is_among = |name: &[u8], known: &[&str]| {
        known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    path.components().any(|name| is_among(name, &DIRS)) || is_among(path.file_name(), &FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_told_from_what_only_looks_like_it() -> Result<(), Box<dyn std::error::Error>>
    {
        for (path, want) in [
            (".git", true),
            (".git/hooks/post-checkout", true),
            ("sub/.GIT/config", true),
            (".cargo/config.toml", true),
            ("crates/a/.Cargo/config", true),
            (".gitmodules", true),
            ("a/.gitattributes", true),
            ("rust-toolchain", true),
            ("a/rust-toolchain.toml", true),
            (".gitignore", false),
            (".github/x", false),
            ("git/hooks", false),
            ("src/.git.rs", false),
            ("rust-toolchain/x", false),
            ("Cargo.toml", false),
        ] {
            assert_eq!(is_configuration(&RelPath::parse(path.as_bytes())?), want, "{path}");
        }
        Ok(())
    }
}
