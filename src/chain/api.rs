//! GitHub's API over HTTPS.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{HeaderMap, Request, Response, Uri, request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::error::{Error, Result};
use super::names::{Secret, quoted, shown};
use super::retry::{Hints, back_off, pause};
use super::token::Token;

/// A client of GitHub's API: the address, the token, and the time left for retries.
#[derive(Debug)]
pub struct Api {
    agent: Agent,
    base: String,
    token: Option<Token>,
    secret: Secret,
    deadline: Instant,
    tell: fn(&str),
}

/// GitHub's answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request: `GET /repos/a/b`.
    request: String,
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: String,
}

/// The media type of JSON answers.
const JSON: &str = "application/vnd.github+json";

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes. GitHub splits longer lists into pages.
const MAX_BODY: u64 = 16 << 20;

impl Api {
    /// Returns a client of the API at `base`, in the form of `$GITHUB_API_URL`. Workflows take the token from `secret`.
    /// Retries failed requests until `patience` is used up by all requests together; calls `tell` before every wait.
    pub fn new(
        base: &str,
        token: Option<Token>,
        secret: Secret,
        patience: Duration,
        tell: fn(&str),
    ) -> Result<Self> {
        let (base, is_loopback) = check(base)?;
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // A redirect must not send the token to another place.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("runner-cache/", env!("CARGO_PKG_VERSION")));
        let config = if base.starts_with("https:") {
            config
                .https_only(true)
                .tls_config(TlsConfig::builder().root_certs(root_certs()).build())
        } else {
            config
        };
        let config = if is_loopback { config.proxy(None) } else { config };
        let agent = config.build().new_agent();
        Ok(Self { agent, base, token, secret, deadline: Instant::now() + patience, tell })
    }

    /// Returns the token of the requests.
    pub(super) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Returns the name of the secret that workflows take the token from.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Requests `path`, which begins with `/`, as JSON.
    pub(super) fn get(&self, path: &str) -> Result<Answer> {
        self.get_as(JSON, path)
    }

    /// Requests `path` as the media type `form`.
    pub(super) fn get_as(&self, form: &str, path: &str) -> Result<Answer> {
        self.ask(&format!("GET {path}"), || {
            let request = self.request(form).method("GET").uri(self.url(path));
            self.agent.run(request.body(())?)
        })
    }

    /// Sends `body` to `path`. It may arrive twice: a request whose answer is lost is sent again.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let bytes = body.to_string();
        self.ask(&format!("POST {path}"), || {
            let request = self.request(JSON).header("content-type", "application/json");
            self.agent.run(request.method("POST").uri(self.url(path)).body(bytes.as_str())?)
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn request(&self, form: &str) -> request::Builder {
        let request = Request::builder().header("accept", form);
        let request = request.header("x-github-api-version", "2022-11-28");
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.reveal())),
            None => request,
        }
    }

    /// Repeats a request until an answer is final or the patience is used up.
    fn ask(
        &self,
        request: &str,
        once: impl Fn() -> std::result::Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer> {
        let mut attempt = 0;
        loop {
            let answer = once().and_then(|response| Answer::read(request, response));
            let wait = match &answer {
                Ok(answer) => pause(&answer.hints(&answer.message()), attempt, now_secs()),
                Err(_) => Some(back_off(attempt)),
            };
            let unreachable = |error| self.unreachable(request, error);
            let Some(wait) = wait else { return answer.map_err(unreachable) };
            if Instant::now() + wait > self.deadline {
                return Err(answer.map_or_else(unreachable, |answer| answer.into_error_after(wait)));
            }
            let why = match answer {
                Ok(answer) => format!("was answered with {}", answer.status),
                Err(error) => format!("failed: {error}"),
            };
            (self.tell)(&format!("`{request}` {why}; trying again in {} s", wait.as_secs()));
            sleep(wait);
            attempt += 1;
        }
    }

    fn unreachable(&self, request: &str, error: ureq::Error) -> Error {
        let path = request.split(' ').next_back().unwrap_or_default();
        Error::Unreachable { url: self.url(path), source: error.into() }
    }
}

impl Answer {
    fn read(request: &str, mut response: Response<Body>) -> std::result::Result<Self, ureq::Error> {
        let body = response.body_mut().with_config().limit(MAX_BODY).lossy_utf8(true);
        let body = body.read_to_string()?;
        let (parts, _) = response.into_parts();
        let (status, headers) = (parts.status.as_u16(), parts.headers);
        Ok(Self { request: request.to_owned(), status, headers, body })
    }

    /// Returns the value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns its error message, for people.
    pub(super) fn message(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let mut text = json["message"].as_str().unwrap_or(self.body.trim()).to_owned();
        for error in json["errors"].as_array().into_iter().flatten() {
            let parts = [&error["message"], &error["field"], &error["code"]];
            for part in parts.into_iter().filter_map(Value::as_str) {
                text.push_str(", ");
                text.push_str(part);
            }
        }
        shown(&text)
    }

    /// Parses its body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).map_err(|error| Error::Answered {
            request: self.request.clone(),
            status: self.status,
            message: format!("unexpected content: {}", shown(&error.to_string())),
        })
    }

    /// Turns the answer into an error.
    pub(super) fn into_error(self) -> Error {
        let message = match self.status {
            301 | 302 | 307 | 308 => "the repository was renamed or moved".to_owned(),
            _ => self.message(),
        };
        Error::Answered { request: self.request, status: self.status, message }
    }

    /// Turns the answer into an error; no time is left for the `wait` that it asks for.
    fn into_error_after(self, wait: Duration) -> Error {
        let wait_secs = wait.as_secs();
        let message = format!("{}; the next try would be in {wait_secs} s", self.message());
        Error::Answered { request: self.request, status: self.status, message }
    }

    fn hints<'a>(&self, message: &'a str) -> Hints<'a> {
        let number = |name: &str| self.header(name)?.trim().parse().ok();
        Hints {
            status: self.status,
            retry_after_secs: number("retry-after"),
            remaining: number("x-ratelimit-remaining"),
            reset_secs: number("x-ratelimit-reset"),
            message,
        }
    }
}

/// Checks the address of the API, and tells whether it is this machine. Only this machine is reached without TLS.
fn check(base: &str) -> Result<(String, bool)> {
    let refuse = || {
        let base = quoted(base);
        Error::Environment(format!(
            "`GITHUB_API_URL` is {base}, which is no `https://` without user and query"
        ))
    };
    let uri: Uri = base.parse().map_err(|_| refuse())?;
    let host = uri.host().ok_or_else(refuse)?;
    let is_loopback = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    let is_plain = uri.scheme_str() == Some("http") && is_loopback;
    let has_more =
        uri.query().is_some() || uri.authority().is_some_and(|it| it.as_str().contains('@'));
    if has_more || !(is_plain || uri.scheme_str() == Some("https")) {
        return Err(refuse());
    }
    Ok((base.trim_end_matches('/').to_owned(), is_loopback))
}

/// Returns the certificates that the host trusts, or those of Mozilla if it has none.
fn root_certs() -> RootCerts {
    let native = rustls_native_certs::load_native_certs().certs;
    if native.is_empty() {
        return RootCerts::WebPki;
    }
    let certs: Vec<_> = native.iter().map(|cert| Certificate::from_der(cert).to_owned()).collect();
    RootCerts::new_with_certs(&certs)
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Percent-encodes `text` as a part of a path; `/` stays.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes any text");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_over_tls_or_not_beyond_this_machine() {
        let fits = |base: &str| check(base).ok();
        for base in ["https://api.github.com", "https://ghe.example/api/v3/"] {
            assert_eq!(fits(base), Some((base.trim_end_matches('/').to_owned(), false)));
        }
        for base in ["http://127.0.0.1:8080", "http://localhost/api", "http://[::1]:1"] {
            assert_eq!(fits(base), Some((base.to_owned(), true)));
        }
        #[rustfmt::skip]
        let hostile = [
            "", "api.github.com", "http://api.github.com", "http://127.0.0.1.example", "ftp://127.0.0.1", "https://user:secret@api.github.com",
            "https://api.github.com?x=y", "http://127.0.0.1@example.org", "https://",
        ];
        for base in hostile {
            assert_eq!(fits(base), None, "{base}");
        }
    }

    #[test]
    fn a_ref_is_one_part_of_a_path() {
        assert_eq!(encoded("heads/a#b%c ü"), "heads/a%23b%25c%20%C3%BC");
    }
}
