//! What another lane left in a shared home of cargo where no lock file says how it was.
//!
//! The lock file was taken for the proof of everything. But a repository may commit none, and a lock file says nothing of
//! refs, of an index, and of what a workspace locks that nobody knew of yet. Each of these brought what a pull request
//! had written into what a push saved.

use std::fs;

use crate::fake_runner::FakeRunner;
use crate::leftovers::Event::{PullRequest, Push};
use crate::leftovers::{at, build, built_by, check_out, depend, edited, home_sources, job, runner};
use crate::support::{
    INDEX, Result, install_crate, isolated, lock, lock_repository, succeed, write,
};

const FOO: &str = "foo-1.0.0";
const BAR: &str = "bar-1.0.0";

/// Writes the lock file as cargo would for a build, since the repository commits none.
fn generate_lock(runner: &FakeRunner) -> Result {
    let app = runner.path("_work/app/app");
    let commit = runner.head(&runner.path("origin/git/lib"))?;
    lock(&app, "app", &[FOO])?;
    lock_repository(&app, &commit)
}

/// Takes the lock file out of the repository.
fn unlock(runner: &FakeRunner) -> Result {
    let origin = runner.path("origin/app");
    succeed(runner.git(&origin).args(["rm", "-q", "Cargo.lock"]))?;
    runner.commit(&[(".gitignore", "target\n/built\nCargo.lock\n")])?;
    check_out(runner)
}

fn crate_file(name: &str) -> String {
    format!("home/.cargo/registry/cache/{INDEX}/{name}.crate")
}

/// Whatever a pull request can write into the home: sources, crate files, a further crate, the index, a tag, a ref.
fn change_all(runner: &FakeRunner) -> Result {
    for path in home_sources() {
        let path = at(runner, &path)?;
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text + "// evil\n")?;
    }
    let home = runner.path("home/.cargo");
    fs::write(runner.path(&crate_file(FOO)), "evil")?;
    write(&home, format!("registry/index/{INDEX}/config.json"), "{\"dl\":\"evil\"}")?;
    write(&home, format!("registry/index/{INDEX}/.cache/3/f/foo"), "evil")?;
    install_crate(&home, BAR)?;
    let checkout = at(runner, &home_sources()[1])?;
    let checkout = checkout.ancestors().nth(2).ok_or("a checkout has a source")?;
    for repository in [checkout, &home.join("git/db/lib-0123456789abcdef")] {
        let mut git = isolated("git", repository, repository);
        succeed(git.args(["-c", "safe.bareRepository=all", "tag", "evil"]))?;
    }
    Ok(())
}

/// Returns what is in the home that a pull request wrote there.
fn changed(runner: &FakeRunner) -> Result<Vec<String>> {
    let mut changed = edited(runner)?;
    let home = runner.path("home/.cargo");
    let mut dirs = vec![home.join("registry"), home.join("git")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry?.path();
            let name = path.to_string_lossy().into_owned();
            let is_evil = fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"evil"));
            if is_evil || name.ends_with("/evil") || name.contains(BAR) {
                changed.push(name);
            }
            if path.is_dir() {
                dirs.push(path);
            }
        }
    }
    Ok(changed)
}

#[test]
fn without_a_lock_file_a_push_finds_what_its_lane_saved_and_nothing_else() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    unlock(&runner)?;
    let mut first = job(&runner, Push, &[]);
    first.main()?.ok()?;
    generate_lock(&runner)?;
    build(&runner, "first")?;
    first.post("success")?.ok()?;
    check_out(&runner)?;
    job(&runner, PullRequest(7), &[]).main()?.ok()?;
    change_all(&runner)?;

    check_out(&runner)?;
    let mut second = job(&runner, Push, &[]);
    let main = second.main()?.ok()?;
    assert_eq!(changed(&runner)?, [""; 0], "{}", main.log);
    assert!(main.log.contains("set aside: a job of another lane may have changed"), "{}", main.log);
    for path in home_sources().into_iter().chain([crate_file(FOO)]) {
        assert!(at(&runner, &path)?.exists(), "{path} came back: {}", main.log);
    }
    assert_eq!(main.annotations("warning"), [""; 0], "{}", main.log);
    generate_lock(&runner)?;
    build(&runner, "second")?;
    let post = second.post("success")?.ok()?;
    assert_eq!(post.annotations("warning"), [""; 0], "{}", post.log);

    // A job of the same lane suspects nothing.
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert!(!main.log.contains("set aside"), "{}", main.log);
    Ok(())
}

/// Where cargo may fetch, all of it goes. Where it may not, only what it makes of what is there; the rest is built with,
/// and nothing is saved.
#[test]
fn without_a_lock_file_and_a_generation_nothing_that_a_lane_left_is_saved() -> Result {
    for is_offline in [false, true] {
        let why = format!("offline: {is_offline}");
        let runner = runner()?;
        depend(&runner)?;
        unlock(&runner)?;
        job(&runner, PullRequest(7), &[]).main()?.ok()?;
        change_all(&runner)?;
        let mut push = job(&runner, Push, &[]);
        push.set("CARGO_NET_OFFLINE", if is_offline { "true" } else { "false" });
        let main = push.main()?.ok()?;
        assert_eq!(edited(&runner)?, [""; 0], "{why}: {}", main.log);
        assert_eq!(runner.path(&crate_file(BAR)).exists(), is_offline, "{why}: {}", main.log);
        if !is_offline {
            assert_eq!(changed(&runner)?, [""; 0], "{why}: {}", main.log);
            continue;
        }
        generate_lock(&runner)?;
        build(&runner, "second")?;
        let post = push.post("success")?.ok()?;
        for area in ["registry", "git", "target", "built"] {
            let refused =
                post.log.lines().any(|line| line.contains(&format!("{area}` is not saved: ")));
            assert!(refused, "{area}: {}", post.log);
        }
        check_out(&runner)?;
        let main = job(&runner, Push, &[]).main()?.ok()?;
        assert_eq!(built_by(&runner, "second"), [].into(), "{}", main.log);
    }
    Ok(())
}

/// Who adopts the program has a home that nobody recorded: nothing of it goes.
#[test]
fn a_home_that_no_job_recorded_stays_as_it_is() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    unlock(&runner)?;
    let main = job(&runner, Push, &[]).main()?.ok()?;
    for path in home_sources().into_iter().chain([crate_file(FOO)]) {
        assert!(at(&runner, &path)?.exists(), "{path}: {}", main.log);
    }
    Ok(())
}

/// The lock file of a workspace that a save finds is read then, and says what was wrong all the time.
#[test]
fn a_target_is_not_saved_if_a_workspace_that_was_found_locks_what_a_lane_edited() -> Result {
    for is_edited in [true, false] {
        let runner = runner()?;
        depend(&runner)?;
        lock(&runner.path("origin/app/fuzz"), "fuzz", &[BAR])?;
        runner.commit(&[])?;
        check_out(&runner)?;
        install_crate(&runner.path("home/.cargo"), BAR)?;
        job(&runner, PullRequest(7), &[]).main()?.ok()?;
        if is_edited {
            let source = format!("home/.cargo/registry/src/{INDEX}/{BAR}/src/lib.rs");
            fs::write(runner.path(&source), "// evil\n")?;
        }
        let mut push = job(&runner, Push, &[]);
        push.main()?.ok()?;
        build(&runner, "push")?;
        let post = push.post("success")?.ok()?;
        let refused = post.log.contains("fuzz/target` is not saved: it may be built from");
        assert_eq!(refused, is_edited, "{}", post.log);
        check_out(&runner)?;
        let main = job(&runner, Push, &[]).main()?.ok()?;
        let saved = built_by(&runner, "push").contains("_work/app/app/fuzz/target");
        assert_eq!(saved, !is_edited, "{}", main.log);
    }
    Ok(())
}

/// A job may restore and save in steps of their own.
#[test]
fn a_step_that_only_saves_refuses_what_a_post_step_would() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    job(&runner, Push, &[("mode", "restore")]).main()?.ok()?;
    // By a job of another lane that runs beside it.
    let source = at(&runner, &home_sources()[0])?;
    fs::write(&source, "// evil\n")?;
    build(&runner, "push")?;
    let save = job(&runner, Push, &[("mode", "save")]).main()?.ok()?;
    assert!(save.log.contains("target` is not saved: it may be built from"), "{}", save.log);
    Ok(())
}

/// With a lock file the sources of a git dependency are proven; its refs, which a build script may ask for, are not.
#[test]
fn the_refs_of_a_git_dependency_are_those_that_its_lane_saved() -> Result {
    for is_stored in [true, false] {
        let runner = runner()?;
        depend(&runner)?;
        if is_stored {
            let mut first = job(&runner, Push, &[]);
            first.main()?.ok()?;
            build(&runner, "first")?;
            first.post("success")?.ok()?;
        }
        job(&runner, PullRequest(7), &[]).main()?.ok()?;
        let checkout = at(&runner, &home_sources()[1])?;
        let checkout = checkout.ancestors().nth(2).ok_or("a checkout has a source")?;
        succeed(isolated("git", checkout, checkout).args(["tag", "evil"]))?;
        let main = job(&runner, Push, &[]).main()?.ok()?;
        assert!(!checkout.join(".git/refs/tags/evil").exists(), "{}", main.log);
        assert_eq!(checkout.exists(), is_stored, "cargo makes it of its repository: {}", main.log);
        let database = runner.path("home/.cargo/git/db/lib-0123456789abcdef");
        assert!(database.exists(), "{}", main.log);
    }
    Ok(())
}
