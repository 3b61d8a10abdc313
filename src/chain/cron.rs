//! The times at which GitHub starts a workflow, in the syntax of cron.

/// A field of a time: its smallest and largest number, and the names of its numbers.
struct Field {
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

/// The fields that GitHub takes (docs.github.com, "Events that trigger workflows", `schedule`).
const FIELDS: [Field; 5] = [
    Field { first: 0, last: 59, names: &[] },
    Field { first: 0, last: 23, names: &[] },
    Field { first: 1, last: 31, names: &[] },
    Field {
        first: 1,
        last: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    },
    Field { first: 0, last: 6, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] },
];

/// Tells whether GitHub takes `text` as the time of a schedule. It refuses a workflow with any
/// other time as a whole.
pub(super) fn is_time(text: &str) -> bool {
    let fields: Vec<_> = text.split(' ').collect();
    fields.len() == FIELDS.len()
        && fields.iter().zip(&FIELDS).all(|(text, field)| field.takes(text))
}

impl Field {
    /// Tells whether `text` is a list of numbers, ranges and steps of this field.
    fn takes(&self, text: &str) -> bool {
        text.split(',').all(|item| {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (item, None),
            };
            self.takes_range(range) && step.is_none_or(|step| self.takes_step(step))
        })
    }

    fn takes_range(&self, text: &str) -> bool {
        match text.split_once('-') {
            _ if text == "*" => true,
            Some((from, to)) => {
                let ends = self.number(from).zip(self.number(to));
                ends.is_some_and(|(from, to)| from <= to)
            }
            None => self.number(text).is_some(),
        }
    }

    fn takes_step(&self, text: &str) -> bool {
        digits(text).is_some_and(|step| (1..=self.last).contains(&step))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + self.first);
        named.or_else(|| digits(text)).filter(|number| (self.first..=self.last).contains(number))
    }
}

/// Returns the number that `text` writes in one or two digits.
fn digits(text: &str) -> Option<u32> {
    let is_number = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_that_github_takes() {
        #[rustfmt::skip]
        let cases = [
            ("0 2 * * *",           true),
            ("*/5 1-3 1,2 JAN MON", true),
            ("59 23 31 12 6",       true),
            ("20/15 * * * *",       true),
            ("0 0 * jan-mar 1-5/2", true),
            ("0,30 */2 1-7,15 * SUN", true),
            ("60 2 * * *",          false),
            ("0 24 * * *",          false),
            ("0 25 * * *",          false),
            ("0 2 0 * *",           false),
            ("0 2 32 * *",          false),
            ("0 2 * 0 *",           false),
            ("0 2 * 13 *",          false),
            ("0 2 * * 7",           false),
            ("0 2 * * FOO",         false),
            ("0 JAN * * *",         false),
            ("30-10 * * * *",       false),
            ("*/0 * * * *",         false),
            ("*/60 * * * *",        false),
            ("*/ * * * *",          false),
            ("1- * * * *",          false),
            ("-1 * * * *",          false),
            ("1,,2 * * * *",        false),
            ("1-2-3 * * * *",       false),
            ("1/2/3 * * * *",       false),
            ("+1 * * * *",          false),
            ("000 * * * *",         false),
            ("* * * *",             false),
            ("* * * * * *",         false),
            ("0  2 * *",            false),
            ("@daily",              false),
            ("",                    false),
        ];
        for (text, want) in cases {
            assert_eq!(is_time(text), want, "{text:?}");
        }
    }
}
