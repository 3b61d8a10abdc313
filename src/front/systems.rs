//! The sentences for generations of newer systems.

use std::fmt;

use crate::model::system::{Part, PassedOver, Which};

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { which, theirs: part, ours, count } = self;
        let (were, their) = match count {
            1 => ("1 generation was".to_owned(), "its"),
            count => (format!("{count} generations were"), "their"),
        };
        let ours = ours.as_ref().map_or_else(String::new, Part::to_string);
        match which {
            Which::Libc => write!(
                f,
                "{were} built with {part}; this host has {ours}: {their} build scripts would not start"
            ),
            Which::Os => write!(
                f,
                "{were} built on {part}; this is {ours}, which may lack libraries that {their} programs need"
            ),
            Which::Compiler => write!(
                f,
                "{were} built with {part}; this host has {ours}, which may not link {their} C and C++ code"
            ),
        }
    }
}
