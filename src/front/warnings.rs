//! The sentences for warnings.

use std::fmt;

use serde::ser::{Serialize, Serializer};

use super::and_others;
use crate::cargo::key::Doubt;
use crate::job::warning::{Fate, FoundBy, Unread, Warning};
use crate::model::quantity::ByteSize;

impl fmt::Display for Warning {
    #[expect(clippy::too_many_lines, reason = "it is one table: a sentence for each variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => f.write_str(&failure.text),
            Self::Key(doubt) => write!(f, "{doubt}"),
            Self::StoreInCheckout { store, checkout } => write!(
                f,
                "the store `{}` lies inside the checkout `{}`: `git clean -ffdx` deletes it",
                store.display(),
                checkout.display()
            ),
            Self::StoreInMemory(store) => write!(
                f,
                "the store `{}` is on a tmpfs: it takes memory from the build and is gone after a reboot",
                store.display()
            ),
            Self::NoTarget { dir, why } => {
                write!(f, "the target directory `{}` is not kept: {why}", dir.display())
            }
            Self::NotSetAside { dir, whose, cause, is_replaceable } => {
                let unless = if *is_replaceable { " unless a restore replaces it" } else { "" };
                write!(
                    f,
                    "`{}` cannot be set aside and is not saved{unless}: {whose}: {cause}",
                    dir.display()
                )
            }
            Self::SecretNotCopied { key, config } => write!(
                f,
                "`{key}` of `{}` is not copied to the private home; keep it in `credentials.toml`, which is used from \
                 there",
                config.display()
            ),
            Self::LeftBehind(left) => {
                write!(f, "`{}`: {}; it stays", left.path.display(), left.what)
            }
            Self::Stays(left) => write!(
                f,
                "`{}`: {}; it stays: remove it by hand, after `chattr -R -i` if it is immutable",
                left.path.display(),
                left.what
            ),
            Self::NotSaved { dir, whose } => {
                write!(f, "`{}` is not saved: {whose}", dir.display())
            }
            Self::BuiltFromWrongSource { dir, source } => write!(
                f,
                "`{}` is not saved: it may have been built from `{}`, which another job left and which is not what \
                 Cargo.lock says",
                dir.display(),
                source.display()
            ),
            Self::EmptyTarget(dir) => write!(
                f,
                "`{}` is empty: nothing is saved. Is it where cargo builds? See CARGO_TARGET_DIR and \
                 `build.target-dir`",
                dir.display()
            ),
            Self::NoLockFile(dir) => write!(
                f,
                "nothing of `{}` is saved: no Cargo.lock says which parts of it this repo uses",
                dir.display()
            ),
            Self::LeftOut { path, count, why } => {
                write!(f, "{} left out: {why}", and_others(path, *count))
            }
            Self::SpecialFiles { path, count } => write!(
                f,
                "{} left out: sockets, fifos and devices are not stored",
                and_others(path, *count)
            ),
            Self::HotTreeNotKept(failure) => write!(f, "no hot tree: {}", failure.text),
            Self::HotTreeNotUsed(failure) => write!(f, "hot tree not used: {}", failure.text),
            Self::HalfExtracted { count, home } => write!(
                f,
                "{count} crates in `{}` were half extracted; cargo extracts them again",
                home.display()
            ),
            Self::UnknownTargets(dirs) => {
                let (were, their) =
                    if dirs.len() == 1 { ("was", "its") } else { ("were", "their") };
                let dirs: Vec<_> = dirs.iter().map(|dir| format!("`{}`", dir.display())).collect();
                write!(
                    f,
                    "{} {were} not restored, and {their} sources are unknown: no source gets its saved mtime back, so \
                     cargo may build more than it must",
                    dirs.join(", ")
                )
            }
            Self::Replaced { path, why } => {
                write!(f, "`{}` is wrong: {why}; it is replaced by what was saved", path.display())
            }
            Self::Wrong { path, why, found, fate } => {
                let found = match found {
                    FoundBy::Save => "is not saved",
                    FoundBy::Restore => "is wrong",
                };
                write!(f, "`{}` {found}: {why}; {fate}", path.display())
            }
            Self::MoreWrong { count, dir } => {
                write!(f, "{count} other parts of `{}` are wrong too", dir.display())
            }
            Self::StrayRecord(record) => write!(f, "{record}"),
            Self::UnreadManifest(failure) => {
                write!(f, "{}; gc removes no pack while this manifest exists", failure.text)
            }
            Self::MissingBytes(bytes) => {
                write!(
                    f,
                    "gc can remove nothing more, and {} must still be freed",
                    ByteSize(*bytes)
                )
            }
            Self::MissingInodes(inodes) => {
                write!(f, "{inodes} inodes must still be freed, more than the whole store has")
            }
            Self::DiskFull { path, holds, strains, is_of_store } => {
                let strains: Vec<_> = strains.iter().map(ToString::to_string).collect();
                let helpless = if *is_of_store {
                    "although gc removed all that it may remove"
                } else {
                    "and gc has nothing there that it may remove"
                };
                write!(
                    f,
                    "`{}` ({}): {}, {helpless}; a build that fails there with `Bus error` or `No space left on device` \
                     fails for the disk, not for the linker",
                    path.display(),
                    holds.join(", "),
                    strains.join(", ")
                )
            }
            Self::MirrorDamaged(failure) => write!(f, "{}; it is cloned anew", failure.text),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToolchain(why) => {
                write!(f, "{why}; the key depends on the toolchain file alone")
            }
            Self::EmptyVariable(name) => write!(f, "{name} is empty and counts as unset"),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("it changed while it was read"),
            Self::Gone => f.write_str("it was removed meanwhile"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("it is removed, and cargo fetches it again"),
            Self::Mended => f.write_str("it was right on a second look"),
            Self::Stays(cause) => write!(f, "it cannot be removed: {cause}"),
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(self.code(), self, serializer)
    }
}
