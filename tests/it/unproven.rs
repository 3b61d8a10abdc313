//! Changes of another lane in a shared home of cargo to files that no lock file proves.
//!
//! The lock file was taken as proof of everything. But a repository may commit none. A lock file also does not cover
//! the `.git` of a checkout, an index, and the packages of a workspace that nobody knew of. Each of these carried files
//! of a pull request into the save of a push.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fake_runner::FakeRunner;
use crate::leftovers::Event::{PullRequest, Push};
use crate::leftovers::{at, build, built_by, check_out, depend, edited, home_sources, job, runner};
use crate::support::{
    INDEX, Result, install_crate, isolated, lock, lock_repository, succeed, write,
};

const FOO: &str = "foo-1.0.0";
const BAR: &str = "bar-1.0.0";

/// Writes the lock file as cargo does in a build, since the repository commits none.
fn generate_lock(runner: &FakeRunner) -> Result {
    let app = runner.path("_work/app/app");
    let commit = runner.head(&runner.path("origin/git/lib"))?;
    lock(&app, "app", &[FOO])?;
    lock_repository(&app, &commit)
}

/// Removes the lock file from the repository.
fn unlock(runner: &FakeRunner) -> Result {
    let origin = runner.path("origin/app");
    succeed(runner.git(&origin).args(["rm", "-q", "Cargo.lock"]))?;
    runner.commit(&[(".gitignore", "target\n/built\nCargo.lock\n")])?;
    check_out(runner)
}

fn crate_file(name: &str) -> String {
    format!("home/.cargo/registry/cache/{INDEX}/{name}.crate")
}

/// Changes everything that a pull request can change in the home: sources, a crate file, the index, a tag.
fn change_all(runner: &FakeRunner) -> Result {
    change_sources(runner)?;
    let home = runner.path("home/.cargo");
    fs::write(runner.path(&crate_file(FOO)), "evil")?;
    write(&home, format!("registry/index/{INDEX}/config.json"), "{\"dl\":\"evil\"}")?;
    write(&home, summaries(), "evil")?;
    tag(&checkout(runner)?)
}

fn change_sources(runner: &FakeRunner) -> Result {
    for path in home_sources() {
        let path = at(runner, &path)?;
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text + "// evil\n")?;
    }
    Ok(())
}

/// Returns the path of the index's file about a crate.
fn summaries() -> String {
    format!("registry/index/{INDEX}/.cache/3/f/foo")
}

fn checkout(runner: &FakeRunner) -> Result<PathBuf> {
    let source = at(runner, &home_sources()[1])?;
    Ok(source.ancestors().nth(2).ok_or("a checkout has a source")?.to_owned())
}

fn tag(repository: &Path) -> Result {
    succeed(isolated("git", repository, repository).args(["tag", "evil"]))
}

/// Returns the paths in the home that a pull request wrote.
fn changed(runner: &FakeRunner) -> Result<Vec<String>> {
    let mut changed = edited(runner)?;
    let home = runner.path("home/.cargo");
    for path in [format!("registry/index/{INDEX}/config.json"), summaries()] {
        let text = fs::read_to_string(home.join(&path))?;
        changed.extend(text.contains("evil").then_some(path));
    }
    if fs::read(runner.path(&crate_file(FOO)))? == b"evil" {
        changed.push(crate_file(FOO));
    }
    changed
        .extend(checkout(runner)?.join(".git/refs/tags/evil").exists().then(|| "a tag".to_owned()));
    Ok(changed)
}

#[test]
fn without_a_lock_file_what_another_lane_changed_is_as_this_one_saved_it() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    unlock(&runner)?;
    write(&runner.path("home/.cargo"), summaries(), "good")?;
    let mut first = job(&runner, Push, &[]);
    first.main()?.ok()?;
    generate_lock(&runner)?;
    build(&runner, "first")?;
    first.post("success")?.ok()?;
    check_out(&runner)?;
    job(&runner, PullRequest(7), &[]).main()?.ok()?;
    install_crate(&runner.path("home/.cargo"), BAR)?;
    change_all(&runner)?;
    assert_eq!(changed(&runner)?.len(), 6, "{:?}", changed(&runner)?);

    check_out(&runner)?;
    let mut second = job(&runner, Push, &[]);
    let main = second.main()?.ok()?;
    assert_eq!(changed(&runner)?, [""; 0], "{}", main.log);
    assert!(
        main.log.contains("a job of a lane that this one may not read changed "),
        "{}",
        main.log
    );
    assert_eq!(main.annotations("warning"), [""; 0], "{}", main.log);
    assert!(runner.path(&crate_file(BAR)).exists(), "another job may need it: {}", main.log);
    generate_lock(&runner)?;
    build(&runner, "second")?;
    let post = second.post("success")?.ok()?;
    assert_eq!(post.annotations("warning"), [""; 0], "{}", post.log);

    // A job of the same lane sets nothing aside.
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert!(!main.log.contains("set aside"), "{}", main.log);
    Ok(())
}

/// No generation exists yet: cargo unpacks the crate again, and creates the checkout again.
#[test]
fn without_a_lock_file_and_a_generation_sources_are_those_of_their_crates_and_commits() -> Result {
    for (how, is_source_there, is_checkout_there) in
        [("edited", false, false), ("tagged", true, false), ("left alone", true, true)]
    {
        let runner = runner()?;
        depend(&runner)?;
        unlock(&runner)?;
        job(&runner, PullRequest(7), &[]).main()?.ok()?;
        match how {
            "edited" => change_sources(&runner)?,
            "tagged" => tag(&checkout(&runner)?)?,
            _ => {}
        }
        let main = job(&runner, Push, &[]).main()?.ok()?;
        assert_eq!(edited(&runner)?, [""; 0], "{}", main.log);
        let [source, checkout] = home_sources();
        assert_eq!(at(&runner, &source)?.exists(), is_source_there, "{how}: {}", main.log);
        assert_eq!(at(&runner, &checkout)?.exists(), is_checkout_there, "{how}: {}", main.log);
        assert!(runner.path(&crate_file(FOO)).exists(), "{}", main.log);
        assert!(runner.path("home/.cargo/git/db/lib-0123456789abcdef").exists(), "{}", main.log);
    }
    Ok(())
}

/// A save finds another workspace, reads its lock file only then, and learns that a part was wrong from the start.
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
        let refused = post.log.contains("fuzz/target` is not saved: it may have been built from");
        assert_eq!(refused, is_edited, "{}", post.log);
        check_out(&runner)?;
        let main = job(&runner, Push, &[]).main()?.ok()?;
        let saved = built_by(&runner, "push").contains("_work/app/app/fuzz/target");
        assert_eq!(saved, !is_edited, "{}", main.log);
    }
    Ok(())
}

/// A job may restore and save in separate steps.
#[test]
fn a_step_that_only_saves_refuses_what_a_post_step_would() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    job(&runner, Push, &[("mode", "restore")]).main()?.ok()?;
    // A job of another lane, running at the same time, made this edit.
    let source = at(&runner, &home_sources()[0])?;
    fs::write(&source, "// evil\n")?;
    build(&runner, "push")?;
    let save = job(&runner, Push, &[("mode", "save")]).main()?.ok()?;
    assert!(save.log.contains("target` is not saved: it may have been built from"), "{}", save.log);
    Ok(())
}

/// Returns a runner on which a push saved, followed by the main step of a pull request.
fn saved_then_pull_request() -> Result<FakeRunner> {
    let runner = runner()?;
    depend(&runner)?;
    let mut first = job(&runner, Push, &[]);
    first.main()?.ok()?;
    build(&runner, "first")?;
    first.post("success")?.ok()?;
    job(&runner, PullRequest(7), &[]).main()?.ok()?;
    Ok(runner)
}

/// A lock file proves the sources of a git dependency. It does not prove the tags, which a build script may read.
#[test]
fn the_git_directory_of_a_checkout_is_the_one_that_its_lane_saved() -> Result {
    let runner = saved_then_pull_request()?;
    let checkout = checkout(&runner)?;
    tag(&checkout)?;
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert!(!checkout.join(".git/refs/tags/evil").exists(), "{}", main.log);
    assert!(checkout.join("src/lib.rs").exists(), "{}", main.log);
    Ok(())
}

/// While a build reads the home, files that cargo would make again cannot be removed; the next job tries again.
#[test]
fn while_a_build_reads_the_home_what_was_changed_stays_and_is_not_taken_over() -> Result {
    let runner = runner()?;
    depend(&runner)?;
    unlock(&runner)?;
    job(&runner, PullRequest(7), &[]).main()?.ok()?;
    change_sources(&runner)?;
    let lock = runner.path("home/.cargo/.package-cache-mutate");
    let reading = fs::File::options().append(true).create(true).open(lock)?;
    rustix::fs::flock(&reading, rustix::fs::FlockOperation::NonBlockingLockShared)?;
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert!(main.log.contains("a cargo build is at work there"), "{}", main.log);
    assert_eq!(edited(&runner)?.len(), 2, "{}", main.log);
    drop(reading);
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert_eq!(edited(&runner)?, [""; 0], "{}", main.log);
    Ok(())
}

/// A lock file does not prove the address of a registry either.
#[test]
fn where_a_registry_is_says_what_its_lane_saved() -> Result {
    let runner = saved_then_pull_request()?;
    let config = runner.path(&format!("home/.cargo/registry/index/{INDEX}/config.json"));
    fs::write(&config, "{\"dl\":\"evil\"}")?;
    let main = job(&runner, Push, &[]).main()?.ok()?;
    assert_eq!(fs::read_to_string(&config)?, "{}", "{}", main.log);
    Ok(())
}
