//! Suggests names that somebody may have meant.

/// Returns up to five of `names` that resemble `wanted`, the likeliest first.
pub(super) fn similar<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const MOST: usize = 5;
    let wanted = wanted.to_lowercase();
    let mut likely: Vec<_> = names
        .filter_map(|name| likeness(&wanted, &name.to_lowercase()).map(|rank| (rank, name)))
        .collect();
    likely.sort_unstable();
    likely.dedup();
    likely.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
}

/// Returns how many letters differ, if they are few or one name contains the other.
fn likeness(wanted: &str, name: &str) -> Option<usize> {
    // A server decides how long names are: skip names that take too long to compare.
    const LONGEST: usize = 100;
    if wanted.len().max(name.len()) > LONGEST {
        return None;
    }
    let distance = distance(wanted, name);
    let is_part =
        wanted.len().min(name.len()) >= 2 && (name.contains(wanted) || wanted.contains(name));
    (is_part || distance <= wanted.chars().count() / 3).then_some(distance)
}

/// Returns how many letters to add, drop or change to turn `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, letter) in a.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (at, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_proposed_the_likeliest_first() {
        let names =
            ["main", "develop", "release/v1.2", "v1.2.0", "v1.2.1", "v2", "maintenance", "main"];
        let cases: [(&str, &[&str]); 7] = [
            ("Main", &["main", "maintenance"]),
            ("mian", &[]),
            ("mai", &["main", "maintenance"]),
            ("v1.2", &["v1.2.0", "v1.2.1", "release/v1.2"]),
            ("devlop", &["develop"]),
            ("v1.2.3", &["v1.2.0", "v1.2.1"]),
            ("something else", &[]),
        ];
        for (wanted, want) in cases {
            assert_eq!(similar(wanted, names.into_iter()), want, "{wanted}");
        }
        assert_eq!(similar("v", (0..9).map(|_| "v1")), [] as [&str; 0]);
    }
}
