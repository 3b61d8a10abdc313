//! The text that people read about a checkout.

use super::print::{Text, line};
use super::text::seconds;
use crate::checkout::Checkout;

/// Returns the text about a checkout, for people.
pub(crate) fn text(checkout: &Checkout) -> Text {
    let mut text = Text::default();
    for warning in &checkout.warnings {
        line!(text, "warning: {warning}");
    }
    let repository = checkout.repository.as_str();
    let how = match (checkout.kept, checkout.fetched) {
        (true, _) => "there already",
        (false, true) => "fetched",
        (false, false) => "from the mirror",
    };
    line!(
        text,
        "checked out {repository} at {} to `{}` in {}: {how}",
        checkout.sha,
        checkout.path.display(),
        seconds(checkout.seconds)
    );
    text
}
