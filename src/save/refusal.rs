//! Why an area is not saved although it is there.

use super::Saving;
use crate::job::Place;
use crate::model::area::Area;
use crate::model::leftovers::{Foreign, SavedFrom, foreign};

impl Saving<'_> {
    /// Returns why an area is not saved, as a warning; none if it is.
    pub(super) fn refusal(&self, place: &Place) -> Option<String> {
        let dir = place.dir.display();
        if let Some(why) = self.refuses(place) {
            return Some(format!("`{dir}` is not saved: {why}"));
        }
        let source = self.left_source.get().filter(|_| !place.area.is_shared())?;
        let source = source.display();
        Some(format!(
            "`{dir}` is not saved: it may be built from `{source}`, which no Cargo.lock says and another job left"
        ))
    }

    /// Returns why an area is not saved, because of who built there.
    fn refuses(&self, place: &Place) -> Option<Foreign> {
        if place.area.is_shared() {
            let home = &self.job.cargo_home;
            let is_any = self.options.from == SavedFrom::Anyone || !self.store.is_home(home);
            let scope = self.store.home_scope(home);
            let of_home = || foreign(scope.as_ref(), &self.job.readable);
            let unproven = self.is_unproven(&place.dir).then(|| self.owners().foreign(&place.dir));
            return unproven.flatten().or_else(|| if is_any { None } else { of_home() });
        }
        let owners = self.owners();
        let is_found = matches!(place.area, Area::Further(_));
        let made = is_found.then_some(|| owners.is_new(&place.dir));
        let owner = owners.of(&place.dir);
        self.options.from.refuses(owner.as_ref(), &self.job.readable, made)
    }
}
