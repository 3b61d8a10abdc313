//! Generates a history: its first commit, the change of each further commit, and the jobs.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::story::{Build, Commit, Goal, HOUR, Job, Mtimes, Restore, Save, Start, Story};
use super::world::{Home, Into, Kind, Package, Part, Rule, Script, World};

/// The number of revisions of the git dependency.
pub(super) const REVISIONS: usize = 3;

const RESTORE_CRASH_POINTS: [&str; 4] =
    ["restore: leased", "restore: staged", "restore: placed", "restore: sources"];

const SAVE_CRASH_POINTS: [&str; 4] =
    ["save: pack staged", "save: packs visible", "publish: staged", "publish: visible"];

/// Returns the history of a seed.
pub(super) fn story(seed: u64) -> Story {
    let mut dice = Dice::new(seed);
    let world = first_world(&mut dice);
    let mut commits = vec![Commit { world, parent: None, about: "everything".to_owned() }];
    // Two kinds of jobs take turns: one kind, the other, or both build each commit.
    // Every other history compiles incrementally from the start. No dice are thrown for it: a seed keeps its history.
    let start = Build { is_incremental: !seed.is_multiple_of(2), ..Build::default() };
    let first = throw_build(&mut dice, &start);
    let second = throw_build(&mut dice, &first);
    let mut kinds = [("default", first), ("other", second)];
    // In every other history only code changes: these judge the choice among generations.
    let is_calm = dice.one_in(2);
    let mut jobs: Vec<Job> = Vec::new();
    for _ in 0..5 + dice.below(3) {
        let turn = usize::from(dice.one_in(2));
        if dice.one_in(8) {
            kinds[turn].1 = throw_build(&mut dice, &kinds[turn].1);
        }
        let commit = match jobs.last() {
            None => 0,
            Some(before) if dice.one_in(4) => before.commit,
            Some(_) => throw_commit(&mut dice, &mut commits),
        };
        let job = throw_job(&mut dice, jobs.last(), commit, kinds[turn].clone());
        jobs.push(if is_calm { calm(job) } else { job });
    }
    if let Some(last) = jobs.last_mut() {
        last.save = Save::None;
    }
    Story { seed, commits, jobs }
}

fn throw_commit(dice: &mut Dice, commits: &mut Vec<Commit>) -> usize {
    let newest = commits.len() - 1;
    let parent = match dice.below(10) {
        // The same commit again, another branch, a revert.
        0 => return newest,
        1 | 2 => return dice.below(commits.len()),
        3 => dice.below(commits.len()),
        _ => newest,
    };
    let mut world = commits[parent].world.clone();
    let mended = world.broken.take().map(|_| "mended".to_owned());
    let mut changes: Vec<_> = mended.into_iter().collect();
    changes.extend((0..=dice.below(2)).map(|_| change(dice, &mut world)));
    world.number = commits.len();
    commits.push(Commit { world, parent: Some(parent), about: changes.join(", ") });
    newest + 1
}

fn throw_build(dice: &mut Dice, before: &Build) -> Build {
    let mut build = before.clone();
    match dice.below(7) {
        0 => build.goal = dice.pick(&[Goal::Build, Goal::Release]),
        1 | 2 => build.is_extra = !build.is_extra,
        3 => build.shop = Some(dice.value()),
        4 => build.opt_level = Some(dice.below(2)),
        5 => build.is_incremental = !build.is_incremental,
        _ => build.goal = dice.pick(&[Goal::Build, Goal::Check, Goal::Test]),
    }
    build
}

fn throw_job(
    dice: &mut Dice,
    before: Option<&Job>,
    commit: usize,
    (label, build): (&'static str, Build),
) -> Job {
    let overlaps =
        before.is_some_and(|job| matches!(job.save, Save::AfterTheNext | Save::BeforeTheNext));
    let place = match before {
        Some(before) if overlaps => 1 - before.place,
        Some(before) if dice.one_in(8) => 1 - before.place,
        Some(before) => before.place,
        None => 0,
    };
    let mtimes = match dice.below(10) {
        0 => Mtimes::Old,
        1 => Mtimes::SomeOld,
        2 => Mtimes::OldFiles,
        3 => Mtimes::Off(-3 * HOUR),
        4 => Mtimes::Off(2 * HOUR),
        _ => Mtimes::Now,
    };
    let restore = match dice.below(12) {
        0 => Restore::Killed(dice.pick(&RESTORE_CRASH_POINTS)),
        1 => Restore::Again(dice.pick(&RESTORE_CRASH_POINTS)),
        2 => Restore::None,
        _ => Restore::Done,
    };
    let save = match dice.below(10) {
        0 if !overlaps => Save::AfterTheNext,
        1 if !overlaps => Save::BeforeTheNext,
        2 => Save::Edited,
        3 => Save::None,
        4 => Save::Killed(dice.pick(&SAVE_CRASH_POINTS)),
        _ => Save::Done,
    };
    Job {
        place,
        start: if dice.one_in(5) { Start::Uncleaned } else { Start::Cloned },
        loses_home: dice.one_in(2),
        commit,
        mtimes,
        restore,
        key: dice.one_in(10).then_some("another-key"),
        label,
        build,
        save,
        clock_secs: match dice.below(8) {
            0 => 3 * HOUR,
            1 => -2 * HOUR,
            _ => 0,
        },
    }
}

/// Returns a job without the faults that a test of freshness needs and a real job rarely meets.
fn calm(job: Job) -> Job {
    Job {
        place: 0,
        start: Start::Cloned,
        mtimes: Mtimes::Now,
        restore: Restore::Done,
        key: None,
        save: Save::Done,
        clock_secs: 0,
        ..job
    }
}

fn first_world(dice: &mut Dice) -> World {
    let mut homes = vec![Home::Root];
    homes.extend((0..dice.below(3)).map(|_| Home::Member));
    homes.extend((0..dice.below(2)).map(|_| Home::Sibling));
    if dice.one_in(4) {
        homes.push(Home::Vendored);
    }
    if dice.one_in(3) {
        homes.push(dice.pick(&[Home::Macro, Home::MacroBeside]));
    }
    if dice.one_in(4) {
        homes.push(Home::Submodule);
    }
    if homes.len() == 1 {
        homes.push(dice.pick(&[Home::Member, Home::Sibling, Home::Submodule]));
    }
    if dice.one_in(4) {
        homes.insert(1, Home::Second);
    }
    let mut packages: Vec<_> =
        homes.iter().enumerate().map(|(index, home)| throw_package(dice, index, *home)).collect();
    let second = homes.iter().position(|home| *home == Home::Second);
    for index in (1..homes.len()).filter(|index| Some(*index) != second) {
        // An earlier package that may use it does; the program may use all.
        let may = (0..index).filter(|user| may_use(homes[*user], homes[index]));
        let may: Vec<_> = may.filter(|user| Some(*user) != second).collect();
        let also = second.filter(|_| dice.one_in(2));
        for user in [dice.pick(&may), dice.pick(&may)].into_iter().chain(also) {
            if !packages[user].uses.contains(&index) {
                packages[user].uses.push(index);
            }
        }
    }
    let revision = dice.one_in(5).then(|| dice.below(REVISIONS));
    let has_lock = must_lock(&packages) || !dice.one_in(4);
    let mut world = World { packages, revision, has_lock, opt_level: 0, broken: None, number: 0 };
    for index in 0..world.packages.len() {
        for _ in 0..=dice.below(2) {
            add_part(dice, &mut world, index);
        }
    }
    world
}

/// Cargo keeps a version as long as an ignored lock file names it, so such a history needs a committed one.
fn must_lock(packages: &[Package]) -> bool {
    packages.iter().any(|package| package.home == Home::Vendored)
}

fn may_use(user: Home, dependency: Home) -> bool {
    match user {
        Home::Root | Home::Member | Home::Second => true,
        Home::Sibling | Home::Submodule => dependency.is_beside(),
        Home::Vendored | Home::Macro | Home::MacroBeside => false,
    }
}

fn throw_package(dice: &mut Dice, index: usize, home: Home) -> Package {
    let name = match home {
        Home::Root => "app".to_owned(),
        Home::Member => format!("m{index}"),
        Home::Sibling => format!("s{index}"),
        Home::Vendored => format!("v{index}"),
        Home::Macro | Home::MacroBeside => "mac".to_owned(),
        Home::Submodule => format!("n{index}"),
        Home::Second => "fz".to_owned(),
    };
    let mut rules =
        vec![Rule::Silent, Rule::File, Rule::Dir, Rule::Dir, Rule::Variable, Rule::Head];
    let mut places = vec![Into::OutDir, Into::Source, Into::IfMissing];
    if home == Home::Vendored {
        // No script may write into the registry.
        rules.truncate(3);
        places.truncate(1);
    }
    let script = dice.one_in(2).then(|| Script {
        rule: dice.pick(&rules),
        into: dice.pick(&places),
        inputs: BTreeMap::from([("a".to_owned(), dice.value()), ("d/b".to_owned(), dice.value())]),
        comment: dice.value(),
    });
    Package {
        name,
        home,
        parts: Vec::new(),
        script,
        uses: Vec::new(),
        patch: 0,
        comment: dice.value(),
        is_executable: false,
    }
}

/// Adds a part that its package can have, and returns its name.
fn add_part(dice: &mut Dice, world: &mut World, index: usize) -> String {
    let mut kinds = vec![Kind::Text, Kind::Source, Kind::Bytes];
    if world.packages[index].home.is_macro() {
        kinds.truncate(1);
    } else if world.macro_index().is_some_and(|mac| world.packages[index].uses.contains(&mac)) {
        kinds.extend([Kind::Asked; 2]);
    }
    let package = &mut world.packages[index];
    if package.home == Home::Root {
        kinds.push(Kind::Tracked);
    }
    let mut number = package.parts.len();
    while package.parts.iter().any(|part| part.name == format!("p{number}")) {
        number += 1;
    }
    let name = format!("p{number}");
    let kind = dice.pick(&kinds);
    package.parts.push(Part { name: name.clone(), kind, file: name.clone(), value: dice.value() });
    name
}

/// Makes a change, and returns its description.
fn change(dice: &mut Dice, world: &mut World) -> String {
    loop {
        let index = dice.below(world.packages.len());
        if let Some(about) = change_package(dice, world, index) {
            let package = &mut world.packages[index];
            if package.home == Home::Vendored {
                // Cargo treats a package of a registry as immutable: new content needs a new version.
                package.patch = 1000 + dice.below(9000);
            }
            return format!("{}: {about}", package.name);
        }
        if let Some(about) = change_world(dice, world) {
            return about;
        }
    }
}

fn change_world(dice: &mut Dice, world: &mut World) -> Option<String> {
    match dice.below(12) {
        0 | 1 if world.revision.is_some() => {
            world.revision = Some(dice.below(REVISIONS));
            Some(format!("gitdep at {:?}", world.revision))
        }
        2 => {
            world.opt_level = 1 - world.opt_level;
            Some(format!("opt-level {}", world.opt_level))
        }
        3 | 4 => {
            let broken = dice.below(world.packages.len());
            // Nobody breaks a package of a registry either.
            let is_vendored = world.packages[broken].home == Home::Vendored;
            world.broken = Some(if is_vendored { 0 } else { broken });
            Some(format!("broken: {:?}", world.broken))
        }
        5 if !must_lock(&world.packages) => {
            world.has_lock = !world.has_lock;
            Some(format!("a committed lock file: {}", world.has_lock))
        }
        _ => None,
    }
}

fn change_package(dice: &mut Dice, world: &mut World, index: usize) -> Option<String> {
    if dice.one_in(8) {
        return Some(format!("new {}", add_part(dice, world, index)));
    }
    let package = &mut world.packages[index];
    let part = dice.below(package.parts.len());
    match dice.below(16) {
        0..=4 => {
            let part = &mut package.parts[part];
            part.value = dice.value();
            Some(format!("{} is {}", part.path(), part.value))
        }
        5 => {
            let part = &mut package.parts[part];
            part.file = format!("f{}", dice.value());
            Some(format!("{} is renamed to {}", part.name, part.path()))
        }
        6 if package.parts.len() > 1 => {
            Some(format!("{} is deleted", package.parts.remove(part).path()))
        }
        7 if package.parts.len() > 1 => {
            let value = std::mem::take(&mut package.parts[0].value);
            package.parts[0].value = std::mem::replace(&mut package.parts[1].value, value);
            Some("two values are swapped".to_owned())
        }
        8 => {
            package.comment = dice.value();
            Some("another comment".to_owned())
        }
        9 => Some(change_mode(package)),
        10 | 11 => {
            package.patch += 1;
            Some(format!("version 0.1.{}", package.patch))
        }
        12..=14 if reads_mode(package) => Some(change_mode(package)),
        12..=15 => package.script.as_mut().map(|script| change_script(dice, script)),
        _ => None,
    }
}

fn reads_mode(package: &Package) -> bool {
    package.script.as_ref().is_some_and(|script| script.rule.reads_mode())
}

fn change_mode(package: &mut Package) -> String {
    package.is_executable = !package.is_executable;
    "another mode".to_owned()
}

fn change_script(dice: &mut Dice, script: &mut Script) -> String {
    let names: Vec<_> = script.inputs.keys().cloned().collect();
    let last = names.last().cloned().unwrap_or_default();
    match dice.below(8) {
        0 => {
            script.comment = dice.value();
            "another build script".to_owned()
        }
        1 => {
            let name = dice.pick(&["c", "d/c", "d/e/f"]);
            script.inputs.insert(name.to_owned(), dice.value());
            format!("in/{name} is added or edited")
        }
        2 | 3 if names.len() > 1 => {
            script.inputs.remove(&last);
            format!("in/{last} is deleted")
        }
        4 | 5 if names.len() > 1 => {
            let value = script.inputs.remove(&last).unwrap_or_default();
            let name = format!("{last}{}", dice.below(10));
            script.inputs.insert(name.clone(), value);
            format!("in/{last} is renamed to in/{name}")
        }
        _ => {
            let name = dice.pick(&names);
            let value = dice.value();
            let about = format!("in/{name} is {value}");
            script.inputs.insert(name, value);
            about
        }
    }
}
