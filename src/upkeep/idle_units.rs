//! Foresees which units the next saves leave out.

use std::collections::BTreeMap;

use super::report::GcReport;
pub use super::report::IdleUnits;
use super::survey::survey_of;
use crate::job::Result;
use crate::model::manifest::{GenerationId, Unit};
use crate::model::unit_use::UnitPolicy;
use crate::store::{Generation, Store};

/// Returns the units that the next save leaves out, for the newest generation of each series and
/// kind of job that remains after `gc`. Skips generations that cannot be read.
pub fn idle_units(store: &Store, gc: &GcReport, policy: UnitPolicy) -> Result<Vec<IdleUnits>> {
    let (generations, _) = store.generations()?;
    let goes = |id: &GenerationId| gc.expired.iter().any(|expired| expired.id == *id);
    let mut newest: BTreeMap<_, Generation> = BTreeMap::new();
    for generation in generations {
        let is_shared = generation.id.series.area.is_shared();
        if is_shared || goes(&generation.id) {
            continue;
        }
        let kind = (generation.id.series.clone(), generation.header.job.clone());
        let is_newer = newest.get(&kind).is_none_or(|known| known.id.number < generation.id.number);
        if is_newer {
            newest.insert(kind, generation);
        }
    }
    let mut idle = Vec::new();
    for ((_, job), Generation { id, .. }) in newest {
        let Ok(manifest) = store.read_unleased(&id) else { continue };
        // A save keeps these units whether or not they are used.
        let unknown = survey_of(&manifest).unknown;
        let is_leaving =
            |unit: &&Unit| policy.is_about_to_leave(unit.used) && !unknown.contains(&unit.dir);
        let leaving: Vec<&Unit> = manifest.units.iter().filter(is_leaving).collect();
        if !leaving.is_empty() {
            idle.push(IdleUnits {
                generation: id,
                job,
                of: manifest.units.len(),
                units: leaving.iter().map(|unit| unit.dir.to_string()).collect(),
                crates: leaving.iter().map(|unit| unit.dir.crate_name().into_owned()).collect(),
            });
        }
    }
    Ok(idle)
}
