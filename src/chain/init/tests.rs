use std::fs;

use super::marked::{seal, update};
use super::*;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

const LINE: &str = "\
owner = \"btcdecoded\"

[releases]
repository = \"bllvm\"
versions = \"versions.toml\"

[repos.spec]
kind = \"docs\"

[repos.consensus]
repository = \"bllvm-consensus\"
kind = \"library\"
depends = [\"spec\"]
verify = true

[repos.node]
repository = \"bllvm-node\"
kind = \"binary\"
depends = [\"consensus\"]
features = [\"rocksdb\", \"zmq\"]

[repos.app]
kind = \"image\"
depends = [\"node\"]
runner = [\"self-hosted\", \"docker\"]
";

fn files(text: &str) -> std::result::Result<Vec<RepoFile>, Box<dyn std::error::Error>> {
    Ok(wanted(&Chain::parse("chain.toml", text)?, text))
}

fn file<'a>(files: &'a [RepoFile], repository: &str, path: &str) -> &'a str {
    let found = files.iter().find(|it| it.repository.as_str() == repository && it.path == path);
    found.map_or("", |it| &it.text)
}

#[test]
fn each_repository_gets_what_it_needs_and_nothing_else() -> Result {
    let names = |text: &str| -> std::result::Result<Vec<String>, Box<dyn std::error::Error>> {
        let name =
            |it: &RepoFile| format!("{} {}", it.repository, it.path.trim_start_matches(".github/"));
        Ok(files(text)?.iter().map(name).collect())
    };
    let repos = [
        "spec workflows/chain.yml",
        "spec chain.toml",
        "bllvm-consensus workflows/chain.yml",
        "bllvm-consensus chain.toml",
        "bllvm-node workflows/chain.yml",
        "bllvm-node chain.toml",
        "app workflows/chain.yml",
        "app chain.toml",
    ];
    let nightly = [
        "bllvm workflows/release-orchestrator.yml",
        "bllvm chain.toml",
        "bllvm workflows/nightly-prerelease.yml",
    ];
    assert_eq!(names(LINE)?, [&repos[..], &nightly].concat());

    let alone =
        LINE.replace("[releases]\nrepository = \"bllvm\"\nversions = \"versions.toml\"\n", "");
    assert_eq!(names(&alone)?, repos);

    let told = alone.replace("[repos.spec]", "[dispatch]\norchestrator = \"spec\"\n\n[repos.spec]");
    let own = ["spec workflows/release-orchestrator.yml", "spec workflows/nightly-prerelease.yml"];
    assert_eq!(names(&told)?, [&repos[..], &own].concat());
    Ok(())
}

/// The token stays away from the code of repos: a job gets only the secrets that it is given.
#[test]
fn only_the_jobs_that_run_no_code_of_a_repo_get_the_token() -> Result {
    let files = files(LINE)?;
    let workflows: Vec<_> = files.iter().filter(|it| it.path.ends_with("/chain.yml")).collect();
    assert_eq!(workflows.len(), 4);
    for workflow in workflows {
        let mut job = "";
        let mut given = Vec::new();
        for line in workflow.text.lines() {
            if let Some(name) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) {
                job = if name.starts_with(' ') { job } else { name };
            }
            if line.contains("secrets.CHAIN_TOKEN") {
                given.push(job);
            }
            assert!(!line.contains("secrets: inherit"), "{job} of {}", workflow.repository);
        }
        assert_eq!(given, ["receive", "dispatch"], "{}", workflow.repository);
    }
    Ok(())
}

#[test]
fn no_place_of_a_template_stays_open() -> Result {
    for RepoFile { repository, path, text } in files(LINE)? {
        let open = text.lines().find(|line| line.contains('<') && line.contains('>'));
        assert_eq!(open, None, "{repository}: {path}");
    }
    Ok(())
}

/// `head.repo.fork` is false for a pull request from the parent of a fork, and null for a deleted one.
#[test]
fn code_of_another_repository_is_checked_on_runners_of_its_own() -> Result {
    let condition = "github.event.pull_request && \
        github.event.pull_request.head.repo.full_name != github.repository";
    for (key, labels) in [
        ("", "[\"ubuntu-latest\"]"),
        ("fork-runner = [\"self-hosted\", \"spare\"]\n", "[\"self-hosted\",\"spare\"]"),
    ] {
        let files = files(&format!("{key}{LINE}"))?;
        let text = file(&files, "app", REPO);
        let runner =
            format!("${{{{ {condition} && '{labels}' || '[\"self-hosted\",\"docker\"]' }}}}\n");
        assert_eq!(text.matches(&runner).count(), 2, "{text}");
        let checks = format!("${{{{ {condition} && '[\"test\",");
        assert_eq!(text.matches(&checks).count(), 1, "{text}");
        assert!(!text.contains("head.repo.fork"), "{text}");
    }
    Ok(())
}

#[test]
fn a_repo_listens_to_what_it_is_built_from() -> Result {
    let types = |text: &str| {
        let after =
            text.split_once("repository_dispatch:\n    types: ").map(|(_, rest)| rest.to_owned());
        after.and_then(|rest| rest.lines().next().map(str::to_owned))
    };
    let of =
        |files: &[RepoFile], repository: &str, path: &str| types(file(files, repository, path));

    let line = files(LINE)?;
    assert_eq!(of(&line, "spec", REPO), None);
    assert_eq!(of(&line, "bllvm-consensus", REPO).as_deref(), Some("[\"build-chain\"]"));
    assert_eq!(of(&line, "bllvm", ORCHESTRATOR), None);

    let dispatch = "[dispatch]\norchestrator = \"bllvm\"\n\n[repos.spec]";
    let told = files(&LINE.replace("[repos.spec]", dispatch))?;
    assert_eq!(of(&told, "bllvm-consensus", REPO), None);
    let all = "[\"build_app\", \"build_consensus\", \"build_node\", \"build_spec\"]";
    assert_eq!(of(&told, "bllvm", ORCHESTRATOR).as_deref(), Some(all));
    Ok(())
}

#[test]
fn a_job_waits_for_all_that_its_repo_is_built_from() -> Result {
    let files = files(LINE)?;
    let text = file(&files, "bllvm", ORCHESTRATOR);
    let needs: Vec<_> =
        text.lines().filter(|line| line.contains("needs: [")).map(str::trim).collect();
    assert_eq!(
        needs,
        [
            "needs: [plan]",
            "needs: [plan, verify-consensus]",
            "needs: [plan, verify-consensus, build-consensus]",
            "needs: [plan, verify-consensus, build-consensus, build-node]",
        ]
    );
    assert!(text.contains("      image: app\n"), "{text}");
    assert!(text.contains("      features: rocksdb,zmq\n"), "{text}");
    assert!(text.contains("      runner: '[\"self-hosted\",\"docker\"]'\n"), "{text}");
    // The documents of `spec` are no dependency of a build.
    assert!(!text.contains("btcdecoded/spec@"), "{text}");
    Ok(())
}

#[test]
fn a_written_file_is_current_until_the_chain_changes() -> Result {
    for RepoFile { text, path, .. } in files(LINE)? {
        assert_eq!(update(None, &text), FileAction::Write(text.clone()), "{path}");
        assert_eq!(update(Some(&text), &text), FileAction::Current, "{path}");
    }
    let old = seal("a: 1\n");
    let new = seal("a: 2\n");
    assert_eq!(update(Some(&old), &new), FileAction::Write(new.clone()));
    Ok(())
}

const BODY: &str = "a: 1\n# yours: jobs\n# end of yours\nb: 2\n";

#[test]
fn lines_at_a_marked_place_stay() {
    let mine = "# yours: jobs\n  mine:\n    # my words\n";
    let old = seal(BODY).replace("# yours: jobs\n", mine);
    let new = seal(&BODY.replace("b: 2", "b: 3"));
    assert_eq!(update(Some(&old), &seal(BODY)), FileAction::Current);
    assert_eq!(update(Some(&old), &new), FileAction::Write(new.replace("# yours: jobs\n", mine)));
}

#[test]
fn a_file_edited_outside_the_marked_places_is_left_alone() {
    let sealed = seal(BODY);
    let mine = sealed.replace("# yours: jobs\n", "# yours: jobs\nc: 1\n");
    let without_place = seal("a: 1\n");
    #[rustfmt::skip]
    let cases = [
        ("a line changed",    sealed.replace("a: 1", "a: 5"),              &sealed, Refusal::Edited),
        ("a line added",      format!("{sealed}c: 3\n"),                   &sealed, Refusal::Edited),
        ("a line removed",    sealed.replace("b: 2\n", ""),                &sealed, Refusal::Edited),
        ("a mark removed",    mine.replace("# end of yours\n", ""),        &sealed, Refusal::Edited),
        ("a mark renamed",    mine.replace("# yours: jobs", "# yours: x"), &sealed, Refusal::Edited),
        ("a mark added",      format!("{sealed}# yours: x\n"),             &sealed, Refusal::Edited),
        ("a seal of another", sealed.replace("# seal: ", "# seal: 0"),     &sealed, Refusal::Edited),
        ("nothing of ours",   "name: ci\n".to_owned(),                     &sealed, Refusal::Foreign),
        ("empty",             String::new(),                               &sealed, Refusal::Foreign),
        ("the place is gone", mine.clone(), &without_place, Refusal::Orphan("jobs".to_owned())),
    ];
    for (why, old, new, want) in cases {
        match update(Some(&old), new) {
            FileAction::Refused(refusal, _) => assert_eq!(refusal, want, "{why}"),
            action => panic!("{why}: {action:?}"),
        }
    }
}

#[test]
fn a_chain_without_its_last_line_end_is_copied_once() {
    let copy = seal("owner = \"o\"");
    assert_eq!(update(Some(&copy), &copy), FileAction::Current);
}

#[test]
fn windows_line_ends_are_no_edit() {
    let crlf = seal(BODY).replace('\n', "\r\n");
    assert_eq!(update(Some(&crlf), &seal(BODY)), FileAction::Write(seal(BODY)));
}

#[test]
fn a_copy_of_the_chain_gives_the_same_files() -> Result {
    let first = files(LINE)?;
    let copy = file(&first, "bllvm-node", CHAIN_FILE);
    assert_eq!(files(copy)?, first);
    Ok(())
}

#[test]
fn a_repository_with_the_chain_itself_gets_no_copy_and_another_chain_is_refused() -> Result {
    let dir = tempfile::tempdir()?;
    for name in ["spec", "bllvm-consensus", "bllvm-node", "app", "bllvm"] {
        fs::create_dir(dir.path().join(name))?;
    }
    let source = dir.path().join("bllvm/chain.toml");
    fs::write(&source, LINE)?;
    let files = files(LINE)?;

    let changes = plan(&files, dir.path(), &source)?;
    assert_eq!(changes.len(), files.len() - 1);
    for change in &changes {
        apply(change)?;
    }
    assert!(!dir.path().join("bllvm/.github/chain.toml").exists());
    let again = plan(&files, dir.path(), &source)?;
    assert!(again.iter().all(|change| change.action == FileAction::Current), "{again:?}");

    let other = dir.path().join("app/chain.toml");
    fs::write(&other, LINE)?;
    let refused = plan(&files, dir.path(), &source).map_err(|error| error.to_string());
    let copy = dir.path().join("app/.github/chain.toml");
    let want = format!("`{}` would be read in place of `{}`", other.display(), copy.display());
    assert_eq!(refused, Err(want));
    Ok(())
}

#[test]
fn a_file_no_longer_needed_and_a_missing_checkout_are_named() -> Result {
    let dir = tempfile::tempdir()?;
    let source = dir.path().join("chain.toml");
    fs::write(&source, LINE)?;
    let files = files(LINE)?;
    let refused = plan(&files, dir.path(), &source).map_err(|error| error.to_string());
    let missing = dir.path().join("spec");
    assert_eq!(refused, Err(format!("`{}` is not there", missing.display())));

    for name in ["spec", "bllvm-consensus", "bllvm-node", "app", "bllvm"] {
        fs::create_dir_all(dir.path().join(name).join(".github/workflows"))?;
    }
    let old = dir.path().join("app").join(NIGHTLY);
    fs::write(&old, seal("name: nightly-prerelease\n"))?;
    fs::write(dir.path().join("app").join(ORCHESTRATOR), "name: somebody else's\n")?;
    let changes = plan(&files, dir.path(), &source)?;
    let leftovers: Vec<_> = changes.iter().filter(|it| it.action == FileAction::Leftover).collect();
    assert_eq!(leftovers.iter().map(|it| &it.path).collect::<Vec<_>>(), [&old]);
    Ok(())
}
