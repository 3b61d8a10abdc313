//! Why a key differs from the key of the newest generation.

use std::collections::BTreeMap;

use super::Result;
use crate::cargo::explain::changes;
use crate::model::area::Area;
use crate::model::names::Name;
use crate::model::scope::Scope;
use crate::model::system::System;
use crate::model::timestamp::Timestamp;
use crate::store::Store;

/// The newest generation of the target, and how another key differs from its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The key of the generation.
    pub key: Name,
    /// When it was saved.
    pub created: Timestamp,
    /// The changes since then, one line each. A change of the system comes last; it is no part of
    /// the key.
    pub changes: Vec<String>,
}

/// Compares the parts of a key with those of the newest generation of the target in the `readable`
/// scopes. Returns `None` if there is no generation.
pub fn explain(
    store: &Store,
    readable: &[Scope],
    components: &BTreeMap<String, String>,
    system: &System,
) -> Result<Option<Since>> {
    let mut generations = Vec::new();
    for scope in readable {
        generations.extend(store.generations_of(scope, &Area::Target)?.0);
    }
    let newest = generations.into_iter().max_by_key(|generation| generation.header.created);
    Ok(newest.map(|newest| Since {
        changes: {
            let saved = newest.header.system.as_ref();
            let mut lines = changes(&newest.header.components, components);
            lines.extend(saved.and_then(|saved| system.says_saved_on(saved)));
            lines
        },
        created: newest.header.created,
        key: newest.header.cache_key,
    }))
}
