//! Leftovers of one lane in and beside a workspace, on which the next job of another lane must not build: a table of
//! events, directories, and ways in which a job may end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use runner_cache::fs::crash::CRASH_POINTS;

use crate::fake_runner::{Done, FakeRunner, Job};
use crate::filesystems::with_filesystem;
use crate::support::{
    Host, INDEX, Result, flock, install_crate, install_repository, lock, lock_repository,
    make_repository, paths, succeed, write,
};

/// The event of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Push,
    Branch(&'static str),
    PullRequest(u64),
    /// A `pull_request_target`, which runs with secrets.
    Target(u64),
    /// A `workflow_run`, which may run anything.
    Workflow,
}

use Event::{Branch, PullRequest, Push, Target, Workflow};
use Way::{Disabled, KeyOnly, Killed, LookupOnly, NotSaved, RestoreOnly, Saved};

/// The course of a job after its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Saved,
    NotSaved,
    Killed,
    RestoreOnly,
    LookupOnly,
    Disabled,
    KeyOnly,
}

/// All directories that cargo builds in, below the runner's directory.
const DIRS: [&str; 4] = [
    "_work/app/app/target",
    "_work/app/lib/target",
    "_work/app/app/fuzz/target",
    "_work/app/app/built",
];

/// A runner whose repository has a dependency beside it, a workspace in it, and a build directory apart.
pub(crate) fn runner() -> Result<FakeRunner> {
    let runner = FakeRunner::new()?;
    runner.commit(&[
        (".gitignore", "target\n/built\n"),
        ("fuzz/Cargo.toml", "[package]\nname = \"fuzz\"\nversion = \"0.1.0\"\n[workspace]\n"),
        ("fuzz/src/main.rs", "fn main() {}\n"),
    ])?;
    let lib = [
        (".gitignore", "target\n"),
        ("Cargo.toml", "[package]\nname = \"lib\"\nversion = \"0.1.0\"\n"),
        ("src/lib.rs", "// lib\n"),
    ];
    runner.commit_to(&runner.path("origin/lib"), &lib)?;
    check_out(&runner)?;
    Ok(runner)
}

/// Checks everything out into empty directories.
pub(crate) fn check_out(runner: &FakeRunner) -> Result {
    runner.check_out()?;
    let lib = runner.path("_work/app/lib");
    if lib.exists() {
        fs::remove_dir_all(&lib)?;
    }
    let mut git = runner.git(&runner.path(""));
    succeed(git.args(["clone", "-q"]).arg(runner.path("origin/lib")).arg(lib))
}

pub(crate) fn job<'r>(runner: &'r FakeRunner, event: Event, inputs: &[(&str, &str)]) -> Job<'r> {
    let mut job = runner.job(&[("dependencies", "lib"), ("hot-trees", "0")]);
    for (name, value) in inputs {
        job.input(name, value);
    }
    job.set("CARGO_BUILD_BUILD_DIR", &runner.path("_work/app/app/built").to_string_lossy());
    match event {
        Push => {}
        Branch(name) => job.of_push_to(name),
        PullRequest(number) => job.of_pull_request(number),
        Target(number) => {
            job.of_pull_request(number);
            job.set("GITHUB_EVENT_NAME", "pull_request_target");
        }
        Workflow => job.set("GITHUB_EVENT_NAME", "workflow_run"),
    }
    job
}

/// Pretends to build: `who` leaves a file in each directory.
pub(crate) fn build(runner: &FakeRunner, who: &str) -> Result {
    build_in(runner, &DIRS, who)
}

fn build_in(runner: &FakeRunner, dirs: &[&str], who: &str) -> Result {
    for dir in dirs {
        write(&runner.path(dir), ".rustc_info.json", "{}")?;
        write(&runner.path(dir), format!("debug/by-{who}"), who)?;
    }
    Ok(())
}

/// Returns the directories with a build of `who`.
pub(crate) fn built_by(runner: &FakeRunner, who: &str) -> BTreeSet<&'static str> {
    let is_there = |dir: &&str| runner.path(dir).join(format!("debug/by-{who}")).exists();
    DIRS.into_iter().filter(is_there).collect()
}

fn inputs_of(way: Way) -> &'static [(&'static str, &'static str)] {
    match way {
        Saved | Killed => &[],
        NotSaved => &[("save-if", "never")],
        RestoreOnly => &[("mode", "restore")],
        LookupOnly => &[("lookup-only", "true")],
        Disabled => &[("enabled", "false")],
        KeyOnly => &[("mode", "key")],
    }
}

/// Runs a job to the end that `way` names; returns its main step.
fn run(runner: &FakeRunner, event: Event, way: Way, who: &str) -> Result<Done> {
    let mut job = job(runner, event, inputs_of(way));
    let main = job.main()?.ok()?;
    build(runner, who)?;
    if way != Way::Killed {
        let post = job.post("success")?.ok()?;
        assert_eq!(post.annotations("warning"), [""; 0], "{}", post.log);
    }
    Ok(main)
}

/// A job, how it ends, the next job, and whether that one finds the build of the first.
type Row = (Event, Way, Event, bool);

#[rustfmt::skip]
const ROWS: [Row; 19] = [
    // first            way          next              what the first left is there
    (PullRequest(7),    Saved,       Push,             false),
    (PullRequest(7),    NotSaved,    Push,             false),
    (PullRequest(7),    Killed,      Push,             false),
    (PullRequest(7),    RestoreOnly, Push,             false),
    (PullRequest(7),    LookupOnly,  Push,             false),
    (PullRequest(7),    Disabled,    Push,             false),
    (PullRequest(7),    KeyOnly,     Push,             false),
    (PullRequest(7),    Saved,       PullRequest(8),   false),
    (PullRequest(7),    Killed,      Branch("fix"),    false),
    (PullRequest(7),    NotSaved,    Target(7),        false),
    (Target(7),         Killed,      PullRequest(7),   false),
    (Target(7),         NotSaved,    Push,             false),
    (Workflow,          Killed,      Push,             false),
    (Branch("fix"),     NotSaved,    Push,             false),
    (Branch("fix"),     Killed,      Branch("other"),  false),
    (Push,              Saved,       Push,             true),
    (Push,              Killed,      Push,             true),
    (Push,              Saved,       PullRequest(7),   true),
    (PullRequest(7),    Saved,       PullRequest(7),   true),
];

#[test]
fn a_job_builds_on_nothing_that_a_lane_left_which_it_may_not_read() -> Result {
    let mut wrong = Vec::new();
    for (first, way, next, is_kept) in ROWS {
        let why = format!("{first:?} {way:?} {next:?}");
        let runner = runner()?;
        run(&runner, first, way, "first")?;
        assert_eq!(built_by(&runner, "first").len(), DIRS.len(), "{why}");
        let mut second = job(&runner, next, &[]);
        let main = second.main()?.ok()?;
        let mut want: BTreeSet<_> = if is_kept { DIRS.into() } else { BTreeSet::new() };
        if way == Killed {
            // Only a save records a further target that a job made.
            want.remove("_work/app/app/fuzz/target");
        }
        let got = built_by(&runner, "first");
        if got != want {
            wrong.push(format!("{why}: {got:?} are there: {}", main.log));
        }
        let is_told = main.log.contains("is set aside: ") && main.summary.contains("is set aside");
        if is_told == is_kept && way != Killed {
            wrong.push(format!("{why}: {}", main.log));
        }
        build(&runner, "second")?;
        let post = second.post("success")?.ok()?;
        assert_eq!(post.annotations("warning"), [""; 0], "{why}: {}", post.log);
        // The lane gets the generation that the job saved.
        check_out(&runner)?;
        let mut third = job(&runner, next, &[]);
        let main = third.main()?.ok()?;
        let (first, second) = (built_by(&runner, "first"), built_by(&runner, "second"));
        if first != want || second.len() != DIRS.len() {
            wrong.push(format!("{why}: {first:?} and {second:?} were saved: {}", main.log));
        }
        third.post("success")?.ok()?;
        runner.verify().map_err(|error| format!("{why}: {error}"))?;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

/// The sources in the shared home of cargo that a build compiles: of a registry's crate, and of a git dependency.
pub(crate) fn home_sources() -> [String; 2] {
    let crate_dir = format!("home/.cargo/registry/src/{INDEX}/{FOO}");
    [format!("{crate_dir}/src/lib.rs"), format!("home/.cargo/git/checkouts/{GIT}/src/lib.rs")]
}

const FOO: &str = "foo-1.0.0";

/// The directory of a checkout.
const GIT: &str = "lib-0123456789abcdef/COMMIT";

/// Returns the path of one of [`home_sources`].
pub(crate) fn at(runner: &FakeRunner, path: &str) -> Result<PathBuf> {
    let commit = runner.head(&runner.path("origin/git/lib"))?;
    Ok(runner.path(&path.replace("COMMIT", &commit[..7])))
}

/// Makes the repository depend on a crate and on a git repository, and fetches both as cargo does.
pub(crate) fn depend(runner: &FakeRunner) -> Result {
    let origin = runner.path("origin/git/lib");
    let commit = make_repository(&origin, "// good\n")?;
    lock(&runner.path("origin/app"), "app", &[FOO])?;
    lock_repository(&runner.path("origin/app"), &commit)?;
    runner.commit(&[])?;
    check_out(runner)?;
    let home = runner.path("home/.cargo");
    install_crate(&home, FOO)?;
    install_repository(&home, &origin, &commit)
}

/// Returns the sources in the home that a job has edited.
pub(crate) fn edited(runner: &FakeRunner) -> Result<Vec<String>> {
    let mut edited = Vec::new();
    for path in home_sources() {
        let text = fs::read_to_string(at(runner, &path)?).unwrap_or_default();
        if text.contains("evil") {
            edited.push(path);
        }
    }
    Ok(edited)
}

/// The same jobs, with a home of cargo that they share: no lane builds, and no job saves, the edits of another lane.
#[test]
fn a_job_compiles_no_source_that_a_lane_edited_which_it_may_not_read() -> Result {
    let mut wrong = Vec::new();
    for (first, way, next, is_kept) in ROWS {
        for is_stored in [true, false] {
            let why = format!("{first:?} {way:?} {next:?}, stored: {is_stored}");
            let runner = runner()?;
            depend(&runner)?;
            if is_stored {
                run(&runner, Push, Saved, "before")?;
            }
            let inputs = inputs_of(way);
            let mut evil = job(&runner, first, inputs);
            evil.main()?.ok()?;
            for path in home_sources() {
                let path = at(&runner, &path)?;
                let text = fs::read_to_string(&path)?;
                fs::write(&path, text + "// evil\n")?;
            }
            build(&runner, "first")?;
            if way != Killed {
                evil.post("success")?.ok()?;
            }
            let mut second = job(&runner, next, &[]);
            let main = second.main()?.ok()?;
            if !is_kept && !edited(&runner)?.is_empty() {
                wrong.push(format!("{why}: {:?} are edited: {}", edited(&runner)?, main.log));
            }
            let all_there =
                home_sources().iter().all(|path| at(&runner, path).is_ok_and(|it| it.exists()));
            if is_stored && !is_kept && !all_there {
                wrong.push(format!("{why}: not all that was stored is there: {}", main.log));
            }
            build(&runner, "second")?;
            second.post("success")?.ok()?;
            // The lane gets the generation that the job saved.
            fs::remove_dir_all(runner.path("home/.cargo"))?;
            check_out(&runner)?;
            let mut third = job(&runner, next, &[]);
            let main = third.main()?.ok()?;
            if !edited(&runner)?.is_empty() {
                wrong.push(format!("{why}: {:?} were saved: {}", edited(&runner)?, main.log));
            }
            third.post("success")?.ok()?;
            runner.verify().map_err(|error| format!("{why}: {error}"))?;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

/// A job that keeps no part of the home still builds from it.
#[test]
fn a_source_that_a_lane_edited_is_not_compiled_whatever_areas_are_kept() -> Result {
    for areas in ["target", "target,dependencies", "target,git"] {
        for leftovers in ["set-aside", "keep"] {
            let why = format!("{areas}, {leftovers}");
            let runner = runner()?;
            depend(&runner)?;
            let mut evil = job(&runner, PullRequest(7), &[]);
            evil.main()?.ok()?;
            for path in home_sources() {
                let path = at(&runner, &path)?;
                let text = fs::read_to_string(&path)?;
                fs::write(&path, text + "// evil\n")?;
            }
            let inputs = [("areas", areas), ("leftovers", leftovers)];
            let main = job(&runner, Push, &inputs).main()?.ok()?;
            let mut want = if leftovers == "keep" { home_sources().to_vec() } else { Vec::new() };
            // Kept areas are checked in any case.
            want.retain(|path| !areas.contains("git") || !path.contains("/git/"));
            assert_eq!(edited(&runner)?, want, "{why}: {}", main.log);
        }
    }
    Ok(())
}

/// Cargo reads the home while the first step would remove wrong parts: then the job builds from them, and saves no
/// target.
#[test]
fn a_target_that_may_be_built_from_what_another_lane_edited_is_not_saved() -> Result {
    for areas in ["target,dependencies,registry,git", "target"] {
        let runner = runner()?;
        depend(&runner)?;
        job(&runner, PullRequest(7), &[]).main()?.ok()?;
        let source = at(&runner, &home_sources()[0])?;
        fs::write(&source, "// evil\n")?;
        let mut second = job(&runner, Push, &[("areas", areas)]);
        let reading = fs::File::options()
            .append(true)
            .create(true)
            .open(runner.path("home/.cargo/.package-cache-mutate"))?;
        rustix::fs::flock(&reading, rustix::fs::FlockOperation::NonBlockingLockShared)?;
        let main = second.main()?.ok()?;
        assert!(main.log.contains("it cannot be removed"), "{areas}: {}", main.log);
        drop(reading);
        build(&runner, "second")?;
        let post = second.post("success")?.ok()?;
        assert!(
            post.log.contains("is not saved: it may have been built from"),
            "{areas}: {}",
            post.log
        );
        check_out(&runner)?;
        let main = job(&runner, Push, &[("areas", areas)]).main()?.ok()?;
        assert_eq!(built_by(&runner, "second"), BTreeSet::new(), "{areas}: {}", main.log);
    }
    Ok(())
}

/// A build script writes into its own source. The job fetched that source itself, so the edit is its own.
#[test]
fn a_target_built_from_a_source_that_changed_in_the_same_job_is_saved() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    let home = runner.path("home/.cargo");
    fs::remove_dir_all(&home)?;
    let mut first = job(&runner, Push, &[]);
    first.main()?.ok()?;
    install_crate(&home, FOO)?;
    let source = at(&runner, &home_sources()[0])?;
    fs::write(&source, "// made\n")?;
    build(&runner, "first")?;
    let post = first.post("success")?.ok()?;
    assert!(post.log.contains("is not saved: `src/lib.rs` differs from"), "{}", post.log);
    check_out(&runner)?;
    job(&runner, Push, &[]).main()?.ok()?;
    assert!(built_by(&runner, "first").contains("_work/app/app/target"), "{}", post.log);
    Ok(())
}

/// An instrumented build script leaves its profile where it runs: in the restored source of its crate.
#[test]
fn a_target_is_saved_though_a_build_script_left_a_profile_in_its_source() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    let profile = at(&runner, &home_sources()[0])?.with_file_name("default_1_2.profraw");
    for who in ["first", "second"] {
        if who == "second" {
            fs::remove_dir_all(runner.path("home/.cargo"))?;
        }
        check_out(&runner)?;
        let mut push = job(&runner, Push, &[]);
        push.main()?.ok()?;
        assert!(!profile.exists(), "{who}");
        fs::write(&profile, "raw")?;
        build(&runner, who)?;
        let post = push.post("success")?.ok()?;
        assert_eq!(post.annotations("warning"), [""; 0], "{who}: {}", post.log);
    }
    check_out(&runner)?;
    job(&runner, Push, &[]).main()?.ok()?;
    assert!(built_by(&runner, "second").contains("_work/app/app/target"));
    Ok(())
}

/// A job without the program records nothing. Its builds after the last save still show.
#[test]
fn a_build_without_the_action_after_a_save_is_set_aside_where_nothing_replaces_it() -> Result {
    for (key, is_kept) in [("other", false), ("same", true)] {
        let runner = runner()?;
        let mut first = job(&runner, Push, &[("key", "same")]);
        first.main()?.ok()?;
        build(&runner, "first")?;
        first.post("success")?.ok()?;
        if !is_kept {
            // No generation can be restored: only the leftovers remain.
            fs::remove_dir_all(runner.store().join("series"))?;
            fs::create_dir(runner.store().join("series"))?;
            build(&runner, "stranger")?;
        }
        let main = job(&runner, Push, &[("key", key)]).main()?.ok()?;
        assert_eq!(built_by(&runner, "stranger"), [].into(), "{}", main.log);
        assert_eq!(built_by(&runner, "first").len(), if is_kept { 4 } else { 0 }, "{}", main.log);
        assert_eq!(main.log.contains("something was built there after"), !is_kept, "{}", main.log);
    }
    Ok(())
}

/// A push ended with an empty directory, so files that are there later are not its own. The next job recorded nothing:
/// it did not use the program, or did not name the directory.
#[test]
fn a_directory_that_appears_where_a_save_found_nothing_is_set_aside() -> Result {
    for is_declared in [None, Some(false)] {
        for built in [[].as_slice(), &DIRS[..1]] {
            let why = format!("declared: {is_declared:?}, {built:?} built");
            let runner = runner()?;
            let mut push = job(&runner, Push, &[]);
            push.main()?.ok()?;
            build_in(&runner, built, "push")?;
            push.post("success")?.ok()?;
            let missing: Vec<_> = DIRS.into_iter().filter(|dir| !built.contains(dir)).collect();
            if is_declared.is_some() {
                let inputs = [("dependencies", ""), ("areas", "registry"), ("target-dir", "out")];
                let mut evil = job(&runner, PullRequest(7), &inputs);
                evil.main()?.ok()?;
                build_in(&runner, &missing, "evil")?;
                evil.post("success")?.ok()?;
            } else {
                build_in(&runner, &missing, "evil")?;
            }
            let mut push = job(&runner, Push, &[]);
            let main = push.main()?.ok()?;
            assert_eq!(built_by(&runner, "evil"), [].into(), "{why}: {}", main.log);
            build(&runner, "push")?;
            push.post("success")?.ok()?;
            check_out(&runner)?;
            let main = job(&runner, Push, &[]).main()?.ok()?;
            assert_eq!(built_by(&runner, "evil"), [].into(), "{why}: {}", main.log);
            assert_eq!(built_by(&runner, "push").len(), DIRS.len(), "{why}: {}", main.log);
        }
    }
    Ok(())
}

/// The push was killed, so the files in its directories are its own. But they were gone when the next job began, which
/// builds in these directories and names others.
#[test]
fn a_target_that_was_gone_when_another_lane_began_does_not_belong_to_the_lane_before() -> Result {
    let ways = [Saved, NotSaved, Killed, RestoreOnly, LookupOnly, Disabled, KeyOnly];
    for way in ways {
        for is_left in [false, true] {
            let why = format!("{way:?}, is there: {is_left}");
            let runner = runner()?;
            run(&runner, Push, Killed, "push")?;
            if !is_left {
                check_out(&runner)?;
            }
            let mut inputs = inputs_of(way).to_vec();
            inputs.extend([("dependencies", ""), ("target-dir", "out")]);
            let mut evil = job(&runner, PullRequest(7), &inputs);
            evil.set("CARGO_BUILD_BUILD_DIR", &runner.path("_work/app/app/out").to_string_lossy());
            evil.main()?.ok()?;
            // Leftovers in a dependency that the job does not name count as the push's.
            let dirs = if is_left { [DIRS[0], DIRS[3]].to_vec() } else { DIRS.to_vec() };
            build_in(&runner, &dirs, "evil")?;
            if way != Killed {
                evil.post("success")?.ok()?;
            }
            let main = job(&runner, Push, &[]).main()?.ok()?;
            assert_eq!(built_by(&runner, "evil"), [].into(), "{why}: {}", main.log);
        }
    }
    Ok(())
}

#[test]
fn a_host_that_adopts_the_action_is_told_that_what_lies_there_goes() -> Result {
    for (leftovers, is_kept) in [("set-aside", false), ("keep", true)] {
        let runner = runner()?;
        build(&runner, "somebody")?;
        let mut first = job(&runner, Push, &[("leftovers", leftovers)]);
        let main = first.main()?.ok()?;
        let left = built_by(&runner, "somebody");
        assert_eq!(left.len(), if is_kept { DIRS.len() } else { 0 }, "{left:?} {}", main.log);
        for dir in DIRS {
            let path = runner.path(dir);
            let line =
                format!("`{}` is set aside: nothing records which job built there", path.display());
            assert_eq!(main.log.contains(&line), !is_kept, "{}", main.log);
        }
        build(&runner, "first")?;
        let post = first.post("success")?.ok()?;
        assert_eq!(post.annotations("warning"), [""; 0], "{leftovers}: {}", post.log);
        let main = job(&runner, Push, &[("leftovers", leftovers)]).main()?.ok()?;
        assert!(!main.log.contains("set aside"), "{}", main.log);
        assert_eq!(built_by(&runner, "first").len(), DIRS.len());
    }
    Ok(())
}

/// A hot tree of a pull request, and the mirror and the private home that its job used.
#[test]
fn nothing_of_a_pull_request_reaches_a_push_beside_the_workspace() -> Result {
    let runner = runner()?;
    let inputs = [("hot-trees", "2"), ("cargo-home", "private")];
    let in_home = |runner: &FakeRunner, job: &mut Job<'_>| -> Result<PathBuf> {
        let homes = fs::read_dir(runner.store().join("homes"))?;
        let homes: std::io::Result<Vec<_>> = homes.map(|home| Ok(home?.path())).collect();
        let home = homes?.into_iter().find(|home| home.is_dir()).ok_or("no home")?;
        job.set("CARGO_HOME", &home.to_string_lossy());
        Ok(home)
    };
    for (event, before, who) in
        [(Push, "", "push"), (PullRequest(7), "push", "evil"), (Push, "push", "last")]
    {
        let mut job = job(&runner, event, &inputs);
        let main = job.main()?.ok()?;
        let home = in_home(&runner, &mut job)?;
        assert_eq!(built_by(&runner, "evil"), [].into(), "{event:?}: {}", main.log);
        let count = if before.is_empty() { 0 } else { DIRS.len() };
        assert_eq!(built_by(&runner, before).len(), count, "{event:?}: {}", main.log);
        assert!(!home.join("registry/evil").exists(), "{event:?}");
        assert!(!home.join("config.toml").exists(), "{event:?}");
        build(&runner, who)?;
        write(&home, format!("registry/{who}"), who)?;
        if who == "evil" {
            write(&home, "config.toml", "[build]\nrustc-wrapper = \"evil\"\n")?;
        }
        let post = job.post("success")?.ok()?;
        assert_eq!(post.annotations("warning"), [""; 0], "{event:?}: {}", post.log);
        assert_eq!(built_by(&runner, who), [].into(), "it was not parked: {}", post.log);
    }
    // The lane that owns the home keeps its contents.
    let mut last = job(&runner, Push, &inputs);
    last.main()?.ok()?;
    assert!(in_home(&runner, &mut last)?.join("registry/last").exists());
    runner.verify()
}

#[test]
fn commits_that_a_pull_request_fetched_into_a_mirror_are_not_checked_out_by_a_push() -> Result {
    let runner = FakeRunner::new()?;
    let origin = runner.path("server/owner/lib");
    let manifest = ("Cargo.toml", "[package]\nname = \"lib\"\nversion = \"0.1.0\"\n");
    runner.commit_to(&origin, &[manifest, ("src/lib.rs", "// good\n")])?;
    succeed(runner.git(&origin).args(["switch", "-q", "-c", "evil"]))?;
    runner.commit_to(&origin, &[("src/lib.rs", "// evil\n")])?;
    succeed(runner.git(&origin).args(["switch", "-q", "main"]))?;
    let server = format!("file://{}", runner.path("server").display());
    for (event, git_ref, want) in
        [(PullRequest(7), "evil", "// evil\n"), (Push, "main", "// good\n")]
    {
        let mut job = runner.job(&[("dependencies", &format!("owner/lib@{git_ref}"))]);
        if event != Push {
            job.of_pull_request(7);
        }
        job.set("GITHUB_SERVER_URL", &server);
        let main = job.main()?.ok()?;
        let text = fs::read_to_string(runner.path("_work/app/lib/src/lib.rs"))?;
        assert_eq!(text, want, "{event:?}: {}", main.log);
        // Uncommitted work is no part of the next checkout.
        write(&runner.path("_work/app/lib"), "src/lib.rs", "// edited\n")?;
    }
    Ok(())
}

/// A target that cannot simply be renamed, or that is not cargo's alone.
#[test]
fn a_push_finds_nothing_in_a_target_of_any_kind_or_does_not_save_it() -> Result {
    type Make = fn(&FakeRunner, &Path) -> Result;
    #[rustfmt::skip]
    let cases: [(&str, Make); 12] = [
        ("shut", |_, target| Ok(fs::set_permissions(target, PermissionsExt::from_mode(0o0))?)),
        ("a directory in it is shut", |_, target| {
            Ok(fs::set_permissions(target.join("debug"), PermissionsExt::from_mode(0o0))?)
        }),
        ("a link in it leads out", |runner, target| {
            Ok(symlink(runner.path("outside"), target.join("debug/link"))?)
        }),
        ("a link to a target on another disk", |runner, target| {
            fs::rename(target, runner.path("disk"))?;
            Ok(symlink(runner.path("disk"), target)?)
        }),
        ("a link to what is no target", |runner, target| {
            fs::remove_dir_all(target)?;
            Ok(symlink(runner.path("outside"), target)?)
        }),
        ("a link to a checkout", |runner, target| {
            fs::remove_dir_all(target)?;
            Ok(symlink(runner.path("_work/app/lib"), target)?)
        }),
        ("a link that leads nowhere", |_, target| {
            fs::remove_dir_all(target)?;
            Ok(symlink("nowhere", target)?)
        }),
        ("a link to the target of another project", |runner, target| {
            fs::remove_dir_all(target)?;
            write(&runner.path("outside"), "CACHEDIR.TAG", TAG)?;
            write(&runner.path("outside"), ".rustc_info.json", "{}")?;
            Ok(symlink(runner.path("outside"), target)?)
        }),
        ("a link to itself", |_, target| {
            fs::remove_dir_all(target)?;
            Ok(symlink("target", target)?)
        }),
        ("a link to a file", |runner, target| {
            fs::remove_dir_all(target)?;
            Ok(symlink(runner.path("outside/kept"), target)?)
        }),
        ("a file", |_, target| {
            fs::remove_dir_all(target)?;
            Ok(fs::write(target, "evil")?)
        }),
        ("a fifo", |_, target| {
            fs::remove_dir_all(target)?;
            succeed(Command::new("mkfifo").arg(target))
        }),
    ];
    for (why, make) in cases {
        let runner = runner()?;
        run(&runner, PullRequest(7), Way::Killed, "evil")?;
        write(&runner.path("outside"), "kept", "kept")?;
        write(&runner.path("outside"), "debug/by-evil", "evil")?;
        let target = runner.path(DIRS[0]);
        make(&runner, &target)?;
        let main = job(&runner, Push, &[]).main()?.ok()?;
        assert_eq!(main.annotations("warning"), [""; 0], "{why}: {}", main.log);
        assert_eq!(built_by(&runner, "evil"), [].into(), "{why}: {}", main.log);
        assert!(runner.path("outside/kept").exists(), "{why}");
        assert!(runner.path("_work/app/lib/Cargo.toml").exists(), "{why}");
        assert!(!target.is_symlink(), "{why}");
        assert!(!target.exists() || target.is_dir(), "{why}");
        let staged = paths(&runner.path("_work"))?.into_iter();
        let staged = staged.filter(|path| path.to_string_lossy().contains(".runner-cache-"));
        assert_eq!(staged.collect::<Vec<_>>(), [] as [PathBuf; 0], "{why}");
    }
    Ok(())
}

/// The tag that cargo writes into a directory it makes.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by cargo.\n";

/// The store knows a target that lies on another disk from the first job on.
#[test]
fn a_link_to_a_target_of_the_repository_goes_with_what_lies_there() -> Result {
    let runner = runner()?;
    let (target, disk) = (runner.path(DIRS[0]), runner.path("disk"));
    fs::create_dir(&disk)?;
    symlink(&disk, &target)?;
    let main = job(&runner, PullRequest(7), &[]).main()?.ok()?;
    assert!(target.is_symlink(), "nothing was there: {}", main.log);
    write(&disk, "CACHEDIR.TAG", TAG)?;
    build(&runner, "evil")?;
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert_eq!(built_by(&runner, "evil"), [].into(), "{}", main.log);
    assert!(!target.is_symlink() && disk.is_dir(), "{}", main.log);
    assert_eq!(paths(&disk)?.len(), 0, "{}", main.log);
    Ok(())
}

/// `CARGO_TARGET_DIR` names a directory in which somebody keeps other files.
#[test]
fn files_that_cargo_did_not_make_in_a_target_directory_are_neither_removed_nor_kept() -> Result {
    let runner = runner()?;
    let data = runner.path("data");
    let job_in = |event| {
        let mut job = job(&runner, event, &[]);
        job.set("CARGO_TARGET_DIR", &data.to_string_lossy());
        job
    };
    let build = |who: &str| -> Result {
        write(&data, ".rustc_info.json", "{}")?;
        write(&data, format!("debug/by-{who}"), who)?;
        write(&data, format!("ci/.fingerprint/by-{who}"), who)
    };
    let is_built = |who: &str| {
        let below = ["debug", "ci/.fingerprint"];
        below.map(|below| data.join(below).join(format!("by-{who}")).exists())
    };
    write(&data, "sets/p", "precious")?;
    build("somebody")?;
    for (event, who, before) in
        [(Push, "push", ""), (PullRequest(7), "evil", "push"), (Push, "last", "push")]
    {
        let mut job = job_in(event);
        let main = job.main()?.ok()?;
        assert_eq!(is_built("somebody"), [false; 2], "{event:?}: {}", main.log);
        assert_eq!(is_built(before), [!before.is_empty(); 2], "{event:?}: {}", main.log);
        if event == Push {
            assert_eq!(is_built("evil"), [false; 2], "{event:?}: {}", main.log);
        }
        assert_eq!(fs::read_to_string(data.join("sets/p"))?, "precious", "{}", main.log);
        build(who)?;
        let post = job.post("success")?.ok()?;
        assert_eq!(post.annotations("warning"), [""; 0], "{event:?}: {}", post.log);
    }
    fs::remove_dir_all(&data)?;
    let main = job_in(Push).main()?.ok()?;
    assert_eq!(is_built("last"), [true; 2], "{}", main.log);
    assert!(!data.join("sets").exists(), "{}", main.log);
    // A directory that cargo may or may not build in.
    fs::remove_dir_all(&data)?;
    write(&data, "debug/by-evil", "evil")?;
    write(&data, "miri/.rustc_info.json", "{}")?;
    fs::remove_dir_all(runner.store().join("trees"))?;
    let main = job_in(Push).main()?.ok()?;
    main.annotates("warning", "it is a target of its own in a directory that cargo did not make")?;
    assert!(data.join("miri").exists(), "{}", main.log);
    Ok(())
}

/// The end of such a link is no part of the target: later builds there leave no trace in the target.
#[test]
fn a_target_that_cargo_builds_through_to_elsewhere_is_neither_saved_nor_restored() -> Result {
    #[rustfmt::skip]
    let cases = [
        // link                        saved
        ("debug",                      false),
        ("ci",                         false),
        ("debug/deps",                 false),
        ("debug/build/app-1/out",      false),
        ("debug/build/app-1/out/sys",  true),
        ("debug/assets",               true),
        ("assets",                     true),
    ];
    for (link, is_saved) in cases {
        let runner = runner()?;
        let (target, disk) = (runner.path(DIRS[0]), runner.path("disk"));
        let below = if is_saved { "of-others" } else { ".fingerprint" };
        fs::create_dir_all(disk.join(below))?;
        let mut push = job(&runner, Push, &[]);
        push.main()?.ok()?;
        write(&target, "other/by-push", "push")?;
        let at = target.join(link);
        fs::create_dir_all(at.parent().ok_or("no parent")?)?;
        symlink(&disk, &at)?;
        let post = push.post("success")?.ok()?;
        let why = format!("cargo builds through the symlink `{link}`, which leads out of it");
        assert_eq!(post.log.contains(&why), !is_saved, "{link}: {}", post.log);
        check_out(&runner)?;
        let main = job(&runner, Push, &[]).main()?.ok()?;
        assert_eq!(at.is_symlink(), is_saved, "{link}: {}", main.log);
        assert_eq!(target.join("other/by-push").exists(), is_saved, "{link}: {}", main.log);
    }
    // A link that led inside leads outside if the tree is restored elsewhere.
    let runner = runner()?;
    let job_in = |dir: &str| {
        let mut job = job(&runner, Push, &[]);
        job.set("CARGO_TARGET_DIR", &runner.path(dir).to_string_lossy());
        job
    };
    let mut push = job_in("one");
    push.main()?.ok()?;
    write(&runner.path("one"), "CACHEDIR.TAG", TAG)?;
    write(&runner.path("one"), "release/by-push", "push")?;
    symlink(runner.path("one/release"), runner.path("one/debug"))?;
    let post = push.post("success")?.ok()?;
    assert_eq!(post.annotations("warning"), [""; 0], "{}", post.log);
    let main = job_in("two").main()?.ok()?;
    main.annotates("warning", "cargo builds through the symlink `debug`")?;
    assert!(!runner.path("two/debug").is_symlink(), "{}", main.log);
    Ok(())
}

#[test]
fn files_of_the_checkout_in_a_target_stay_when_it_is_set_aside() -> Result {
    let runner = runner()?;
    runner.commit(&[
        (".gitignore", "target/*\n!target/idl\n/built\n"),
        ("target/idl/app.json", "{}\n"),
    ])?;
    check_out(&runner)?;
    let idl = runner.path("_work/app/app/target/idl/app.json");
    let before = (fs::metadata(&idl)?.ino(), fs::metadata(&idl)?.modified()?);
    run(&runner, PullRequest(7), Way::Killed, "evil")?;
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert_eq!(built_by(&runner, "evil"), [].into(), "{}", main.log);
    assert_eq!((fs::metadata(&idl)?.ino(), fs::metadata(&idl)?.modified()?), before);
    Ok(())
}

#[test]
fn a_target_that_cannot_be_set_aside_is_not_saved_and_said() -> Result {
    let runner = runner()?;
    run(&runner, PullRequest(7), Way::Killed, "evil")?;
    let lock = runner.path(DIRS[0]).join("debug/.cargo-lock");
    write(&runner.path(DIRS[0]), "debug/.cargo-lock", "")?;
    let building = flock(&lock)?;
    let mut push = job(&runner, Push, &[]);
    let main = push.main()?.ok()?;
    main.annotates("warning", "cannot be set aside and is not saved unless")?;
    assert_eq!(built_by(&runner, "evil"), [DIRS[0]].into(), "{}", main.log);
    drop(building);
    build(&runner, "push")?;
    let post = push.post("success")?.ok()?;
    post.annotates("warning", "is not saved: owner/app@pr/7 built there last")?;
    assert!(!runner.list()?.contains(&"owner/app@protected target".to_owned()));
    // The next job sets it aside.
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert_eq!(built_by(&runner, "evil"), [].into(), "{}", main.log);
    Ok(())
}

/// A person in a checkout of their own finds every file in its place.
#[test]
fn on_the_command_line_nothing_is_set_aside_unless_asked() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/evil", "evil")?;
    host.restore_with(&["--lane", "pr/7"])?.done()?;
    let restored = host.restore()?.done()?;
    assert_eq!(restored.report.get("set_aside"), None, "{}", restored.stderr);
    assert!(host.target().join("debug/evil").exists());
    let aside = ["--leftovers", "set-aside"];
    let refused = host.save_with(&["--lane", "pr/7"])?.done()?;
    assert_eq!(refused.mode("target"), "published", "without being asked");
    let refused = host.save_with(&aside)?.done()?;
    refused.says(&["is not saved: ", "@pr/7 built there last"])?;
    assert_eq!(refused.mode("target"), "nothing");
    let restored = host.restore_with(&aside)?.done()?;
    assert!(!host.target().exists());
    let why = restored.report["set_aside"][0]["why"].as_str().unwrap_or_default();
    assert!(why.ends_with("@pr/7 built there last, and this job may not read that scope"), "{why}");
    let path = restored.report["set_aside"][0]["path"].as_str();
    assert_eq!(path, host.target().to_str());
    restored.says(&["is set aside: "])?;
    assert_eq!(host.leftovers()?, [] as [PathBuf; 0]);
    Ok(())
}

/// A job builds in a mounted disk, which cannot be renamed.
#[test]
fn a_target_that_is_a_mount_point_is_emptied() -> Result {
    with_filesystem("leftovers::a_target_that_is_a_mount_point_is_emptied", "ext4", "64M", |disk| {
        let mut host = Host::new()?;
        host.set("CARGO_TARGET_DIR", disk);
        write(disk, ".rustc_info.json", "{}")?;
        write(disk, "debug/evil", "evil")?;
        let restored = host.restore_with(&["--leftovers", "set-aside"])?.done()?;
        assert!(!disk.join("debug").exists(), "{}", restored.stderr);
        assert!(disk.join("lost+found").exists());
        assert_eq!(restored.report["set_aside"].as_array().map(Vec::len), Some(1));
        Ok(())
    })
}

/// A killed main step has set aside only a part of the leftovers, or none, and its post step still runs.
#[test]
fn a_main_step_that_is_killed_lets_no_leftover_into_its_lane() -> Result {
    for point in CRASH_POINTS.iter().filter(|point| point.starts_with("restore: ")) {
        for first in [Some(PullRequest(7)), None] {
            let runner = runner()?;
            run(&runner, Push, Way::Saved, "push")?;
            if let Some(event) = first {
                run(&runner, event, Way::Killed, "evil")?;
            } else {
                // No record is left.
                fs::remove_dir_all(runner.store().join("trees"))?;
                build(&runner, "evil")?;
            }
            let mut push = job(&runner, Push, &[]);
            push.set("RUNNER_CACHE_CRASH_AT", point);
            let main = push.main()?;
            assert_eq!(main.status, None, "{point}: {}", main.log);
            push.set("RUNNER_CACHE_CRASH_AT", "");
            push.post("failure")?.ok()?;
            check_out(&runner)?;
            let main = job(&runner, Push, &[]).main()?.ok()?;
            assert_eq!(built_by(&runner, "evil"), [].into(), "{point} {first:?}: {}", main.log);
        }
    }
    Ok(())
}

#[test]
fn a_target_that_another_lane_takes_meanwhile_is_not_saved() -> Result {
    let runner = runner()?;
    let shared = runner.path("shared");
    let job_in = |event| {
        let mut job = job(&runner, event, &[]);
        job.set("CARGO_TARGET_DIR", &shared.to_string_lossy());
        job
    };
    let mut push = job_in(Push);
    push.main()?.ok()?;
    let mut pull_request = job_in(PullRequest(7));
    pull_request.main()?.ok()?;
    write(&shared, ".rustc_info.json", "{}")?;
    write(&shared, "debug/by-both", "both")?;
    let post = push.post("success")?.ok()?;
    post.annotates("warning", "is not saved: owner/app@pr/7 built there last")?;
    pull_request.post("success")?.ok()?;
    assert_eq!(runner.list()?, ["owner/app@pr/7 target"], "{}", post.log);
    let main = job_in(Push).main()?.ok()?;
    assert!(!shared.join("debug").exists(), "{}", main.log);
    Ok(())
}

/// The job before was killed, so its builds are its own. Only the record tells that another lane came in between.
#[test]
fn a_job_that_restores_nothing_is_recorded_too() -> Result {
    for way in [Way::Disabled, Way::LookupOnly, Way::KeyOnly, Way::RestoreOnly] {
        let runner = runner()?;
        run(&runner, Push, Way::Killed, "push")?;
        run(&runner, PullRequest(7), way, "evil")?;
        let main = job(&runner, Push, &[]).main()?.ok()?;
        assert_eq!(built_by(&runner, "evil"), [].into(), "{way:?}: {}", main.log);
    }
    Ok(())
}

#[test]
fn a_target_that_is_shut_to_its_owner_is_set_aside() -> Result {
    for shut in ["target", "target/debug"] {
        let host = Host::new()?;
        write(&host.target(), "debug/evil", "evil")?;
        fs::set_permissions(host.repo().join(shut), PermissionsExt::from_mode(0o0))?;
        let host = host.owned_by_a_user()?;
        let restored = host.restore_with(&["--leftovers", "set-aside"])?.done()?;
        assert!(!host.target().exists(), "{shut}: {}", restored.stderr);
        assert_eq!(host.leftovers()?, [] as [PathBuf; 0], "{shut}");
    }
    Ok(())
}
