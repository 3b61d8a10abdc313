"""What the internet is to a run: git repositories and a crate registry, behind one HTTP server.

Everything it is asked for is counted, and an answer can be held back, so that a run can be stopped at a
known place.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
OWNER = "btcdecoded"
GIT_SERVICE = "/git-upload-pack"


class Origin:
    """Serves the bare repositories `<owner>/<name>.git` below a directory, and one registry."""

    def __init__(self, repositories):
        self.repositories = repositories
        self.crates = {}
        self.downloads = Counter()
        self.fetches = Counter()
        self.held = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Request,), {"origin": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def forget(self):
        """Counts from nothing again."""
        self.downloads.clear()
        self.fetches.clear()

    def publish(self, name, version, library):
        """Adds a crate that is one library file."""
        manifest = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2024"\n'
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for path, text in {"Cargo.toml": manifest, "src/lib.rs": library}.items():
                member = tarfile.TarInfo(f"{name}-{version}/{path}")
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        self.crates[name, version] = archive.getvalue()

    def add_repository(self, name):
        """Adds one of our repos, with a branch `next` ahead of `main`; returns the commit of `main`."""
        work = self.repositories / "work" / name
        bare = self.repositories / OWNER / f"{name}.git"
        shutil.copytree(HERE / "repos" / name, work)
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message=the first")
        git(work, "switch", "--quiet", "--create=next")
        git(work, "commit", "--quiet", "--message=the second", "--allow-empty")
        git(work, "switch", "--quiet", "main")
        git(work, "clone", "--quiet", "--bare", ".", str(bare))
        return git(work, "rev-parse", "main")

    @contextmanager
    def hold(self, repository):
        """Answers no git request for `repository`; gives the event that one came."""
        came, released = self.held[repository] = threading.Event(), threading.Event()
        try:
            yield came
        finally:
            del self.held[repository]
            released.set()

    def index_of(self, name):
        """Returns the lines of the registry's index for one crate."""
        for (crate, version), archive in self.crates.items():
            if crate == name:
                digest = hashlib.sha256(archive).hexdigest()
                line = {"name": name, "vers": version, "cksum": digest, "deps": [], "features": {}}
                yield json.dumps(line | {"yanked": False})


class Request(BaseHTTPRequestHandler):
    """One request. The first part of its path says to whom."""

    origin: Origin

    def do_GET(self):
        path, _, query = self.path.partition("?")
        first, *rest = path.strip("/").split("/")
        if first == "index":
            self.answer_index(rest)
        elif first == "crates":
            self.answer_crate(*rest)
        else:
            self.answer_git(path, query, b"")

    def do_POST(self):
        self.answer_git(self.path, "", self.rfile.read(int(self.headers["Content-Length"])))

    def answer_index(self, path):
        if path == ["config.json"]:
            self.answer(json.dumps({"dl": f"{self.origin.url}/crates/{{crate}}/{{version}}"}).encode())
        else:
            self.answer("\n".join(self.origin.index_of(path[-1])).encode())

    def answer_crate(self, name, version):
        self.origin.downloads[name] += 1
        self.answer(self.origin.crates.get((name, version), b""))

    def answer_git(self, path, query, body):
        owner, name, *rest = path.strip("/").split("/")
        repository = f"{owner}/{name.removesuffix('.git')}"
        if repository in self.origin.held:
            came, released = self.origin.held[repository]
            came.set()
            released.wait()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        # What ends a fetch, once; a request that only asks for refs has no such line.
        if path.endswith(GIT_SERVICE) and b"0009done\n" in body:
            self.origin.fetches[repository] += 1
        backend = subprocess.run(
            ["git", "http-backend"],
            input=body,
            stdout=subprocess.PIPE,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.origin.repositories),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": "/".join(["", f"{repository}.git", *rest]),
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
            },
        )
        head, _, answer = backend.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.answer(answer, int(headers.pop("Status", "200").split()[0]), headers)

    def answer(self, body, status=200, headers=None):
        if not body and status == 200:
            status = 404
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # Who asked may have been stopped meanwhile.
        with suppress(BrokenPipeError):
            self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing: what a test wants to know is counted."""


def git(directory, *arguments):
    """Runs git without the settings of whoever runs this; returns what it prints."""
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid", *arguments]
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()
