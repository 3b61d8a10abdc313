//! The retention policy: the series and generations that are kept.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::area::Area;
use super::facts::{GenerationFacts, SeriesFacts, Trust};
use super::manifest::GenerationNumber;
use super::names::ParseNameError;
use super::quantity::{parse_duration, whole_number};
use super::reason::Reason;
use super::scope::Repository;
use super::timestamp::Timestamp;

/// The number of series and generations that are kept while there is space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The number of series of `registry`, and of `git`, that are kept whatever their age.
    pub shared_series: usize,
    /// The number of series of each target area of a repository that are kept whatever their age.
    pub target_series: usize,
    /// The time for which a series must have been unused before it may go.
    pub min_age: Duration,
    /// The number of generations of a series that are kept for each kind of job, cargo home and
    /// system.
    pub generations: usize,
}

impl Default for Policy {
    fn default() -> Self {
        let min_age = Duration::from_hours(24);
        Self { shared_series: 5, target_series: 3, min_age, generations: 3 }
    }
}

impl FromStr for Policy {
    type Err = ParseNameError;

    /// Parses `cargo=5,target=3,min-age=1d`; a value that is not named keeps its default.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut policy = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim_end() {
                "cargo" => policy.shared_series = count(value)?,
                "target" => policy.target_series = count(value)?,
                "min-age" => policy.min_age = parse_duration(value)?,
                _ => {
                    let expected = "a part of a retention (cargo=<count>, target=<count> or min-age=<duration>)";
                    return Err(ParseNameError { text: part.to_owned(), expected });
                }
            }
        }
        Ok(policy)
    }
}

fn count(text: &str) -> Result<usize, ParseNameError> {
    let count = whole_number(text.trim()).and_then(|count| usize::try_from(count).ok());
    let expected = "a number of series (0 or more)";
    count.ok_or_else(|| ParseNameError { text: text.to_owned(), expected })
}

/// A group of series that compete to be kept.
///
/// The series of `registry` and of `git` of all repositories compete, because these areas hold what
/// repositories share. Each kind of lane has its own groups: pull requests, however many, never
/// push out the series of a branch or of the protected lane.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    trust: Trust,
    area: &'a Area,
    repository: Option<&'a Repository>,
}

impl<'a> Group<'a> {
    fn of(facts: &'a SeriesFacts) -> Self {
        let series = &facts.series;
        let own = (!series.area.is_shared()).then_some(&series.scope.repository);
        Self { trust: facts.trust(), area: &series.area, repository: own }
    }
}

impl Policy {
    /// Returns the generations that the policy no longer keeps, with reasons.
    ///
    /// A leased generation is never among them, nor is the newest of a series that is kept. The
    /// order of `series` and of their generations does not matter.
    pub(super) fn expired<'a>(
        &self,
        series: &'a [SeriesFacts],
        now: Timestamp,
    ) -> Vec<(&'a SeriesFacts, &'a GenerationFacts, Reason)> {
        let mut groups: BTreeMap<Group<'_>, Vec<&SeriesFacts>> = BTreeMap::new();
        for facts in series.iter().filter(|facts| !facts.generations.is_empty()) {
            groups.entry(Group::of(facts)).or_default().push(facts);
        }
        let mut expired = Vec::new();
        for (group, mut series) in groups {
            series.sort_by_key(|facts| (std::cmp::Reverse(facts.last_used_by(now)), &facts.series));
            let kept = if group.area.is_shared() { self.shared_series } else { self.target_series };
            for (rank, facts) in series.into_iter().enumerate() {
                let idle_secs = now.secs_since(facts.last_used_by(now));
                if rank >= kept && idle_secs > self.min_age.as_secs() {
                    let (area, trust) = (group.area.clone(), group.trust);
                    let reason = Reason::Unused { idle_secs, kept, area, trust };
                    let unleased = facts.generations.iter().filter(|generation| !generation.leased);
                    expired.extend(unleased.map(|generation| (facts, generation, reason.clone())));
                } else {
                    expired.extend(self.superseded(facts));
                }
            }
        }
        expired
    }

    /// Returns the generations of a kept series that have enough newer ones of their kind.
    fn superseded<'a>(
        &self,
        facts: &'a SeriesFacts,
    ) -> impl Iterator<Item = (&'a SeriesFacts, &'a GenerationFacts, Reason)> {
        let limit = self.generations;
        let mut newest_first: Vec<_> = facts.generations.iter().collect();
        newest_first.sort_by_key(|generation| std::cmp::Reverse(generation.number));
        let newest: Option<GenerationNumber> = newest_first.first().map(|newest| newest.number);
        let mut seen: BTreeMap<_, usize> = BTreeMap::new();
        newest_first.into_iter().filter_map(move |generation| {
            let newer = seen.entry(generation.kind()).or_default();
            *newer += 1;
            let goes = *newer > limit && !generation.leased && Some(generation.number) != newest;
            let reason = || Reason::Superseded { limit, job: generation.job.clone() };
            goes.then(|| (facts, generation, reason()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_names_what_differs_from_the_default() {
        let policy = |shared_series, target_series, secs| Policy {
            shared_series,
            target_series,
            min_age: Duration::from_secs(secs),
            generations: 3,
        };
        let day = 86_400;
        #[rustfmt::skip]
        let cases = [
            ("",                             Ok(policy(5, 3, day))),
            ("cargo=5,target=3,min-age=1d",  Ok(policy(5, 3, day))),
            ("target=7",                     Ok(policy(5, 7, day))),
            (" cargo = 0 , min-age = 12h, ", Ok(policy(0, 3, day / 2))),
            ("target=x",                     Err("`x` is not a number of series (0 or more)")),
            ("target=-1",                    Err("`-1` is not a number of series (0 or more)")),
            ("target",                       Err("`` is not a number of series (0 or more)")),
            ("min-age=1",                    Err("`1` is not a duration (a whole number and s, m, h, d or w: `1d`)")),
            ("git=5",                        Err("`git=5` is not a part of a retention (cargo=<count>, target=<count> or min-age=<duration>)")),
        ];
        for (text, want) in cases {
            let got = text.parse::<Policy>().map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{text:?}");
        }
    }
}
