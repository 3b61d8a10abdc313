//! What opens private repositories.

use std::fmt;

/// A token for the git server. It is shown nowhere and written nowhere: git gets it in a variable.
#[derive(Clone)]
pub struct Token(String);

/// Letters of base64, in the order of their values: RFC 4648.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Token {
    /// Returns the token in `text`, which counts without the space around it; empty is none.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Returns the header that brings it to the server, as `actions/checkout` sends it.
    pub(super) fn header(&self) -> String {
        format!("AUTHORIZATION: basic {}", self.encoded())
    }

    /// Replaces it in `text`, as it is and as the header has it.
    pub(super) fn mask(&self, text: &str) -> String {
        text.replace(&self.encoded(), "***").replace(&self.0, "***")
    }

    fn encoded(&self) -> String {
        base64(format!("x-access-token:{}", self.0).as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("~~>~~?", "fn4+fn4/"),
        ];
        for (text, want) in cases {
            assert_eq!(base64(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn a_token_is_shown_nowhere() {
        let token = Token::new(" ghs_secret\n").map(|token| {
            let shown = format!("{token:?}");
            let masked = token.mask(&format!("ghs_secret, {}", token.header()));
            (shown, masked)
        });
        let want = ("Token(***)".to_owned(), "***, AUTHORIZATION: basic ***".to_owned());
        assert_eq!(token, Some(want));
        assert!(Token::new(" \n").is_none());
    }
}
