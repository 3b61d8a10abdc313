//! The clock of the host.

use crate::model::timestamp::Timestamp;

/// Returns the time by the clock of the host.
pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
