//! `chain.toml`: a valid chain is sorted and yields the same files each time; a finding points to a place in the text.

use std::collections::BTreeSet;

use runner_cache::chain::init::wanted;
use runner_cache::chain::{Chain, Format, show};
use serde_json::Value;

/// Parses `bytes` as a chain.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Chain::parse("chain.toml", &text) {
        Ok(chain) => whole(&chain, &text),
        Err(findings) => {
            assert!(!findings.findings.is_empty(), "an error says what is wrong");
            let lines = text.split('\n').count();
            for finding in &findings.findings {
                assert!((1..=lines).contains(&finding.line), "line {}", finding.line);
                assert!(
                    (1..=text.len() + 1).contains(&finding.column),
                    "column {}",
                    finding.column
                );
                let message = &finding.message;
                assert!(message.chars().all(|symbol| !symbol.is_control()), "{message:?}");
            }
        }
    }
}

fn whole(chain: &Chain, text: &str) {
    let mut before = BTreeSet::new();
    for repo in chain.repos() {
        assert!(repo.depends.iter().all(|name| before.contains(name)), "{:?}", repo.name);
        assert!(!repo.runner.is_empty() && !repo.branches.is_empty(), "{:?}", repo.name);
        before.insert(repo.name.clone());
    }
    assert_eq!(before.len(), chain.repos().len(), "no two repos have one name");
    assert_eq!(Chain::parse("chain.toml", text).as_ref(), Ok(chain));
    let json: Value = serde_json::from_str(&show(chain, Format::Json)).expect("it is JSON");
    assert_eq!(json["repos"].as_array().map(Vec::len), Some(chain.repos().len()));
    let files = wanted(chain, text);
    assert_eq!(files, wanted(chain, text));
    let places: BTreeSet<_> = files.iter().map(|it| (it.repository.as_str(), it.path)).collect();
    assert_eq!(places.len(), files.len(), "no two files have one place");
    for file in &files {
        assert!(!file.text.contains('\0'), "{} {}", file.repository, file.path);
    }
}
