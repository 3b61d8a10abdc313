//! The jobs of a workflow, as far as they decide on one another.

use crate::support::Result;

/// A job of a workflow.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) needs: Vec<String>,
    /// Its `if`.
    pub(super) condition: Option<String>,
}

/// Reads the jobs from a workflow, which is written as ours are: two blanks a level, lists in one line or one item each.
pub(super) fn jobs_of(text: &str) -> Result<Vec<Job>> {
    let (_, jobs) = text.split_once("\njobs:\n").ok_or("no jobs")?;
    let mut found: Vec<Job> = Vec::new();
    let mut is_in_needs = false;
    for line in jobs.lines() {
        let key = line.trim_start();
        let depth = line.len() - key.len();
        if key.is_empty() || key.starts_with('#') {
            continue;
        }
        if depth == 2 {
            let name = key.strip_suffix(':').ok_or_else(|| format!("no job: {line:?}"))?;
            found.push(Job { name: name.to_owned(), needs: Vec::new(), condition: None });
        }
        let Some(job) = found.last_mut() else { continue };
        if is_in_needs && depth == 6 {
            job.needs.push(key.trim_start_matches("- ").to_owned());
            continue;
        }
        is_in_needs = false;
        if depth != 4 {
            continue;
        }
        if let Some(needs) = key.strip_prefix("needs:") {
            let needs = needs.trim().trim_start_matches('[').trim_end_matches(']');
            is_in_needs = needs.is_empty();
            job.needs.extend(needs.split(", ").filter(|it| !it.is_empty()).map(str::to_owned));
        }
        if let Some(condition) = key.strip_prefix("if: ") {
            job.condition = Some(condition.to_owned());
        }
    }
    if found.is_empty() { Err("no job was found".into()) } else { Ok(found) }
}
