//! Leaves live targets that are ahead of the store as they are.

use std::path::Path;

use super::{Planned, Restoring};
use crate::job::Result;
use crate::model::area::Area;

impl<'a> Restoring<'a> {
    /// Leaves the targets that are ahead of the store as they are, unless another target must be
    /// restored: that changes the mtimes of sources.
    pub(super) fn leave_ahead(&self, mut plan: Vec<Planned<'a>>) -> Vec<Planned<'a>> {
        let ahead: Vec<&Area> =
            plan.iter().filter(|it| it.is_ahead()).map(|it| &it.place.area).collect();
        let holds_units_of =
            |area: &Area| ahead.iter().any(|of| area.build_area().as_ref() == Some(of));
        let stays = |it: &Planned<'_>| {
            it.choice.is_none() || it.is_ahead() || holds_units_of(&it.place.area)
        };
        // `always_build` removes fingerprints from restored trees only.
        let is_free = self.options.always_build.is_empty();
        if ahead.is_empty() || !is_free || !plan.iter().all(stays) {
            return plan;
        }
        for Planned { place, report, choice } in &mut plan {
            let Some(choice) = choice.take() else { continue };
            choice.tell_left(report);
            if let Err(error) =
                self.store.hand_tree_on(&place.dir, &self.boot, Some(self.job.as_owner()))
            {
                report.warnings.push(error.into());
            }
        }
        plan
    }

    /// Records that no single job is answerable for `dir`, if a job of another scope or system used
    /// it last.
    pub(super) fn disown(&self, dir: &Path) -> Result<()> {
        let owner = self.store.tree_owner(dir, &self.boot);
        match owner.filter(|(_, owner)| *owner != self.job.as_owner()) {
            Some(_) => Ok(self.store.hand_tree_on(dir, &self.boot, None)?),
            None => Ok(()),
        }
    }
}
