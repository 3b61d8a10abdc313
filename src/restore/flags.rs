//! The flags that a generation was built with, compared with those of the job.

use std::collections::{BTreeMap, BTreeSet};

use crate::cargo::environment::{Reach, reach};
use crate::cargo::explain;
use crate::job::AreaPlace;
use crate::model::manifest::Header;
use crate::model::rebuild::Reason;

/// Returns the reason why cargo builds all crates of a generation again, and the reason why it
/// builds all path crates again, if there are any.
pub(super) fn differences(header: &Header, place: &AreaPlace) -> (Option<Reason>, Option<Reason>) {
    let only = |components: &BTreeMap<String, String>, prefixes: &[&str]| -> BTreeMap<_, _> {
        let is_wanted = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let wanted = components.iter().filter(|(name, _)| is_wanted(name));
        wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    if header.toolchain != place.toolchain {
        let parts = ["rustc", "toolchain-file"];
        let changes =
            explain::changes(&only(&header.components, &parts), &only(&place.components, &parts));
        return (Some(Reason::Toolchain(changes.join(", "))), None);
    }
    let (old, new) = (only(&header.components, &["env:"]), only(&place.components, &["env:"]));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let changed: Vec<_> = changed.filter_map(|name| name.strip_prefix("env:")).collect();
    let reason = |which: Reach| {
        let names = changed.iter().filter(|name| reach(name) == which);
        let names: Vec<_> = names.map(|name| (*name).to_owned()).collect();
        (!names.is_empty()).then_some(Reason::Flags(names))
    };
    (reason(Reach::Everything), reason(Reach::PathPackages))
}
