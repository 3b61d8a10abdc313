//! The payload of a dispatched event, by which one repo tells the next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::{ChainId, GitRef, RepoName, Sha, shown};

/// The maximum of keys that GitHub takes at the top of a payload.
const MAX_KEYS: usize = 10;

/// The largest payload that is read or sent, in bytes. GitHub takes 64 KiB.
const MAX_BYTES: usize = 32 << 10;

/// One link of a chain, version 1 of the payload. `docs/guide/chain.md` is the authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    schema: Schema,
    /// The repo whose change started the chain.
    pub source: RepoName,
    /// The commit that started it.
    pub source_sha: Sha,
    /// The ref that started it.
    pub source_ref: GitRef,
    /// The tag of the release that started it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<GitRef>,
    /// The identity of this chain.
    pub chain_id: ChainId,
    hop: usize,
    /// The repos that the chain went through, from its source to the sender.
    pub visited: Vec<RepoName>,
    /// The commit of each repo that this chain builds, looked up once at its start.
    pub commits: BTreeMap<RepoName, Sha>,
}

/// The version of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
struct Schema;

impl From<Schema> for u64 {
    fn from(Schema: Schema) -> Self {
        1
    }
}

impl TryFrom<u64> for Schema {
    type Error = String;

    fn try_from(version: u64) -> Result<Self, String> {
        let refuse = || format!("version {version} is not known (1 is)");
        (version == 1).then_some(Self).ok_or_else(refuse)
    }
}

/// The payload of a received event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A link of a chain.
    Link(Box<Payload>),
    /// A payload from before there were versions: it names its sender and a commit.
    Old {
        /// The name that the sender gives itself, if any.
        sender: Option<String>,
        /// Its commit, if it has all its digits.
        sha: Option<Sha>,
    },
}

impl Payload {
    /// Returns the first payload of a chain.
    pub(super) fn first(
        source: RepoName,
        source_sha: Sha,
        source_ref: GitRef,
        version: Option<GitRef>,
        chain_id: ChainId,
    ) -> Self {
        let commits = BTreeMap::from([(source.clone(), source_sha.clone())]);
        let visited = vec![source.clone()];
        Self {
            schema: Schema,
            source,
            source_sha,
            source_ref,
            version,
            chain_id,
            hop: 1,
            visited,
            commits,
        }
    }

    /// Returns the payload that `sender` sends on after it received this one.
    #[must_use]
    pub(super) fn passed_on(&self, sender: RepoName) -> Self {
        let mut payload = self.clone();
        payload.visited.push(sender);
        payload.hop = payload.visited.len();
        payload
    }

    /// Returns the number of repos that the chain went through.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Returns the sender.
    pub(super) fn sender(&self) -> &RepoName {
        self.visited.last().unwrap_or(&self.source)
    }

    /// Returns its JSON, unless it is larger than the limit of a receiver.
    pub(super) fn to_json(&self) -> Result<Value, String> {
        let json = serde_json::to_value(self).expect("words and numbers are plain JSON");
        check_size(&json)?;
        Ok(json)
    }

    /// Returns its first inconsistency, if any.
    fn oddity(&self) -> Option<String> {
        let names: BTreeSet<_> = self.visited.iter().collect();
        if self.visited.first() != Some(&self.source) {
            return Some(format!("`visited` does not begin with its source, `{}`", self.source));
        }
        if self.hop != self.visited.len() {
            let len = self.visited.len();
            return Some(format!("`hop` is {}, and `visited` has {len} repos", self.hop));
        }
        (names.len() != self.visited.len()).then(|| "`visited` names a repo twice".to_owned())
    }
}

/// Parses a payload of any content: everybody who may write to a repository can send one.
pub(super) fn read(json: &Value) -> Result<Incoming, String> {
    let Some(object) = json.as_object() else {
        return Err("it is not a JSON object".to_owned());
    };
    if object.len() > MAX_KEYS {
        return Err(format!("it has {} keys; GitHub takes {MAX_KEYS}", object.len()));
    }
    check_size(json)?;
    if !object.contains_key("schema") {
        let sender = ["triggered_by", "source", "repo"].iter().find_map(|key| object.get(*key));
        let sender = match sender {
            None | Some(Value::Null) => None,
            Some(Value::String(sender)) => Some(sender.clone()),
            Some(_) => return Err("its sender is not a text".to_owned()),
        };
        let sha = ["source_sha", "sha"].iter().find_map(|key| object.get(*key)?.as_str());
        return Ok(Incoming::Old { sender, sha: sha.and_then(|sha| sha.parse().ok()) });
    }
    let payload = Payload::deserialize(json).map_err(|error| shown(&error.to_string()))?;
    match payload.oddity() {
        Some(oddity) => Err(oddity),
        None => Ok(Incoming::Link(Box::new(payload))),
    }
}

fn check_size(json: &Value) -> Result<(), String> {
    let bytes = json.to_string().len();
    if bytes > MAX_BYTES {
        return Err(format!("it has {bytes} bytes; {MAX_BYTES} is the limit"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    fn link() -> Value {
        json!({
            "schema": 1, "source": "spec", "source_sha": "a".repeat(40), "source_ref": "refs/heads/main",
            "chain_id": "42", "hop": 2, "visited": ["spec", "lib"], "commits": {"lib": "b".repeat(40)},
        })
    }

    #[test]
    fn a_payload_reads_back_as_it_was_sent() -> Result {
        let sha = |digit: &str| digit.repeat(40).parse();
        let version = Some("v1.2".parse()?);
        let ref_of = |text: &str| text.parse();
        let mut payload = Payload::first(
            "spec".parse()?,
            sha("a")?,
            ref_of("refs/tags/v1.2")?,
            version,
            "42".parse()?,
        );
        payload.commits.insert("lib".parse()?, sha("b")?);
        let payload = payload.passed_on("lib".parse()?);
        let json = payload.to_json()?;
        assert_eq!(read(&json)?, Incoming::Link(Box::new(payload)));
        let want = json!({
            "schema": 1, "source": "spec", "source_sha": "a".repeat(40), "source_ref": "refs/tags/v1.2",
            "version": "v1.2", "chain_id": "42", "hop": 2, "visited": ["spec", "lib"],
            "commits": {"spec": "a".repeat(40), "lib": "b".repeat(40)},
        });
        assert_eq!(json, want);
        Ok(())
    }

    #[test]
    fn a_payload_from_before_there_were_versions_says_who_sent_it() -> Result {
        let sha = "a".repeat(40);
        #[rustfmt::skip]
        let cases = [
            (json!({"triggered_by": "a", "version": "main", "source_ref": "r", "source_sha": sha}), Some("a"),   true),
            (json!({"source": "a", "version": "v1"}),                                               Some("a"),   false),
            (json!({"ref": "r", "sha": sha, "repo": "o/a"}),                                        Some("o/a"), true),
            (json!({"ref": "r", "sha": "main"}),                                                    None,        false),
            (json!({}),                                                                             None,        false),
        ];
        for (json, sender, has_sha) in cases {
            let sha = has_sha.then(|| sha.parse()).transpose()?;
            let want = Incoming::Old { sender: sender.map(str::to_owned), sha };
            assert_eq!(read(&json)?, want, "{json}");
        }
        Ok(())
    }

    #[test]
    fn a_malformed_payload_is_refused_in_one_line() {
        let with = |key: &str, value: Value| {
            let mut json = link();
            json[key] = value;
            json
        };
        let mut eleven = link();
        for key in ["x", "y", "z"] {
            eleven[key] = Value::Null;
        }
        #[rustfmt::skip]
        let cases = [
            ("not an object",  json!("x"),                                       "it is not a JSON object"),
            ("null",           Value::Null,                                      "it is not a JSON object"),
            ("11 keys",        eleven,                                           "it has 11 keys; GitHub takes 10"),
            ("100 kB",         with("x", json!("y".repeat(100_000))),            "it has 100232 bytes; 32768 is the limit"),
            ("deep",           json!({"schema": 1, "source": [[[[["x"]]]]]}),    "invalid type: sequence, expected a string"),
            ("version 2",      with("schema", json!(2)),                         "version 2 is not known (1 is)"),
            ("a version word", with("schema", json!("1")),                       "invalid type: string \"1\", expected u64"),
            ("no repo",        with("source", json!("../x")),                    "`../x` is not the name of a repo (1 to 64 of A-Z a-z 0-9 _ -, a letter first, and not `all`)"),
            ("no commit",      with("source_sha", json!("main")),                "`main` is not a commit (40 or 64 hex digits, in lower case)"),
            ("an option",      with("source_ref", json!("--upload-pack=x")),     "`--upload-pack=x` is not a branch, a tag or a full ref"),
            ("a command",      with("source_ref", json!("a\n::error::b")),       "`a\\n::error::b` is not a branch, a tag or a full ref"),
            ("no chain",       with("chain_id", json!("a/b")),                   "`a/b` is not a chain (1 to 64 of A-Z a-z 0-9 . _ -)"),
            ("a hop too many", with("hop", json!(3)),                            "`hop` is 3, and `visited` has 2 repos"),
            ("a negative hop", with("hop", json!(-1)),                           "invalid value: integer `-1`, expected usize"),
            ("another start",  with("visited", json!(["lib", "spec"])),          "`visited` does not begin with its source, `spec`"),
            ("nowhere",        with("visited", json!([])),                       "`visited` does not begin with its source, `spec`"),
            ("twice",          with("visited", json!(["spec", "spec"])),         "`visited` names a repo twice"),
            ("a hostile name", with("commits", json!({"a b": "c".repeat(40)})),  "`a b` is not the name of a repo (1 to 64 of A-Z a-z 0-9 _ -, a letter first, and not `all`)"),
        ];
        for (why, json, want) in cases {
            assert_eq!(read(&json).err().as_deref(), Some(want), "{why}");
        }
    }
}
