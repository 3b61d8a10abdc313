//! Opens the store of a step, and frees space on its disks.

use super::super::told;
use super::Main;
use crate::front::{Result, disk};
use crate::fs::space::filesystem_of;
use crate::store::Store;
use crate::upkeep::gc;

impl Main<'_> {
    /// Opens the store, and frees space on each disk that is too full.
    pub(super) fn open_guarded(&mut self) -> Option<Store> {
        let store = self.open();
        if let Some(store) = &store {
            self.guard(store);
        }
        self.tell_free_space(store.as_ref());
        store
    }

    /// Opens the store, unless the step is switched off.
    pub(super) fn open(&mut self) -> Option<Store> {
        if !self.step.inputs.enabled {
            return None;
        }
        let opened = self.try_open();
        opened.map_err(|error| self.trouble(&told(&error))).ok()
    }

    fn try_open(&mut self) -> Result<Store> {
        let choice = self.step.root()?;
        if let Some(wanted) = &choice.not_mounted {
            let (root, wanted) = (choice.root.display(), wanted.display());
            let instead = if choice.lasts {
                format!("the store is at `{root}` instead")
            } else {
                "the store goes with the container".to_owned()
            };
            let message = format!(
                "`{wanted}` is not mounted into the container of this job: {instead}. Add to the job:"
            );
            let volume = format!("    - {wanted}:{wanted}");
            self.log.warn_with(&message, &["container:", "  volumes:", &volume]);
        }
        self.state.set_root(&choice.root);
        let store = Store::open_or_init(&choice.root)?;
        match store.reclaim() {
            Ok(reclaimed) => self.log.reclaimed(reclaimed),
            Err(error) => self.log.warn(&told(&error.into())),
        }
        Ok(store)
    }

    pub(super) fn guard(&mut self, store: &Store) {
        self.log.group("🔍 Disk");
        match self.step.guard(store) {
            Ok(report) => {
                self.log.lines(&disk::of_guard(&report, gc::GcMode::Execute));
                self.log.end_group();
                let warnings = report.warnings.iter().chain(&report.gc.warnings);
                for warning in warnings {
                    self.log.warn(warning);
                }
                self.summary.disk(&report);
            }
            Err(error) => {
                self.log.end_group();
                self.trouble(&told(&error));
            }
        }
    }

    pub(super) fn tell_free_space(&mut self, store: Option<&Store>) {
        let place = store.map_or(self.step.runner.workspace.as_path(), Store::root);
        self.outputs.free_bytes = filesystem_of(place).ok().map(|it| it.free_bytes);
    }
}
