//! An error names the right that a token lacks, before anything is sent.

use serde_json::json;

use super::world::{TOKEN, World};
use crate::support::Result;

const PAIR: &str = "owner = 'o'\n[repos.lib]\nkind = 'library'\n\
    [repos.app]\nkind = 'binary'\ndepends = ['lib']\n";

#[test]
fn a_missing_right_of_a_token_is_said_and_nothing_is_sent() -> Result {
    let both = |rights: &[&str]| json!({"o/lib": rights, "o/app": rights});
    #[rustfmt::skip]
    let cases = [
        ("ghs_workflow",       json!({"kind": "installation", "repos": {"o/lib": ["contents:write", "statuses:write"]}}), "an installation's token, such as GITHUB_TOKEN, reaches only the repositories that it was made for; the secret `CHAIN_TOKEN` of a chain needs `Contents: read and write` there"),
        ("ghp_narrow",         json!({"kind": "classic", "scopes": ["read:org", "workflow"]}),               "the scope `repo` is missing (it has `read:org`, `workflow`)"),
        ("ghp_none",           json!({"kind": "classic", "scopes": []}),                                     "the scope `repo` is missing (it has none)"),
        ("github_pat_reads",   json!({"kind": "fine-grained", "repos": both(&["metadata:read", "contents:read"])}), "`Contents: read and write` is missing, the repository is not among those that it was made for"),
        ("github_pat_one",     json!({"kind": "fine-grained", "repos": {"o/lib": ["contents:write"]}}),      "`Contents: read and write` is missing"),
        ("github_pat_unnoted", json!({"kind": "fine-grained", "repos": both(&["contents:write"])}),          " (GitHub answers 403: Resource not accessible by personal access token)"),
        ("github_pat_unnoted", json!({"kind": "fine-grained", "repos": both(&["contents:write"])}),          "this token cannot write statuses of commits of `o/lib`"),
        ("github_pat_unnoted", json!({"kind": "fine-grained", "repos": both(&["contents:write"])}),          "`Commit statuses: read and write` is missing"),
    ];
    for (token, rights, want) in cases {
        let mut world = World::with(PAIR, json!({"tokens": {token: rights}}))?;
        world.use_token(Some(token));
        let said = world.chain_command(&world.push("lib"), &["dispatch"])?;
        said.fails_with(want).map_err(|error| format!("{token}: {error}"))?;
        said.says("docs/guide/chain.md says which rights a token of the chain needs")?;
        assert!(!said.stderr.contains(token), "{}", said.stderr);
        assert!(world.github.dispatches()?.is_empty(), "{token}");
    }
    Ok(())
}

#[test]
fn a_token_with_the_rights_of_the_guide_is_enough() -> Result {
    let rights = json!(["metadata:read", "contents:write", "statuses:write"]);
    for (token, kind) in [("github_pat_x", "fine-grained"), ("ghs_x", "installation")] {
        let repos = json!({"o/lib": rights, "o/app": rights});
        let tokens = json!({token: {"kind": kind, "repos": repos}});
        let mut world = World::with(PAIR, json!({"tokens": tokens}))?;
        world.use_token(Some(token));
        world.walk(&world.push("lib"))?;
        assert_eq!(world.names_built(), ["app"], "{kind}");
    }
    Ok(())
}

#[test]
fn no_token_and_a_wrong_one_are_told_apart() -> Result {
    let mut world = World::new(PAIR)?;
    let push = world.push("lib");
    for (token, want) in [
        (None, "this token cannot send events to `o/app`: no token is given; set `CHAIN_TOKEN`"),
        (Some("ghp_old"), "it is expired, revoked or mistyped"),
        (Some("two words"), "CHAIN_TOKEN: the given text is not a token"),
    ] {
        world.use_token(token);
        world.chain_command(&push, &["dispatch"])?.fails_with(want)?;
    }
    assert!(world.github.dispatches()?.is_empty());
    Ok(())
}

/// An archived repository was said to be one that the token's user may not write to.
#[test]
fn a_refusal_that_is_not_about_the_token_is_told_in_github_s_own_words() -> Result {
    let archived = "Repository was archived so is read-only.";
    let listed = "Although you appear to have the correct authorization credentials, the `o` organization has an IP allow \
        list enabled, and your IP address is not permitted to access this resource.";
    for (path, reason) in
        [("/dispatches$", archived), ("/dispatches$", listed), ("/statuses/", archived)]
    {
        let world = World::new(PAIR)?;
        let body = json!({"message": reason});
        world
            .github
            .spoil(&json!({"method": "POST", "path": path, "status": 403, "body": body}))?;
        let said = world.chain_command(&world.push("lib"), &["dispatch"])?;
        said.fails_with(&format!(": GitHub answers 403: {reason}\n"))?;
    }
    Ok(())
}

#[test]
fn a_missing_token_is_named_as_the_workflows_name_it() -> Result {
    let mut world =
        World::new(&PAIR.replace("[repos.lib]", "[dispatch]\nsecret = 'ORG_PAT'\n[repos.lib]"))?;
    world.use_token(None);
    let said = world.chain_command(&world.push("lib"), &["dispatch"])?;
    said.fails_with(
        "no token is given; set the secret `ORG_PAT`, or `CHAIN_TOKEN` outside of a workflow",
    )
}

#[test]
fn a_token_is_in_no_output_and_no_request_but_its_header() -> Result {
    let world = World::new(PAIR)?;
    // `Said::of` checks the output of every command.
    world.walk(&world.push("lib"))?;
    assert!(!world.github.state()?.to_string().contains(TOKEN));
    Ok(())
}

#[test]
fn a_repository_that_was_renamed_is_an_error_and_gets_no_token() -> Result {
    let world = World::new(PAIR)?;
    let moved = json!({"path": "/repos/o/app$", "status": 301, "headers": {"Location": "https://example.org/"}});
    world.github.spoil(&moved)?;
    let said = world.chain_command(&world.push("lib"), &["dispatch"])?;
    said.fails_with(
        "`GET /repos/o/app` was answered with 301: the repository was renamed or moved",
    )?;
    said.says("put its new name into `chain.toml`")?;
    Ok(())
}
