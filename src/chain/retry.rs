//! Decides whether to repeat a request, and how long to wait before.

use std::time::Duration;

/// The parts of an answer that decide about a retry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hints<'a> {
    /// The HTTP status.
    pub(super) status: u16,
    /// `Retry-After`, in seconds.
    pub(super) retry_after_secs: Option<u64>,
    /// `X-RateLimit-Remaining`: how many requests are left.
    pub(super) remaining: Option<u64>,
    /// `X-RateLimit-Reset`: when the limit is reset, in seconds since 1970.
    pub(super) reset_secs: Option<u64>,
    /// Its error message.
    pub(super) message: &'a str,
}

/// Returns how long to wait before the request is repeated; `None` if the answer is final.
///
/// Waits as GitHub asks (docs.github.com, "Best practices for using the REST API"): `Retry-After`, else until the limit
/// is reset, else a minute for a secondary limit. After other errors of the server the wait grows with each `attempt`,
/// which counts from 0.
pub(super) fn pause(hints: &Hints<'_>, attempt: u32, now_secs: u64) -> Option<Duration> {
    const SECONDARY: Duration = Duration::from_mins(1);
    let is_secondary = hints.message.to_ascii_lowercase().contains("secondary rate limit");
    let is_spent = hints.remaining == Some(0);
    let is_limited = match hints.status {
        429 => true,
        403 => hints.retry_after_secs.is_some() || is_secondary || is_spent,
        status => return (status >= 500).then(|| back_off(attempt)),
    };
    if !is_limited {
        return None;
    }
    let asked = hints.retry_after_secs.map(Duration::from_secs);
    // Wait a second more: both clocks show whole seconds.
    let reset = hints.reset_secs.filter(|_| is_spent);
    let reset = reset.map(|reset| Duration::from_secs(reset.saturating_sub(now_secs) + 1));
    let secondary = is_secondary.then_some(SECONDARY);
    Some(asked.or(reset).or(secondary).unwrap_or_else(|| back_off(attempt)))
}

/// Returns 1, 2, 4 … seconds, a minute at most.
pub(super) fn back_off(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.min(6)).min(Duration::from_mins(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_and_when_to_ask_again() {
        let hints = Hints::default();
        let secondary = "You have exceeded a secondary rate limit. Please wait a few minutes.";
        #[rustfmt::skip]
        let cases = [
            ("done",                  Hints { status: 204, ..hints },                                                0, None),
            ("refused",               Hints { status: 403, message: "Resource not accessible", ..hints },            0, None),
            ("missing",               Hints { status: 404, ..hints },                                                0, None),
            ("invalid",               Hints { status: 422, ..hints },                                                0, None),
            ("refused, limit unspent", Hints { status: 403, remaining: Some(7), reset_secs: Some(9), ..hints },      0, None),
            ("broken",                Hints { status: 500, ..hints },                                                0, Some(1)),
            ("still broken",          Hints { status: 503, ..hints },                                                3, Some(8)),
            ("broken for long",       Hints { status: 502, ..hints },                                               40, Some(60)),
            ("asked to wait",         Hints { status: 429, retry_after_secs: Some(7), ..hints },                     5, Some(7)),
            ("refused for a while",   Hints { status: 403, retry_after_secs: Some(0), ..hints },                     0, Some(0)),
            ("limit spent",           Hints { status: 403, remaining: Some(0), reset_secs: Some(1030), ..hints },    0, Some(31)),
            ("limit just reset",      Hints { status: 429, remaining: Some(0), reset_secs: Some(900), ..hints },     0, Some(1)),
            ("secondary limit",       Hints { status: 403, message: secondary, ..hints },                            0, Some(60)),
            ("too many",              Hints { status: 429, ..hints },                                                2, Some(4)),
        ];
        for (why, hints, attempt, want) in cases {
            assert_eq!(pause(&hints, attempt, 1000), want.map(Duration::from_secs), "{why}");
        }
    }
}
