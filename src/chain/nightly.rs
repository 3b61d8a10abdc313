//! The nightly prerelease: whether there is anything new, its name, and its commits.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::Api;
use super::commits::Commits;
use super::error::{Error, Result};
use super::names::{GitRef, Sha};
use super::repo::Chain;
use super::rights::{Right, refused};

/// The prefix of every tag of a nightly.
const PREFIX: &str = "nightly-";

/// The minimum of a commit's digits in a tag, as in git.
const MIN_DIGITS: usize = 7;

/// A release, as GitHub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Release {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    html_url: String,
    tag_name: String,
    #[serde(default)]
    target_commitish: String,
    #[serde(default)]
    prerelease: bool,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    published_at: Option<String>,
    #[serde(default)]
    body: Option<String>,
}

/// The decision about a new nightly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nightly {
    /// The tag of the last nightly whose notes record its commits.
    pub last: Option<String>,
    /// Whether the last nightly has the same commits.
    pub is_same: bool,
    /// The tag of the new nightly.
    pub tag: GitRef,
}

/// The commits of a nightly, as recorded in its notes.
#[derive(Debug, Serialize, Deserialize)]
struct NightlyRecord {
    commits: Commits,
}

/// A published release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Published {
    /// Its number.
    pub id: u64,
    /// Its page.
    pub html_url: String,
}

/// Decides whether to make a nightly of `commits`. `target` is the commit to tag, in the repository
/// of the nightlies. `date` is today's, as `20261126`.
pub fn plan(
    chain: &Chain,
    api: &Api,
    commits: &Commits,
    target: &Sha,
    date: &str,
) -> Result<Nightly> {
    let releases = list(api, &repository(chain)?)?;
    Ok(decide(&releases, commits, target, date))
}

/// Returns the newest releases of a repository.
fn list(api: &Api, repository: &str) -> Result<Vec<Release>> {
    const PAGE: usize = 100;
    const MAX_PAGES: usize = 10;
    let mut releases = Vec::new();
    for page in 1..=MAX_PAGES {
        let answer =
            api.get(&format!("/repos/{repository}/releases?per_page={PAGE}&page={page}"))?;
        if answer.status != 200 {
            return Err(refused(api, Right::Publish, repository, answer));
        }
        let mut listed: Vec<Release> = answer.json()?;
        let is_last = listed.len() < PAGE;
        releases.append(&mut listed);
        if is_last {
            break;
        }
    }
    Ok(releases)
}

/// Publishes a nightly: always as a prerelease, never as the latest. The same nightly, if it is published already, is a
/// success: the answer to an earlier request may have been lost.
pub fn publish(
    chain: &Chain,
    api: &Api,
    tag: &GitRef,
    commits: &Commits,
    target: &Sha,
) -> Result<Published> {
    if !tag.as_str().starts_with(PREFIX) {
        return Err(Error::Missing(format!(
            "`{tag}` is no tag of a nightly: those begin with `{PREFIX}`"
        )));
    }
    let repository = repository(chain)?;
    let body = json!({
        "tag_name": tag,
        "target_commitish": target,
        "name": tag,
        "body": notes(chain, commits),
        "draft": false,
        "prerelease": true,
        "make_latest": "false",
    });
    let answer = api.post(&format!("/repos/{repository}/releases"), &body)?;
    match answer.status {
        201 => answer.json(),
        422 => {
            match list(api, &repository)?.into_iter().find(|it| it.is_of(tag, commits, target)) {
                Some(Release { id, html_url, .. }) => Ok(Published { id, html_url }),
                None => Err(answer.into_error()),
            }
        }
        _ => Err(refused(api, Right::Publish, &repository, answer)),
    }
}

impl Release {
    /// Tells whether it is the published nightly of these commits.
    fn is_of(&self, tag: &GitRef, commits: &Commits, target: &Sha) -> bool {
        let made_of = self.body.as_deref().and_then(recorded);
        self.prerelease
            && !self.draft
            && self.tag_name == tag.as_str()
            && self.target_commitish == target.as_str()
            && made_of.as_ref() == Some(commits)
    }
}

/// Returns the repository in which nightlies are published.
pub fn repository(chain: &Chain) -> Result<String> {
    let none =
        || Error::Missing("`chain.toml` has no `releases.repository` to publish in".to_owned());
    Ok(chain.full_name(chain.releases().repository.as_ref().ok_or_else(none)?))
}

/// Returns the notes of a nightly, for people and for the comparison with the next nightly.
pub fn notes(chain: &Chain, commits: &Commits) -> String {
    let mut notes =
        "Built from the newest commit of each repo:\n\n| repo | commit |\n|---|---|\n".to_owned();
    for repo in chain.repos() {
        if let Some(sha) = commits.get(&repo.name) {
            let full_name = chain.full_name(&repo.repository);
            writeln!(notes, "| {} | {full_name}@{sha} |", repo.name)
                .expect("a string takes any text");
        }
    }
    let record = serde_json::to_string(&NightlyRecord { commits: commits.clone() });
    let record = record.expect("words are plain JSON");
    writeln!(notes, "\n{OPEN}{record}{CLOSE}").expect("a string takes any text");
    notes
}

const OPEN: &str = "<!-- runner-cache chain: ";
const CLOSE: &str = " -->";

/// Returns the commits of a nightly, if its notes record them.
fn recorded(notes: &str) -> Option<Commits> {
    let record = notes.split_once(OPEN)?.1.split_once(CLOSE)?.0;
    serde_json::from_str(record).ok().map(|record: NightlyRecord| record.commits)
}

fn decide(releases: &[Release], commits: &Commits, target: &Sha, date: &str) -> Nightly {
    let nightlies = releases.iter().filter(|release| {
        release.prerelease && !release.draft && release.tag_name.starts_with(PREFIX)
    });
    let made_of =
        nightlies.filter_map(|release| Some((release, recorded(release.body.as_deref()?)?)));
    let last = made_of.max_by(|(a, _), (b, _)| a.published_at.cmp(&b.published_at));
    let tags: BTreeSet<_> = releases.iter().map(|release| release.tag_name.as_str()).collect();
    Nightly {
        is_same: last.as_ref().is_some_and(|(_, made_of)| made_of == commits),
        last: last.map(|(release, _)| super::names::shown(&release.tag_name)),
        tag: tag(&tags, target, date),
    }
}

/// Returns a free tag, with as few digits of the commit as possible.
fn tag(taken: &BTreeSet<&str>, target: &Sha, date: &str) -> GitRef {
    let digits = target.as_str();
    let mut tags =
        (MIN_DIGITS..=digits.len()).map(|len| format!("{PREFIX}{date}-{}", &digits[..len]));
    let free = tags.find(|tag| !taken.contains(tag.as_str()));
    let tag = free.unwrap_or_else(|| format!("{PREFIX}{date}-{digits}"));
    tag.parse().expect("a date and digits are fit for a tag")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    fn chain() -> Result<Chain> {
        let text = "owner = 'o'\n[releases]\nrepository = 'all'\n\
            [repos.lib]\nkind = 'library'\n[repos.app]\nkind = 'binary'\ndepends = ['lib']\n";
        Ok(Chain::parse("c", text)?)
    }

    fn commits(lib: &str, app: &str) -> Result<Commits> {
        Ok(Commits::from([
            ("lib".parse()?, lib.repeat(40).parse()?),
            ("app".parse()?, app.repeat(40).parse()?),
        ]))
    }

    fn nightly(tag: &str, published_at: &str, made_of: &Commits) -> Result<Release> {
        let body = Some(notes(&chain()?, made_of));
        let (tag_name, published_at) = (tag.to_owned(), Some(published_at.to_owned()));
        let (id, html_url, target_commitish) = (0, String::new(), String::new());
        let (prerelease, draft) = (true, false);
        Ok(Release {
            id,
            html_url,
            tag_name,
            target_commitish,
            prerelease,
            draft,
            published_at,
            body,
        })
    }

    #[test]
    fn a_nightly_is_made_unless_the_last_is_of_the_same_commits() -> Result {
        let (old, new) = (commits("1", "2")?, commits("1", "3")?);
        let target: Sha = "0123456789".repeat(4).parse()?;
        let of_old = nightly("nightly-20261124-abcdef0", "2026-11-24T02:00:00Z", &old)?;
        let of_new = nightly("nightly-20261125-abcdef1", "2026-11-25T02:00:00Z", &new)?;
        let official =
            Release { prerelease: false, ..nightly("v1", "2026-11-25T12:00:00Z", &old)? };
        let marked =
            Release { prerelease: false, ..nightly("nightly-x", "2026-11-25T13:00:00Z", &old)? };
        let draft = Release { draft: true, ..nightly("nightly-y", "2026-11-25T14:00:00Z", &old)? };
        let by_hand = Release {
            body: Some("by hand".to_owned()),
            ..nightly("nightly-z", "2026-11-25T15:00:00Z", &old)?
        };
        let night = "nightly-20261126-0123456";
        #[rustfmt::skip]
        let cases = [
            ("the first",            vec![],                                     &old, None,                             false),
            ("something new",        vec![of_old.clone()],                       &new, Some("nightly-20261124-abcdef0"), false),
            ("nothing new",          vec![of_new.clone(), of_old.clone()],       &new, Some("nightly-20261125-abcdef1"), true),
            ("listed in any order",  vec![of_old.clone(), of_new.clone()],       &new, Some("nightly-20261125-abcdef1"), true),
            ("back to what was",     vec![of_new.clone(), of_old.clone()],       &old, Some("nightly-20261125-abcdef1"), false),
            ("others do not count",  vec![official, marked, draft, by_hand, of_new], &old, Some("nightly-20261125-abcdef1"), false),
        ];
        for (why, releases, commits, last, is_same) in cases {
            let last = last.map(str::to_owned);
            let want = Nightly { last, is_same, tag: night.parse()? };
            assert_eq!(decide(&releases, commits, &target, "20261126"), want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn a_second_nightly_of_one_day_and_commit_has_a_digit_more() -> Result {
        let target: Sha = "0123456789".repeat(4).parse()?;
        let made =
            nightly("nightly-20261126-0123456", "2026-11-26T02:00:00Z", &commits("1", "2")?)?;
        let nightly = decide(&[made], &commits("1", "3")?, &target, "20261126");
        assert_eq!(nightly.tag.as_str(), "nightly-20261126-01234567");
        Ok(())
    }

    #[test]
    fn notes_say_what_a_nightly_is_made_of_to_people_and_to_the_next_one() -> Result {
        let commits = commits("1", "2")?;
        let notes = notes(&chain()?, &commits);
        assert!(
            notes.contains(&format!("| lib | o/lib@{} |\n| app | ", "1".repeat(40))),
            "{notes}"
        );
        assert_eq!(recorded(&notes), Some(commits));
        for forged in [
            "",
            "<!-- runner-cache chain: {} -->",
            "<!-- runner-cache chain: {\"commits\":{\"a\":\"x\"}} -->",
        ] {
            assert_eq!(recorded(forged), None, "{forged}");
        }
        Ok(())
    }
}
