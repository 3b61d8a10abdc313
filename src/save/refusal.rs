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
            "`{dir}` is not saved: it may be built from `{source}`, which is not what Cargo.lock says and was left by \
             another job"
        ))
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
