//! Why an area is not saved although it is there.

use super::Saving;
use crate::job::Place;
use crate::job::warning::Warning;
use crate::model::area::Area;
use crate::model::leftovers::{Foreign, SavedFrom, foreign};

impl Saving<'_> {
    /// Returns the warning that an area is not saved; `None` if it is.
    pub(super) fn refusal(&self, place: &Place) -> Option<Warning> {
        let dir = place.dir.clone();
        if let Some(whose) = self.refuses(place) {
            return Some(Warning::NotSaved { dir, whose });
        }
        let source = self.left_source.get().filter(|_| !place.area.is_shared())?;
        Some(Warning::BuiltFromWrongSource { dir, source: source.clone() })
    }

    /// Returns why an area is not saved, because of who built there.
    fn refuses(&self, place: &Place) -> Option<Foreign> {
        if place.area.is_shared() {
            let home = &self.job.cargo_home;
            let is_any = self.options.from == SavedFrom::Anyone || !self.store.is_home(home);
            let scope = self.store.home_scope(home);
            return (!is_any).then(|| foreign(scope.as_ref(), &self.job.readable)).flatten();
        }
        let owners = self.owners();
        let is_found = matches!(place.area, Area::Further(_));
        let made = is_found.then_some(|| owners.is_new(&place.dir));
        let owner = owners.of(&place.dir);
        self.options.from.refuses(owner.as_ref(), &self.job.readable, made)
    }
}
