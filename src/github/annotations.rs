//! The annotations of a step: few enough that the runner shows all of them.

use super::commands::{Level, LogLine, annotation, no_annotation};

/// How many annotations of each level a runner shows for a step (`ExecutionContext.cs` of
/// actions/runner); it drops the rest.
const MAX_SHOWN: usize = 10;

/// Counts annotations. Messages beyond the limit become plain lines of the log, and the last
/// annotation tells how many there are.
#[derive(Debug, Default)]
pub struct Annotations {
    levels: [Counted; Level::ALL.len()],
}

/// The annotations of one level.
#[derive(Debug, Default)]
struct Counted {
    count: usize,
    /// The tenth message: shown at the end, unless there are more.
    tenth: Option<String>,
}

impl Annotations {
    /// Returns the line to print for `message`.
    pub fn line(&mut self, level: Level, message: &str) -> LogLine {
        let counted = &mut self.levels[level as usize];
        counted.count += 1;
        if counted.count < MAX_SHOWN {
            return annotation(level, message);
        }
        if counted.count == MAX_SHOWN {
            counted.tenth = Some(message.to_owned());
        }
        no_annotation(level, message)
    }

    /// Returns the lines to print when the step ends: at most one for each level.
    pub fn last_lines(self) -> Vec<LogLine> {
        let levels = Level::ALL.into_iter().zip(self.levels);
        let last = levels.filter_map(|(level, counted)| {
            let tenth = counted.tenth?;
            let rest = counted.count - (MAX_SHOWN - 1);
            let rest = match rest {
                1 => tenth,
                _ => format!("{rest} more of this kind; the log of this step has them"),
            };
            Some(annotation(level, &rest))
        });
        last.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<String> {
        lines.iter().map(|line| line.as_str().to_owned()).collect()
    }

    /// Prints `count` messages; returns their lines, and the last lines after them.
    fn printed(level: Level, count: usize) -> (Vec<String>, Vec<String>) {
        let mut annotations = Annotations::default();
        let lines: Vec<_> = (1..=count).map(|n| annotations.line(level, &n.to_string())).collect();
        (texts(&lines), texts(&annotations.last_lines()))
    }

    #[test]
    fn a_step_never_has_more_than_ten_annotations_of_a_level() {
        let shown = |n: &str| format!("::warning title=runner-cache::{n}");
        for (count, last) in [
            (0, None),
            (9, None),
            (10, Some("10")),
            (11, Some("2 more of this kind; the log of this step has them")),
            (500, Some("491 more of this kind; the log of this step has them")),
        ] {
            let (lines, last_lines) = printed(Level::Warning, count);
            let want: Vec<_> = (1..=count)
                .map(|n| if n < 10 { shown(&n.to_string()) } else { format!("warning: {n}") })
                .collect();
            assert_eq!(lines, want, "{count}");
            assert_eq!(last_lines, Vec::from_iter(last.map(shown)), "{count}");
        }
    }

    #[test]
    fn each_level_counts_for_itself() {
        let mut annotations = Annotations::default();
        for _ in 0..9 {
            annotations.line(Level::Notice, "a");
        }
        let error = annotations.line(Level::Error, "b");
        assert_eq!(error.as_str(), "::error title=runner-cache::b");
        let notice = annotations.line(Level::Notice, "c\n::d::");
        assert_eq!(notice.as_str(), "notice: c\\n::d::");
        assert_eq!(texts(&annotations.last_lines()), ["::notice title=runner-cache::c%0A::d::"]);
    }
}
