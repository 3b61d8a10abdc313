//! A directory and its manifest: walking, comparing, packing, unpacking and staging.

mod buffers;
pub(crate) mod clone;
pub mod compare;
pub(crate) mod dirs;
pub(crate) mod entries;
pub(crate) mod graph;
pub(crate) mod hot;
pub(crate) mod index;
pub(crate) mod left;
pub(crate) mod links;
pub(crate) mod missed;
pub(crate) mod own_files;
pub(crate) mod pack;
pub(crate) mod staged;
pub(crate) mod unpack;
pub(crate) mod walk;
