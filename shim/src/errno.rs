//! Error numbers of the kernel.

/// An error number as in `errno(3)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) u16);

impl Errno {
    pub(crate) const NO_ENTRY: Self = Self(2);
    pub(crate) const INTERRUPTED: Self = Self(4);
    pub(crate) const TOO_BIG: Self = Self(7);
    pub(crate) const NO_EXEC: Self = Self(8);
    pub(crate) const AGAIN: Self = Self(11);
    pub(crate) const NO_MEMORY: Self = Self(12);
    pub(crate) const ACCESS: Self = Self(13);
    pub(crate) const TEXT_BUSY: Self = Self(26);

    /// Returns the `strerror(3)` text for errors that starting a program may meet; `None` for
    /// others.
    pub(crate) const fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::NO_ENTRY => "no such file or directory",
            Self::TOO_BIG => "argument list too long",
            Self::NO_EXEC => "exec format error",
            Self::AGAIN => "resource temporarily unavailable",
            Self::NO_MEMORY => "cannot allocate memory",
            Self::ACCESS => "permission denied",
            Self::TEXT_BUSY => "text file busy",
            _ => return None,
        })
    }
}
