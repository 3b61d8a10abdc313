//! Each mistake in a chain is found at its place in the file.

use super::super::{Chain, Kind};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn found(text: &str) -> Vec<String> {
    Chain::parse("c", text).map_or_else(|found| found.lines().collect(), |_| Vec::new())
}

#[test]
fn a_chain_has_every_repo_after_what_it_needs_and_defaults_for_the_rest() -> Result {
    let text = "owner = 'o'\nrunner = ['own']\n\
        [repos.node]\nkind = 'binary'\ndepends = ['lib', 'spec']\nbranches = ['next', 'main']\n\
        package = 'node-cli'\nfeatures = ['a', 'b']\ntimeout-minutes = 90\n\
        [repos.lib]\nkind = 'library'\nrepository = 'o-lib'\ndepends = ['spec']\n\
        [repos.spec]\nkind = 'docs'\n";
    let chain = Chain::parse("c", text)?;
    let names: Vec<_> = chain.repos().iter().map(|repo| repo.name.as_str()).collect();
    assert_eq!(names, ["spec", "lib", "node"]);
    let [_, lib, node] = chain.repos() else { return Err("three repos".into()) };
    assert_eq!((lib.package.as_str(), lib.branch().as_str()), ("o-lib", "main"));
    assert_eq!((lib.kind, lib.timeout_minutes.get()), (Kind::Library, 60));
    assert_eq!((node.package.as_str(), node.branch().as_str()), ("node-cli", "next"));
    assert_eq!((node.features.len(), node.timeout_minutes.get()), (2, 90));
    assert_eq!(node.runner[0].as_str(), "own");
    assert_eq!(chain.event_of(&lib.name), "build-chain");
    assert_eq!(chain.repo_at("O/O-LIB"), Some(lib));
    assert_eq!(chain.releases().repository, None);
    Ok(())
}

#[test]
fn an_orchestrator_gets_events_named_after_who_sends_them() -> Result {
    let text = "owner = 'o'\n[dispatch]\norchestrator = 'all-of-it'\n[repos.a]\nkind = 'image'\n";
    let chain = Chain::parse("c", text)?;
    assert_eq!(chain.event_of(&"a".parse()?), "build_a");
    assert_eq!(chain.releases().repository, chain.dispatch().orchestrator);
    // The orchestrator builds a repo without neighbours, too.
    Chain::parse("c", &format!("{text}[repos.b]\nkind = 'library'\n"))?;
    Ok(())
}

#[test]
fn each_mistake_is_found_where_it_stands() {
    const A: &str = "[repos.a]\nkind = 'library'\n";
    #[rustfmt::skip]
    let cases = [
        ("no TOML",        "owner = ".to_owned(),                                                   "c:1:9: string values must be quoted, expected literal string"),
        ("no owner",       A.to_owned(),                                                            "c:1:1: missing field `owner`"),
        ("no repo",        "owner = 'o'\n".to_owned(),                                              "c:1:1: there is no repo: each is a table `[repos.<name>]`"),
        ("unknown key",    format!("owner = 'o'\nownr = 'x'\n{A}"),                                 "c:2:1: unknown field `ownr`, expected one of `owner`, `runner`, `fork-runner`, `branches`, `workflows`, `read-secret`, `dispatch`, `releases`, `repos`"),
        ("unknown kind",   "owner = 'o'\n[repos.a]\nkind = 'crate'\n".to_owned(),                  "c:3:8: unknown variant `crate`, expected one of `docs`, `library`, `binary`, `image`"),
        ("kind of a terminal", "owner = 'o'\n[repos.a]\nkind = \"b\\u001b\\tc\"\n".to_owned(),       "c:3:8: unknown variant `b\\u{1b}\\tc`, expected one of `docs`, `library`, `binary`, `image`"),
        ("a name",         "owner = 'o'\n[repos.\"a b\"]\nkind = 'docs'\n".to_owned(),              "c:2:8: `a b` is not the name of a repo (1 to 64 of A-Z a-z 0-9 _ -, a letter first, and not `all`)"),
        ("unknown repo",   format!("owner = 'o'\n{A}depends = ['nowhere']\n"),                      "c:4:12: `nowhere` is no repo of this chain"),
        ("a slip",         format!("owner = 'o'\n[repos.nodes]\nkind = 'docs'\n{A}depends = ['node']\n"), "c:6:12: `node` is no repo of this chain; `nodes` is"),
        ("itself",         format!("owner = 'o'\n{A}depends = ['a']\n"),                            "c:4:12: this is a cycle: a needs a"),
        ("named twice",    format!("owner = 'o'\n[repos.b]\nkind = 'docs'\n{A}depends = ['b', 'b']\n"), "c:6:17: `b` is named twice"),
        ("unreachable",    format!("owner = 'o'\n[repos.b]\nkind = 'docs'\n{A}depends = ['b']\n[repos.c]\nkind = 'docs'\n"), "c:7:8: `c` is unreachable: it needs no repo, and none needs it"),
        ("twins",          format!("owner = 'o'\n{A}depends = ['b']\n[repos.b]\nkind = 'docs'\nrepository = 'A'\n"), "c:7:14: `a` is the repository `A` already"),
        ("no label",       format!("owner = 'o'\nrunner = []\n{A}"),                                "c:2:10: at least one is needed"),
        ("a label",        format!("owner = 'o'\nrunner = ['${{{{ x }}}}']\n{A}"),                  "c:2:11: `${{ x }}` is not a label of a runner (1 to 100 of A-Z a-z 0-9 . _ -)"),
        ("a branch",       format!("owner = 'o'\nbranches = ['-x']\n{A}"),                          "c:2:13: `-x` is not a branch, a tag or a full ref"),
        ("a secret",       format!("owner = 'o'\n[dispatch]\nsecret = 'a-b'\n{A}"),                "c:3:10: `a-b` is not the name of a secret (1 to 100 of A-Z a-z 0-9 _, a letter or _ first, and not GITHUB_…)"),
        ("workflows",      format!("owner = 'o'\nworkflows = 'a/b'\n{A}"),                          "c:2:13: `a/b` is not a repository with the reusable workflows, and its version (`owner/name@ref`)"),
        ("no hour",        format!("owner = 'o'\n[releases]\nnightly = '0 25 * * *'\n{A}"),       "c:3:11: `0 25 * * *` is not a time of cron that GitHub takes (minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-6)"),
        ("no time",        format!("owner = 'o'\n{A}timeout-minutes = 0\n"),                        "c:4:19: invalid value: integer `0`, expected a nonzero u16"),
    ];
    for (why, text, want) in cases {
        assert_eq!(found(&text).first().map(String::as_str), Some(want), "{why}");
    }
}

#[test]
fn all_mistakes_are_found_in_one_go() {
    let text = "owner = 'o/o'\n[repos.a]\nkind = 'library'\ndepends = ['c', 'x']\n\
        [repos.b]\nkind = 'library'\ndepends = ['a']\n[repos.c]\nkind = 'library'\ndepends = ['b']\n";
    let want = [
        "c:1:9: `o/o` is not an owner of repositories (1 to 39 of A-Z a-z 0-9 _ -)",
        "c:4:12: this is a cycle: a needs c needs b needs a",
        "c:4:17: `x` is no repo of this chain",
    ];
    assert_eq!(found(text), want);
}

#[test]
fn a_chain_with_a_cycle_is_never_a_chain() {
    let text = "owner = 'o'\n[repos.a]\nkind = 'docs'\ndepends = ['b']\n[repos.b]\nkind = 'docs'\ndepends = ['a']\n";
    assert!(Chain::parse("c", text).is_err());
}
