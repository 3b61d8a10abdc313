//! A server for one release on this machine, which gives prepared answers and records the requests.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::Result;

/// The answer to one request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A whole body.
    Body(Vec<u8>),
    /// A body, sent once as many requests have come as the barrier waits for.
    Together(Arc<Barrier>, Vec<u8>),
    /// The first half of a body that was announced whole; then the connection ends.
    Half(Vec<u8>),
    /// The first half of a body; then nothing, until the server ends.
    Stall(Vec<u8>),
    /// An error, by its HTTP status.
    Status(u16),
}

/// The state that the threads of a server share.
#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<Answer>>,
    /// The number of stalled answers.
    stalled: Mutex<usize>,
    has_stalled: Condvar,
    is_over: AtomicBool,
}

/// A server that ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server that gives these answers in turn, and then repeats the last.
    pub(crate) fn start(answers: impl IntoIterator<Item = Answer>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let answers = Mutex::new(answers.into_iter().collect());
        let shared = Arc::new(Shared { answers, ..Shared::default() });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the head of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        locked(&self.shared.requests).clone()
    }

    /// Returns the first line of every request so far, without the HTTP version.
    pub(crate) fn asked(&self) -> Vec<String> {
        let first = |head: &String| head.split(" HTTP/").next().unwrap_or_default().to_owned();
        self.requests().iter().map(first).collect()
    }

    /// Waits until half a body has been sent.
    pub(crate) fn wait_for_stall(&self) -> Result {
        const LIMIT: Duration = Duration::from_mins(1);
        let stalled = locked(&self.shared.stalled);
        let condvar = &self.shared.has_stalled;
        let waited = condvar.wait_timeout_while(stalled, LIMIT, |stalled| *stalled == 0);
        let (stalled, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *stalled == 0 { Err("nobody asked".into()) } else { Ok(()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // One more connection makes the thread look at `is_over`.
        if TcpStream::connect(self.address).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            // A panic in that thread has been printed, and makes the test fail by a missing answer.
            let _ = accepting.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    // A stalled connection stays open while this holds it.
    let mut kept = Vec::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        kept.extend(stream.try_clone());
        let shared = Arc::clone(shared);
        thread::spawn(move || match answer(&stream, &shared) {
            Ok(Keep::No) => stream.shutdown(std::net::Shutdown::Both),
            Ok(Keep::Open) => Ok(()),
            // Tests may kill the client at any time.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(error),
        });
    }
}

enum Keep {
    Open,
    No,
}

fn answer(mut stream: &TcpStream, shared: &Shared) -> std::io::Result<Keep> {
    let head = read_head(stream)?;
    locked(&shared.requests).push(head);
    let answer = {
        let mut answers = locked(&shared.answers);
        let last = answers.len() == 1;
        let answer = if last { answers.front().cloned() } else { answers.pop_front() };
        answer.unwrap_or(Answer::Status(404))
    };
    match answer {
        Answer::Body(body) => send(stream, body.len(), &body)?,
        Answer::Together(barrier, body) => {
            barrier.wait();
            send(stream, body.len(), &body)?;
        }
        Answer::Half(body) => send(stream, body.len(), &body[..body.len() / 2])?,
        Answer::Stall(body) => {
            send(stream, body.len(), &body[..body.len() / 2])?;
            *locked(&shared.stalled) += 1;
            shared.has_stalled.notify_all();
            return Ok(Keep::Open);
        }
        Answer::Status(status) => write!(
            stream,
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?,
    }
    Ok(Keep::No)
}

fn read_head(mut stream: &TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn send(mut stream: &TcpStream, announced: usize, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(body)
}
