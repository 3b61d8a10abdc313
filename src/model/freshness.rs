//! The mtimes of sources: which are put back, and which are made new.
//!
//! The result is always exactly what cargo would do if the workspace had never been wiped. Cargo
//! compares mtimes, so an old mtime is a promise that the content is old, too.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digest;
use super::manifest::{Source, SourceKind};
use super::rel_path::RelPath;
use super::source::SourceContent;
use super::timestamp::Timestamp;

/// A source file, directory or symlink, as it is in the checkout now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its path below the root; `None` for the root itself.
    pub path: Option<RelPath>,
    /// Its kind.
    pub kind: SourceKind,
    /// The SHA-256 of a file's bytes, of a directory's list of names, or of a symlink's target.
    /// `None` if it could not be read, or changed meanwhile.
    pub digest: Option<Digest>,
    /// Whether it is a file that its owner may execute.
    pub is_executable: bool,
    /// Its mtime.
    pub mtime: Timestamp,
    /// The path in the root to which a symlink leads, if it leads to one.
    pub leads_to: Option<RelPath>,
}

impl Observed {
    /// Returns its comparable content; `None` if its digest is unknown.
    pub fn content(&self) -> Option<SourceContent> {
        let Self { kind, digest, is_executable, .. } = *self;
        Some(SourceContent { kind, digest: digest?, is_executable })
    }
}

/// The mtimes to set in one root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refresh {
    /// The number of files, directories and symlinks that were compared.
    pub checked: u64,
    /// The number of those that are as recorded.
    pub unchanged: u64,
    /// Changed, new or unknown sources: the index of each among those observed, and its new mtime
    /// if it needs one. To be set before the trees are in place.
    pub renewed: Vec<(usize, Timestamp)>,
    /// Unchanged sources, in the same form. To be set after the trees are in place.
    pub put_back: Vec<(usize, Timestamp)>,
}

/// Returns the mtimes to set in one root whose areas are restored.
///
/// `records` holds, for each restored area, the sources that it recorded of this root. A source is
/// unchanged if each of these areas recorded it with its current content; then it gets its recorded
/// mtime, or the latest of several. Any other source becomes no older than `bound`, which must be
/// later than every mtime in the restored trees. Without any record, nothing is touched.
///
/// An area records the files of `kept`, which git ignores, only if one of its units was built from
/// them. So the other areas need not have recorded them.
///
/// Cargo follows symlinks and never sees the mtime of a link. If a link changed, the path it leads
/// to now counts as changed.
pub fn refresh(
    records: &[Vec<&Source>],
    kept: &BTreeSet<RelPath>,
    observed: &[Observed],
    bound: Timestamp,
) -> Refresh {
    if records.is_empty() {
        return Refresh::default();
    }
    let by_path = |record: &Vec<&'_ Source>| -> BTreeMap<_, _> {
        record
            .iter()
            .map(|source| (source.path.clone(), (source.content(), source.mtime)))
            .collect()
    };
    let records: Vec<_> = records.iter().map(by_path).collect();
    let recorded = |now: &Observed| -> Option<Timestamp> {
        let is_kept = now.path.as_ref().is_some_and(|path| kept.contains(path));
        let says_nothing = |record: &&RecordedSources| {
            is_kept && !record.is_empty() && !record.contains_key(&now.path)
        };
        let records = records.iter().filter(|record| !says_nothing(record));
        let mtimes: Option<Vec<_>> = records.map(|record| mtime_if_same(record, now)).collect();
        mtimes?.into_iter().max()
    };
    let led_to: BTreeSet<_> = observed
        .iter()
        .filter(|now| recorded(now).is_none())
        .filter_map(|now| now.leads_to.as_ref())
        .collect();
    let behind_a_changed_link = |path: &RelPath| led_to.iter().any(|dir| path.is_within(dir));

    let mut refresh = Refresh { checked: observed.len() as u64, ..Refresh::default() };
    for (index, now) in observed.iter().enumerate() {
        let suspect = now.path.as_ref().is_some_and(behind_a_changed_link);
        let (mtime, list) = if let Some(mtime) = recorded(now).filter(|_| !suspect) {
            refresh.unchanged += 1;
            (mtime, &mut refresh.put_back)
        } else {
            (bound.max(now.mtime), &mut refresh.renewed)
        };
        if mtime != now.mtime {
            list.push((index, mtime));
        }
    }
    refresh
}

/// The recorded content and mtime of each source, by path.
type RecordedSources = BTreeMap<Option<RelPath>, (SourceContent, Timestamp)>;

fn mtime_if_same(record: &RecordedSources, now: &Observed) -> Option<Timestamp> {
    let (content, mtime) = record.get(&now.path)?;
    (Some(*content) == now.content()).then_some(*mtime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::root::Root;

    const BOUND: u8 = 100;

    /// Parses `path kind content mtime [leads to]`.
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
            digest: Some(Digest::of(words[2].as_bytes())),
            is_executable: words[1] == "exec",
            mtime: Timestamp::new(words[3].parse().expect("seconds"), 0),
            leads_to: words.get(4).and_then(|text| path(text)),
        }
    }

    fn source(line: &str) -> Source {
        let Observed { path, kind, digest, is_executable, mtime, .. } = observed(line);
        let digest = digest.unwrap_or(Digest::of(b""));
        Source { root: Root::Repo, path, digest, mtime, kind, is_executable }
    }

    #[test]
    fn an_old_mtime_comes_back_only_with_the_old_content() {
        type Case<'a> = (&'a str, &'a [&'a [&'a str]], &'a [&'a str], &'a [(&'a str, u8)]);
        #[rustfmt::skip]
        let cases: [Case<'_>; 19] = [
            ("unchanged",             &[&["f file a 10"]],                    &["f file a 50"],   &[("f", 10)]),
            ("in place already",      &[&["f file a 10"]],                    &["f file a 10"],   &[]),
            ("changed",               &[&["f file a 10"]],                    &["f file b 50"],   &[("f", BOUND)]),
            ("changed, old mtime",    &[&["f file a 10"]],                    &["f file b 5"],    &[("f", BOUND)]),
            ("changed, later still",  &[&["f file a 10"]],                    &["f file b 200"],  &[]),
            ("new",                   &[&["f file a 10"]],                    &["g file a 5"],    &[("g", BOUND)]),
            ("another kind",          &[&["f file a 10"]],                    &["f dir a 50"],    &[("f", BOUND)]),
            ("executable as it was",  &[&["f exec a 10"]],                    &["f exec a 50"],   &[("f", 10)]),
            ("executable now",        &[&["f file a 10"]],                    &["f exec a 5"],    &[("f", BOUND)]),
            ("no longer executable",  &[&["f exec a 10"]],                    &["f file a 5"],    &[("f", BOUND)]),
            ("directory, same list",  &[&["d dir a 10"]],                     &["d dir a 50"],    &[("d", 10)]),
            ("directory, other list", &[&["d dir a 10"]],                     &["d dir b 5"],     &[("d", BOUND)]),
            ("two areas agree",       &[&["f file a 10"], &["f file a 20"]],  &["f file a 50"],   &[("f", 20)]),
            ("two areas differ",      &[&["f file a 10"], &["f file b 20"]],  &["f file a 50"],   &[("f", BOUND)]),
            ("one area lacks it",     &[&["f file a 10"], &[]],               &["f file a 50"],   &[("f", BOUND)]),
            ("kept with one area",    &[&["kept file a 10"], &["g file a 9"]],     &["kept file a 50"], &[("kept", 10)]),
            ("kept with another, too", &[&["kept file a 10"], &["kept file b 9"]], &["kept file a 50"], &[("kept", BOUND)]),
            ("kept, and one area says nothing", &[&["kept file a 10"], &[]],  &["kept file a 50"], &[("kept", BOUND)]),
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
            let kept = RelPath::parse(b"kept").into_iter().collect();
            let refresh = refresh(&records, &kept, &now, Timestamp::new(BOUND.into(), 0));
            let set =
                |(index, mtime): &(usize, Timestamp)| (now[*index].path.clone(), mtime.secs());
            let want = |is_renewed: bool| -> Vec<_> {
                let of_list = want.iter().filter(|(_, secs)| (*secs == BOUND) == is_renewed);
                of_list
                    .map(|(path, secs)| (RelPath::parse(path.as_bytes()).ok(), i64::from(*secs)))
                    .collect()
            };
            assert_eq!(refresh.renewed.iter().map(set).collect::<Vec<_>>(), want(true), "{why}");
            assert_eq!(refresh.put_back.iter().map(set).collect::<Vec<_>>(), want(false), "{why}");
        }
    }

    #[test]
    fn files_behind_a_changed_link_count_as_changed() {
        let record =
            ["v1 file a 10", "v2 file b 10", "d dir n 10", "d/f file c 10", "l link v1 10"];
        let sources: Vec<_> = record.iter().map(|line| source(line)).collect();
        let now = ["v1 file a 50", "v2 file b 50", "d dir n 50", "d/f file c 50", "l link d 50 d"];
        let now: Vec<_> = now.iter().map(|line| observed(line)).collect();
        let records = [sources.iter().collect()];
        let refresh = refresh(&records, &BTreeSet::new(), &now, Timestamp::new(BOUND.into(), 0));
        let indices = |list: &[(usize, Timestamp)]| -> Vec<_> {
            list.iter().map(|(index, _)| *index).collect()
        };
        assert_eq!(indices(&refresh.put_back), [0, 1]);
        assert_eq!(indices(&refresh.renewed), [2, 3, 4], "the link and all behind it");
    }
}
