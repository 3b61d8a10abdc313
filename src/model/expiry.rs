//! The plan of the generations to remove, with reasons and the space freed. It is made from facts,
//! before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::digest::Digest;
use super::facts::{GenerationFacts, SeriesFacts, StoreFacts, Trust};
use super::filesystem::Filesystem;
use super::manifest::{GenerationId, GenerationNumber, Series};
use super::pressure::{Pressure, Strain};
use super::quantity::ByteSize;
use super::raw_path::RawPath;
use super::reason::Reason;
use super::retention::Policy;
use super::scope::Scope;
use super::system::{Part, System};
use super::timestamp::Timestamp;

/// A generation to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// The generation.
    pub id: GenerationId,
    /// The reason.
    pub reason: Reason,
    /// The bytes freed once all generations before it in the plan are gone: its manifest, and the
    /// packs that nothing else names.
    pub frees_bytes: u64,
}

/// The generations and packs to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The generations to remove, in this order.
    pub expired: Vec<Expired>,
    /// The number of packs that nothing names even now; they are removed, too.
    pub unreferenced_packs: usize,
    /// Their size on disk in bytes.
    pub unreferenced_bytes: u64,
    /// The number of packs removed in all.
    pub packs: usize,
    /// The bytes freed in all.
    pub bytes: u64,
    /// The bytes still missing for low water or `max-size` once everything removable is gone.
    pub missing_bytes: u64,
    /// The inodes still missing for low water. If any are, nothing was evicted for the sake of
    /// inodes.
    pub missing_inodes: u64,
}

impl StoreFacts {
    /// Returns the plan: first the generations that `policy` drops. If `pressure` then asks for
    /// more space on the store's filesystem or for a smaller store, the least missed generations
    /// follow.
    ///
    /// These are generations of pull requests, then of branches, then protected ones together with
    /// those in `readable` scopes, which the current job is about to restore. Within each group,
    /// the least recently used series goes first, and its oldest generation first. A leased
    /// generation never goes. The order of the facts does not matter.
    ///
    /// A store has few inodes. If evicting all of it would not free enough of them, nothing is
    /// evicted for their sake: that would only slow down builds.
    pub fn plan(
        &self,
        policy: &Policy,
        pressure: Option<(&Pressure, &Filesystem)>,
        readable: &[Scope],
        now: Timestamp,
    ) -> Plan {
        let mut ledger = Ledger::of(self);
        let (unreferenced_packs, unreferenced_bytes) = (ledger.packs, ledger.bytes);
        let mut plan = Plan { unreferenced_packs, unreferenced_bytes, ..Plan::default() };
        let mut gone = BTreeSet::new();
        let mut expired = policy.expired(&self.series, now);
        expired.sort_by_key(|(series, generation, _)| (&series.series, generation.number));
        for (series, generation, reason) in expired {
            gone.insert((&series.series, generation.number));
            plan.expired.push(ledger.drop(series, generation, reason));
        }
        if let Some((pressure, filesystem)) = pressure {
            let mut need = Need::of(self, pressure, filesystem);
            let candidates = self.candidates(&gone, readable, now);
            plan.missing_inodes = need.give_up_inodes(ledger.clone(), &candidates);
            for (series, generation) in candidates {
                let Some(reason) = need.reason(&ledger) else { break };
                plan.expired.push(ledger.drop(series, generation, reason));
            }
            plan.missing_bytes = need.missing_bytes(&ledger);
        }
        (plan.packs, plan.bytes) = (ledger.packs, ledger.bytes);
        plan
    }

    /// Returns the generations that may be evicted, the least missed first.
    fn candidates(
        &self,
        gone: &BTreeSet<(&Series, GenerationNumber)>,
        readable: &[Scope],
        now: Timestamp,
    ) -> Vec<Candidate<'_>> {
        let mut candidates: Vec<_> = self.series.iter().flat_map(SeriesFacts::unleased).collect();
        candidates
            .retain(|(series, generation)| !gone.contains(&(&series.series, generation.number)));
        candidates.sort_by_key(|(series, generation)| {
            let is_ours = readable.contains(&series.series.scope);
            let trust = if is_ours { Trust::Protected } else { series.trust() };
            (trust, series.last_used_by(now), &series.series, generation.number)
        });
        candidates
    }

    /// Returns the space on disk, in bytes, of packs, manifests, mirrors and homes.
    pub fn stored_bytes(&self) -> u64 {
        let generations = self.series.iter().flat_map(|series| &series.generations);
        let manifests: u64 = generations.map(|generation| generation.manifest_bytes).sum();
        manifests + self.packs.values().sum::<u64>() + self.dir_bytes
    }
}

type Candidate<'a> = (&'a SeriesFacts, &'a GenerationFacts);

impl SeriesFacts {
    fn unleased(&self) -> impl Iterator<Item = Candidate<'_>> {
        let unleased = self.generations.iter().filter(|generation| !generation.leased);
        unleased.map(move |generation| (self, generation))
    }
}

/// A count of the generations and leases that name each pack, while generations go one by one.
#[derive(Clone)]
struct Ledger<'a> {
    facts: &'a StoreFacts,
    names: BTreeMap<Digest, usize>,
    packs: usize,
    manifests: usize,
    bytes: u64,
}

impl<'a> Ledger<'a> {
    /// Returns the ledger in which only unreferenced packs are gone.
    fn of(facts: &'a StoreFacts) -> Self {
        let mut names: BTreeMap<Digest, usize> = BTreeMap::new();
        let generations = facts.series.iter().flat_map(|series| &series.generations);
        for digest in generations
            .flat_map(GenerationFacts::distinct_packs)
            .chain(facts.leased_packs.iter().copied())
        {
            *names.entry(digest).or_default() += 1;
        }
        let unreferenced = facts.packs.iter().filter(|(digest, _)| !names.contains_key(digest));
        let (packs, bytes) =
            unreferenced.fold((0, 0), |(packs, sum), (_, bytes)| (packs + 1, sum + bytes));
        Self { facts, names, packs, manifests: 0, bytes }
    }

    /// Returns the number of files that are gone.
    fn inodes(&self) -> u64 {
        (self.packs + self.manifests) as u64
    }

    fn drop(
        &mut self,
        series: &SeriesFacts,
        generation: &GenerationFacts,
        reason: Reason,
    ) -> Expired {
        let before = self.bytes;
        self.bytes += generation.manifest_bytes;
        self.manifests += 1;
        for digest in generation.distinct_packs() {
            let names = self.names.entry(digest).or_insert(1);
            *names -= 1;
            // A missing pack frees nothing.
            if let (0, Some(bytes)) = (*names, self.facts.packs.get(&digest)) {
                self.bytes += bytes;
                self.packs += 1;
            }
        }
        let id = GenerationId { series: series.series.clone(), number: generation.number };
        Expired { id, reason, frees_bytes: self.bytes - before }
    }
}

/// The job, cargo's home, whether it is partial, and the C library and release of the system.
type Kind<'a> = (&'a str, Option<&'a RawPath>, bool, Option<(Option<&'a Part>, Option<&'a Part>)>);

impl GenerationFacts {
    /// Returns the kind of a generation; only generations of one kind replace each other. A
    /// generation that a failed or cancelled job saved must not push out a whole one, and one built
    /// with another cargo home or on another system is no replacement.
    pub(super) fn kind(&self) -> Kind<'_> {
        let system = self.system.as_ref().map(System::kind);
        (&self.job, self.cargo_home.as_ref(), self.partial, system)
    }

    fn distinct_packs(&self) -> BTreeSet<Digest> {
        self.packs.iter().copied().collect()
    }
}

/// The space that must be freed, with reasons.
struct Need {
    disk_bytes: u64,
    disk_strain: Option<Strain>,
    store_bytes: u64,
    size: ByteSize,
    max_size: ByteSize,
    inodes: u64,
    inode_strain: Option<Strain>,
}

impl Need {
    fn of(facts: &StoreFacts, pressure: &Pressure, filesystem: &Filesystem) -> Self {
        let wanted = pressure.wanted(filesystem);
        let (of_inodes, of_disk): (Vec<_>, Vec<_>) = pressure
            .strains(filesystem)
            .into_iter()
            .partition(|strain| matches!(strain, Strain::Inodes { .. }));
        let size = ByteSize(facts.stored_bytes());
        let max_size = pressure.max_size.unwrap_or(size);
        Self {
            disk_bytes: wanted.bytes,
            disk_strain: of_disk.first().copied(),
            store_bytes: size.0.saturating_sub(max_size.0),
            size,
            max_size,
            inodes: wanted.inodes,
            inode_strain: of_inodes.first().copied(),
        }
    }

    /// Gives up on inodes if dropping all candidates would not free enough; returns how many would
    /// still be missing.
    fn give_up_inodes(&mut self, mut ledger: Ledger<'_>, candidates: &[Candidate<'_>]) -> u64 {
        for (series, generation) in candidates {
            let Some(strain) = self.inode_strain else { return 0 };
            ledger.drop(series, generation, Reason::Strained(strain));
        }
        let missing = self.inodes.saturating_sub(ledger.inodes());
        if missing > 0 {
            self.inodes = 0;
        }
        missing
    }

    /// Returns why more must go; `None` if enough is freed.
    fn reason(&self, gone: &Ledger<'_>) -> Option<Reason> {
        if gone.bytes < self.disk_bytes {
            return self.disk_strain.map(Reason::Strained);
        }
        if gone.bytes < self.store_bytes {
            return Some(Reason::TooLarge { size: self.size, max_size: self.max_size });
        }
        let strain = self.inode_strain.filter(|_| gone.inodes() < self.inodes);
        strain.map(Reason::Strained)
    }

    fn missing_bytes(&self, gone: &Ledger<'_>) -> u64 {
        self.disk_bytes.max(self.store_bytes).saturating_sub(gone.bytes)
    }
}

#[cfg(test)]
mod tests;
