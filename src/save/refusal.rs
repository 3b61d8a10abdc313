//! The reasons not to save an area that exists.

use super::saving::Saving;
use crate::job::AreaPlace;
use crate::job::warning::Warning;
use crate::model::area::Area;
use crate::model::leftovers::{Foreign, SavedFrom, foreign};

/// Returns the warning that an area must not be saved; `None` if it may be.
pub(super) fn refusal(saving: &Saving<'_>, place: &AreaPlace) -> Option<Warning> {
    let dir = place.dir.clone();
    if let Some(whose) = refuses(saving, place) {
        return Some(Warning::NotSaved { dir, whose });
    }
    let source = saving.left_source.get().filter(|_| !place.area.is_shared())?;
    Some(Warning::BuiltFromWrongSource { dir, source: source.clone() })
}

/// Returns why this job may not save an area that another job used; `None` if it may.
fn refuses(saving: &Saving<'_>, place: &AreaPlace) -> Option<Foreign> {
    if place.area.is_shared() {
        let home = &saving.job.cargo_home;
        let is_any = saving.options.from == SavedFrom::Anyone || !saving.store.is_home(home);
        let scope = saving.store.home_scope(home);
        return (!is_any).then(|| foreign(scope.as_ref(), &saving.job.readable)).flatten();
    }
    let owners = saving.owners();
    let is_found = matches!(place.area, Area::Further(_));
    let made = is_found.then_some(|| owners.is_new(&place.dir));
    let owner = owners.of(&place.dir);
    saving.options.from.refuses(owner.as_ref(), &saving.job.readable, made)
}
