//! Finds the right that a token lacks, from GitHub's answers.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::api::{Answer, Api};
use super::error::{Error, Result};
use super::token::{Token, TokenKind};

/// A right that not every token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Send events to a repository.
    Send,
    /// Write statuses of a repository's commits.
    Note,
    /// Publish releases.
    Publish,
}

/// The parts of GitHub's description of a repository that we read.
#[derive(Debug, Default, Deserialize)]
struct Seen {
    #[serde(default)]
    private: bool,
    #[serde(default)]
    permissions: Option<Permissions>,
}

/// A page of the repositories of an installation.
#[derive(Debug, Deserialize)]
struct Reached {
    repositories: Vec<ReachedRepository>,
}

#[derive(Debug, Deserialize)]
struct ReachedRepository {
    full_name: String,
}

#[derive(Debug, Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    push: bool,
}

impl Right {
    fn action(self) -> &'static str {
        match self {
            Self::Send => "send events to",
            Self::Note => "write statuses of commits of",
            Self::Publish => "publish releases of",
        }
    }

    /// Returns the name of the permission on GitHub's pages.
    fn permission(self) -> &'static str {
        match self {
            Self::Send | Self::Publish => "`Contents: read and write`",
            Self::Note => "`Commit statuses: read and write`",
        }
    }
}

/// Checks that the token may send events to each of `repositories`. Sends no event.
pub(super) fn check(api: &Api, repositories: &[String]) -> Result<()> {
    let reached = match api.token().map(Token::kind) {
        Some(TokenKind::Installation) if !repositories.is_empty() => reached(api)?,
        _ => None,
    };
    let mut denied = Vec::new();
    let mut missing = None;
    for repository in repositories {
        let answer = api.get(&format!("/repos/{repository}"))?;
        let lacks = match (answer.status, &reached) {
            (200, Some(reached)) => !reached.contains(&repository.to_ascii_lowercase()),
            (200, None) => lacks(api, &answer)?,
            (401 | 403 | 404, _) => true,
            _ => return Err(answer.into_error()),
        };
        if lacks {
            denied.push(repository.clone());
            missing.get_or_insert_with(|| missing_right(api, Right::Send, &answer));
        }
    }
    match missing {
        Some(missing) => {
            Err(Error::Denied { action: Right::Send.action(), repositories: denied, missing })
        }
        None => Ok(()),
    }
}

/// Returns the repositories that an installation's token was made for, in lower case; `None` if the
/// server does not tell. That such a token can read a public repository says nothing about its
/// rights.
fn reached(api: &Api) -> Result<Option<BTreeSet<String>>> {
    const PAGE: usize = 100;
    const MAX_PAGES: usize = 100;
    let mut reached = BTreeSet::new();
    for page in 1..=MAX_PAGES {
        let path = format!("/installation/repositories?per_page={PAGE}&page={page}");
        let answer = api.get(&path)?;
        if answer.status != 200 {
            return Ok(None);
        }
        let Reached { repositories } = answer.json()?;
        let is_last = repositories.len() < PAGE;
        reached.extend(repositories.into_iter().map(|it| it.full_name.to_ascii_lowercase()));
        if is_last {
            break;
        }
    }
    Ok(Some(reached))
}

/// Turns an unexpected answer into an error.
pub(super) fn refused(api: &Api, right: Right, repository: &str, answer: Answer) -> Error {
    if !matches!(answer.status, 401 | 403 | 404) {
        return answer.into_error();
    }
    let missing = missing_right(api, right, &answer);
    Error::Denied { action: right.action(), repositories: vec![repository.to_owned()], missing }
}

/// Tells whether a token that can read a repository may not write to it.
fn lacks(api: &Api, answer: &Answer) -> Result<bool> {
    let Some(kind) = api.token().map(Token::kind) else { return Ok(true) };
    let seen: Seen = answer.json()?;
    let may_push = seen.permissions.is_some_and(|permissions| permissions.push);
    let has_scope = scopes(answer).is_none_or(|scopes| {
        scopes.contains(&"repo") || (!seen.private && scopes.contains(&"public_repo"))
    });
    Ok(match kind {
        TokenKind::Classic => !may_push || !has_scope,
        TokenKind::FineGrained | TokenKind::Other => !may_push,
        // Only an attempt shows whether it may.
        TokenKind::Installation => false,
    })
}

/// Returns the scopes of a classic token.
fn scopes(answer: &Answer) -> Option<Vec<&str>> {
    Some(answer.header("x-oauth-scopes")?.split(',').map(str::trim).collect())
}

/// What GitHub says if a token lacks a right, and nothing else is the matter.
const DENIALS: [&str; 5] = [
    "Bad credentials",
    "Must have admin rights",
    "Not Found",
    "Requires authentication",
    "Resource not accessible by",
];

/// Returns why GitHub refused, as a clause: the right that the token lacks, and GitHub's own words. Those alone if they
/// are about another reason, such as an archived repository.
fn missing_right(api: &Api, right: Right, answer: &Answer) -> String {
    let (status, message) = (answer.status, answer.message());
    let lacking = lacking(api, right, answer);
    if status == 200 || message.is_empty() {
        return lacking;
    }
    let is_denial = DENIALS.iter().any(|denial| message.starts_with(denial));
    if is_denial || answer.header("x-github-sso").is_some() {
        format!("{lacking} (GitHub answers {status}: {message})")
    } else {
        format!("GitHub answers {status}: {message}")
    }
}

/// Returns the right that the token lacks, as a clause.
fn lacking(api: &Api, right: Right, answer: &Answer) -> String {
    let permission = right.permission();
    let secret = api.secret();
    let kind = api.token().map(Token::kind);
    if answer.header("x-github-sso").is_some() {
        return "it is not authorized for the single sign-on of the organisation".to_owned();
    }
    match (answer.status, kind) {
        (_, None) if secret.as_str() == "CHAIN_TOKEN" => {
            "no token is given; set `CHAIN_TOKEN`".to_owned()
        }
        (_, None) => format!(
            "no token is given; set the secret `{secret}`, or `CHAIN_TOKEN` outside of a workflow"
        ),
        (401, _) => "it is expired, revoked or mistyped".to_owned(),
        (_, Some(TokenKind::Installation)) => format!(
            "an installation's token, such as GITHUB_TOKEN, reaches only the repositories that it was made for; the \
             secret `{secret}` of a chain needs {permission} there"
        ),
        (_, Some(TokenKind::Classic)) => match scopes(answer) {
            Some(scopes) if !scopes.contains(&"repo") => {
                let has = if scopes == [""] {
                    "none".to_owned()
                } else {
                    format!("`{}`", scopes.join("`, `"))
                };
                format!("the scope `repo` is missing (it has {has})")
            }
            _ => "its user may not write there, or there is no such repository".to_owned(),
        },
        (_, Some(TokenKind::FineGrained)) => format!(
            "{permission} is missing, the repository is not among those that it was made for, or there is none of that name"
        ),
        (_, Some(TokenKind::Other)) => {
            format!("{permission} is missing, or there is no such repository")
        }
    }
}
