//! Runs a history, and judges every build of it.
//!
//! Each generation has a *twin*: a copy of the workspace it was saved in, as if the workspace had never been wiped and
//! its clock had always been right. When a job restores the generation, the test checks out the job's commit in a copy
//! of the twin, and builds there too, at the same path. A unit that only the job builds is built needlessly. So is a
//! unit that cargo could have reused from the twin of another generation that the job could have restored.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::host::{Built, Host, SECOND, SECOND_AREA, key_of};
use super::mtimes::{Seen, disturb, shift};
use super::mutants::{Mutant, Restored};
use super::story::{Build, Job, Mtimes, Restore, Save, Start, Story};
use crate::support::Result;

/// A fault that no history may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The program prints other values than the sources have.
    Stale,
    /// Valid code does not compile, or a restore or save failed.
    Broken,
    /// A unit was built that the twin kept.
    Needless,
}

/// The first fault of a history.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) fault: Fault,
    /// The index of the job.
    pub(super) job: usize,
    pub(super) about: String,
}

/// Counts of a history without a fault.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) jobs: usize,
    /// Restores that brought a target.
    pub(super) restored: usize,
    /// Builds that were compared with the build in a twin.
    pub(super) compared: usize,
    /// Compared builds in which every unit was fresh.
    pub(super) fresh: usize,
    /// Generations that no job took, and in whose twins the commit was built to count the units that cargo would have
    /// reused.
    pub(super) others: usize,
}

/// The facts about a workspace, or about the generation that was saved there.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Known {
    twin: Option<PathBuf>,
    /// If mtimes are odd: the units that cargo finds fresh before the save. It might build other units again at once,
    /// because their sources are from the future.
    held: Option<BTreeSet<String>>,
    /// The units of the last build there: no save may leave out any of them.
    used: BTreeSet<String>,
    /// The keys of the generation's units, and whether each unit is bound to its path. A twin keeps units that a save
    /// leaves out.
    stored: Option<BTreeMap<String, bool>>,
    /// The generation of the second workspace's target that was saved with it.
    second: Option<String>,
    /// Whether no generation of the second workspace came with it, because no job of that kind has saved one.
    has_no_second: bool,
    /// Whether another generation of the second workspace came with it. If the two recorded different mtimes for a
    /// file, the later one counts, which is sound but builds more than a twin would.
    is_mixed: bool,
    /// The workspace in which the generation was saved.
    place: Option<usize>,
    /// The last build there.
    build: Option<Build>,
    /// Whether that build failed.
    is_red: bool,
    /// Whether some mtimes come from a wrong clock.
    is_odd: bool,
    /// Whether a compiled file was edited between the build and the save. A restore may take it for a file that a build
    /// script rewrote, and trusts nothing if a checkout brings another version. That is sound but builds more than a
    /// twin would.
    is_edited: bool,
    /// Whether such a restore came before. Then only the units of the last build match a twin's: units that the build
    /// did not use are older than sources that look new since.
    is_distrusted: bool,
}

/// A history in progress.
struct Runner<'a> {
    story: &'a Story,
    host: Host,
    mutant: Option<Mutant>,
    generations: BTreeMap<String, Known>,
    places: BTreeMap<usize, Known>,
    /// The kinds of jobs that have saved a target of the second workspace.
    seconds: BTreeSet<&'static str>,
    /// The last saved build of each kind of job.
    last: BTreeMap<&'static str, Build>,
    /// The job whose save is still to come.
    pending: Option<usize>,
    count: Count,
}

/// The origin of a job's target.
enum Origin {
    /// There was no target.
    Nothing,
    /// A generation.
    Restored(String, Known),
    /// The workspace held it.
    From(Known),
    /// The restore was killed.
    Unknown,
}

type Judged<T = ()> = Result<std::result::Result<T, (Fault, String)>>;

/// Runs `story`, with every restore spoilt by `mutant`, up to the first fault.
pub(super) fn live(story: &Story, mutant: Option<Mutant>) -> Result<(Count, Option<Finding>)> {
    let host = Host::new(story)?;
    let mut runner = Runner {
        story,
        host,
        mutant,
        generations: BTreeMap::new(),
        places: BTreeMap::new(),
        seconds: BTreeSet::new(),
        last: BTreeMap::new(),
        pending: None,
        count: Count::default(),
    };
    for (index, job) in story.jobs.iter().enumerate() {
        let judged = runner.run(index, job).map_err(|error| format!("job {index}: {error}"))?;
        runner.count.jobs += 1;
        if let Err((fault, about)) = judged {
            return Ok((runner.count, Some(Finding { fault, job: index, about })));
        }
    }
    Ok((runner.count, None))
}

impl Runner<'_> {
    fn run(&mut self, index: usize, job: &Job) -> Judged {
        let started = SystemTime::now();
        self.prepare(job)?;
        let checkouts = self.host.checkouts(job.place);
        let before = Seen::of(&checkouts)?;
        let origin = match self.restore(job)? {
            Ok(origin) => origin,
            Err(fault) => return Ok(Err(fault)),
        };
        if let (Some(mutant), Origin::From(known) | Origin::Restored(_, known)) =
            (self.mutant, &origin)
        {
            mutant.spoil(&Restored {
                place: &self.host.place(job.place),
                checkouts: &checkouts,
                before: &before,
                started,
                twin: known.twin.as_deref(),
            })?;
        }
        let ours = self.build(job)?;
        if let Err(fault) = self.judge_output(job, &ours) {
            return Ok(Err(fault));
        }
        if let Origin::Restored(name, known) = &origin
            && let Err(fault) = self.judge_choice(job, name, known, &ours)?
        {
            return Ok(Err(fault));
        }
        let mut known = match self.follow(job, origin, &ours)? {
            Ok(known) => known,
            Err(fault) => return Ok(Err(fault)),
        };
        (known.build, known.is_red) = (Some(job.build.clone()), ours.prints.is_err());
        if job.clock_secs != 0 {
            known.is_odd = true;
            for checkout in &checkouts {
                shift(checkout, job.clock_secs)?;
            }
        }
        known.used = ours.units();
        if known.is_odd {
            let again = self.build(job)?;
            if let Err(fault) = self.judge_output(job, &again) {
                return Ok(Err(fault));
            }
            known.held = Some(again.fresh);
        } else if known.is_distrusted {
            known.held = Some(known.used.clone());
        }
        if job.save == Save::Edited {
            known.is_edited = self.story.commits[job.commit].world.has_scripts();
            self.edit(job, &known)?;
        }
        self.places.insert(job.place, known);
        self.save_all(index, job)
    }

    /// Checks out the commit of a job in its workspace.
    fn prepare(&mut self, job: &Job) -> Result {
        let place = self.host.place(job.place);
        if self.is_uncleaned(job) {
            self.host.check_out(job.place, job.commit)?;
        } else {
            self.places.remove(&job.place);
            for checkout in self.host.checkouts(job.place) {
                remove(checkout)?;
            }
            self.host.clone_all(job.place, job.commit)?;
            for checkout in self.host.checkouts(job.place) {
                disturb(&checkout, job.mtimes)?;
            }
        }
        if job.loses_home { remove(place.join("cargo-home")) } else { Ok(()) }
    }

    /// Tells whether a job starts from the workspace of the one before. A job with a wrong clock leaves mtimes that
    /// fool cargo itself, so nothing starts from its workspace.
    fn is_uncleaned(&self, job: &Job) -> bool {
        let found = self.places.get(&job.place);
        // A script that writes only missing files would fool cargo there.
        let fools = self.story.commits[job.commit].world.if_missing().next().is_some();
        job.start == Start::Uncleaned && !fools && found.is_some_and(|known| !known.is_odd)
    }

    /// Tells whether a restore may find a file that another build generated there. It then trusts nothing beside that
    /// file, which is sound but builds more than a twin would.
    fn may_have_leftovers(&self, job: &Job) -> bool {
        let world = &self.story.commits[job.commit].world;
        self.is_uncleaned(job) && job.restore != Restore::None && world.generates_sources()
    }

    /// Restores as the job does, and returns the origin of its target.
    fn restore(&mut self, job: &Job) -> Judged<Origin> {
        let left = match self.places.get(&job.place) {
            Some(known) => Origin::From(known.clone()),
            None => Origin::Nothing,
        };
        let report = match job.restore {
            Restore::None => return Ok(Ok(left)),
            Restore::Done => self.host.runner_cache("restore", job, "", &[])?,
            Restore::Killed(point) => {
                let report = self.host.runner_cache("restore", job, point, &[])?;
                if report.is_none() {
                    return Ok(Ok(Origin::Unknown));
                }
                report
            }
            Restore::Again(point) => {
                self.host.runner_cache("restore", job, point, &[])?;
                self.host.runner_cache("restore", job, "", &[])?
            }
        };
        let report = report.ok_or("a restore was killed")?;
        if let Some(failed) = failure(&report) {
            return Ok(Err((Fault::Broken, format!("restore: {failed}"))));
        }
        let Some(generation) = area(&report, "target")["generation"].as_str() else {
            return Ok(Ok(left));
        };
        self.count.restored += 1;
        // A generation that a killed save published has no twin.
        let unknown = Known { is_odd: true, ..Known::default() };
        let mut known = self.generations.get(generation).cloned().unwrap_or(unknown);
        let second = area(&report, SECOND_AREA)["generation"].as_str();
        known.has_no_second = second.is_none() && !self.seconds.contains(job.label);
        known.is_mixed = second.is_some_and(|second| known.second.as_deref() != Some(second));
        Ok(Ok(Origin::Restored(generation.to_owned(), known)))
    }

    /// Checks whether cargo would have reused more of another generation. A job can know that only if it builds the
    /// same as last time, and if all mtimes and twins are sound.
    fn judge_choice(&mut self, job: &Job, taken: &str, known: &Known, ours: &Built) -> Judged {
        let is_sound = |known: &Known| {
            !(known.is_odd || known.is_edited || known.is_distrusted || known.is_mixed)
        };
        let is_future = matches!(job.mtimes, Mtimes::Off(1..));
        let builds_as_before = self.last.get(job.label) == Some(&job.build);
        if !is_sound(known) || is_future || !builds_as_before || self.may_have_leftovers(job) {
            return Ok(Ok(()));
        }
        let is_of_target = |unit: &&String| !unit.starts_with(SECOND);
        let all = ours.units();
        let reused = all.difference(&ours.rebuilt).filter(is_of_target).count();
        let is_other = |(name, other): &(&String, &Known)| *name != taken && is_sound(other);
        let others: Vec<_> = self.generations.iter().filter(is_other).collect();
        let others: Vec<_> =
            others.into_iter().map(|(name, other)| (name.clone(), other.clone())).collect();
        for (name, other) in others {
            let (Some(twin), Some(stored)) = (&other.twin, &other.stored) else { continue };
            let twin = self.host.copy(twin)?;
            let is_moved = other.place != Some(job.place);
            if is_moved {
                let bound = stored.iter().filter(|(_, is_bound)| **is_bound);
                forget(&twin, &bound.map(|(key, _)| key.as_str()).collect())?;
            }
            let theirs = self.host.in_place_of(job.place, &twin, || {
                self.host.check_out(job.place, job.commit)?;
                self.build(job)
            })?;
            remove(twin)?;
            self.count.others += 1;
            let would_be_reused = |unit: &&String| {
                stored.contains_key(&key_of(unit)) && !theirs.rebuilt.contains(*unit)
            };
            let units = all.iter().filter(is_of_target);
            let better: BTreeSet<_> = units.filter(would_be_reused).collect();
            if better.len() > reused {
                let built: Vec<_> =
                    better.iter().filter(|unit| ours.rebuilt.contains(**unit)).collect();
                let about = format!(
                    "reuses {reused} units of `{taken}`, and would have reused {} of `{name}`: {built:?}{}",
                    better.len(),
                    ours.why()
                );
                return Ok(Err((Fault::Needless, about)));
            }
        }
        Ok(Ok(()))
    }

    fn build(&self, job: &Job) -> Result<Built> {
        let has_lock = self.story.commits[job.commit].world.has_lock;
        self.host.build(job.place, &job.build, has_lock)
    }

    fn judge_output(&self, job: &Job, built: &Built) -> std::result::Result<(), (Fault, String)> {
        let world = &self.story.commits[job.commit].world;
        match (&built.prints, world.broken) {
            (Err(log), Some(_)) if log.contains("broken on purpose") => Ok(()),
            (Err(log), _) => Err((Fault::Broken, log.clone())),
            (Ok(_), Some(_)) => Err((Fault::Stale, "what is broken on purpose builds".to_owned())),
            (Ok(_), None) if !job.build.goal.runs() => Ok(()),
            (Ok(prints), None) => {
                let want = world.prints(&job.build);
                let wrong: Vec<_> = prints.difference(&want).collect();
                let lacking: Vec<_> = want.difference(prints).collect();
                if wrong.is_empty() && lacking.is_empty() {
                    return Ok(());
                }
                Err((Fault::Stale, format!("prints {wrong:?} instead of {lacking:?}")))
            }
        }
    }

    /// Returns the build of a twin as if each build script had written what it should: a script that writes only
    /// missing files does not rewrite them in a workspace that is never wiped.
    fn without_if_missing(&self, job: &Job, theirs: &Built) -> Built {
        let world = &self.story.commits[job.commit].world;
        let scripts: Vec<_> =
            world.if_missing().map(|package| format!("{}.script=", package.name)).collect();
        let is_one = |line: &String| scripts.iter().any(|script| line.starts_with(script));
        let prints = theirs.prints.clone().map(|prints| {
            let right = world.prints(&job.build).into_iter().filter(is_one);
            prints.into_iter().filter(|line| !is_one(line)).chain(right).collect()
        });
        Built { prints, ..theirs.clone() }
    }

    /// Builds the same commit in the twin and compares. Returns the new facts about the workspace.
    fn follow(&mut self, job: &Job, origin: Origin, ours: &Built) -> Judged<Known> {
        let is_future = matches!(job.mtimes, Mtimes::Off(1..)) && !self.is_uncleaned(job);
        let before = match origin {
            Origin::From(known) | Origin::Restored(_, known) => known,
            Origin::Nothing => {
                let twin = self.host.copy(&self.host.place(job.place))?;
                if let (Mtimes::Off(secs), true) = (job.mtimes, is_future) {
                    for checkout in self.host.checkouts_in(&twin) {
                        disturb(&checkout, Mtimes::Off(-secs))?;
                    }
                }
                return Ok(Ok(Known { twin: Some(twin), is_odd: is_future, ..Known::default() }));
            }
            Origin::Unknown => {
                let is_odd = is_future || self.generations.values().any(|known| known.is_odd);
                // Mtimes from the future would fool cargo in a twin.
                let place = self.host.place(job.place);
                let twin = if is_odd { None } else { Some(self.host.copy(&place)?) };
                return Ok(Ok(Known { twin, is_odd, ..Known::default() }));
            }
        };
        let is_odd = before.is_odd || is_future;
        // At another path cargo builds units that are bound to their path again, and all that depends on them; a twin
        // would read the files at the old path. So the twin starts anew.
        let is_moved = before.place.is_some_and(|place| place != job.place);
        if is_moved && before.stored.as_ref().is_some_and(|it| it.values().any(|bound| *bound)) {
            let place = self.host.place(job.place);
            let twin = if is_odd { None } else { Some(self.host.copy(&place)?) };
            return Ok(Ok(Known { twin, is_odd, ..Known::default() }));
        }
        let Some(twin) = before.twin else {
            return Ok(Ok(Known { is_odd, ..Known::default() }));
        };
        let twin = self.host.copy(&twin)?;
        let theirs = self.host.in_place_of(job.place, &twin, || {
            self.host.check_out(job.place, job.commit)?;
            self.build(job)
        })?;
        if let Err((_, about)) = self.judge_output(job, &self.without_if_missing(job, &theirs)) {
            return Err(format!("cargo itself is fooled in the twin: {about}").into());
        }
        self.count.compared += 1;
        self.count.fresh += usize::from(ours.rebuilt.is_empty());
        let is_stored = |unit: &String| {
            before.stored.as_ref().is_none_or(|stored| stored.contains_key(&key_of(unit)))
        };
        let is_held = |unit: &String| {
            before.held.as_ref().is_none_or(|held| held.contains(unit))
                && (before.used.contains(unit) || is_stored(unit))
        };
        let may_be_new = |unit: &str| before.has_no_second && unit.starts_with(SECOND);
        let beyond =
            |unit: &&String| !theirs.rebuilt.contains(*unit) && is_held(unit) && !may_be_new(unit);
        let needless: Vec<_> = ours.rebuilt.iter().filter(beyond).collect();
        let distrusts = before.is_edited || before.is_mixed || self.may_have_leftovers(job);
        if needless.is_empty() || distrusts {
            let is_distrusted = before.is_distrusted || distrusts;
            return Ok(Ok(Known { twin: Some(twin), is_odd, is_distrusted, ..Known::default() }));
        }
        let about = format!("builds {needless:?}, which the twin keeps{}", ours.why());
        Ok(Err((Fault::Needless, about)))
    }

    /// Edits a compiled file, as a job may between its build and its save.
    fn edit(&self, job: &Job, known: &Known) -> Result {
        let edit = || -> Result {
            let root = self.host.place(job.place).join("app/src/main.rs");
            let code =
                fs::read_to_string(&root)?.replace("println!(\"{name}=", "println!(\"no {name}=");
            Ok(fs::write(root, code)?)
        };
        edit()?;
        match &known.twin {
            Some(twin) => self.host.in_place_of(job.place, twin, edit),
            None => Ok(()),
        }
    }

    /// Runs the saves that are due after the job `index` has built.
    fn save_all(&mut self, index: usize, job: &Job) -> Judged {
        let pending = self.pending.take();
        let now = match job.save {
            Save::Done | Save::Edited | Save::Killed(_) => Some(index),
            Save::None => None,
            Save::AfterTheNext | Save::BeforeTheNext => {
                self.pending = Some(index);
                None
            }
        };
        let waits = |index: &usize| self.story.jobs[*index].save == Save::AfterTheNext;
        let order = match pending {
            Some(pending) if waits(&pending) => [now, Some(pending)],
            pending => [pending, now],
        };
        for index in order.into_iter().flatten() {
            if let Err(fault) = self.save(&self.story.jobs[index])? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    fn save(&mut self, job: &Job) -> Judged {
        let point = if let Save::Killed(point) = job.save { point } else { "" };
        let is_red = self.places.get(&job.place).is_some_and(|known| known.is_red);
        let further = if is_red { &["--partial"][..] } else { &[] };
        let saved = self.host.runner_cache("save", job, point, further)?;
        let Some(report) = saved else {
            // The killed save may have published its generation or not.
            self.last.remove(job.label);
            return Ok(Ok(()));
        };
        if let Some(failed) = failure(&report) {
            return Ok(Err((Fault::Broken, format!("save: {failed}"))));
        }
        if let Some(generation) = area(&report, "target")["generation"].as_str() {
            let known = self.places.get(&job.place).ok_or("a save of nothing")?.clone();
            self.last.extend(known.build.clone().map(|build| (job.label, build)));
            let mut stored = self.host.stored(generation)?;
            let second = area(&report, SECOND_AREA)["generation"].as_str().map(str::to_owned);
            if let Some(second) = &second {
                stored.extend(self.host.stored(second)?);
                self.seconds.insert(job.label);
            }
            let place = Some(job.place);
            let known = Known { stored: Some(stored), second, is_mixed: false, place, ..known };
            self.generations.entry(generation.to_owned()).or_insert(known);
        }
        if !self.host.has_target(job.place) {
            // The save parked it as a hot tree.
            self.places.remove(&job.place);
        }
        Ok(Ok(()))
    }
}

/// Returns a report's entry for an area.
fn area<'a>(report: &'a Value, name: &str) -> &'a Value {
    let areas = report["areas"].as_array().into_iter().flatten();
    areas.into_iter().find(|area| area["name"] == name).unwrap_or(&Value::Null)
}

fn failure(report: &Value) -> Option<String> {
    let mut areas = report["areas"].as_array()?.iter();
    areas.find(|area| area["mode"] == "failed").map(Value::to_string)
}

/// Removes units, by their keys, from the first workspace's target in a twin.
fn forget(twin: &Path, keys: &BTreeSet<&str>) -> Result {
    let target = twin.join("app/target");
    if keys.is_empty() || !target.exists() {
        return Ok(());
    }
    let is_of_them = |name: &OsStr| {
        let name = name.to_string_lossy();
        keys.contains(key_of(name.split('.').next().unwrap_or_default()).as_str())
    };
    for entry in walkdir::WalkDir::new(&target) {
        let entry = entry?;
        let below = entry.path().strip_prefix(&target)?;
        if !entry.file_type().is_dir() && below.iter().any(is_of_them) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove(dir: PathBuf) -> Result {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at job {}: {}", self.fault, self.job, self.about)
    }
}

impl Count {
    /// Adds the counts of another history.
    pub(super) fn add(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.restored += other.restored;
        self.compared += other.compared;
        self.fresh += other.fresh;
        self.others += other.others;
    }
}
