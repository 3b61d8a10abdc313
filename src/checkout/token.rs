//! Brings a token to the server and nowhere else: git gets it in a variable.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::model::token::Token;

/// Returns the header that carries `token` to the server, as `actions/checkout` sends it.
pub(super) fn header(token: &Token) -> String {
    format!("AUTHORIZATION: basic {}", encoded(token))
}

/// Replaces `token` in `text`, both as it is and as encoded in the header.
pub(super) fn mask(token: &Token, text: &str) -> String {
    text.replace(&encoded(token), "***").replace(token.reveal(), "***")
}

fn encoded(token: &Token) -> String {
    BASE64_STANDARD.encode(format!("x-access-token:{}", token.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::token::ParseTokenError;

    #[test]
    fn messages_of_git_are_shown_without_the_token() -> Result<(), ParseTokenError> {
        let token = "ghs_secret".parse()?;
        assert_eq!(header(&token), "AUTHORIZATION: basic eC1hY2Nlc3MtdG9rZW46Z2hzX3NlY3JldA==");
        let masked = mask(&token, &format!("ghs_secret, {}", header(&token)));
        assert_eq!(masked, "***, AUTHORIZATION: basic ***");
        Ok(())
    }
}
