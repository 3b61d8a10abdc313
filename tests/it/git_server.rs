//! Repositories on a server that serves them over HTTP: `git http-backend`, behind a door that may
//! require a token and that records all requests.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::support::{Result, write};

/// A repository, with a work tree to commit from.
pub(crate) struct Upstream {
    dir: PathBuf,
}

impl Upstream {
    /// Creates a repository at `dir` with a first commit on `main`.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let upstream = Self { dir: dir.to_owned() };
        upstream.git(&["init", "-q", "-b", "main"])?;
        upstream.commit(&[("README", "first\n")])?;
        Ok(upstream)
    }

    /// Writes files and commits them; returns the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> Result<String> {
        for (path, text) in files {
            write(&self.dir, path, text)?;
        }
        self.git(&["add", "--all"])?;
        self.git(&["commit", "-q", "-m", "a change", "--allow-empty"])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the work tree and returns its output, without the end of the last line.
    pub(crate) fn git(&self, args: &[&str]) -> Result<String> {
        git(&self.dir, args)
    }
}

/// Runs git in `dir` and returns its output, without the end of the last line.
pub(crate) fn git(dir: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.args(["-c", "protocol.file.allow=always"]).args(args).current_dir(dir);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "somebody");
        command.env(format!("GIT_{who}_EMAIL"), "somebody@example.org");
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// Whether it asks for refs.
    pub(crate) is_listing: bool,
    /// Whether it asks for objects.
    pub(crate) is_fetch: bool,
}

/// A server for the repositories below a directory; it runs until it is dropped.
pub(crate) struct GitServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The settings and the log of a server.
#[derive(Clone)]
struct Door {
    repositories: PathBuf,
    authorization: Option<String>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl GitServer {
    /// Serves everybody.
    pub(crate) fn open(repositories: &Path) -> Result<Self> {
        Self::start(repositories, None)
    }

    /// Serves only requests with exactly this `Authorization`.
    pub(crate) fn private(repositories: &Path, authorization: &str) -> Result<Self> {
        Self::start(repositories, Some(authorization.to_owned()))
    }

    fn start(repositories: &Path, authorization: Option<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let requests = Arc::default();
        let is_closed = Arc::new(AtomicBool::new(false));
        let address = listener.local_addr()?;
        let door = Door {
            repositories: repositories.to_owned(),
            authorization,
            requests: Arc::clone(&requests),
        };
        let closed = Arc::clone(&is_closed);
        let serve = move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                if closed.load(Ordering::Acquire) {
                    return;
                }
                let door = door.clone();
                // A client that disconnects in the middle is no error of the server.
                std::thread::spawn(move || drop(door.answer(&stream)));
            }
        };
        let thread = Some(std::thread::spawn(serve));
        Ok(Self { address, requests, is_closed, thread })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many requests asked for objects.
    pub(crate) fn fetches(&self) -> usize {
        self.requests().iter().filter(|request| request.is_fetch).count()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        self.thread.take().map(JoinHandle::join);
    }
}

impl Door {
    fn answer(&self, mut stream: &TcpStream) -> Result {
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut words = first.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers = read_headers(&mut reader)?;
        let header = |name: &str| headers.get(name).map_or("", String::as_str);
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body)?;

        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let authorization = headers.get("authorization").cloned();
        let asks = |what: &[u8]| body.windows(what.len()).any(|part| part == what);
        let request = Request {
            path: path.to_owned(),
            authorization: authorization.clone(),
            is_listing: asks(b"command=ls-refs"),
            is_fetch: asks(b"command=fetch"),
        };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        if self.authorization.is_some() && self.authorization != authorization {
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";
            return Ok(stream.write_all(answer.as_bytes())?);
        }

        let mut backend = Command::new("git");
        backend.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped());
        backend.env("GIT_PROJECT_ROOT", &self.repositories).env("GIT_HTTP_EXPORT_ALL", "1");
        backend.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", method);
        backend.env("CONTENT_TYPE", header("content-type"));
        backend.env("CONTENT_LENGTH", body.len().to_string());
        backend.env("GIT_PROTOCOL", header("git-protocol"));
        let mut backend = backend.stderr(Stdio::null()).spawn()?;
        backend.stdin.take().ok_or("no stdin")?.write_all(&body)?;
        let output = backend.wait_with_output()?.stdout;
        let end = output.windows(4).position(|part| part == b"\r\n\r\n").ok_or("no headers")?;
        let (head, content) = (String::from_utf8_lossy(&output[..end]), &output[end + 4..]);
        let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
        let status = status.unwrap_or("200 OK");
        let len = content.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(answer.as_bytes())?;
        Ok(stream.write_all(content)?)
    }
}

/// Reads headers up to the empty line, with their names in lower case.
fn read_headers(reader: &mut impl BufRead) -> Result<HashMap<String, String>> {
    let mut headers = HashMap::new();
    for line in reader.lines() {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(headers)
}
