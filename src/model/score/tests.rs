use super::super::digest::Digest;
use super::super::rel_path::RelPath;
use super::super::sketch::{Extent, SketchPath, Spot};
use super::super::unit_graph::{GraphPackage, GraphVariable};
use super::*;
use crate::model::raw_path::RawPath;
use crate::model::root::Root;

fn mark(text: &str) -> Mark {
    Digest::of(text.as_bytes()).into()
}

fn dir(name: &str) -> UnitDir {
    let path = format!("debug/.fingerprint/{name}-0123456789abcdef");
    UnitDir::new(RelPath::parse(path.as_bytes()).expect("a path below a root"))
}

/// Parses a sketch, one word per unit: `name:role<dep,dep`. A unit's package, and the path it was
/// built from, have the unit's index. A capital first letter means a path package; `!` follows a
/// unit that the job did not use.
fn sketch(text: &str) -> Sketch {
    let words: Vec<_> = text.split_whitespace().collect();
    let mut sketch = Sketch::default();
    let names: Vec<_> =
        words.iter().map(|word| word.split([':', '!', '<']).next().unwrap_or_default()).collect();
    for (index, word) in (0..).zip(&words) {
        let name = names[index as usize];
        let (head, deps) = word.split_once('<').unwrap_or((word, ""));
        let role = head.split_once(':').map_or(name, |(_, role)| role);
        let position = |dep: &str| names.iter().position(|name| *name == dep).expect("a unit");
        let deps = deps.split(',').filter(|dep| !dep.is_empty()).map(position);
        let is_path = name.starts_with(|letter: char| letter.is_uppercase());
        sketch.packages.push(GraphPackage {
            name: name.to_owned(),
            dir: is_path.then(|| RawPath::of(name.as_bytes())),
            ..GraphPackage::default()
        });
        let path = RelPath::parse(name.as_bytes()).ok();
        let spot = Spot { root: Root::Repo, path, extent: Extent::Itself };
        sketch.paths.push(SketchPath { spot, content: Some(mark(name)) });
        sketch.variables.push(GraphVariable { name: name.to_owned(), value: None });
        sketch.units.push(SketchUnit {
            dir: dir(name),
            role: mark(role.trim_end_matches('!')),
            package: index,
            paths: vec![index],
            variables: vec![index],
            deps: deps.map(|dep| u32::try_from(dep).expect("a few units")).collect(),
            is_used: !head.ends_with('!'),
            is_stale: false,
            is_bound: is_path,
        });
    }
    sketch
}

/// Returns the names of the units that are wanted as they are, and of those that are fresh.
fn standing_of(sketch: &Sketch, standing: &Standing) -> (String, String) {
    let fates = fates(sketch, standing);
    let named = |is: fn(&Fate) -> bool| {
        let units = sketch.units.iter().zip(&fates).filter(|(_, fate)| is(fate));
        let names: Vec<_> = units.map(|(unit, _)| unit.dir.crate_name().into_owned()).collect();
        names.join(" ")
    };
    (named(|fate| fate.is_wanted), named(|fate| fate.is_fresh))
}

#[test]
fn a_unit_shares_the_fate_of_what_it_depends_on() {
    let set = |index| HashSet::from([index]);
    let profile = |dir: &str| HashSet::from([dir.to_owned()]);
    #[rustfmt::skip]
    let cases = [
        //  why                      what differs                                                             wanted              fresh
        ("nothing",                  Standing::default(),                                                     "App Mid serde log", "App Mid serde log"),
        ("another compiler",         Standing { compiler_differs: true, ..Standing::default() },              "App Mid serde log", ""),
        ("flags",                    Standing { everything_differs: true, ..Standing::default() },            "",                 "App Mid serde log"),
        ("the profile",              Standing { other_profiles: profile("debug"), ..Standing::default() },    "",                 "App Mid serde log"),
        ("another profile",          Standing { other_profiles: profile("release"), ..Standing::default() },  "App Mid serde log", "App Mid serde log"),
        ("flags of path packages",   Standing { path_packages_differ: true, ..Standing::default() },          "serde log",        "App Mid serde log"),
        ("other roots",              Standing { is_moved: true, ..Standing::default() },                      "App Mid serde log", "serde log"),
        ("another home",             Standing { home_is_moved: true, ..Standing::default() },                 "App Mid serde log", ""),
        ("a bump",                   Standing { other_packages: set(3), ..Standing::default() },              "Mid serde",        "Mid serde"),
        ("a package that is gone",   Standing { gone_packages: set(2), ..Standing::default() },               "log",              "log"),
        ("a file of the top",        Standing { other_paths: set(0), ..Standing::default() },                 "App Mid serde log", "Mid serde log"),
        ("a file in the middle",     Standing { other_paths: set(1), ..Standing::default() },                 "App Mid serde log", "serde log"),
        ("a variable at the bottom", Standing { other_variables: set(2), ..Standing::default() },             "App Mid serde log", "log"),
        ("what leads nowhere",       Standing { other_paths: set(99), other_packages: set(99), ..Standing::default() }, "App Mid serde log", "App Mid serde log"),
    ];
    let sketch = sketch("App<Mid,log Mid<serde serde log");
    for (why, standing, wanted, fresh) in cases {
        let got = standing_of(&sketch, &standing);
        assert_eq!((got.0.as_str(), got.1.as_str()), (wanted, fresh), "{why}");
    }
}

#[test]
fn a_vendored_package_is_no_path_package_and_lies_outside_the_home() {
    let mut sketch = sketch("App<Low Low serde");
    sketch.packages[1].version = Some("1.0.0".to_owned());
    let flags = Standing { path_packages_differ: true, ..Standing::default() };
    assert_eq!(standing_of(&sketch, &flags).0, "Low serde");
    let home = Standing { home_is_moved: true, ..Standing::default() };
    assert_eq!(standing_of(&sketch, &home).1, "App Low");
}

#[test]
fn a_hostile_sketch_causes_no_panic() {
    let mut sketch = sketch("a b");
    sketch.units[0].deps = vec![1, 0, 7];
    sketch.units[1].deps = vec![0];
    sketch.units[1].package = 9;
    assert_eq!(standing_of(&sketch, &Standing::default()).1, "a b");
    let standing = Standing { other_paths: [1].into(), ..Standing::default() };
    assert_eq!(standing_of(&sketch, &standing).1, "");
}

/// Returns how many of the units that the job used in `last` are reused from the tree `held`.
fn reused(last: &str, bumped: &[&str], held: &str, stale: &[&str]) -> usize {
    let (last, mut held) = (sketch(last), sketch(held));
    let packages = |sketch: &Sketch, names: &[&str]| {
        let is_one = |(_, package): &(u32, &GraphPackage)| names.contains(&package.name.as_str());
        (0..).zip(&sketch.packages).filter(is_one).map(|(index, _)| index).collect()
    };
    for unit in &mut held.units {
        unit.is_stale = stale.contains(&unit.dir.crate_name().as_ref());
    }
    let of = |sketch: &Sketch| Standing {
        other_packages: packages(sketch, bumped),
        ..Standing::default()
    };
    let standing = of(&last);
    let wants = wants_of(&last, &standing, &fates(&last, &standing));
    let fates = fates(&held, &of(&held));
    wants.len() - lacking(&wants, &held, &fates).len()
}

#[test]
fn reused_units_are_counted_one_by_one() {
    #[rustfmt::skip]
    let cases = [
        //  why                               used last time           bumped      the tree                           stale   reused
        ("its own tree",                      "App<log log serde",     &[][..],    "App<log log serde",               &[][..], 3),
        ("its own tree, App edited",          "App<log log serde",     &[],        "App<log log serde",               &["App"], 2),
        ("its own tree after a bump",         "App<log log serde",     &["log"],   "App<log log serde",               &[],    1),
        ("a tree of the bumped version",      "App:a<log log:l serde", &["log"],   "App2:a<log2 log2:l serde",        &[],    3),
        ("that, of another job",              "App:a<log log:l serde", &["log"],   "App2:b<log2 log2:m serde",        &[],    1),
        ("another of that role is not it",    "App:a serde",           &[],        "App2:a serde",                    &[],    1),
        ("one replaces one only",             "syn1:s syn2:s",         &["syn1", "syn2"], "syn3:s",                   &[],    1),
        ("two replace two",                   "syn1:s syn2:s",         &["syn1", "syn2"], "syn3:s syn4:s",            &[],    2),
        ("one that is stale replaces none",   "log:l",                 &["log"],   "log2:l",                          &["log2"], 0),
        ("what it did not use does not count", "App! log serde",       &[],        "App log",                         &[],    1),
        ("nothing used",                      "App! log!",             &[],        "App log",                         &[],    0),
        ("more than it wants",                "log",                   &[],        "log serde App syn",               &[],    1),
        ("nothing held",                      "log",                   &[],        "",                                &[],    0),
    ];
    for (why, last, bumped, held, stale, want) in cases {
        assert_eq!(reused(last, bumped, held, stale), want, "{why}");
    }
}

#[test]
fn where_flags_changed_only_a_tree_that_was_built_with_the_new_ones_serves() {
    let last = sketch("App:a<log log:l");
    let changed = Standing { everything_differs: true, ..Standing::default() };
    let wants = wants_of(&last, &changed, &fates(&last, &changed));
    let lacks = |held: &str, standing: &Standing| {
        let held = sketch(held);
        lacking(&wants, &held, &fates(&held, standing)).len()
    };
    assert_eq!(lacks("App:a<log log:l", &changed), 2, "its own tree, with the old ones");
    assert_eq!(lacks("App2:a<log2 log2:l", &Standing::default()), 0, "a tree with the new ones");
    assert_eq!(lacks("App:a<log log:l", &Standing::default()), 0, "flags that come to the same");
}

#[test]
fn flags_that_give_the_same_hashes_come_to_the_same() {
    let last = sketch("App:a<log log:l");
    let bumped = Standing { other_packages: [0].into(), ..Standing::default() };
    let wants = wants_of(&last, &bumped, &fates(&last, &bumped));
    #[rustfmt::skip]
    let cases = [
        //  why                                          the tree            come to the same
        ("the unit that the build looks for",            "App2:a<log log:l",  true),
        ("it is in another tree under another hash",     "App2:a<log2 log2:l", false),
        ("under both",                                   "log:l log2:l",      true),
        ("nothing that the build looks for",             "App2:a",            false),
        ("nothing at all",                               "",                  false),
    ];
    for (why, held, want) in cases {
        assert_eq!(is_same_in_effect(&wants, &sketch(held), |_| true), want, "{why}");
    }
    let changed = Standing { everything_differs: true, ..Standing::default() };
    let wants = wants_of(&last, &changed, &fates(&last, &changed));
    assert!(!is_same_in_effect(&wants, &last, |_| true), "the flags of this job changed");
}

#[test]
fn flags_of_path_packages_show_in_their_units_alone() {
    let last = sketch("App:a<Mid Mid:m log:l");
    let standing = Standing::default();
    let wants = wants_of(&last, &standing, &fates(&last, &standing));
    let both =
        Standing { everything_differs: true, path_packages_differ: true, ..Standing::default() };
    #[rustfmt::skip]
    let cases = [
        //  why                                 the tree                     all differ, path packages differ
        ("the same units",                     "App:a<Mid Mid:m log:l",      false, false),
        ("other units of path packages",       "App2:a<Mid2 Mid2:m log:l",   true,  true),
        ("other units of a registry",          "App:a<Mid Mid:m log2:l",     true,  false),
        ("none of path packages",              "log:l",                      false, true),
    ];
    for (why, held, everything, path_packages) in cases {
        let mut standing = both.clone();
        assert_eq!(
            standing.see_through_flags(&wants, &sketch(held)),
            !everything || !path_packages,
            "{why}"
        );
        let seen = (standing.everything_differs, standing.path_packages_differ);
        assert_eq!(seen, (everything, path_packages), "{why}");
    }
}

#[test]
fn units_that_a_failed_run_did_not_reach_are_wanted_in_one_version() {
    let wants = |text: &str, bumped: &[u32]| {
        let sketch = sketch(text);
        let other_packages = bumped.iter().copied().collect();
        let standing = Standing { other_packages, ..Standing::default() };
        wants_of(&sketch, &standing, &fates(&sketch, &standing))
    };
    let mut all = wants("log2:l", &[]);
    add_earlier(&mut all, wants("App log:l serde", &[1]));
    let names: Vec<_> = all.values().map(|wanted| wanted.name.as_str()).collect();
    assert_eq!(names, ["App", "log2", "serde"]);
}

#[test]
fn only_what_the_graph_of_the_tree_does_not_explain_is_named() {
    let last = sketch("App log serde syn");
    let wants = wants_of(&last, &Standing::default(), &fates(&last, &Standing::default()));
    let held = sketch("App log! serde");
    let standing = Standing { other_paths: [0, 1].into(), ..Standing::default() };
    let fates = fates(&held, &standing);
    let lacking = lacking(&wants, &held, &fates);
    let told: Vec<_> =
        lacking.iter().map(|unit| (unit.wanted.name.as_str(), unit.is_explained)).collect();
    assert_eq!(told, [("App", true), ("log", false), ("syn", false)]);
}

#[test]
fn a_tree_of_other_flags_serves_only_the_units_that_have_the_same_hash() {
    let last = sketch("App:a<log log:l");
    let standing = Standing { other_packages: [1].into(), ..Standing::default() };
    for (bumped, held, want) in [
        (false, "App:a<log log:l", 0),
        (false, "App2:a<log log:l", 1),
        (true, "App2:a<log2 log2:l", 2),
    ] {
        let standing = if bumped { standing.clone() } else { Standing::default() };
        let wants = wants_of(&last, &standing, &fates(&last, &standing));
        let (held, other_flags) =
            (sketch(held), Standing { everything_differs: true, ..Standing::default() });
        let fates = fates(&held, &other_flags);
        assert_eq!(lacking(&wants, &held, &fates).len(), want, "{bumped}");
        assert_eq!(fresh_units(&fates), 0);
    }
}

#[test]
fn a_job_does_not_want_what_left_the_lock_file() {
    let sketch = sketch("App log serde");
    let standing = Standing { gone_packages: [1].into(), ..Standing::default() };
    let wants = wants_of(&sketch, &standing, &fates(&sketch, &standing));
    let names: Vec<_> = wants.values().map(|wanted| wanted.name.as_str()).collect();
    assert_eq!(names, ["App", "serde"]);
}

/// A number generator for properties. Any would do; this one gives the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % end).expect("a small number")
    }
}

#[test]
fn more_differences_never_make_more_reusable_and_more_units_never_less() {
    let mut numbers = Numbers(7);
    for round in 0..500 {
        let mut words = Vec::new();
        for index in 0..2 + numbers.below(9) {
            let letter = if numbers.below(2) == 0 { 'P' } else { 'r' };
            let deps: Vec<_> = words
                .iter()
                .map(|word: &String| {
                    word.split([':', '<', '!']).next().unwrap_or_default().to_owned()
                })
                .filter(|_| numbers.below(3) == 0)
                .collect();
            let unused = if numbers.below(5) == 0 { "!" } else { "" };
            let role = numbers.below(4);
            words.push(format!("{letter}{index}:{role}{unused}<{}", deps.join(",")));
        }
        let text = words.join(" ");
        let all = sketch(&text);
        let count = all.units.len() as u64;
        let one = |numbers: &mut Numbers| u32::try_from(numbers.below(count)).expect("few units");
        let some = Standing {
            other_paths: [one(&mut numbers)].into(),
            other_packages: [one(&mut numbers)].into(),
            ..Standing::default()
        };
        let mut more = some.clone();
        more.other_paths.insert(one(&mut numbers));
        more.other_variables.insert(one(&mut numbers));
        let before = fates(&all, &some);
        for (less, more) in before.iter().zip(fates(&all, &more)) {
            assert!(less.is_fresh || !more.is_fresh, "round {round}: {text}");
        }
        // A tree without the last unit, on which no other depends.
        let mut fewer = all.clone();
        fewer.units.pop();
        let wants = wants_of(&all, &some, &before);
        let lacks = |sketch: &Sketch| lacking(&wants, sketch, &fates(sketch, &some)).len();
        assert!(lacks(&fewer) >= lacks(&all), "round {round}: {text}");
        assert!(lacks(&fewer) <= lacks(&all) + 1, "round {round}: {text}");
    }
}
