//! The choice of the generation to restore.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::manifest::{GenerationId, Header};
use super::names::Name;
use super::raw_path::RawPath;
use super::root::Root;
use super::scope::Scope;
use super::system::{Fit, System, compare};

/// How well the restored generation matches the wanted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hit {
    /// No generation was found.
    Miss,
    /// A generation of another key.
    Fallback,
    /// A generation of the wanted key.
    Exact,
}

/// The request of a job for one area.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The scopes that the job may read, its own first.
    pub chain: Vec<Scope>,
    /// The key of the series that the job would save to.
    pub key: Name,
    /// The job's toolchain; `None` if it does not matter, as in the registry.
    pub toolchain: Option<Digest>,
    /// The environment part of the job's key.
    pub environment: Option<Digest>,
    /// The paths of the job's roots; empty if they do not matter.
    pub roots: BTreeMap<Root, RawPath>,
    /// The path of cargo's home; `None` if it does not matter.
    pub cargo_home: Option<RawPath>,
    /// The system of the job; `None` if it does not matter.
    pub system: Option<System>,
    /// The kind of the job.
    pub job: String,
}

impl Wish {
    /// Compares the system of a generation with the job's.
    pub fn fit(&self, header: &Header) -> Fit {
        let here = self.system.as_ref();
        here.map_or(Fit::Unknown, |here| compare(here, header.system.as_ref()))
    }

    /// Tells whether a generation would be a candidate if systems did not matter.
    pub fn wants_on_any_system(&self, id: &GenerationId, header: &Header) -> bool {
        let has_toolchain = self.toolchain.is_none_or(|toolchain| toolchain == header.toolchain);
        self.chain.contains(&id.series.scope) && (id.series.key == self.key || has_toolchain)
    }
}

/// The generation that a restore takes, and how it compares with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its index among the candidates.
    pub index: usize,
    /// Whether it has the wanted key.
    pub hit: Hit,
    /// Whether cargo's home had the same path; if not, cargo rebuilds every crate of a registry.
    pub same_home: bool,
    /// Whether its roots had the same paths; if not, cargo rebuilds sibling crates.
    pub same_roots: bool,
    /// Whether the same kind of job saved it.
    pub same_job: bool,
    /// How its system compares with the current one.
    pub fit: Fit,
}

/// How much of a generation cargo will reuse in the checkout, judged by its sketch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// The number of units that the job used last time and need not build. `None` if nothing is
    /// known of the job yet: then for all candidates.
    pub reused: Option<usize>,
    /// The number of fresh units in the generation, including those of other jobs.
    pub fresh: usize,
}

/// Returns the usable ones of `candidates`, the best first.
///
/// The job reuses most of the best candidate. Ties are broken in this order: a whole generation
/// before a partial one, the exact key, the own job, the same environment, the same system, equal
/// roots, the own scope before inherited ones, the newest. If nothing is known of the job, these
/// come first: the exact key, then the same cargo home, then equal roots or a tree with less than
/// half of its units bound to other roots, then the most fresh units.
///
/// A fallback of another toolchain is not usable if the toolchain matters: cargo could reuse none
/// of it. A generation of a newer system is not usable either: the build would break. The order of
/// the candidates does not matter.
pub fn ranked(wish: &Wish, candidates: &[(&GenerationId, &Header, Score)]) -> Vec<Chosen> {
    let ranked = candidates.iter().enumerate().filter_map(|(index, (id, header, score))| {
        let place = wish.chain.iter().position(|scope| *scope == id.series.scope)?;
        let exact = id.series.key == wish.key;
        let fit = wish.fit(header);
        if !wish.wants_on_any_system(id, header) || !fit.is_usable() {
            return None;
        }
        let homes = wish.cargo_home.as_ref().zip(header.cargo_home.as_ref());
        let same_home = homes.is_none_or(|(wanted, recorded)| wanted == recorded);
        let same_roots = wish.roots.is_empty() || wish.roots == header.roots;
        let works_here = same_roots || header.binding.is_some_and(|it| it.bound * 2 < it.units);
        let by_score = match score.reused {
            Some(reused) => (reused, false, false, false, 0),
            None => (0, exact, same_home, works_here, score.fresh),
        };
        let same_job = wish.job == header.job;
        let same_environment = wish.environment == header.environment;
        let inherited = std::cmp::Reverse(place);
        let age = (header.created, id.number, &id.series.key);
        let same_system = fit == Fit::Same;
        let facts = (!header.partial, exact, same_job, same_environment, same_system);
        let hit = if exact { Hit::Exact } else { Hit::Fallback };
        let chosen = Chosen { index, hit, same_home, same_roots, same_job, fit };
        Some(((by_score, facts, same_roots, inherited, age), chosen))
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0));
    ranked.into_iter().map(|(_, chosen)| chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::manifest_of;
    use super::*;
    use crate::model::area::Area;
    use crate::model::manifest::{Binding, GenerationNumber, Series};
    use crate::model::timestamp::Timestamp;

    /// The reason, generations with the glibc version of each, and the choice.
    type SystemCase<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<(usize, Fit)>);

    type Case<'a> = (&'a str, &'a [&'a str], Option<(usize, Hit)>);

    /// Parses `lane key toolchain root job created`, optionally followed by ` at <home>` or `
    /// partial`.
    fn generation(text: &str) -> (GenerationId, Header) {
        let (text, home) = match text.split_once(" at ") {
            Some((facts, home)) => (facts, Some(home)),
            None => (text, None),
        };
        let (facts, partial) = match text.strip_suffix(" partial") {
            Some(facts) => (facts, true),
            None => (text, false),
        };
        let words: Vec<_> = facts.split_whitespace().collect();
        let [lane, key, toolchain, root, job_name, created] = words[..] else { panic!("{text}") };
        let scope = Scope {
            repository: "a/b".parse().expect("a repository"),
            lane: lane.parse().expect("a lane"),
        };
        let series = Series { scope, area: Area::Target, key: key.parse().expect("a key") };
        let header = Header {
            series: series.clone(),
            cache_key: key.parse().expect("a key"),
            created: Timestamp::new(created.parse().expect("seconds"), 0),
            job: job_name.to_owned(),
            partial,
            toolchain: Digest::of(toolchain.as_bytes()),
            cargo_home: home.map(|home| RawPath::of(home.as_bytes())),
            ..manifest_of(root).header
        };
        (GenerationId { series, number: GenerationNumber::FIRST }, header)
    }

    fn unscored((id, header): &(GenerationId, Header)) -> (&GenerationId, &Header, Score) {
        (id, header, Score::default())
    }

    #[test]
    fn the_most_reused_generation_wins_over_every_other_rule() {
        let wish = Wish {
            chain: vec![generation("pr/7 k t r j 0").0.series.scope],
            key: "k".parse().expect("a key"),
            toolchain: Some(Digest::of(b"t")),
            environment: None,
            roots: [(Root::Repo, RawPath::of(b"r"))].into(),
            cargo_home: None,
            system: None,
            job: "j".to_owned(),
        };
        #[rustfmt::skip]
        let cases = [
            //  why                                 generations, how many units of each are reused and fresh               best
            ("more than the exact key",             [("pr/7 k t r i 9", Some(10), 99), ("pr/7 x t r j 1", Some(11), 11)],  1),
            ("more than the last green tree",       [("pr/7 k t r j 9", Some(10), 10), ("pr/7 k t r j 1 partial", Some(11), 11)], 1),
            ("more than a tree at the same roots",  [("pr/7 k t r j 9", Some(10), 10), ("pr/7 k t q j 1", Some(11), 11)],  1),
            ("as much: whole",                      [("pr/7 k t r j 9 partial", Some(9), 9), ("pr/7 x t r i 1", Some(9), 9)], 1),
            ("as much: the exact key",              [("pr/7 x t r j 9", Some(9), 9), ("pr/7 k t r i 1", Some(9), 9)],      1),
            ("as much: the own job",                [("pr/7 k t r i 9", Some(9), 9), ("pr/7 k t r j 1", Some(9), 1)],      1),
            ("as much: the newest",                 [("pr/7 k t r j 1", Some(9), 9), ("pr/7 k t r j 2", Some(9), 9)],      1),
            ("nothing known: the exact key",        [("pr/7 x t r i 9", None, 99), ("pr/7 k t r i 1", None, 1)],           1),
            ("nothing known: most fresh",           [("pr/7 k t r i 9", None, 98), ("pr/7 k t r h 1 partial", None, 99)],  1),
            ("another toolchain, whatever it has",  [("pr/7 x u r j 9", Some(99), 99), ("pr/7 x t r j 1", Some(0), 0)],    1),
        ];
        for (why, generations, want) in cases {
            let found = generations.map(|(text, ..)| generation(text));
            let scores = generations.map(|(_, reused, fresh)| Score { reused, fresh });
            let mut candidates: Vec<_> =
                found.iter().zip(scores).map(|((id, header), score)| (id, header, score)).collect();
            assert_eq!(ranked(&wish, &candidates).first().map(|it| it.index), Some(want), "{why}");
            candidates.reverse();
            let best = ranked(&wish, &candidates).first().map(|it| 1 - it.index);
            assert_eq!(best, Some(want), "{why}, the other way round");
        }
    }

    #[test]
    fn where_the_roots_lie_counts_last_if_most_units_are_not_bound_to_them() {
        let free = |text: &str| {
            let (id, mut header) = generation(text);
            header.binding = Some(Binding { units: 100, bound: 49 });
            (id, header)
        };
        let wish = Wish {
            chain: vec![free("pr/7 k t r j 0").0.series.scope],
            key: "k".parse().expect("a key"),
            toolchain: Some(Digest::of(b"t")),
            environment: None,
            roots: free("pr/7 k t r j 0").1.roots,
            cargo_home: None,
            system: None,
            job: "j".to_owned(),
        };
        #[rustfmt::skip]
        let cases = [
            ("job before roots",         ["pr/7 k t r i 9", "pr/7 k t q j 1"]),
            ("whole before roots",       ["pr/7 k t r j 9 partial", "pr/7 k t q j 1"]),
            ("roots before newer",       ["pr/7 k t q j 9", "pr/7 k t r j 1"]),
        ];
        for (why, lines) in cases {
            let generations = lines.map(free);
            let candidates: Vec<_> = generations.iter().map(unscored).collect();
            let took = ranked(&wish, &candidates).first().map(|it| it.index);
            assert_eq!(took, Some(1), "{why}");
        }
        let mut generations = ["pr/7 k t r i 9", "pr/7 k t q j 1"].map(free);
        for binding in [None, Some(Binding { units: 100, bound: 50 })] {
            generations[1].1.binding = binding;
            let candidates: Vec<_> = generations.iter().map(unscored).collect();
            let took = ranked(&wish, &candidates).first().map(|it| it.index);
            assert_eq!(took, Some(0), "{binding:?}");
        }
    }

    #[test]
    fn a_tree_of_a_newer_system_is_not_taken_and_one_of_the_same_system_is_preferred() {
        use crate::model::system::Part;
        let on =
            |libc: &str| System { libc: Some(Part::new("glibc", Some(libc))), ..System::default() };
        let wish = |system| Wish {
            chain: vec![generation("pr/7 k t r j 0").0.series.scope],
            key: "k".parse().expect("a key"),
            toolchain: Some(Digest::of(b"t")),
            environment: None,
            roots: [(Root::Repo, RawPath::of(b"r"))].into(),
            cargo_home: None,
            system,
            job: "j".to_owned(),
        };
        #[rustfmt::skip]
        let cases: [SystemCase<'_>; 8] = [
            ("an exact one that is newer", &[("pr/7 k t r j 9", "2.41")],                               None),
            ("a fallback that is newer",   &[("pr/7 x t r j 9", "2.41")],                               None),
            ("older fallback",             &[("pr/7 k t r j 9", "2.41"), ("pr/7 x t r j 1", "2.31")],   Some((1, Fit::Usable))),
            ("same before newer",          &[("pr/7 k t r j 9", "2.31"), ("pr/7 k t r j 1", "2.36")],   Some((1, Fit::Same))),
            ("job before same",            &[("pr/7 k t r j 1", "2.31"), ("pr/7 k t r i 9", "2.36")],   Some((0, Fit::Usable))),
            ("whole before same",          &[("pr/7 k t r j 1", "2.31"), ("pr/7 k t r j 9 partial", "2.36")], Some((0, Fit::Usable))),
            ("not recorded, as ever",      &[("pr/7 k t r j 1", "")],                                   Some((0, Fit::Unknown))),
            ("same before not recorded",   &[("pr/7 k t r j 9", ""), ("pr/7 k t r j 1", "2.36")],       Some((1, Fit::Same))),
        ];
        for (why, lines, want) in cases {
            let generations: Vec<_> = lines
                .iter()
                .map(|(text, libc)| {
                    let (id, mut header) = generation(text);
                    header.system = (!libc.is_empty()).then(|| on(libc));
                    (id, header)
                })
                .collect();
            let candidates: Vec<_> = generations.iter().map(unscored).collect();
            let took = ranked(&wish(Some(on("2.36"))), &candidates);
            let took = took.first().map(|it| (it.index, it.fit));
            assert_eq!(took, want, "{why}");
            let anywhere = ranked(&wish(None), &candidates);
            assert_eq!(anywhere.first().map(|it| it.fit), Some(Fit::Unknown), "{why}");
        }
    }

    #[test]
    fn the_nearest_generation_is_taken() {
        let scope = |lane: &str| generation(&format!("{lane} k t r j 0")).0.series.scope;
        let wish = Wish {
            chain: vec![scope("pr/7"), scope("protected")],
            key: "k".parse().expect("a key"),
            toolchain: Some(Digest::of(b"t")),
            environment: None,
            roots: [(Root::Repo, RawPath::of(b"r"))].into(),
            cargo_home: Some(RawPath::of(b"h")),
            system: None,
            job: "j".to_owned(),
        };
        #[rustfmt::skip]
        let cases: [Case<'_>; 18] = [
            ("nothing there",             &[],                                               None),
            ("exact before newer",        &["pr/7 x t r j 9", "pr/7 k t r j 1"],             Some((1, Hit::Exact))),
            ("fallback by toolchain",     &["pr/7 x t r j 1"],                               Some((0, Hit::Fallback))),
            ("no other toolchain",        &["pr/7 x u r j 1"],                               None),
            ("roots before job",          &["pr/7 k t q j 9", "pr/7 k t r i 1"],             Some((1, Hit::Exact))),
            ("job before scope",          &["pr/7 k t r i 9", "protected k t r j 1"],        Some((1, Hit::Exact))),
            ("own scope before newer",    &["protected k t r j 9", "pr/7 k t r j 1"],        Some((1, Hit::Exact))),
            ("newest of equals",          &["pr/7 k t r j 1", "pr/7 k t r j 2"],             Some((1, Hit::Exact))),
            ("never another pr",          &["pr/8 k t r j 9", "branch/main k t r j 9"],      None),
            ("exact at other roots",      &["pr/7 x t r j 9", "pr/7 k t q i 1"],             Some((1, Hit::Exact))),
            ("a partial one is a hit",    &["pr/7 k t r j 1 partial"],                       Some((0, Hit::Exact))),
            ("whole before newer, own",   &["pr/7 k t r j 9 partial", "protected k t r j 1"], Some((1, Hit::Exact))),
            ("whole before own job",      &["pr/7 k t r j 9 partial", "pr/7 k t r i 1"],     Some((1, Hit::Exact))),
            ("exact before whole",        &["pr/7 k t r j 1 partial", "pr/7 x t r j 9"],     Some((0, Hit::Exact))),
            ("home before roots",         &["pr/7 k t r j 9 at i", "pr/7 k t q i 1 at h"],   Some((1, Hit::Exact))),
            ("exact before home",         &["pr/7 k t r j 1 at i", "pr/7 x t r j 9 at h"],   Some((0, Hit::Exact))),
            ("a home not recorded",       &["pr/7 k t r j 1 at i", "pr/7 k t r i 0"],        Some((1, Hit::Exact))),
            ("roots before whole",        &["pr/7 k t r j 1 partial", "pr/7 k t q j 9"],     Some((0, Hit::Exact))),
        ];
        for (why, lines, want) in cases {
            let generations: Vec<_> = lines.iter().map(|line| generation(line)).collect();
            let mut candidates: Vec<_> = generations.iter().map(unscored).collect();
            let took = ranked(&wish, &candidates).first().map(|chosen| (chosen.index, chosen.hit));
            assert_eq!(took, want, "{why}");
            candidates.reverse();
            let took = ranked(&wish, &candidates)
                .first()
                .map(|chosen| (lines.len() - 1 - chosen.index, chosen.hit));
            assert_eq!(took, want, "{why}, the other way round");
        }
    }
}
