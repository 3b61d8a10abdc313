//! Which mtimes are put back, and which are made new.
//!
//! The rule to hold, always: the result is exactly what cargo would do had the workspace never
//! been wiped. Cargo compares mtimes, so an old mtime is a promise that the content is old too.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digest;
use super::manifest::{Source, SourceKind};
use super::rel_path::RelPath;
use super::timestamp::Timestamp;

/// One source file, directory or symlink as it is in the checkout now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Where it is below its root; the root itself has none.
    pub path: Option<RelPath>,
    /// What it is.
    pub kind: SourceKind,
    /// A file's SHA-256; that of a directory's list of names; that of a symlink's target.
    pub digest: Digest,
    /// Its mtime.
    pub mtime: Timestamp,
    /// Where in the root a symlink leads, if it leads anywhere there.
    pub leads_to: Option<RelPath>,
}

/// The mtimes to set in one root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refresh {
    /// How many files, directories and symlinks were compared.
    pub checked: u64,
    /// How many are as they were recorded.
    pub unchanged: u64,
    /// What is changed, new or unknown. Directories are left out: one file that came or went
    /// is shown once.
    pub changed: Vec<RelPath>,
    /// The mtimes to set, where they differ from those there are.
    pub mtimes: Vec<(Option<RelPath>, Timestamp)>,
}

/// Returns the mtimes to set in one root after its areas were restored.
///
/// `records` holds, for each restored area that recorded this root, what it recorded there. A
/// source is unchanged if every one of them has it with the digest it has now; then it gets its
/// recorded mtime, of several the latest. Anything else becomes no older than `bound`, which
/// must be later than every mtime in the restored trees. Without any record nothing is touched.
///
/// Cargo follows symlinks, and a link has no mtime that cargo sees: where one changed, what it
/// leads to now counts as changed.
pub fn refresh(records: &[Vec<&Source>], observed: &[Observed], bound: Timestamp) -> Refresh {
    if records.is_empty() {
        return Refresh::default();
    }
    let by_path = |record: &Vec<&'_ Source>| -> BTreeMap<_, _> {
        record
            .iter()
            .map(|source| (source.path.clone(), (source.kind, source.digest, source.mtime)))
            .collect()
    };
    let records: Vec<_> = records.iter().map(by_path).collect();
    let recorded = |now: &Observed| -> Option<Timestamp> {
        let mtimes: Option<Vec<_>> =
            records.iter().map(|record| mtime_if_same(record, now)).collect();
        mtimes?.into_iter().max()
    };
    let led_to: BTreeSet<_> = observed
        .iter()
        .filter(|now| recorded(now).is_none())
        .filter_map(|now| now.leads_to.as_ref())
        .collect();
    let behind_a_changed_link = |path: &RelPath| led_to.iter().any(|dir| path.is_within(dir));

    let mut refresh = Refresh { checked: observed.len() as u64, ..Refresh::default() };
    for now in observed {
        let suspect = now.path.as_ref().is_some_and(behind_a_changed_link);
        let mtime = match recorded(now).filter(|_| !suspect) {
            Some(mtime) => {
                refresh.unchanged += 1;
                mtime
            }
            None => {
                let shown = now.path.iter().filter(|_| now.kind != SourceKind::Dir);
                refresh.changed.extend(shown.cloned());
                bound.max(now.mtime)
            }
        };
        if mtime != now.mtime {
            refresh.mtimes.push((now.path.clone(), mtime));
        }
    }
    refresh
}

type Record = BTreeMap<Option<RelPath>, (SourceKind, Digest, Timestamp)>;

fn mtime_if_same(record: &Record, now: &Observed) -> Option<Timestamp> {
    let (kind, digest, mtime) = record.get(&now.path)?;
    (*kind == now.kind && *digest == now.digest).then_some(*mtime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::Root;

    const BOUND: u8 = 100;

    /// `path kind content mtime [leads to]`, in one line.
    fn observed(line: &str) -> Observed {
        let words: Vec<_> = line.split_whitespace().collect();
        let path = |text: &str| RelPath::parse(text.as_bytes()).ok();
        let kind = match words[1] {
            "dir" => SourceKind::Dir,
            "link" => SourceKind::Symlink,
            _ => SourceKind::File,
        };
        Observed {
            path: path(words[0]),
            kind,
            digest: Digest::of(words[2].as_bytes()),
            mtime: Timestamp::new(words[3].parse().expect("seconds"), 0),
            leads_to: words.get(4).and_then(|text| path(text)),
        }
    }

    fn source(line: &str) -> Source {
        let Observed { path, kind, digest, mtime, .. } = observed(line);
        Source { root: Root::Repo, path, digest, mtime, kind }
    }

    #[test]
    fn an_old_mtime_comes_back_only_with_the_old_content() {
        type Case<'a> = (&'a str, &'a [&'a [&'a str]], &'a [&'a str], &'a [(&'a str, u8)]);
        #[rustfmt::skip]
        let cases: [Case<'_>; 13] = [
            ("unchanged",             &[&["f file a 10"]],                    &["f file a 50"],   &[("f", 10)]),
            ("in place already",      &[&["f file a 10"]],                    &["f file a 10"],   &[]),
            ("changed",               &[&["f file a 10"]],                    &["f file b 50"],   &[("f", BOUND)]),
            ("changed, old mtime",    &[&["f file a 10"]],                    &["f file b 5"],    &[("f", BOUND)]),
            ("changed, later still",  &[&["f file a 10"]],                    &["f file b 200"],  &[]),
            ("new",                   &[&["f file a 10"]],                    &["g file a 5"],    &[("g", BOUND)]),
            ("another kind",          &[&["f file a 10"]],                    &["f dir a 50"],    &[("f", BOUND)]),
            ("directory, same list",  &[&["d dir a 10"]],                     &["d dir a 50"],    &[("d", 10)]),
            ("directory, other list", &[&["d dir a 10"]],                     &["d dir b 5"],     &[("d", BOUND)]),
            ("two areas agree",       &[&["f file a 10"], &["f file a 20"]],  &["f file a 50"],   &[("f", 20)]),
            ("two areas differ",      &[&["f file a 10"], &["f file b 20"]],  &["f file a 50"],   &[("f", BOUND)]),
            ("one area lacks it",     &[&["f file a 10"], &[]],               &["f file a 50"],   &[("f", BOUND)]),
            ("nothing recorded",      &[],                                    &["f file a 50"],   &[]),
        ];
        for (why, records, now, want) in cases {
            let sources: Vec<Vec<_>> = records
                .iter()
                .map(|lines| lines.iter().map(|line| source(line)).collect())
                .collect();
            let records: Vec<Vec<_>> =
                sources.iter().map(|record| record.iter().collect()).collect();
            let now: Vec<_> = now.iter().map(|line| observed(line)).collect();
            let got = refresh(&records, &now, Timestamp::new(BOUND.into(), 0)).mtimes;
            let want: Vec<_> = want
                .iter()
                .map(|(path, secs)| {
                    (RelPath::parse(path.as_bytes()).ok(), Timestamp::new((*secs).into(), 0))
                })
                .collect();
            assert_eq!(got, want, "{why}");
        }
    }

    #[test]
    fn what_a_changed_link_leads_to_counts_as_changed() {
        let record =
            ["v1 file a 10", "v2 file b 10", "d dir n 10", "d/f file c 10", "l link v1 10"];
        let sources: Vec<_> = record.iter().map(|line| source(line)).collect();
        let now = ["v1 file a 50", "v2 file b 50", "d dir n 50", "d/f file c 50", "l link d 50 d"];
        let now: Vec<_> = now.iter().map(|line| observed(line)).collect();
        let refresh = refresh(&[sources.iter().collect()], &now, Timestamp::new(BOUND.into(), 0));
        let secs: Vec<_> = refresh.mtimes.iter().map(|(_, mtime)| mtime.secs()).collect();
        assert_eq!(secs, [10, 10, 100, 100, 100]);
        assert_eq!(refresh.changed.len(), 2, "the file behind the link and the link");
    }
}
