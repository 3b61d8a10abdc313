//! The versions of cargo that this program was tested with.

/// The newest minor version of cargo 1 that `scripts/check --toolchains` passed with.
pub const NEWEST_TESTED: u32 = 101;

/// Returns the release of the cargo of this toolchain if it is newer than any that was tested. `verbose_version` is the
/// output of `rustc -vV`. `None` if the cargo is not newer, or if the output names no release.
///
/// Cargo and rustc of one toolchain have one version, so cargo need not be asked.
pub fn newer_than_tested(verbose_version: &str) -> Option<&str> {
    let release = verbose_version.lines().find_map(|line| line.strip_prefix("release: "))?;
    let mut numbers = release.split('.');
    let (major, minor) = (numbers.next()?.parse::<u32>().ok()?, numbers.next()?.parse().ok()?);
    ((major, minor) > (1, NEWEST_TESTED)).then_some(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_release_than_the_tested_ones_is_mentioned() {
        #[rustfmt::skip]
        let cases = [
            ("rustc 1.95.0 (59807616e 2026-04-14)\nrelease: 1.95.0\nhost: x",  None),
            ("release: 1.101.0-nightly",                                     None),
            ("release: 1.102.0-nightly",                                     Some("1.102.0-nightly")),
            ("release: 1.102.0",                                             Some("1.102.0")),
            ("release: 2.0.0",                                               Some("2.0.0")),
            ("release: of my own",                                           None),
            ("rustc 9.9.9",                                                  None),
        ];
        for (version, want) in cases {
            assert_eq!(newer_than_tested(version), want, "{version}");
        }
    }
}
