//! Payloads of events: a payload gives its sender no trust, and a link of a chain reads back unchanged.

use std::ffi::OsString;

use runner_cache::chain::{Event, Incoming};
use runner_cache::github::event::Payload;
use runner_cache::github::runner::Runner;
use runner_cache::github::trust::Trust;
use runner_cache::model::environment::Environment;
use runner_cache::model::scope::Lane;
use serde_json::json;

use super::world::World;

/// The events that may be protected: they run code from people with write access.
const TRUSTED: [&str; 6] =
    ["push", "schedule", "workflow_dispatch", "repository_dispatch", "release", "merge_group"];

/// Reads `bytes` as lines: the event, its ref, whether the ref is protected (`true`), and the payload.
pub fn run(bytes: &[u8]) {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut word = || String::from_utf8_lossy(lines.next().unwrap_or_default()).replace('\0', "");
    let (event, git_ref, is_protected) = (word(), word(), word());
    let payload = lines.next().unwrap_or_default();
    trust(&event, &git_ref, &is_protected, payload);
    chain(&event, payload);
}

fn trust(event: &str, git_ref: &str, is_protected: &str, json: &[u8]) {
    let payload = World::with(|world| {
        let path = world.beside("event.json");
        world.write(&path, json);
        let payload = Payload::read(Some(&path));
        world.remove(&path);
        payload
    });
    let variables = [
        ("GITHUB_EVENT_NAME", event),
        ("GITHUB_REF", git_ref),
        ("GITHUB_REF_PROTECTED", is_protected),
        ("GITHUB_REPOSITORY", "owner/app"),
        ("GITHUB_WORKSPACE", "/srv/ci/app/app"),
    ];
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let environment: Environment = variables.into_iter().collect();
    let runner = Runner::of(&environment, "/srv/ci".as_ref());
    let trust = Trust::of(&runner, &payload);
    for text in trust.warnings.iter().chain([&trust.reason]) {
        assert!(text.chars().all(|symbol| !symbol.is_control()), "{text:?}");
    }
    for lane in [Some(&trust.lane), trust.base.as_ref()].into_iter().flatten() {
        assert_eq!(lane.to_string().parse().as_ref(), Ok(lane));
    }
    if trust.lane == Lane::Protected {
        assert!(TRUSTED.contains(&event), "{event:?} is protected");
        assert!(!git_ref.starts_with("refs/pull/"), "{git_ref:?} is protected");
        let payload = payload.expect("what cannot be read is never protected");
        assert_eq!(payload.pull_request, None);
    }
}

fn chain(event: &str, json: &[u8]) {
    match Event::parse(event, json) {
        Ok(Event::Dispatch { event_type, incoming: Incoming::Link(payload) }) => {
            let again = json!({ "action": event_type, "client_payload": payload }).to_string();
            let again = Event::parse(event, again.as_bytes()).expect("what was read is read again");
            assert_eq!(again, Event::Dispatch { event_type, incoming: Incoming::Link(payload) });
        }
        Ok(_) => {}
        Err(error) => {
            let message = error.to_string();
            assert!(message.chars().all(|symbol| !symbol.is_control()), "{message:?}");
        }
    }
}
