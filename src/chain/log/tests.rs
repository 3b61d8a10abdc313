//! The run that tells a repo and the run that takes it, in any order in which runs write and read the log.

use proptest::prelude::*;

use super::super::repo::Repo;
use super::*;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `end` is built from `left` and `right`, which are built from `start`; and from `apart`.
fn diamond() -> Result<(Chain, Payload)> {
    let text = "owner = 'o'\n[repos.start]\nkind = 'docs'\n[repos.apart]\nkind = 'library'\n\
        [repos.left]\nkind = 'library'\ndepends = ['start']\n\
        [repos.right]\nkind = 'library'\ndepends = ['start']\n\
        [repos.end]\nkind = 'binary'\ndepends = ['left', 'right', 'apart']\n";
    let chain = Chain::parse("c", text)?;
    let (sha, git_ref) = ("a".repeat(40).parse()?, "refs/heads/main".parse()?);
    Ok((chain, Payload::first("start".parse()?, sha, git_ref, None, "7".parse()?)))
}

/// Makes a log of words: `left` is done, `left?` taken, `left!` failed.
fn log(words: &str) -> Result<Log> {
    let status = |(id, word): (usize, &str)| {
        let (state, repo) = match word.split_at(word.len() - 1) {
            (repo, "?") => (State::Taken, repo),
            (repo, "!") => (State::Failed, repo),
            _ => (State::Done, word),
        };
        let (id, target_url) = (id as u64, Some(format!("run {id}")));
        Status {
            id,
            state: state.as_str().to_owned(),
            context: format!("chain/7/{repo}"),
            target_url,
        }
    };
    let mut statuses: Vec<_> = words.split_whitespace().enumerate().map(status).collect();
    // GitHub lists the newest first, with other statuses in between.
    statuses.reverse();
    for context in ["ci/test", "chain/77/left", "chain/6/right"] {
        let (state, context) = ("success".to_owned(), context.to_owned());
        statuses.push(Status { id: 99, state, context, target_url: None });
    }
    let mut log = Log::of(&"7".parse()?);
    assert_eq!(log.add(statuses), Reading::Orderly);
    Ok(log)
}

#[test]
fn the_last_of_those_it_waits_for_tells_a_repo_and_no_other() -> Result {
    let (chain, payload) = diamond()?;
    let name = |name: &str| name.parse::<RepoName>();
    let waits = |names: &[&str]| {
        names.iter().map(|it| name(it)).collect::<std::result::Result<_, _>>().map(Next::Waits)
    };
    #[rustfmt::skip]
    let cases = [
        ("left alone",          "start left",             "left",  false, waits(&["right"])?),
        ("right is last",       "start left right",       "right", false, Next::Send),
        ("left is not last",    "start left right",       "left",  false, Next::Left(name("right")?)),
        ("left again",          "start left right left",  "left",  false, Next::Left(name("right")?)),
        ("left is repeated",    "start left right left",  "left",  true,  Next::Send),
        ("the end is taken",    "start left right end?",  "right", true,  Next::Taken),
        ("right failed",        "start left right!",      "left",  false, waits(&["right"])?),
        ("right failed once",   "start right! left right", "right", true, Next::Send),
        ("right is only taken", "start right? left",      "left",  false, waits(&["right"])?),
    ];
    for (why, words, done, is_repeated, want) in cases {
        let got =
            decide(&chain, &payload, &log(words)?, (&name(done)?, &name("end")?), is_repeated);
        assert_eq!(got, want, "{why}");
    }
    Ok(())
}

#[test]
fn exactly_one_of_all_that_are_done_tells_a_repo_in_whatever_order() -> Result {
    let (chain, payload) = diamond()?;
    for words in ["start left right", "start right left"] {
        let mut sent = 0;
        // Each run reads the log when it is done, or at any later time.
        for done in ["left", "right"] {
            let log = log(words)?;
            let names = (&done.parse()?, &"end".parse()?);
            sent += usize::from(decide(&chain, &payload, &log, names, false) == Next::Send);
        }
        assert_eq!(sent, 1, "{words}");
    }
    Ok(())
}

#[test]
fn of_all_runs_that_take_a_repo_when_it_may_be_built_the_first_has_it() -> Result {
    let (left, right) = ("left".parse()?, "right".parse()?);
    #[rustfmt::skip]
    let cases = [
        ("nobody",                 "left right",                &[&left, &right][..], None),
        ("the first",              "left right end? end?",      &[&left, &right],     Some("run 2")),
        ("one that came too early", "left end? right end? end?", &[&left, &right],     Some("run 3")),
        ("all came too early",     "end? left end? right",      &[&left, &right],     None),
        ("one is not done",        "left right? end?",          &[&left, &right],     None),
        ("it waits for nobody",    "end? left end? right",      &[],                  Some("run 0")),
        ("done again since",       "left right end? left end?", &[&left, &right],     Some("run 2")),
    ];
    for (why, words, awaited, want) in cases {
        assert_eq!(log(words)?.owner("end", awaited), want, "{why}");
    }
    Ok(())
}

/// Repos `r0` to `r6`, each built from some repos before it; `needs` has a bit for each.
fn chain_of(needs: &[u8]) -> Result<Chain> {
    let mut text = "owner = 'o'\n".to_owned();
    for (at, needs) in needs.iter().enumerate() {
        let needs = (0..at).filter(|other| needs & (1 << other) != 0 || *other == 0);
        let needs: Vec<_> = needs.map(|other| format!("'r{other}'")).collect();
        let needs = needs.join(", ");
        let table = format!("[repos.r{at}]\nkind = 'library'\ndepends = [{needs}]\n");
        text.push_str(&table);
    }
    Ok(Chain::parse("c", &text)?)
}

#[test]
fn a_reading_that_lacks_an_entry_is_known_by_the_next_one() -> Result {
    let all = log("a b c d")?;
    let reading = |ids: &[u64]| -> Vec<_> {
        ids.iter().filter_map(|id| all.entries.get(id).cloned()).collect()
    };
    #[rustfmt::skip]
    let cases = [
        ("the same",      &[0, 1][..], &[0, 1][..],    Reading::Orderly),
        ("more",          &[0, 1],     &[0, 1, 2, 3],  Reading::Orderly),
        ("the first",     &[],         &[1, 3],        Reading::Orderly),
        ("an older list", &[0, 1, 2],  &[0, 1],        Reading::Torn),
        ("a gap",         &[0, 1, 2],  &[0, 2, 3],     Reading::Torn),
        ("a late one",    &[0, 2],     &[0, 1, 2],     Reading::Torn),
    ];
    for (why, before, now, want) in cases {
        let mut log = Log::of(&"7".parse()?);
        log.add(reading(before));
        assert_eq!(log.add(reading(now)), want, "{why}");
        assert!(before.iter().chain(now).all(|id| log.shows(*id)), "{why}");
    }
    Ok(())
}

/// A reading: the milliseconds since the first one, its kind, and whether it shows the own entry.
type Look = (u64, Reading, bool);

#[test]
fn a_log_is_believed_when_it_stood_still_with_the_own_entry_in_it() {
    use Reading::{Orderly, Torn};
    #[rustfmt::skip]
    let cases: [(&str, &[Look], bool); 5] = [
        ("one reading",        &[(0, Orderly, true)],                                                false),
        ("two seconds",        &[(0, Orderly, true), (1000, Orderly, true), (2000, Orderly, true)],  true),
        ("not long enough",    &[(0, Orderly, true), (1999, Orderly, true)],                         false),
        ("torn in between",    &[(0, Orderly, true), (1000, Torn, true), (2000, Orderly, true)],     false),
        ("not always shown",   &[(0, Orderly, true), (1000, Orderly, false), (2500, Orderly, true)], false),
    ];
    for (why, readings, want) in cases {
        let mut calm = Calm::default();
        let mut is_calm = false;
        for (at, reading, shows_own) in readings {
            is_calm = calm.take(*reading, *shows_own, Duration::from_millis(*at));
        }
        assert_eq!(is_calm, want, "{why}");
    }
}

/// How GitHub shows the log.
#[derive(Clone, Copy, Debug)]
enum Shown {
    /// All of it as it was at most this many milliseconds ago.
    Old(u64),
    /// Each entry at most this many milliseconds after it was made, whatever the others.
    Torn(u64),
    /// Each page of three as it was at most this many milliseconds ago, so that entries may be between two pages.
    TornPages(u64),
}

/// GitHub, on a clock of its own.
struct Server<'a> {
    shown: Shown,
    /// Entries, and when they were made.
    entries: Vec<(u64, Status)>,
    chance: Box<dyn FnMut(u64) -> u64 + 'a>,
}

impl Server<'_> {
    fn write(&mut self, now: u64, repo: &str, state: State, run: &str) -> u64 {
        let id = self.entries.len() as u64;
        let context = format!("chain/7/{repo}");
        let (state, target_url) = (state.as_str().to_owned(), Some(run.to_owned()));
        self.entries.push((now, Status { id, state, context, target_url }));
        id
    }

    fn read(&mut self, now: u64) -> Vec<Status> {
        let mut listed = Vec::new();
        let entries = std::mem::take(&mut self.entries);
        match self.shown {
            Shown::Old(most) => {
                let seen = now.saturating_sub((self.chance)(most));
                listed.extend(entries.iter().filter(|(at, _)| *at <= seen));
            }
            Shown::Torn(most) => {
                let is_seen = |(at, _): &&(u64, Status)| *at + (self.chance)(most) <= now;
                listed.extend(entries.iter().filter(is_seen));
            }
            Shown::TornPages(most) => {
                for page in 0..=entries.len() / 3 {
                    let seen = now.saturating_sub((self.chance)(most));
                    let newest_first = entries.iter().rev().filter(|(at, _)| *at <= seen);
                    listed.extend(newest_first.skip(page * 3).take(3));
                }
            }
        }
        let listed = listed.into_iter().map(|(_, status)| status.clone()).collect();
        self.entries = entries;
        listed
    }
}

/// The next step of a run of a repo.
enum Step {
    /// It got an event.
    Start,
    /// It reads until the log stands still, to learn whether it has the repo.
    Take { entry: u64, calm: Calm },
    /// Its build ends.
    End,
    /// It reads until its entry shows.
    Show { entry: u64 },
    /// It reads until the log stands still, because a repo waits.
    Wait { entry: u64, calm: Calm },
}

/// A run, the log as far as it knows it, and what it does next.
struct Actor {
    repo: RepoName,
    run: String,
    log: Log,
    step: Step,
}

/// A chain on its way.
struct World<'a> {
    chain: &'a Chain,
    payload: &'a Payload,
    server: Server<'a>,
    /// How often each event comes.
    copies: u64,
    broken: Option<RepoName>,
    waiting: BTreeMap<(u64, u64), Actor>,
    started: u64,
    built: Vec<RepoName>,
}

impl World<'_> {
    const PAUSE: u64 = 500;

    fn go_on(&mut self, at: u64, actor: Actor) {
        self.started += 1;
        self.waiting.insert((at, self.started), actor);
    }

    fn start(&mut self, at: u64, repo: &RepoName) {
        for copy in 0..self.copies {
            let delay = (self.server.chance)(1500) * copy;
            let run = format!("run {}", self.started);
            let log = Log::of(&self.payload.chain_id);
            let actor = Actor { repo: repo.clone(), run, log, step: Step::Start };
            self.go_on(at + delay, actor);
        }
    }

    /// Does what a run does between two pauses, as `receive`, `dispatch` and `board` do.
    fn step(&mut self, now: u64, mut actor: Actor) {
        let repo = actor.repo.clone();
        let awaited = awaited(self.chain, self.payload, &repo);
        let statuses = self.server.read(now);
        let shown: BTreeSet<_> = statuses.iter().map(|status| status.id).collect();
        let reading = actor.log.add(statuses);
        let is_settled = match &mut actor.step {
            Step::Take { entry, calm } | Step::Wait { entry, calm } => {
                calm.take(reading, shown.contains(entry), Duration::from_millis(now))
            }
            Step::Show { entry } => actor.log.shows(*entry),
            Step::Start | Step::End => true,
        };
        let again = now + Self::PAUSE;
        if !is_settled {
            return self.go_on(again, actor);
        }
        match actor.step {
            Step::Start => {
                if actor.log.owner(repo.as_str(), &awaited).is_some() {
                    return;
                }
                let entry = self.server.write(now, repo.as_str(), State::Taken, &actor.run);
                actor.step = Step::Take { entry, calm: Calm::default() };
                self.go_on(now, actor);
            }
            Step::Take { .. } => {
                assert_eq!(missing(&actor.log, &awaited), [], "{repo} is told too early");
                if actor.log.owner(repo.as_str(), &awaited) == Some(&actor.run) {
                    self.built.push(repo);
                    let end = now + (self.server.chance)(3000);
                    actor.step = Step::End;
                    self.go_on(end, actor);
                }
            }
            Step::End => {
                let is_broken = self.broken.as_ref() == Some(&repo);
                let state = if is_broken { State::Failed } else { State::Done };
                let entry = self.server.write(now, repo.as_str(), state, &actor.run);
                if !is_broken {
                    actor.step = Step::Show { entry };
                    self.go_on(now, actor);
                }
            }
            Step::Show { entry } | Step::Wait { entry, .. } => {
                let is_certain = matches!(actor.step, Step::Wait { .. });
                let decide = |next: &Repo| {
                    let names = (&repo, &next.name);
                    decide(self.chain, self.payload, &actor.log, names, false)
                };
                let next: Vec<_> =
                    self.chain.dependents(&repo).map(|it| (it, decide(it))).collect();
                if !is_certain && next.iter().any(|(_, it)| matches!(it, Next::Waits(_))) {
                    actor.step = Step::Wait { entry, calm: Calm::default() };
                    return self.go_on(again, actor);
                }
                for (next, _) in next.iter().filter(|(_, decided)| *decided == Next::Send) {
                    self.start(now, &next.name);
                }
            }
        }
    }
}

proptest! {
    /// The log may be shown as late as one likes if all of it is, and torn for as long as it must stand still.
    #[test]
    fn in_whatever_order_repos_end_and_however_the_log_is_shown_each_is_built_once(
        needs in prop::collection::vec(any::<u8>(), 2..8),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 4096),
        broken in prop::option::of(1_usize..8),
        copies in 1_u64..4,
        shown in prop_oneof![
            (0_u64..20_000).prop_map(Shown::Old),
            (0_u64..2000).prop_map(Shown::Torn),
            (0_u64..2000).prop_map(Shown::TornPages),
        ],
    ) {
        let chain = chain_of(&needs).expect("no repo needs a later one");
        let name = |at: usize| -> RepoName { format!("r{at}").parse().expect("a name") };
        let (sha, git_ref) = ("a".repeat(40).parse().expect("a commit"), "main".parse().expect("a ref"));
        let payload = Payload::first(name(0), sha, git_ref, None, "7".parse().expect("a chain"));
        let broken = broken.filter(|at| *at < needs.len()).map(name);
        let blocked: BTreeSet<_> = broken.iter().flat_map(|broken| {
            chain.reached(&BTreeSet::from([broken.clone()])).into_iter().map(|repo| repo.name.clone())
        }).collect();

        let mut choices = choices.into_iter().cycle();
        let chance = move |most: u64| {
            let range = usize::try_from(most).expect("small") + 1;
            choices.next().expect("endless").index(range) as u64
        };
        let server = Server { shown, entries: Vec::new(), chance: Box::new(chance) };
        let (waiting, built) = (BTreeMap::new(), Vec::new());
        let mut world = World { chain: &chain, payload: &payload, server, copies, broken, waiting, started: 0, built };
        // The start of a chain takes nothing: it only ends.
        let log = Log::of(&payload.chain_id);
        world.go_on(0, Actor { repo: name(0), run: "first".to_owned(), log, step: Step::End });
        let mut steps = 0;
        while let Some(((now, _), actor)) = world.waiting.pop_first() {
            steps += 1;
            prop_assert!(steps < 20_000, "it does not end");
            world.step(now, actor);
        }
        world.built.sort();
        let all = (1..needs.len()).map(name);
        let want: Vec<_> = all.filter(|repo| !blocked.contains(repo) || Some(repo) == world.broken.as_ref()).collect();
        prop_assert_eq!(world.built, want);
    }
}
