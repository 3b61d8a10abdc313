//! Errors of the store.

use std::path::{Path, PathBuf};

use crate::fs;
use crate::model::digest::Digest;
use crate::model::manifest::GenerationId;

/// A failure to read or change the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filesystem refused an operation.
    #[error(transparent)]
    Io(#[from] fs::Error),

    /// Someone else owns the root or can write to it, and could plant a hostile store.
    #[error("cannot trust the store `{}`: {reason}", root.display())]
    Untrusted {
        /// The store's root.
        root: PathBuf,
        /// Why the root is not trusted, as a clause.
        reason: String,
    },

    /// There is no store at the root.
    #[error("there is no store at `{}`", .0.display())]
    Missing(PathBuf),

    /// A newer program wrote this file.
    #[error("`{}` has format {found}, this program knows {known}", path.display())]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// The version found, or the feature this program lacks.
        found: String,
        /// The newest version this program knows.
        known: u32,
    },

    /// A file of the store does not hold the bytes that were written.
    #[error("`{}` is damaged: {what}", path.display())]
    Damaged {
        /// The pack, manifest or other file.
        path: PathBuf,
        /// What is wrong with it, as a clause.
        what: String,
    },

    /// A manifest names a pack that is not in the store: someone removed files by hand, or
    /// there is a bug.
    #[error("pack {0} is missing")]
    PackMissing(Digest),

    /// A generation has the largest possible number. This program never gives that number.
    #[error("no generation can follow `{}`: its number is the highest possible", .0.display())]
    LastNumber(PathBuf),

    /// gc removed the generation after it was listed.
    #[error("generation {0} is gone")]
    Gone(Box<GenerationId>),
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn damaged(path: &Path, what: &(impl std::fmt::Display + ?Sized)) -> Error {
    Error::Damaged { path: path.to_owned(), what: what.to_string() }
}
