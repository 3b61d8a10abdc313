use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::quantity::Percent;

/// The current time, in seconds after 1970: late enough that there is a past.
const NOW_SECS: i64 = 100 * 86_400;

fn now() -> Timestamp {
    Timestamp::new(NOW_SECS, 0)
}

const PACK_BYTES: u64 = 100;

/// Parses `[repository@]lane area key used generation…`. `used` is hours ago, or `-`. A generation
/// is `number:job:packs`, with a letter per pack. `*` at its end marks it as leased, `@` and a
/// number gives the hours since it was saved (1000 by default). `~` before the job marks a partial
/// one; `%` and a cargo home, or `^` and a system, follow the job.
fn series(text: &str) -> SeriesFacts {
    let words: Vec<_> = text.split_whitespace().collect();
    let [scope, area, key, used, generations @ ..] = &words[..] else { panic!("{text}") };
    let (repository, lane) = scope.split_once('@').unwrap_or(("a/b", scope));
    let scope = crate::model::scope::Scope {
        repository: repository.parse().expect("a repository"),
        lane: lane.parse().expect("a lane"),
    };
    let area = area.parse().expect("an area");
    let series = Series { scope, area, key: key.parse().expect("a key") };
    let generations = generations.iter().map(|text| generation(text)).collect();
    SeriesFacts { series, last_used: (*used != "-").then(|| hours_ago(used)), generations }
}

fn generation(text: &str) -> GenerationFacts {
    let (text, leased) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
    let (text, created) = text.split_once('@').unwrap_or((text, "1000"));
    let parts: Vec<_> = text.split(':').collect();
    let [number, job, packs] = parts[..] else { panic!("{text}") };
    let partial = job.starts_with('~');
    let (job, system) = job.split_once('^').map_or((job, None), |(job, os)| (job, Some(os)));
    let (job, home) = job.split_once('%').map_or((job, None), |(job, home)| (job, Some(home)));
    GenerationFacts {
        number: format!("{number:0>10}").parse().expect("a number"),
        job: job.trim_start_matches('~').to_owned(),
        partial,
        cargo_home: home.map(|home| RawPath::of(home.as_bytes())),
        system: system.map(|os| System { os: Some(Part::new(os, None)), ..System::default() }),
        created: hours_ago(created),
        leased,
        packs: packs.chars().map(pack).collect(),
        manifest_bytes: 1,
    }
}

fn pack(letter: char) -> Digest {
    Digest::of(letter.to_string().as_bytes())
}

/// Negative hours are in the future.
fn hours_ago(text: &str) -> Timestamp {
    let hours: i64 = text.parse().expect("hours");
    Timestamp::new(NOW_SECS - hours * 3600, 0)
}

/// Returns a store with every pack that a generation names, and the packs `more`.
fn store(lines: &[&str], more: &str) -> StoreFacts {
    let series: Vec<_> = lines.iter().map(|line| series(line)).collect();
    let named = series.iter().flat_map(|series| &series.generations).flat_map(|it| &it.packs);
    let packs = named.copied().chain(more.chars().map(pack));
    let packs = packs.map(|digest| (digest, PACK_BYTES)).collect();
    StoreFacts { series, packs, leased_packs: BTreeSet::new(), dir_bytes: 0 }
}

/// Returns `key#number` of each expired generation, in order.
fn names(plan: &Plan) -> Vec<String> {
    let name = |expired: &Expired| {
        let number: u64 = expired.id.number.to_string().parse().expect("digits");
        format!("{}#{number}", expired.id.series.key)
    };
    plan.expired.iter().map(name).collect()
}

#[test]
fn the_policy_keeps_what_was_used_last_and_drops_the_rest_when_it_is_old() {
    let policy = Policy::default();
    let tight = Policy { generations: 0, ..policy };
    let none = Policy { shared_series: 0, target_series: 0, ..policy };
    let old = [
        "protected target a 25 1:j:a",
        "protected target b 26 1:j:b",
        "protected target c 27 1:j:c",
        "protected target d 28 1:j:d",
    ];
    #[rustfmt::skip]
    let cases: &[(&str, Policy, &[&str], &[&str])] = &[
        ("nothing there",           policy, &[], &[]),
        ("the fourth of four",      policy, &old, &["d#1"]),
        ("none need be kept",       none,   &old, &["a#1", "b#1", "c#1", "d#1"]),
        ("exactly a day",           none,   &["protected target a 24 1:j:a"], &[]),
        ("all its generations",     none,   &["protected target a 25 1:j:a 2:j:a 3:i:a"], &["a#1", "a#2", "a#3"]),
        ("repositories apart",      policy, &["c/d@protected target a 25 1:j:a", old[0], old[1], old[2]], &[]),
        ("areas apart",             policy, &["protected x-target a 25 1:j:a", old[0], old[1], old[2]], &[]),
        ("build is no target",      policy, &["protected build a 25 1:j:a", old[0], old[1], old[2]], &[]),
        ("registries together",     policy, &["a/b@protected registry a 25 1:j:a", "a/c@protected registry b 26 1:j:a",
                                              "a/d@protected registry c 27 1:j:a", "a/e@protected registry d 28 1:j:a",
                                              "a/f@protected registry e 29 1:j:a", "a/g@protected registry f 30 1:j:a"], &["f#1"]),
        ("registry apart from git", policy, &["a/b@protected registry a 25 1:j:a", "a/c@protected registry b 26 1:j:a",
                                              "a/d@protected registry c 27 1:j:a", "a/e@protected git d 28 1:j:a",
                                              "a/f@protected git e 29 1:j:a", "a/g@protected git f 30 1:j:a"], &[]),
        ("many pull requests",      policy, &["protected target x 900 1:j:a", "branch/f target y 900 1:j:a", "pr/1 target a 1 1:j:a",
                                              "pr/2 target b 2 1:j:a", "pr/3 target c 3 1:j:a", "pr/4 target d 40 1:j:a"], &["d#1"]),
        ("used in the future",      policy, &[old[0], old[1], old[2], "protected target x -999 1:j:a"], &["c#1"]),
        ("saved in the future",     policy, &[old[0], old[1], old[2], "protected target x - 1:j:a@-9"], &["c#1"]),
        ("no stamp",                policy, &[old[0], old[1], old[2], "protected target x - 1:j:a@99 2:j:a@26"], &["c#1"]),
        ("newer than its stamp",    policy, &[old[0], old[1], old[2], "protected target x 99 1:j:a@2"], &["c#1"]),
        ("in use",                  none,   &["protected target a 99 1:j:a 2:j:a*"], &[]),
        ("equally old",             policy, &["protected target b 30 1:j:b", "protected target a 30 1:j:b", "protected target d 30 1:j:b",
                                              "protected target c 30 1:j:b"], &["d#1"]),
        ("three of each job",       policy, &["protected target a 1 1:j:a 2:j:a 3:i:a 4:j:a 5:j:a 6:j:a"], &["a#1", "a#2"]),
        ("partial ones apart",      policy, &["protected target a 1 1:j:a 2:~j:a 3:~j:a 4:~j:a 5:~j:a"], &["a#2"]),
        ("systems apart",           policy, &["protected target a 1 1:j^a:a 2:j^b:a 3:j^a:a 4:j^a:a 5:j^a:a 6:j:a"], &["a#1"]),
        ("homes of cargo apart",    policy, &["protected target a 1 1:j%h:a 2:j%i:a 3:j%h:a 4:j%h:a 5:j%h:a 6:j:a"], &["a#1"]),
        ("leased ones count",       policy, &["protected target a 1 1:j:a* 2:j:a 3:j:a 4:j:a 5:j:a*"], &["a#2"]),
        ("the newest stays",        tight,  &["protected target a 1 1:j:a 2:i:a 3:j:a"], &["a#1", "a#2"]),
        ("number 10 after 9",       tight,  &["protected target a 1 10:j:a 9:j:a"], &["a#9"]),
        ("no generation",           none,   &["protected target a 99"], &[]),
    ];
    for (why, policy, lines, want) in cases {
        assert_eq!(names(&store(lines, "").plan(policy, None, &[], now())), *want, "{why}");
    }
}

fn filesystem(used_bytes: u64, used_inodes: u64) -> Filesystem {
    Filesystem {
        device: 1,
        path: "/".into(),
        total_bytes: 1000,
        free_bytes: 1000 - used_bytes,
        used_bytes,
        total_inodes: 100,
        free_inodes: 100 - used_inodes,
        is_memory: false,
    }
}

type Case<'a> =
    (&'a str, Pressure, &'a Filesystem, &'a [&'a str], &'a str, &'a [&'a str], (u64, u64));

#[test]
fn under_pressure_the_least_missed_generation_goes_first() {
    let calm = Pressure::default();
    let max = |bytes| Pressure { max_size: Some(ByteSize(bytes)), ..calm };
    // Low water is 700 of 1000 bytes and 70 of 100 inodes; a pack has 100 bytes, a manifest 1.
    let (full, fuller, roomy) = (filesystem(850, 0), filesystem(950, 0), filesystem(700, 0));
    let lanes = [
        "protected target a 9 1:j:a",
        "branch/x target b 8 1:j:b",
        "pr/1 target c 7 1:j:c",
        "pr/2 target d 6 1:j:d",
    ];
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        //  why                        pressure   filesystem             series   unnamed  evicted                        missing bytes, inodes
        ("roomy",                      calm,      &roomy,                &lanes,  "",      &[],                           (0, 0)),
        ("pull requests first",        calm,      &full,                 &lanes,  "",      &["c#1", "d#1"],               (0, 0)),
        ("then branches",              calm,      &fuller,               &lanes,  "",      &["c#1", "d#1", "b#1"],        (0, 0)),
        ("least recently used first",  calm,      &full,                 &["pr/1 target a 2 1:j:a", "pr/2 target b 3 1:j:b", "pr/3 target c 1 1:j:c"], "", &["b#1", "a#1"], (0, 0)),
        ("used in the future is now",  calm,      &full,                 &["pr/1 target a -9 1:j:a", "pr/2 target b 0 1:j:b"], "", &["a#1", "b#1"], (0, 0)),
        ("oldest generation first",    calm,      &full,                 &["pr/1 target a 2 3:j:c 1:j:a 2:j:b"], "", &["a#1", "a#2"], (0, 0)),
        ("shared packs free nothing",  calm,      &full,                 &["pr/1 target a 2 1:j:abc 2:j:abc", "pr/1 target b 1 1:j:d"], "", &["a#1", "a#2"], (0, 0)),
        ("never a leased one",         calm,      &full,                 &["pr/1 target x 2 1:j:xy*", lanes[0], lanes[1]], "", &["b#1", "a#1"], (0, 0)),
        ("not enough",                 calm,      &fuller,               &["pr/1 target x 2 1:j:xy*", lanes[1]], "", &["b#1"], (149, 0)),
        ("what nobody names first",    calm,      &full,                 &lanes,  "xy",    &[],                           (0, 0)),
        ("what is expired first",      calm,      &full,                 &["pr/1 target x 2 1:j:xy 2:j:z 3:j:z 4:j:z", lanes[0]], "", &["x#1"], (0, 0)),
        ("store too large",            max(303),  &roomy,                &lanes,  "",      &["c#1"],                      (0, 0)),
        ("store far too large",        max(0),    &roomy,                &lanes,  "",      &["c#1", "d#1", "b#1", "a#1"], (0, 0)),
        ("store just small enough",    max(404),  &roomy,                &lanes,  "",      &[],                           (0, 0)),
        ("both",                       max(250),  &full,                 &lanes,  "",      &["c#1", "d#1"],               (0, 0)),
        ("inodes",                     calm,      &filesystem(100, 81),  &["pr/1 target a 2 1:j:abcdefghij 2:j:k"], "", &["a#1"], (0, 0)),
        ("inodes that nobody has",     calm,      &filesystem(100, 95),  &lanes,  "",      &[],                           (0, 17)),
        ("inodes that nobody has, and bytes", calm, &filesystem(850, 95), &lanes, "",      &["c#1", "d#1"],               (0, 17)),
    ];
    for (why, pressure, filesystem, lines, unnamed, want, missing) in cases {
        let plan = store(lines, unnamed).plan(
            &Policy::default(),
            Some((pressure, filesystem)),
            &[],
            now(),
        );
        assert_eq!(names(&plan), *want, "{why}");
        assert_eq!((plan.missing_bytes, plan.missing_inodes), *missing, "{why}");
    }
}

#[test]
fn generations_about_to_be_restored_are_missed_as_much_as_protected_ones() {
    let lines = [
        "pr/7 target own 5 1:j:a",
        "branch/next target base 6 1:j:b",
        "protected target main 7 1:j:c",
        "pr/8 target other 1 1:j:d",
        "c/d@pr/7 target elsewhere 2 1:j:e",
    ];
    let readable = [lines[0], lines[1], lines[2]].map(|line| series(line).series.scope);
    let pressure = Pressure { max_size: Some(ByteSize(0)), ..Pressure::default() };
    #[rustfmt::skip]
    let cases: [(&str, &[Scope], [&str; 5]); 3] = [
        ("a job of nobody",           &[],           ["own#1", "elsewhere#1", "other#1", "base#1", "main#1"]),
        ("a job of the pull request", &readable,     ["elsewhere#1", "other#1", "main#1", "base#1", "own#1"]),
        ("a protected job",           &readable[2..], ["own#1", "elsewhere#1", "other#1", "base#1", "main#1"]),
    ];
    for (why, readable, want) in cases {
        let filesystem = filesystem(0, 0);
        let pressure = Some((&pressure, &filesystem));
        let plan = store(&lines, "").plan(&Policy::default(), pressure, readable, now());
        assert_eq!(names(&plan), want, "{why}");
    }
}

#[test]
fn a_pack_is_freed_when_its_last_generation_goes() {
    let none = Policy { target_series: 0, ..Policy::default() };
    let mut store =
        store(&["pr/1 target a 99 1:j:ab 2:j:bb 3:j:bc", "protected target k 1 1:j:c"], "xyz");
    store.leased_packs.insert(pack('x'));
    let plan = store.plan(&none, None, &[], now());
    let frees: Vec<_> = plan.expired.iter().map(|expired| expired.frees_bytes).collect();
    assert_eq!(frees, [101, 1, 101], "`a`, then nothing, then `b`; `c` is named elsewhere");
    assert_eq!((plan.unreferenced_packs, plan.unreferenced_bytes), (2, 200), "`x` is leased");
    assert_eq!((plan.packs, plan.bytes), (4, 403));
    store.packs.remove(&pack('a'));
    assert_eq!(
        store.plan(&none, None, &[], now()).expired[0].frees_bytes,
        1,
        "a pack that is missing"
    );
}

#[test]
fn the_reason_says_what_people_can_check() {
    let policy = Policy { target_series: 1, generations: 1, ..Policy::default() };
    let lines = [
        "pr/1 target a 1 1:build:a 2:build:b",
        "pr/2 target b 222 1:build:c",
        "protected target c 1 1:build:d",
    ];
    let strained = Pressure { max_size: Some(ByteSize(150)), ..Pressure::default() };
    let of = |used_bytes| {
        let filesystem = filesystem(used_bytes, 0);
        let plan = store(&lines, "").plan(&policy, Some((&strained, &filesystem)), &[], now());
        plan.expired.iter().map(|expired| expired.reason.to_string()).collect::<Vec<_>>()
    };
    let unused =
        "series unused for 9 days, beyond the 1 most recently used target series of pull requests";
    let superseded = "more than 1 generation of job `build`";
    let too_large = "store at 404 B, above its max-size of 150 B";
    assert_eq!(of(700), [superseded, unused, too_large]);
    assert_eq!(of(910), [superseded, unused, "disk at 91 %, above 80 %"]);
}

prop_compose! {
    fn generations()(
        facts in prop::collection::vec(
            (0..2, prop::collection::vec(0_usize..8, 0..4), prop::bool::weighted(0.15), 0_i64..200), 0..6),
    ) -> Vec<String> {
        let text = |(index, (job, packs, leased, age)): (usize, &(i32, Vec<usize>, bool, i64))| {
            let packs: String = packs.iter().map(|pack| &"abcdefgh"[*pack..=*pack]).collect();
            format!("{}:{job}:{packs}@{age}{}", index + 1, if *leased { "*" } else { "" })
        };
        facts.iter().enumerate().map(text).collect()
    }
}

type Line = (&'static str, &'static str, Option<i64>, Vec<String>);

prop_compose! {
    fn any_store()(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["protected", "branch/x", "pr/1", "c/d@protected"]),
                prop::sample::select(vec!["target", "registry", "x-target"]),
                prop::option::of(-50_i64..200),
                generations(),
            ),
            0..9),
        sizes in prop::collection::vec(0_u64..300, 10),
        gone in 0_usize..10,
        leased in 0_usize..20,
    ) -> StoreFacts {
        let line = |(index, (scope, area, used, generations)): (usize, &Line)| {
            let used = used.map_or("-".to_owned(), |hours| hours.to_string());
            series(&format!("{scope} {area} k{index} {used} {}", generations.join(" ")))
        };
        let letters = "abcdefghxy".chars().zip(sizes).enumerate();
        StoreFacts {
            dir_bytes: 0,
            series: lines.iter().enumerate().map(line).collect(),
            packs: letters.filter(|(index, _)| *index != gone).map(|(_, (letter, bytes))| (pack(letter), bytes)).collect(),
            leased_packs: "abcdefghxy".chars().nth(leased).map(pack).into_iter().collect(),
        }
    }
}

prop_compose! {
    fn any_policy()(shared_series in 0_usize..3, target_series in 0_usize..3, hours in 0_u64..60, generations in 0_usize..4) -> Policy {
        Policy { shared_series, target_series, min_age: Duration::from_secs(hours * 3600), generations }
    }
}

prop_compose! {
    fn any_pressure()(
        threshold in 0_u8..=100,
        low_water in 0_u8..=100,
        min_free in prop::option::of(0_u64..500),
        max_size in prop::option::of(0_u64..1500),
        used_bytes in 0_u64..=1000,
        used_inodes in 0_u64..=100,
    ) -> (Pressure, Filesystem) {
        let percent = |number: u8| Percent::try_from(number).expect("at most 100");
        let pressure = Pressure {
            disk_threshold: percent(threshold),
            low_water: percent(low_water),
            min_free: min_free.map(ByteSize),
            max_size: max_size.map(ByteSize),
        };
        (pressure, filesystem(used_bytes, used_inodes))
    }
}

/// Returns the bytes of packs and manifests after `gone` are gone and a sweep has run, counted
/// anew.
fn bytes_without(store: &StoreFacts, gone: &[Expired]) -> u64 {
    let mut named = store.leased_packs.clone();
    let mut bytes = 0;
    for (series, generation) in
        store.series.iter().flat_map(|series| series.generations.iter().map(move |it| (series, it)))
    {
        let is_gone = |expired: &Expired| {
            expired.id.series == series.series && expired.id.number == generation.number
        };
        if !gone.iter().any(is_gone) {
            named.extend(&generation.packs);
            bytes += generation.manifest_bytes;
        }
    }
    bytes + named.iter().filter_map(|digest| store.packs.get(digest)).sum::<u64>()
}

fn is_eviction(expired: &Expired) -> bool {
    matches!(expired.reason, Reason::Strained(_) | Reason::TooLarge { .. })
}

proptest! {
    #[test]
    fn no_leased_generation_goes_and_none_goes_twice(
        store in any_store(), policy in any_policy(), (pressure, filesystem) in any_pressure(),
    ) {
        let plan = store.plan(&policy, Some((&pressure, &filesystem)), &[], now());
        for series in &store.series {
            for generation in &series.generations {
                let id = GenerationId { series: series.series.clone(), number: generation.number };
                let times = plan.expired.iter().filter(|expired| expired.id == id).count();
                prop_assert!(times <= usize::from(!generation.leased), "{id} goes {times} times");
            }
        }
    }

    #[test]
    fn the_newest_generation_of_a_series_that_the_policy_keeps_stays(store in any_store(), policy in any_policy()) {
        let plan = store.plan(&policy, None, &[], now());
        for series in &store.series {
            let gone: Vec<_> = plan.expired.iter().filter(|expired| expired.id.series == series.series).collect();
            let newest = series.generations.iter().map(|generation| generation.number).max();
            let newest_goes = gone.iter().any(|expired| Some(expired.id.number) == newest);
            prop_assert!(!newest_goes || gone.len() == series.generations.len());
        }
    }

    #[test]
    fn a_plan_frees_exactly_what_it_promises(
        store in any_store(), policy in any_policy(), (pressure, filesystem) in any_pressure(),
    ) {
        let plan = store.plan(&policy, Some((&pressure, &filesystem)), &[], now());
        prop_assert_eq!(plan.bytes, store.stored_bytes() - bytes_without(&store, &plan.expired));
        prop_assert_eq!(plan.unreferenced_bytes, store.stored_bytes() - bytes_without(&store, &[]));
        let promised: u64 = plan.expired.iter().map(|expired| expired.frees_bytes).sum();
        prop_assert_eq!(plan.bytes, plan.unreferenced_bytes + promised);
    }

    #[test]
    fn the_order_of_the_facts_does_not_matter(
        store in any_store(), policy in any_policy(), (pressure, filesystem) in any_pressure(), seed in any::<u64>(),
    ) {
        let mut shuffled = store.clone();
        let by_seed = |text: String| Digest::of(format!("{seed}{text}").as_bytes());
        shuffled.series.sort_by_key(|series| by_seed(series.series.to_string()));
        for series in &mut shuffled.series {
            series.generations.sort_by_key(|generation| by_seed(generation.number.to_string()));
        }
        let pressure = Some((&pressure, &filesystem));
        prop_assert_eq!(store.plan(&policy, pressure, &[], now()), shuffled.plan(&policy, pressure, &[], now()));
    }

    #[test]
    fn pressure_takes_enough_and_not_one_more(
        store in any_store(), policy in any_policy(), (pressure, filesystem) in any_pressure(),
    ) {
        let plan = store.plan(&policy, Some((&pressure, &filesystem)), &[], now());
        let too_large = pressure.max_size.map_or(0, |max| store.stored_bytes().saturating_sub(max.0));
        let wanted = pressure.wanted(&filesystem);
        let needed = wanted.bytes.max(too_large);
        prop_assert_eq!(plan.missing_bytes, needed.saturating_sub(plan.bytes));
        let unleased = store.series.iter().flat_map(|series| &series.generations).filter(|it| !it.leased);
        prop_assert!(plan.missing_bytes == 0 || plan.expired.len() == unleased.count());

        let Some((last, before)) = plan.expired.split_last() else { return Ok(()) };
        if is_eviction(last) {
            let freed = store.stored_bytes() - bytes_without(&store, before);
            let wants_inodes = wanted.inodes > 0 && plan.missing_inodes == 0;
            prop_assert!(freed < needed || wants_inodes, "{freed} of {needed} would have done");
        }
    }

    #[test]
    fn a_more_trusted_lane_is_touched_only_when_the_others_are_empty(
        store in any_store(), (pressure, filesystem) in any_pressure(),
    ) {
        let keep_all = Policy { shared_series: 99, target_series: 99, generations: 99, ..Policy::default() };
        let plan = store.plan(&keep_all, Some((&pressure, &filesystem)), &[], now());
        let gone: BTreeSet<_> = plan.expired.iter().map(|expired| expired.id.clone()).collect();
        let touched = store.series.iter().filter(|series| gone.iter().any(|id| id.series == series.series));
        let Some(most_trusted) = touched.map(SeriesFacts::trust).max() else { return Ok(()) };
        for series in store.series.iter().filter(|series| series.trust() < most_trusted) {
            for generation in series.generations.iter().filter(|generation| !generation.leased) {
                let id = GenerationId { series: series.series.clone(), number: generation.number };
                prop_assert!(gone.contains(&id), "{id} was spared");
            }
        }
    }
}
